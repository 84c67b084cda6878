"""A model's words over HTTP: loops cut, in auto only what the passages support with the quotes beneath, and an engine
that dies is survived.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from rag.answering.wording import QUOTES_LEAD, STOPPED
from serve.tokens.counter import TokenCounter
from tests.conftest import Gateway, free_port
from tests.fake_engine import EngineScript, FakeEngine

ANTENNA = "Which command fixes antenna violations?"
RIGHT = "Antenna violations are fixed with the command `repair_antennas`."
WRONG = "Antenna violations are fixed with `optimise_gates -all`."
DENIAL = "The context does not say which command fixes them."


@pytest.fixture(scope="module")
def auto(gateway_at: Gateway, shared_engine: FakeEngine) -> Iterator[str]:
    with gateway_at(shared_engine.url, answer="auto") as url:
        yield url


def post(url: str, question: str = ANTENNA, **fields: Any) -> httpx.Response:
    body = {"messages": [{"role": "user", "content": question}], **fields}
    return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=30)


def read_stream(text: str) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """The whole text of a stream, its last delta, and its chunks."""
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    chunks = [json.loads(line) for line in lines[:-1]]
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == ["stop"]
    return "".join(choice["delta"].get("content") or "" for choice in choices), choices[-1]["delta"], chunks


def quotes_of(url: str) -> str:
    """The answer in quotes alone."""
    content: str = post(url, retrieval={"answer": "quote"}).json()["choices"][0]["message"]["content"]
    return content


def evidence_of(answer: dict[str, Any], sentence: dict[str, Any]) -> list[str]:
    """What supports a sentence, in the words of the passages."""
    texts = {hit["number"]: hit["text"] for hit in answer["retrieval"]["hits"]}
    return [texts[place["number"]][place["start"] : place["end"]] for place in sentence["evidence"]]


def test_in_auto_supported_sentences_stand_above_the_quotes(auto: str, engine: FakeEngine) -> None:
    engine.script = EngineScript(answer=(f"{WRONG} ", f"{RIGHT} ", DENIAL))
    answer = post(auto).json()
    message = answer["choices"][0]["message"]
    assert message["content"] == f"{RIGHT}\n\n{QUOTES_LEAD}\n\n{quotes_of(auto)}"
    assert answer["usage"] == {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    found = message["verification"]
    assert (found["mode"], found["dropped"], found["unknown_names"], found["stopped"]) == ("auto", 2, [], False)
    first, *others = found["sentences"]
    assert message["content"][first["start"] : first["end"]] == RIGHT
    assert first["passages"] == [1]
    assert {answer["retrieval"]["quotes"][index]["number"] for index in first["quotes"]} == {1}
    assert all("repair_antennas" in text for text in evidence_of(answer, first))
    assert others
    assert all(one["supported"] for one in found["sentences"])
    for annotation in message["annotations"]:
        assert annotation["type"] == "url_citation"
        assert (
            0
            <= annotation["url_citation"]["start_index"]
            < annotation["url_citation"]["end_index"]
            <= len(message["content"])
        )


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_stream_in_auto_says_the_same(auto: str, engine: FakeEngine, size: int) -> None:
    text = f"{WRONG} {RIGHT} [1][2]\n\n- {RIGHT}\n- {WRONG}\n\n```tcl\nrepair_antennas\n```\n{DENIAL}"
    engine.script = EngineScript(answer=tuple(text[at : at + size] for at in range(0, len(text), size)))
    message = post(auto).json()["choices"][0]["message"]
    streamed, last, chunks = read_stream(post(auto, stream=True).text)
    assert streamed == message["content"]
    assert last["verification"] == message["verification"]
    assert last["annotations"] == message["annotations"]
    assert chunks[0]["retrieval"]["quotes"]
    assert WRONG not in streamed
    assert streamed.startswith(f"{RIGHT} [1]\n\n- {RIGHT}\n\n```tcl\nrepair_antennas\n```\n\n{QUOTES_LEAD}")
    assert [(one["language"], one["verdict"]) for one in last["verification"]["code"]] == [("tcl", "ok")]


def test_when_nothing_is_supported_the_quotes_stand_alone(auto: str, engine: FakeEngine) -> None:
    engine.script = EngineScript(answer=(WRONG, " ", DENIAL))
    message = post(auto).json()["choices"][0]["message"]
    assert message["content"] == quotes_of(auto)
    engine.script = EngineScript(answer=("",))  # a model that says nothing at all
    assert post(auto).json()["choices"][0]["message"]["content"] == quotes_of(auto)
    assert message["verification"]["dropped"] == 2


def test_thoughts_are_not_part_of_an_answer_in_auto(auto: str, engine: FakeEngine) -> None:
    engine.script = EngineScript(answer=("<th", f"ink>{RIGHT} So it is", ".</thi", "nk>", f"\n{RIGHT}"))
    message = post(auto).json()["choices"][0]["message"]
    assert message["content"] == f"{RIGHT}\n\n{QUOTES_LEAD}\n\n{quotes_of(auto)}"
    engine.script = EngineScript(answer=(f"<think>{RIGHT} So it",))
    assert post(auto).json()["choices"][0]["message"]["content"] == quotes_of(auto)


@pytest.mark.parametrize("failure", [{"cut_after": 2}, {"error_after": 2}], ids=["closed", "error"])
def test_an_engine_that_dies_leaves_what_passed_and_the_quotes(
    auto: str, engine: FakeEngine, failure: dict[str, int]
) -> None:
    engine.script = EngineScript(answer=(f"{RIGHT} ", "Then half a sent", "ence."), **failure)  # type: ignore[arg-type]
    text, last, chunks = read_stream(post(auto, stream=True).text)
    assert text == f"{RIGHT}\n\n{STOPPED}\n\n{QUOTES_LEAD}\n\n{quotes_of(auto)}"
    assert last["verification"]["stopped"] is True
    assert len({chunk["id"] for chunk in chunks}) == 1


def test_an_engine_that_dies_before_a_sentence_leaves_the_quotes_alone(auto: str, engine: FakeEngine) -> None:
    engine.script = EngineScript(cut_after=1)
    assert read_stream(post(auto, stream=True).text)[0] == quotes_of(auto)
    engine.script = EngineScript(refusal=(500, "out of memory"))
    assert read_stream(post(auto, stream=True).text)[0] == quotes_of(auto)
    assert post(auto).json()["choices"][0]["message"]["content"] == quotes_of(auto)


def test_what_the_engine_refuses_of_a_request_is_refused_in_auto_too(auto: str, engine: FakeEngine) -> None:
    engine.script = EngineScript(refusal=(400, "temperature must be in [0, 2]"))
    assert post(auto).status_code == 400
    assert post(auto, stream=True).status_code == 400


def test_an_engine_that_is_down_leaves_the_quotes(gateway_at: Gateway) -> None:
    with gateway_at(f"http://127.0.0.1:{free_port()}", answer="auto") as url:
        whole = post(url).json()["choices"][0]["message"]
        assert whole["content"] == quotes_of(url)
        text, last, _ = read_stream(post(url, stream=True).text)
        assert (text, last["verification"]) == (whole["content"], whole["verification"])
        assert (
            post(url, "hello!").status_code == 503
        )  # nothing is searched for a greeting, so there is nothing to quote


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 2},
        {"stop": ["x"]},
        {"logprobs": True},
        {"response_format": {"type": "json_object"}},
    ],
    ids=["n", "stop", "logprobs", "json"],
)
def test_text_that_the_request_shapes_is_checked_and_never_changed(
    auto: str, engine: FakeEngine, fields: dict[str, Any]
) -> None:
    looping = f"{WRONG} " * 12
    engine.script = EngineScript(answer=(looping,))
    message = post(auto, **fields).json()["choices"][0]["message"]
    assert message["content"] == looping
    found = message["verification"]
    assert (found["mode"], found["looped"], found["unknown_names"]) == ("model", False, ["optimise_gates", "-all"])
    assert not any(one["supported"] for one in found["sentences"])


def test_in_model_mode_the_text_stays_and_unsupported_sentences_are_marked(gateway: str, engine: FakeEngine) -> None:
    engine.script = EngineScript(answer=(f"{RIGHT} [1][2] {WRONG}",))
    answer = post(gateway).json()
    message = answer["choices"][0]["message"]
    assert message["content"] == f"{RIGHT} [1][2] {WRONG}"
    right, wrong = message["verification"]["sentences"]
    assert (right["supported"], wrong["supported"]) == (True, False)
    assert {place["number"] for place in right["evidence"]} == {1}
    assert all("repair_antennas" in text for text in evidence_of(answer, right))
    assert wrong["evidence"] == []
    [annotation] = message["annotations"]
    assert annotation["number"] == 1
    where = annotation["url_citation"]
    assert message["content"][where["start_index"] : where["end_index"]] == "[1]"


def test_a_loop_is_never_shown_streamed_or_not(gateway: str, engine: FakeEngine) -> None:
    engine.script = EngineScript(answer=tuple(f"{word} " for word in (f"{RIGHT} " * 30).split()))
    message = post(gateway).json()["choices"][0]["message"]
    assert message["content"] == RIGHT
    text, last, _ = read_stream(post(gateway, stream=True).text)
    assert text.rstrip() == RIGHT
    assert last["verification"]["looped"] is message["verification"]["looped"] is True
    text, _, chunks = read_stream(post(gateway, stream=True, stream_options={"include_usage": True}).text)
    assert text.rstrip() == RIGHT
    assert chunks[-1]["usage"] == {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}


def test_a_client_is_not_made_to_wait_for_the_rest_of_a_loop(gateway: str, engine: FakeEngine) -> None:
    words = tuple(f"{word} " for word in (f"{RIGHT} " * 30).split())
    engine.script = EngineScript(answer=words, hold_after=len(words) - 1)
    assert read_stream(post(gateway, stream=True).text)[0].rstrip() == RIGHT  # the engine never comes to its end


def test_in_quote_mode_each_quote_is_its_own_support(gateway: str) -> None:
    answer = post(gateway, retrieval={"answer": "quote"}).json()
    message = answer["choices"][0]["message"]
    found = message["verification"]
    assert found["mode"] == "quote"
    assert found["unknown_names"] == found["code"] == []
    shown = [index for one in found["sentences"] for index in one["quotes"]]
    assert sorted(shown) == list(range(len(answer["retrieval"]["quotes"])))
    places = [text for one in found["sentences"] for text in evidence_of(answer, one)]
    assert sorted(places) == sorted(quote["text"] for quote in answer["retrieval"]["quotes"])
    for one in found["sentences"]:
        assert one["supported"]
        assert one["score"] == 1.0
        assert message["content"][one["start"] : one["end"]].startswith("**notes")


def test_where_nothing_was_searched_nothing_is_held_against_the_answer(gateway: str, engine: FakeEngine) -> None:
    engine.script = EngineScript(answer=("Hello there, `some_name` and ```tcl\nputs {\n```\n",))
    found = post(gateway, "hello!").json()["choices"][0]["message"]["verification"]
    assert found["sentences"] == found["unknown_names"] == []


def test_a_refusal_of_the_gateway_has_nothing_to_be_supported(auto: str) -> None:
    answer = post(auto, "Which bus goes to the football stadium in Madrid?").json()
    assert answer["retrieval"]["refused"]
    assert answer["choices"][0]["message"]["verification"]["sentences"] == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("engine_is", ["up", "down"])
def test_in_auto_the_longest_answer_holds_for_prose_and_quotes_together(
    auto: str, engine: FakeEngine, counter: TokenCounter, stream: bool, engine_is: str
) -> None:
    engine.script = EngineScript(answer=(f"{RIGHT} ", DENIAL), refusal=(503, "no") if engine_is == "down" else None)
    whole = post(auto).json()["choices"][0]["message"]["content"]
    for longest in (5, 30, 1000):
        answer = post(auto, max_tokens=longest, stream=stream)
        if stream:
            data = [json.loads(part[6:]) for part in answer.text.split("\n\n") if part.startswith("data: {")]
            choices = [choice for chunk in data for choice in chunk["choices"]]
            text = "".join(choice["delta"].get("content") or "" for choice in choices)
            reason, notes = choices[-1]["finish_reason"], choices[-1]["delta"]["annotations"]
        else:
            choice = answer.json()["choices"][0]
            text, reason, notes = (
                choice["message"]["content"],
                choice["finish_reason"],
                choice["message"]["annotations"],
            )
        assert whole.startswith(text)
        assert reason == ("stop" if text == whole else "length")
        assert all(0 <= note["url_citation"]["start_index"] < len(text) for note in notes)
        # The fake engine itself knows no limit
        assert counter.count_text(text) <= longest or text == f"{RIGHT} ".rstrip()
