"""Tools over HTTP: offered ones cost a question no citation, wanted ones are called, what they return is grounded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from serve.tokens.counter import TokenCounter
from tests.conftest import Gateway, OpenAIAt, free_port
from tests.fake_engine import ENGINE_MODEL, EngineScript, FakeEngine

ANTENNA = {"role": "user", "content": "Which command fixes antenna violations?"}
SOUP = {"role": "user", "content": "What is the best recipe for tomato soup?"}
RIGHT = "Antenna violations are fixed with the command `repair_antennas`."
CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [{k: v for k, v in CALL.items() if k != "index"}]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "12:00 <|im_end|>"}
NOTHING = {"type": "object", "properties": {}}
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "get_time", "parameters": NOTHING}}
NAMED = {"type": "function", "function": {"name": "get_time"}}


@pytest.fixture(scope="module", params=["quote", "auto", "model"])
def by_mode(
    request: pytest.FixtureRequest, gateway_at: Gateway, shared_engine: FakeEngine
) -> Iterator[tuple[str, str]]:
    with gateway_at(shared_engine.url, answer=request.param) as url:
        yield request.param, url


def post(url: str, *messages: dict[str, Any], **fields: Any) -> httpx.Response:
    body = {"messages": list(messages), "tools": [TOOL], **fields}
    return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=30)


def read(answer: httpx.Response) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """The message, the reason for its end and the retrieval of an answer, whole or streamed."""
    if answer.headers["content-type"] == "application/json":
        body = answer.json()
        return body["choices"][0]["message"], body["choices"][0]["finish_reason"], body["retrieval"]
    chunks = [json.loads(part[6:]) for part in answer.text.split("\n\n") if part.startswith("data: {")]
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    content = "".join(choice["delta"].get("content") or "" for choice in choices)
    calls = [call for choice in choices for call in choice["delta"].get("tool_calls") or ()]
    return (
        {**choices[-1]["delta"], "content": content, "tool_calls": calls},
        choices[-1]["finish_reason"],
        chunks[0]["retrieval"],
    )


def calling(words: str = "") -> EngineScript:
    """An engine that calls the tool, perhaps with words before."""
    message = {**CALLED, "content": words or None}
    whole = {"id": "1", "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    deltas = ({"role": "assistant", "content": words}, {"tool_calls": [CALL]})
    chunks = [{"id": "1", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    end = {"id": "1", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
    return EngineScript(whole=whole, chunks=(*chunks, end))


@pytest.mark.parametrize("stream", [False, True])
def test_an_offered_tool_costs_a_question_of_the_documents_no_citation(
    by_mode: tuple[str, str], engine: FakeEngine, stream: bool
) -> None:
    mode, url = by_mode
    engine.script = EngineScript(answer=(RIGHT,))
    offered, reason, retrieval = read(post(url, ANTENNA, stream=stream))
    plain, _, _ = read(post(url, ANTENNA, tools=None, stream=stream))
    assert offered["annotations"]
    assert offered["annotations"][0]["url_citation"]["title"] == "Antenna repair"
    assert (offered["content"], reason) == (plain["content"], "stop")
    assert retrieval["hits"]
    assert [body.get("tools") for body in engine.bodies] == ([] if mode == "quote" else [[TOOL], None])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fields", [{"tool_choice": "required"}, {"tool_choice": NAMED}, {}])
def test_a_wanted_tool_is_called_whatever_the_documents_say(
    by_mode: tuple[str, str], engine: FakeEngine, fields: dict[str, Any], stream: bool
) -> None:
    engine.script = calling()
    agent = [] if fields else [{"role": "system", "content": "Ask get_time first."}]
    message, reason, retrieval = read(post(by_mode[1], *agent, ANTENNA, stream=stream, **fields))
    assert [call["function"]["name"] for call in message["tool_calls"]] == ["get_time"]
    assert (message["content"] or None, reason) == (None, "tool_calls")
    assert retrieval["hits"]
    strict = {"type": "function", "function": {**TOOL["function"], "strict": True}}  # else any JSON may be arguments
    assert engine.bodies[-1]["tools"] == [strict if fields else TOOL]
    post(by_mode[1], SOUP, stream=stream, **fields)
    assert engine.bodies[-1]["tools"] == [strict if fields else TOOL]
    bare = {"type": "function", "function": {"name": "get_time"}}
    post(by_mode[1], ANTENNA, stream=stream, tools=[bare], tool_choice="required")
    assert engine.bodies[-1]["tools"][0]["function"]["parameters"] == {"type": "object"}
    own = {**TOOL, "function": {**TOOL["function"], "strict": False}}
    post(by_mode[1], ANTENNA, stream=stream, tools=[own], tool_choice="required")
    assert engine.bodies[-1]["tools"] == [own]


@pytest.mark.parametrize("stream", [False, True])
def test_in_auto_no_quotes_follow_a_call(gateway_at: Gateway, engine: FakeEngine, stream: bool) -> None:
    engine.script = calling(RIGHT)
    with gateway_at(engine.url, answer="auto") as url:
        message, reason, _ = read(post(url, ANTENNA, stream=stream))
    assert (message["content"], reason) == (RIGHT, "tool_calls")
    assert [note["number"] for note in message["annotations"]] == [1]


@pytest.mark.parametrize("stream", [False, True])
def test_a_turn_that_ends_with_a_tools_result_keeps_the_passages_of_the_users_question(
    by_mode: tuple[str, str], engine: FakeEngine, stream: bool
) -> None:
    engine.script = EngineScript(answer=(f"{RIGHT} It is 12:00.",))
    message, _, retrieval = read(post(by_mode[1], ANTENNA, CALLED, RESULT, stream=stream))
    assert retrieval["query"] == ANTENNA["content"]
    assert retrieval["hits"][0]["title"] == "Antenna repair"
    assert message["content"] == f"{RIGHT} It is 12:00."  # the result is no passage, and its words stay
    assert message["annotations"]
    system, user, called, result = engine.bodies[-1]["messages"]
    assert system["content"].endswith("counts as context too.")
    assert "diode" in user["content"]
    assert called == CALLED
    assert result["tool_call_id"] == "c1"
    assert "<|im_end|>" not in result["content"]


@pytest.mark.parametrize("stream", [False, True])
def test_what_no_document_answers_is_the_models_where_it_has_tools_and_nobody_refuses(
    by_mode: tuple[str, str], engine: FakeEngine, stream: bool
) -> None:
    engine.script = EngineScript(answer=("Boil ", "tomatoes."))
    said, reason, retrieval = read(post(by_mode[1], SOUP, stream=stream))
    assert (said["content"], reason) == ("Boil tomatoes.", "stop")
    assert (retrieval["query"], retrieval["hits"], retrieval["refused"]) == (SOUP["content"], [], False)
    refused, _, retrieval = read(post(by_mode[1], SOUP, tools=None, stream=stream))
    assert ("I found nothing" in refused["content"], retrieval["refused"]) == (True, True)
    engine.script = calling("I look it up.")
    message, reason, retrieval = read(post(by_mode[1], SOUP, stream=stream))
    assert (message["content"], reason, len(message["tool_calls"])) == ("I look it up.", "tool_calls", 1)
    assert not retrieval["refused"]
    engine.script = EngineScript(answer=("Boil them.",))
    told, _, _ = read(post(by_mode[1], SOUP, CALLED, RESULT, stream=stream))
    assert told["content"] == "Boil them."


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("question", [ANTENNA, SOUP])
def test_without_a_tool_parser_offered_tools_are_left_out_and_a_header_says_so(
    gateway_at: Gateway, engine: FakeEngine, openai_at: OpenAIAt, stream: bool, question: dict[str, Any]
) -> None:
    engine.script = EngineScript(tool_parser=False)
    with gateway_at(engine.url) as url:
        answer = post(url, question, stream=stream, tool_choice="auto", parallel_tool_calls=True)
        assert (answer.status_code, answer.headers["x-chipalign-tools"]) == (200, "dropped")
        assert read(answer)[0] == read(post(url, question, tools=None, stream=stream))[0]
        fields = ("tools", "tool_choice", "parallel_tool_calls")
        assert [body.get(name) for body in engine.bodies for name in fields if body.get(name)] == []
        assert "x-chipalign-tools" not in post(url, question, tools=None).headers
        for choice in ("required", NAMED):
            refused = post(url, question, tool_choice=choice, stream=stream)
            error = refused.json()["error"]
            assert (refused.status_code, error["param"], error["code"]) == (400, "tool_choice", "tools_unsupported")
            assert "CHIPALIGN_TOOL_PARSER" in error["message"]
        assert len([body for body in engine.probes if "tools" in body]) == 1
        said = openai_at(url).chat.completions.create(model=ENGINE_MODEL, messages=[question], tools=[TOOL])
        assert said.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_that_is_not_a_function_is_left_out_and_named(gateway: str, engine: FakeEngine, stream: bool) -> None:
    engine.script = calling()
    custom = {"type": "custom", "custom": {"name": "shell"}}
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [NAMED]}}
    answer = post(gateway, SOUP, tools=[custom, TOOL], tool_choice=choice, stream=stream)
    assert (answer.status_code, answer.headers["x-chipalign-tools"]) == (200, "left out: custom")
    assert read(answer)[0]["tool_calls"][0]["function"]["name"] == "get_time"
    assert [each["type"] for each in engine.bodies[0]["tools"]] == ["function"]
    assert engine.bodies[0]["tool_choice"] == "required"
    alone = post(gateway, ANTENNA, tools=[custom], stream=stream)
    assert (alone.status_code, alone.headers["x-chipalign-tools"]) == (200, "left out: custom")


def test_tools_that_fill_the_window_are_left_out_unless_one_must_be_called(
    gateway_at: Gateway, engine: FakeEngine, counter: TokenCounter
) -> None:
    from tests.test_serve_tokens_counter import WITH_TOOLS, with_template

    many = [{"type": "function", "function": {"name": f"tool_{number}"}} for number in range(900)]
    engine.script = EngineScript(max_model_len=1500)
    with gateway_at(engine.url, counted_by=with_template(counter, WITH_TOOLS)) as url:
        answer = post(url, ANTENNA, tools=many)
        assert (answer.status_code, answer.headers["x-chipalign-tools"]) == (200, "dropped")
        assert answer.json()["choices"][0]["message"]["annotations"]
        refused = post(url, ANTENNA, tools=many, tool_choice="required")
        assert refused.json()["error"]["code"] == "context_length_exceeded"


@pytest.mark.parametrize("mode", ["quote", "auto"])
def test_while_the_engine_is_down_offered_tools_cost_nothing(gateway_at: Gateway, mode: str) -> None:
    with gateway_at(f"http://127.0.0.1:{free_port()}", answer=mode) as url:
        message, reason, _ = read(post(url, ANTENNA))
        assert (bool(message["annotations"]), reason) == (True, "stop")
        assert post(url, ANTENNA, tool_choice="required").status_code == 503
