"""Stops an answer that runs in circles: holds back what repeats, and cuts it where it does nothing else any more.

Small models, above all at temperature 0, write a sentence again and again. Repetition in documents, such as rows of a
table or lines of code, is not a loop: it differs somewhere, or ends. Memory is bounded and time grows with the text
alone.

    guard = LoopGuard()
    shown = guard.feed("Use the core ring. ") + guard.feed("Use the core ring. " * 9) + guard.close()
    # the first sentence; guard.looped
"""

from __future__ import annotations

import re

import numpy as np

FARTHEST = 300  # words between a word and its repetition
LONGEST_WORD = 40  # characters: a longer run without blanks is cut at this length
LONGEST_GAP = 200  # characters of white space before a word: a longer gap is a word by itself
# How often a passage must stand in a row, all copies counted; `LONG` is where a passage counts as long.
LEAST_COPIES, LEAST_COPIES_OF_LONG = 4, 3
LONG = 25  # words
LEAST_WORDS = 24  # of all copies but the first: "very, very, very, very" is style
LEAST_WORDS_WITHOUT_LETTERS = 400  # rows of zeros and rules of dashes are ordinary
LEAST_COPIES_OF_CODE = 12  # lines of code are repeated on purpose

_PIECE = re.compile(rf"\s{{0,{LONGEST_GAP}}}\S{{1,{LONGEST_WORD}}}|\s{{{LONGEST_GAP}}}")
_FENCE = re.compile(r"`{3,}|~{3,}")
_LIST_NUMBER = re.compile(r"\(?\d{1,4}[.):]+")


class LoopGuard:
    """Watches one answer. `looped` says that its tail was cut; whatever is fed then is dropped.

    It holds a word back as long as the word, with those before it, repeats a run among the last `FARTHEST` words, so
    that no copy is shown and taken back. The first new word releases what was held.
    """

    def __init__(self) -> None:
        self.looped = False
        self._open = ""  # white space and a word whose end has not come
        self._shown = 0  # characters of it that are shown already
        self._held: list[
            str
        ] = []  # words that may be copies, each with the white space before it, without what is shown
        self._recent: list[str] = []  # the last words, the newest last
        self._keys = np.zeros(FARTHEST, dtype=np.int64)  # their hashes, the newest first
        self._letters = np.zeros(FARTHEST, dtype=np.bool_)  # whether each has a letter
        self._runs = np.zeros(
            FARTHEST, dtype=np.int64
        )  # by distance less 1: how many of the last words in a row equal those so far before
        self._is_code = False

    def feed(self, text: str) -> str:
        """What can be shown now."""
        if self.looped:
            return ""
        self._open += text
        shown, at = "", 0
        while not self.looped and (piece := _PIECE.match(self._open, at)) and piece.end() < len(self._open):
            at = piece.end()
            shown += self._add(piece.group())
        self._open = self._open[at:]
        return shown if self.looped else shown + self._show_open()

    def close(self, is_cut_off: bool = False) -> str:
        """What is left to be shown once the answer has ended.

        is_cut_off: the length limit cut the answer, so that a loop may have come to few copies.
        """
        if self.looped:
            return ""
        repeated = int(self._runs.max())
        if is_cut_off and repeated >= max(
            LEAST_WORDS, int(self._runs.argmax()) + 1
        ):  # the open word may be half a copy
            self.looped = True
            return "".join(self._held[: len(self._held) - repeated])
        shown = self._add(self._open) if self._open.strip() else ""
        blanks = "" if self._open.strip() else self._open[self._shown :]
        return shown if self.looped else shown + "".join(self._held) + blanks

    def _add(self, piece: str) -> str:
        """Take one word in; returns what it releases."""
        word = piece.strip()
        if _FENCE.match(word):
            self._is_code = not self._is_code
        key = hash("1." if _LIST_NUMBER.fullmatch(word) else word or " ")  # "" has 0, as a place that is not filled
        self._runs = np.where(self._keys == key, self._runs + 1, 0)
        self._keys = np.concatenate([[key], self._keys[:-1]])
        self._letters = np.concatenate([[any(map(str.isalpha, word))], self._letters[:-1]])
        self._recent = [*self._recent[1 - FARTHEST :], word]
        self._held.append(piece[self._shown :])
        self._shown = 0

        repeated = int(self._runs.max())
        if period := self._find_loop():
            self.looped = True
            repeated = int(self._runs[period - 1])
        free = max(len(self._held) - repeated, 0)
        shown, self._held = self._held[:free], self._held[free:]
        return "".join(shown)

    def _show_open(self) -> str:
        """What can be shown of the open word: all, unless it may become a copy or an earlier word is held."""
        word = self._open.strip()
        if self._held or (word and any(one.startswith(word) for one in self._recent)):
            return ""
        shown, self._shown = self._open[self._shown :], len(self._open)
        return shown

    def _find_loop(self) -> int:
        """The distance at which the last words repeat too often, or 0."""
        for place in np.flatnonzero(self._runs >= LEAST_WORDS):
            period, run = int(place) + 1, int(self._runs[place])
            copies = LEAST_COPIES_OF_CODE if self._is_code else LEAST_COPIES if period < LONG else LEAST_COPIES_OF_LONG
            least = LEAST_WORDS if self._letters[:period].any() else LEAST_WORDS_WITHOUT_LETTERS
            if run >= max((copies - 1) * period, least):
                return period
        return 0
