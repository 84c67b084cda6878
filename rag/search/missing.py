"""What of a question no passage has: an exact name, or what is asked of one that is known.

"What is the jitter of icepll" finds pages on `icepll`, none of which speaks of jitter; "repair_antenas" finds none, and
means another name. It searches nothing else.

    find_missing("jitter of icepll -o", bm25, chunks)  # Missing("icepll", its best chunk, ("jitter",), {"jitter"})
    find_misnamed("what does repair_antenas do", bm25, reference)  # Misnamed("repair_antenas", ("repair_antennas",))
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from rag.documents import Chunk
from rag.index.bm25 import ASKING_WORDS, Bm25Index, find_tokens, is_identifier, tokenize
from rag.reference.cards import Reference

MOST_LOOKED_UP = 4  # unknown names: a pasted log has hundreds
NEAR = 0.85  # how much alike two names are that differ by a slip or two, of 1
MOST_MISSING = 4  # words: where more are missing, a list of them says nothing
_CAMEL_CASE = re.compile(r"[A-Za-z]?[a-z\d]+(?:[A-Z][a-z\d]*){2,}")  # setDelayTolerance; not OpenRoad


@dataclass(frozen=True, slots=True)
class Missing:
    """A name as the question writes it, and the passage that holds it with most of what is asked beside it.

    `words` are those that stand beside it in no passage, if they are few; `terms` are all that is asked of it.
    """

    name: str
    chunk: Chunk
    words: tuple[str, ...]
    terms: frozenset[str]


@dataclass(frozen=True, slots=True)
class Misnamed:
    """A name as the question writes it, which no passage holds, and the described names that are spelled nearly so."""

    name: str
    near: tuple[str, ...]


def find_misnamed(query: str, bm25: Bm25Index, reference: Reference) -> Misnamed | None:
    """The question's first unknown name that a described one is spelled like; None where there is no such.

    A name with another number is no slip: who asks for `RSZ-0060` does not mean `RSZ-0062`.
    """
    unknown = (token for token in find_tokens(query) if is_identifier(token) and not bm25.count_with(token.lower()))
    for token in islice(unknown, MOST_LOOKED_UP):
        numbers = _numbers(token)
        if near := tuple(name for name in reference.near(token, NEAR) if _numbers(name) == numbers):
            return Misnamed(token, near)
    return None


def _numbers(name: str) -> list[int]:
    """The numbers in a name, whether they have zeros before them or not."""
    return [int(digits) for digits in re.findall(r"\d+", name)]


def find_missing(query: str, bm25: Bm25Index, chunks: Sequence[Chunk], most_with_name: int) -> Missing | None:
    """The question's rarest known name with the words that no passage beside it has.

    None without a name, and where no word is missing and more passages than `most_with_name` hold it: such a name says
    little. `chunks` has the rows of `bm25`.
    """
    tokens = list(dict.fromkeys(find_tokens(query)))
    holding = {token: rows for token in tokens if _is_name(token) and (rows := _rows_with_name(token, bm25))}
    name = min(holding, key=lambda token: len(holding[token]), default="")
    if not name:
        return None

    counts = dict.fromkeys(sorted(holding[name]), 0)  # row: words of the question that it has
    missing, asked = [], set()
    for token in tokens:
        terms = set(tokenize(token)) - ASKING_WORDS
        if not terms or _is_name(token):
            continue
        asked |= terms
        beside = frozenset().union(*map(bm25.rows_with, terms)).intersection(counts)
        for row in beside:
            counts[row] += 1
        if not beside:
            missing.append(token)
    words = tuple(missing) if len(missing) <= MOST_MISSING else ()
    if not words and len(counts) > most_with_name:
        return None
    best = max(counts, key=counts.__getitem__)
    return Missing(name, chunks[best], words, frozenset(asked))


def _is_name(token: str) -> bool:
    return is_identifier(token) or bool(_CAMEL_CASE.fullmatch(token))


def _rows_with_name(name: str, bm25: Bm25Index) -> frozenset[int]:
    """The passages that hold a name whole."""
    return bm25.rows_with(tokenize(name)[0])
