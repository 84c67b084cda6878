"""Cuts a model's text, while it is written, into parts that can be checked.

Parts are sentences, list items, table rows, headings and whole blocks of code. Each has its exact place in the answer.
The cuts do not depend on how the text arrives, in one piece or letter by letter. It judges nothing.

    [part.kind for part in split_answer("Run it:\\n```tcl\\npdngen\\n```")]   # ["sentence", "code"]
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from rag.answering.units import NO_END
from rag.passages import FENCE, MARKER, closes_fence

PartKind = Literal["sentence", "item", "row", "heading", "code"]

LONGEST = 4000  # characters of a sentence or row: what goes on without an end is cut there, so that little is held back
LONGEST_CODE = 64_000  # characters of a block of code, likewise
# Characters of a line after which it is clear whether it opens a block of code: at most three blanks, and three signs
FENCE_SIGNS = 6

# A stop, what closes behind it, markers of passages, and then white space before whatever can open the next sentence.
_STOP = re.compile(r"[.!?][\"')\]`*]*(?: ?\[\d[\d,; ]{0,12}\])*(?=\s+(?:[A-Z\d`\"'(*_$<-]|\[(?!\d)))")
# Up to the last character that cannot stand between a stop and the next sentence. Once another character has come, the
# stops before it are decided.
_DECIDED = re.compile(r".*[^\"')\]`*\[\d,;\s](?=.)", re.DOTALL)
_MARKER = re.compile(MARKER)
_HEADING = re.compile(r"#{1,6}\s.*|(?:\*\*|__)[^*_\n]{1,120}(?:\*\*|__):?|(?:\*\*|__)[^*_\n]{1,120}:(?:\*\*|__)")

_OPEN_HEADING = re.compile(r"(?:\*\*|__)[^*_\n]{0,120}[*_]{0,2}:?\s*")  # what more text can make one in bold


@dataclass(frozen=True, slots=True)
class Part:
    """`answer[start:end]`, without the white space around it."""

    kind: PartKind
    start: int
    end: int


def split_answer(answer: str) -> list[Part]:
    """The parts of a whole answer, in order; all that stands between them is white space."""
    splitter = Splitter()
    pieces = (
        answer[at : at + LONGEST] for at in range(0, len(answer), LONGEST)
    )  # what is cut off is copied, so no piece is long
    return [*(part for piece in pieces for part in splitter.feed(piece)), *splitter.close()]


class Splitter:
    """Cuts an answer while it arrives.

    It keeps the text of the open part alone, which has at most `LONGEST_CODE` characters.
    """

    def __init__(self) -> None:
        self._text = ""  # of the open part; it begins with no white space
        self._at = 0  # where in the answer that is
        self._opens_line = True
        self._fence = ""  # of the block of code that is open
        self._looked = 0  # up to where in the open part no end was found, nor will be

    def feed(self, text: str) -> list[Part]:
        """The parts that end within what has arrived."""
        self._text += text
        return list(self._take(is_end=False))

    def close(self) -> list[Part]:
        """The rest, once nothing more arrives."""
        return list(self._take(is_end=True))

    def _take(self, is_end: bool) -> Iterator[Part]:
        self._skip_blanks()
        while self._text and (found := self._find_part(is_end)):
            kind, length = found
            end = len(self._text[:length].rstrip())
            yield Part(kind, self._at, self._at + end)
            self._drop(end)
            self._skip_blanks()

    def _skip_blanks(self) -> None:
        """Let the open part begin with what is not white space. Text inside a block of code stays as it is."""
        blanks = len(self._text) - len(self._text.lstrip()) if not self._fence else 0
        if blanks:
            self._opens_line |= "\n" in self._text[:blanks]
            self._drop(blanks, self._opens_line)

    def _drop(self, length: int, opens_line: bool = False) -> None:
        self._text, self._at = self._text[length:], self._at + length
        self._opens_line, self._looked = opens_line, 0

    def _find_part(self, is_end: bool) -> tuple[PartKind, int] | None:
        """The kind of the open part and its length, or None while it has not ended."""
        line_end = self._text.find("\n", 0, LONGEST)
        is_line_whole = line_end >= 0 or is_end
        if not self._fence and self._opens_line:
            if not is_line_whole and len(self._text) < FENCE_SIGNS:
                return None
            opened = FENCE.match(self._text, 0, LONGEST)
            if opened and not is_line_whole and len(opened[0]) == len(self._text) < LONGEST:
                return None  # the fence itself may be longer
            self._fence = opened[1] if opened else ""
        if self._fence:
            return self._find_fence_end(is_end)

        line = self._text[: line_end if line_end >= 0 else LONGEST]
        if self._opens_line and (line.startswith("|") or _HEADING.fullmatch(line.rstrip())):
            kind: PartKind = "row" if line.startswith("|") else "heading"
            return (kind, len(line)) if is_line_whole or len(line) == LONGEST else None
        if self._opens_line and not is_line_whole and len(line) < LONGEST and _OPEN_HEADING.fullmatch(line):
            return None
        return self._find_sentence_end(line, is_line_whole)

    def _find_fence_end(self, is_end: bool) -> tuple[PartKind, int] | None:
        at = self._looked
        while (line_end := self._text.find("\n", at, LONGEST_CODE)) >= 0:
            is_opening = at == 0 and self._opens_line
            if not is_opening and closes_fence(self._text[at:line_end], self._fence):
                self._fence = ""
                return "code", line_end
            at = line_end + 1
        self._looked = at
        if is_end or len(self._text) >= LONGEST_CODE:
            self._fence = "" if is_end else self._fence
            return "code", len(self._text) if is_end else LONGEST_CODE
        return None

    def _find_sentence_end(self, line: str, is_line_whole: bool) -> tuple[PartKind, int] | None:
        marker = _MARKER.match(line) if self._opens_line else None
        kind: PartKind = "item" if marker else "sentence"
        for stop in _STOP.finditer(line, max(self._looked, marker.end() if marker else 0)):
            opens_next = len(line) - len(line[stop.end() :].lstrip())
            is_clear = is_line_whole or opens_next + 1 < len(line)
            if is_clear and not NO_END.search(line, max(0, stop.start() - 8), stop.start() + 1):
                return kind, stop.end()
        if decided := _DECIDED.match(line, self._looked):
            self._looked = decided.end() - 1
        return (kind, len(line)) if is_line_whole or len(line) == LONGEST else None
