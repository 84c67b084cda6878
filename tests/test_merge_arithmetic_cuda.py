"""The GPU's arithmetic against this machine's: on every GPU that is here, and on torch's own CPU device, which runs the
same lines.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from merge.arithmetic.choice import find_arithmetic
from merge.arithmetic.dtypes import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, DType
from merge.arithmetic.geodesic import Arc
from merge.errors import TensorNotFinite
from merge.merging.merger import merge_parents
from merge.recipe import ParentRef
from merge.settings import MergeSettings
from tests.rows import for_each
from tests.test_merge_arithmetic_kernels import draw
from tests.tiny_models import make_recipe, read_tensors, rewrite_tensors, write_llama

DEVICES = ["cpu:0", *(["cuda"] if torch.cuda.is_available() else [])]
EPS = {BFLOAT16: 2.0**-7, FLOAT16: 2.0**-10, FLOAT32: 2.0**-23}  # spacing of the numbers from 1 to 2
DTYPES = list(EPS)
HOST = find_arithmetic("cpu")


@pytest.mark.parametrize("device", DEVICES)
@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 500), st.sampled_from(DTYPES), st.sampled_from(DTYPES))
def test_sums_are_the_same_to_the_rounding_of_float64(
    device: str, seed: int, count: int, chip_dtype: DType, chat_dtype: DType
) -> None:
    chip, chat, arithmetic = draw(seed, count, chip_dtype), draw(seed + 1, count, chat_dtype), find_arithmetic(device)
    ours, theirs = HOST.measure(chip, chat), arithmetic.measure(chip, chat)
    for name in ("chip", "chat", "difference"):
        assert getattr(theirs, name) == pytest.approx(getattr(ours, name), rel=1e-13, abs=0)
    assert theirs.product == pytest.approx(ours.product, abs=1e-13 * math.sqrt(ours.chip * ours.chat))
    assert arithmetic.square(chip) == pytest.approx(ours.chip, rel=1e-13, abs=0)


ARCS = [
    Arc(0.6, 0.4, 1, 1, 0.1, "geodesic"),
    Arc(1, 0, 1, 1, 0.1, "geodesic"),
    Arc(0, 1, 1, 1, 0.1, "geodesic"),
    Arc(0, 0, 0, 1, None, "zero"),
    Arc(2000.5, 2000.25, 1, 1, 3.1, "geodesic"),
    Arc(0.5, 0, 1, 1, 0.1, "geodesic"),
]


@for_each("device", DEVICES)
@for_each("arc", ARCS)
@for_each("dtype", DTYPES)
def test_merged_pieces_are_the_same_within_rounding(device: str, arc: Arc, dtype: DType) -> None:
    for chip_dtype in DTYPES:
        chip, chat = draw(1, 3000, chip_dtype), draw(2, 3000, FLOAT32)
        ours, theirs = (arithmetic.combine(chip, chat, arc, dtype) for arithmetic in (HOST, find_arithmetic(device)))
        assert (theirs.dtype, theirs.shape) == (ours.dtype, ours.shape)
        if arc.branch == "zero" or 1 in (arc.chip, arc.chat):
            assert theirs.tobytes() == ours.tobytes()
        spacing = np.spacing(np.abs(ours.astype(FLOAT64))) * 2.0**52 * EPS[dtype]  # of dtype at each number
        scale = np.abs(arc.chip * chip.astype(FLOAT64)) + np.abs(arc.chat * chat.astype(FLOAT64))  # terms may cancel
        finite = np.isfinite(ours)
        assert np.array_equal(finite, np.isfinite(theirs))
        difference = np.abs(ours[finite].astype(FLOAT64) - theirs[finite].astype(FLOAT64))
        assert (difference <= (spacing + 2.0**-23 * scale)[finite]).all()


@pytest.mark.parametrize("device", DEVICES)
def test_whole_numbers_are_compared_exactly(device: str) -> None:
    chip = np.array([2**53, 5], np.int64)
    assert find_arithmetic(device).measure(chip, chip + np.array([1, 0])).difference == 1.0
    assert find_arithmetic(device).combine(chip, chip, ARCS[2], chip.dtype).tolist() == chip.tolist()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_a_device_merges_to_the_same_within_rounding(tmp_path: Path, device: str, dtype: str) -> None:
    chip, chat = (write_llama(tmp_path / name, seed, dtype=torch.bfloat16) for name, seed in (("chip", 1), ("chat", 2)))
    for folder in (chip, chat):
        rewrite_tensors(folder, {"buffer": torch.tensor([1, -2, 3])})
    recipe = make_recipe(chip, chat, dtype=dtype)
    outcomes = {
        name: merge_parents(
            recipe,
            tmp_path / name[:4].replace(":", ""),
            MergeSettings(tmp_path / "home"),
            lambda report: "",
            device=name,
            force=True,
        )
        for name in ("cpu", device)
    }
    assert outcomes["cpu"].totals["branches"] == outcomes[device].totals["branches"]
    ours, theirs = read_tensors(outcomes["cpu"].checkpoint_dir), read_tensors(outcomes[device].checkpoint_dir)
    for name, tensor in ours.items():
        eps = torch.finfo(tensor.dtype).eps if tensor.is_floating_point() else 0.0
        torch.testing.assert_close(theirs[name], tensor, rtol=2 * eps, atol=0)


@pytest.mark.parametrize("device", DEVICES)
def test_a_method_with_a_base_gives_the_same_bits_on_any_device(tmp_path: Path, device: str) -> None:
    chip, chat, base = (write_llama(tmp_path / name, seed) for name, seed in (("chip", 1), ("chat", 2), ("base", 3)))
    recipe = make_recipe(chip, chat, method="dare", base_model=ParentRef(str(base)))
    for name, out in (("cpu", "one"), (device, "other")):
        merge_parents(recipe, tmp_path / out, MergeSettings(tmp_path / "home"), lambda report: "", device=name)
    one, other = (read_tensors(tmp_path / name) for name in ("one", "other"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("device", DEVICES)
def test_what_is_not_finite_is_found_on_a_device_too(tmp_path: Path, device: str) -> None:
    chip, chat = (write_llama(tmp_path / name, seed) for name, seed in (("chip", 1), ("chat", 2)))
    rewrite_tensors(chip, {"model.norm.weight": torch.full((32,), math.inf)})
    with pytest.raises(TensorNotFinite, match=r"chip parent: tensor model\.norm\.weight holds inf at flat position 0"):
        merge_parents(
            make_recipe(chip, chat),
            tmp_path / "out",
            MergeSettings(tmp_path / "home"),
            lambda report: "",
            device=device,
        )
