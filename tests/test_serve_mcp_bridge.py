"""serve.mcp.bridge and server: a call reaches the gateway as it was made, and a fault is an error in words."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest
from mcp_types import CallToolResult, TextContent

from serve.errors import RequestError
from serve.mcp.bridge import PROTOCOL_VERSION, SHOWN, Bridge
from serve.mcp.results import Result
from serve.mcp.server import answer_calls, describe_tool
from serve.mcp.tools import TOOLS, FetchArguments
from tests.rows import for_each

RESULT = {"content": [{"type": "text", "text": "found"}], "structuredContent": {"results": []}}


def text_of(result: CallToolResult) -> str:
    [content] = result.content
    assert isinstance(content, TextContent)
    return content.text


def call(
    answer: Callable[[httpx.Request], httpx.Response],
    url: str = "http://127.0.0.1:8000",
    key: str = "",
    arguments: Mapping[str, Any] | None = None,
) -> CallToolResult:
    """What the bridge makes of a gateway that answers so."""

    async def run() -> CallToolResult:
        async with Bridge(url, key, 5.0, httpx.MockTransport(answer)) as bridge:
            return await bridge.call("search", arguments or {"query": "hold"})

    return asyncio.run(run())


def test_a_call_is_one_message_and_its_result_comes_back_whole() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"jsonrpc": "2.0", "id": 1, "result": RESULT})

    result = call(answer, key="s3cret", arguments={"query": "hold \u00b5", "top_k": 3})
    assert (text_of(result), result.structured_content, bool(result.is_error)) == ("found", {"results": []}, False)
    [request] = seen
    assert (request.method, request.url.path) == ("POST", "/mcp")
    assert request.headers["authorization"] == "Bearer s3cret"
    assert request.headers["mcp-protocol-version"] == PROTOCOL_VERSION
    assert json.loads(request.content) == {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "search", "arguments": {"query": "hold \u00b5", "top_k": 3}},
    }


@for_each(
    ("url", "asked"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/mcp"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/mcp"),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/mcp"),
        ("http://127.0.0.1:8000/v1/", "http://127.0.0.1:8000/mcp"),
        ("https://gateway.example/chip/mcp", "https://gateway.example/chip/mcp"),
    ],
)
def test_any_of_a_gateways_addresses_leads_to_its_tools(url: str, asked: str) -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return httpx.Response(200, json={"result": RESULT})

    call(answer, url)
    assert seen == [asked]


def test_a_name_and_a_password_in_the_address_are_sent_and_never_shown() -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("authorization", ""))
        raise httpx.ConnectError("refused")

    said = text_of(call(answer, "http://me:s3cret@127.0.0.1:8000"))
    assert seen[0].startswith("Basic ")
    assert "s3cret" not in said
    assert "start it with `chipalign up`" in said
    call(answer, "http://me:s3cret@127.0.0.1:8000", key="k")
    assert seen[1] == "Bearer k"  # a key goes before


def test_a_gateway_that_is_slow_or_down_is_an_error_in_words() -> None:
    def slow(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("read")

    def broken(request: httpx.Request) -> httpx.Response:
        raise httpx.RemoteProtocolError("x" * 1000)

    assert "did not answer in time" in text_of(call(slow))
    said = text_of(call(broken))
    assert "cannot be reached" in said
    assert len(said) < SHOWN + 200


@for_each(
    ("body", "said"),
    [
        ({"error": {"code": -32600, "message": "Invalid Request"}}, "Invalid Request"),
        ({"error": {"message": "The key is wrong.", "code": "invalid_api_key"}}, "The key is wrong."),
        ({"error": "odd"}, "answers with status 200, and not as a gateway does"),
        ({}, "not as a gateway does"),
        ([], "not as a gateway does"),
        (5, "not as a gateway does"),
        ({"result": {"content": 5}}, "not as a gateway does"),
    ],
)
def test_what_is_not_a_result_is_an_error_in_words(body: Any, said: str) -> None:
    result = call(lambda request: httpx.Response(200, json=body))
    assert result.is_error
    assert said in text_of(result)


def test_a_page_of_another_server_is_shown_in_part_on_one_line() -> None:
    result = call(lambda request: httpx.Response(502, text="<html>\n\n" + "word " * 1000))
    assert result.is_error
    assert "answers with status 502, and not as a gateway does: <html> word" in text_of(result)
    assert "\n" not in text_of(result)
    assert len(text_of(result)) < SHOWN + 200


def answered(name: str, arguments: Mapping[str, Any], work: Callable[[FetchArguments], Result]) -> CallToolResult:
    async def handle(given: Any) -> Result:
        return work(given)

    return asyncio.run(_answer(name, arguments, handle))


async def _answer(name: str, arguments: Mapping[str, Any], handle: Callable[[Any], Any]) -> CallToolResult:
    return await answer_calls({"fetch": handle})(name, arguments)


def test_a_call_is_checked_before_the_tool_and_answered_in_both_forms() -> None:
    result = answered("fetch", {"id": "1a"}, lambda given: Result(given.id, {"id": given.id}))
    assert (text_of(result), result.structured_content) == ("1a", {"id": "1a"})
    for arguments, said in (({}, "'id' is missing"), ({"id": 5}, "'id' is 5"), ({"id": "a", "x": 1}, "'x' is 1")):
        result = answered("fetch", arguments, lambda given: pytest.fail("the tool was called"))
        assert result.is_error
        assert said in text_of(result)


def test_a_tool_that_is_not_there_is_an_error_that_names_those_that_are() -> None:
    result = answered("delete" * 100, {}, lambda given: pytest.fail("a tool was called"))
    assert result.is_error
    assert "; the tools are fetch." in text_of(result)
    assert len(text_of(result)) < 200


def test_a_refusal_is_shown_and_a_bug_is_in_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(given: FetchArguments) -> Result:
        raise RequestError("There is no passage with this id.", "id")

    def fail(given: FetchArguments) -> Result:
        raise RuntimeError("secret detail")

    assert text_of(answered("fetch", {"id": "a"}, refuse)) == "There is no passage with this id."
    with caplog.at_level(logging.ERROR, "chipalign.mcp"):
        result = answered("fetch", {"id": "a"}, fail)
    assert result.is_error
    assert "secret" not in text_of(result)
    assert "secret detail" in caplog.text


def test_no_tool_changes_anything_and_hosts_can_see_that() -> None:
    for name in TOOLS:
        tool = describe_tool(name)
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint
        assert tool.annotations.open_world_hint is False
        assert tool.output_schema == TOOLS[name].output_schema
