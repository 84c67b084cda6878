"""Cites the passages that an answer stands on, and the places in it that say so.

Citations come from the check of its sentences alone (rag.checking.support). A marker that a model wrote, `[1]`, counts
where the check credits its sentence to that passage. It does not judge whether the answer is right.

    cite("Use -guide_file [1].", [Sentence(0, 20, 0.9, passages=(1,))]) == [Citation(number=1, start=16, end=19)]
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

_CODE = re.compile(r"```.*?(?:```|$)|`[^`\n]*`", re.DOTALL)
_MARKER = re.compile(r"(?<!\w)\[\s*(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\s*\]")


@dataclass(frozen=True, slots=True)
class Citation:
    """`answer[start:end]` stands on passage `number` (1 is the first hit).

    The span is the marker, or a whole sentence.
    """

    number: int
    start: int
    end: int


class Credited(Protocol):
    """What citing needs of a `rag.checking.support.Sentence`."""

    @property
    def start(self) -> int:
        """Where the sentence begins in the answer."""

    @property
    def end(self) -> int:
        """Where it ends."""

    @property
    def passages(self) -> tuple[int, ...]:
        """The numbers of the passages that support it."""


def cite(answer: str, sentences: Sequence[Credited]) -> list[Citation]:
    """A citation for each passage that supports a sentence, in the order of the answer.

    It spans the passage's marker in the sentence, or else the whole sentence.
    """
    found: list[Citation] = []
    for sentence in sentences:
        text = answer[sentence.start : sentence.end]
        marked = [
            one for one in cite_markers(text, max(sentence.passages, default=0)) if one.number in sentence.passages
        ]
        marked = [Citation(one.number, sentence.start + one.start, sentence.start + one.end) for one in marked]
        unmarked = set(sentence.passages) - {one.number for one in marked}
        found += [Citation(number, sentence.start, sentence.end) for number in sorted(unmarked)] + marked
    return found


def cite_markers(answer: str, passages: int) -> list[Citation]:
    """The markers in the text, outside of code, with a number of one of the passages: [1], [2][3], [1, 2].

    clk[3] is not a marker but a bus bit.
    """
    found: list[Citation] = []
    code = [match.span() for match in _CODE.finditer(answer)]
    for match in _MARKER.finditer(answer):
        if any(start <= match.start() < end for start, end in code):
            continue
        numbers = dict.fromkeys(int(number) for number in re.findall(r"\d+", match[1]))
        found += [Citation(number, match.start(), match.end()) for number in numbers if 1 <= number <= passages]
    return found


def keep_markers(sentence: str, passages: Sequence[int]) -> str:
    """A sentence with only those markers whose passages support it."""
    code = [match.span() for match in _CODE.finditer(sentence)]

    def keep(match: re.Match[str]) -> str:
        """The marker with the numbers that stay, or nothing."""
        if any(start <= match.start(1) < end for start, end in code):
            return match[0]
        numbers = [number for number in re.findall(r"\d+", match[1]) if int(number) in passages]
        return f"{match[0][: match.start(1) - match.start() - 1]}[{', '.join(numbers)}]" if numbers else ""

    return re.sub(rf" ?{_MARKER.pattern}", keep, sentence)
