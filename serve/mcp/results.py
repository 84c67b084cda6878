"""What the tools give, from what the gateway's own APIs give: structured content, and a text that says the same.

It calls nothing. Hosts show a model the one or the other, so neither lacks anything that an answer needs.

    result = describe_search(found_object(found, passage_url)); result.text, result.data
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from rag.checking.code_checks import Verdict
from rag.documents import Chunk
from rag.reference.card_view import draw_card
from rag.reference.cards import Card


class Result(NamedTuple):
    """What a call gives, as text and as data of the tool's output schema."""

    text: str
    data: dict[str, Any]


def describe_search(found: dict[str, Any]) -> Result:
    """The answer of /v1/search as results; the text is JSON, since OpenAI's connectors read that."""
    results = [{**_passage(hit), "score": hit["score"]} for hit in found["hits"]]
    return _as_json({"results": results, "refusal": found["refusal"]})


def describe_passage(chunk: Chunk, url: str) -> Result:
    """One passage; the text is JSON, since OpenAI's connectors read that."""
    metadata = {name: getattr(chunk, name) for name in ("collection", "path", "licence", "page", "version", "date")}
    head = {"id": chunk.chunk_id, "title": _title(chunk.title, chunk.heading_path), "url": url, "text": chunk.text}
    return _as_json({**head, "metadata": {**metadata, "heading_path": list(chunk.heading_path)}})


def describe_answer(answer: dict[str, Any]) -> Result:
    """A whole chat answer: its words, its numbered sources and its verification."""
    message, retrieval = answer["choices"][0]["message"], answer["retrieval"]
    said = message.get("content") or message.get("refusal") or ""
    sources = [{"number": hit["number"], **_passage(hit)} for hit in retrieval["hits"]]
    lines = [f"[{source['number']}] {source['title']} ({source['url'] or source['id']})" for source in sources]
    listed = "\n\nSources:\n" + "\n".join(lines) if lines else ""
    verification = message.get("verification") or {}
    data = {"answer": said, "refused": retrieval["refused"], "sources": sources, "verification": verification}
    return Result(f"{said}{listed}", data)


def describe_cards(cards: list[Card], found: dict[str, Any]) -> Result:
    """The cards of a name, as /v1/reference gives them and as people read them."""
    return Result("\n".join(_draw(cards, found)).strip(), {"name": found["name"], "cards": found["data"]})


def _draw(cards: list[Card], found: dict[str, Any]) -> Iterator[str]:
    for card, data in zip(cards, found["data"], strict=True):
        yield from draw_card(card, found["name"])
        yield f"    {data['url']}" if data["url"] else ""
        yield ""


def describe_verdict(verdict: Verdict) -> Result:
    """The verdict on some code."""
    diagnostics = [{"line": line, "message": message} for line, message in verdict.diagnostics]
    said = {
        "ok": f"ok: no fault is found in this {verdict.language}.",
        "faulty": "faulty:\n" + "\n".join(f"line {one['line']}: {one['message']}" for one in diagnostics),
        "unchecked": (
            f"unchecked: nothing can be said of this {verdict.language}; it is empty, holds an ellipsis or a "
            "placeholder, is a synopsis, or the documents describe too few of its commands."
        ),
    }
    data = {"language": verdict.language, "verdict": verdict.ruling, "diagnostics": diagnostics}
    return Result(said[verdict.ruling], data)


def _passage(hit: dict[str, Any]) -> dict[str, Any]:
    """A hit in the form of OpenAI's connectors."""
    title = _title(hit["title"], hit["heading_path"])
    return {"id": hit["chunk_id"], "title": title, "url": hit["url"] or "", "text": hit["text"]}


def _title(title: str, heading_path: Any) -> str:
    return " > ".join(dict.fromkeys([title, *heading_path]))


def _as_json(data: dict[str, Any]) -> Result:
    return Result(json.dumps(data, ensure_ascii=False), data)
