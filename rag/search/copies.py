"""Passages with one text take one place among the hits: that of the newest version, with the others named beside it.

Documents in several versions, and files that were copied, hold the same passages again and again. It searches nothing.

    hits = fold_copies(ranked_hits, top_k=5)
    hits[0].copies  # the same passage in older versions and in other files
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from rag.documents import Chunk, Hit
from rag.index.selection import VERSION_MARK

SHORT_WORDS = 12  # a text with fewer ("None.") means what its headings say, so that they must be the same, too
_PARTS = re.compile(r"\d+|[a-z]+")


def fold_copies(hits: Iterable[Hit], top_k: int) -> list[Hit]:
    """The best `top_k` hits with different texts, in the order of `hits`, each with its copies, newest first.

    A hit is that of the newest version, at the place and with the scores of the best one.
    """
    groups: dict[tuple[str, ...], list[Hit]] = {}
    for hit in hits:
        key = _content(hit.chunk)
        # Copies score alike, and so stand together: a lower score has none of those that were taken
        if key not in groups and len(groups) == top_k:
            last = next(reversed(groups.values()))[0]
            if hit.score < last.score:
                break
            continue
        groups.setdefault(key, []).append(hit)
    return [_fold(group) for group in groups.values()]


def describe_copies(hit: Hit) -> str:
    """Where else a hit's text stands: `the same in router@2.0, router@2.1`; "" where nowhere.

    A copy in the hit's own collection is named by its path.
    """
    own = hit.chunk.collection
    names = dict.fromkeys(one.path if one.collection == own else one.collection for one in hit.copies)
    return f"the same in {', '.join(names)}" if names else ""


def version_of(chunk: Chunk) -> str:
    """The version of a chunk's document, or what follows the `@` of its collection's name; "" where not known."""
    return chunk.version or chunk.collection.partition(VERSION_MARK)[2]


def _fold(group: list[Hit]) -> Hit:
    """The newest of one text, at the place of the first."""
    newest_first = sorted(group, key=lambda hit: _order_of(version_of(hit.chunk)), reverse=True)
    chunk, *copies = (hit.chunk for hit in newest_first)
    return replace(group[0], chunk=chunk, copies=tuple(copies))


def _content(chunk: Chunk) -> tuple[str, ...]:
    """What copies have in common: their words and, where these are few, their headings."""
    words = chunk.text.lower().split()
    return (" ".join(words), *(() if len(words) >= SHORT_WORDS else (chunk.title, *chunk.heading_path)))


def _order_of(version: str) -> list[tuple[int, str]]:
    """Versions in the order of their numbers, 2.9 before 2.10; one that is not known comes before all."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in _PARTS.findall(version.lower())]
