"""Search an index: dense and BM25 rankings fused by rank, and a rule for "nothing here answers this".

It builds nothing and writes no prompt. One retriever serves many threads.

    retriever = Retriever.open(Path("indexes/starter"), settings)
    for hit in retriever.search("how do I repair antenna violations?", top_k=5): ...
"""

from pathlib import Path

from rag.bm25 import find_tokens, is_identifier
from rag.documents import Chunk, Hit
from rag.embedder import Embedder, TextEmbedder
from rag.errors import EmptyQuery
from rag.fusion import fuse_ranks
from rag.index import Index, open_index, spec_of
from rag.settings import RagSettings

# A name in the query that stands in at most this share of the chunks (and at least in one) is evidence by itself: the
# question is about something this index documents, however the sentence around it reads to the embedder.
RARE_SHARE = 0.01
FULL_COVERAGE = 0.95  # the rest is for a term that stands in nearly every chunk
RARE_FLOOR = 3  # in a tiny index a share of 1 % is less than one chunk

# A question is one short text, which a second thread makes no faster. Beside a vLLM that keeps the cores busy, two threads that wait for each
# other took 385 ms for it where one takes 20 ms (two cores, 2026-11-24).
QUERY_THREADS = 1


class Retriever:
    """An open index with its embedder. `search` may be called from many threads at once."""

    def __init__(self, index: Index, embedder: TextEmbedder, settings: RagSettings) -> None:
        self._index = index
        self._embedder = embedder
        self._settings = settings
        self._row_of = {chunk.chunk_id: row for row, chunk in enumerate(index.chunks)}

    @classmethod
    def open(cls, index_dir: Path, settings: RagSettings) -> "Retriever":
        """Open the index with the embedder of the settings.

        Raises IndexNotFound, IndexMismatch, IndexCorrupt, EmbedderUnavailable.
        """
        embedder = Embedder.find(settings.embedder, settings.embed_batch, QUERY_THREADS)
        retriever = cls(open_index(index_dir, spec_of(settings, embedder)), embedder, settings)
        embedder.load()  # so that the first question is as fast as the others
        return retriever

    @property
    def chunk_count(self) -> int:
        """Number of chunks that are searched."""
        return len(self._index.chunks)

    @property
    def collections(self) -> dict[str, int]:
        """Names of the collections in the index, with their numbers of documents."""
        return self._index.collections

    def chunk(self, chunk_id: str) -> Chunk | None:
        """The chunk with this id, or None."""
        row = self._row_of.get(chunk_id)
        return None if row is None else self._index.chunks[row]

    def search(self, query: str, top_k: int = 5) -> list[Hit]:
        """The at most `top_k` best hits, best first; none where the index holds nothing relevant.

        The question counts as answerable when one of these holds:

        1. the best passage's cosine reaches `min_dense_score`;
        2. the query has a rare exact name (an option, a command, a message number) that the index knows;
        3. one passage holds practically all of the query's words, and the best cosine reaches `min_covered_score`:
           "what is useful skew?" is too short for a high cosine.

        Of an answerable question those hits are dropped whose cosine is below `min_hit_score`, unless they hold such a name.
        Raises EmptyQuery.
        """
        if not any(character.isalnum() for character in query):
            raise EmptyQuery("the question is empty: ask something with words in it")
        vector = self._embedder.embed([query])[0]
        dense_rows, dense_scores = self._index.dense.search(vector, self._settings.candidates)
        named = self._rows_with_rare_names(query)
        if not named and not self._is_close(query, dense_scores[0]):
            return []
        bm25_rows, bm25_scores = self._index.bm25.search(query, self._settings.candidates)
        cosine = dict(zip(dense_rows, dense_scores, strict=True))
        bm25 = dict(zip(bm25_rows, bm25_scores, strict=True))
        hits: list[Hit] = []
        for row, score in fuse_ranks([dense_rows, bm25_rows], self._settings.rrf_k):
            dense_score = cosine[row] if row in cosine else self._index.dense.score(vector, row)
            if dense_score >= self._settings.min_hit_score or row in named:
                hits.append(Hit(self._index.chunks[row], score, dense_score, bm25.get(row)))
            if len(hits) == top_k:
                break
        return hits

    def _is_close(self, query: str, best_cosine: float) -> bool:
        """Rules 1 and 3 of `search`."""
        if best_cosine >= self._settings.min_dense_score:
            return True
        return best_cosine >= self._settings.min_covered_score and self._index.bm25.coverage(query) >= FULL_COVERAGE

    def _rows_with_rare_names(self, query: str) -> frozenset[int]:
        """Rows that hold an exact name of the query which few rows hold."""
        limit = max(RARE_FLOOR, int(self.chunk_count * RARE_SHARE))
        rows: frozenset[int] = frozenset()
        for token in find_tokens(query):
            if is_identifier(token):
                holding = self._index.bm25.rows_with(token.lower())
                rows |= holding if len(holding) <= limit else frozenset()
        return rows
