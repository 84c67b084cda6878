"""`chipalign ask`, `page` and `slack` as a person and a script meet them."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

import chipalign
from tests.fake_gateway import HITS, MODEL_ID, NOTHING_FOUND, FakeGateway, Refusal, Script, judged, quote, supported
from tests.fake_slack import APP_TOKEN, BOT, BOT_TOKEN, FakeSlack, texts_of
from tests.processes import Start, in_the_background, running
from tests.rows import for_each
from ui.conversation import DEMO_WORD
from ui.page.page_server import streamlit_config
from ui.pasted import MAX_BYTES
from ui.settings import UiSettings

ROOT = Path(__file__).parent.parent
LOG = "[WARNING GRT-0243] Unable to repair antennas on net with diodes.\n[INFO GRT-0088] Layer met1"
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def nothing_is_piped_in(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe_in(monkeypatch, "")


def pipe_in(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Let standard input hold this text."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def ask(argv: list[str]) -> int:
    """`chipalign ask` as it is run."""
    return chipalign.main(["ask", *argv])


def page(argv: list[str]) -> int:
    """`chipalign page` as it is run."""
    return chipalign.main(["page", *argv])


def test_ask_prints_the_answer_then_its_sources(capsys: Captured) -> None:
    with FakeGateway() as gateway:
        assert ask(["How do I repair antennas?", "--url", gateway.url]) == 0
    out, err = capsys.readouterr()
    assert out == (
        "Run `repair_antennas` after global routing [1].\n"
        "\n"
        f"{DEMO_WORD}\n"
        "\n"
        "Sources (* cited)\n"
        "*[1] Global Routing > Commands > Repair Antennas\n"
        f"     {HITS[0]['url']}\n"
        "     openroad/src/grt/README.md\n "
        "[2] Antenna effects > Fixing violations\n"
        f"     {HITS[1]['url']}\n"
        "     handbook/antenna-effects.md\n "
        "[3] Glossary\n"
        "     handbook/glossary.md\n"
    )
    assert err == ""


def test_ask_takes_a_question_without_quotes() -> None:
    with FakeGateway() as gateway:
        ask(["What", "is", "slack?", "--url", gateway.url])
        assert gateway.requests[0]["messages"] == [{"role": "user", "content": "What is slack?"}]


def test_ask_json_is_exactly_one_document(capsys: Captured) -> None:
    with FakeGateway() as gateway:
        assert ask(["How?", "--json", "--url", gateway.url]) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document) == ["question", "answer", "refused", "sources", "citations", "verification", "model"]
    assert (document["question"], document["refused"], document["verification"], document["model"]) == (
        "How?",
        False,
        None,
        MODEL_ID,
    )
    assert document["answer"] == "Run `repair_antennas` after global routing [1]."
    assert [source["title"] for source in document["sources"]] == ["Global Routing", "Antenna effects", "Glossary"]
    assert document["citations"] == [
        {"number": 1, "title": "Global Routing", "url": HITS[0]["url"], "start_index": 0, "end_index": 1}
    ]


def test_refusal_prints_no_list_of_sources_and_exits_3(capsys: Captured) -> None:
    with FakeGateway(Script(deltas=(NOTHING_FOUND,), hits=(), cited=(), refused=True)) as gateway:
        assert ask(["Who won?", "--url", gateway.url]) == 3
        assert capsys.readouterr().out == f"{NOTHING_FOUND}\n"
        assert ask(["Who won?", "--url", gateway.url, "--json"]) == 3
        assert json.loads(capsys.readouterr().out)["refused"] is True


def test_a_gateway_that_says_nothing_of_refusals_has_answered(capsys: Captured) -> None:
    with FakeGateway(Script(deltas=(NOTHING_FOUND,), hits=(), cited=())) as gateway:
        assert ask(["Who won?", "--url", gateway.url]) == 0


def test_help_names_the_exit_codes(capsys: Captured) -> None:
    with pytest.raises(SystemExit):
        ask(["--help"])
    assert "3 the documents hold nothing about it" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(("words", "asked"), [(["why?"], f"why?\n\n{LOG}"), ([], LOG)])
def test_log_that_is_piped_in_goes_with_the_question(
    monkeypatch: pytest.MonkeyPatch, words: list[str], asked: str
) -> None:
    pipe_in(monkeypatch, f"{LOG}\n")
    with FakeGateway() as gateway:
        assert ask([*words, "--url", gateway.url]) == 0
        assert gateway.requests[0]["messages"] == [{"role": "user", "content": asked}]


def test_loop_that_reads_questions_asks_each_of_them(tmp_path: Path) -> None:
    (tmp_path / "questions").write_text("What is skew?\nWhat is slack?\n")
    loop = f'while read -r q; do {sys.executable} -m chipalign ask -n "$q" --url "$0"; done < {tmp_path}/questions'
    with FakeGateway() as gateway:
        subprocess.run(["/bin/sh", "-ec", loop, gateway.url], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        asked = [request["messages"][0]["content"] for request in gateway.requests]
    assert asked == ["What is skew?", "What is slack?"]


def test_log_beyond_the_limit_is_one_line_and_exit_2(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    pipe_in(monkeypatch, "x" * (MAX_BYTES + 1))
    with FakeGateway() as gateway:
        assert ask(["why?", "--url", gateway.url]) == 2
        assert gateway.requests == []
    assert capsys.readouterr().err.startswith(
        "chipalign ask: Standard input holds more than 1 MB: give the part that matters"
    )


def test_options_of_the_search_reach_the_gateway() -> None:
    with FakeGateway() as gateway:
        ask(
            [
                "How?",
                "--url",
                gateway.url,
                "--answer",
                "quote",
                "--top-k",
                "8",
                "--collection",
                "a@2",
                "--collection",
                "b",
            ]
        )
        ask(["How?", "--url", gateway.url, "--answer", "auto"])
        assert gateway.requests[0]["retrieval"] == {"answer": "quote", "top_k": 8, "collections": ["a@2", "b"]}
        assert "retrieval" not in gateway.requests[1]


@pytest.mark.parametrize("number", ["0", "51", "x", "-1", "1.5", "٣", ""])
def test_number_of_passages_that_is_none_is_one_line_and_exit_2(capsys: Captured, number: str) -> None:
    assert ask(["How?", f"--top-k={number}"]) == 2
    assert capsys.readouterr().err == f"chipalign ask: --top-k is {number!r}: it must be a whole number from 1 to 50.\n"


def test_sources_are_printed_with_what_is_quoted(capsys: Captured) -> None:
    with FakeGateway(Script(quotes=(quote(HITS[0], "near the gates"),))) as gateway:
        assert ask(["How?", "--url", gateway.url, "--sources"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert "  > near the gates of the violating nets." in out
    assert "    repair_antennas [diode_cell] [-iterations iterations] [-ratio_margin margin]" in out


def test_sources_are_printed_with_what_supports_a_models_words(capsys: Captured) -> None:
    found = supported("Run it.", quote(HITS[0], "near the gates"))
    with FakeGateway(Script(deltas=("Run it.",), verification=found)) as gateway:
        assert ask(["How?", "--url", gateway.url, "--sources"]) == 0
        assert "  > near the gates of the violating nets." in capsys.readouterr().out.splitlines()
        assert ask(["How?", "--url", gateway.url, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)["sources"][0]
    assert [first["text"][start:end] for start, end in first["quoted"]] == ["near the gates"]
    assert "sent" not in first


def test_piped_answer_names_what_no_passage_supports(capsys: Captured) -> None:
    with FakeGateway(Script(deltas=("Do it. Always.",), verification=judged("Do it. Always.", "Always."))) as gateway:
        assert ask(["How?", "--url", gateway.url]) == 0
    assert "  - not supported: Always.\n\nSources (* cited)\n" in capsys.readouterr().out


def test_terminal_shows_the_answer_drawn(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with FakeGateway(Script(deltas=("Run **it** ", "now."), quotes=(quote(HITS[0], "diode cells"),))) as gateway:
        assert ask(["How?", "--url", gateway.url, "--sources"]) == 0
        gateway.script = Script(error_after=1)
        assert ask(["How?", "--url", gateway.url]) == 2
    out = capsys.readouterr().out
    assert "Run \x1b[1mit\x1b[0m now." in out
    assert "\x1b[1;30;103mdiode cells\x1b[0m" in out
    assert re.search(r"Run *\n$", out)  # what came before the answer broke off


@pytest.mark.parametrize("argv", [[], [""], ["   "], ["", "--json"]])
def test_empty_question_is_one_line_and_exit_2(argv: list[str], capsys: Captured) -> None:
    assert ask(argv) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", "chipalign ask: The question is empty: type what you want to know.\n")


def test_gateway_down_is_one_line_and_exit_2(capsys: Captured) -> None:
    with FakeGateway() as gateway:
        gateway.stop()
        assert ask(["How?", "--url", gateway.url, "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"chipalign ask: The ChipAlign gateway at {gateway.url} cannot be reached")
    assert err.count("\n") == 1


def test_answer_that_breaks_off_keeps_what_came_and_exits_2(capsys: Captured) -> None:
    with FakeGateway(Script(error_after=1)) as gateway:
        assert ask(["How?", "--url", gateway.url]) == 2
    out, err = capsys.readouterr()
    assert out == "Run \n"
    assert err.startswith("chipalign ask: The answer broke off before its end")


def test_broken_answer_leaves_no_half_document_in_json(capsys: Captured) -> None:
    with FakeGateway(Script(error_after=1)) as gateway:
        assert ask(["How?", "--url", gateway.url, "--json"]) == 2
    assert capsys.readouterr().out == ""


def test_wrong_address_is_refused_by_the_name_of_its_option(capsys: Captured) -> None:
    assert ask(["How?", "--url", "gateway:8000"]) == 2
    assert (
        capsys.readouterr().err
        == "chipalign ask: --url is 'gateway:8000': it must be an address such as http://127.0.0.1:8000.\n"
    )


def test_wrong_variable_is_one_line_and_exit_2(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHIPALIGN_TIMEOUT_S", "soon")
    assert ask(["How?"]) == 2
    assert (
        capsys.readouterr().err
        == "chipalign ask: CHIPALIGN_TIMEOUT_S is 'soon': it must be a number of seconds above 0.\n"
    )


def test_control_characters_of_models_and_documents_do_not_reach_the_terminal(capsys: Captured) -> None:
    hit = {**HITS[0], "title": "T\x1b]0;owned\x07", "path": "a\rb\n.md"}
    with FakeGateway(Script(deltas=("red \x1b[31mtext\n\x9b2J",), hits=(hit,), cited=())) as gateway:
        ask(["How?", "--url", gateway.url])
    out = capsys.readouterr().out
    assert "red [31mtext\n2J" in out
    assert not {"\x1b", "\x07", "\r", "\x9b"} & set(out)


@pytest.mark.parametrize("steering", ["\x1b]8;;http://h/\x07", "\u202e", "\u2066", "\x9b2J", "\ud800"])
def test_nothing_from_outside_steers_the_terminal(capsys: Captured, steering: str) -> None:
    hit = {
        **HITS[0],
        "title": f"T{steering}",
        "heading_path": [f"h{steering}"],
        "path": f"p{steering}",
        "url": f"http://h/{steering}",
    }
    refusal = Refusal(400, "x", f"no{steering}")
    with FakeGateway(Script(deltas=(f"a{steering}b",), hits=(hit,), cited=())) as gateway:
        assert ask(["How?", "--url", gateway.url]) == 0
        gateway.script = Script(refusal=refusal)
        assert ask(["How?", "--url", gateway.url]) == 2
    out, err = capsys.readouterr()
    assert "Sources (* cited)" in out
    assert not set("\x1b\x07\x9b\u202e\u2066\ud800") & set(out + err)


def test_ask_writes_text_while_the_answer_is_still_being_written() -> None:
    with (
        FakeGateway(Script(hold_after=1)) as gateway,
        running(
            subprocess.Popen(
                [sys.executable, "-m", "chipalign", "ask", "How?", "--url", gateway.url],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
            )
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.read(4) == b"Run "
        gateway.release()
        assert process.stdout.read().startswith(b"`repair_antennas` after")
        process.wait(30)
    assert process.returncode == 0


def test_page_at_a_taken_port_says_so_and_names_the_option(capsys: Captured) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert page(["--port", str(port)]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"chipalign page: The page cannot listen on 127.0.0.1:{port} (Address already in use).")
    assert "--port or CHIPALIGN_PAGE_PORT" in err


def test_page_refuses_a_port_that_is_none(capsys: Captured) -> None:
    assert page(["--port", "eighty"]) == 2
    assert capsys.readouterr().err == "chipalign page: --port is 'eighty': it must be a whole number from 1 to 65535.\n"


def test_page_is_served_where_the_settings_say_and_calls_nobody() -> None:
    config = streamlit_config(UiSettings(host="0.0.0.0", page_port=9000))
    expected = {
        "server.address": "0.0.0.0",
        "server.port": 9000,
        "server.headless": True,
        "browser.gatherUsageStats": False,
    }
    assert expected.items() <= config.items()


@for_each(
    ("settings", "named"),
    [
        (UiSettings(), "127.0.0.1"),
        (UiSettings(host="0.0.0.0"), "localhost"),
        (UiSettings(host="0.0.0.0", page_url="https://chip.example/ask"), "chip.example"),
    ],
)
def test_nobody_is_asked_for_the_address_of_this_machine(settings: UiSettings, named: str) -> None:
    """Where its address is not given, Streamlit asks a server on the internet for it, at start and for each foreign
    Origin.
    """
    assert streamlit_config(settings)["browser.serverAddress"] == named


@pytest.mark.parametrize(
    ("bot_token", "app_token", "said", "not_said"),
    [
        ("", "", ["BOT_TOKEN is missing", "APP_TOKEN is missing"], []),
        (APP_TOKEN, BOT_TOKEN, ["BOT_TOKEN begins with something else", "APP_TOKEN begins with something else"], []),
        (BOT_TOKEN, "", ["APP_TOKEN is missing"], ["BOT_TOKEN"]),
        ("xoxp-a-user", APP_TOKEN, ["BOT_TOKEN begins with something else"], ["APP_TOKEN"]),
    ],
)
def test_missing_and_swapped_tokens_are_reported_in_one_line(
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
    bot_token: str,
    app_token: str,
    said: list[str],
    not_said: list[str],
) -> None:
    monkeypatch.setenv("CHIPALIGN_SLACK_BOT_TOKEN", bot_token)
    monkeypatch.setenv("CHIPALIGN_SLACK_APP_TOKEN", app_token)
    assert chipalign.main(["slack"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("chipalign slack: CHIPALIGN_SLACK_")
    assert err.count("\n") == 1
    assert "https://api.slack.com/apps" in err
    assert all(words in err for words in said)
    assert not any(words in err for words in [*not_said, *filter(None, (bot_token, app_token))])


def slack_process(
    slack: FakeSlack, gateway: FakeGateway, start: Start = list, **changes: str
) -> AbstractContextManager[subprocess.Popen[str]]:
    """`chipalign slack` between these two."""
    tokens = {
        "CHIPALIGN_SLACK_BOT_TOKEN": BOT_TOKEN,
        "CHIPALIGN_SLACK_APP_TOKEN": APP_TOKEN,
        "CHIPALIGN_SLACK_URL": slack.url,
    }
    command = start([sys.executable, "-m", "chipalign", "slack", "--url", gateway.url])
    environment = {**os.environ, **tokens, **changes}
    return running(subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True))


@pytest.mark.parametrize(
    ("start", "stop", "exit_code"),
    [
        (list, signal.SIGINT, 130),
        (in_the_background, signal.SIGINT, 130),
        (in_the_background, signal.SIGTERM, 0),
    ],
)
def test_slack_answers_until_it_is_stopped(start: Start, stop: signal.Signals, exit_code: int) -> None:
    with FakeSlack() as slack, FakeGateway() as gateway, slack_process(slack, gateway, start) as process:
        asked = slack.say("C1", f"<@{BOT}> how?")
        assert texts_of(slack.wait_for_answer("C1", asked), "answer")[0].startswith("Run `repair_antennas`")
        process.send_signal(stop)
        _, err = process.communicate(timeout=30)
    assert process.returncode == exit_code
    assert f"answering in Slack as user {BOT}, asking {gateway.url}" in err
    assert "Traceback" not in err
    assert not any(secret in err for secret in (BOT_TOKEN, APP_TOKEN, "how?"))


def test_token_that_slack_refuses_is_one_line_and_exit_2() -> None:
    with (
        FakeSlack() as slack,
        FakeGateway() as gateway,
        slack_process(slack, gateway, CHIPALIGN_SLACK_BOT_TOKEN="xoxb-wrong") as process,
    ):
        _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert err.splitlines()[-1].startswith(
        "chipalign slack: Slack refused: invalid_auth. Copy CHIPALIGN_SLACK_BOT_TOKEN"
    )
    assert "Traceback" not in err
