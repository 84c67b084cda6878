"""Checkpoints written in place: safetensors (one file, or shards with an index) laid out and sized beforehand.

It knows nothing of merging, and reads nothing but what it wrote itself; `checkpoint` reads.

    with CheckpointWriter(Path("merged"), specs) as writer:
        writer.write("model.norm.weight", 0, piece)  # flat elements from 0 on
        paths = writer.finish()
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from blake3 import blake3

from merge.arithmetic.dtypes import DTYPE_NAMES, DTYPES, Array
from merge.models.checkpoint import TensorSpec, view_bytes
from merge.models.hashing import hash_span
from merge.models.layout import INDEX, PART, WEIGHTS

HEADER_ALIGNMENT = 8  # bytes; the format pads headers with spaces so that tensors start aligned
SHARD_BYTES = 5_000_000_000  # transformers' customary limit of a shard


class CheckpointWriter:
    """Writes tensors in place, piece by piece and from any thread, into files laid out and sized beforehand.

    Until `finish` all its files, the index too, have names that end in PART, so that a folder whose writer died holds
    nothing that loads. Files that such a writer left for the same tensors are reused with their bytes. A context
    manager, which closes the files and finishes nothing.
    """

    def __init__(self, folder: Path, tensors: Iterable[TensorSpec], shard_bytes: int = SHARD_BYTES) -> None:
        """Lay out the shards: `tensors` give names, dtypes and shapes; paths and offsets are ignored."""
        self._specs: dict[str, TensorSpec] = {}
        self._fds: dict[Path, int] = {}
        self.headers: dict[str, str] = {}  # BLAKE3 of the bytes before the first tensor, by file name
        shards = split_shards(tensors, shard_bytes)
        for number, shard in enumerate(shards, start=1):
            name = WEIGHTS if len(shards) == 1 else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
            self._lay_out(folder / name, shard)
        self._index = folder / INDEX if len(shards) > 1 else None
        if self._index:
            weight_map = {name: spec.path.name for name, spec in sorted(self._specs.items())}
            index = {
                "metadata": {"total_size": sum(spec.n_bytes for spec in self._specs.values())},
                "weight_map": weight_map,
            }
            _part(self._index).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")

    def _lay_out(self, path: Path, shard: list[TensorSpec]) -> None:
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        position = 0
        for spec in shard:
            header[spec.name] = {
                "dtype": spec.dtype,
                "shape": list(spec.shape),
                "data_offsets": [position, position + spec.n_bytes],
            }
            position += spec.n_bytes

        raw = json.dumps(header, separators=(",", ":")).encode()
        raw += b" " * (-len(raw) % HEADER_ALIGNMENT)
        data_start = 8 + len(raw)

        self._specs |= {
            spec.name: replace(spec, path=path, offset=data_start + header[spec.name]["data_offsets"][0])
            for spec in shard
        }

        if path.exists():  # left by a writer that died in `finish`
            path.rename(_part(path))
        fd = os.open(_part(path), os.O_RDWR | os.O_CREAT, 0o644)
        self._fds[path] = fd
        os.ftruncate(fd, data_start + position)
        os.posix_fallocate(fd, 0, data_start + position)  # a full disk shows now, not after an hour

        head = len(raw).to_bytes(8, "little") + raw
        self.headers[path.name] = blake3(head).hexdigest()
        _write_all(fd, memoryview(head), 0)

    def write(self, name: str, start: int, piece: Array) -> memoryview:
        """Write a flat piece of the tensor's dtype, whose first element is element `start` of the tensor.

        Returns the bytes written.
        """
        spec = self._specs[name]
        if DTYPE_NAMES[piece.dtype] != spec.dtype:
            raise TypeError(f"tensor {name} was laid out as {spec.dtype}, not {piece.dtype}")
        raw = view_bytes(piece)
        _write_all(self._fds[spec.path], raw, spec.offset + start * piece.itemsize)
        return raw

    def hash_tensor(self, name: str) -> str:
        """BLAKE3 of a tensor's bytes as they are in the file now."""
        spec = self._specs[name]
        return hash_span(self._fds[spec.path], spec.offset, spec.n_bytes)

    def finish(self) -> list[Path]:
        """Close the files and give them their names, the index last. Returns the paths of the weight files."""
        paths = list(self._fds)
        self.close()
        for path in [*paths, *([self._index] if self._index else [])]:
            _part(path).rename(path)
        return paths

    def close(self) -> None:
        """Close the files, finished or not."""
        for fd in self._fds.values():
            os.close(fd)
        self._fds = {}

    def __enter__(self) -> CheckpointWriter:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def split_shards(tensors: Iterable[TensorSpec], shard_bytes: int) -> list[list[TensorSpec]]:
    """Tensors by name, in as many shards as `shard_bytes` asks for; never fewer than one.

    Wider dtypes come first, so that all stay aligned.
    """
    shards: list[list[TensorSpec]] = [[]]
    filled = 0
    for spec in sorted(tensors, key=lambda spec: (-DTYPES[spec.dtype].itemsize, spec.name)):
        if shards[-1] and filled + spec.n_bytes > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(spec)
        filled += spec.n_bytes
    return shards


def _part(path: Path) -> Path:
    return path.with_name(path.name + PART)


def _write_all(fd: int, raw: memoryview, offset: int) -> None:
    while len(raw):
        written = os.pwrite(fd, raw, offset)
        raw, offset = raw[written:], offset + written
