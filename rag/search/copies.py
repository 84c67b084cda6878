"""Passages that say the same of a question take one place among the hits: the newest, with the others named beside it.

Documents in several versions, and files that were copied, hold the same passages again and again, whole or but for a
sentence that was not asked for. It searches nothing.

    hits = fold_copies(ranked_hits, top_k=5, terms=content_terms(question))
    hits[0].copies  # the same in older versions and in other files
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice

from rag.documents import Hit
from rag.index.bm25 import tokenize
from rag.index.selection import version_of

SHORT_WORDS = 12  # a text with fewer ("None.") means what its headings say, so that they must be the same, too
NEARLY = 0.5  # the share of two passages' different words that both have, from which on they are compared by sentence
LOOKED_THROUGH = 2  # times as many hits as are wanted are looked through for copies of these
_PARTS = re.compile(r"\d+|[a-z]+")
_EDGE = re.compile(r"^[^\w`$-]+|[^\w`]+$")  # marks of headings and items, and the full stop
_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+|\n+")


def fold_copies(hits: Iterable[Hit], top_k: int, terms: Collection[str] = ()) -> list[Hit]:
    """The best `top_k` hits that say different things, in the order of `hits`, each with its copies, newest first.

    Two say the same where their texts are equal, or else nearly equal and every sentence with one of the question's
    `terms` is the same. A hit is that of the newest version, at the place and with the scores of the best one.
    """
    groups: list[list[_Read]] = []
    following = iter(hits)
    for hit in following:
        _place(_Read(hit), groups, top_k, terms)
        if len(groups) == top_k:
            break
    for hit in islice(following, LOOKED_THROUGH * top_k):
        _place(_Read(hit), groups, top_k, terms)
    return [_fold([read.hit for read in group]) for group in groups]


@dataclass(frozen=True)
class _Read:
    """A hit whose text is compared with those of others."""

    hit: Hit

    @cached_property
    def words(self) -> frozenset[str]:
        """The different words of the text, in lower case."""
        return frozenset(self.hit.chunk.text.lower().split())

    @cached_property
    def content(self) -> tuple[str, ...]:
        """What equal texts have in common: their words and, where these are few, their headings."""
        chunk = self.hit.chunk
        words = chunk.text.lower().split()
        return (" ".join(words), *(() if len(words) >= SHORT_WORDS else (chunk.title, *chunk.heading_path)))

    def says_the_same(self, other: _Read, terms: Collection[str]) -> bool:
        """Whether both texts are equal, or nearly, and in all sentences with one of the terms."""
        if self.content == other.content:
            return True
        both, either = len(self.words & other.words), len(self.words | other.words)
        if not terms or both < SHORT_WORDS or both < NEARLY * either:
            return False
        own = self._sentences(terms)
        return bool(own) and own == other._sentences(terms)

    def _sentences(self, terms: Collection[str]) -> frozenset[str]:
        parts = _SENTENCE_END.split(self.hit.chunk.text.lower())
        sentences = (_EDGE.sub("", " ".join(part.split())) for part in parts)
        return frozenset(sentence for sentence in sentences if not set(tokenize(sentence)).isdisjoint(terms))


def _place(read: _Read, groups: list[list[_Read]], most: int, terms: Collection[str]) -> None:
    """Put a hit to its copies, or into a group of its own where there is room for one more."""
    for group in groups:
        if group[0].says_the_same(read, terms):
            group.append(read)
            return
    if len(groups) < most:
        groups.append([read])


def describe_copies(hit: Hit) -> str:
    """Where else a hit's text stands: `the same in router@2.0, router@2.1`; "" where nowhere.

    A copy in the hit's own collection is named by its path.
    """
    own = hit.chunk.collection
    names = dict.fromkeys(one.path if one.collection == own else one.collection for one in hit.copies)
    return f"the same in {', '.join(names)}" if names else ""


def _fold(group: list[Hit]) -> Hit:
    """The newest of one text, at the place of the first."""
    newest_first = sorted(
        group, key=lambda hit: _order_of(version_of(hit.chunk.collection, hit.chunk.version)), reverse=True
    )
    chunk, *copies = (hit.chunk for hit in newest_first)
    return replace(group[0], chunk=chunk, copies=tuple(copies))


def _order_of(version: str) -> list[tuple[int, str]]:
    """Versions in the order of their numbers, 2.9 before 2.10; one that is not known comes before all."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in _PARTS.findall(version.lower())]
