"""`chipalign eval ifeval` and `chipalign eval mcq` as they are typed, against a server on a real socket; also what kill
-9 leaves behind.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import chipalign
from rag.command_line import write_jsonl
from tests.conftest import free_port
from tests.fake_openai import FakeOpenAI, chat_answer, likelihood_answer
from tests.processes import running

pytestmark = pytest.mark.usefixtures("home")

PROMPTS = [
    {"key": n, "prompt": f"Prompt {n}: no commas.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
    for n in range(6)
]
QUESTIONS = [
    {
        "id": f"q{n}",
        "domain": ("flow", "bugs")[n % 2],
        "question": f"Question {n}?",
        "choices": ["aa", "bb", "cc", "dd"],
        "answer": 1,
    }
    for n in range(4)
]


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    return write(tmp_path / "p.jsonl", PROMPTS)


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    return write(tmp_path / "q.jsonl", QUESTIONS)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    write_jsonl(path, rows)
    return path


def obey_even(path: str, body: dict[str, Any]) -> tuple[int, Any]:
    """Follow the instruction of prompts with an even number, and end the answer of prompt 1 at max_tokens."""
    number = int(body["messages"][0]["content"].split(":")[0].split()[1])
    return 200, chat_answer("no commas" if number % 2 == 0 else "one, two", "length" if number == 1 else "stop")


def prefer_b(path: str, body: dict[str, Any]) -> tuple[int, Any]:
    """Hold the sign b for likelier than any other, but for c in Question 3."""
    liked = "c" if "Question 3" in body["prompt"][0] else "b"
    return 200, likelihood_answer(body, lambda prompt, place: -0.5 if prompt[place] == liked else -2.0)


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert chipalign.main(["eval", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refuse(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a wrong input gets; progress may stand before it."""
    assert chipalign.main(["eval", *arguments, "--json"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()[-1]


def test_ifeval_as_one_json_document(prompts: Path, capsys: pytest.CaptureFixture[str], home: Path) -> None:
    with FakeOpenAI(obey_even) as server:
        result = run_json(capsys, "ifeval", "--prompts", str(prompts), "--url", server.url, "--max-tokens", "99")
        assert {body["max_tokens"] for _, body in server.requests} == {99}
    assert result["counts"] == {"prompts": 6, "instructions": 6, "cut_off": 1, "empty": 0}
    assert [result["measures"][level]["mean"] for level in ("prompt_level_strict_acc", "inst_level_loose_acc")] == [
        0.5,
        0.5,
    ]
    assert result["settings"] == {"temperature": 0, "max_tokens": 99, "concurrency": 16}
    assert result["model"] == {"model_id": "demo", "root": "/models/x", "max_model_len": 8192}
    assert result["answers"] | {"path": ""} == {"path": "", "resumed": 0, "asked_now": 6}
    assert Path(result["answers"]["path"]).parent == home / "evaluations"
    assert [value["strict"] for value in result["values"]] == [[True], [False]] * 3
    assert 0 < result["latency_ms"]["p50"] <= result["latency_ms"]["p99"]
    assert datetime.now(UTC) - datetime.fromisoformat(result["created"]) < timedelta(minutes=10)
    assert result["versions"]["lm-eval"]


def test_mcq_as_one_json_document(questions: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeOpenAI(prefer_b) as server:
        result = run_json(capsys, "mcq", "--questions", str(questions), "--url", server.url + "/v1")
    assert result["counts"] == {"questions": 4, "choices": 16}
    assert {domain: row["acc"]["mean"] for domain, row in result["measures"].items()} == {
        "all": 0.75,
        "bugs": 0.5,
        "flow": 1.0,
    }
    assert {row["guessing"] for row in result["measures"].values()} == {0.25}
    assert [value["acc_norm"] for value in result["values"]] == [1, 1, 1, 0]


def test_both_as_tables(prompts: Path, questions: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeOpenAI(obey_even) as server:
        assert chipalign.main(["eval", "ifeval", "--prompts", str(prompts), "--url", server.url]) == 0
        text = capsys.readouterr().out
        assert "\nprompt_level_strict_acc  0.500 [" in text
        assert "6 prompts, 6 instructions; 1 answers cut off, 0 empty" in text
        assert "\npunctuation                   6   0.500  0.500\n" in text
        server.answer = prefer_b
        assert chipalign.main(["eval", "mcq", "--questions", str(questions), "--url", server.url]) == 0
        text = capsys.readouterr().out
        assert "\nflow                 2  1.000 [1.000, 1.000]  1.000 [1.000, 1.000]  0.250\n" in text


def test_a_limit_takes_the_first_and_the_rest_can_follow(questions: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeOpenAI(prefer_b) as server:
        arguments = ["mcq", "--questions", str(questions), "--url", server.url, "--concurrency", "1"]
        assert run_json(capsys, *arguments, "--limit", "3")["counts"]["questions"] == 3
        assert run_json(capsys, *arguments)["answers"]["resumed"] == 3
        assert [body["prompt"][0].split("?")[0] for _, body in server.requests] == [
            f"Question: Question {n}" for n in range(4)
        ]


def test_a_key_comes_from_the_variable_that_is_named(
    questions: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeOpenAI(prefer_b) as server:
        arguments = ["mcq", "--questions", str(questions), "--url", server.url, "--api-key-env", "SOME_KEY"]
        assert "--api-key-env SOME_KEY: this variable is not set" in refuse(capsys, *arguments)
        monkeypatch.setenv("SOME_KEY", "secret")
        run_json(capsys, *arguments)
        assert set(server.keys) == {"Bearer secret"}


def test_wrong_input_is_one_line_and_exit_2(
    prompts: Path, questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text(json.dumps(PROMPTS[0]) + "\n{\n")
    unknown = write(tmp_path / "unknown.jsonl", [PROMPTS[0] | {"instruction_id_list": ["punctuation:no_dots"]}])
    (tmp_path / "note.txt").write_text("a note\n")
    with FakeOpenAI(prefer_b) as server:
        for arguments, problem in (
            (["ifeval", "--prompts", str(bad), "--url", server.url], f"{bad}: line 2: not JSON"),
            (["mcq", "--questions", str(prompts), "--url", server.url], f'{prompts}: line 1: "choices" is missing'),
            (
                ["ifeval", "--prompts", str(unknown), "--url", server.url],
                "prompt 0: there is no check for 'punctuation:no_dots'",
            ),
            (["mcq", "--questions", str(tmp_path / "none"), "--url", server.url], "cannot be read"),
            (
                ["mcq", "--questions", str(questions), "--url", f"http://127.0.0.1:{free_port()}"],
                "no server answers at",
            ),
            (
                ["mcq", "--questions", str(questions), "--url", server.url, "--model", "x"],
                "serves no model 'x': its models are demo",
            ),
            (
                ["mcq", "--questions", str(questions), "--url", server.url, "--answers", str(tmp_path / "note.txt")],
                "name another file with --answers",
            ),
        ):
            line = refuse(capsys, *arguments)
            assert line.startswith("chipalign eval: ")
            assert problem in line
        assert server.requests == []


def test_a_window_that_is_too_small_is_reported_with_the_prompt(
    prompts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = "max_tokens=1280 cannot be greater than max_model_len=512. Please request fewer output tokens."
    with FakeOpenAI(lambda path, body: (400, {"error": {"message": message, "code": 400}})) as server:
        line = refuse(capsys, "ifeval", "--prompts", str(prompts), "--url", server.url, "--concurrency", "1")
    assert line == f"chipalign eval: question 0: the model's window is too small: {message}"


@pytest.mark.parametrize("arguments", [["--limit", "0"], ["--concurrency", "-1"], ["--concurrency", "many"], []])
def test_options_that_cannot_be_are_refused_at_once(questions: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        chipalign.main(["eval", "mcq", "--questions", str(questions), *arguments])
    assert caught.value.code == 2


def test_a_run_that_was_killed_goes_on_where_it_was(prompts: Path, tmp_path: Path, home: Path) -> None:
    answers = tmp_path / "a.jsonl"

    def answer_three(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if "Prompt 3" in body["messages"][0]["content"] and len(server.requests) == 4:
            time.sleep(60)  # until the client is killed; the thread dies with the test
        return obey_even(path, body)

    with FakeOpenAI(answer_three) as server:
        command = [
            sys.executable,
            "-m",
            "chipalign",
            "eval",
            "ifeval",
            "--prompts",
            str(prompts),
            "--url",
            server.url,
            "--answers",
            str(answers),
        ]
        command += ["--concurrency", "1", "--json"]
        environment = {**os.environ, "CHIPALIGN_HOME": str(home)}
        silent = subprocess.DEVNULL
        with running(subprocess.Popen(command, env=environment, stdout=silent, stderr=silent)) as first:
            deadline = time.monotonic() + 60
            while len(server.requests) < 4:
                assert first.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
        with answers.open("ab") as file:
            file.write(b'{"key": 3, "respon')  # as if the kill had come amid a line
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        asked = [body["messages"][0]["content"][7] for _, body in server.requests]
    assert asked == ["0", "1", "2", "3", "3", "4", "5"]
    result = json.loads(done.stdout)
    assert result["answers"] == {"path": str(answers), "resumed": 3, "asked_now": 3}
    assert result["measures"]["prompt_level_strict_acc"]["mean"] == 0.5
    assert "3 there already" in done.stderr
    assert "answered: 6 of 6" in done.stderr
