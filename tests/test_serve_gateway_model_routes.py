"""A request says what is searched for it, by its model's name, a header or its own field, over a real socket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import openai
import pytest
from openai.types.model import Model

from rag.errors import IndexUnusable
from tests.conftest import Gateway, OpenAIAt
from tests.fake_engine import ENGINE_MODEL, EngineScript, FakeEngine

QUESTION = "Which command fixes antenna violations?"
ANTENNA: dict[str, Any] = {"messages": [{"role": "user", "content": QUESTION}]}
NOTHING: dict[str, Any] = {"messages": [{"role": "user", "content": "What is the best recipe for tomato soup?"}]}
JSON_MODES: list[dict[str, Any]] = [
    {"type": "json_object"},
    {"type": "json_schema", "json_schema": {"name": "soup", "schema": {"type": "object"}}},
]
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def post(url: str, body: Mapping[str, Any], **more: Any) -> httpx.Response:
    return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=20, **more)


def test_a_model_is_listed_grounded_first_then_plain_then_by_collection(gateway: str) -> None:
    listed = httpx.get(f"{gateway}/v1/models").json()["data"]
    names = [ENGINE_MODEL, f"{ENGINE_MODEL}-plain", f"{ENGINE_MODEL}@notes"]
    assert [Model.model_validate(each).id for each in listed] == names
    assert [each["parent"] for each in listed] == [None, ENGINE_MODEL, ENGINE_MODEL]
    assert [httpx.get(f"{gateway}/v1/models/{name}").json() for name in names] == listed


def test_models_are_listed_while_the_index_cannot_be_searched(gateway_at: Gateway, engine: FakeEngine) -> None:
    def no_index() -> Any:
        raise IndexUnusable("another embedder built it")

    with gateway_at(engine.url, newest=no_index) as url:
        listed = httpx.get(f"{url}/v1/models").json()["data"]
    assert [each["id"] for each in listed] == [ENGINE_MODEL, f"{ENGINE_MODEL}-plain"]


@pytest.mark.parametrize(
    ("name", "searched"), [(ENGINE_MODEL, True), (f"{ENGINE_MODEL}-plain", False), (f"{ENGINE_MODEL}@notes", True)]
)
def test_every_name_is_the_engines_model_and_comes_back_as_it_was_asked(
    gateway: str, engine: FakeEngine, openai_at: OpenAIAt, name: str, searched: bool
) -> None:
    create = openai_at(gateway).chat.completions.create
    whole = create(model=name, messages=ANTENNA["messages"])
    events = list(create(model=name, messages=ANTENNA["messages"], stream=True, stream_options={"include_usage": True}))
    assert {whole.model, *(event.model for event in events)} == {name}
    assert {body["model"] for body in engine.bodies} == {ENGINE_MODEL}
    assert whole.retrieval["enabled"] is searched
    assert (whole.retrieval["query"] is not None) is searched


def test_a_sentence_of_the_gateways_own_has_the_models_name_as_asked_too(gateway: str) -> None:
    assert post(gateway, {**NOTHING, "model": f"{ENGINE_MODEL}@notes"}).json()["model"] == f"{ENGINE_MODEL}@notes"


@pytest.mark.parametrize("collection", ["noted", "notes@2.0", "@", "no tes"])
def test_a_collection_that_is_not_there_is_a_model_that_does_not_exist(gateway: str, collection: str) -> None:
    response = post(gateway, {**ANTENNA, "model": f"{ENGINE_MODEL}@{collection}"})
    assert response.status_code == 404
    error = response.json()["error"]
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert f"{ENGINE_MODEL}, {ENGINE_MODEL}-plain, {ENGINE_MODEL}@notes." in error["message"]


def test_a_narrowed_name_works_without_the_engine_where_documents_answer(gateway_at: Gateway) -> None:
    with gateway_at("http://127.0.0.1:9", answer="quote") as url:
        assert "repair_antennas" in post(url, {**ANTENNA, "model": f"{ENGINE_MODEL}@notes"}).text
        assert post(url, {**ANTENNA, "model": f"{ENGINE_MODEL}-plain"}).status_code == 503
        assert post(url, {**ANTENNA, "model": f"{ENGINE_MODEL}@none"}).status_code == 404


def test_the_header_turns_retrieval_off_and_another_word_is_refused(gateway: str, engine: FakeEngine) -> None:
    answer = post(gateway, NOTHING, headers={"x-chipalign-retrieval": "off"}).json()
    assert (answer["retrieval"]["enabled"], answer["retrieval"]["query"]) == (False, None)
    assert engine.bodies[-1]["messages"] == NOTHING["messages"]

    refused = post(gateway, NOTHING, headers={"x-chipalign-retrieval": "maybe"})
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "headers.x-chipalign-retrieval"


# Answers that a sentence cannot stand in for


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("form", JSON_MODES, ids=["json_object", "json_schema"])
def test_nothing_found_for_json_is_an_error_that_a_client_shows_and_never_repeats(
    fresh_gateway: str, engine: FakeEngine, form: dict[str, Any], stream: bool
) -> None:
    client = openai.OpenAI(base_url=f"{fresh_gateway}/v1", api_key="none", max_retries=2, timeout=20)
    with client, pytest.raises(openai.UnprocessableEntityError, match="I found nothing about this") as caught:
        client.chat.completions.create(  # type: ignore[call-overload]
            model=ENGINE_MODEL, messages=NOTHING["messages"], response_format=form, stream=stream
        )
    assert (caught.value.code, caught.value.type) == ("nothing_found", "invalid_request_error")
    assert engine.bodies == []
    counted = httpx.get(f"{fresh_gateway}/metrics").text
    assert "chipalign_nothing_found_total 1.0" in counted
    assert 'chipalign_requests_total{path="/v1/chat/completions",status="422"} 1.0' in counted


def test_text_as_the_response_format_gets_the_sentence(gateway: str) -> None:
    answer = post(gateway, {**NOTHING, "response_format": {"type": "text"}}).json()
    assert "I found nothing" in answer["choices"][0]["message"]["content"]


# Images


@pytest.mark.parametrize("answer", ["model", "quote", "auto"])
@pytest.mark.parametrize("text", ["What is this?", QUESTION, "What is the best recipe for tomato soup?"])
def test_a_turn_with_an_image_always_goes_to_the_engine_with_it(
    gateway: str, engine: FakeEngine, text: str, answer: str
) -> None:
    content = [{"type": "text", "text": text}, IMAGE]
    body = {"messages": [{"role": "user", "content": content}], "retrieval": {"answer": answer}}
    assert post(gateway, body).status_code == 200
    assert engine.bodies[-1]["messages"][-1]["content"][-1] == IMAGE


def test_an_engine_that_cannot_see_says_so_itself(gateway: str, engine: FakeEngine) -> None:
    engine.script = EngineScript(refusal=(400, f"{ENGINE_MODEL} is not a multimodal model"))
    body = {"messages": [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, IMAGE]}]}
    response = post(gateway, body)
    assert response.status_code == 400
    assert "not a multimodal model" in response.json()["error"]["message"]
