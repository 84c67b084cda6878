"""The documents answer in their own words: over HTTP, without an engine, the same each time, and only where that is
what was asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from safetensors.numpy import save_file

from rag.formats.parser import parse_document
from rag.index.building import build_index
from rag.search.retriever import Retriever
from rag.settings import RagSettings
from serve.answers.upstream import Upstream
from serve.errors import SettingsError
from serve.evaluation.answers.calibration import Calibration, identify_checkpoint
from serve.gateway.gateway import Gateway
from serve.running.weights import SMALL_BYTES, AnswerChoice, choose_answer
from serve.settings import ServeSettings
from serve.tokens.counter import TokenCounter
from tests.conftest import Gateway as RunGateway
from tests.conftest import free_port
from tests.fake_engine import FakeEngine
from tests.rows import for_each
from tests.test_rag_answering_unknown_options import MANUAL
from tests.tiny_embedder import TinyEmbedder

ANTENNA = "Which command fixes antenna violations?"
NOTHING = "What is the best recipe for tomato soup?"


@pytest.fixture(scope="module")
def quoting(gateway_at: RunGateway) -> Iterator[str]:
    """A gateway that quotes, before an engine that is not there."""
    with gateway_at(f"http://127.0.0.1:{free_port()}", answer="quote") as url:
        yield url


def ask(url: str, question: str = ANTENNA, **fields: Any) -> httpx.Response:
    body = {"messages": [{"role": "user", "content": question}], **fields}
    return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=30)


@pytest.mark.parametrize(
    "question", [ANTENNA, "Which command makes the power grid, and which one repairs hold violations?"]
)
def test_the_answers_first_passage_is_number_one(quoting: str, question: str) -> None:
    answer = ask(quoting, question).json()
    numbers = [quote["number"] for quote in answer["retrieval"]["quotes"]]
    assert list(dict.fromkeys(numbers)) == list(range(1, max(numbers) + 1))
    assert answer["choices"][0]["message"]["content"].split("[", 1)[1].startswith("1]")


@pytest.fixture
def manual(tmp_path: Path) -> Retriever:
    settings = RagSettings(home=Path("unused"))
    build_index(
        [parse_document("router", "manual.md", "Router", MANUAL, None, "ISC")], tmp_path, settings, TinyEmbedder()
    )
    return Retriever.open_with(TinyEmbedder(), tmp_path, settings)


@pytest.mark.parametrize("answer_by", ["quote", "auto"])
def test_who_asks_for_a_commands_options_gets_each_of_them(
    gateway_at: RunGateway, engine: FakeEngine, manual: Retriever, answer_by: str
) -> None:
    with gateway_at(engine.url, store=manual, answer=answer_by) as url:
        answer = ask(url, "List all options of route_nets").json()
    message, retrieval = answer["choices"][0]["message"], answer["retrieval"]
    assert ("`-layers`" in message["content"], "`-verbose`" in message["content"]) == (True, True)
    assert [quote["kind"] for quote in retrieval["quotes"]] == ["code", "row", "row"]
    assert (retrieval["refused"], len(retrieval["hits"])) == (False, 1)


@pytest.mark.parametrize("answer_by", ["quote", "model", "auto"])
def test_an_option_that_no_document_gives_the_command_is_denied_in_every_mode(
    gateway_at: RunGateway, engine: FakeEngine, manual: Retriever, answer_by: str
) -> None:
    with gateway_at(engine.url, store=manual, answer=answer_by) as url:
        question = "route_nets -timing_driven: which weight?"
        answer = ask(url, question).json()
        as_json = ask(url, question, response_format={"type": "json_object"})
    message, retrieval = answer["choices"][0]["message"], answer["retrieval"]
    assert message["content"].startswith("The indexed documents give `route_nets` no option `-timing_driven`.")
    assert (retrieval["refused"], len(retrieval["hits"]), retrieval["quotes"]) == (True, 1, [])
    assert message["annotations"][0]["url_citation"]["title"] == "Router"
    assert (as_json.status_code, as_json.json()["error"]["message"]) == (422, message["content"])
    assert engine.bodies == []


def test_the_answer_is_the_documents_words_with_their_place(quoting: str) -> None:
    answer = ask(quoting).json()
    message, retrieval = answer["choices"][0]["message"], answer["retrieval"]
    assert message["content"].startswith(
        "**notes › Antenna repair** [1]\n\n> Antenna violations are fixed with the command `repair_antennas`"
    )
    for quote in retrieval["quotes"]:
        text = retrieval["hits"][quote["number"] - 1]["text"]
        assert text[quote["start"] : quote["end"]] == quote["text"]
        assert quote["text"] in message["content"].replace("\n> ", "\n")


def test_each_citation_spans_what_it_quotes(quoting: str) -> None:
    answer = ask(quoting, "Which command makes the power grid, and which one repairs antenna violations?").json()
    message = answer["choices"][0]["message"]
    assert len(message["annotations"]) >= 2
    for annotation in message["annotations"]:
        where = annotation["url_citation"]
        quoted = message["content"][where["start_index"] : where["end_index"]]
        assert quoted.startswith(f"**notes › {where['title']}** [{annotation['number']}]")


def test_a_stream_says_the_same(quoting: str) -> None:
    lines = [line.removeprefix("data: ") for line in ask(quoting, stream=True).text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    chunks = [json.loads(line) for line in lines[:-1]]
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    whole = ask(quoting).json()
    assert text == whole["choices"][0]["message"]["content"]
    assert chunks[0]["retrieval"]["quotes"] == whole["retrieval"]["quotes"]
    assert chunks[-1]["choices"][0]["delta"]["annotations"] == whole["choices"][0]["message"]["annotations"]


def test_two_requests_have_the_same_answer(quoting: str) -> None:
    one, other = (ask(quoting).json()["choices"] for _ in range(2))
    assert one == other


def test_what_no_document_holds_is_refused_as_ever(quoting: str) -> None:
    answer = ask(quoting, "Which bus goes to the football stadium in Madrid?").json()
    assert "found nothing" in answer["choices"][0]["message"]["content"]
    assert answer["retrieval"]["quotes"] == []


@for_each(
    "fields",
    [
        {"retrieval": {"answer": "model"}},
        {"retrieval": {"enabled": False}},
        {"tools": [{"type": "function", "function": {"name": "look"}}], "tool_choice": "required"},
        {"response_format": {"type": "json_object"}},
        {"model": "another-model"},
    ],
)
def test_what_only_a_model_can_do_is_not_quoted(quoting: str, fields: dict[str, Any]) -> None:
    answer = ask(quoting, **fields)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "engine_unavailable")


def test_clients_find_the_model_while_the_engine_is_not_there(quoting: str) -> None:
    names = [model["id"] for model in httpx.get(f"{quoting}/v1/models").json()["data"]]
    assert names == ["chipalign-demo", "chipalign-demo-plain", "chipalign-demo@notes"]


def test_a_greeting_goes_to_the_model(gateway_at: RunGateway, shared_engine: FakeEngine) -> None:
    with gateway_at(shared_engine.url, answer="quote") as url:
        assert ask(url, "hello!").json()["choices"][0]["message"]["content"] == "Run `repair_antennas` [1]."


def test_a_request_can_ask_for_quotes_where_the_model_answers(
    gateway_at: RunGateway, shared_engine: FakeEngine
) -> None:
    with gateway_at(shared_engine.url) as url:
        assert ask(url).json()["retrieval"]["quotes"] == []
        assert ask(url, retrieval={"answer": "quote"}).json()["retrieval"]["quotes"]


def test_a_request_that_leaves_it_open_is_answered_as_the_gateway_does(quoting: str) -> None:
    assert ask(quoting, retrieval={"answer": "auto"}).json()["retrieval"]["quotes"]


def test_a_wrong_way_to_answer_is_named() -> None:
    with pytest.raises(SettingsError, match="CHIPALIGN_ANSWER is 'prose': give one of auto, quote, model"):
        ServeSettings.from_env({"CHIPALIGN_ANSWER": "prose"})


def test_a_wrong_way_to_answer_in_a_request_is_named(quoting: str) -> None:
    answer = ask(quoting, retrieval={"answer": "prose"})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "retrieval.answer"


def test_a_small_model_lets_the_documents_answer(tmp_path: Path) -> None:
    save_file({"w": np.zeros(4, dtype=np.float32)}, tmp_path / "model.safetensors")
    assert choose_answer("auto", tmp_path) == "quote"
    assert choose_answer("model", tmp_path) == "model"
    with (tmp_path / "model.safetensors").open("r+b") as weights:
        weights.truncate(SMALL_BYTES)  # of zeros, which take no room on disk
    assert choose_answer("auto", tmp_path) == "auto"


def test_a_model_whose_weights_lie_elsewhere_words_its_answers(tmp_path: Path) -> None:
    assert choose_answer("auto", tmp_path) == "auto"
    assert choose_answer("quote", tmp_path) == "quote"


def test_a_calibration_of_this_checkpoint_decides_and_another_ones_does_not(tmp_path: Path) -> None:
    save_file({"w": np.zeros(4, dtype=np.float32)}, tmp_path / "model.safetensors")
    choice = AnswerChoice("auto", tmp_path)
    assert choice.mode() == "quote"
    better = Calibration(0.2, 0.8, 30, "ours", "2026-11-29", identify_checkpoint(tmp_path), "i", {})
    better.save(tmp_path)
    assert choice.mode() == "auto", "it is found while the gateway runs"
    assert "0.80" in choice.explain()[1]
    replace(better, checkpoint="another's").save(tmp_path)
    assert AnswerChoice("auto", tmp_path).mode() == "quote"
    assert AnswerChoice("quote", tmp_path).mode() == "quote"


def test_a_running_gateway_answers_as_is_chosen_now(small_retriever: Retriever, counter: TokenCounter) -> None:
    modes = ["model"]
    settings = ServeSettings(answer="model")
    gateway = Gateway(settings, lambda: small_retriever, counter, Upstream(settings), choose_answer=lambda: modes[0])
    gateway.follow_choice()
    assert gateway.settings is settings
    modes[0] = "quote"
    gateway.follow_choice()
    assert gateway.settings.answer == "quote"


@pytest.mark.parametrize("question", [ANTENNA, NOTHING, "Is there an option -fast of repair_timing?"])
@pytest.mark.parametrize("stream", [False, True])
def test_the_longest_answer_and_the_number_of_answers_hold_without_an_engine(
    quoting: str, question: str, stream: bool
) -> None:
    whole = ask(quoting, question).json()
    fields = {"max_completion_tokens": 7, "n": 2, "stream": stream, "stream_options": {"include_usage": True}}
    answer = ask(quoting, question, **(fields if stream else {**fields, "stream_options": None}))
    texts, reasons, notes, usage = read_choices(answer, stream)
    assert texts[0] == texts[1]
    assert whole["choices"][0]["message"]["content"].startswith(texts[0])
    assert reasons == ["length", "length"]
    assert usage["completion_tokens"] == 14
    assert all(note["url_citation"]["end_index"] <= len(texts[0]) for note in notes)


def read_choices(answer: httpx.Response, stream: bool) -> tuple[list[str], list[str], list[dict[str, Any]], Any]:
    """Texts and reasons of two choices, the annotations of the last, and the token counts."""
    if not stream:
        body = answer.json()
        messages = [choice["message"] for choice in body["choices"]]
        reasons = [choice["finish_reason"] for choice in body["choices"]]
        return [message["content"] for message in messages], reasons, messages[-1]["annotations"], body["usage"]
    *data, done = (part.removeprefix("data: ") for part in answer.text.split("\n\n") if part)
    assert done == "[DONE]"
    chunks = [json.loads(each) for each in data]
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    texts = ["".join(each["delta"].get("content") or "" for each in choices if each["index"] == n) for n in (0, 1)]
    reasons = [each["finish_reason"] for each in choices if each["finish_reason"]]
    return texts, reasons, choices[-1]["delta"]["annotations"], chunks[-1]["usage"]


@pytest.mark.parametrize(
    ("fields", "end", "reason"),
    [
        ({"stop": "documents"}, "documents", "stop"),
        ({"stop": ["never said", "so I", "documents"]}, "documents", "stop"),
        ({"stop": ["I found"]}, "I found", "stop"),
        ({"stop": ["never said", ""]}, None, "stop"),
        ({"stop": "documents", "max_tokens": 2}, "nothing", "length"),
        ({"max_tokens": 1000}, None, "stop"),
    ],
)
def test_a_refusal_stops_where_the_request_says(quoting: str, fields: Any, end: str | None, reason: str) -> None:
    said = ask(quoting, NOTHING).json()["choices"][0]["message"]["content"]
    choice = ask(quoting, NOTHING, **fields).json()["choices"][0]
    assert choice["message"]["content"] == (said if end is None else said[: said.index(end)])
    assert choice["finish_reason"] == reason
