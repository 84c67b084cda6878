"""What of a question no passage has: an exact name, or the words beside one that is known.

"What is the jitter of icepll" finds pages on `icepll`, none of which speaks of jitter; "repair_antenas" finds none, and
means another name. It searches nothing else.

    find_missing("jitter of icepll -o", bm25, chunks)  # Missing("icepll", its best chunk, ("jitter",))
    find_misnamed("what does repair_antenas do", bm25, reference)  # Misnamed("repair_antenas", ("repair_antennas",))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from rag.documents import Chunk
from rag.index.bm25 import ASKING_WORDS, Bm25Index, find_tokens, is_identifier, tokenize
from rag.reference.cards import Reference

MOST_TOKENS = 25  # of a question: a pasted log has words of all kinds
MOST_LOOKED_UP = 4  # unknown names: a pasted log has hundreds
NEAR = 0.85  # how much alike two names are that differ by a slip or two, of 1
MOST_MISSING = 4  # words: where more are missing, it asks for something else than what the name stands for


@dataclass(frozen=True, slots=True)
class Missing:
    """A name as the question writes it, the passage with most of what is asked beside it, and words of no such one."""

    name: str
    chunk: Chunk
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Misnamed:
    """A name as the question writes it, which no passage holds, and the described names that are spelled nearly so."""

    name: str
    near: tuple[str, ...]


def find_misnamed(query: str, bm25: Bm25Index, reference: Reference) -> Misnamed | None:
    """The question's first unknown name that a described one is spelled like; None where there is no such."""
    unknown = (token for token in find_tokens(query) if is_identifier(token) and not bm25.count_with(token.lower()))
    for token in islice(unknown, MOST_LOOKED_UP):
        if near := reference.near(token, NEAR):
            return Misnamed(token, tuple(near))
    return None


def find_missing(query: str, bm25: Bm25Index, chunks: Sequence[Chunk]) -> Missing | None:
    """The question's rarest known name with the words that no passage beside it has.

    None without a name or such words, and where these are many. `chunks` has the rows of `bm25`.
    """
    tokens = find_tokens(query)
    if len(tokens) > MOST_TOKENS:
        return None
    holding = {token: rows for token in tokens if is_identifier(token) and (rows := bm25.rows_with(token.lower()))}
    if not holding:
        return None
    name = min(holding, key=lambda token: len(holding[token]))

    counts = dict.fromkeys(sorted(holding[name]), 0)  # row: words of the question that it has
    missing = []
    for token in dict.fromkeys(tokens):
        terms = set(tokenize(token)) - ASKING_WORDS
        if not terms or is_identifier(token):
            continue
        beside = frozenset().union(*map(bm25.rows_with, terms)).intersection(counts)
        for row in beside:
            counts[row] += 1
        if not beside:
            missing.append(token)
    best = max(counts, key=counts.__getitem__)
    return Missing(name, chunks[best], tuple(missing)) if 0 < len(missing) <= MOST_MISSING else None
