"""`chipalign eval multiturn` as it is typed, against a model and a judge on real sockets; also what kill -9 leaves
behind.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import chipalign
from tests.conftest import free_port
from tests.fake_openai import FakeOpenAI, chat_answer
from tests.processes import running

pytestmark = pytest.mark.usefixtures("home")

ROOT = Path(__file__).parent.parent


def conversation(number: int) -> dict[str, Any]:
    rules = [{"type": "contains_any", "values": [f"depth {number}"]}, {"type": "max_words", "value": 3}]
    turns = [
        {"user": f"Question {number}, how deep?", "reference": f"depth {number}", "rules": rules},
        {"user": "And why?", "reference": "Bursts.", "rules": [{"type": "contains_any", "values": ["bursts"]}]},
    ]
    return {
        "id": f"c{number}",
        "domain": ("grid", "test")[number % 2],
        "context": "Pasted.",
        "turns": turns,
        "source": "context",
    }


@pytest.fixture
def conversations(tmp_path: Path) -> Path:
    path = tmp_path / "c.jsonl"
    path.write_text("".join(json.dumps(conversation(number)) + "\n" for number in range(4)))
    return path


def number_of(body: dict[str, Any]) -> int:
    return int(body["messages"][1]["content"].split("Question ")[1].split(",")[0])


def answer_well(path: str, body: dict[str, Any]) -> tuple[int, Any]:
    """The right depth; the right reason in even conversations."""
    if len(body["messages"]) == 2:
        return 200, chat_answer(f"depth {number_of(body)}")
    return 200, chat_answer("bursts" if number_of(body) % 2 == 0 else "who knows", "length")


def grade(path: str, body: dict[str, Any]) -> tuple[int, Any]:
    """75 for a depth and 100 for bursts; words without a score for the rest."""
    graded = body["messages"][1]["content"].split("[BEGIN ANSWER TO GRADE")[1].split("[END")[0]
    score = 75 if "depth" in graded else 100 if "bursts" in graded else None
    return 200, chat_answer("I cannot say." if score is None else f'```json\n{{"score": {score}, "reason": "so"}}\n```')


@pytest.fixture
def model() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(answer_well) as server:
        yield server


@pytest.fixture
def judge() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(grade, models=[{"id": "judge", "root": "/models/judge"}]) as server:
        yield server


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert chipalign.main(["eval", "multiturn", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refuse(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a wrong input gets; progress may stand before it."""
    assert chipalign.main(["eval", "multiturn", *arguments, "--json"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()[-1]


def means(part: dict[str, Any]) -> dict[str, float]:
    return {name: value["mean"] for name, value in part.items()}


def test_the_rule_part_needs_no_judge(
    conversations: Path, model: FakeOpenAI, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    result = run_json(capsys, "--conversations", str(conversations), "--url", model.url, "--max-tokens", "77")
    assert result["counts"] == {"conversations": 4, "answers": 8, "rules": 12, "cut_off": 4, "empty": 0}
    assert list(result["measures"]) == ["all", "grid", "test"]
    assert means(result["measures"]["all"]["turn_1"]) == {"rules_met": 1.0, "all_rules_met": 1.0}
    assert means(result["measures"]["all"]["turn_2"]) == {"rules_met": 0.5, "all_rules_met": 0.5}
    assert means(result["measures"]["test"]["both"]) == {"rules_met": pytest.approx(2 / 3), "all_rules_met": 0.5}
    assert result["judge"] is None
    assert result["values"][1] == {
        "key": "c1",
        "domain": "test",
        "turns": [{"rules": [True, True], "score": None}, {"rules": [False], "score": None}],
    }
    assert (result["settings"]["max_tokens"], result["settings"]["temperature"]) == (77, 0)
    assert Path(result["answers"]["path"]).parent == home / "evaluations"
    assert {body["max_tokens"] for _, body in model.requests} == {77}


def test_scores_come_from_the_judge_and_what_it_cannot_judge_is_counted(
    conversations: Path, model: FakeOpenAI, judge: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--conversations", str(conversations), "--url", model.url, "--judge-url", judge.url]
    result = run_json(capsys, *arguments)
    assert {name: result["judge"][name] for name in ("model_id", "judged", "not_judged")} == {
        "model_id": "judge",
        "judged": 6,
        "not_judged": 2,
    }
    assert result["measures"]["all"]["turn_1"]["score"]["mean"] == 75
    assert result["measures"]["grid"]["turn_2"]["score"]["mean"] == 100
    assert result["measures"]["all"]["both"]["score"]["mean"] == pytest.approx((4 * 75 + 2 * 100) / 6)
    assert "score" not in result["measures"]["test"]["turn_2"]
    asked, judged = len(model.requests), len(judge.requests)
    assert (asked, judged) == (8, 6 + 2 * 2)
    again = run_json(capsys, *arguments)
    assert again["measures"] == result["measures"]
    assert (len(model.requests), len(judge.requests)) == (asked, judged + 2 * 2)


def test_a_judge_can_be_added_to_answers_that_are_there(
    conversations: Path, model: FakeOpenAI, judge: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--conversations", str(conversations), "--url", model.url]
    run_json(capsys, *arguments)
    result = run_json(capsys, *arguments, "--judge-url", judge.url, "--judge-model", "judge")
    assert len(model.requests) == 8
    assert (result["answers"]["resumed"], result["judge"]["judged"]) == (4, 6)


def test_as_a_table(
    conversations: Path, model: FakeOpenAI, judge: FakeOpenAI, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ["--conversations", str(conversations), "--url", model.url]
    (tmp_path / "first.json").write_text(json.dumps(run_json(capsys, *arguments)))
    assert (
        chipalign.main(
            ["eval", "multiturn", *arguments, "--judge-url", judge.url, "--compare", str(tmp_path / "first.json")]
        )
        == 0
    )
    text = capsys.readouterr().out
    assert "4 conversations, 8 answers, 12 rules; 4 answers cut off, 0 empty\n" in text
    assert f"judge judge at {judge.url}: 6 answers scored, 2 could not be judged\n" in text
    assert "\nall           1       1.000 [1.000, 1.000]  1.000 [1.000, 1.000]  75.0 [75.0, 75.0]\n" in text
    assert "\ntest          2       0.000 [0.000, 0.000]  0.000 [0.000, 0.000]  -\n" in text
    assert (
        text.split(", paired\n")[1].splitlines()[1]
        == "all           1       0.000 [0.000, 0.000]  0.000 [0.000, 0.000]  -"
    )


def test_another_models_result_is_compared_paired(
    conversations: Path, model: FakeOpenAI, judge: FakeOpenAI, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ["--conversations", str(conversations), "--url", model.url, "--judge-url", judge.url]
    former = tmp_path / "former.json"
    former.write_text(json.dumps(run_json(capsys, *arguments)))
    model.models = [{"id": "worse", "root": "/models/worse"}]
    model.answer = lambda path, body: (200, chat_answer("bursts"))
    result = run_json(capsys, *arguments, "--compare", str(former))
    differences = result["differences"]["measures"]
    assert result["differences"]["from"] == str(former)
    assert means(differences["all"]["turn_1"]) == {"rules_met": -0.5, "all_rules_met": -1.0, "score": 25.0}
    assert means(differences["test"]["turn_2"]) == {"rules_met": 1.0, "all_rules_met": 1.0}
    other_judge = tmp_path / "other_judge.json"
    other_judge.write_text(json.dumps(json.loads(former.read_text()) | {"judge": {"name": "someone 0123"}}))
    assert "was scored by another judge (someone 0123, now judge " in refuse(
        capsys, *arguments, "--compare", str(other_judge)
    )


def test_keys_come_from_the_variables_that_are_named(
    conversations: Path,
    model: FakeOpenAI,
    judge: FakeOpenAI,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = [
        "--conversations",
        str(conversations),
        "--url",
        model.url,
        "--judge-url",
        judge.url,
        "--judge-api-key-env",
        "JUDGE_KEY",
    ]
    assert "--judge-api-key-env JUDGE_KEY: this variable is not set" in refuse(capsys, *arguments)
    monkeypatch.setenv("JUDGE_KEY", "secret")
    run_json(capsys, *arguments)
    assert set(judge.keys) == {"Bearer secret"}
    assert set(model.keys) == {None}


def test_wrong_input_is_one_line_and_exit_2_before_anything_is_asked(
    conversations: Path, model: FakeOpenAI, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text(json.dumps(conversation(0) | {"turns": []}) + "\n")
    (tmp_path / "note.json").write_text("a note\n")
    (tmp_path / "mcq.json").write_text('{"evaluation": "mcq"}')
    (tmp_path / "other.json").write_text('{"evaluation": "multiturn", "values": [], "asked": {"sha256": "0"}}')
    good = ["--conversations", str(conversations), "--url", model.url]
    for arguments, problem in (
        (["--conversations", str(bad), "--url", model.url], f'{bad}: line 1: "turns" holds 0, not 2'),
        (["--conversations", str(tmp_path / "none"), "--url", model.url], "cannot be read"),
        ([*good, "--judge-url", f"http://127.0.0.1:{free_port()}"], "start one, or correct --judge-url"),
        ([*good, "--judge-url", "judge"], "--judge-url judge is not an HTTP address"),
        ([*good, "--judge-url", model.url, "--judge-model", "x"], "serves no model 'x'"),
        ([*good, "--compare", str(tmp_path / "none.json")], "none.json cannot be read"),
        ([*good, "--compare", str(tmp_path / "note.json")], "note.json is not a result of this evaluation"),
        ([*good, "--compare", str(tmp_path / "mcq.json")], "mcq.json is not a result of this evaluation"),
        ([*good, "--compare", str(tmp_path / "other.json")], "other.json is a result of other conversations"),
        ([*good, "--answers", str(tmp_path / "note.json")], "name another file with --answers"),
    ):
        line = refuse(capsys, *arguments)
        assert line.startswith("chipalign eval: ")
        assert problem in line
    assert model.requests == []


@pytest.mark.parametrize(
    "arguments", [["--judge-model", "x"], ["--judge-api-key-env", "X"], ["--max-tokens", "0"], ["--limit", "0"]]
)
def test_options_that_cannot_be_are_refused_at_once(conversations: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        chipalign.main(
            ["eval", "multiturn", "--conversations", str(conversations), "--url", "http://127.0.0.1:1", *arguments]
        )
    assert caught.value.code == 2


def test_the_gateway_is_refused_with_the_question(
    conversations: Path, model: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    model.answer = lambda path, body: (200, chat_answer("x") | {"retrieval": {}})
    line = refuse(capsys, "--conversations", str(conversations), "--url", model.url, "--concurrency", "1")
    assert line.startswith("chipalign eval: question c0: ")
    assert "is ChipAlign's gateway" in line


def test_the_conversations_of_this_project_run(capsys: pytest.CaptureFixture[str], model: FakeOpenAI) -> None:
    # No answer before four questions are in flight: 88 answers are 22 times four
    four = threading.Barrier(4, timeout=30)

    def answer_together(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        four.wait()
        return 200, chat_answer("I do not know.")

    model.answer = answer_together
    result = run_json(
        capsys, "--conversations", str(ROOT / "data/eval/multiturn.jsonl"), "--url", model.url, "--concurrency", "4"
    )
    assert list(result["measures"]) == ["all", "architecture", "build", "grid", "test"]
    assert means(result["measures"]["all"]["both"])["all_rules_met"] == 0
    assert model.most_at_once == 4


def run_until(command: list[str], environment: dict[str, str], server: FakeOpenAI, requests: int) -> None:
    """Start the command, and kill it once the server has had that many requests."""
    silent = subprocess.DEVNULL
    with running(subprocess.Popen(command, env=environment, stdout=silent, stderr=silent)) as process:
        deadline = time.monotonic() + 60
        while len(server.requests) < requests:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_run_that_was_killed_goes_on_where_it_was_also_amid_judging(
    conversations: Path, model: FakeOpenAI, judge: FakeOpenAI, tmp_path: Path, home: Path
) -> None:
    answers = tmp_path / "a.jsonl"

    def stop_at_six(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if len(model.requests) == 6:
            time.sleep(60)  # until the client is killed; the thread dies with the test
        return answer_well(path, body)

    def stop_at_three(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if len(judge.requests) == 3:
            time.sleep(60)
        return 200, chat_answer('{"score": 50, "reason": "half"}')

    model.answer, judge.answer = stop_at_six, stop_at_three
    command = [
        sys.executable,
        "-m",
        "chipalign",
        "eval",
        "multiturn",
        "--conversations",
        str(conversations),
        "--url",
        model.url,
    ]
    command += ["--judge-url", judge.url, "--answers", str(answers), "--concurrency", "1", "--json"]
    environment = {**os.environ, "CHIPALIGN_HOME": str(home)}
    run_until(command, environment, model, 6)  # c0 and c1 are whole, c2 waits for its second answer
    with answers.open("ab") as file:
        file.write(b'{"key": "c2", "answ')  # as if the kill had come amid a line
    run_until(command, environment, judge, 3)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert [number_of(body) for _, body in model.requests] == [0, 0, 1, 1, 2, 2, 2, 2, 3, 3]
    assert len(judge.requests) == 3 + 6
    result = json.loads(done.stdout)
    assert result["answers"]["resumed"] == 4
    assert (result["judge"]["judged"], result["measures"]["all"]["both"]["score"]["mean"]) == (8, 50)
    assert "2 judgements there already" in done.stderr
    assert "judged: 8 of 8" in done.stderr
