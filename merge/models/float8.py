"""Weights published in float8 with scales, read as the numbers they stand for: code x scale, in float32.

Scales stand beside their weight as <name>_scale_inv (DeepSeek's blocks) or <name>_scale (compressed-tensors, ModelOpt,
FBGEMM), in any shard: one for the tensor, one for each row, or one for each block. Codes without scales are not weights
and stay as they are, to be refused. Nothing is written, and no tensor is read whole.

    source = Float8Source(checkpoint)  # if holds_float8(checkpoint)
    source.tensor("model.layers.0.mlp.up_proj.weight").read(0, 4096)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from merge.arithmetic.dtypes import DTYPES, FLOAT32, Array
from merge.models.checkpoint import TensorReader, TensorSource, TensorSpec

FLOAT8 = ("F8_E4M3", "F8_E5M2")
SCALES = ("_scale_inv", "_scale")  # after the weight's name
# Scales of activations and of the cache, which an engine that computes in float8 needs and weights do not
IDLE = re.compile(r"(.+[._])?(input|k|v|q|kv|output|prob|activation)_scale(_ub)?")
SCALE_DTYPES = ("F32", "BF16", "F16", "F8_E8M0")
BLOCK = (128, 128)  # DeepSeek's
CONFIG_KEYS = ("quantization_config", "compression_config")


def holds_float8(source: TensorSource) -> bool:
    """Whether some of its tensors are float8 codes."""
    return any(spec.dtype in FLOAT8 for spec in source.specs.values())


@dataclass(frozen=True)
class ScaledTensor:
    """A tensor of codes with its scales: `blocks` gives the size of a block in each dimension."""

    codes: TensorReader
    scales: Array  # float32, a dimension for each of the codes'
    blocks: tuple[int, ...]
    table: Array  # the 256 numbers that a code can be, in float32

    @property
    def spec(self) -> TensorSpec:
        """The codes' spec in float32, the dtype that `read` returns."""
        return replace(self.codes.spec, dtype="F32", natural="BF16")

    def read(self, start: int, stop: int, buffer: Array | None = None) -> Array:
        """The flat elements from start to stop, in float32."""
        wide = np.take(self.table, self.codes.read(start, stop).view(np.uint8), out=_part_of(buffer, stop - start))
        shape = self.codes.spec.shape
        if self.scales.size == 1:
            wide *= self.scales.reshape(-1)[0]
            return wide
        columns = shape[-1]
        first, last = start // columns, -(-stop // columns)  # the rows that the piece touches
        rows = np.unravel_index(np.arange(first, last), shape[:-1])
        by_row = self.scales[tuple(index // block for index, block in zip(rows, self.blocks[:-1], strict=True))]
        spread = np.repeat(by_row, self.blocks[-1], axis=1)[:, :columns].reshape(-1)
        wide *= spread[start - first * columns : stop - first * columns]
        return wide


def _part_of(buffer: Array | None, count: int) -> Array | None:
    return None if buffer is None else buffer[:count]


class Float8Source:
    """A checkpoint whose float8 weights are read with their scales; its config says nothing of them any more."""

    def __init__(self, source: TensorSource) -> None:
        """Codes whose scales are missing, or do not fit, stay what they are."""
        self._source = source
        self._scales = {
            name: found
            for name, spec in source.specs.items()
            if spec.dtype in FLOAT8 and (found := _find_scale(spec, source.specs)) is not None
        }
        used = {scale.name for scale, _ in self._scales.values()}
        left = [name for name, spec in source.specs.items() if spec.dtype in FLOAT8 and name not in self._scales]
        self.specs: Mapping[str, TensorSpec] = {
            name: replace(spec, dtype="F32", natural="BF16") if name in self._scales else spec
            for name, spec in source.specs.items()
            if name not in used and not IDLE.fullmatch(name)
        }
        said = () if left else CONFIG_KEYS
        self.config: Mapping[str, Any] = {key: value for key, value in source.config.items() if key not in said}

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self._source.folder

    def tensor(self, name: str) -> TensorReader:
        """The reader of one tensor; its scales are read when its turn comes."""
        if name not in self._scales:
            return self._source.tensor(name)
        spec, shape = self._scales[name]
        codes = self._source.tensor(name)
        scales = self._source.tensor(spec.name).read(0, spec.numel).astype(FLOAT32).reshape(shape)
        stated = (*(1 for _ in shape[:-2]), *_stated_block(self._source.config))[-len(shape) :]
        blocks = tuple(map(_find_block, codes.spec.shape, shape, stated))
        table = np.arange(256, dtype=np.uint8).view(DTYPES[codes.spec.dtype]).astype(FLOAT32)
        return ScaledTensor(codes, scales, blocks, table)


def _find_scale(spec: TensorSpec, specs: Mapping[str, TensorSpec]) -> tuple[TensorSpec, tuple[int, ...]] | None:
    """The scales of a tensor of codes, and their shape with a dimension for each of its own."""
    scale = next((specs[spec.name + end] for end in SCALES if spec.name + end in specs), None)
    if scale is None or scale.dtype not in SCALE_DTYPES or not spec.shape:
        return None
    shape = scale.shape
    if scale.numel == 1:
        return scale, (1,) * len(spec.shape)
    if len(spec.shape) == 1:
        return None
    if len(shape) < len(spec.shape) and shape == spec.shape[: len(shape)]:
        shape = (*shape, *(1,) * (len(spec.shape) - len(shape)))  # one for each row
    fits = len(shape) == len(spec.shape) and all(0 < n <= size for n, size in zip(shape, spec.shape, strict=True))
    return (scale, shape) if fits else None


def _find_block(size: int, count: int, stated: int) -> int:
    """The size of each of `count` blocks of a dimension, the last of which may be smaller."""
    return stated if -(-size // stated) == count else -(-size // count)


def _stated_block(config: Mapping[str, Any]) -> tuple[int, int]:
    """The size of blocks that a config states, of rows and columns."""
    said = config.get("quantization_config")
    block = said.get("weight_block_size") if isinstance(said, dict) else None
    if isinstance(block, list) and len(block) == 2 and all(type(n) is int and 0 < n < 1 << 20 for n in block):
        return block[0], block[1]
    return BLOCK
