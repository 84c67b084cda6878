"""Writing safetensors: other libraries read what is written, whatever the order, and nothing loads before its end."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import ml_dtypes
import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from merge.arithmetic.dtypes import DTYPES
from merge.models.checkpoint import Checkpoint, TensorSpec, read_specs
from merge.models.layout import INDEX, PART, WEIGHTS
from merge.models.writing import CheckpointWriter, split_shards


def spec(name: str, dtype: str, *shape: int) -> TensorSpec:
    return TensorSpec(name, dtype, shape, Path(), 0)


def test_written_files_are_read_by_the_library(tmp_path: Path) -> None:
    specs = [spec("b", "BF16", 3), spec("a", "F32", 2, 2), spec("n", "I64"), spec("e", "F32", 0)]
    writer = CheckpointWriter(tmp_path, specs)
    writer.write("a", 2, np.array([3.0, 4.0], np.float32))
    writer.write("a", 0, np.array([1.0, 2.0], np.float32))
    writer.write("b", 0, np.array([1, 2, 3], ml_dtypes.bfloat16))
    writer.write("n", 0, np.array([7]))
    assert [path.name for path in tmp_path.iterdir()] == [WEIGHTS + PART]  # nothing that loads before `finish`
    assert writer.finish() == [tmp_path / WEIGHTS]
    tensors = load_file(tmp_path / WEIGHTS)
    assert tensors["a"].tolist() == [[1, 2], [3, 4]]
    assert tensors["b"].tolist() == [1, 2, 3]
    assert tensors["n"].item() == 7
    assert tensors["e"].shape == (0,)


def test_written_shards_have_an_index_that_reads_back(tmp_path: Path) -> None:
    specs = [spec(name, "F32", 4) for name in "abcde"]
    writer = CheckpointWriter(tmp_path, specs, shard_bytes=32)
    for name in "abcde":
        writer.write(name, 0, np.full(4, ord(name), np.float32))
    assert [path.name for path in writer.finish()] == [f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)]
    index = json.loads((tmp_path / INDEX).read_text())
    assert index["metadata"]["total_size"] == 80
    assert index["weight_map"]["e"] == "model-00003-of-00003.safetensors"
    checkpoint = Checkpoint(tmp_path, read_specs(tmp_path), {})
    assert all(checkpoint.tensor(name).read(3, 4).item() == ord(name) for name in "abcde")
    checkpoint.close()


def test_a_piece_of_another_dtype_is_a_bug_and_not_written(tmp_path: Path) -> None:
    writer = CheckpointWriter(tmp_path, [spec("a", "BF16", 1)])
    with pytest.raises(TypeError, match="laid out as BF16"):
        writer.write("a", 0, np.zeros(1, np.float32))
    writer.close()


def test_a_tensor_larger_than_a_shard_gets_its_own() -> None:
    shards = split_shards([spec("a", "F32", 1), spec("b", "F32", 100), spec("c", "F32", 1)], shard_bytes=40)
    assert [[s.name for s in shard] for shard in shards] == [["a"], ["b"], ["c"]]


def test_wide_dtypes_come_first_so_that_all_are_aligned() -> None:
    (shard,) = split_shards(
        [spec("a", "BOOL", 3), spec("b", "BF16", 3), spec("c", "F32", 3), spec("d", "I64", 3)], shard_bytes=1000
    )
    assert [s.name for s in shard] == ["d", "c", "b", "a"]


@pytest.mark.parametrize("shard_bytes", [1, 64, 10**9])
def test_what_is_written_is_whole_in_the_eyes_of_the_gateway_too(tmp_path: Path, shard_bytes: int) -> None:
    """The two packages share no code: the writer here, the check before an engine is started there."""
    from serve.running.weights import weight_problems

    specs = [spec("a", "F32", 4, 4), spec("b", "BF16", 7), spec("c", "F32", 0)]
    with CheckpointWriter(tmp_path, specs, shard_bytes) as writer:
        assert list(weight_problems(tmp_path))  # not before it is finished
        for each in specs:
            writer.write(each.name, 0, np.zeros(each.numel, dtype=DTYPES[each.dtype]))
        writer.finish()
    assert list(weight_problems(tmp_path)) == []
    assert (tmp_path / INDEX).exists() is (shard_bytes < 10**9)
    damaged = max(tmp_path.glob("*.safetensors"))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert len(list(weight_problems(tmp_path))) == 1


def test_a_writer_that_died_leaves_its_bytes_to_the_next_even_within_finish(tmp_path: Path) -> None:
    specs = [spec(name, "F32", 4) for name in "ab"]
    with CheckpointWriter(tmp_path, specs, shard_bytes=16) as died:
        died.write("a", 0, np.arange(4, dtype=np.float32))
        died.write("b", 0, np.arange(4, 8, dtype=np.float32))
    first = tmp_path / "model-00001-of-00002.safetensors"
    first.with_name(first.name + PART).rename(first)  # as if it had died between the names of two files

    with CheckpointWriter(tmp_path, specs, shard_bytes=16) as writer:
        assert not list(tmp_path.glob("*.safetensors"))
        assert writer.hash_tensor("a") == blake3(np.arange(4, dtype=np.float32).tobytes()).hexdigest()
        writer.write("b", 3, np.array([70], np.float32))
        writer.finish()

    with Checkpoint(tmp_path, read_specs(tmp_path), {}) as checkpoint:
        assert checkpoint.tensor("a").read(0, 4).tolist() == [0, 1, 2, 3]
        assert checkpoint.tensor("b").read(0, 4).tolist() == [4, 5, 6, 70]


def test_a_file_left_by_a_longer_layout_is_cut_to_the_new_one(tmp_path: Path) -> None:
    with CheckpointWriter(tmp_path, [spec("a", "F32", 100)]) as died:
        died.write("a", 0, np.ones(100, np.float32))
    with CheckpointWriter(tmp_path, [spec("a", "F32", 2)]) as writer:
        writer.write("a", 0, np.array([5, 6], np.float32))
        writer.finish()
    assert load_file(tmp_path / WEIGHTS)["a"].tolist() == [5, 6]
    assert sorted(path.name for path in tmp_path.iterdir()) == [WEIGHTS]


SHAPES = st.lists(st.integers(0, 4), max_size=3).map(tuple)


@settings(max_examples=30)
@given(
    st.dictionaries(st.text("ab.", min_size=1, max_size=5), st.tuples(st.sampled_from(["F32", "F16", "U8"]), SHAPES)),
    st.integers(1, 200),
    st.randoms(use_true_random=False),
)
def test_any_tensors_written_in_any_order_of_pieces_read_back_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    given_specs: dict[str, tuple[str, tuple[int, ...]]],
    shard: int,
    random: Random,
) -> None:
    folder = tmp_path_factory.mktemp("any")
    specs = [spec(name, dtype, *shape) for name, (dtype, shape) in given_specs.items()]
    values = {each.name: np.arange(each.numel).astype(DTYPES[each.dtype]) for each in specs}
    pieces = [(name, start) for name, flat in values.items() for start in range(0, len(flat), 3)]
    random.shuffle(pieces)

    with CheckpointWriter(folder, specs, shard) as writer:
        for name, start in pieces:
            writer.write(name, start, values[name][start : start + 3])
        paths = writer.finish()

    read = {name: array for path in paths for name, array in load_file(path).items()}
    assert read.keys() == values.keys()
    assert all(read[each.name].shape == each.shape for each in specs)
    assert all(read[name].ravel().tolist() == flat.tolist() for name, flat in values.items())


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.sampled_from(["F64", "F32", "BF16", "U8"]), st.integers(0, 9)), max_size=8),
    st.integers(1, 60),
)
def test_shards_hold_every_tensor_once_and_no_more_than_fits(tensors: list[tuple[str, int]], limit: int) -> None:
    specs = [spec(f"t{number}", dtype, count) for number, (dtype, count) in enumerate(tensors)]
    shards = split_shards(specs, limit)
    assert sorted(each.name for shard in shards for each in shard) == sorted(each.name for each in specs)
    assert len(shards) >= 1
    for shard in shards:
        assert len(shard) <= 1 or sum(each.n_bytes for each in shard) <= limit
        widths = [DTYPES[each.dtype].itemsize for each in shard]
        assert widths == sorted(widths, reverse=True)
    assert split_shards(specs[::-1], limit) == shards


def test_a_shard_that_is_just_full_takes_no_more_than_an_empty_tensor() -> None:
    full = [spec("a", "F32", 2), spec("b", "F32", 2), spec("c", "F32", 0)]
    assert [[each.name for each in shard] for shard in split_shards(full, 16)] == [["a", "b", "c"]]
    assert [[each.name for each in shard] for shard in split_shards(full, 15)] == [["a"], ["b", "c"]]
    assert split_shards([], 1) == [[]]


def test_a_header_is_hashed_as_it_stands_in_the_file(tmp_path: Path) -> None:
    with CheckpointWriter(tmp_path, [spec("größe", "BF16", 3), spec("x", "U8", 1)]) as writer:
        (path,) = writer.finish()
    raw = path.read_bytes()
    head = raw[: 8 + int.from_bytes(raw[:8], "little")]
    assert writer.headers == {WEIGHTS: blake3(head).hexdigest()}
    assert len(head) % 8 == 0
    assert len(raw) == len(head) + 7
    assert json.loads(head[8:])["__metadata__"] == {"format": "pt"}


def test_the_bytes_that_were_written_are_given_back_and_hashed(tmp_path: Path) -> None:
    values = np.array([1.5, -2.0, 3.0], ml_dtypes.bfloat16)
    with CheckpointWriter(tmp_path, [spec("a", "BF16", 3), spec("b", "F32", 1)]) as writer:
        assert bytes(writer.write("a", 0, values)) == values.tobytes()
        assert bytes(writer.write("a", 1, values[:0])) == b""
        assert writer.hash_tensor("a") == blake3(values.tobytes()).hexdigest()
        assert writer.hash_tensor("b") == blake3(bytes(4)).hexdigest()  # not written yet: zeros
        with pytest.raises(KeyError):
            writer.write("c", 0, values)


def test_a_writer_that_is_closed_without_an_end_leaves_nothing_that_loads(tmp_path: Path) -> None:
    with CheckpointWriter(tmp_path, [spec(name, "F32", 4) for name in "ab"], shard_bytes=16) as writer:
        writer.close()
    assert all(path.name.endswith(PART) for path in tmp_path.iterdir())
    assert len(list(tmp_path.iterdir())) == 3  # two shards and their index
