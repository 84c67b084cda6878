"""/v1/responses on a real socket, before an engine that does as its script says, judged by OpenAI's own types."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx
import openai
import pytest
from pydantic import BaseModel

from serve.answers.tool_turns import HEADER as TOOLS_HEADER
from tests.conftest import Gateway, OpenAIAt
from tests.fake_engine import ENGINE_MODEL, EngineScript, FakeEngine
from tests.responses_api import FUNCTION, QUESTION, ask, kinds, post, refusal, said, stream

NOTHING = "What is the best recipe for tomato soup?"
GREETING = "hello"
ANSWER = "Run `repair_antennas` [1]."
SEARCH: dict[str, Any] = {"type": "file_search", "vector_store_ids": ["notes"]}
CALL = {"id": "call_9", "type": "function", "function": {"name": "run_sta", "arguments": '{"corner": "slow"}'}}


def chunk(delta: Mapping[str, Any], finish_reason: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": dict(delta), "logprobs": None, "finish_reason": finish_reason, **more}
    head = {"id": "chatcmpl-9", "object": "chat.completion.chunk", "created": 1, "model": ENGINE_MODEL}
    return {**head, "choices": [choice]}


def whole(message: Mapping[str, Any], finish_reason: str = "stop", **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason, **more}
    return {"id": "1", "object": "chat.completion", "created": 1, "model": ENGINE_MODEL, "choices": [choice]}


def without_times(response: Mapping[str, Any]) -> dict[str, Any]:
    """A response without what differs between two answers to one request."""
    text = json.dumps({**response, "created_at": 0, "completed_at": 0})
    same: dict[str, Any] = json.loads(text.replace(response["id"].removeprefix("resp_"), ""))
    return same


# Answers


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"max_output_tokens": 50, "temperature": 1, "top_p": 0.5},
        {"text": {"format": {"type": "json_object"}}},
        {"retrieval": {"enabled": False}},
    ],
)
@pytest.mark.parametrize("question", [QUESTION, GREETING])
def test_an_answer_is_a_response_by_openais_types(gateway: str, question: str, more: dict[str, Any]) -> None:
    response = ask(gateway, {"input": question, **more})
    assert response["status"] == "completed"
    assert said(response) == ANSWER
    assert response["usage"]["total_tokens"] == 12
    streamed = stream(gateway, {"input": question, **more})[-1]["response"]
    assert without_times(streamed) == without_times(response)


def test_a_response_is_what_a_chat_says_with_its_passages_and_checks(gateway: str) -> None:
    response = ask(gateway, {"input": QUESTION})
    messages = [{"role": "user", "content": QUESTION}]
    chat = httpx.post(f"{gateway}/v1/chat/completions", json={"messages": messages}, timeout=20).json()
    message = chat["choices"][0]["message"]

    assert response["retrieval"] == chat["retrieval"]
    assert said(response) == message["content"]
    assert response["output"][0]["verification"] == message["verification"]
    assert message["annotations"]
    flat = [{**each["url_citation"], "type": each["type"], "number": each["number"]} for each in message["annotations"]]
    assert response["output"][0]["content"][0]["annotations"] == flat


def test_a_stream_says_each_step_once_and_in_order(gateway: str) -> None:
    types = [event["type"].removeprefix("response.") for event in stream(gateway, {"input": QUESTION})]
    steps = list(dict.fromkeys(types))
    assert steps == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.annotation.added",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [step for step in steps if types.count(step) > 1] == ["output_text.delta"]


def test_the_documents_silence_is_a_whole_answer(gateway: str, engine: FakeEngine) -> None:
    response = ask(gateway, {"input": NOTHING})
    assert response["status"] == "completed"
    assert response["retrieval"]["refused"]
    assert said(response).startswith("I found nothing")
    assert stream(gateway, {"input": NOTHING})[-1]["response"]["usage"] == response["usage"]
    assert not engine.bodies


def test_quotes_answer_without_an_engine_and_cite(gateway_at: Gateway) -> None:
    with gateway_at("http://127.0.0.1:9", answer="quote") as url:
        response = stream(url, {"input": QUESTION})[-1]["response"]
    part = response["output"][0]["content"][0]
    cited = [part["text"][each["start_index"] : each["end_index"]] for each in part["annotations"]]
    assert any("repair_antennas" in words for words in cited)
    assert response["usage"]["output_tokens"] > 0


def test_tokens_are_counted_where_the_engine_died(gateway_at: Gateway, engine: FakeEngine) -> None:
    engine.script = EngineScript(cut_after=1)
    with gateway_at(engine.url, answer="auto") as url:
        response = stream(url, {"input": QUESTION})[-1]["response"]
    assert response["status"] == "completed"
    assert response["usage"]["output_tokens"] > 0
    assert response["output"][0]["verification"]["stopped"]


@pytest.mark.parametrize(("reason", "detail"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_a_cut_answer_is_incomplete_and_says_why(gateway: str, engine: FakeEngine, reason: str, detail: str) -> None:
    engine.script = EngineScript(
        whole=whole({"content": "Run rep"}, reason), chunks=(chunk({"content": "Run rep"}), chunk({}, reason))
    )
    events = stream(gateway, {"input": GREETING, "max_output_tokens": 3})
    assert events[-1]["type"] == "response.incomplete"
    for response in (events[-1]["response"], ask(gateway, {"input": GREETING, "max_output_tokens": 3})):
        assert response["status"] == "incomplete"
        assert response["incomplete_details"] == {"reason": detail}
        assert response["output"][0]["status"] == "incomplete"
        assert response["completed_at"] is None
    assert engine.bodies[0]["max_completion_tokens"] == 3


def test_an_empty_answer_is_a_message_without_words(gateway: str, engine: FakeEngine) -> None:
    engine.script = EngineScript(whole=whole({"content": ""}), chunks=(chunk({"role": "assistant"}), chunk({}, "stop")))
    assert said(ask(gateway, {"input": GREETING})) == ""
    assert said(stream(gateway, {"input": GREETING})[-1]["response"]) == ""


def test_thoughts_of_the_engine_are_an_item_before_the_words(gateway: str, engine: FakeEngine) -> None:
    engine.script = EngineScript(
        whole=whole({"reasoning_content": "Antennas need diodes.", "content": "Run it."}),
        chunks=(
            chunk({"reasoning_content": "Antennas need "}),
            chunk({"reasoning_content": "diodes."}),
            chunk({"content": "Run it."}, "stop"),
        ),
    )
    events = stream(gateway, {"input": GREETING, "include": ["reasoning.encrypted_content"]})
    response = ask(gateway, {"input": GREETING})
    assert kinds(response) == kinds(events[-1]["response"]) == ["reasoning", "message"]
    assert response["output"][0]["content"] == [{"type": "reasoning_text", "text": "Antennas need diodes."}]
    done = [event["item"]["type"] for event in events if event["type"] == "response.output_item.done"]
    assert done == ["reasoning", "message"]


def test_the_likeliest_tokens_stand_at_the_text(gateway: str, engine: FakeEngine) -> None:
    entry = {"token": "Run", "logprob": -0.5, "bytes": [82, 117, 110], "top_logprobs": [{"token": "Go", "logprob": -2}]}
    likeliest: dict[str, Any] = {"logprobs": {"content": [entry]}}
    engine.script = EngineScript(
        whole=whole({"content": "Run"}, **likeliest), chunks=(chunk({"content": "Run"}, "stop", **likeliest),)
    )
    body = {"input": GREETING, "top_logprobs": 1, "include": ["message.output_text.logprobs"]}
    part = ask(gateway, body)["output"][0]["content"][0]
    assert part["logprobs"][0]["top_logprobs"] == [{"token": "Go", "logprob": -2, "bytes": [71, 111]}]
    assert stream(gateway, body)[-1]["response"]["output"][0]["content"][0] == part
    assert engine.bodies[0]["logprobs"] is True
    assert engine.bodies[0]["top_logprobs"] == 1


# Tools


def test_a_call_is_an_item_with_its_arguments(gateway: str, engine: FakeEngine) -> None:
    pieces = [{"index": 0, "function": {"arguments": text}} for text in ('{"corner"', ': "slow"}')]
    first = {"index": 0, "id": "call_9", "function": {"name": "run_sta", "arguments": ""}}
    engine.script = EngineScript(
        whole=whole({"content": None, "tool_calls": [CALL]}, "tool_calls"),
        chunks=(
            chunk({"role": "assistant", "content": ""}),
            *(chunk({"tool_calls": [each]}) for each in (first, *pieces)),
            chunk({}, "tool_calls"),
        ),
    )
    events = stream(gateway, {"input": GREETING, "tools": [FUNCTION]})
    for response in (events[-1]["response"], ask(gateway, {"input": GREETING, "tools": [FUNCTION]})):
        assert kinds(response) == ["function_call"]
        call = response["output"][0]
        assert (call["call_id"], call["name"], call["arguments"]) == ("call_9", "run_sta", '{"corner": "slow"}')
    deltas = [event["delta"] for event in events if event["type"] == "response.function_call_arguments.delta"]
    assert deltas == ['{"corner"', ': "slow"}']
    assert engine.bodies[0]["tools"][0]["function"] == {name: FUNCTION[name] for name in FUNCTION if name != "type"}
    assert engine.bodies[0]["tool_choice"] == "auto"


def test_several_calls_stand_beside_each_other_after_words(gateway: str, engine: FakeEngine) -> None:
    def piece(index: int, arguments: str, name: str | None = None) -> dict[str, Any]:
        beside = {"id": f"call_{index}"} if name else {}
        return {"index": index, **beside, "function": {"arguments": arguments, **({"name": name} if name else {})}}

    engine.script = EngineScript(
        chunks=(
            chunk({"content": "I look."}),
            chunk({"tool_calls": [piece(0, "{", "run_sta"), piece(1, "{", "run_sta")]}),
            chunk({"tool_calls": [piece(1, "}"), piece(0, "}")]}),
            chunk({}, "tool_calls"),
        )
    )
    response = stream(gateway, {"input": GREETING, "tools": [FUNCTION]})[-1]["response"]
    assert kinds(response) == ["message", "function_call", "function_call"]
    assert [item["arguments"] for item in response["output"][1:]] == ["{}", "{}"]


def test_a_function_of_a_namespace_comes_back_with_its_namespace(gateway: str, engine: FakeEngine) -> None:
    agents = {"type": "namespace", "name": "agents", "description": "Other agents.", "tools": [FUNCTION]}
    called = {**CALL, "function": {**CALL["function"], "name": "agents__run_sta"}}  # type: ignore[dict-item]
    engine.script = EngineScript(whole=whole({"content": None, "tool_calls": [called]}, "tool_calls"))
    response = ask(gateway, {"input": GREETING, "tools": [agents]})
    call = response["output"][0]
    assert (call["namespace"], call["name"]) == ("agents", "run_sta")

    back = {"type": "function_call_output", "call_id": call["call_id"], "output": "met"}
    ask(gateway, {"input": [{"role": "user", "content": GREETING}, call, back], "tools": [agents]})
    assert engine.bodies[1]["messages"][1]["tool_calls"][0]["function"]["name"] == "agents__run_sta"


def test_a_built_in_tool_that_is_not_here_is_left_out_of_a_kit(gateway: str, engine: FakeEngine) -> None:
    answered = post(gateway, {"input": GREETING, "tools": [FUNCTION, {"type": "web_search"}, {"type": "x\ny"}]})
    assert answered.headers[TOOLS_HEADER] == "left out: web_search, x?y"
    assert [tool["type"] for tool in answered.json()["tools"]] == ["function"]
    assert len(engine.bodies[0]["tools"]) == 1
    error = refusal(gateway, {"input": GREETING, "tools": [{"type": "web_search"}]})
    assert error["param"] == "tools"
    assert "lacks the tool web_search" in error["message"]


# The built-in search


def test_a_file_search_is_an_item_and_cites_files(gateway: str, engine: FakeEngine) -> None:
    body = {"input": QUESTION, "tools": [{**SEARCH, "max_num_results": 2}]}
    events = stream(gateway, body)
    for response in (events[-1]["response"], ask(gateway, body)):
        call, message = response["output"]
        assert (call["type"], call["queries"], call["results"]) == ("file_search_call", [QUESTION], None)
        assert len(response["retrieval"]["hits"]) <= 2
        citation = message["content"][0]["annotations"][0]
        listed = httpx.get(f"{gateway}/v1/vector_stores/notes/files?limit=100").json()["data"]
        paths = {each["id"]: each["attributes"]["path"] for each in listed}
        assert (citation["type"], paths[citation["file_id"]]) == ("file_citation", "antenna-repair.md")
        assert said(response)[: citation["index"]].endswith("[1]")
    steps = [event["type"] for event in events if "file_search_call" in event["type"]]
    assert [step.rpartition(".")[2] for step in steps] == ["in_progress", "searching", "completed"]
    assert "tools" not in engine.bodies[0]


def test_the_passages_found_are_results_where_they_are_asked_for(gateway: str) -> None:
    body = {"input": QUESTION, "tools": [SEARCH], "include": ["file_search_call.results"]}
    response = ask(gateway, body)
    results, hits = response["output"][0]["results"], response["retrieval"]["hits"]
    assert [each["text"] for each in results] == [hit["text"] for hit in hits]
    assert results[0]["attributes"]["path"] == results[0]["filename"] == "antenna-repair.md"
    assert [each["score"] for each in results] == [max(hit["dense_score"], 0.0) for hit in hits]


def test_a_passage_below_the_least_score_is_not_read(gateway: str) -> None:
    body = {"input": QUESTION, "include": ["file_search_call.results"]}
    results = ask(gateway, {**body, "tools": [SEARCH]})["output"][0]["results"]
    scores = sorted(each["score"] for each in results)
    least = (scores[0] + scores[-1]) / 2
    assert scores[0] < least < scores[-1]
    options = {"ranker": "auto", "score_threshold": least}
    kept = ask(gateway, {**body, "tools": [{**SEARCH, "ranking_options": options}]})["output"][0]["results"]
    assert [each["text"] for each in kept] == [each["text"] for each in results if each["score"] >= least]
    refused = ask(gateway, {"input": QUESTION, "retrieval": {"score_threshold": 1.0}})
    assert (refused["retrieval"]["hits"], refused["retrieval"]["refused"]) == ([], True)


@pytest.mark.parametrize("more", [{"input": GREETING}, {"input": QUESTION, "tool_choice": "none"}])
def test_where_nothing_is_searched_there_is_no_search(gateway: str, more: dict[str, Any]) -> None:
    response = ask(gateway, {"tools": [SEARCH], **more})
    assert kinds(response) == ["message"]
    assert response["retrieval"]["query"] is None


def test_a_vector_store_that_is_missing_is_named_where_it_stands(gateway: str) -> None:
    error = refusal(gateway, {"input": QUESTION, "tools": [{**SEARCH, "vector_store_ids": ["vs_1"]}]})
    assert (error["param"], error["code"]) == ("tools[0].vector_store_ids", "collection_not_found")
    assert "notes" in error["message"]


# Conversations


def test_a_response_is_continued_by_its_id(gateway: str, engine: FakeEngine) -> None:
    first = ask(gateway, {"input": "hello", "instructions": "Be short."})
    second = stream(gateway, {"input": "thanks", "previous_response_id": first["id"]})[-1]["response"]
    third = ask(gateway, {"input": "bye", "previous_response_id": second["id"]})
    assert third["previous_response_id"] == second["id"]
    assert [(each["role"], each["content"]) for each in engine.bodies[2]["messages"]] == [
        ("user", "hello"),
        ("assistant", ANSWER),
        ("user", "thanks"),
        ("assistant", ANSWER),
        ("user", "bye"),
    ]


def test_what_was_said_is_sent_back_as_items_or_by_reference(gateway: str, engine: FakeEngine) -> None:
    first = ask(gateway, {"input": "hello"})
    user, then = ({"role": "user", "content": text} for text in ("hello", "thanks"))
    reference = {"type": "item_reference", "id": first["output"][0]["id"]}
    for said_before in (first["output"], [reference]):
        ask(gateway, {"input": [user, *said_before, then]})
        assert [each["content"] for each in engine.bodies[-1]["messages"]] == ["hello", ANSWER, "thanks"]
    error = refusal(gateway, {"input": [{**reference, "id": "msg_1"}, then]})
    assert (error["param"], error["code"]) == ("input[0].id", "item_not_found")


def test_a_stored_response_comes_back_as_it_was_until_it_is_deleted(gateway: str) -> None:
    response = ask(gateway, {"input": QUESTION})
    address = f"{gateway}/v1/responses/{response['id']}"
    assert httpx.get(address).json() == response
    assert httpx.delete(address).json() == {"id": response["id"], "object": "response", "deleted": True}
    for answered in (httpx.get(address), httpx.delete(address), httpx.get(f"{address}/input_items")):
        assert answered.status_code == 404
        assert answered.json()["error"]["code"] == "response_not_found"
    error = refusal(gateway, {"input": "bye", "previous_response_id": response["id"]})
    assert (error["param"], error["code"]) == ("previous_response_id", "previous_response_not_found")


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_response_that_may_not_be_stored_is_not(gateway: str, is_stream: bool) -> None:
    body = {"input": GREETING, "store": False}
    response = stream(gateway, body)[-1]["response"] if is_stream else ask(gateway, body)
    assert response["store"] is False
    assert httpx.get(f"{gateway}/v1/responses/{response['id']}").status_code == 404


def test_a_stored_response_is_not_streamed_again(gateway: str) -> None:
    response = ask(gateway, {"input": GREETING})
    answered = httpx.get(f"{gateway}/v1/responses/{response['id']}?stream=true")
    assert (answered.status_code, answered.json()["error"]["param"]) == (400, "stream")


def test_the_oldest_turns_make_room_where_the_request_allows_it(gateway: str, engine: FakeEngine) -> None:
    long = [
        each
        for number in range(8)
        for each in (
            {"role": "user", "content": f"{number} " + "word " * 400},
            {"role": "assistant", "content": "word " * 300},
        )
    ]
    body = {"input": [*long, {"role": "user", "content": "hello"}], "instructions": "Be short."}
    error = refusal(gateway, body)
    assert (error["param"], error["code"]) == ("input", "context_length_exceeded")
    response = ask(gateway, {**body, "truncation": "auto"})
    assert response["truncation"] == "auto"
    roles = [each["role"] for each in engine.bodies[0]["messages"]]
    assert roles == ["system", *["user", "assistant"] * 4, "user"]


# What goes wrong


def test_an_engine_that_refuses_does_so_in_the_words_of_responses(gateway: str, engine: FakeEngine) -> None:
    engine.script = EngineScript(refusal=(400, "no such thing"))
    for body in ({"input": GREETING}, {"input": GREETING, "stream": True}):
        assert refusal(gateway, body)["message"] == "no such thing"
    error = refusal(gateway, {"input": GREETING, "max_output_tokens": 100_000})
    assert (error["param"], error["code"]) == ("max_output_tokens", "context_length_exceeded")


def test_an_unknown_model_is_not_found(gateway: str) -> None:
    assert refusal(gateway, {"input": GREETING, "model": "gpt-9"}, 404)["code"] == "model_not_found"


def test_a_stream_that_breaks_off_fails_and_keeps_what_was_said(gateway: str, engine: FakeEngine) -> None:
    engine.script = EngineScript(error_after=1)
    *_, error, failed = stream(gateway, {"input": GREETING})
    assert error["type"] == "error"
    assert error["message"] == error["error"]["message"] == "the worker died"
    response = failed["response"]
    assert failed["type"] == "response.failed"
    assert (response["status"], response["error"]["code"]) == ("failed", "server_error")
    assert said(response) == "Run "
    assert httpx.get(f"{gateway}/v1/responses/{response['id']}").status_code == 404


def test_a_client_that_leaves_stops_the_engine(gateway: str, engine: FakeEngine) -> None:
    engine.script = EngineScript(hold_after=1)
    body = {"input": GREETING, "stream": True}
    with httpx.stream("POST", f"{gateway}/v1/responses", json=body, timeout=20) as answered:
        assert next(answered.iter_lines()) == "event: response.created"
    assert engine.hung_up.wait(10)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"input": NaN}', b"\xff"])
def test_a_body_that_is_not_an_object_is_refused(gateway: str, body: bytes) -> None:
    answered = httpx.post(f"{gateway}/v1/responses", content=body, headers={"content-type": "application/json"})
    assert answered.status_code == 400
    assert answered.json()["error"]["type"] == "invalid_request_error"


# OpenAI's own client


class Command(BaseModel):
    name: str


def test_openais_client_reads_answers_streams_and_the_store(gateway: str, openai_at: OpenAIAt) -> None:
    client = openai_at(gateway)
    response = client.responses.create(model=ENGINE_MODEL, input=QUESTION, metadata={"team": "cad"})
    assert response.output_text == ANSWER
    assert response.metadata == {"team": "cad"}
    assert response.retrieval["hits"]

    deltas = [
        event.delta
        for event in client.responses.create(model=ENGINE_MODEL, input=QUESTION, stream=True)
        if event.type == "response.output_text.delta"
    ]
    assert "".join(deltas) == ANSWER
    with client.responses.stream(model=ENGINE_MODEL, input=QUESTION, tools=[SEARCH]) as events:
        final = events.get_final_response()
    assert final.output_text == ANSWER

    follow_up = client.responses.create(model=ENGINE_MODEL, input="thanks", previous_response_id=response.id)
    assert client.responses.retrieve(follow_up.id) == follow_up
    asked = client.responses.input_items.list(response.id).data
    assert [(each.role, each.content[0].text) for each in asked] == [("user", QUESTION)]
    client.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)


def test_openais_client_parses_what_it_gave_a_form(gateway: str, engine: FakeEngine, openai_at: OpenAIAt) -> None:
    engine.script = EngineScript(
        whole=whole({"content": '{"name": "repair_antennas"}'}),
        chunks=(chunk({"content": '{"name": '}), chunk({"content": '"repair_antennas"}'}, "stop")),
    )
    client = openai_at(gateway)
    parsed = client.responses.parse(model=ENGINE_MODEL, input=QUESTION, text_format=Command).output_parsed
    assert parsed == Command(name="repair_antennas")
    form = engine.bodies[0]["response_format"]
    assert (form["type"], form["json_schema"]["name"]) == ("json_schema", "Command")
    assert form["json_schema"]["schema"]["properties"] == {"name": {"title": "Name", "type": "string"}}

    with client.responses.stream(model=ENGINE_MODEL, input=QUESTION, text_format=Command) as events:
        assert events.get_final_response().output_parsed == parsed


def test_openais_client_hears_of_errors_as_its_own(gateway: str, engine: FakeEngine, openai_at: OpenAIAt) -> None:
    client = openai_at(gateway)
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model=ENGINE_MODEL, input=[{"role": "user", "content": 5}])
    assert refused.value.param == "input[0].content"
    engine.script = EngineScript(error_after=1)
    with pytest.raises(openai.APIError, match="the worker died"):
        list(client.responses.create(model=ENGINE_MODEL, input=GREETING, stream=True))


def test_input_items_come_in_pages(gateway: str) -> None:
    items = [{"role": "user", "content": f"hello {number}"} for number in range(5)]
    response = ask(gateway, {"input": items})
    address = f"{gateway}/v1/responses/{response['id']}/input_items"

    def texts(page: Mapping[str, Any]) -> list[str]:
        return [item["content"][0]["text"] for item in page["data"]]

    first = httpx.get(address, params={"limit": 2}).json()
    assert (texts(first), first["has_more"]) == (["hello 4", "hello 3"], True)
    rest = httpx.get(address, params={"after": first["last_id"]}).json()
    assert (texts(rest), rest["has_more"]) == (["hello 2", "hello 1", "hello 0"], False)
    assert texts(httpx.get(address, params={"order": "asc", "limit": 1}).json()) == ["hello 0"]
    for wrong in ({"limit": 0}, {"limit": 101}, {"limit": "x"}, {"order": "up"}, {"after": "msg_1"}):
        assert httpx.get(address, params=wrong).json()["error"]["param"] == next(iter(wrong))


# The cases that Open Responses asks of an implementation

WEATHER = "What's the weather like in San Francisco?"
PICTURE = "data:image/png;base64,iVBORw0KGgo="


@pytest.mark.parametrize(
    "items",
    [
        [{"type": "message", "role": "user", "content": "Say hello in exactly 3 words."}],
        [
            {"type": "message", "role": "system", "content": "You are a pirate."},
            {"type": "message", "role": "user", "content": "Say hello."},
        ],
        [
            {"type": "message", "role": "user", "content": "My name is Alice."},
            {"type": "message", "role": "assistant", "content": "Hello Alice!"},
            {"type": "message", "role": "user", "content": "What is my name?"},
        ],
    ],
    ids=["basic", "system-prompt", "multi-turn"],
)
def test_open_responses_words_are_answered_whole_and_streamed(gateway: str, items: list[dict[str, Any]]) -> None:
    for body in ({"model": ENGINE_MODEL, "input": items}, {"model": ENGINE_MODEL, "input": items, "store": False}):
        assert ask(gateway, body)["status"] == "completed"
        assert stream(gateway, body)[-1]["response"]["status"] == "completed"


def test_open_responses_picture_reaches_the_model(gateway: str, engine: FakeEngine) -> None:
    parts = [{"type": "input_text", "text": "hello"}, {"type": "input_image", "image_url": PICTURE, "detail": "auto"}]
    assert ask(gateway, {"input": [{"role": "user", "content": parts}]})["status"] == "completed"
    assert engine.bodies[0]["messages"][-1]["content"][1] == {
        "type": "image_url",
        "image_url": {"url": PICTURE, "detail": "auto"},
    }
