"""serve.evaluation.model.ifeval: prompts are checked before they are asked; the four accuracies are counted by hand."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from rag.command_line import write_jsonl
from rag.errors import QuestionsUnusable
from serve.evaluation.asking.client import Endpoint, Model
from serve.evaluation.errors import EndpointRefused
from serve.evaluation.model.ifeval import Prompt, ask_prompt, read_prompts, summarize, try_checks
from serve.evaluation.model.ifeval_checker import Check, load_checker
from tests.fake_openai import FakeOpenAI, chat_answer
from tests.rows import for_each

NO_COMMA: dict[str, Any] = {
    "key": 1,
    "prompt": "No commas.",
    "instruction_id_list": ["punctuation:no_comma"],
    "kwargs": [{}],
}
TWO: dict[str, Any] = {
    "key": "b",
    "prompt": "Small letters and a title.",
    "instruction_id_list": ["change_case:english_lowercase", "detectable_format:title"],
    "kwargs": [{"num_words": None}, {}],  # the data set as the hub has it fills in every value that there could be
}


@pytest.fixture(scope="module")
def check() -> Check:
    return load_checker()


def write(path: Path, *rows: dict[str, Any]) -> Path:
    write_jsonl(path, rows)
    return path


def test_prompts_are_read_in_ifevals_own_format(tmp_path: Path) -> None:
    prompts = read_prompts(write(tmp_path / "p.jsonl", NO_COMMA, TWO))
    assert prompts == {1: Prompt(**NO_COMMA), "b": Prompt(**TWO)}


@for_each(
    ("change", "problem"),
    [
        ({"key": None}, '"key" is not a whole number or text'),
        ({"prompt": 3}, '"prompt" is not text'),
        ({"instruction_id_list": []}, '"instruction_id_list" is not a list of names'),
        ({"instruction_id_list": [3]}, '"instruction_id_list" is not a list of names'),
        ({"kwargs": []}, '"kwargs" does not hold an object for each of the 1 instructions'),
        ({"kwargs": ["x"]}, '"kwargs" does not hold an object for each of the 1 instructions'),
    ],
)
def test_a_bad_line_is_reported(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    path = write(tmp_path / "p.jsonl", TWO, NO_COMMA | change)
    with pytest.raises(QuestionsUnusable) as caught:
        read_prompts(path)
    assert str(caught.value) == f"{path}: line 2: {problem}"


def test_prompts_that_cannot_be_checked_are_found_before_they_are_asked(check: Check) -> None:
    bad = [
        Prompt(1, "x", ["punctuation:no_dots"], [{}]),
        Prompt(2, "x", ["punctuation:no_comma"], [{"num_words": 3}]),
        Prompt(3, "x", ["length_constraints:number_words"], [{"relation": "about", "num_words": 3}]),
    ]
    with pytest.raises(QuestionsUnusable) as caught:
        try_checks({prompt.key: prompt for prompt in [Prompt(**NO_COMMA), *bad]}, check, "p.jsonl")
    problems = str(caught.value).split("; ")
    assert len(problems) == 3
    assert problems[0] == "p.jsonl: prompt 1: there is no check for 'punctuation:no_dots'"
    assert problems[1].startswith("prompt 2: its checks refuse their values (TypeError: ")
    assert problems[2].startswith("prompt 3: its checks refuse their values (ValueError: ")


def test_the_accuracies_are_those_counted_by_hand(check: Check) -> None:
    prompts: dict[int | str, Prompt] = {1: Prompt(**NO_COMMA), "b": Prompt(**TWO), 3: Prompt(**NO_COMMA | {"key": 3})}
    responses: dict[int | str, str] = {
        1: "Sure, with pleasure:\nhold slack is fine",  # followed but for its first line: loose alone
        # A title, but not in small letters: one of two, strict and loose
        "b": "<<the clock>> The clock arrives late at the register.",
        3: "no commas here at all",
    }
    summary = summarize(prompts, responses, check)
    assert {name: value["mean"] for name, value in summary["measures"].items()} == {
        "prompt_level_strict_acc": pytest.approx(1 / 3),
        "inst_level_strict_acc": pytest.approx(2 / 4),
        "prompt_level_loose_acc": pytest.approx(2 / 3),
        "inst_level_loose_acc": pytest.approx(3 / 4),
    }
    assert summary["values"][0] == {"key": 1, "strict": [False], "loose": [True]}
    assert summary["values"][1]["strict"] == summary["values"][1]["loose"] == [False, True]
    assert summary["values"][2] == {"key": 3, "strict": [True], "loose": [True]}
    assert summary["kinds"]["punctuation"] == {"instructions": 2, "strict": 1, "loose": 2}
    assert list(summary["kinds"]) == ["change_case", "detectable_format", "punctuation"]
    assert all(0 <= value["low"] <= value["mean"] <= value["high"] <= 1 for value in summary["measures"].values())


def ask(url: str) -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        async with Endpoint(url) as endpoint:
            return await ask_prompt(endpoint, Model("demo", None, None), Prompt(**NO_COMMA), 64)

    return asyncio.run(run())


def test_a_prompt_is_asked_at_temperature_0_as_it_stands() -> None:
    with FakeOpenAI(lambda path, body: (200, chat_answer("fine", "length"))) as server:
        assert ask(server.url) == {"response": "fine", "finish_reason": "length", "tokens": 7}
    message = {"role": "user", "content": "No commas."}
    assert server.requests == [
        ("/v1/chat/completions", {"model": "demo", "messages": [message], "temperature": 0, "max_tokens": 64})
    ]


def test_an_answer_without_text_is_an_empty_one() -> None:
    with FakeOpenAI(lambda path, body: (200, chat_answer(None))) as server:
        assert ask(server.url)["response"] == ""


def test_the_gateway_is_refused_since_it_adds_passages() -> None:
    with (
        FakeOpenAI(lambda path, body: (200, chat_answer("x") | {"retrieval": {"hits": []}})) as server,
        pytest.raises(EndpointRefused, match="gateway"),
    ):
        ask(server.url)


@for_each(
    "answer",
    [
        {},
        {"choices": []},
        {"choices": [{}]},
        {"choices": 3},
        {"choices": ["x"]},
        {"choices": [{"message": None}]},
        chat_answer([1]),
    ],
)
def test_an_answer_of_another_form_is_refused(answer: dict[str, Any]) -> None:
    with (
        FakeOpenAI(lambda path, body: (200, answer)) as server,
        pytest.raises(EndpointRefused, match="gives no chat completion"),
    ):
        ask(server.url)
