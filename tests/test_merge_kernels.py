"""The compiled loops against torch's arithmetic: the same sums to float64's rounding, the same merged bits.

A piece in float64 takes torch's way through merge.geodesic, with or without numba; it holds the same numbers.
"""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from merge.geodesic import Arc, combine, interpolate, measure, square, warm_up
from merge.merger import merge_parents
from merge.settings import MergeSettings
from tests.tiny_models import make_recipe, read_tensors, write_llama

pytest.importorskip("numba")
DTYPES = [torch.bfloat16, torch.float16, torch.float32]
SEEDS = st.integers(0, 2**32 - 1)
ROOT = Path(__file__).parents[1]


def draw(seed: int, count: int, dtype: torch.dtype) -> torch.Tensor:
    """Numbers of all magnitudes that the dtype has near one, denormals, zeros of both signs among them."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(count, generator=generator) * torch.exp(4 * torch.randn(count, generator=generator))
    values[:4] = torch.tensor([0.0, -0.0, 1e-40, -6e-8])[: min(4, count)]
    return values.clamp(-6e4, 6e4).to(dtype)


@settings(max_examples=200, deadline=None)
@given(SEEDS, st.integers(1, 500), st.sampled_from(DTYPES), st.sampled_from(DTYPES))
def test_sums_agree_with_torch(seed: int, count: int, chip_dtype: torch.dtype, chat_dtype: torch.dtype) -> None:
    chip, chat = draw(seed, count, chip_dtype), draw(seed + 1, count, chat_dtype)
    ours, theirs = measure(chip, chat), measure(chip.double(), chat.double())
    for name in ("chip", "chat", "difference"):
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-13, abs=0)
    assert ours.product == pytest.approx(theirs.product, abs=1e-13 * math.sqrt(theirs.chip * theirs.chat))
    assert square(chip) == pytest.approx(theirs.chip, rel=1e-13, abs=0)


@settings(max_examples=1000, deadline=None)
@given(SEEDS, st.integers(1, 100), st.sampled_from(DTYPES), st.sampled_from(DTYPES), st.sampled_from(DTYPES), st.floats(-3, 3), st.floats(-3, 3))
def test_merged_bits_are_those_of_torch(
    seed: int, count: int, chip_dtype: torch.dtype, chat_dtype: torch.dtype, dtype: torch.dtype, a: float, b: float
) -> None:
    chip, chat = draw(seed, count, chip_dtype), draw(seed + 1, count, chat_dtype)
    arc = Arc(a, b, 1.0, 1.0, 0.1, "geodesic")
    ours, theirs = combine(chip, chat, arc, dtype), combine(chip.double(), chat.double(), arc, dtype)
    assert ours.dtype is dtype
    assert bytes(ours.view(torch.uint8).tolist()) == bytes(theirs.view(torch.uint8).tolist())


def test_every_bfloat16_number_is_widened_and_rounded_right() -> None:
    every = torch.arange(1 << 16, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    finite = every[torch.isfinite(every)]
    arc = Arc(1.0, 1.0, 1.0, 1.0, 0.1, "geodesic")
    for shift in (1, 7, 129):  # sums of neighbours far and near, ties among them
        other = finite.roll(shift)
        assert torch.equal(combine(finite, other, arc, torch.bfloat16), (finite.float() + other.float()).bfloat16())


def test_a_sum_is_not_fused_with_a_product() -> None:
    a, x = 1.0 + 2**-12, torch.tensor([1.0 + 2**-12])
    product = torch.tensor([a]) * x  # rounded: a fused step would keep 2^-24
    merged = combine(x, -product, Arc(a, 1.0, 1.0, 1.0, 0.1, "geodesic"), torch.float32)
    assert merged.item() == 0.0


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_not_finite_shows_in_the_sums(value: float, dtype: torch.dtype) -> None:
    piece = torch.ones(1000, dtype=dtype)
    piece[777] = value
    assert not math.isfinite(measure(piece, torch.ones(1000, dtype=dtype)).chip)
    assert not math.isfinite(square(piece))


def test_pieces_that_are_not_contiguous_are_read_right() -> None:
    table = draw(1, 600, torch.bfloat16).reshape(20, 30)
    assert measure(table.T, table.T).chip == pytest.approx(table.double().square().sum().item(), rel=1e-13)


def test_a_machine_without_numba_merges_to_the_same_bits(tmp_path: Path) -> None:
    recipe = make_recipe(*(write_llama(tmp_path / name, seed, dtype=torch.bfloat16) for name, seed in (("chip", 1), ("chat", 2))), dtype="bfloat16")
    merge_parents(recipe, tmp_path / "with", MergeSettings(tmp_path / "home"), render_card=lambda report: "")
    code = (
        "import sys; sys.modules['numba'] = None; from merge.commands import merge; sys.path.insert(0, '.'); "
        "sys.exit(merge(sys.argv[1:]))"  # None in sys.modules: importing it fails as if it were not installed
    )
    arguments = ["--chip", str(tmp_path / "chip"), "--instruct", str(tmp_path / "chat"), "--out", str(tmp_path / "without")]
    subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, check=True, capture_output=True)
    ours, theirs = read_tensors(tmp_path / "with"), read_tensors(tmp_path / "without")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_warming_up_changes_nothing() -> None:
    before = torch.get_num_threads()
    warm_up()
    assert torch.get_num_threads() == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_a_gpu_merges_to_the_same_within_rounding(tmp_path: Path, dtype: str) -> None:
    recipe = make_recipe(*(write_llama(tmp_path / name, seed) for name, seed in (("chip", 1), ("chat", 2))), dtype=dtype)
    for device in ("cpu", "cuda"):
        merge_parents(recipe, tmp_path / device, MergeSettings(tmp_path / "home"), render_card=lambda report: "", device=device)
    ours, theirs = read_tensors(tmp_path / "cpu"), read_tensors(tmp_path / "cuda")
    for name, tensor in ours.items():
        torch.testing.assert_close(theirs[name], tensor, rtol=2 * torch.finfo(tensor.dtype).eps, atol=0)


def test_parents_are_left_as_they_are() -> None:
    chip, chat = draw(1, 1000, torch.bfloat16), draw(2, 1000, torch.bfloat16)
    before = chip.clone(), chat.clone()
    interpolate(chip, chat, 0.6, torch.bfloat16)
    assert torch.equal(chip, before[0])
    assert torch.equal(chat, before[1])
