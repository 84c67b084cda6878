"""Misspelled words of a question, put right by the words that the documents have.

A word counts as misspelled where no passage holds it, English has no such word, and one slip of a finger behind its
first letter leads to a word that passages hold: a letter too many, too few, another one, or two that changed places.
The one that most passages hold is taken. Names stay as they are: options, commands, paths, upper case.

    Speller(bm25, texts.__getitem__).correct("whcih comand repairs antenas")
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from functools import cache

import Stemmer
from spellchecker import SpellChecker

from rag.index.bm25 import STOP_WORDS, Bm25Index

LEAST_LETTERS = 4  # of a word: a shorter one is a slip away from too many others
SHORT = 4  # of a word with so many letters no letter was another one, or too many: "algo" is not "also"
MOST_WORDS = 80  # of a question: a longer text was pasted
LOOKED = 20  # passages with a stem, in which a word of it is looked for
_BESIDE = r"\w$`'’/\\~=-"  # what makes a word a part of a name, or of a longer word
_WORD = re.compile(rf"(?<![.:{_BESIDE}])[A-Za-z][a-z]{{{LEAST_LETTERS - 1},}}(?![{_BESIDE}]|[.:][\w:])")


class Speller:
    """Knows the words of an index. Safe to use from many threads."""

    def __init__(self, bm25: Bm25Index, text_of: Callable[[int], str]) -> None:
        """text_of: the text of a row of the index."""
        self._bm25 = bm25
        self._text_of = text_of

    def correct(self, question: str, names: Collection[str] = ()) -> str:
        """The question with words of the documents for its misspelled ones; `names`, in lower case, stay."""
        if len(question.split()) > MOST_WORDS:
            return question

        def put_right(found: re.Match[str]) -> str:
            """A word, or what it was meant to be."""
            word = found.group().lower()
            return found.group() if word in names else self._find_meant(word) or found.group()

        return _WORD.sub(put_right, question)

    def _find_meant(self, word: str) -> str | None:
        """What a misspelled word stands for; None for a word that is right, and for one that leads nowhere."""
        stemmer = Stemmer.Stemmer("english")  # made anew: it must not be shared between threads
        if self._count(word, stemmer.stemWord(word)) or _is_english(word):
            return None
        slips = sorted(slip for slip in _english().edit_distance_1(word) if slip[:1] == word[0])
        if len(word) <= SHORT:
            slips = [slip for slip in slips if len(slip) > len(word) or sorted(slip) == sorted(word)]

        found: list[tuple[int, bool, str]] = []
        for slip, stem in zip(slips, stemmer.stemWords(slips), strict=True):
            if count := self._count(slip, stem):
                is_written = self._is_written(slip, stem)
                if is_written or _is_english(slip):
                    found.append((count, is_written, slip))
        return max(found)[-1] if found else None

    def _count(self, word: str, stem: str) -> int:
        """How many passages hold a word in any of its forms; of the commonest words, all."""
        return self._bm25.count if word in STOP_WORDS else self._bm25.count_with(stem)

    def _is_written(self, word: str, stem: str) -> bool:
        """Whether a passage has the word in this form: a stem alone is nothing that anybody writes."""
        rows = self._bm25.rows_with_all([stem])[:LOOKED]
        whole = re.compile(rf"\b{word}\b", re.IGNORECASE)
        return any(whole.search(self._text_of(int(row))) for row in rows)


def _is_english(word: str) -> bool:
    """Whether it is an English word, or one that lacks its apostrophe ("isnt")."""
    return bool(_english().known([word, f"{word[:-1]}'{word[-1:]}"]))


@cache
def _english() -> SpellChecker:
    """The words of English, read on first use."""
    return SpellChecker("en", distance=1)
