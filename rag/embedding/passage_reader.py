"""A small transformer reads a question and a passage together: how likely the passage answers, and each piece of it.

An embedder sees a passage without the question; a reader sees both at once (a cross-encoder: Nogueira & Cho, "Passage
Re-ranking with BERT", arXiv 1901.04085), which takes far longer and is done for few passages. It chooses no passage and
cuts none.

    reader = PassageReader.find("adapter:minilm-l6-reader")
    [reading] = reader.read("How do I fix antennas?", [chunk])
    # logarithms of odds: that the passage answers, that its pieces do
    reading.passage, reading.pieces([(0, 40), (41, 90)])
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.documents import Chunk, describe_place
from rag.embedding.embedder import Vectors
from rag.embedding.model_folder import ADAPTER_PREFIX, ADAPTERS, find_model_folder, load_tokenizer
from rag.errors import EmbedderUnavailable

READER_CONFIG, READER_WEIGHTS = "reader_config.json", "model.safetensors"
MOST_QUESTION = 64  # tokens of a question
MOST_PLACE = 48  # of a title with headings
MOST_TOKENS = 400  # of all that is read together
HEAD_PARTS = ("wide.weight", "wide.bias", "narrow.weight", "narrow.bias")
UNREAD = -8.0  # of a piece behind the part that is read
# Readings that are kept, some 300 kB each: the passages by which a question is judged are those that are quoted
RECENT = 64


@dataclass(frozen=True, slots=True)
class Head:
    """Two linear layers with a GELU between them, which turn a state into one number."""

    widened: Vectors  # shape (hidden, input)
    widened_bias: Vectors
    narrowed: Vectors  # shape (hidden,)
    bias: float

    def __call__(self, states: Vectors) -> Vectors:
        """For states, shape (n, input): shape (n,)."""
        hidden = _gelu(states @ self.widened.T + self.widened_bias)
        scores: Vectors = hidden @ self.narrowed + np.float32(self.bias)
        return scores


@dataclass(frozen=True, slots=True)
class Reading:
    """One passage, read with a question. `passage`: the logarithm of the odds that it answers."""

    passage: float
    head: Head
    first: Vectors  # the state of the first mark, shape (hidden,)
    states: Vectors  # of the text's tokens, shape (tokens, hidden)
    starts: NDArray[np.int64]  # where each of them begins in the text

    def pieces(self, spans: Sequence[tuple[int, int]]) -> list[float]:
        """The logarithm of the odds that each piece of the text answers.

        A span is the piece's first character and the one after its last.
        """
        bounds = np.searchsorted(
            self.starts, np.array(spans, dtype=np.int64).reshape(-1, 2)
        )  # tokens stand in the order of the text
        means = [self.states[start:end].mean(axis=0) for start, end in bounds if end > start]
        if not means:
            return [UNREAD] * len(spans)
        scores = iter(
            self.head(
                np.concatenate([means, np.broadcast_to(self.first, (len(means), len(self.first)))], axis=1)
            ).tolist()
        )
        return [next(scores) if end > start else UNREAD for start, end in bounds]


class Pairing:
    """From a question and a chunk to what a reader reads: question, the chunk's place and its text, between marks."""

    def __init__(self, base_folder: Path) -> None:
        self._tokenizer = load_tokenizer(base_folder)
        self._first, self._between = self._tokenizer.token_to_id("[CLS]"), self._tokenizer.token_to_id("[SEP]")

    def pair(self, question: str, chunk: Chunk) -> Pair:
        """The pair; where a text is too long, its beginning is read, and of a question its end as well."""
        asked, _ = self._ids(question)
        if len(asked) > MOST_QUESTION:
            asked = np.concatenate([asked[: MOST_QUESTION // 2], asked[-MOST_QUESTION // 2 :]])
        place = self._ids(describe_place(chunk.title, chunk.heading_path))[0][:MOST_PLACE]
        text, starts = self._ids(chunk.text)

        begins = len(asked) + len(place) + 3
        text, starts = text[: MOST_TOKENS - begins - 1], starts[: MOST_TOKENS - begins - 1]
        mark = [self._between]
        ids = np.concatenate([[self._first], asked, mark, place, mark, text, mark]).astype(np.int64)
        kinds = (np.arange(len(ids)) >= len(asked) + 2).astype(np.int64)
        return Pair(ids, kinds, begins, starts)

    def _ids(self, text: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Tokens of a text, and where they begin."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        return np.array(encoding.ids, dtype=np.int64), np.array(
            [start for start, _ in encoding.offsets], dtype=np.int64
        )


@dataclass(frozen=True, slots=True)
class Pair:
    """Tokens that are read together, and which of the two texts each belongs to, 0 or 1.

    The passage's text begins at the token `begins`; `starts` are the characters at which its tokens begin.
    """

    ids: NDArray[np.int64]
    kinds: NDArray[np.int64]
    begins: int
    starts: NDArray[np.int64]


def _gelu(values: Vectors) -> Vectors:
    """x (1 + erf(x / sqrt 2)) / 2, to 1e-6 (Abramowitz & Stegun, 7.1.26).

    In numpy: for so few numbers torch would wait for its threads, 5 ms.
    """
    size = np.abs(values) * np.float32(0.5**0.5)
    t = 1 / (1 + np.float32(0.3275911) * size)
    terms = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
    erf = 1 - sum(np.float32(factor) * t**power for power, factor in enumerate(terms, start=1)) * np.exp(-size * size)
    result: Vectors = values * (1 + np.sign(values) * erf) / 2
    return result


class PassageReader:
    """A reader in a folder, with the embedding model that it was made from. Safe to call from many threads."""

    def __init__(self, folder: Path, threads: int = 0, bits: int = 8) -> None:
        """threads: how many read at a time, 0 for torch's choice; bits: those of the multiplied numbers, 8 or 32."""
        self._folder = folder
        self._threads = threads
        self._bits = bits
        self._loading = Lock()
        self._keeping = Lock()
        self._loaded: _Loaded | None = None
        self._recent: dict[tuple[str, str], Reading] = {}  # by question and chunk, the newest last

    @classmethod
    def find(cls, ref: str, threads: int = 0, bits: int = 8) -> PassageReader:
        """The reader that `ref` names. Raises what `find_reader` raises."""
        return cls(find_reader(ref), threads, bits)

    def load(self) -> None:
        """Load the model now rather than at the first question.

        Raises EmbedderUnavailable: it cannot be loaded.
        """
        self._load()

    def read(self, question: str, chunks: Sequence[Chunk]) -> list[Reading]:
        """The question read with each chunk; a pair that was read just before is not read again.

        Where a question or chunk is too long, its beginning is read, and of a question its end as well.
        """
        keys = [(question, chunk.chunk_id) for chunk in chunks]
        known = {key: reading for key in keys if (reading := self._recent.get(key))}
        unread = [chunk for key, chunk in zip(keys, chunks, strict=True) if key not in known]
        known |= zip([key for key in keys if key not in known], self._read(question, unread), strict=True)
        with self._keeping:
            self._recent |= known
            for key in [*self._recent][:-RECENT]:
                del self._recent[key]
        return [known[key] for key in keys]

    def _read(self, question: str, chunks: Sequence[Chunk]) -> list[Reading]:
        if not chunks:
            return []
        loaded = self._load()
        pairs = [loaded.pairing.pair(question, chunk) for chunk in chunks]
        parts = _share_out([len(pair.ids) for pair in pairs], loaded.threads)
        readings = dict(zip((row for part in parts for row in part), _flatten(loaded, pairs, parts), strict=True))
        return [readings[row] for row in range(len(chunks))]

    def _load(self) -> _Loaded:
        with self._loading:
            if self._loaded is None:
                self._loaded = _load(self._folder, self._bits, self._threads)
            return self._loaded


@dataclass(frozen=True, slots=True)
class _Loaded:
    pairing: Pairing
    model: Any  # a rag.embedding.bert.Bert
    passage: Head
    piece: Head
    workers: ThreadPoolExecutor
    threads: int

    def read(self, pairs: Sequence[Pair]) -> list[Reading]:
        """Some pairs; runs in a worker."""
        if not pairs:
            return []
        states = [
            own.numpy() for own in self.model.states([pair.ids for pair in pairs], [pair.kinds for pair in pairs])
        ]
        firsts = np.stack([own[0] for own in states])
        return [
            Reading(float(passage), self.piece, own[0], own[pair.begins : pair.begins + len(pair.starts)], pair.starts)
            for passage, own, pair in zip(self.passage(firsts), states, pairs, strict=True)
        ]


def find_reader(ref: str) -> Path:
    """The folder of the reader that `ref` names: `adapter:NAME` is one of those in data/adapters, else it is a folder.

    Raises EmbedderUnavailable: there is no such reader.
    """
    folder = ADAPTERS / ref.removeprefix(ADAPTER_PREFIX) if ref.startswith(ADAPTER_PREFIX) else Path(ref).expanduser()
    if not (folder / READER_CONFIG).is_file():
        raise EmbedderUnavailable(
            f"there is no reader in {folder} (no {READER_CONFIG}): name another, or set CHIPALIGN_READER to none"
        )
    return folder


def _share_out(lengths: Sequence[int], workers: int) -> list[list[int]]:
    """Rows for each worker, so that all have about as much to read: the longest first, to whoever has least."""
    parts: list[list[int]] = [[] for _ in range(workers)]
    shares = [0] * workers
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        least = shares.index(min(shares))
        parts[least].append(row)
        shares[least] += lengths[row]
    return parts


def _flatten(loaded: _Loaded, pairs: Sequence[Pair], parts: Sequence[Sequence[int]]) -> list[Reading]:
    """The readings of all parts, one after the other; each part has its own worker."""
    return [
        reading
        for part in loaded.workers.map(lambda rows: loaded.read([pairs[row] for row in rows]), parts)
        for reading in part
    ]


def _read_base(folder: Path) -> str:
    try:
        return str(json.loads((folder / READER_CONFIG).read_text(encoding="utf-8"))["base"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EmbedderUnavailable(
            f"the reader in {folder} does not name its base ({error!r}): is the folder complete?"
        ) from error


def _load(folder: Path, bits: int, threads: int) -> _Loaded:
    """The base's embeddings with the reader's own layers on top.

    Raises EmbedderUnavailable: they cannot be loaded.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from rag.embedding.bert import Bert
    from rag.embedding.bert_files import read_bert
    from rag.embedding.processor import multiplies_eight_bits

    base_folder = find_model_folder(_read_base(folder))
    base = read_bert(base_folder, None)
    if base is None:
        raise EmbedderUnavailable(
            f"the model in {base_folder} is not a plain BERT, which the reader in {folder} was made from: install "
            "another"
        )
    try:
        own = {name: tensor.float() for name, tensor in load_file(folder / READER_WEIGHTS).items()}
        layers = 1 + max(int(name.split(".")[2]) for name in own if name.startswith("encoder.layer."))
        files = replace(base, tensors={**base.tensors, **own}, layers=layers)
        model = Bert(files, 8 if bits <= 8 and multiplies_eight_bits() else 32)
        passage, piece = _read_head(own, "passage"), _read_head(own, "piece")
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise EmbedderUnavailable(
            f"the reader in {folder} cannot be loaded ({error!r}): is the folder complete?"
        ) from error
    threads = threads or torch.get_num_threads()
    workers = ThreadPoolExecutor(threads, "reader", torch.set_num_threads, (1,))
    return _Loaded(Pairing(base_folder), model, passage, piece, workers, threads)


def _read_head(tensors: Mapping[str, Any], name: str) -> Head:
    widened, widened_bias, narrowed, bias = (tensors[f"{name}.{part}"].numpy() for part in HEAD_PARTS)
    return Head(widened, widened_bias, narrowed[0], float(bias[0]))
