"""The last answers of this process, in memory alone: feedback, which names an answer by its id, finds its words there.

It is filled only where the operator keeps what is rated, and ends with the process. Several threads may use it.

    recent = RecentAnswers(); recent.note("chatcmpl-1", "Which option?", "Use `-hold`."); recent.find("chatcmpl-1")
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

MOST_ANSWERS = 10_000
MOST_CHARACTERS = 20_000_000  # of all questions and answers together
LONGEST = 50_000  # characters of a question or an answer; a longer one is cut


class RecentAnswers:
    """Questions and answers by the answer's id; the oldest make room."""

    def __init__(self, most: int = MOST_ANSWERS, most_characters: int = MOST_CHARACTERS) -> None:
        self._most, self._most_characters = most, most_characters
        self._kept: OrderedDict[str, tuple[str, str]] = OrderedDict()
        self._characters = 0
        self._lock = Lock()

    def note(self, answer_id: str, question: str, answer: str) -> None:
        """Remember an answer for a while."""
        with self._lock:
            self._forget(answer_id)
            self._kept[answer_id] = question[:LONGEST], answer[:LONGEST]
            self._characters += sum(map(len, self._kept[answer_id]))
            while len(self._kept) > self._most or self._characters > self._most_characters:
                self._forget(next(iter(self._kept)))

    def find(self, answer_id: str) -> tuple[str, str] | None:
        """Question and answer, or None."""
        with self._lock:
            return self._kept.get(answer_id)

    def _forget(self, answer_id: str) -> None:
        self._characters -= sum(map(len, self._kept.pop(answer_id, ("", ""))))
