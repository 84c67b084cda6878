"""Text to vectors by a served model: batches of similar length, several requests in flight, one dimension throughout.

A served model gives one vector a text and none for its tokens, so passages are not compared token by token. The model's
own tokenizer, where it is named, counts which texts fit; else they are estimated. It speaks no HTTP itself
(`embeddings_api` does).

    api = EmbeddingsApi("http://127.0.0.1:8002", "bge-small", "")
    embedder = ServedEmbedder(api, TokenCounter.find("BAAI/bge-small-en-v1.5"))
    vectors = embedder.embed(["What is an antenna diode?"])
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from rag.ahead import map_ahead
from rag.embedding.embedder import PROBE, Embedded, Progress, TokenPlaces, Vectors, batch_by_length, stack_vectors
from rag.embedding.embeddings_api import EmbeddingsApi
from rag.embedding.fingerprint import describe_served
from rag.embedding.model_folder import MARKS, SERVED_PREFIX
from rag.embedding.token_counter import TokenCounter
from rag.errors import EmbedderUnavailable

USUAL_WINDOW = 512  # of BERT-like embedders, where the server does not say


class ServedEmbedder:
    """A model behind a server. Safe to call from many threads.

    Making one asks the server for its models and for one vector, which gives the dimension.

    Raises EmbedderUnavailable: the server does not answer, or refuses.
    """

    def __init__(self, api: EmbeddingsApi, counter: TokenCounter, batch_size: int = 16, in_flight: int = 8) -> None:
        window = api.find_window()
        [probe] = api.embed([PROBE])
        self.name = f"{SERVED_PREFIX}{api.model}"
        self.dimension = len(probe)
        self.max_tokens = (window or USUAL_WINDOW) - MARKS
        self.fingerprint = describe_served(api.model, counter.fingerprint, probe)
        self._api = api
        self.counter = counter
        self._batch_size = batch_size
        self._in_flight = in_flight

    def load(self) -> None:
        """Nothing: the server has the model loaded."""

    def count_tokens(self, text: str) -> int:
        """Tokens of `text` without the model's own marks, an estimate where no tokenizer is named."""
        return self.counter.count(text)

    def token_places(self, text: str) -> TokenPlaces:
        """No places: a server gives no vectors of tokens."""
        return np.zeros((0, 2), dtype=np.int64)

    def embed(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """Vectors of length 1, shape (texts, dimension), float32, in the order of `texts`.

        Longer texts are cut at `max_tokens`.
        """
        return stack_vectors(self.embed_tokens(texts, progress), len(texts), self.dimension)

    def embed_tokens(self, texts: Sequence[str], progress: Progress | None = None) -> Iterator[Embedded]:
        """Each text, in order of length, with its vector and no tokens."""
        batches = batch_by_length(list(map(len, texts)), self._batch_size)
        no_ids, no_tokens = np.zeros(0, dtype=np.int64), np.zeros((0, self.dimension), dtype=np.float32)
        done = 0
        for rows, vectors in zip(
            batches, self._embed_ahead([[texts[row] for row in rows] for rows in batches]), strict=True
        ):
            for row, vector in zip(rows, vectors, strict=True):
                yield Embedded(row, vector, no_ids, no_tokens)
            done += len(rows)
            if progress:
                progress(done, len(texts))

    def _embed_ahead(self, batches: Sequence[list[str]]) -> Iterator[Vectors]:
        """The vectors of each batch in turn, while the next ones are requested; the first failure ends it."""
        if len(batches) == 1:  # a question
            yield self._embed_batch(batches[0])
            return
        pool = ThreadPoolExecutor(self._in_flight, thread_name_prefix="embeddings")
        try:
            # Half of them wait, so that one slow request does not delay the others
            yield from map_ahead(pool, self._embed_batch, batches, 2 * self._in_flight)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _embed_batch(self, texts: list[str]) -> Vectors:
        vectors = self._api.embed([self.counter.cut(text, self.max_tokens) for text in texts])
        if vectors.shape[1] != self.dimension:
            raise EmbedderUnavailable(
                f"{self._api.base} gives vectors of {vectors.shape[1]} numbers where it gave {self.dimension} before: "
                "does it still serve one model?"
            )
        return vectors
