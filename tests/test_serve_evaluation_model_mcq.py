"""serve.evaluation.model.mcq: likelihoods are added over a choice's own tokens, and accuracies are those of
lm-eval's rules, counted by hand.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.command_line import write_jsonl
from rag.errors import QuestionsUnusable
from serve.evaluation.asking.client import Endpoint, Model
from serve.evaluation.errors import EndpointRefused
from serve.evaluation.model.mcq import Question, add_logprobs, ask_question, choose, read_questions, summarize
from tests.fake_openai import FakeOpenAI, likelihood_answer
from tests.rows import for_each

ROW = {
    "id": "q1",
    "domain": "flow",
    "question": "What follows placement?",
    "choices": ["CTS", "synthesis"],
    "answer": 0,
    "source": {"x": 1},
}


def write(path: Path, *rows: dict[str, Any]) -> Path:
    write_jsonl(path, rows)
    return path


def test_questions_are_read(tmp_path: Path) -> None:
    assert read_questions(write(tmp_path / "q.jsonl", ROW)) == {
        "q1": Question("q1", "flow", "What follows placement?", ["CTS", "synthesis"], 0)
    }


@for_each(
    ("change", "problem"),
    [
        ({"id": 1.5}, '"id" is not a whole number or text'),
        ({"domain": None}, '"domain" is not text'),
        ({"question": []}, '"question" is not text'),
        ({"choices": ["one"]}, '"choices" is not a list of two or more texts'),
        ({"choices": ["one", " "]}, '"choices" is not a list of two or more texts'),
        ({"choices": ["one", 2]}, '"choices" is not a list of two or more texts'),
        ({"choices": ["one", "one"]}, '"choices" holds the same text twice'),
        ({"answer": True}, '"answer" is not a whole number'),
        ({"answer": 2}, '"answer" is 2, which is the index of none of the 2 choices: they count from 0'),
        ({"answer": -1}, '"answer" is -1, which is the index of none of the 2 choices: they count from 0'),
    ],
)
def test_a_bad_line_is_reported(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    path = write(tmp_path / "q.jsonl", ROW | {"id": "other"}, ROW | change)
    with pytest.raises(QuestionsUnusable) as caught:
        read_questions(path)
    assert str(caught.value) == f"{path}: line 2: {problem}"


def ask(url: str, question: Question) -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        async with Endpoint(url) as endpoint:
            return await ask_question(endpoint, Model("demo", None, None), question)

    return asyncio.run(run())


def test_a_choices_likelihood_is_that_of_its_own_tokens_after_the_question() -> None:
    question = Question(1, "flow", "Q?", ["ab", "cde"], 0)
    context = "Question: Q?\nAnswer:"
    with FakeOpenAI(
        lambda path, body: (200, likelihood_answer(body, lambda prompt, place: -(place + len(prompt) / 100)))
    ) as server:
        row = ask(server.url, question)
    first = len(context)  # a token is a character there: " ab" are the places first to first + 2
    expected = [
        -sum(range(first, first + 3)) - 3 * (first + 3) / 100,
        -sum(range(first, first + 4)) - 4 * (first + 4) / 100,
    ]
    assert row["loglikelihoods"] == pytest.approx(expected)
    assert row["tokens"] == [3, 4]
    ((path, body),) = server.requests
    assert path == "/v1/completions"
    assert body["prompt"] == [context, context + " ab", context + " cde"]
    assert (body["prompt_logprobs"], body["return_token_ids"], body["temperature"]) == (0, True, 0)


@for_each(
    "change",
    [
        lambda answer: {},
        lambda answer: {"choices": answer["choices"][:-1]},
        lambda answer: {
            "choices": [
                {name: value for name, value in choice.items() if name != "prompt_logprobs"}
                for choice in answer["choices"]
            ]
        },
        lambda answer: {"choices": [choice | {"prompt_token_ids": None} for choice in answer["choices"]]},
        lambda answer: {
            "choices": [choice | {"prompt_logprobs": choice["prompt_logprobs"][:-1]} for choice in answer["choices"]]
        },
        lambda answer: {
            "choices": [
                choice | {"prompt_logprobs": [None] * len(choice["prompt_token_ids"])} for choice in answer["choices"]
            ]
        },
    ],
)
def test_a_server_that_reports_no_likelihoods_is_refused(change: Any) -> None:
    with (
        FakeOpenAI(lambda path, body: (200, change(likelihood_answer(body, lambda prompt, place: -1.0)))) as server,
        pytest.raises(EndpointRefused, match="gives no prompt_logprobs"),
    ):
        ask(server.url, Question(1, "flow", "Q?", ["ab", "cde"], 0))


def test_a_prompt_of_no_more_tokens_than_its_context_has_no_likelihood() -> None:
    with pytest.raises(ValueError, match="no token"):
        add_logprobs([1, 2], [None, {"2": {"logprob": -1.0}}], 2)


def test_the_longer_choice_wins_per_character_alone() -> None:
    # -6 / 3 = -2 a character against -8 / 8 = -1: the second is likelier per character, the first as a whole
    assert choose([-6.0, -8.0], ["abc", "abcdefgh"], normalised=False) == 0
    assert choose([-6.0, -8.0], ["abc", "abcdefgh"], normalised=True) == 1


@given(
    st.lists(st.tuples(st.floats(-50, -0.1), st.text("ab", min_size=1, max_size=9)), min_size=2, max_size=5),
    st.booleans(),
)
def test_the_choice_is_numpys_first_greatest(pairs: list[tuple[float, str]], normalised: bool) -> None:
    values, choices = [value for value, _ in pairs], [text for _, text in pairs]
    lengths = np.array([float(len(text)) for text in choices]) if normalised else 1.0
    assert choose(values, choices, normalised=normalised) == int(np.argmax(np.array(values) / lengths))


def test_the_accuracies_are_those_counted_by_hand() -> None:
    questions: dict[int | str, Question] = {
        1: Question(1, "flow", "?", ["abc", "abcdefgh"], 0),
        2: Question(2, "flow", "?", ["abc", "abcdefgh"], 1),
        3: Question(3, "bugs", "?", ["abc", "abcdefgh", "x", "y"], 1),
    }
    summary = summarize(questions, {1: [-6.0, -8.0], 2: [-6.0, -8.0], 3: [-9.0, -8.0, -9.5, -9.9]})
    measures = summary["measures"]
    assert list(measures) == ["all", "bugs", "flow"]
    assert [measures[name]["questions"] for name in measures] == [3, 1, 2]
    assert [measures[name]["acc"]["mean"] for name in measures] == pytest.approx([2 / 3, 1, 1 / 2])
    assert [measures[name]["acc_norm"]["mean"] for name in measures] == pytest.approx([2 / 3, 1, 1 / 2])
    assert [measures[name]["guessing"] for name in measures] == pytest.approx(
        [(1 / 2 + 1 / 2 + 1 / 4) / 3, 1 / 4, 1 / 2]
    )
    assert summary["values"][:2] == [
        {"key": 1, "domain": "flow", "acc": 1, "acc_norm": 0},
        {"key": 2, "domain": "flow", "acc": 0, "acc_norm": 1},
    ]
    assert (measures["all"]["acc"]["low"], measures["all"]["acc"]["high"]) == (0, 1)
