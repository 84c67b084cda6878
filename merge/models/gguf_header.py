"""The beginning of a GGUF file, checked before a library reads it: every length in it is only a claim.

It reads no tensor and converts nothing. The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md

    header = read_gguf(Path("model.gguf"))
    assert header.elements == 134_515_008
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merge.errors import CheckpointCorrupt
from merge.files import check_name, open_stream

MAGIC = b"GGUF"
VERSIONS = (2, 3)  # 1 had other lengths, and no reader supports it today
HEADER_LIMIT_BYTES = 64_000_000  # vocabularies of 256,000 tokens with merges and scores take 15 MB
ENTRIES_LIMIT = 100_000  # of metadata, and of tensors: the largest models have 2,000
ITEMS_LIMIT = 4_000_000  # of one array: merges are near 500,000
DIMENSIONS_LIMIT = 4  # GGML_MAX_DIMS
SIZE_LIMIT = 1 << 40  # elements of a tensor: two terabytes of bfloat16
ALIGNMENT = 32  # bytes, the default of the format
STRING, ARRAY = 8, 9
# struct's letters by GGUF's number of a type: u8 i8 u16 i16 u32 i32 f32 bool u64 i64 f64
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


@dataclass(frozen=True)
class GgufHeader:
    """What the file claims, checked against its size."""

    metadata: Mapping[str, Any]  # an array is given as its length
    tensors: Mapping[str, tuple[int, ...]]  # shapes by name, the fastest dimension first

    @property
    def elements(self) -> int:
        """The number of elements in all tensors."""
        return sum(map(math.prod, self.tensors.values()))


def read_gguf(path: Path) -> GgufHeader:
    """The header of a GGUF file.

    Raises:
        CheckpointNotFound
        CheckpointCorrupt: it claims what the file cannot hold.
    """
    with open_stream(path) as file:
        n_bytes = os.fstat(file.fileno()).st_size
        cursor = _Cursor(path, file.read(min(n_bytes, HEADER_LIMIT_BYTES)))

    if cursor.take(4) != MAGIC or cursor.number("I") not in VERSIONS:
        raise CheckpointCorrupt(
            f"{path} is not a GGUF file of version {' or '.join(map(str, VERSIONS))}. Copy the file anew"
        )

    n_tensors, n_entries = cursor.count("Q", ENTRIES_LIMIT), cursor.count("Q", ENTRIES_LIMIT)
    metadata: dict[str, Any] = {}
    for _ in range(n_entries):
        key = cursor.string()
        check_name(key, path)
        if key in metadata:
            raise CheckpointCorrupt(f"{path}: the key {key} stands twice in its metadata")
        metadata[key] = cursor.value()

    places = [_read_tensor(cursor) for _ in range(n_tensors)]
    shapes = {name: shape for name, shape, _, _ in places}
    if len(shapes) != n_tensors:
        raise CheckpointCorrupt(f"{path}: a tensor's name stands twice in it. Copy the file anew")

    _check_places(places, metadata, cursor.at, n_bytes, path)
    header = GgufHeader(metadata, shapes)
    _check_layers(header, path)
    return header


def _read_tensor(cursor: _Cursor) -> tuple[str, tuple[int, ...], int, int]:
    """(name, shape, type, offset) of the next tensor."""
    name = cursor.string()
    check_name(name, cursor.path)
    shape = tuple(cursor.number("Q") for _ in range(cursor.count("I", DIMENSIONS_LIMIT)))
    if not all(0 < size < SIZE_LIMIT for size in shape) or math.prod(shape) >= SIZE_LIMIT:
        raise CheckpointCorrupt(
            f"{cursor.path}: tensor {name} has shape {list(shape)}, which no file holds. Copy the file anew"
        )
    return name, shape, cursor.number("I"), cursor.number("Q")


def _check_places(
    places: list[tuple[str, tuple[int, ...], int, int]],
    metadata: Mapping[str, Any],
    header_bytes: int,
    n_bytes: int,
    path: Path,
) -> None:
    """Check that every tensor lies in the file, and that none overlaps another."""
    from gguf.constants import GGML_QUANT_SIZES

    alignment = metadata.get("general.alignment", ALIGNMENT)
    if type(alignment) is not int or not 0 < alignment <= 1 << 20 or alignment & (alignment - 1):
        raise CheckpointCorrupt(
            f"{path}: general.alignment is {alignment!r}, which is not a power of two. Copy the file anew"
        )
    end = start = -(-header_bytes // alignment) * alignment
    sizes = {int(kind): size for kind, size in GGML_QUANT_SIZES.items()}
    for name, shape, kind, offset in sorted(places, key=lambda place: place[3]):
        if kind not in sizes:
            raise CheckpointCorrupt(
                f"{path}: tensor {name} is of the unknown type {kind}. Give the model as safetensors"
            )
        block, block_bytes = sizes[kind]
        if (shape[0] if shape else 1) % block:
            raise CheckpointCorrupt(
                f"{path}: tensor {name} has rows of {shape[0] if shape else 1} elements, its type blocks of {block}"
            )
        if start + offset < end:
            raise CheckpointCorrupt(f"{path}: tensor {name} lies in another. Copy the file anew")
        end = start + offset + math.prod(shape) // block * block_bytes
        if end > n_bytes:
            raise CheckpointCorrupt(
                f"{path}: tensor {name} ends at byte {end} of a file of {n_bytes}. Copy the file anew"
            )


def _check_layers(header: GgufHeader, path: Path) -> None:
    """Check that there are tensors for all layers and experts, because a model is built of as many."""
    architecture = header.metadata.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise CheckpointCorrupt(
            f"{path}: general.architecture is {architecture!r}, which is not a name. Copy the file anew"
        )
    limits = {
        "block_count": len(header.tensors),
        "expert_count": max((max(shape, default=0) for shape in header.tensors.values()), default=0),
    }
    for key, limit in limits.items():
        value = header.metadata.get(f"{architecture}.{key}", 0)
        if type(value) is not int or not 0 <= value <= limit:
            raise CheckpointCorrupt(
                f"{path}: {architecture}.{key} is {value!r}, and its tensors allow {limit} at most. Copy the file anew"
            )


class _Cursor:
    """A place in the header, which moves past what is read."""

    def __init__(self, path: Path, raw: bytes) -> None:
        self.path = path
        self.at = 0
        self._raw = raw

    def take(self, n_bytes: int) -> bytes:
        """The next bytes. Raises CheckpointCorrupt: there are fewer."""
        if n_bytes > len(self._raw) - self.at:
            raise CheckpointCorrupt(
                f"{self.path} ends inside its header, or its header is longer than any model's. Copy the file anew"
            )
        self.at += n_bytes
        return self._raw[self.at - n_bytes : self.at]

    def number(self, letter: str) -> int:
        """The next whole number, by struct's letter."""
        (value,) = struct.unpack(f"<{letter}", self.take(struct.calcsize(f"<{letter}")))
        return int(value)

    def count(self, letter: str, limit: int) -> int:
        """The next number, which says how many items follow."""
        if (number := self.number(letter)) > limit:
            raise CheckpointCorrupt(
                f"{self.path}: its header announces {number} things where {limit} are allowed. Copy the file anew"
            )
        return number

    def string(self) -> str:
        """The next text."""
        try:
            return self.take(self.number("Q")).decode("utf-8")
        except UnicodeDecodeError:
            raise CheckpointCorrupt(f"{self.path}: a text in its header is not UTF-8. Copy the file anew") from None

    def value(self) -> Any:
        """The next value of the metadata; only the length of an array."""
        kind = self.number("I")
        if kind == STRING:
            return self.string()
        if kind in SCALARS:
            letter = SCALARS[kind]
            return struct.unpack(f"<{letter}", self.take(struct.calcsize(f"<{letter}")))[0]
        if kind != ARRAY:
            raise CheckpointCorrupt(
                f"{self.path}: its metadata has a value of the unknown type {kind}. Copy the file anew"
            )

        inner, length = self.number("I"), self.count("Q", ITEMS_LIMIT)
        if inner in SCALARS:
            self.take(length * struct.calcsize(f"<{SCALARS[inner]}"))
        elif inner == STRING:
            for _ in range(length):
                self.string()
        else:
            raise CheckpointCorrupt(
                f"{self.path}: its metadata has an array of the type {inner}, which no model has. Copy the file anew"
            )

        return length
