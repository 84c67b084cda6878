"""Hits for people to read in a terminal: place, source, scores, and the passage with the words of the question marked.

It searches nothing. Marks are bold on a terminal and absent elsewhere; characters that would steer the terminal are
escaped.

    print_hits("hold buffers", hits, Console())
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields

from rich.console import Console
from rich.text import Text

from rag.documents import Chunk, Hit, describe_place
from rag.index.bm25 import content_terms, tokenize
from rag.printable import printable
from rag.search.copies import describe_copies

MARK = "bold"
TAB = "\t"  # code has it, and it steers nothing
_WORD = re.compile(r"[\w$-]+")
_SCORE_NAMES = {"score": "score", "dense_score": "cosine", "bm25_score": "BM25", "late_score": "token by token"}


def print_hits(query: str, hits: Sequence[Hit], console: Console) -> None:
    """Write each numbered hit, followed by a blank line. Lines are not wrapped, since programs read them too."""
    terms = content_terms(query)
    for number, hit in enumerate(hits, start=1):
        chunk = hit.chunk
        place = printable(describe_place(chunk.title, chunk.heading_path))
        copies = f", {described}" if (described := describe_copies(hit)) else ""
        source = printable(f"{describe_source(chunk)} ({describe_scores(hit)}){describe_age(chunk)}{copies}")
        body = "\n".join(f"    {printable(line, keep=TAB)}" for line in chunk.text.split("\n"))
        text = Text.assemble(f"[{number}] {place}\n    {source}\n", mark(body, terms), "\n")
        console.print(text, soft_wrap=True, highlight=False)


def describe_source(chunk: Chunk) -> str:
    """The source of a chunk: `openroad/grt.pdf, page 3`."""
    return f"{chunk.collection}/{chunk.path}" + (f", page {chunk.page}" if chunk.page is not None else "")


def describe_age(chunk: Chunk) -> str:
    """The version and date of a chunk's document, as far as known: `, version 2.0, 2026-11-24`."""
    return (f", version {chunk.version}" if chunk.version else "") + (f", {chunk.date}" if chunk.date else "")


def describe_scores(hit: Hit) -> str:
    """Every score that a hit has, in the order of its fields."""
    scores = {item.name: getattr(hit, item.name) for item in fields(hit) if item.name in _SCORE_NAMES}
    digits = {"score": 4, "bm25_score": 1}
    return ", ".join(
        f"{_SCORE_NAMES[name]} {value:.{digits.get(name, 2)}f}" for name, value in scores.items() if value is not None
    )


def mark(text: str, terms: frozenset[str]) -> Text:
    """The text with each word in bold that has one of the terms.

    Terms are as `tokenize` makes them: any form of the word, whole names and their parts.
    """
    marked = Text(text)
    for word in _WORD.finditer(text):
        if terms.intersection(tokenize(word.group())):
            marked.stylize(MARK, *word.span())
    return marked
