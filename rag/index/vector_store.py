"""Chooses, once, where the vectors of an index lie: in FAISS files of its folder, or in Milvus.

Whoever builds, opens or takes apart an index gets the store and does not ask which one it is. An index stays where it
was written: its vectors are looked for in the store of the settings first, then where its folder says.

    store = choose_store(settings); index = open_index(index_dir, spec_of(settings, embedder), store)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from rag.errors import IndexCorrupt, MilvusUnavailable
from rag.index.dense import DENSE, DenseSearch, FaissFiles, Vectors, codes_path
from rag.index.manifest import IN_MILVUS, DenseKind
from rag.index.milvus import PLACE, Milvus, Place, collection_of
from rag.settings import RagSettings


class VectorStore(Protocol):
    """What keeps the vectors of generations: `rag.index.dense.FaissFiles` or `rag.index.milvus.Milvus`."""

    @property
    def place(self) -> str:
        """The address of the Milvus; empty where vectors are files of the index."""

    def check(self) -> None:
        """Raise MilvusUnavailable where vectors could not be written."""

    def write(self, folder: Path, vectors: Vectors, collections: Sequence[str]) -> DenseKind:
        """Keep the vectors of the generation in `folder`, shape (rows, dimension), with each row's collection.

        Raises OSError, MilvusUnavailable.
        """

    def holds(self, folder: Path) -> bool:
        """Whether the vectors of the generation in `folder` are here.

        Raises MilvusUnavailable.
        """

    def open(self, folder: Path, kind: DenseKind) -> DenseSearch:
        """The vectors of the generation in `folder`, to search in.

        Raises IndexCorrupt, MilvusUnavailable, OSError.
        """

    def drop(self, folder: Path) -> None:
        """Remove what is kept of the generation outside of `folder`.

        Raises MilvusUnavailable.
        """


FILES: VectorStore = FaissFiles()


def choose_store(settings: RagSettings) -> VectorStore:
    """The store that the settings name."""
    return Milvus.at(settings.milvus_uri, settings.milvus_token) if settings.milvus_uri else FILES


def store_at(place: str, store: VectorStore) -> VectorStore:
    """The store at an address: `store` if the address is its own, else one that is asked without its key."""
    if place == store.place:
        return store
    return Milvus(place) if place else FILES


def vector_files(kind: DenseKind) -> set[str]:
    """The files that a generation has of vectors of this kind."""
    if kind.kind in IN_MILVUS:
        return {PLACE}
    return {DENSE} if kind.kind == "flat" else {DENSE, codes_path(Path(DENSE)).name}


def open_vectors(folder: Path, kind: DenseKind, store: VectorStore) -> DenseSearch:
    """The vectors of the generation in `folder`: from `store`, or from where they were written.

    Raises:
        IndexCorrupt: they are in neither.
        MilvusUnavailable, OSError
    """
    if kind.kind not in IN_MILVUS:
        return FILES.open(folder, kind)
    place = Place.read(folder / PLACE)
    if holder := find_holder(folder, place, store):
        return holder.open(folder, kind)
    known = " or ".join(filter(None, dict.fromkeys((store.place, place.uri))))
    raise IndexCorrupt(
        f"there is no collection {place.collection} in Milvus at {known}: build the index again, or set "
        "CHIPALIGN_MILVUS_URI"
    )


def drop_vectors(folder: Path, store: VectorStore) -> None:
    """Remove what the generation in `folder` keeps outside of it, in `store` or where it was written.

    Raises MilvusUnavailable, OSError.
    """
    if not (folder / PLACE).exists():
        return
    try:
        place = Place.read(folder / PLACE)
    except IndexCorrupt:  # cut by a crash, before there was a collection
        return
    if place.collection != collection_of(folder):  # it is not of this generation
        return
    if holder := find_holder(folder, place, store):
        holder.drop(folder)


def find_holder(folder: Path, place: Place, store: VectorStore) -> VectorStore | None:
    """Find who holds the vectors of the generation in `folder`: the settings' store, else the one at `place`; or None.

    The key of the settings goes to the address of the settings alone: whoever made the index may have named another
    one.

    Raises MilvusUnavailable: one does not answer and the other does not have them.
    """
    failure: MilvusUnavailable | None = None
    for one in dict.fromkeys((store, store_at(place.uri, store))):
        try:
            if one.holds(folder):
                return one
        except MilvusUnavailable as error:
            failure = failure or error
    if failure:
        raise failure
    return None
