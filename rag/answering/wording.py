"""Quotes to an answer that a person reads: the place of each passage, then its words.

It says nothing that no document holds, chooses nothing and changes no quoted letter; it only adds Markdown that shows
where a quote begins and ends.

    answer = word_quotes(quotes, hits)   # answer.text is Markdown; answer.citations say which place names which passage
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from rag.answering.citations import Citation
from rag.answering.quotes import Quote
from rag.blocks import fence_code
from rag.documents import Chunk, Hit, describe_place
from rag.index.selection import name_source
from rag.passages import BORDER, FENCE, HEADING, closes_fence

PARTS = " › "  # between the parts of a place
QUOTES_LEAD = "From the documents:"  # between a model's words and the quotes
STOPPED = "The model stopped before its answer was complete."
_SIGNS = re.compile(r"[\\`*\[\]<>]|(?<!\w)_|_(?!\w)")  # that Markdown could take for its own


@dataclass(frozen=True, slots=True)
class QuotedAnswer:
    """An answer in Markdown. Each citation spans what was quoted of its passage, with the line that names the place."""

    text: str
    citations: tuple[Citation, ...]


def word_quotes(quotes: Sequence[Quote], hits: Sequence[Hit]) -> QuotedAnswer:
    """The quotes passage by passage. Passages of one place follow each other, and their place is named once."""
    passages = {number: list(group) for number, group in groupby(quotes, key=lambda quote: quote.number)}
    places: dict[str, list[int]] = {}
    for number in passages:
        places.setdefault(name_place(hits[number - 1].chunk), []).append(number)

    parts: list[str] = []
    citations: list[Citation] = []
    length = 0
    for place, numbers in places.items():
        introduced = set[str]()
        for number in numbers:
            named = f"**{place}** " if number == numbers[0] else ""
            text = hits[number - 1].chunk.text
            part = f"{named}[{number}]\n\n{_quote_passage(text, passages[number], introduced)}"
            introduced.update(text[slice(*span)] for quote in passages[number] for span in quote.context)
            start = length + (2 if parts else 0)
            length = start + len(part)
            parts.append(part)
            citations.append(Citation(number, start, length))
    return QuotedAnswer("\n\n".join(parts), tuple(citations))


def name_place(chunk: Chunk) -> str:
    """Where a passage stands, on one line: collection and version, or an uploaded file's name; title, headings."""
    place = describe_place(chunk.title, chunk.heading_path).replace(" > ", PARTS)
    parts = name_source(chunk.collection, chunk.path), place
    return _literal(" ".join(PARTS.join(parts).split()))


def _literal(text: str) -> str:
    """A name inside bold text: its own Markdown signs shown as they are.

    A `_` within a word is not such a sign, and stays to be copied.
    """
    return _SIGNS.sub(r"\\\g<0>", text)


def _quote_passage(text: str, quotes: Sequence[Quote], introduced: set[str]) -> str:
    """What is quoted of one passage, in its order.

    A lead-in, a heading or a table's header comes once, before the first that needs it; not where it was `introduced`
    by a passage of the same place before, except a table's header.
    """
    blocks: list[str] = []
    shown: set[tuple[int, int]] = set()
    before: Quote | None = None
    for quote in quotes:
        context = [span for span in quote.context if span not in shown and _is_new(text[slice(*span)], introduced)]
        shown.update(context)
        shown.add((quote.start, quote.end))

        # A table's rows follow its header, and items and sentences of one block follow each other, without a blank
        # line.
        joined = before is not None and not context and _stand_together(text, before, quote)
        for span in context:
            blocks.append(text[slice(*span)])
        if joined:
            blocks[-1] += ("\n" if quote.kind in ("row", "item") else " ") + quote.text
        elif quote.kind == "row" and context and blocks[-1].startswith("|"):
            blocks[-1] += "\n" + quote.text
        else:
            blocks.append(quote.text)
        before = quote
    return "\n\n".join(_mark(block) for block in blocks)


def _is_new(introduction: str, introduced: set[str]) -> bool:
    """Whether a lead-in or heading was not shown yet; rows are no table without their header."""
    return introduction.startswith("|") or introduction not in introduced


def _stand_together(text: str, before: Quote, quote: Quote) -> bool:
    """Whether a quote goes on where the one before ended: a row or an item of the same block, or the next sentence."""
    if before.kind != quote.kind:
        return False
    if quote.kind in ("row", "item"):
        return before.context == quote.context
    between = text[before.end : quote.start]
    return quote.kind == "sentence" and not between.strip() and "\n\n" not in between


def _mark(block: str) -> str:
    """A block so that it ends where its words end: code in its fence, all else as a quotation.

    A carriage return is shown as a blank: it would begin a line without our sign.
    """
    block = block.replace("\r", " ")
    if fence := FENCE.match(block):
        is_closed = "\n" in block and closes_fence(block.rsplit("\n", 1)[1], fence[1])
        return block if is_closed else f"{block}\n{fence[1]}"
    if BORDER.match(block):
        return fence_code(block.split("\n"))
    if heading := HEADING.fullmatch(block):
        return f"> **{_literal(heading[1])}**"
    return "\n".join(f"> {line}".rstrip() for line in block.split("\n"))
