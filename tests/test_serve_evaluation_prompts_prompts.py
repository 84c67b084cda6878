"""serve.evaluation.prompts.prompts: labelled prompts are read and refused, and counted as precision and recall say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rag.command_line import write_jsonl
from rag.errors import QuestionsUnusable
from serve.evaluation.prompts.prompts import LabelledPrompt, read_prompts, summarize
from serve.protocol import Message

ROW: dict[str, Any] = {
    "id": "form-1",
    "kind": "form",
    "split": "open",
    "client": "any",
    "is_question": True,
    "query": "What is clock skew?",
    "messages": [{"role": "user", "content": "What is clock skew? Answer in one sentence."}],
}


def write(path: Path, *rows: object) -> Path:
    write_jsonl(path, rows)
    return path


def labelled(name: str, is_question: bool, query: str | None = None) -> LabelledPrompt:
    said = {"role": "user", "content": f"{query or name}. Be brief."}
    return LabelledPrompt(name, "kind", "open", "any", is_question, query, (said,))


def judge(messages: Sequence[Message]) -> str | None:
    """Takes for a question what begins with "q"."""
    return None if messages[-1]["content"].startswith("q") else "task"


def test_a_prompt_has_its_conversation_and_label(tmp_path: Path) -> None:
    (prompt,) = read_prompts(write(tmp_path / "p.jsonl", ROW)).values()
    assert (prompt.id, prompt.is_question, prompt.query) == ("form-1", True, "What is clock skew?")
    assert list(prompt.messages) == ROW["messages"]


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("split", "half", "\"split\" is 'half': give one of open, closed"),
        ("is_question", "yes", '"is_question" is neither true nor false'),
        ("query", 3, '"query" is not the text'),
        ("messages", [], '"messages" is not a list of messages'),
        ("messages", [{"role": "assistant", "content": "a"}], "that ends with a user's"),
        ("messages", [{"role": "user", "content": None}], '"messages" is not a list of messages'),
        ("client", None, '"client" is not text'),
    ],
)
def test_a_bad_line_says_what_is_wrong(tmp_path: Path, field: str, value: Any, problem: str) -> None:
    with pytest.raises(QuestionsUnusable) as caught:
        read_prompts(write(tmp_path / "p.jsonl", {**ROW, field: value}))
    assert problem in str(caught.value)


def test_precision_is_of_what_is_taken_for_a_question_and_recall_of_the_questions() -> None:
    prompts = [labelled("q1", True), labelled("q2", True), labelled("x1", True), labelled("q3", False)]
    result = summarize([*prompts, *(labelled(f"t{number}", False) for number in range(4))], judge)
    assert result["counts"] == {"prompts": 8, "questions": 3, "tasks": 5}
    assert result["measures"]["precision"]["mean"] == pytest.approx(2 / 3)
    assert result["measures"]["recall"]["mean"] == pytest.approx(2 / 3)
    assert [(miss["id"], miss["why"]) for miss in result["missed"]] == [("x1", "task"), ("q3", "taken for a question")]


def test_the_text_searched_for_is_held_against_the_wanted_one() -> None:
    wrong = LabelledPrompt("q2", "form", "open", "any", True, "q b", ({"role": "user", "content": "q a?"},))
    result = summarize([labelled("q1", True, "q a"), wrong], judge)
    assert result["measures"]["exact_query"]["mean"] == 0.5
    assert [(miss["id"], miss["why"]) for miss in result["other_queries"]] == [("q2", "searched: q a?")]


def test_a_share_of_nothing_is_none() -> None:
    measures = summarize([labelled("t1", False)], judge)["measures"]
    assert measures == {"precision": None, "recall": None, "exact_query": None}
