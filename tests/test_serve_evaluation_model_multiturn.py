"""serve.evaluation.model.multiturn: conversations are checked, the second turn is asked after the first, and
the figures are those counted by hand.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag.answering.prompt import SYSTEM, build_prompt
from rag.command_line import write_jsonl
from rag.documents import Document, Hit, make_chunk
from rag.errors import QuestionsUnusable
from serve.evaluation.asking.client import Endpoint, Model
from serve.evaluation.errors import ResultUnusable
from serve.evaluation.model.multiturn import (
    TITLE,
    ask_conversation,
    build_messages,
    compare,
    make_cases,
    mark,
    read_conversations,
    summarize,
)
from tests.fake_openai import FakeOpenAI, chat_answer
from tests.rows import for_each

TURN: dict[str, Any] = {
    "user": "How deep?",
    "reference": "64",
    "rules": [{"type": "contains_any", "values": ["64"]}, {"type": "max_words", "value": 3}],
}
SECOND: dict[str, Any] = {
    "user": "And why?",
    "reference": "Bursts.",
    "rules": [{"type": "contains_any", "values": ["bursts"]}],
}
ROW: dict[str, Any] = {
    "id": "a-1",
    "domain": "a",
    "context": "Depth: 64.",
    "turns": [TURN, SECOND],
    "source": "context",
}


def write(path: Path, *rows: dict[str, Any]) -> Path:
    write_jsonl(path, rows)
    return path


@pytest.fixture
def conversations(tmp_path: Path) -> dict[int | str, Any]:
    rows = [ROW, ROW | {"id": "b-1", "domain": "b"}, ROW | {"id": "b-2", "domain": "b"}]
    return read_conversations(write(tmp_path / "c.jsonl", *rows))


def rows_of(*answers: tuple[str, str]) -> dict[int | str, dict[str, Any]]:
    return {
        key: {"answers": [{"response": text} for text in pair]}
        for key, pair in zip(("a-1", "b-1", "b-2"), answers, strict=True)
    }


def test_conversations_are_read_with_their_rules(conversations: dict[int | str, Any]) -> None:
    assert list(conversations) == ["a-1", "b-1", "b-2"]
    first = conversations["a-1"]
    assert (first.domain, first.context, [turn.user for turn in first.turns]) == (
        "a",
        "Depth: 64.",
        ["How deep?", "And why?"],
    )
    assert [rule.type for rule in first.turns[0].rules] == ["contains_any", "max_words"]


@for_each(
    ("change", "problem"),
    [
        ({"id": None}, '"id" is not a whole number or text'),
        ({"domain": 3}, '"domain" is not text'),
        ({"context": []}, '"context" is not text'),
        ({"turns": [TURN]}, '"turns" holds 1, not 2'),
        ({"turns": [TURN, "x"]}, "turn 2: it is not an object"),
        ({"turns": [TURN, SECOND | {"user": 1}]}, 'turn 2: "user" is not text'),
        ({"turns": [TURN | {"rules": []}, SECOND]}, 'turn 1: "rules" is empty'),
        ({"turns": [TURN | {"rules": [{"type": "short"}]}, SECOND]}, "turn 1: there is no rule 'short'"),
        (
            {"turns": [TURN | {"rules": [{"type": "regex", "pattern": "("}]}, SECOND]},
            'turn 1: rule regex: "pattern" is not a regular expression',
        ),
    ],
)
def test_a_bad_line_is_reported(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    path = write(tmp_path / "c.jsonl", ROW | {"id": "other"}, ROW | change)
    with pytest.raises(QuestionsUnusable) as caught:
        read_conversations(path)
    assert str(caught.value).startswith(f"{path}: line 2: {problem}")


@pytest.mark.parametrize("context", ["Depth: 64.", "a\n~~~\nb", "~~~~~~ x ~~~~"])
def test_the_first_message_is_the_gateways_prompt(tmp_path: Path, context: str) -> None:
    (conversation,) = read_conversations(write(tmp_path / "c.jsonl", ROW | {"context": context})).values()
    system, user = build_messages(conversation, [])
    hit = Hit(make_chunk(Document("notes", "p.md", TITLE, context, None, "Apache-2.0"), (), context, 0), 1.0, 1.0, 1.0)
    prompt = build_prompt("How deep?", [hit], len, 10_000)
    assert user == {"role": "user", "content": prompt.user}
    assert system == {"role": "system", "content": SYSTEM}
    assert prompt.system.startswith(SYSTEM)


def test_the_second_turn_is_asked_after_the_first_and_its_answer(conversations: dict[int | str, Any]) -> None:
    async def run(url: str) -> dict[str, Any]:
        async with Endpoint(url) as endpoint:
            return await ask_conversation(endpoint, Model("demo", None, None), conversations["a-1"], 33)

    with FakeOpenAI(lambda path, body: (200, chat_answer(f"answer {len(body['messages'])}"))) as server:
        row = asyncio.run(run(server.url))
        (_, first), (_, second) = server.requests
    assert [answer["response"] for answer in row["answers"]] == ["answer 2", "answer 4"]
    assert [message["role"] for message in second["messages"]] == ["system", "user", "assistant", "user"]
    assert second["messages"][:2] == first["messages"]
    assert [message["content"] for message in second["messages"][2:]] == ["answer 2", "Question:\nAnd why?"]
    assert (first["temperature"], first["max_tokens"]) == (0, 33)


def test_the_judge_sees_the_turns_before(conversations: dict[int | str, Any]) -> None:
    first, second = make_cases(conversations["a-1"], ["64", "Because."])
    assert (first.history, first.question, first.reference, first.answer) == ((), "How deep?", "64", "64")
    assert (second.history, second.question, second.answer, second.context) == (
        (("How deep?", "64"),),
        "And why?",
        "Because.",
        "Depth: 64.",
    )


def test_the_shares_are_those_counted_by_hand(conversations: dict[int | str, Any]) -> None:
    rows = rows_of(("64", "bursts"), ("It is 64 deep, I think", "no idea"), ("63", ""))
    values = mark(conversations, rows, {})
    met = [[turn["rules"] for turn in value["turns"]] for value in values]
    assert met == [
        [[True, True], [True]],
        [[True, False], [False]],
        [[False, True], [False]],
    ]
    measures = summarize(values)
    assert list(measures) == ["all", "a", "b"]
    assert [measures[name]["conversations"] for name in measures] == [3, 1, 2]
    means = {
        part: {name: value["mean"] for name, value in measures["all"][part].items()}
        for part in ("turn_1", "turn_2", "both")
    }
    assert means["turn_1"] == {"rules_met": pytest.approx(4 / 6), "all_rules_met": pytest.approx(1 / 3)}
    assert means["turn_2"] == {"rules_met": pytest.approx(1 / 3), "all_rules_met": pytest.approx(1 / 3)}
    assert means["both"] == {"rules_met": pytest.approx(5 / 9), "all_rules_met": pytest.approx(2 / 6)}
    assert measures["b"]["both"]["all_rules_met"] == {"mean": 0.0, "low": 0.0, "high": 0.0, "answers": 4}


def test_scores_count_where_there_are_some(conversations: dict[int | str, Any]) -> None:
    rows = rows_of(("64", "bursts"), ("64", "bursts"), ("64", "bursts"))
    verdicts: dict[int | str, list[dict[str, Any]]] = {
        "a-1": [{"score": 100}, {"score": 50}],
        "b-1": [{"score": None}, {"score": 0}],
        "b-2": [{"score": 75}, {"score": None}],
    }
    measures = summarize(mark(conversations, rows, verdicts))
    assert measures["all"]["turn_1"]["score"]["mean"] == pytest.approx((100 + 75) / 2)
    assert measures["all"]["turn_2"]["score"]["mean"] == pytest.approx((50 + 0) / 2)
    assert measures["all"]["both"]["score"]["mean"] == pytest.approx((100 + 50 + 0 + 75) / 4)
    assert measures["all"]["both"]["score"]["answers"] == 4
    assert measures["b"]["turn_1"]["score"]["answers"] == 1
    assert "score" not in summarize(mark(conversations, rows, {}))["all"]["both"]


def test_an_interval_is_that_of_resampled_conversations(conversations: dict[int | str, Any]) -> None:
    values = mark(conversations, rows_of(("64", "bursts"), ("x", "x"), ("64", "x")), {})
    interval = summarize(values)["all"]["both"]["all_rules_met"]
    rng = np.random.default_rng(7)
    whole = np.array([2.0, 0.0, 1.0])
    resampled = [whole[rng.integers(0, 3, 3)].sum() / 6 for _ in range(4000)]
    assert (interval["low"], interval["high"]) == pytest.approx(tuple(np.quantile(resampled, [0.025, 0.975])), abs=0.17)


def test_differences_are_paired_by_conversation(conversations: dict[int | str, Any]) -> None:
    mine = mark(
        conversations, rows_of(("64", "bursts"), ("64", "bursts"), ("x", "x")), {"a-1": [{"score": 100}, {"score": 75}]}
    )
    theirs = mark(
        conversations, rows_of(("64", "x"), ("x", "bursts"), ("x", "x")), {"a-1": [{"score": 50}, {"score": None}]}
    )
    difference = compare(mine, json.loads(json.dumps(theirs)))["all"]
    assert difference["turn_1"]["rules_met"]["mean"] == pytest.approx(1 / 6)
    assert difference["turn_2"]["all_rules_met"]["mean"] == pytest.approx(1 / 3)
    assert difference["both"]["score"] == {"mean": 50.0, "low": 50.0, "high": 50.0, "answers": 1}
    same = compare(mine, mine)["all"]["both"]["rules_met"]
    assert (same["mean"], same["low"], same["high"]) == (0, 0, 0)


def test_only_conversations_of_both_are_compared(conversations: dict[int | str, Any]) -> None:
    values = mark(conversations, rows_of(("64", "bursts"), ("64", "bursts"), ("x", "x")), {})
    assert list(compare(values, values[:1])) == ["all", "a"]
    assert compare(values[1:], values)["all"]["conversations"] == 2


@pytest.mark.parametrize(
    "others",
    [
        None,
        3,
        ["x"],
        [{"key": "a-1"}],
        [{"key": "a-1", "turns": [{"rules": [True, True], "score": None}]}],
        [{"key": "a-1", "turns": [{"rules": [True], "score": None}] * 2}],
        [{"key": "a-1", "turns": [{"rules": [True, True], "score": "good"}, {"rules": [True], "score": None}]}],
    ],
)
def test_what_is_not_a_result_is_refused(conversations: dict[int | str, Any], others: Any) -> None:
    values = mark(conversations, rows_of(("64", "b"), ("x", "x"), ("x", "x")), {"a-1": [{"score": 25}, {"score": 25}]})
    with pytest.raises(ResultUnusable, match="not one that `eval multiturn --json` wrote"):
        compare(values, others)


def test_results_without_a_conversation_in_common_are_refused(conversations: dict[int | str, Any]) -> None:
    values = mark(conversations, rows_of(("64", "b"), ("x", "x"), ("x", "x")), {})
    with pytest.raises(ResultUnusable, match="other conversations"):
        compare(values[:1], values[1:])
