"""/mcp on a real socket, asked by the SDK's own client: what each tool gives, errors in words, keys and limits."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from mcp import Client
from mcp_types.version import LATEST_HANDSHAKE_VERSION, LATEST_MODERN_VERSION

from rag.formats.parser import parse_document
from rag.index.building import build_index
from rag.search.retriever import Retriever
from rag.settings import RagSettings
from serve.mcp.tools import TOOLS
from tests.conftest import Gateway, free_port
from tests.fake_engine import EngineScript, FakeEngine
from tests.mcp_calls import call, data, said, sentence, with_client
from tests.rows import for_each
from tests.test_rag_reference_extraction import ROUTER
from tests.tiny_embedder import TinyEmbedder

QUESTION = "Which command fixes antenna violations?"
SOUP = "What is the best recipe for tomato soup?"
HOST = {"accept": "application/json, text/event-stream"}


@pytest.fixture(scope="module")
def manual(tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    """An index of one manual, whose commands the reference has."""
    folder = tmp_path_factory.mktemp("manual")
    settings = RagSettings(home=folder)
    document = parse_document("router", "router.md", "Router", ROUTER, "https://docs.example/router", "ISC")
    build_index([document], folder, settings, TinyEmbedder())
    return Retriever.open_with(TinyEmbedder(), folder, settings)


@pytest.fixture(scope="module")
def router(gateway_at: Gateway, manual: Retriever) -> Iterator[str]:
    """The address of the tools over that manual; no engine runs."""
    with gateway_at(f"http://127.0.0.1:{free_port()}", manual, answer="quote") as url:
        yield f"{url}/mcp"


@pytest.fixture
def tools(gateway: str) -> str:
    """The address of the tools over the six documents, before an engine."""
    return f"{gateway}/mcp"


def message(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_a_host_finds_five_tools_with_schemas_and_what_they_are_for(tools: str, mode: str) -> None:
    async def ask(client: Client) -> Any:
        return client.instructions, client.server_info, client.server_capabilities, (await client.list_tools()).tools

    instructions, server, capabilities, offered = with_client(tools, ask, mode=mode)
    assert "`reference`" in instructions
    assert (server.name, server.title) == ("chipalign", "ChipAlign")
    assert capabilities.tools is not None
    assert [tool.name for tool in offered] == ["search", "fetch", "ask", "reference", "check_code"]
    for tool in offered:
        assert tool.input_schema == TOOLS[tool.name].input_schema
        assert tool.output_schema["required"]
        assert tool.annotations.read_only_hint


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_search_and_fetch_have_the_form_of_openais_connectors(tools: str, mode: str) -> None:
    found = call(tools, "search", {"query": QUESTION}, mode=mode)
    results = data(found)["results"]
    assert json.loads(said(found)) == data(found)
    assert results[0]["title"] == "Antenna repair"
    assert "repair_antennas" in results[0]["text"]
    assert results[0]["url"].endswith(f"/sources/{results[0]['id']}")

    fetched = call(tools, "fetch", {"id": results[0]["id"]}, mode=mode)
    passage = data(fetched)
    assert json.loads(said(fetched)) == passage
    assert {name: passage[name] for name in ("id", "title", "url", "text")} == {
        name: results[0][name] for name in ("id", "title", "url", "text")
    }
    assert passage["metadata"]["licence"] == "Apache-2.0"


def test_search_takes_a_number_and_collections_and_says_when_nothing_answers(tools: str) -> None:
    async def ask(client: Client) -> list[Any]:
        given = ({"query": QUESTION, "top_k": 1, "collections": ["notes"]}, {"query": SOUP})
        return [await client.call_tool("search", each) for each in given]

    one, none = with_client(tools, ask)
    assert len(data(one)["results"]) == 1
    assert data(none)["results"] == []
    assert "I found nothing about this" in data(none)["refusal"]


def test_ask_gives_an_answer_with_its_sources_and_its_verification(tools: str) -> None:
    result = call(tools, "ask", {"question": QUESTION})
    answer = data(result)
    assert (answer["answer"], answer["refused"]) == ("Run `repair_antennas` [1].", False)
    assert answer["sources"][0]["title"] == "Antenna repair"
    assert answer["verification"]["sentences"]
    assert said(result).startswith("Run `repair_antennas` [1].\n\nSources:\n[1] Antenna repair (http")


def test_ask_says_that_the_documents_hold_nothing(tools: str, engine: FakeEngine) -> None:
    answer = data(call(tools, "ask", {"question": SOUP}))
    assert (answer["refused"], answer["sources"]) == (True, [])
    assert "I found nothing about this" in answer["answer"]
    assert engine.bodies == []


def test_reference_gives_the_cards_of_a_name(router: str) -> None:
    result = call(router, "reference", {"name": "route_clocks"})
    [card] = data(result)["cards"]
    assert (card["object"], card["url"]) == ("command", "https://docs.example/router")
    assert [option["name"] for option in card["options"]] == ["-layer", "-halo_width", "-mode", "-report", "-modes"]
    assert "-halo_width" in said(result)
    assert "https://docs.example/router" in said(result)
    unknown = sentence(call(router, "reference", {"name": "route_clock"}))
    assert unknown == "The documents describe no 'route_clock'; near to it are route_clocks."


@for_each(
    ("language", "code", "verdict", "line"),
    [
        ("verilog", "module m(input a); endmodule", "ok", None),
        ("verilog", "module m(input a);\nassign = a;\nendmodule", "faulty", 2),
        ("tcl", "route_clocks -layer M5 $nets", "ok", None),
        ("tcl", "route_clocks -layer M5 \\\n  -speed fast $nets", "faulty", 1),
        ("yosys", "synth -top x", "unchecked", None),
    ],
)
def test_check_code_gives_a_verdict_with_lines(
    router: str, language: str, code: str, verdict: str, line: int | None
) -> None:
    result = call(router, "check_code", {"code": code, "language": language})
    found = data(result)
    assert (found["verdict"], found["language"]) == (verdict, language)
    assert said(result).startswith(f"{verdict}:")
    assert [one["line"] for one in found["diagnostics"]][:1] == ([line] if line else [])


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("search", {}, "'query' is missing"),
        ("search", {"query": "  "}, "no words to search for"),
        ("search", {"query": QUESTION, "top_k": 0}, "'top_k' is 0"),
        ("search", {"query": QUESTION, "collections": ["nowhere"]}, "nowhere"),
        ("search", {"query": QUESTION, "limit": 3}, "'limit' is 3"),
        ("fetch", {"id": "0000"}, "search once more"),
        ("ask", {"question": 7}, "'question' is 7"),
        ("ask", {"question": ""}, "empty"),
        ("check_code", {"code": "x", "language": "python"}, "'language' is 'python'"),
        ("check_code", {"code": "x" * 50_001, "language": "tcl"}, "50000"),
        ("draw", {}, "There is no tool 'draw'; the tools are"),
    ],
)
def test_a_wrong_call_is_an_error_in_words(tools: str, name: str, arguments: dict[str, Any], expected: str) -> None:
    assert expected in sentence(call(tools, name, arguments))


def test_an_engine_that_is_down_and_a_full_gateway_are_errors_in_words(gateway_at: Gateway, engine: FakeEngine) -> None:
    with gateway_at(f"http://127.0.0.1:{free_port()}") as url:
        assert "does not answer: it is starting or down" in sentence(call(f"{url}/mcp", "ask", {"question": QUESTION}))
        assert data(call(f"{url}/mcp", "search", {"query": QUESTION}))["results"]

    engine.script = EngineScript(hold_after=0)
    with gateway_at(engine.url, answers_in_flight=1) as url:
        first = threading.Thread(target=call, args=(f"{url}/mcp", "ask", {"question": QUESTION}))
        first.start()
        while not engine.bodies:
            time.sleep(0.02)
        assert "no more answers at a time" in sentence(call(f"{url}/mcp", "ask", {"question": QUESTION}))
        engine.release()
        first.join(20)


def test_the_key_and_the_origin_are_asked_for_as_on_every_path(gateway_at: Gateway, engine: FakeEngine) -> None:
    with gateway_at(engine.url, api_key="sk-right") as url:
        assert data(call(f"{url}/mcp", "search", {"query": QUESTION}, api_key="sk-right"))["results"]
        for key in ({}, {"authorization": "Bearer sk-wrong"}):
            refused = httpx.post(f"{url}/mcp", json=message("search", {"query": QUESTION}), headers={**HOST, **key})
            assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
        foreign = {**HOST, "authorization": "Bearer sk-right", "origin": "http://evil.example"}
        refused = httpx.post(f"{url}/mcp", json=message("search", {"query": QUESTION}), headers=foreign)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "origin_not_allowed")


def test_there_is_nothing_to_get_and_every_answer_has_the_gateways_headers(tools: str) -> None:
    for method in ("GET", "DELETE"):
        assert httpx.request(method, tools, headers=HOST).status_code == 405
    answer = httpx.post(tools, json=message("search", {"query": QUESTION}), headers={**HOST, "x-request-id": "build-7"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (200, "build-7")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["result"]["structuredContent"]["results"]
    told = httpx.post(tools, json={"jsonrpc": "2.0", "method": "notifications/initialized"}, headers=HOST)
    assert (told.status_code, told.content) == (202, b"")


@pytest.mark.parametrize("body", [b"{oops", b"[]", b"7", b"[" * 100_000, b'{"a": NaN}'])
def test_a_body_that_is_not_a_message_is_refused(tools: str, body: bytes) -> None:
    refused = httpx.post(tools, content=body, headers={**HOST, "content-type": "application/json"})
    assert refused.status_code == 400
    assert refused.json()["error"]["message"].endswith(".")


@pytest.mark.parametrize("version", [LATEST_HANDSHAKE_VERSION, LATEST_MODERN_VERSION])
def test_a_host_that_hangs_up_ends_the_engines_work(tools: str, engine: FakeEngine, version: str) -> None:
    engine.script = EngineScript(hold_after=0)
    asked = message("ask", {"question": QUESTION})
    headers = {**HOST, "mcp-protocol-version": version}
    if version == LATEST_MODERN_VERSION:
        asked["params"]["_meta"] = {
            "io.modelcontextprotocol/protocolVersion": version,
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        headers |= {"mcp-method": "tools/call", "mcp-name": "ask"}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(tools, json=asked, headers=headers, timeout=1.5)
    assert engine.bodies
    assert engine.hung_up.wait(10)


def test_a_bug_is_told_without_its_details(
    gateway_at: Gateway, small_retriever: Retriever, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        """An index with a bug."""

        def __getattr__(self, name: str) -> Any:
            return getattr(small_retriever, name)

        def chunk(self, chunk_id: str) -> Any:
            raise ZeroDivisionError("secret")

    with gateway_at(f"http://127.0.0.1:{free_port()}", Broken()) as url:
        told = sentence(call(f"{url}/mcp", "fetch", {"id": "0000"}))
    assert told == "The tool failed on this call; the log of the server says why."
    assert "ZeroDivisionError" in caplog.text
