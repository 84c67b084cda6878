"""The compiled loops, and numpy beside them, against torch's arithmetic, which shares no line with either: the same
sums to float64's rounding, the same merged bits.
"""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from merge.arithmetic.choice import find_arithmetic, warm_up
from merge.arithmetic.dtypes import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, Array, DType
from merge.arithmetic.geodesic import Arc, interpolate
from merge.arithmetic.plain import NumpyArithmetic
from merge.merging.merger import merge_parents
from merge.settings import MergeSettings
from tests.rows import for_each
from tests.tiny_models import make_recipe, read_tensors, to_array, to_tensor, write_llama

pytest.importorskip("numba")
COMPILED, PLAIN = find_arithmetic("cpu"), NumpyArithmetic()
measure, square, combine = COMPILED.measure, COMPILED.square, COMPILED.combine
widen, narrow = COMPILED.widen, COMPILED.narrow
DTYPES = [BFLOAT16, FLOAT16, FLOAT32]
SEEDS = st.integers(0, 2**32 - 1)
ROOT = Path(__file__).parents[1]


def draw(seed: int, count: int, dtype: DType) -> Array:
    """Numbers of all magnitudes that the dtype has near one, denormals, zeros of both signs among them."""
    dice = np.random.default_rng(seed)
    values = dice.standard_normal(count) * np.exp(4 * dice.standard_normal(count))
    values[:4] = [0.0, -0.0, 1e-40, -6e-8][: min(4, count)]
    drawn: Array = values.clip(-6e4, 6e4).astype(np.float32).astype(dtype)
    return drawn


@settings(max_examples=200, deadline=None)
@given(SEEDS, st.integers(1, 500), st.sampled_from(DTYPES), st.sampled_from(DTYPES))
def test_sums_agree_with_torch(seed: int, count: int, chip_dtype: DType, chat_dtype: DType) -> None:
    chip, chat = draw(seed, count, chip_dtype), draw(seed + 1, count, chat_dtype)
    ours, c, i = measure(chip, chat), to_tensor(chip).double(), to_tensor(chat).double()
    chip_sum, chat_sum = (c @ c).item(), (i @ i).item()
    assert ours.chip == pytest.approx(chip_sum, rel=1e-13, abs=0)
    assert ours.chat == pytest.approx(chat_sum, rel=1e-13, abs=0)
    assert ours.difference == pytest.approx(((c - i) @ (c - i)).item(), rel=1e-13, abs=0)
    assert ours.product == pytest.approx((c @ i).item(), abs=1e-13 * math.sqrt(chip_sum * chat_sum))
    assert square(chip) == pytest.approx(chip_sum, rel=1e-13, abs=0)
    assert PLAIN.square(chip) == pytest.approx(chip_sum, rel=1e-13, abs=0)
    # numpy's way, which a machine without numba takes, and the loops what they leave to it
    for other in (PLAIN.measure(chip, chat), measure(chip.astype(FLOAT64), chat.astype(FLOAT64))):
        for name in ("chip", "chat", "difference"):
            assert getattr(ours, name) == pytest.approx(getattr(other, name), rel=1e-13, abs=0)


@settings(max_examples=1000, deadline=None)
@given(
    SEEDS,
    st.integers(1, 100),
    st.sampled_from(DTYPES),
    st.sampled_from(DTYPES),
    st.sampled_from(DTYPES),
    st.floats(-3, 3),
    st.floats(-3, 3),
)
def test_merged_bits_are_those_of_torch(
    seed: int, count: int, chip_dtype: DType, chat_dtype: DType, dtype: DType, a: float, b: float
) -> None:
    chip, chat = draw(seed, count, chip_dtype), draw(seed + 1, count, chat_dtype)
    arc = Arc(a, b, 1.0, 1.0, 0.1, "geodesic")
    ours = combine(chip, chat, arc, dtype)
    terms = [to_tensor(piece).float() * factor for piece, factor in ((chip, a), (chat, b)) if factor != 0.0]
    theirs = terms[0] + terms[1] if len(terms) == 2 else terms[0] if terms else to_tensor(chip).float() * a
    assert ours.dtype == dtype
    assert ours.tobytes() == to_array(theirs.to(getattr(torch, dtype.name))).tobytes()
    wide = combine(chip.astype(FLOAT64), chat.astype(FLOAT64), arc, dtype)
    assert ours.tobytes() == wide.tobytes() == PLAIN.combine(chip, chat, arc, dtype).tobytes()


def test_every_bfloat16_number_is_widened_and_rounded_right() -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(BFLOAT16)
    finite = every[np.isfinite(every.astype(FLOAT32))]
    arc = Arc(1.0, 1.0, 1.0, 1.0, 0.1, "geodesic")
    for shift in (1, 7, 129):  # sums of neighbours far and near, ties among them
        other = np.roll(finite, shift)
        expected = (to_tensor(finite).float() + to_tensor(other).float()).bfloat16()
        assert combine(finite, other, arc, BFLOAT16).tobytes() == to_array(expected).tobytes()


def test_every_float16_number_is_widened_right_and_back() -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(FLOAT16)
    wide, numbers = widen(every), ~np.isnan(every)
    assert wide[numbers].tobytes() == every.astype(FLOAT32)[numbers].tobytes()
    assert np.isnan(wide[~numbers]).all()
    assert narrow(wide, FLOAT16)[numbers].tobytes() == every[numbers].tobytes()
    assert np.isnan(narrow(wide, FLOAT16)[~numbers]).all()


def test_float32_is_rounded_to_float16_to_nearest_ties_to_even_at_every_boundary() -> None:
    """Each float16 number, the midpoint to the next, and the float32 numbers beside that midpoint; numpy's own rounding
    as the measure.
    """
    sizes = np.arange(0x7C00, dtype=np.uint16).view(FLOAT16).astype(FLOAT64)
    middles = ((sizes + np.append(sizes[1:], 65536.0)) / 2).astype(FLOAT32)
    for values in (
        middles,
        np.nextafter(middles, np.float32(0)),
        np.nextafter(middles, np.float32(np.inf)),
        np.array([1e38, 1e-45], FLOAT32),
    ):
        for signed in (values, -values):
            with np.errstate(over="ignore"):
                assert narrow(signed, FLOAT16).tobytes() == signed.astype(FLOAT16).tobytes()


def test_a_sum_is_not_fused_with_a_product() -> None:
    a, x = 1.0 + 2**-12, np.array([1.0 + 2**-12], FLOAT32)
    product = np.float32(a) * x  # rounded: a fused step would keep 2^-24
    merged = combine(x, -product, Arc(a, 1.0, 1.0, 1.0, 0.1, "geodesic"), FLOAT32)
    assert merged.item() == 0.0


@for_each("value", [math.inf, -math.inf, math.nan])
@for_each("dtype", [*DTYPES, FLOAT64])
def test_what_is_not_finite_shows_in_the_sums(value: float, dtype: DType) -> None:
    piece = np.ones(1000, dtype)
    piece[777] = value
    assert not math.isfinite(measure(piece, np.ones(1000, dtype)).chip)
    assert not math.isfinite(square(piece))


def test_pieces_that_are_not_contiguous_are_read_right() -> None:
    every_third = draw(1, 600, BFLOAT16)[::3]
    assert measure(every_third, every_third).chip == pytest.approx(
        np.square(every_third.astype(FLOAT64)).sum(), rel=1e-13
    )


def test_whole_numbers_that_float64_cannot_distinguish_are_not_the_same() -> None:
    chip = np.array([2**53, 5], np.int64)
    assert measure(chip, chip + np.array([1, 0])).difference == 1.0
    assert measure(chip, chip.copy()).difference == 0.0
    assert measure(np.array([True]), np.array([False])).difference == 1.0


@pytest.mark.parametrize(
    ("dtype", "name"), [(torch.bfloat16, "bfloat16"), (torch.float16, "float16"), (torch.float32, "bfloat16")]
)
def test_a_machine_without_numba_merges_to_the_same_bits(tmp_path: Path, dtype: torch.dtype, name: str) -> None:
    chip, chat = (write_llama(tmp_path / name, seed, dtype=dtype) for name, seed in (("chip", 1), ("chat", 2)))
    merge_parents(
        make_recipe(chip, chat, dtype=name),
        tmp_path / "with",
        MergeSettings(tmp_path / "home"),
        render_card=lambda report: "",
    )
    # None in sys.modules: importing it fails as if it were not installed
    code = (
        "import sys; sys.modules['numba'] = None; from merge.commands.merge_commands import merge; "
        "sys.path.insert(0, '.'); sys.exit(merge(sys.argv[1:]))"
    )
    recipe = tmp_path / "r.toml"
    recipe.write_text(f'[merge]\ndtype = "{name}"\n[chip]\nmodel = "chip"\n[chat]\nmodel = "chat"\n')
    done = subprocess.run(
        [sys.executable, "-c", code, str(recipe), "--out", str(tmp_path / "without")],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    assert b"Warning" not in done.stderr
    ours, theirs = read_tensors(tmp_path / "with"), read_tensors(tmp_path / "without")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_warming_up_changes_nothing() -> None:
    before = np.geterr()
    warm_up(COMPILED)
    assert np.geterr() == before


def test_parents_are_left_as_they_are() -> None:
    chip, chat = draw(1, 1000, BFLOAT16), draw(2, 1000, BFLOAT16)
    before = chip.copy(), chat.copy()
    interpolate(chip, chat, 0.6, BFLOAT16, COMPILED)
    assert np.array_equal(chip, before[0])
    assert np.array_equal(chat, before[1])
