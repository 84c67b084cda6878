"""Reading safetensors: what other libraries write is read, and files that lie are refused."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from merge.errors import CheckpointCorrupt, CheckpointNotFound
from merge.models.checkpoint import Checkpoint, TensorSpec, read_header, read_specs
from merge.models.layout import INDEX, WEIGHTS
from tests.rows import for_each
from tests.tiny_models import read_arrays, to_array, write_llama

ENTRY: dict[str, Any] = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def write_raw(path: Path, header: Any, data: bytes = b"\0" * 8) -> Path:
    """A file with this header, whether or not it makes sense. A header that is bytes is written as it is."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data)
    return path


def spec(name: str, dtype: str, *shape: int) -> TensorSpec:
    return TensorSpec(name, dtype, shape, Path(), 0)


def test_single_file_is_read_as_the_library_reads_it(tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "m", seed=1, dtype=torch.bfloat16)
    with Checkpoint.open(folder) as checkpoint:
        assert checkpoint.config["model_type"] == "llama"
        for name, tensor in read_arrays(folder).items():
            reader = checkpoint.tensor(name)
            assert reader.spec.shape == tuple(tensor.shape)
            assert np.array_equal(reader.read(0, tensor.size).reshape(tensor.shape), tensor)


def test_a_piece_is_the_flat_elements_from_start_to_stop(tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "m", seed=1)
    expected = read_arrays(folder)["model.embed_tokens.weight"].reshape(-1)
    with Checkpoint.open(folder) as checkpoint:
        assert np.array_equal(checkpoint.tensor("model.embed_tokens.weight").read(37, 101), expected[37:101])


def test_a_piece_is_read_into_memory_that_is_given(tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "m", seed=1)
    expected, buffer = read_arrays(folder)["model.embed_tokens.weight"].reshape(-1), np.zeros(100, np.float32)
    with Checkpoint.open(folder) as checkpoint:
        piece = checkpoint.tensor("model.embed_tokens.weight").read(37, 101, buffer)
    assert np.shares_memory(piece, buffer)
    assert np.array_equal(piece, expected[37:101])
    assert not buffer[64:].any()


def test_sharded_folder_is_read_through_its_index(tmp_path: Path) -> None:
    whole, sharded = (
        write_llama(tmp_path / "whole", seed=1),
        write_llama(tmp_path / "sharded", seed=1, shards_of="10KB"),
    )
    assert len(list(sharded.glob("model-*.safetensors"))) > 2
    assert {n: s.shape for n, s in read_specs(sharded).items()} == {n: s.shape for n, s in read_specs(whole).items()}
    with Checkpoint.open(whole) as one, Checkpoint.open(sharded) as many:
        assert np.array_equal(one.tensor("model.norm.weight").read(0, 32), many.tensor("model.norm.weight").read(0, 32))


@for_each(
    "dtype",
    [
        torch.float64,
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int32,
        torch.int16,
        torch.int8,
        torch.uint8,
        torch.bool,
        torch.float8_e4m3fn,
        torch.float8_e5m2,
    ],
)
def test_each_dtype_is_read(tmp_path: Path, dtype: torch.dtype) -> None:
    tensor = torch.tensor([[0, 1], [1, 1]]).to(dtype)
    save_file({"t": tensor, "scalar": torch.tensor(1).to(dtype)}, tmp_path / WEIGHTS)
    checkpoint = Checkpoint(tmp_path, read_header(tmp_path / WEIGHTS), {})
    piece = checkpoint.tensor("t").read(1, 4)
    assert str(piece.dtype) == str(dtype).removeprefix("torch.")
    assert piece.tobytes() == to_array(tensor).reshape(-1)[1:4].tobytes()
    assert checkpoint.tensor("scalar").read(0, 1).shape == (1,)
    checkpoint.close()


@for_each(
    ("header", "complaint"),
    [
        (b"{ not json", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[1]", "JSON, but not an object"),
        (b'{"a":' * 100_000, "not valid JSON"),
        (
            (
                b'{"t": {"dtype":"F32","shape":[1],"data_offsets":[0,4]}, "t":'
                b' {"dtype":"F32","shape":[1],"data_offsets":[4,8]}}'
            ),
            "'t' stands twice",
        ),
        ({"t": 3}, "is not an object"),
        ({"t": {**ENTRY, "dtype": "F33"}}, "dtype 'F33'"),
        ({"t": {**ENTRY, "dtype": None}}, "dtype None"),
        ({"t": {**ENTRY, "shape": [-2]}}, "not a list of sizes"),
        ({"t": {**ENTRY, "shape": [True, 2]}}, "not a list of sizes"),
        ({"t": {**ENTRY, "shape": "2"}}, "not a list of sizes"),
        ({"t": {**ENTRY, "data_offsets": [0]}}, "not two positions"),
        ({"t": {**ENTRY, "data_offsets": [0, 8.0]}}, "not two positions"),
        ({"t": {**ENTRY, "shape": [3]}}, "needs 12 bytes, its offsets give 8"),
        ({"t": {**ENTRY, "shape": [2**62, 2**62]}}, "its offsets give 8"),
        ({"t": {**ENTRY, "data_offsets": [8, 16]}}, "ends at byte"),
        ({"t": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, "4 bytes after the last tensor belong to none"),
        ({"t": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, "overlap or hole"),
        ({"t": ENTRY, "u": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, "overlap or hole"),
    ],
)
def test_headers_that_lie_are_refused(tmp_path: Path, header: Any, complaint: str) -> None:
    path = write_raw(tmp_path / WEIGHTS, header)
    with pytest.raises(CheckpointCorrupt, match=complaint) as caught:
        read_header(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("kept", [0, 5, 8, 30])
def test_truncated_files_are_refused(tmp_path: Path, kept: int) -> None:
    path = write_raw(tmp_path / WEIGHTS, {"t": ENTRY})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointCorrupt, match="truncated"):
        read_header(path)


def test_a_file_cut_inside_its_last_tensor_is_refused_before_any_tensor_is_read(tmp_path: Path) -> None:
    path = write_llama(tmp_path / "m", seed=1) / WEIGHTS
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointCorrupt, match=r"ends at byte \d+ of a file of \d+"):
        Checkpoint.open(path.parent)


def test_a_file_that_shrinks_after_its_header_was_read_is_reported_by_tensor(tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "m", seed=1)
    with Checkpoint.open(folder) as checkpoint:
        reader = checkpoint.tensor("model.norm.weight")
        with (folder / WEIGHTS).open("r+b") as file:
            file.truncate(reader.spec.offset + 8)
        with pytest.raises(CheckpointCorrupt, match=r"the file ends inside tensor model\.norm\.weight"):
            reader.read(0, 32)


def test_an_absurd_header_length_is_refused_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / WEIGHTS
    path.write_bytes(struct.pack("<Q", 2**63) + b"{}")
    with pytest.raises(CheckpointCorrupt, match="claims 9223372036854775808 bytes of a file of 10"):
        read_header(path)


def test_missing_parts_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointNotFound, match=r"config\.json does not exist"):
        Checkpoint.open(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointNotFound, match="holds no safetensors file"):
        Checkpoint.open(tmp_path)
    folder = write_llama(tmp_path / "m", seed=1, shards_of="10KB")
    gone = sorted(folder.glob("model-*.safetensors"))[1]
    gone.unlink()
    with pytest.raises(CheckpointNotFound, match=f"lacks {gone.name}"):
        Checkpoint.open(folder)


@for_each("shard", ["../evil.safetensors", "/etc/passwd", "a/b.safetensors", "..", 3, "weights.bin"])
def test_an_index_that_points_elsewhere_is_refused(tmp_path: Path, shard: Any) -> None:
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"t": shard}}))
    with pytest.raises(CheckpointCorrupt, match="not a plain name of a safetensors file"):
        read_specs(tmp_path)


@pytest.mark.parametrize("text", ["{}", '{"weight_map": {}}', '{"weight_map": []}'])
def test_an_index_without_a_weight_map_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / INDEX).write_text(text)
    with pytest.raises(CheckpointCorrupt, match="weight_map is missing or empty"):
        read_specs(tmp_path)


def test_an_index_that_names_tensors_its_shards_lack_is_refused(tmp_path: Path) -> None:
    save_file({"t": torch.zeros(2)}, tmp_path / "a.safetensors")
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"t": "a.safetensors", "u": "a.safetensors"}}))
    with pytest.raises(CheckpointCorrupt, match=r"do not hold u in a\.safetensors"):
        read_specs(tmp_path)


def test_files_without_index_are_taken_together_unless_a_tensor_is_in_two(tmp_path: Path) -> None:
    save_file({"t": torch.zeros(2)}, tmp_path / "a.safetensors")
    save_file({"u": torch.zeros(2)}, tmp_path / "b.safetensors")
    assert sorted(read_specs(tmp_path)) == ["t", "u"]
    save_file({"t": torch.zeros(2)}, tmp_path / "c.safetensors")
    with pytest.raises(CheckpointCorrupt, match=r"tensor t is in a\.safetensors as well"):
        read_specs(tmp_path)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_a_header_with_any_bytes_changed_is_read_or_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Damage gives one of the two named errors or a header that still tiles the file; never a traceback, never a tensor
    beyond its end.
    """
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    save_file({"a": torch.arange(6, dtype=torch.float32), "b": torch.ones(3, dtype=torch.bfloat16)}, path)
    raw = bytearray(path.read_bytes())
    header_end = 8 + struct.unpack("<Q", raw[:8])[0]
    for position, value in data.draw(
        st.lists(st.tuples(st.integers(0, header_end - 1), st.integers(0, 255)), min_size=1, max_size=4)
    ):
        raw[position] = value
    path.write_bytes(raw)
    try:
        specs = read_header(path)
    except CheckpointCorrupt as error:
        specs, refusal = {}, str(error)
    else:
        refusal = ""
    assert (str(path) in refusal) is bool(refusal)
    assert "\n" not in refusal
    assert sum(each.n_bytes for each in specs.values()) <= len(raw)
    assert all(each.offset >= 0 and each.offset + each.n_bytes <= len(raw) for each in specs.values())
