"""serve.evaluation.model.judging: judgements are kept with their answers, each judge's apart, and what could not
be judged is asked anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from serve.evaluation.asking.client import Endpoint, Model
from serve.evaluation.asking.collect import Collected, Job, collect
from serve.evaluation.errors import EndpointRefused, EndpointUnreachable, ModelUnknown
from serve.evaluation.model.judge import Case
from serve.evaluation.model.judging import JudgeJob, add_judgement, find_judge, judge_all, read_judgement
from tests.conftest import free_port
from tests.fake_openai import FakeOpenAI, chat_answer
from tests.rows import for_each

FIELDS = ("answers",)


def case(answer: str) -> Case:
    return Case("context", (), "question", "reference", answer)


CASES: dict[int | str, list[Case]] = {"a": [case("right"), case("wrong")], "b": [case("right"), case("right")]}


def grade(path: str, body: dict[str, Any]) -> tuple[int, Any]:
    """100 for the answer "right", else 25."""
    score = 100 if "\nright\n" in body["messages"][1]["content"] else 25
    return 200, chat_answer(json.dumps({"score": score, "reason": "so"}))


@pytest.fixture
def collected(tmp_path: Path) -> Collected:
    async def ask(endpoint: Endpoint, model: Model, item: str) -> dict[str, Any]:
        return {"answers": [item, item]}

    questions = tmp_path / "q.jsonl"
    questions.write_text("questions")
    with FakeOpenAI(grade) as server:
        job = Job("multiturn", questions, server.url, None, "", 2, tmp_path / "answers.jsonl", {}, FIELDS)
        return collect(job, {"a": "x", "b": "y"}, ask, tmp_path)


def job(url: str, model_id: str | None = None, key: str = "") -> JudgeJob:
    return JudgeJob(url, model_id, key, 2)


def scores(judged: dict[int | str, list[dict[str, Any]]]) -> dict[int | str, list[int | None]]:
    return {key: [verdict["score"] for verdict in verdicts] for key, verdicts in judged.items()}


def test_judgements_are_kept_and_not_asked_again(collected: Collected, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeOpenAI(grade) as server:
        judge = find_judge(job(server.url, key="secret"))
        first = judge_all(judge, collected, CASES, FIELDS)
        assert scores(first) == {"a": [100, 25], "b": [100, 100]}
        assert len(server.requests) == 4
        assert judge_all(judge, collected, CASES, FIELDS) == first
        assert len(server.requests) == 4
        assert set(server.keys) == {"Bearer secret"}
    err = capsys.readouterr().err
    assert "judged: 4 of 4" in err
    assert "4 judgements there already" in err
    # The last of a key counts
    rows = {row["key"]: row for row in map(json.loads, collected.answers.read_text().splitlines()[1:])}
    assert rows["a"]["answers"] == ["x", "x"]
    assert rows["a"]["judgements"][judge.name] == {
        "1": {"score": 100, "reason": "so"},
        "2": {"score": 25, "reason": "so"},
    }


def test_what_could_not_be_judged_is_none_and_asked_anew(collected: Collected) -> None:
    with FakeOpenAI(lambda path, body: (200, chat_answer("Hm."))) as server:
        judge = find_judge(job(server.url))
        assert scores(judge_all(judge, collected, CASES, FIELDS)) == {"a": [None, None], "b": [None, None]}
        assert len(server.requests) == 8  # each twice
        server.answer = grade
        assert scores(judge_all(judge, collected, CASES, FIELDS)) == {"a": [100, 25], "b": [100, 100]}
        assert len(server.requests) == 12


def test_another_judge_judges_anew_and_the_first_is_kept(collected: Collected) -> None:
    with FakeOpenAI(grade) as server:
        first = find_judge(job(server.url))
        judge_all(first, collected, CASES, FIELDS)
        server.models = [{"id": "demo", "root": "/models/other"}]
        other = find_judge(job(server.url))
        assert other.name != first.name
        judge_all(other, collected, CASES, FIELDS)
        assert len(server.requests) == 8
        judge_all(first, collected, CASES, FIELDS)
        assert len(server.requests) == 8


def test_a_refusal_names_the_question_and_keeps_what_was_judged(collected: Collected) -> None:
    def refuse(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        return (
            grade(path, body)
            if "\nright\n" in body["messages"][1]["content"]
            else (500, {"error": {"message": "out of memory"}})
        )

    with FakeOpenAI(refuse) as server:
        judge = find_judge(JudgeJob(server.url, None, "", 1))
        with pytest.raises(EndpointRefused, match=r"^the judge, question a, turn 2: .*out of memory$"):
            judge_all(judge, collected, CASES, FIELDS)
        server.answer = grade
        judge_all(judge, collected, CASES, FIELDS)
        assert len(server.requests) == 2 + 3


def test_a_server_that_lists_no_models_is_taken_at_its_word() -> None:
    with FakeOpenAI(grade, models=[]) as server:
        assert find_judge(job(server.url, "gpt-x")).model == Model("gpt-x", None, None)
        with pytest.raises(EndpointRefused, match="lists no model"):
            find_judge(job(server.url))


def test_a_missing_judge_is_reported_with_its_own_option() -> None:
    with pytest.raises(EndpointUnreachable, match=r"correct --judge-url$"):
        find_judge(job(f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(EndpointUnreachable, match=r"^--judge-url judge is not an HTTP address"):
        find_judge(job("judge"))
    with FakeOpenAI(grade) as server, pytest.raises(ModelUnknown, match="its models are demo"):
        find_judge(job(server.url, "gpt-x"))


def test_a_row_is_not_changed_by_a_judgement_more() -> None:
    row: dict[str, Any] = {"key": 1}
    more = add_judgement(add_judgement(row, "j", 0, {"score": 25}), "j", 1, {"score": 50})
    assert row == {"key": 1}
    assert [read_judgement(more, "j", turn)["score"] for turn in (0, 1, 2)] == [25, 50, None]
    assert read_judgement(more, "other", 0)["score"] is None


@for_each("damaged", [3, {"j": 3}, {"j": {"1": 3}}, {"j": {"1": {}}}, []])
def test_a_damaged_judgement_counts_as_none(damaged: Any) -> None:
    assert read_judgement({"key": 1, "judgements": damaged}, "j", 0)["score"] is None
