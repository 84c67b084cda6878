"""What `chipalign up` decides before and around its processes: ports, the lock, failed steps, the panel."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from serve.errors import AlreadyRunning, CheckpointNotFound, PortTaken, ServeError, StepFailed
from serve.evaluation.answers.calibration import read_calibration
from serve.running.commands import until_signal
from serve.running.panel import Display, render
from serve.running.step import step
from serve.running.supervisor import Part, State
from serve.running.up import (
    calibrate,
    check_ports,
    engine_part,
    facts,
    index_line,
    is_free,
    only_one,
    page_part,
    prepare_model,
    say,
)
from serve.settings import ServeSettings
from tests.conftest import Gateway
from tests.fake_engine import FakeEngine


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def shown(console_width: int = 100) -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(file=stream, width=console_width), stream


def part(name: str) -> Part:
    return Part(name, ["true"], {}, Path("/logs") / f"{name}.log", "http://127.0.0.1:9/")


def test_every_taken_port_is_named_with_the_option_that_changes_it(taken_port: int) -> None:
    settings = ServeSettings(gateway_port=taken_port, page_port=taken_port, engine_url="http://elsewhere:8000")
    with pytest.raises(PortTaken) as caught:
        check_ports(settings)
    assert f"port {taken_port} (gateway) is taken: choose another with --gateway-port" in str(caught.value)
    assert "--page-port" in str(caught.value)
    assert "--engine-port" not in str(caught.value)  # the engine is the user's own


def test_a_port_is_free_again_once_its_listener_is_gone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert not is_free("127.0.0.1", port)
    assert is_free("127.0.0.1", port)


def test_a_second_up_on_the_same_home_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    with (
        only_one(tmp_path / "home"),
        pytest.raises(AlreadyRunning, match="another `chipalign up` runs on"),
        only_one(tmp_path / "home"),
    ):
        pass
    with only_one(tmp_path / "home"):
        pass


def test_a_home_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ServeError, match="set CHIPALIGN_HOME to another"), only_one(tmp_path / "file" / "home"):
        pass


def test_a_step_that_fails_is_named() -> None:
    with pytest.raises(StepFailed, match="`chipalign corpus fetch` failed"):
        asyncio.run(step(["corpus", "fetch", "no-such-corpus"], os.environ))


def test_a_step_returns_its_document(tmp_path: Path) -> None:
    document = asyncio.run(step(["corpus", "list"], {**os.environ, "CHIPALIGN_HOME": str(tmp_path)}))
    assert {"openroad", "yosys"} <= {row["name"] for row in document["corpora"]}


def test_an_engine_of_the_users_own_needs_no_merge_but_a_tokenizer(small_checkpoint: Path, tmp_path: Path) -> None:
    console, _ = shown()
    settings = ServeSettings(engine_url="http://gpu:8000", checkpoint=str(small_checkpoint))
    line = asyncio.run(prepare_model(settings, Path("unused.toml"), {}, console))
    assert line.startswith("chipalign-demo, served by http://gpu:8000, where nothing answers yet (")
    with pytest.raises(CheckpointNotFound, match="no tokenizer in the checkpoint directory"):
        asyncio.run(
            prepare_model(ServeSettings(engine_url="http://gpu:8000", home=tmp_path), Path("unused.toml"), {}, console)
        )


def test_two_parts_cannot_share_a_port_and_an_address_elsewhere_is_refused() -> None:
    with pytest.raises(PortTaken, match="cannot share a port"):
        check_ports(ServeSettings(gateway_port=18111, page_port=18111, engine_url="http://elsewhere:8000"))
    with pytest.raises(ServeError, match="nothing can listen on 203"):
        check_ports(ServeSettings(host="203.0.113.7"))


def test_the_commands_of_the_parts_carry_the_settings(tmp_path: Path) -> None:
    settings = ServeSettings(
        home=tmp_path, host="0.0.0.0", gateway_port=7000, engine_port=7001, page_port=7002, engine_args="--seed 1"
    )
    engine = engine_part(settings, {})
    assert engine.command[-2:] == ["--seed", "1"]
    assert str(settings.checkpoint_dir) in engine.command
    assert engine.ready_url == "http://127.0.0.1:7001/health"
    assert page_part(settings, {}).env["CHIPALIGN_URL"] == "http://127.0.0.1:7000"


def test_no_name_of_a_collection_or_a_model_steers_the_terminal(tmp_path: Path) -> None:
    console, stream = shown()
    hostile = "from \x1b]0;owned\x07 and\nready \u202e"
    say(console, hostile)
    console.print(render(facts(ServeSettings(home=tmp_path), hostile, hostile), []))
    assert "\x1b]0" not in stream.getvalue()
    assert not {"\x07", "\u202e"} & set(stream.getvalue())


def test_the_panel_shows_where_everything_is_and_how_to_stop(tmp_path: Path) -> None:
    console, stream = shown()
    settings = ServeSettings(home=tmp_path, api_key="s3cret")
    states = [State(part("engine"), "ready"), State(part("page"), "ended with status 1; restart 1 in 1 s")]
    console.print(render(facts(settings, "demo model", "412 passages"), states))
    text = stream.getvalue()
    api = "http://127.0.0.1:8000/v1 (asks for the API key)"
    others = ("http://127.0.0.1:8000/mcp (asks for the API key)", "http://127.0.0.1:8000/docs and /openapi.json")
    for expected in ("http://127.0.0.1:8501", api, *others, "demo model", "412 passages", "restart 1 in 1 s", "Ctrl-C"):
        assert expected in text
    assert "s3cret" not in text


def test_without_a_terminal_the_panel_is_printed_once_and_changes_are_lines() -> None:
    console, stream = shown()
    states = [State(part("engine"), "ready")]
    with Display(console, [("model", "demo")]) as display:
        display.show(states)
        states[0].text = "ended with status -9; restart 1 in 1 s"
        display.report(states[0], states)
    assert stream.getvalue().count("ChipAlign is running") == 1
    assert stream.getvalue().endswith("engine: ended with status -9; restart 1 in 1 s\n")


def test_the_index_line_names_what_is_not_to_be_had() -> None:
    summary = {"chunks": 9, "documents": 3, "collections": {"handbook": 2, "yosys": 1}}
    assert index_line(summary, []) == "9 passages of 3 documents from handbook, yosys"
    assert index_line(summary, ["openroad"]).endswith("; not to be had: openroad")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_the_work_and_lets_it_clean_up(number: signal.Signals) -> None:
    cleaned: list[str] = []

    async def work() -> None:
        try:
            asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), number)
            await asyncio.sleep(60)
        finally:
            cleaned.append("yes")

    assert asyncio.run(until_signal(work())) is False
    assert cleaned == ["yes"]


def test_a_second_ctrl_c_does_not_cut_the_cleaning_up_short() -> None:
    cleaned: list[str] = []

    async def work() -> None:
        loop = asyncio.get_running_loop()
        try:
            loop.call_later(0.05, os.kill, os.getpid(), signal.SIGINT)
            await asyncio.sleep(60)
        finally:
            loop.call_later(0.05, os.kill, os.getpid(), signal.SIGINT)
            await asyncio.sleep(0.3)
            cleaned.append("yes")

    assert asyncio.run(until_signal(work())) is False
    assert cleaned == ["yes"]


def test_who_answers_better_is_measured_once_for_a_checkpoint_and_an_index(
    gateway_at: Gateway, small_index: Path, tmp_path: Path
) -> None:
    (tmp_path / "model.safetensors").write_bytes(bytes(5000))
    console, stream = shown(300)
    with FakeEngine() as engine, gateway_at(engine.url) as url:
        port = int(url.rpartition(":")[2])
        settings = ServeSettings(home=tmp_path, gateway_port=port, checkpoint=str(tmp_path), index=str(small_index))
        asyncio.run(calibrate(settings, settings.child_env(), console))
        assert "answers: quote: of" in stream.getvalue()
        assert read_calibration(tmp_path)
        before = stream.getvalue()
        asyncio.run(calibrate(settings, settings.child_env(), console))
        assert stream.getvalue() == before


def test_a_measurement_that_fails_is_reported_and_stops_nothing(tmp_path: Path) -> None:
    console, stream = shown(300)
    settings = ServeSettings(home=tmp_path, checkpoint=str(tmp_path), index=str(tmp_path))
    asyncio.run(calibrate(settings, {}, console))
    assert "answers: not measured" in stream.getvalue()
    asyncio.run(calibrate(replace(settings, answer="quote"), {}, console))
    asyncio.run(calibrate(replace(settings, calibrate="off"), {}, console))
    assert stream.getvalue().count("not measured") == 1
