"""serve.mcp: settings and arguments as hosts send them, and the tools that answer without an index or an engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rag.checking.code_checks import CodeChecker
from rag.search.live import NoIndex
from serve.answers.engine_apis import CHAT, COMPLETIONS, MESSAGES, TOKEN_COUNT, EngineApi, Reader
from serve.answers.passage_search import MOST_COLLECTIONS, Found, check_number, found_object, narrow, search_passages
from serve.answers.reference_cards import find_cards
from serve.errors import (
    CollectionNotFound,
    NameNotFound,
    PathNotFound,
    RequestError,
    SettingsError,
    UpstreamBroken,
    UpstreamRefused,
)
from serve.mcp.index_tools import INDEX_TOOLS, IndexTools
from serve.mcp.settings import McpSettings
from serve.mcp.tools import LONGEST_CODE, TOOLS, CodeArguments, FetchArguments, ReferenceArguments, SearchArguments
from serve.request_body import check_shape
from serve.settings import ServeSettings
from tests.rows import for_each

EMPTY = IndexTools(NoIndex(), lambda hit: f"http://h/{hit.chunk.chunk_id}", CodeChecker())
LEAST: dict[str, dict[str, Any]] = {
    "search": {"query": "hold"},
    "fetch": {"id": "a"},
    "ask": {"question": "hold?"},
    "reference": {"name": "repair_timing"},
    "check_code": {"code": "module a; endmodule", "language": "verilog"},
}


# Settings


def test_without_variables_the_gateway_of_this_machine_is_asked() -> None:
    settings = McpSettings.from_env({})
    assert (settings.url, settings.api_key, settings.answer_timeout_s) == ("http://127.0.0.1:8000", "", 900.0)
    assert settings.url == ServeSettings().gateway_base_url
    assert settings.answer_timeout_s == ServeSettings().answer_timeout_s


@for_each(
    ("given", "url"),
    [
        ("https://h.example/", "https://h.example"),
        ("https://h.example/v1", "https://h.example"),
        ("https://h.example/chip/v1/", "https://h.example/chip"),
        (" http://[::1]:9000 ", "http://[::1]:9000"),
    ],
)
def test_an_address_that_was_copied_from_another_client_is_understood(given: str, url: str) -> None:
    assert McpSettings.from_env({"CHIPALIGN_URL": given}).url == url
    assert McpSettings.from_env({"CHIPALIGN_URL": "http://other"}, {"url": given.strip()}).url == url


def test_a_password_and_a_key_are_never_shown() -> None:
    settings = McpSettings.from_env({"CHIPALIGN_URL": "http://me:hunter2@h", "CHIPALIGN_API_KEY": "s3cret"})
    assert settings.url == "http://me:hunter2@h"
    assert "hunter2" not in repr(settings)
    assert "s3cret" not in repr(settings)


def test_every_wrong_value_is_reported_at_once() -> None:
    wrong = {"CHIPALIGN_URL": "h:8000", "CHIPALIGN_API_KEY": "ключ", "CHIPALIGN_ANSWER_TIMEOUT_S": "0.5"}
    with pytest.raises(SettingsError) as caught:
        McpSettings.from_env(wrong)
    assert [each for each in wrong if each not in str(caught.value)] == []
    assert "give an address such as http://127.0.0.1:8000" in str(caught.value)
    assert "give a number from 1.0 to 36000.0" in str(caught.value)


# Arguments


@for_each("name", TOOLS)
def test_a_tool_takes_what_its_schema_requires_and_no_argument_beside_it(name: str) -> None:
    tool = TOOLS[name]
    assert set(tool.input_schema["required"]) == set(LEAST[name])
    check_shape(tool.arguments, LEAST[name])
    with pytest.raises(RequestError, match="'shell'"):
        check_shape(tool.arguments, {**LEAST[name], "shell": "ls"})
    for required in LEAST[name]:
        with pytest.raises(RequestError, match=f"'{required}' is missing"):
            check_shape(tool.arguments, {key: each for key, each in LEAST[name].items() if key != required})


@for_each(
    ("name", "arguments", "param"),
    [
        ("search", {"query": 5}, "query"),
        ("search", {"query": "a" * 100_001}, "query"),
        ("search", {"query": "a", "top_k": 0}, "top_k"),
        ("search", {"query": "a", "top_k": 51}, "top_k"),
        ("search", {"query": "a", "top_k": "5"}, "top_k"),
        ("search", {"query": "a", "top_k": None}, "top_k"),
        ("search", {"query": "a", "collections": "router"}, "collections"),
        ("search", {"query": "a", "collections": ["r"] * 101}, "collections"),
        ("search", {"query": "a", "collections": [1]}, "collections[0]"),
        ("fetch", {"id": "a" * 201}, "id"),
        ("ask", {"question": "a", "top_k": 51}, "top_k"),
        ("reference", {"name": "a" * 1001}, "name"),
        ("check_code", {"code": "a", "language": "python"}, "language"),
        ("check_code", {"code": "a", "language": "Verilog"}, "language"),
        ("check_code", {"code": "a" * (LONGEST_CODE + 1), "language": "tcl"}, "code"),
    ],
)
def test_a_wrong_argument_is_named(name: str, arguments: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as caught:
        check_shape(TOOLS[name].arguments, arguments)
    assert caught.value.param == param


def test_the_most_that_a_schema_allows_is_taken() -> None:
    check_shape(TOOLS["search"].arguments, {"query": "a" * 100_000, "top_k": 50, "collections": ["r"] * 100})
    check_shape(TOOLS["ask"].arguments, {"question": "a", "top_k": None})
    check_shape(TOOLS["check_code"].arguments, {"code": "", "language": "yosys"})


# Tools without an index


def test_every_tool_but_ask_is_answered_by_an_index_alone() -> None:
    assert {*INDEX_TOOLS, "ask"} == set(TOOLS)


def test_a_search_of_nothing_says_why_there_are_no_results() -> None:
    found = EMPTY.search(SearchArguments(query="which command repairs antennas?"))
    assert found.data["results"] == []
    assert found.data["refusal"]
    assert json.loads(found.text) == found.data


@for_each("query", ["", "  \n", "???", "\u200b"])
def test_a_query_without_words_is_refused_with_what_to_ask(query: str) -> None:
    with pytest.raises(RequestError, match="ask with the name of a command or a subject") as caught:
        EMPTY.search(SearchArguments(query=query))
    assert caught.value.param == "q"


def test_a_passage_that_is_not_there_is_searched_for_once_more() -> None:
    with pytest.raises(PathNotFound, match="search once more") as caught:
        EMPTY.fetch(FetchArguments(id="0" * 64))
    assert (caught.value.status, caught.value.param) == (404, "id")


def test_a_name_where_nothing_is_described_says_what_to_do_and_is_cut() -> None:
    with pytest.raises(NameNotFound, match="name other collections, or search for it in words") as caught:
        EMPTY.reference(ReferenceArguments(name="x" * 1000))
    assert "x" * 100 in str(caught.value)
    assert "x" * 101 not in str(caught.value)


@for_each(
    ("do", "arguments"),
    [
        (EMPTY.search, SearchArguments(query="hold", collections=["router"])),
        (EMPTY.reference, ReferenceArguments(name="hold", collections=["router"])),
    ],
)
def test_a_collection_that_is_not_there_is_named_by_every_tool(do: Callable[[Any], Any], arguments: Any) -> None:
    with pytest.raises(CollectionNotFound, match="router") as caught:
        do(arguments)
    assert caught.value.param == "collection"


@for_each(
    ("language", "code", "verdict"),
    [
        ("verilog", "module a; endmodule", "ok"),
        ("verilog", "module a; endmodul", "faulty"),
        ("verilog", "", "unchecked"),
        ("tcl", "if {$a} { puts b }", "ok"),
        ("tcl", "if {$a} { puts b ", "faulty"),
    ],
)
def test_code_is_judged_without_documents(language: Any, code: str, verdict: str) -> None:
    found = EMPTY.check_code(CodeArguments(code=code, language=language))
    assert found.data["verdict"] == verdict
    assert found.text.startswith(verdict)
    assert bool(found.data["diagnostics"]) == (verdict == "faulty")


# The search behind them


def test_a_request_names_at_most_so_many_collections() -> None:
    check_number(["a"] * MOST_COLLECTIONS)
    with pytest.raises(RequestError, match="at most 100 collections") as caught:
        check_number(["a"] * (MOST_COLLECTIONS + 1))
    assert (caught.value.param, caught.value.code) == ("collection", None)
    index = NoIndex()
    assert narrow(index, []) is index
    with pytest.raises(CollectionNotFound, match=r"[^.]\.$"):
        narrow(index, ["router", "router"])
    with pytest.raises(CollectionNotFound, match="router"):
        find_cards(index, "hold", str, ["router"])


def test_what_was_found_is_said_with_the_query_that_found_it() -> None:
    found = search_passages("  Which command\nrepairs antennas?  ", NoIndex(), 5, ["my store"])
    said = found_object(found, str)
    assert (said["object"], said["hits"], said["refused"]) == ("list", [], True)
    assert "antennas" in said["query"]
    assert said["refusal"] == found.refusal
    assert found_object(Found("hold", ()), str) == {
        "object": "list",
        "query": "hold",
        "refused": False,
        "refusal": None,
        "hits": [],
    }


# The engine's APIs


def test_a_stream_of_messages_ends_with_its_own_event_and_others_with_done() -> None:
    assert MESSAGES.is_last({"type": "message_stop"})
    assert not MESSAGES.is_last({"type": "message_delta"})
    assert not MESSAGES.is_last({})
    for api in (CHAT, COMPLETIONS, TOKEN_COUNT):
        assert not api.is_last({"type": "message_stop"})
        assert not api.is_last({"type": None})
        assert not api.is_last({})


def read_or_refuse(reader: Reader, text: str) -> dict[str, Any] | None:
    """What a reader makes of a text; None where it refuses it as it promises."""
    try:
        return reader(text)
    except (UpstreamBroken, UpstreamRefused):
        return None


@for_each("api", [CHAT, COMPLETIONS, MESSAGES, TOKEN_COUNT])
def test_whatever_an_engine_says_is_an_object_or_an_error_of_its_own(api: EngineApi) -> None:
    for text in ("", "null", "5", "[]", "<html>", "NaN", '{"a": NaN}', "[" * 100_000):
        assert read_or_refuse(api.read_answer, text) is None
        assert read_or_refuse(api.read_event, text) is None
    for text in ("{}", '{"choices": {}}', '{"choices": [5]}', '{"content": 5}', '{"input_tokens": "5"}'):
        for reader in (api.read_answer, api.read_event):
            assert isinstance(read_or_refuse(reader, text), dict | None)


@for_each("api", [CHAT, COMPLETIONS, MESSAGES, TOKEN_COUNT])
def test_an_error_of_the_engine_is_passed_on_in_its_words(api: EngineApi) -> None:
    said = '{"type": "error", "error": {"message": "no such thing", "type": "BadRequestError", "code": 400}}'
    for reader in (api.read_answer, api.read_event):
        with pytest.raises((UpstreamRefused, UpstreamBroken), match="no such thing"):
            reader(said)


def test_paths_of_the_engine_are_its_own() -> None:
    paths = [api.path for api in (CHAT, COMPLETIONS, MESSAGES, TOKEN_COUNT)]
    assert len(set(paths)) == 4
    assert all(path.startswith("/v1/") and Path(path).name for path in paths)
