"""A part of an index: which rows the named collections have.

`DenseIndex.within` and `Bm25Index.within` search those rows alone.

It reads no files. A name without a version means all versions: `openroad` selects `openroad`, `openroad@2.0` and
`openroad@3.0`.

    names = select_collections(["openroad"], index.collections); mask = mask_of(names, first_rows, count)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from rag.errors import CollectionUnknown

if TYPE_CHECKING:
    from rag.index.dense import Mask  # which loads FAISS

VERSION_MARK = "@"
# The name of a collection that a gateway's clients uploaded: it is searched where it is named, and not otherwise
UPLOADED = re.compile(r"vs_[0-9a-f]{24}")


def is_uploaded(collection: str) -> bool:
    """Whether a gateway's clients uploaded the collection, so that no build from sources makes or removes it."""
    return bool(UPLOADED.fullmatch(collection))


def tool_of(collection: str) -> str:
    """A collection's name without its version."""
    return collection.partition(VERSION_MARK)[0]


def version_of(collection: str, version: str) -> str:
    """The version of a document, its own or what follows the `@` of its collection's name; "" where not known."""
    return version or collection.partition(VERSION_MARK)[2]


def name_source(collection: str, path: str) -> str:
    """What people know a document's source by: its collection, or the name of the file that a client uploaded."""
    return path.partition("/")[2] if is_uploaded(collection) else collection


def name_file(collection: str, path: str) -> str:
    """A document's place for people: its collection and path, or the name of the file that a client uploaded."""
    name = name_source(collection, path)
    return name if is_uploaded(collection) else f"{name}/{path}"


def select_collections(wanted: Iterable[str], known: Iterable[str]) -> list[str]:
    """The known collections that the wanted names mean.

    Raises CollectionUnknown: lists every unknown name and the known ones.
    """
    known = sorted(known)
    chosen: set[str] = set()
    unknown = []
    for name in dict.fromkeys(wanted):
        meant = [one for one in known if name in (one, tool_of(one))]
        chosen.update(meant)
        if not meant:
            unknown.append(repr(name))
    if unknown:
        raise CollectionUnknown(f"the index holds no collection {', '.join(unknown)}; it holds {', '.join(known)}")
    return sorted(chosen)


def mask_of(rows: Mapping[str, tuple[int, int]], names: Iterable[str], count: int) -> Mask:
    """True for the rows of the named collections, shape (count,).

    `rows` maps each collection to its first row and the one after its last.
    """
    mask = np.zeros(count, dtype=np.bool_)
    for name in names:
        start, stop = rows[name]
        mask[start:stop] = True
    return mask
