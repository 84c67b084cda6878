"""A tensor made of runs of others: any span of it is what the whole would have, and both ways undo each other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from merge.arithmetic.dtypes import DTYPES, Array
from merge.models.checkpoint import TensorReader, TensorSpec
from merge.models.fusing import Fusion, Run
from merge.models.rearranged import join_parts, split_whole


class Stored:
    """A tensor in memory."""

    def __init__(self, spec: TensorSpec, values: Array) -> None:
        self.spec, self.values = spec, values

    def read(self, start: int, stop: int, buffer: Array | None = None) -> Array:
        """The flat elements from start to stop."""
        piece = self.values[start:stop].copy() if buffer is None else buffer[: stop - start]
        piece[:] = self.values[start:stop]
        return piece


class Memory:
    """A source whose tensors are in memory."""

    folder = Path("nowhere")

    def __init__(self, tensors: Mapping[str, tuple[str, Array]]) -> None:
        self.config: Mapping[str, Any] = {"model_type": "any"}
        self._values = {name: values.reshape(-1) for name, (_, values) in tensors.items()}
        self.specs: Mapping[str, TensorSpec] = {
            name: TensorSpec(name, dtype, values.shape, Path(), 0) for name, (dtype, values) in tensors.items()
        }

    def tensor(self, name: str) -> TensorReader:
        """The reader of one tensor."""
        return Stored(self.specs[name], self._values[name])


def numbers(*shape: int, start: int = 0, dtype: str = "F32") -> tuple[str, Array]:
    return dtype, np.arange(start, start + math.prod(shape)).astype(DTYPES[dtype]).reshape(shape)


def qkv(groups: int, *, is_turned: bool = False) -> tuple[Memory, Fusion]:
    """Parts q (8 rows of 3), k and v (4 rows each), and how they alternate in one piece."""
    parts = Memory({"q": numbers(8, 3), "k": numbers(4, 3, start=100), "v": numbers(4, 3, start=200), "o": numbers(5)})
    runs = tuple(
        Run(name, group * rows * 3 // groups, rows * 3 // groups)
        for group in range(groups)
        for name, rows in (("q", 8), ("k", 4), ("v", 4))
    )
    shape = (3, 16) if is_turned else (16, 3)
    own = {name: parts.specs[name] for name in ("q", "k", "v")}
    return parts, Fusion(replace(parts.specs["q"], name="qkv", shape=shape), own, runs, is_turned)


def whole_of(source: Any, name: str) -> Array:
    spec = source.specs[name]
    read: Array = source.tensor(name).read(0, spec.numel)
    return read.reshape(spec.shape)


def test_parts_one_after_the_other_become_rows_of_one_tensor() -> None:
    parts, fusion = qkv(groups=1)
    joined = join_parts(parts, [fusion])
    expected = np.concatenate([whole_of(parts, name) for name in ("q", "k", "v")])
    assert joined.specs.keys() == {"qkv", "o"}
    assert np.array_equal(whole_of(joined, "qkv"), expected)
    assert np.array_equal(whole_of(joined, "o"), whole_of(parts, "o"))
    assert joined.config == parts.config
    assert joined.folder == parts.folder


def test_parts_that_alternate_by_head_are_found_in_their_places() -> None:
    parts, fusion = qkv(groups=4)
    joined = whole_of(join_parts(parts, [fusion]), "qkv")
    assert joined[:4].tolist() == [[0, 1, 2], [3, 4, 5], [100, 101, 102], [200, 201, 202]]
    assert joined[4:8].tolist() == [[6, 7, 8], [9, 10, 11], [103, 104, 105], [203, 204, 205]]


def test_a_transposed_whole_is_the_transpose_of_its_parts() -> None:
    parts, straight = qkv(groups=1)
    _, turned = qkv(groups=1, is_turned=True)
    expected = whole_of(join_parts(parts, [straight]), "qkv")
    joined = join_parts(parts, [turned])
    assert joined.specs["qkv"].shape == (3, 16)
    assert np.array_equal(whole_of(joined, "qkv"), expected.T)


@settings(max_examples=50)
@given(st.sampled_from([1, 2, 4]), st.booleans(), st.integers(0, 48), st.integers(0, 48))
def test_any_span_is_that_of_the_whole_with_and_without_a_buffer(
    groups: int, is_turned: bool, one: int, other: int
) -> None:
    parts, fusion = qkv(groups, is_turned=is_turned)
    reader = join_parts(parts, [fusion]).tensor("qkv")
    start, stop = sorted((one, other))
    expected = reader.read(0, 48)[start:stop].tolist()
    assert reader.read(start, stop).tolist() == expected
    buffer = np.full(60, -1.0, np.float32)
    assert reader.read(start, stop, buffer).tolist() == expected
    assert buffer[: stop - start].tolist() == expected
    assert set(buffer[stop - start :].tolist()) <= {-1.0}


@settings(max_examples=20)
@given(st.sampled_from([1, 2, 4]), st.booleans())
def test_what_was_joined_and_split_again_is_as_it_was(groups: int, is_turned: bool) -> None:
    parts, fusion = qkv(groups, is_turned=is_turned)
    again = split_whole(join_parts(parts, [fusion]), [fusion])
    assert again.specs.keys() == parts.specs.keys()
    for name in parts.specs:
        assert again.specs[name].shape == parts.specs[name].shape
        assert np.array_equal(whole_of(again, name), whole_of(parts, name))


def test_parts_of_several_dtypes_are_joined_in_one_that_holds_them_all() -> None:
    for dtypes, wide in ((("BF16", "F16"), "F32"), (("F32", "F64"), "F64"), (("BF16", "BF16"), "BF16")):
        parts = Memory({"a": numbers(2, dtype=dtypes[0]), "b": numbers(2, start=5, dtype=dtypes[1])})
        spec = replace(parts.specs["a"], name="ab", shape=(4,))
        fusion = Fusion(spec, dict(parts.specs), (Run("a", 0, 2), Run("b", 0, 2)))
        joined = join_parts(parts, [fusion])
        assert joined.specs["ab"].dtype == wide
        assert whole_of(joined, "ab").dtype == DTYPES[wide]
        assert whole_of(joined, "ab").astype(float).tolist() == [0, 1, 5, 6]
        assert joined.specs["ab"].own_dtype == wide


def test_without_fusions_everything_stays() -> None:
    parts, _ = qkv(groups=1)
    for made in (join_parts(parts, []), split_whole(parts, [])):
        assert made.specs == parts.specs
        assert np.array_equal(whole_of(made, "q"), whole_of(parts, "q"))
