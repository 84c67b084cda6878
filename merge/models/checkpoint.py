"""Checkpoints as files: safetensors (one file, or shards with an index) read piece by piece.

Every header is checked before it is trusted, and no tensor is read whole, so memory does not grow with the model's
size. This file knows nothing of merging, and runs no code that a checkpoint brings: no pickle, no remote code.
`writing` writes them.

    with Checkpoint.open(Path("chat")) as checkpoint:
        norm = checkpoint.tensor("model.norm.weight").read(0, 576)  # flat elements 0 to 575
"""

from __future__ import annotations

import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from merge.arithmetic.dtypes import DTYPES, Array
from merge.errors import SHOWN, CheckpointCorrupt, CheckpointNotFound, shorten
from merge.files import check_name, open_plain, open_stream
from merge.models.layout import INDEX, WEIGHTS

# The format allows four times that; 90 000 tensors in one file take 12 MB, a dense model's shard 50 kB
HEADER_LIMIT_BYTES = 25_000_000
# Of tokenizers, indexes and reports; the largest tokenizers are near 35 MB and take some GB parsed, at worst
JSON_LIMIT_BYTES = 64_000_000
CONFIG_LIMIT_BYTES = 2_000_000  # of configs; the largest, with a list per layer, are near 100 kB
DEPTH_LIMIT = 50  # levels of JSON; tokenizers have eight
SHAPE_LIMIT = 16  # dimensions; convolutions have five
DESCRIBED = 200  # characters of a wrong value in a message
SIZE_LIMIT = 2**63  # of a dimension or an offset, so that numbers stay cheap to multiply
SHARD_NAME = re.compile(r"(.+)-\d{5}-of-(\d{5})\.safetensors")
MOST_SHARDS = 10_000
PLAIN_NAME = re.compile(r"[^/\\\x00]+\.safetensors")


@dataclass(frozen=True)
class TensorSpec:
    """One tensor in one file: where it is and what it is."""

    name: str
    dtype: str  # safetensors name, for example "BF16"
    shape: tuple[int, ...]
    path: Path
    offset: int  # of its first byte in the file
    natural: str | None = None  # the dtype to write it in, where it is read in a wider one

    @property
    def own_dtype(self) -> str:
        """The dtype that holds it as its model means it."""
        return self.natural or self.dtype

    @property
    def numel(self) -> int:
        """Number of elements; 1 for a scalar."""
        return math.prod(self.shape)

    @property
    def n_bytes(self) -> int:
        """Bytes it takes in its file."""
        return self.numel * DTYPES[self.dtype].itemsize


class TensorReader(Protocol):
    """A tensor whose elements can be read piece by piece."""

    @property
    def spec(self) -> TensorSpec:
        """Name, shape and the dtype that `read` returns."""
        ...

    def read(self, start: int, stop: int, buffer: Array | None = None) -> Array:
        """The flat elements from start (included) to stop (excluded).

        buffer: memory to put them into, of the same dtype and at least as large; else it is new.
        """
        ...


class TensorSource(Protocol):
    """Something with named tensors: a checkpoint, or one with an adapter folded in."""

    @property
    def folder(self) -> Path:
        """Where its files are, the tokenizer's too."""
        ...

    @property
    def specs(self) -> Mapping[str, TensorSpec]:
        """Every tensor by name."""
        ...

    @property
    def config(self) -> Mapping[str, Any]:
        """The model's config.json."""
        ...

    def tensor(self, name: str) -> TensorReader:
        """The reader of one tensor."""
        ...


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file, read with pread: no page stays mapped, and threads need no lock."""

    spec: TensorSpec
    fd: int

    def read(self, start: int, stop: int, buffer: Array | None = None) -> Array:
        """The flat elements from start to stop in their stored dtype.

        Raises CheckpointCorrupt: the file ends early or cannot be read.
        """
        dtype = DTYPES[self.spec.dtype]
        piece = np.empty(stop - start, dtype) if buffer is None else buffer[: stop - start]
        view = view_bytes(piece)
        offset = self.spec.offset + start * dtype.itemsize
        while len(view):
            try:
                n_read = os.preadv(self.fd, [view], offset)
            except OSError as error:
                raise CheckpointCorrupt(
                    f"{self.spec.path}: tensor {self.spec.name} cannot be read: {error.strerror}. Copy the file anew"
                ) from error
            if n_read == 0:
                raise CheckpointCorrupt(
                    f"{self.spec.path}: the file ends inside tensor {self.spec.name}. Copy the file anew"
                )
            view, offset = view[n_read:], offset + n_read
        return piece


class Checkpoint:
    """A model folder opened for reading; a context manager that closes its files."""

    def __init__(self, folder: Path, specs: Mapping[str, TensorSpec], config: Mapping[str, Any]) -> None:
        self.folder = folder
        self.specs = specs
        self.config = config
        self._fds = {path: open_plain(path) for path in sorted({spec.path for spec in specs.values()})}

    @classmethod
    def open(cls, folder: Path) -> Checkpoint:
        """Check config.json and all headers, then open the files.

        Raises:
            CheckpointNotFound: a file is missing.
            CheckpointCorrupt: files contradict themselves.
        """
        config = read_json_object(folder / "config.json", CONFIG_LIMIT_BYTES)
        return cls(folder, read_specs(folder), config)

    def tensor(self, name: str) -> StoredTensor:
        """The reader of one tensor."""
        spec = self.specs[name]
        return StoredTensor(spec, self._fds[spec.path])

    def close(self) -> None:
        """Close the files; readers are useless afterwards."""
        for fd in self._fds.values():
            os.close(fd)
        self._fds = {}

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def read_bytes(path: Path, limit: int = JSON_LIMIT_BYTES) -> bytes:
    """A whole file of at most `limit` bytes. Raises CheckpointNotFound, CheckpointCorrupt."""
    try:
        with open_stream(path) as file:
            if (n_bytes := os.fstat(file.fileno()).st_size) > limit:
                raise CheckpointCorrupt(
                    f"{path} has {n_bytes} bytes, more than any such file of a model ({limit} are allowed)"
                )
            return file.read(n_bytes)
    except OSError as error:
        raise CheckpointCorrupt(f"{path} cannot be read: {error.strerror}. Copy the file anew") from error


def read_json_object(path: Path, limit: int = JSON_LIMIT_BYTES) -> dict[str, Any]:
    """A JSON object from a file of at most `limit` bytes.

    Raises:
        CheckpointNotFound
        CheckpointCorrupt: it is something else.
    """
    return parse_json_object(read_bytes(path, limit), path)


def read_text(path: Path) -> str:
    """The text of a file beside the weights.

    Raises:
        CheckpointNotFound
        CheckpointCorrupt: it is not UTF-8.
    """
    try:
        return read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointCorrupt(f"{path} is not UTF-8 text: byte {error.start}. Copy the file anew") from None


def read_specs(folder: Path) -> dict[str, TensorSpec]:
    """Every tensor of a model folder: model.safetensors, the shards of its index, or any *.safetensors.

    Raises CheckpointCorrupt: which of them count, engines would not agree on.
    """
    if (folder / WEIGHTS).is_file():
        _check_alone(folder)
        return read_header(folder / WEIGHTS)
    if (folder / INDEX).is_file():
        return _read_sharded(folder / INDEX)
    files = sorted(path for path in folder.glob("*.safetensors") if not path.name.startswith("adapter_"))
    if not files:
        raise CheckpointNotFound(f"{folder} holds no safetensors file. Give a folder that holds a whole model")
    if missing := _find_missing_shards([path.name for path in files]):
        raise CheckpointNotFound(
            f"{folder} lacks {_list(missing)}, by the names of the others. Copy the missing shards"
        )
    specs: dict[str, TensorSpec] = {}
    for path in files:
        header = read_header(path)
        if twice := specs.keys() & header.keys():
            raise CheckpointCorrupt(
                f"{path}: tensor {min(twice)} is in {specs[min(twice)].path.name} as well, and there is no {INDEX} to "
                "decide"
            )
        specs |= header
    return specs


def _find_missing_shards(names: list[str]) -> list[str]:
    """The shards that names such as model-00001-of-00003.safetensors speak of, and that are not among them."""
    missing = []
    for first, count in sorted({(m[1], m[2]) for name in names if (m := SHARD_NAME.fullmatch(name))}):
        if int(count) <= MOST_SHARDS:
            wanted = (f"{first}-{n:0{len(count)}}-of-{count}.safetensors" for n in range(1, int(count) + 1))
            missing += [name for name in wanted if name not in names]
    return missing


def _check_alone(folder: Path) -> None:
    """Raise CheckpointCorrupt if model.safetensors stands beside shards of an index: transformers reads the one, vLLM
    the others.
    """
    others = sorted(set(_read_weight_map(folder / INDEX).values()) - {WEIGHTS}) if (folder / INDEX).is_file() else []
    if there := [name for name in others if (folder / name).is_file()]:
        raise CheckpointCorrupt(
            f"{folder} holds {WEIGHTS} and beside it {_list(there)}, which {INDEX} names: libraries do not agree which "
            "of them count. Remove the older ones"
        )


def _read_weight_map(index: Path) -> dict[str, str]:
    weight_map = read_json_object(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointCorrupt(f"{index}: weight_map is missing or empty. Copy the file anew")
    for name, shard in weight_map.items():
        check_name(name, index)
        if not isinstance(shard, str) or not PLAIN_NAME.fullmatch(shard):
            raise CheckpointCorrupt(
                f"{index}: tensor {name} is said to be in {shard!r}, which is not a plain name of a safetensors file"
            )
    return weight_map


def _read_sharded(index: Path) -> dict[str, TensorSpec]:
    weight_map = _read_weight_map(index)
    shards = sorted(set(weight_map.values()))
    if missing := [shard for shard in shards if not (index.parent / shard).is_file()]:
        raise CheckpointNotFound(f"{index.parent} lacks {_list(missing)}, which {INDEX} names. Copy the missing shards")
    headers = {shard: read_header(index.parent / shard) for shard in shards}
    if absent := [f"{name} in {shard}" for name, shard in weight_map.items() if name not in headers[shard]]:
        raise CheckpointCorrupt(
            f"{index}: the shards do not hold {_list(absent)}. Copy index and shards anew, from one download"
        )
    # Libraries load all that the files hold, and of two tensors of a name the one that they happen to read last
    if stray := [f"{name} in {shard}" for shard in shards for name in headers[shard] if weight_map.get(name) != shard]:
        raise CheckpointCorrupt(
            f"{index}: the shards hold tensors that it does not say are there, {_list(stray)}. Copy index and shards "
            "anew, from one download"
        )
    return {name: headers[shard][name] for name, shard in weight_map.items()}


def _list(names: list[str]) -> str:
    """The first names, and how many more there are."""
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def read_header(path: Path) -> dict[str, TensorSpec]:
    """The tensors of one safetensors file, checked. Reads only the header.

    Dtypes are known, sizes fit shapes, and the bytes of the tensors tile the file exactly.

    Raises CheckpointNotFound, CheckpointCorrupt.
    """
    with open_stream(path) as file:
        file_bytes = os.fstat(file.fileno()).st_size
        try:
            length = int.from_bytes(file.read(8), "little")
            if file_bytes < 8 or length > file_bytes - 8:
                raise CheckpointCorrupt(
                    f"{path}: its header claims {length} bytes of a file of {file_bytes}: truncated, or no safetensors "
                    "file"
                )
            if length > HEADER_LIMIT_BYTES:
                raise CheckpointCorrupt(
                    f"{path}: its header claims {length} bytes, more than any model's ({HEADER_LIMIT_BYTES} are "
                    "allowed)"
                )
            raw = file.read(length)
        except OSError as error:
            raise CheckpointCorrupt(f"{path} cannot be read: {error.strerror}. Copy the file anew") from error

    header = parse_json_object(raw, path)
    header.pop("__metadata__", None)
    data_start = 8 + length
    specs = {name: _parse_entry(name, entry, path, data_start) for name, entry in header.items()}
    _check_tiling(specs.values(), path, data_start, file_bytes)
    return specs


def _parse_entry(name: str, entry: Any, path: Path, data_start: int) -> TensorSpec:
    check_name(name, path)
    if not isinstance(entry, dict):
        raise CheckpointCorrupt(f"{path}: the header's entry for tensor {name} is not an object")

    dtype: Any = entry.get("dtype")
    shape: Any = entry.get("shape")
    offsets: Any = entry.get("data_offsets")

    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise CheckpointCorrupt(f"{path}: tensor {name} has dtype {describe(dtype)} (known: {', '.join(DTYPES)})")
    if not _is_sizes(shape):
        raise CheckpointCorrupt(f"{path}: tensor {name} has shape {describe(shape)}, which is not a list of sizes")
    if not _is_sizes(offsets) or len(offsets) != 2:
        raise CheckpointCorrupt(
            f"{path}: tensor {name} has data_offsets {describe(offsets)}, which are not two positions"
        )

    spec = TensorSpec(name, dtype, tuple(shape), path, data_start + offsets[0])
    if spec.n_bytes != offsets[1] - offsets[0]:
        given = offsets[1] - offsets[0]
        raise CheckpointCorrupt(
            f"{path}: tensor {name} of shape {shape} in {dtype} needs {spec.n_bytes} bytes, its offsets give {given}"
        )
    return spec


def _is_sizes(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= SHAPE_LIMIT
        and all(type(n) is int and 0 <= n < SIZE_LIMIT for n in value)
    )


def describe(value: object) -> str:
    """Somebody else's value, for a message."""
    return shorten(repr(value), DESCRIBED)


def _check_tiling(specs: Iterable[TensorSpec], path: Path, data_start: int, file_bytes: int) -> None:
    """The format allows no byte to be shared, skipped or left over."""
    end = data_start
    for spec in sorted(specs, key=lambda spec: (spec.offset, spec.n_bytes)):
        last = spec.offset + spec.n_bytes
        if last > file_bytes:
            raise CheckpointCorrupt(
                f"{path}: tensor {spec.name} ends at byte {last} of a file of {file_bytes}. Copy the file anew"
            )
        if spec.offset != end:
            raise CheckpointCorrupt(
                f"{path}: tensor {spec.name} starts at byte {spec.offset}, where {end} was expected: overlap or hole"
            )
        end += spec.n_bytes
    if end != file_bytes:
        raise CheckpointCorrupt(
            f"{path}: {file_bytes - end} bytes after the last tensor belong to none. Copy the file anew"
        )


def parse_json_object(raw: bytes, path: Path) -> dict[str, Any]:
    """A JSON object from the bytes of a file; errors name its path.

    Raises CheckpointCorrupt: it is something else, or a key is given twice.
    """

    def _refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            [(twice, _)] = Counter(name for name, _ in pairs).most_common(1)
            raise CheckpointCorrupt(f"{path}: the key {describe(twice)} stands twice in one JSON object")
        return found

    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_refuse_twice)
    except (ValueError, RecursionError) as error:
        raise CheckpointCorrupt(
            f"{path}: not valid JSON ({shorten(str(error), DESCRIBED)}). Copy the file anew"
        ) from None
    if not isinstance(value, dict):
        raise CheckpointCorrupt(f"{path}: JSON, but not an object")
    if is_deep(value):
        raise CheckpointCorrupt(
            f"{path}: JSON that is nested deeper than {DEPTH_LIMIT} levels, which no file of a model is"
        )
    return value


def is_deep(value: Any) -> bool:
    """Whether lists and objects are nested deeper than DEPTH_LIMIT, too deep for recursive functions."""
    level = [value]
    for _ in range(DEPTH_LIMIT):
        inside = (node.values() if isinstance(node, dict) else node for node in level)
        level = [child for children in inside for child in children if isinstance(child, dict | list)]
        if not level:
            return False
    return True


def view_bytes(piece: Array) -> memoryview:
    """The bytes of a flat piece, as they are in a file; the same memory."""
    return piece.view(np.uint8).data
