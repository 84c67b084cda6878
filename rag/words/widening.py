"""Widens a question softly by the lexicon: by further terms for BM25, and by a second wording for the vectors.

Only what the documents hold is added. A word that is a manual's own, and that a passage holds, is left alone. It finds
no phrase (`lexicon` does) and embeds nothing.

    widening = Widening(open_lexicon(), index.bm25, weight=0.5, share=0.5)
    widening.wordings("races after wiring")  # ["races after wiring", "hold violation after routing"]
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from rag.index.bm25 import Bm25Index, tokenize
from rag.settings import RagSettings
from rag.words.lexicon import Lexicon, Use, open_lexicon
from rag.words.lexicon_file import Group
from rag.words.phrases import phrase_key

NO_LEXICON = Lexicon([])
# Of the manual's, for one that was typed: the usual ones stand first, and each takes a tenth of a millisecond
MOST_PHRASES = 4


class Widening:
    """A lexicon over the postings of an index. One serves many threads."""

    def __init__(self, lexicon: Lexicon, bm25: Bm25Index, weight: float, share: float) -> None:
        """weight: of the best that a passage gets by the lexicon's terms, beside the best by those that were typed.

        share: of what a passage is more like the second wording than the first, which is added to its similarity.
        """
        self._lexicon = lexicon
        self._bm25 = bm25
        self._weight = weight
        self.share = share
        self._held: dict[str, bool] = {}  # whether a passage holds a phrase's terms

    @classmethod
    def of(cls, settings: RagSettings, bm25: Bm25Index) -> Widening:
        """That of the settings; it does nothing where they give the lexicon no weight.

        Raises LexiconUnusable.
        """
        weight, share = settings.lexicon_weight, settings.lexicon_share
        return cls(open_lexicon(settings.lexicon) if weight or share else NO_LEXICON, bm25, weight, share)

    def wordings(self, text: str) -> list[str]:
        """The text, and, where it has words of engineers, the text in a manual's words."""
        if not self.share:
            return [text]
        reworded, end = "", 0
        for use, phrases in self._widened(text):
            reworded += f"{text[end : use.start]}{phrases[0]} {text[slice(*use.held)]}".rstrip()
            end = use.end
        return [text, reworded + text[end:]] if end else [text]

    def scores(self, text: str) -> NDArray[np.float32]:
        """BM25's scores of every row, shape (rows,), raised in rows that hold a manual's phrase.

        Of one group the best phrase counts, and of it the terms that the text lacks. No row is raised by more than
        `weight` times the best score by the typed terms.
        """
        typed = self._bm25.scores(text)
        if not self._weight:
            return typed
        known = frozenset(tokenize(text))
        added = np.zeros_like(typed)
        for _, phrases in self._widened(text):
            added += np.max([self._bm25.phrase_scores(tokenize(phrase), known) for phrase in phrases], axis=0)
        best_typed, best_added = typed.max(initial=0.0), added.max(initial=0.0)
        limit = min(1.0, best_typed / best_added) if best_typed and best_added else 1.0
        return typed + np.float32(self._weight * limit) * added

    def _widened(self, text: str) -> Iterator[tuple[Use, list[str]]]:
        """The uses of engineers' words, each with the manual's phrases for it that passages hold."""
        for use in self._lexicon.find(text):
            if any(self._is_known(use, group) for group in use.groups):
                continue
            manual = dict.fromkeys(phrase for group in use.groups for phrase in group.manual)
            if phrases := list(islice(filter(self._is_held, manual), MOST_PHRASES)):
                yield use, phrases

    def _is_known(self, use: Use, group: Group) -> bool:
        """Whether the phrase is one of the manual's, and a passage holds it."""
        return any(phrase_key(phrase) == use.key and self._is_held(phrase) for phrase in group.manual)

    def _is_held(self, phrase: str) -> bool:
        if phrase not in self._held:
            self._held[phrase] = len(self._bm25.rows_with_all(tokenize(phrase))) > 0
        return self._held[phrase]
