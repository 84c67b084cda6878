"""The commands of the gateway: options over variables, every refusal a sentence, and `up` as a whole before an engine
elsewhere.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from rag.errors import IndexNotFound
from serve.errors import CheckpointNotFound, PortTaken, ServeError, SettingsError, StepFailed
from serve.running.commands import LOOPBACK, UP_OPTIONS, bench, doctor, serve, up, with_options
from serve.running.up import check_sources, corpus_names
from serve.settings import ServeSettings
from tests.conftest import free_port
from tests.fake_engine import FakeEngine
from tests.processes import in_the_background
from tests.rows import for_each

ROOT = Path(__file__).parent.parent
PATIENCE_S = 120.0


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHIPALIGN_HOME", str(tmp_path / "home"))


@pytest.fixture
def taken_port() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield str(listener.getsockname()[1])


# Options


def test_an_option_wins_over_its_variable_and_the_rest_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CHIPALIGN_PAGE_PORT", "8601")
    monkeypatch.setenv("CHIPALIGN_MODEL_ID", "from-variable")
    settings, _ = with_options(
        ArgumentParser(), ["--page-port", "8700", "--engine-url", "http://gpu:8000/v1/"], UP_OPTIONS
    )
    assert (settings.page_port, settings.model_id) == (8700, "from-variable")
    assert settings.engine_url == "http://gpu:8000"
    assert settings.home == tmp_path / "home"


def test_every_option_is_the_name_of_a_setting_and_its_help_names_the_variable(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        with_options(ArgumentParser(), ["--help"], UP_OPTIONS)
    text = " ".join(capsys.readouterr().out.split())
    for name in UP_OPTIONS:
        assert hasattr(ServeSettings(), name)
        assert f"--{name.replace('_', '-')} VALUE" in text
        assert f"(CHIPALIGN_{name.upper()})" in text


def test_wrong_options_are_reported_together_by_the_names_of_their_variables() -> None:
    with pytest.raises(SettingsError) as caught:
        with_options(ArgumentParser(), ["--page-port", "99999", "--gateway-port", "x"], UP_OPTIONS)
    assert "CHIPALIGN_PAGE_PORT is '99999'" in str(caught.value)
    assert "CHIPALIGN_GATEWAY_PORT is 'x'" in str(caught.value)


def test_an_option_that_does_not_exist_ends_with_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        up(["--engine", "http://gpu:8000"])
    assert caught.value.code == 2
    assert "--engine" in capsys.readouterr().err


# Refusals


def test_serve_says_what_is_missing_in_the_order_in_which_it_is_needed(
    taken_port: str, small_checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(PortTaken, match=f"port {taken_port} .gateway. is taken: choose another with --gateway-port"):
        serve(["--gateway-port", taken_port])
    port = str(free_port())
    with pytest.raises(CheckpointNotFound, match="no tokenizer in the checkpoint directory"):
        serve(["--gateway-port", port])
    with pytest.raises(IndexNotFound, match=str(tmp_path / "no-index")):
        serve(["--gateway-port", port, "--checkpoint", str(small_checkpoint), "--index", str(tmp_path / "no-index")])


def test_a_tokenizer_that_cannot_be_read_or_has_no_chat_template_is_reported(
    small_checkpoint: Path, tmp_path: Path
) -> None:
    port = str(free_port())
    (tmp_path / "tokenizer_config.json").write_text("{oops")
    with pytest.raises(CheckpointNotFound, match=r"cannot be read .* merge the model anew"):
        serve(["--gateway-port", port, "--checkpoint", str(tmp_path)])
    for path in small_checkpoint.iterdir():
        if path.name != "chat_template.jinja":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointNotFound, match="has no chat template: serve a chat model"):
        serve(["--gateway-port", port, "--checkpoint", str(tmp_path)])


def test_up_refuses_a_recipe_or_an_index_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ServeError, match=r"there is no recipe .*nothing\.toml: give --recipe a TOML file"):
        up(["--recipe", str(tmp_path / "nothing.toml")])
    with pytest.raises(ServeError, match=r"there is no index in .*: build one with `chipalign index build"):
        check_sources(ServeSettings(index=str(tmp_path)))


def test_a_corpus_that_is_not_pinned_is_refused_before_any_work() -> None:
    check_sources(ServeSettings(corpora="openroad, yosys"))
    with pytest.raises(Exception, match="no corpus is called 'verilog'; known are openroad"):
        check_sources(ServeSettings(corpora="openroad,verilog"))
    assert corpus_names(" openroad ,, yosys,") == ["openroad", "yosys"]


@for_each("questions", ["1", "0", "-3"])
def test_bench_wants_two_questions_at_least(questions: str) -> None:
    with pytest.raises(ServeError, match=f"--questions is {questions}: give 2 or more"):
        bench(["--questions", questions])


def test_doctor_ends_with_2_where_up_would_not_run_and_names_the_way_out(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert doctor([]) == 0
    assert capsys.readouterr().out.startswith("ok       python ")
    monkeypatch.setenv("CHIPALIGN_CHECKPOINT", str(tmp_path))
    assert doctor([]) == 2
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("MISSING")]
    assert line.endswith("-> there is no config.json: is CHIPALIGN_CHECKPOINT right?")
    assert doctor(["--json"]) == 2
    assert json.loads(capsys.readouterr().out)["would_run"] is False


def test_a_home_that_is_a_folder_under_a_file_is_reported_by_doctor(tmp_path: Path) -> None:
    from serve.running.doctor import examine

    (tmp_path / "file").write_text("")
    findings = {finding.what: finding for finding in examine(ServeSettings(home=tmp_path / "file" / "home"))}
    assert not findings["home"].ok
    assert findings["home"].advice == "set CHIPALIGN_HOME to a folder you can write with 2 GiB free"


def test_every_error_of_the_package_that_stops_a_command_exits_with_2() -> None:
    for kind in (PortTaken, CheckpointNotFound, SettingsError, StepFailed):
        assert issubclass(kind, ServeError)
        assert kind.exit_code == 2
    assert set(LOOPBACK) == {"127.0.0.1", "localhost", "::1"}


# `up` before an engine elsewhere


class Running:
    """A process whose output is collected."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines: list[str] = []
        threading.Thread(target=self._collect, daemon=True).start()

    def _collect(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            self.lines.extend(iter(output.readline, ""))

    def wait_for(self, words: str, times: int = 1) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while sum(words in line for line in self.lines) < times:
            assert self.process.poll() is None, f"ended with {self.process.returncode}: {''.join(self.lines)}"
            assert time.monotonic() < deadline, f"no {words!r} in: {''.join(self.lines)}"
            time.sleep(0.05)


def test_up_runs_gateway_and_page_for_an_engine_elsewhere_and_restarts_what_dies(
    small_checkpoint: Path, small_index: Path, tmp_path: Path
) -> None:
    gateway_port, page_port = free_port(), free_port()
    with FakeEngine() as engine:
        command = [sys.executable, "-m", "chipalign", "up", "--engine-url", engine.url]
        command += ["--gateway-port", str(gateway_port), "--page-port", str(page_port)]
        command += ["--checkpoint", str(small_checkpoint), "--index", str(small_index)]
        running = Running(
            in_the_background(command), {**os.environ, "CHIPALIGN_API_KEY": "s3cret", "CHIPALIGN_CALIBRATE": "off"}
        )
        try:
            running.wait_for("ChipAlign is running")
            running.wait_for("Ctrl-C")
            text = "".join(running.lines)
            assert f"served by {engine.url}" in text
            assert "(asks for the API key)" in text
            assert "engine: starting" not in text
            assert "s3cret" not in text
            parts = psutil.Process(running.process.pid).children(recursive=True)

            url = f"http://127.0.0.1:{gateway_port}"
            body = {"messages": [{"role": "user", "content": "Which command fixes antenna violations?"}]}
            headers = {"authorization": "Bearer s3cret"}
            answer = httpx.post(f"{url}/v1/chat/completions", json=body, headers=headers, timeout=20).json()
            message = answer["choices"][0]["message"]
            assert message["verification"]["mode"] == "auto"
            assert "\n\n> Antenna violations are fixed" in message["content"]
            assert httpx.get(f"http://127.0.0.1:{page_port}/_stcore/health").status_code == 200

            (gateway,) = [
                part
                for part in parts
                if part.cmdline()[-2:] == ["chipalign", "serve"] and "serve.running.guard" not in part.cmdline()
            ]
            gateway.kill()
            running.wait_for("gateway: ended with status -9; restart 1 in 1 s")
            running.wait_for("gateway: starting again (restart 1)")
            running.wait_for("gateway: ready", times=2)
            assert httpx.get(f"{url}/health").status_code == 200

            parts = psutil.Process(running.process.pid).children(recursive=True)
            running.process.send_signal(signal.SIGINT)
            assert running.process.wait(60) == 0
            assert not [part for part in parts if part.is_running() and part.status() != psutil.STATUS_ZOMBIE]
            deadline = time.monotonic() + 5
            while "stopped; nothing is left running" not in "".join(running.lines):
                assert time.monotonic() < deadline
                time.sleep(0.02)
        finally:
            running.process.kill()
            running.process.wait()
    assert {path.name for path in (tmp_path / "home" / "logs").iterdir()} == {"gateway.log", "page.log"}
    assert "s3cret" not in (tmp_path / "home" / "logs" / "gateway.log").read_text()


def test_serve_to_a_network_warns_and_ends_cleanly_also_in_the_background(
    small_checkpoint: Path, small_index: Path
) -> None:
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "chipalign",
        "serve",
        "--host",
        "0.0.0.0",
        "--gateway-port",
        str(port),
        "--engine-url",
        "http://127.0.0.1:9",
    ]
    command += ["--checkpoint", str(small_checkpoint), "--index", str(small_index)]
    running = Running(in_the_background(command), dict(os.environ))
    try:
        running.wait_for("listening on 0.0.0.0 without an API key: set CHIPALIGN_API_KEY")
        running.wait_for("Application startup complete")
        running.process.send_signal(signal.SIGHUP)  # it means to look for a newer index, not to end
        time.sleep(0.1)
        assert httpx.get(f"http://127.0.0.1:{port}/ready", trust_env=False).status_code == 503
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(20) == -signal.SIGTERM
    finally:
        running.process.kill()
        running.process.wait()
    assert not [line for line in running.lines if "Traceback" in line]


def test_serve_in_the_background_of_a_script_ends_at_ctrl_c(small_checkpoint: Path, small_index: Path) -> None:
    command = [sys.executable, "-m", "chipalign", "serve", "--gateway-port", str(free_port())]
    command += [
        "--engine-url",
        "http://127.0.0.1:9",
        "--checkpoint",
        str(small_checkpoint),
        "--index",
        str(small_index),
    ]
    running = Running(in_the_background(command), dict(os.environ))
    try:
        running.wait_for("Application startup complete")
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(20) == 130
    finally:
        running.process.kill()
        running.process.wait()
