"""What was found for an answer, as it goes to a client: `retrieval` with its passages, and citations in OpenAI's form.

It finds nothing.

    answer["retrieval"] = retrieval_object(grounded, True, passage_url)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rag.answering.citations import Citation
from rag.documents import Chunk, Hit
from rag.index.selection import version_of
from serve.answers.chat import Grounded
from serve.uploads.built import attributes_of
from serve.uploads.objects import file_id_of, file_name_of

AttributesOf = Callable[[Chunk], Mapping[str, Any] | None]  # of the document that a passage is of


def retrieval_object(
    grounded: Grounded, enabled: bool, passage_url: Callable[[Hit], str], describe: AttributesOf = attributes_of
) -> dict[str, Any]:
    """The `retrieval` field of an answer: query or why there is none, quotes, passages as the prompt numbers them."""
    hits = [hit_object(number, hit, passage_url, describe) for number, hit in enumerate(grounded.hits, start=1)]
    quotes = [
        {"number": quote.number, "text": quote.text, "start": quote.start, "end": quote.end, "kind": quote.kind}
        for quote in grounded.quotes
    ]

    return {
        "enabled": enabled,
        "query": grounded.query,
        "not_searched": grounded.not_searched,
        "fallback": grounded.fallback,
        "refused": grounded.refused,
        "shortened": {"lines": cut.lines, "kept": cut.kept} if (cut := grounded.shortened) else None,
        "hits": hits,
        "quotes": quotes,
    }


def hit_object(
    number: int, hit: Hit, passage_url: Callable[[Hit], str], describe: AttributesOf = attributes_of
) -> dict[str, Any]:
    """A numbered passage with its place, address and scores, and its file as vector stores have it.

    `page` is a PDF's; `version` is the document's own, or what follows the collection's `@`. Either is None if unknown.
    `copies` are collections and paths where the same is said.
    """
    chunk = hit.chunk
    fields = ("chunk_id", "collection", "path", "title", "text", "licence", "page")
    return {
        "number": number,
        **{name: getattr(chunk, name) for name in fields},
        "file_id": file_id_of(chunk.collection, chunk.path),
        "filename": file_name_of(chunk.collection, chunk.path),
        "attributes": dict(describe(chunk) or {}),
        "version": version_of(chunk.collection, chunk.version) or None,
        "heading_path": list(chunk.heading_path),
        "url": passage_url(hit),
        "score": hit.score,
        "dense_score": hit.dense_score,
        "bm25_score": hit.bm25_score,
        "late_score": hit.late_score,
        "copies": [{"collection": copy.collection, "path": copy.path} for copy in hit.copies],
    }


def as_annotations(
    citations: Sequence[Citation], hits: Sequence[Hit], passage_url: Callable[[Hit], str]
) -> list[dict[str, Any]]:
    """Citations in OpenAI's form."""
    return [
        {
            "type": "url_citation",
            "url_citation": {
                "url": passage_url(hits[citation.number - 1]),
                "title": hits[citation.number - 1].chunk.title,
                "start_index": citation.start,
                "end_index": citation.end,
            },
            "number": citation.number,
        }
        for citation in citations
    ]
