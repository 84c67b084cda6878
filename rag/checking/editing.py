"""Lets only the supported parts of a model's prose through, part by part while it is written.

What introduces something (a heading, a line with a colon, the header of a table) comes with what it introduces, or not
at all. It judges nothing itself, and knows no passages.

    editor = Editor(judge)   # judge(part, text): a Sentence, or None where a part says nothing that needs support
    shown = editor.feed("## Fix\\n\\nUse it. Or n") + editor.feed("ot.") + editor.close()
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rag.answering.citations import keep_markers
from rag.checking.sentences import LONGEST, Part, Splitter
from rag.checking.support import Sentence

Judge = Callable[[Part, str], Sentence | None]

# The probability from which on a sentence is shown. It is higher than the one from which on a sentence counts as
# supported: what is left out stands in the quotes below, and readers believe what is shown.
SHOWN = 0.85


@dataclass(frozen=True, slots=True)
class _Lead:
    """What introduces the next part, with the white space before it."""

    text: str
    gap: str
    is_heading: bool


class Editor:
    """Edits one answer.

    `sentences` are those that were let through, with their places in what is shown; `dropped` counts the others.
    """

    def __init__(self, judge: Judge) -> None:
        self.sentences: list[Sentence] = []
        self.dropped = 0
        self.length = 0  # of what is shown
        self._judge = judge
        self._splitter = Splitter()
        self._ended: list[Part] = []  # that the judge has not seen
        self._text = ""  # what arrived from `_at` on
        self._at = 0
        self._gap = ""  # the white space since what was shown last, or what is left of it where something was dropped
        self._leads: list[_Lead] = []
        self._misled = False  # whether something was dropped since the last of these
        self._was_row = False

    def feed(self, text: str) -> str:
        """What can be shown now. Takes as long as the judge takes for each part that has ended."""
        shown = []
        for at in range(0, len(text), LONGEST):
            self.arrive(text[at : at + LONGEST])
            shown.append(self.show())
        return "".join(shown)

    def arrive(self, text: str) -> bool:
        """Take in a little text; returns whether a part has ended in it, on which `show` asks the judge."""
        self._text += text
        self._ended += self._splitter.feed(text)
        return bool(self._ended)

    def show(self) -> str:
        """What can be shown of the parts that have ended."""
        ended, self._ended = self._ended, []
        return self._take(ended)

    def close(self, is_cut_off: bool = False) -> str:
        """The rest, once the answer has ended.

        is_cut_off: the length limit cut the answer, so that its last part is incomplete.
        """
        rest = self._splitter.close()
        if is_cut_off and rest:
            self.dropped += 1
            rest = rest[:-1]
        return self._take(rest)

    def _take(self, parts: Sequence[Part]) -> str:
        shown = ""
        for part in parts:
            gap, text = self._text[: part.start - self._at], self._text[part.start - self._at : part.end - self._at]
            self._text, self._at = self._text[part.end - self._at :], part.end
            shown += self._edit(part, text, gap)
        return shown

    def _edit(self, part: Part, text: str, gap: str) -> str:
        opens_table = part.kind == "row" and not self._was_row
        self._was_row = part.kind == "row"
        judged = None if opens_table else self._judge(part, text)
        if judged is None:
            is_heading = part.kind == "heading"
            self._leads = [] if is_heading else self._leads  # a heading that nothing followed led nowhere
            self._leads.append(_Lead(text, gap, is_heading))
            self._misled = False
            return ""
        if judged.score < SHOWN:
            self.dropped += 1
            self._gap = _wider(self._gap, gap)
            self._misled = True
            if part.kind == "sentence":
                self._leads = [lead for lead in self._leads if lead.is_heading]
            return ""

        if (
            self._misled and part.kind == "sentence"
        ):  # what a line with a colon introduced was dropped, and this is not a part of it
            self._leads = [lead for lead in self._leads if lead.is_heading]
        before = "".join(self._add(lead.text, lead.gap) for lead in self._leads)
        self._leads = []
        text = keep_markers(text, judged.passages) if part.kind != "code" else text
        shown = self._add(text, gap)
        if part.kind != "code":
            self.sentences.append(replace(judged, start=self.length - len(text), end=self.length))
        return before + shown

    def _add(self, text: str, gap: str) -> str:
        """Show a text behind what is shown already."""
        gap = _wider(self._gap, gap) if self.length else ""
        self._gap = ""
        self.length += len(gap) + len(text)
        return gap + text


def _wider(one: str, other: str) -> str:
    """Of two gaps the one that parts more: a blank line, a new line, a blank."""
    return max(other, one, key=lambda gap: (min(gap.count("\n"), 2), bool(gap)))
