"""The newest index of a folder, for a program that runs for weeks.

A build replaces the index, and the next question is searched in the new one. A thread looks at the manifest once a
second and opens what is new; no question waits for that. A question keeps the index that it began with, whose files and
memory are released when the last such question has ended. It searches nothing itself and knows nothing of HTTP.

Removed documents must not be found any more. So it gives the old index up even where the new one cannot be opened:
`current` then says why, until the folder can be opened.

    index = LiveRetriever.open(Path("indexes/starter"), settings)
    with index.watched(): index.current().search("how do I repair antenna violations?")
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from threadpoolctl import threadpool_limits

from rag.documents import Chunk, Hit
from rag.embedding.passage_reader import Reading
from rag.errors import IndexMismatch, IndexNotFound, IndexUnusable, RagError
from rag.index.generation import Index
from rag.index.manifest import MANIFEST
from rag.index.selection import select_collections
from rag.reference.cards import Reference
from rag.search.missing import Misnamed, Missing
from rag.search.retriever import Comparison, NoTokens, Retriever
from rag.settings import RagSettings

LOOK_EVERY_S = 1.0
# A damaged index is read again to see whether it has been repaired; seldom, since a large one takes a second
RETRY_EVERY_S = 5.0
OPENING_S = 3.0  # how long the old index may be searched while the new one is opened, which takes under a second
log = logging.getLogger("chipalign.index")

Sign = tuple[int, ...]  # what distinguishes one manifest from another


class NoIndex(NoTokens):
    """Stands in for a Retriever where the index was removed: finds nothing."""

    chunk_count = 0
    index = None
    embedder = None

    @property
    def collections(self) -> dict[str, int]:
        """None."""
        return {}

    @property
    def reference(self) -> Reference:
        """Nothing is described."""
        return Reference()

    def chunk(self, chunk_id: str) -> Chunk | None:
        """None, whatever the id."""
        return None

    def holds_together(self, terms: Iterable[str]) -> bool:
        """There is no passage."""
        return False

    def within(self, collections: Iterable[str]) -> NoIndex:
        """Itself where no collection is named.

        Raises CollectionUnknown: a collection is named.
        """
        select_collections(collections, ())
        return self

    def clean(self, query: str) -> str:
        """The question as it is: there is no word to put it right by."""
        return query

    def search(self, query: str, top_k: int = 5) -> list[Hit]:
        """Nothing is found."""
        return []

    def nearest(self, query: str, top_k: int) -> list[Hit]:
        """Nothing comes near."""
        return []

    def missing(self, query: str) -> Misnamed | Missing | None:
        """Nothing is known of any name."""
        return None

    def over(self, index: Index) -> NoIndex:
        """Itself: there is no part of it."""
        return self

    def rank(self, query: str) -> Iterator[Hit]:
        """Nothing is found."""
        return iter(())

    def compare(self, queries: Sequence[str], hits: Sequence[Hit]) -> list[list[Comparison]]:
        """Nothing is compared: there are no hits."""
        return [[] for _ in queries]

    def idf(self, terms: Iterable[str]) -> dict[str, float]:
        """No term weighs anything."""
        return dict.fromkeys(terms, 0.0)

    def read(self, query: str, hits: Sequence[Hit]) -> list[Reading]:
        """Nothing is read: there are no hits."""
        return []


class LiveRetriever:
    """An index folder and what it holds now. `current` may be called from many threads at once."""

    def __init__(self, index_dir: Path, settings: RagSettings, retriever: Retriever, seen: Sign = ()) -> None:
        self._index_dir = index_dir
        self._settings = settings
        self._embedder = retriever.embedder
        self._reader = retriever.reader
        self._served: Retriever | NoIndex | None = retriever
        self._failure = ""  # why nothing is served
        self._seen = seen  # the manifest of what is served, or could not be opened
        self._was_missing = False
        self._give_up_at = float("inf")  # when the old index is no longer served, on the monotonic clock
        self._retry_at = float("inf")
        self._looking = threading.Lock()
        self._wake = threading.Event()

    @classmethod
    def open(cls, index_dir: Path, settings: RagSettings) -> LiveRetriever:
        """Open what the folder holds now; from here on numpy multiplies in one thread.

        A question's products are small, and threads that wait for each other take several times as long.

        Raises what `Retriever.open` raises.
        """
        threadpool_limits(1, "blas")
        seen = _sign_of(index_dir)  # before it is opened: a build in between is then seen as one
        return cls(index_dir, settings, Retriever.open(index_dir, settings, reads=True), seen)

    def current(self) -> Retriever | NoIndex:
        """The index to answer one question from; it stays as it is. Reads no file.

        Raises IndexUnusable: gives the reason.
        """
        served = self._served
        if served is None:
            raise IndexUnusable(self._failure)
        if monotonic() > self._give_up_at:
            raise IndexUnusable(
                f"the index in {self._index_dir} was built again and is still being opened: ask again in a moment"
            )
        return served

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look once a second, in a thread of its own, for as long as the context lasts."""
        stop = threading.Event()

        def watch() -> None:
            """Look until `stop` is set; nothing that goes wrong ends the watching."""
            while not stop.is_set():
                try:
                    self.look()
                except Exception:  # the old index is given up after OPENING_S, and the next look tries again
                    log.exception("the index in %s cannot be opened", self._index_dir)
                self._wake.wait(LOOK_EVERY_S)
                self._wake.clear()

        thread = threading.Thread(target=watch, name="index", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            self._wake.set()
            thread.join(OPENING_S)

    def look_soon(self) -> None:
        """Have the watching thread look now rather than within a second. A signal's handler may call it."""
        self._wake.set()

    def look(self) -> None:
        """Open what lies in the folder, if that is not what is served."""
        with self._looking:
            sign = _sign_of(self._index_dir)
            was_missing, self._was_missing = self._was_missing, not sign
            if sign == self._seen and monotonic() < self._retry_at:
                return
            # A folder that is being exchanged lacks its manifest for a moment: look once more
            if not sign and not was_missing:
                return
            self._take(sign)

    def _take(self, sign: Sign) -> None:
        """Serve what lies in the folder, or nothing, and say so in the log."""
        self._give_up_at = min(self._give_up_at, monotonic() + OPENING_S)
        try:
            opened = self._open()
        except RagError as error:
            failure = f"the index that was searched is gone, and what is there now cannot be searched: {error}"
            if failure != self._failure:
                log.error("%s", failure)
            self._failure, self._served, self._retry_at = failure, None, monotonic() + RETRY_EVERY_S
        else:
            log.info("the index in %s is searched from now on: %d passages", self._index_dir, opened.chunk_count)
            self._failure, self._served, self._retry_at = "", opened, float("inf")
        self._give_up_at, self._seen = float("inf"), sign

    def _open(self) -> Retriever | NoIndex:
        """What lies in the folder now; nothing where the folder is there and its manifest is not.

        Raises RagError: it cannot be opened.
        """
        try:
            return Retriever.open_with(self._embedder, self._index_dir, self._settings, self._reader)
        except IndexNotFound:
            if not self._index_dir.is_dir():
                raise
            return NoIndex()
        except IndexMismatch:
            return self._open_with_new_embedder()

    def _open_with_new_embedder(self) -> Retriever:
        """Open the embedder again too: perhaps it was trained again under its old name, and the index built with it.

        Raises RagError: it cannot be opened.
        """
        try:
            retriever = Retriever.open(self._index_dir, self._settings, reads=True)
        except IndexMismatch as error:
            raise IndexMismatch(f"{error}, and start this program again") from error
        self._embedder = retriever.embedder
        self._reader = retriever.reader
        return retriever


def _sign_of(index_dir: Path) -> Sign:
    """What distinguishes the folder's manifest from the one before it.

    Empty where there is none, the error's number where it cannot be read. It follows the path anew, and opens the file,
    since a network file system reports the current state of an open file, but a former state of a path.
    """
    try:
        handle = os.open(index_dir / MANIFEST, os.O_RDONLY | os.O_NONBLOCK)  # a pipe of that name must not hold us up
        try:
            found = os.fstat(handle)
        finally:
            os.close(handle)
    except FileNotFoundError:
        return ()
    except OSError as error:
        return (error.errno or 0,)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
