"""serve.mcp.results: the text of a result says what its data says, in the form that its tool promises."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rag.checking.code_checks import Verdict
from rag.documents import Chunk
from rag.reference.card_view import card_object
from rag.reference.cards import Command, Message, Option, Place
from serve.mcp.results import describe_answer, describe_cards, describe_passage, describe_search, describe_verdict
from serve.mcp.tools import TOOLS
from tests.rows import for_each

HIT = {
    "number": 1,
    "chunk_id": "1a",
    "title": "Repair",
    "heading_path": ["Repair", "Hold"],
    "url": "http://x/sources/1a",
    "text": "Use `-hold` \u00b5.",
    "score": 1.5,
}
CHUNK = Chunk("1a", "openroad", "a.md", "Repair", ("Hold",), "Use `-hold`.", "http://x", "ISC", 0, 3, "2.0", "2026")


def check(tool: str, data: dict[str, Any]) -> None:
    """The data has all that the tool's schema requires, also in its lists."""

    def holds(schema: dict[str, Any], value: Any) -> bool:
        if schema["type"] == "object":
            fields = schema.get("properties", {})
            return all(name in value for name in schema.get("required", ())) and all(
                holds(fields[name], each) for name, each in value.items() if name in fields
            )
        return schema["type"] != "array" or all(holds(schema["items"], each) for each in value)

    assert holds(TOOLS[tool].output_schema, data)


def test_hits_are_results_with_id_title_url_and_text() -> None:
    found = {"hits": [HIT, {**HIT, "url": None}], "refusal": None, "query": "hold"}
    result = describe_search(found)
    check("search", result.data)
    first, second = result.data["results"]
    assert first == {
        "id": "1a",
        "title": "Repair > Hold",  # the title once
        "url": "http://x/sources/1a",
        "text": "Use `-hold` \u00b5.",
        "score": 1.5,
    }
    assert second["url"] == ""
    assert json.loads(result.text) == result.data
    assert "\u00b5" in result.text  # not escaped: a model reads it


def test_a_search_that_finds_nothing_says_why() -> None:
    result = describe_search({"hits": [], "refusal": "The documents say nothing of buses."})
    check("search", result.data)
    assert result.data == {"results": [], "refusal": "The documents say nothing of buses."}


def test_a_passage_comes_with_where_it_is_from() -> None:
    result = describe_passage(CHUNK, "http://x/sources/1a")
    check("fetch", result.data)
    assert (result.data["title"], result.data["url"]) == ("Repair > Hold", "http://x/sources/1a")
    assert result.data["metadata"] == {
        "collection": "openroad",
        "path": "a.md",
        "licence": "ISC",
        "page": 3,
        "version": "2.0",
        "date": "2026",
        "heading_path": ["Hold"],
    }
    assert json.loads(result.text) == result.data


def answer(message: dict[str, Any], *hits: dict[str, Any], refused: bool = False) -> dict[str, Any]:
    return {"choices": [{"message": message}], "retrieval": {"hits": list(hits), "refused": refused}}


def test_an_answer_lists_its_sources_by_number() -> None:
    said = {"content": "Use `-hold` [1].", "verification": {"sentences": []}}
    result = describe_answer(answer(said, HIT, {**HIT, "number": 2, "url": None}))
    check("ask", result.data)
    assert result.text == (
        "Use `-hold` [1].\n\nSources:\n[1] Repair > Hold (http://x/sources/1a)\n[2] Repair > Hold (1a)"
    )
    assert result.data["verification"] == {"sentences": []}


@pytest.mark.parametrize("message", [{"content": "Nothing."}, {"content": None, "refusal": "Nothing."}])
def test_a_refusal_has_no_sources(message: dict[str, Any]) -> None:
    result = describe_answer(answer(message, refused=True))
    check("ask", result.data)
    assert (result.text, result.data["refused"], result.data["sources"]) == ("Nothing.", True, [])


def test_cards_are_drawn_with_their_addresses_and_an_option_alone() -> None:
    place = Place("1a", "a.md", "Repair", (), 0, 9)
    option = Option("-hold", "", "", "Repairs hold.", place, is_described=True)
    command = Command("repair_timing", "openroad", "repair_timing [-hold]", "Repairs timing.", (option,), place)
    message = Message("GRT-0118", "Too high.", "openroad", place)
    for name, text in (("repair_timing", "Repairs timing."), ("-hold", "-hold  Repairs hold.")):
        data = [{**card_object(card), "url": url} for card, url in ((command, "http://x/1"), (message, None))]
        result = describe_cards([command, message], {"name": name, "data": data})
        check("reference", result.data)
        assert text in result.text
        assert "http://x/1" in result.text
        assert "GRT-0118" in result.text
    assert "Repairs timing." not in result.text  # the option was asked for


@for_each(
    ("verdict", "text"),
    [
        (Verdict("tcl", "ok"), "ok: no fault is found in this tcl."),
        (Verdict("tcl", "faulty", ((2, "bad"), (5, "worse"))), "faulty:\nline 2: bad\nline 5: worse"),
        (Verdict("upf", "unchecked"), "unchecked: nothing can be said of this upf;"),
    ],
)
def test_a_verdict_is_said_with_its_lines(verdict: Verdict, text: str) -> None:
    result = describe_verdict(verdict)
    check("check_code", result.data)
    assert result.text.startswith(text)
    assert [each["line"] for each in result.data["diagnostics"]] == [line for line, _ in verdict.diagnostics]
