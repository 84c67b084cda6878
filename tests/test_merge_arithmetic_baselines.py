"""Every baseline against a calculation of its own on whole tensors in numpy, and against what mergekit 0.1.5 made of
the same pair.

The golden file and the script that made it are in tests/golden. mergekit's own environment is not needed to read it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from merge.arithmetic.baselines import (
    combine_base,
    find_key,
    find_line,
    find_slerp,
    find_thresholds,
    prepare,
)
from merge.arithmetic.choice import find_arithmetic
from merge.arithmetic.dtypes import FLOAT32, FLOAT64, Array, DType
from merge.arithmetic.geodesic import find_arc
from merge.arithmetic.sparse import NumpySparse, add_scaled, draw_uniforms, find_chances
from merge.errors import TensorNotFinite
from merge.recipe import BASE_METHODS, Parameters
from tests.rows import for_each
from tests.tiny_models import to_array

ARITHMETIC = find_arithmetic("cpu")
measure, combine = ARITHMETIC.measure, ARITHMETIC.combine
GOLDEN = {
    name: to_array(tensor)
    for name, tensor in load_file(Path(__file__).parent / "golden" / "mergekit.safetensors").items()
}
NAMES = sorted({key.partition("/")[2] for key in GOLDEN})
SHAPE = (37, 24)
LAM = 0.6
SPARSE = ARITHMETIC.sparse
SHARES = {"chip": LAM, "chat": 1 - LAM}


def make_triple(shape: tuple[int, ...] = SHAPE, dtype: DType = FLOAT32) -> tuple[Array, Array, Array]:
    """Chip, chat and base of one tensor; the parents' differences overlap and conflict."""
    dice = np.random.default_rng(5)
    base, d_chip, d_chat = (dice.standard_normal(shape, np.float32) for _ in range(3))
    return (
        (base + np.float32(0.3) * d_chip).astype(dtype),
        (base + np.float32(0.2) * d_chat).astype(dtype),
        base.astype(dtype),
    )


def mix_tensors(
    method: str, chip: Array, chat: Array, base: Array, piece_rows: int = 5, lam: float = LAM, **values: Any
) -> Array:
    """The method in pieces of a few rows, as a merger carries it out; a vector in pieces of `piece_rows` elements."""
    sides = {"chip": chip, "chat": chat}
    step = piece_rows * (chip.shape[-1] if chip.ndim > 1 else 1)
    starts = range(0, chip.size, step)

    flat = {side: array.reshape(-1) for side, array in (*sides.items(), ("base", base))}
    pieces = {at: {side: array[at : at + step] for side, array in flat.items()} for at in starts}

    def look(function: Callable[[int, Mapping[str, Array]], Any]) -> Iterator[Any]:
        yield from (function(at, piece) for at, piece in pieces.items())

    shares = {"chip": lam, "chat": 1 - lam}
    mix = prepare(method, shares, {}, "t", chip.shape, Parameters(**values), look, SPARSE)
    merged = [combine_base(piece, mix, at, FLOAT32, SPARSE) for at, piece in pieces.items()]
    return np.concatenate(merged).reshape(chip.shape)


def uniforms_of(side: str, seed: int, count: int, name: str = "t") -> Array:
    """The random numbers by numpy's own Generator-free route: the whole stream from the start."""
    key = int.from_bytes(hashlib.sha256(f"{seed}/{side}/{name}".encode()).digest()[:16], "little")
    raw = np.random.Philox(key=key).random_raw(count)
    return np.array([int(number) >> 40 for number in raw], np.float64) / 2**24


def by_hand(
    method: str,
    chip: Array,
    chat: Array,
    base: Array,
    lam: float,
    density: float,
    epsilon: float,
    scale: float,
    elect: bool,
) -> Array:
    """The methods element by element, as their papers state them."""
    kept = {}
    for side, parent in (("chip", chip), ("chat", chat)):
        d = parent - base
        u = uniforms_of(side, 0, d.size).reshape(d.shape)
        if method == "ties":
            order = sorted(range(d.size), key=lambda i: abs(d.flat[i]), reverse=True)
            mask = np.zeros(d.size, bool)
            mask[order[: max(1, int(density * d.size))]] = True
            kept[side] = d * mask.reshape(d.shape)
        elif method == "dare":
            kept[side] = np.array(
                [
                    [x / density if r < density else 0.0 for x, r in zip(*rows, strict=True)]
                    for rows in zip(d, u, strict=True)
                ]
            )
        elif method == "della":
            out = np.zeros_like(d)
            for row in range(d.shape[0]):
                for rank, column in enumerate(sorted(range(d.shape[1]), key=lambda c: abs(d[row, c]))):
                    chance = density - epsilon + 2 * epsilon * rank / (d.shape[1] - 1)
                    out[row, column] = d[row, column] / chance if u[row, column] < chance else 0.0
            kept[side] = out
        else:
            kept[side] = d
    weighted = lam * kept["chip"] + (1 - lam) * kept["chat"]
    if not elect:
        return np.asarray(base + scale * weighted)
    mixed: Array = np.zeros_like(base)
    for at in np.ndindex(base.shape):
        sign = 1.0 if weighted[at] >= 0 else -1.0
        agreeing = [(w, d[at]) for w, d in ((lam, kept["chip"]), (1 - lam, kept["chat"])) if d[at] * sign > 0]
        mixed[at] = sum(w * x for w, x in agreeing) / sum(w for w, _ in agreeing) if agreeing else 0.0
    return np.asarray(base + scale * mixed)


CASES: list[tuple[str, dict[str, Any]]] = [
    ("task_arithmetic", {"scale": 1.5}),
    ("ties", {}),
    ("ties", {"density": 0.7, "scale": 2.0}),
    ("dare", {"density": 0.4}),
    ("dare", {"density": 0.4, "elect": True}),
    ("della", {"density": 0.5, "epsilon": 0.2}),
]


@for_each(("method", "values"), CASES)
def test_each_method_agrees_with_its_paper_done_by_hand(method: str, values: dict[str, Any]) -> None:
    triple = make_triple()
    parameters = Parameters(**values)
    density, elect = parameters.find_density(method), parameters.elect or method in ("ties", "della")
    chip, chat, base = (array.astype(FLOAT64) for array in triple)
    # differences in float32, as the product takes them, so that no rank and no coin falls otherwise
    chip, chat = (base + (parent - triple[2]).astype(FLOAT64) for parent in triple[:2])
    expected = by_hand(method, chip, chat, base, LAM, density, parameters.epsilon, parameters.scale, elect)
    np.testing.assert_allclose(mix_tensors(method, *triple, **values), expected, rtol=2e-6, atol=2e-6)


GOLDEN_CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("task_arithmetic", "task_arithmetic", {"scale": 1.5}),
    ("ties", "ties", {"density": 0.3, "scale": 1.5}),
    ("dare_linear", "dare", {"density": 1.0}),
    ("dare_ties", "dare", {"density": 1.0, "elect": True}),
    ("della", "della", {"density": 1.0, "epsilon": 0.0}),
]


@for_each(("theirs", "method", "values"), GOLDEN_CASES)
@for_each("name", NAMES)
def test_methods_with_a_base_agree_with_mergekit(theirs: str, method: str, values: dict[str, Any], name: str) -> None:
    chip, chat, base = (GOLDEN[f"{side}/{name}"] for side in ("chip", "chat", "base"))
    np.testing.assert_allclose(
        mix_tensors(method, chip, chat, base, **values), GOLDEN[f"{theirs}/{name}"], rtol=1e-6, atol=1e-6
    )


@for_each("name", NAMES)
def test_linear_agrees_with_mergekit(name: str) -> None:
    chip, chat = GOLDEN[f"chip/{name}"], GOLDEN[f"chat/{name}"]
    merged = combine(
        chip.reshape(-1), chat.reshape(-1), find_line(measure(chip.reshape(-1), chat.reshape(-1)), LAM), FLOAT32
    )
    np.testing.assert_allclose(merged, GOLDEN[f"linear/{name}"].reshape(-1), rtol=1e-6, atol=1e-7)


@for_each("name", NAMES)
def test_mergekits_slerp_is_the_geodesic_without_its_norms(name: str) -> None:
    chip, chat = GOLDEN[f"chip/{name}"].reshape(-1), GOLDEN[f"chat/{name}"].reshape(-1)
    slerp = combine(chip, chat, find_slerp(measure(chip, chat), LAM, name), FLOAT32)
    np.testing.assert_allclose(slerp, GOLDEN[f"slerp/{name}"].reshape(-1), rtol=1e-5, atol=1e-6)
    arc = find_arc(measure(chip, chat), LAM, name)
    merged = combine(chip, chat, arc, FLOAT32)
    assert np.linalg.norm(merged.astype(FLOAT64)) == pytest.approx(
        arc.chip_norm**LAM * arc.chat_norm ** (1 - LAM), rel=1e-5
    )


def test_a_line_has_the_record_of_a_geodesic() -> None:
    chip, chat, _ = (array.reshape(-1) for array in make_triple())
    sums = measure(chip, chat)
    line, arc = find_line(sums, 0.5), find_arc(sums, 0.5, "t")
    assert (line.chip, line.chat, line.branch) == (0.5, 0.5, "linear")
    assert (line.chip_norm, line.chat_norm, line.theta) == (arc.chip_norm, arc.chat_norm, arc.theta)
    assert find_line(measure(chip, np.zeros_like(chat)), 0.5).theta is None


def test_task_arithmetic_at_scale_one_is_linear() -> None:
    chip, chat, base = make_triple()
    np.testing.assert_allclose(
        mix_tensors("task_arithmetic", chip, chat, base), LAM * chip + (1 - LAM) * chat, rtol=1.3e-6, atol=1e-5
    )


@for_each("method", BASE_METHODS)
@for_each("piece_rows", [1, 2, 36, 100])
def test_pieces_of_any_size_give_the_same_bits(method: str, piece_rows: int) -> None:
    triple = make_triple()
    assert np.array_equal(mix_tensors(method, *triple, piece_rows=piece_rows), mix_tensors(method, *triple))


@for_each("method", BASE_METHODS)
def test_parents_that_are_their_base_stay_as_they_are(method: str) -> None:
    _, _, base = make_triple()
    assert np.array_equal(mix_tensors(method, base, base, base), base)


@pytest.mark.parametrize("method", ["dare", "della"])
def test_dropping_keeps_the_expectation(method: str) -> None:
    chip, chat, base = make_triple((500, 200))
    if method == "dare":
        mean = np.mean(
            [mix_tensors(method, chip, chat, base, seed=seed, density=0.5) for seed in range(8)], dtype=FLOAT64
        )
        assert mean == pytest.approx(np.mean(LAM * chip + (1 - LAM) * chat, dtype=FLOAT64), abs=0.002)
    merged = mix_tensors(method, chip, base, base, lam=1.0, seed=1, density=0.5)
    assert np.mean(merged != base) == pytest.approx(0.5, abs=0.01)


def test_the_seed_the_name_and_the_side_decide_what_is_dropped() -> None:
    triple = make_triple()
    one, same, other = (mix_tensors("dare", *triple, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    mix = prepare("dare", SHARES, {}, "t", SHAPE, Parameters(), lambda function: iter(()), SPARSE)
    assert not np.array_equal(draw_uniforms(mix.keys["chip"], 0, 9), draw_uniforms(mix.keys["chat"], 0, 9))


@given(start=st.integers(0, 500), count=st.integers(1, 70))
def test_random_numbers_are_the_same_from_any_position(start: int, count: int) -> None:
    key = find_key(3, "chip", "t")
    whole = draw_uniforms(key, 0, 600)
    assert np.array_equal(draw_uniforms(key, start, count), whole[start : start + count])
    assert 0 <= float(whole.min()) < 0.02 < 0.98 < float(whole.max()) < 1
    assert np.array_equal(whole, uniforms_of("chip", 3, 600).astype(FLOAT32))


@given(
    values=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=60), data=st.data()
)
def test_the_threshold_is_the_kth_largest_magnitude_exactly(values: list[float], data: st.DataObject) -> None:
    kept = data.draw(st.integers(1, len(values)))
    tensor, base = np.array(values, FLOAT32), np.zeros(len(values), FLOAT32)
    starts = range(0, tensor.size, 7)

    def look(function: Callable[[int, Mapping[str, Array]], Any]) -> Iterator[Any]:
        for at in starts:
            yield function(at, {"chip": tensor[at : at + 7], "chat": -tensor[at : at + 7], "base": base[at : at + 7]})

    expected = sorted((abs(value) for value in tensor.tolist()), reverse=True)
    for sparse in (SPARSE, NumpySparse()):
        found = find_thresholds({"chip": kept, "chat": 1}, look, sparse)
        assert found == {"chip": expected[kept - 1], "chat": expected[0]}


def test_equal_magnitudes_at_the_threshold_are_all_kept() -> None:
    base = np.zeros((1, 6), FLOAT32)
    chip = np.array([[3.0, 1.0, -1.0, 1.0, 0.5, 0.0]], FLOAT32)
    assert mix_tensors("ties", chip, base, base, lam=1.0, density=0.34).tolist() == [[3.0, 1.0, -1.0, 1.0, 0.0, 0.0]]


def test_differences_that_cancel_out_elect_plus() -> None:
    base = np.zeros((1, 2), FLOAT32)
    chip, chat = np.array([[1.0, -2.0]], FLOAT32), np.array([[-1.0, 1.0]], FLOAT32)
    assert mix_tensors("ties", chip, chat, base, lam=0.5, density=1.0).tolist() == [[1.0, -2.0]]


def test_chances_of_della_rise_with_rank_within_a_row() -> None:
    chances = find_chances(np.array([[0.1, -3.0, 2.0], [5.0, 5.0, 5.0]], FLOAT32), 0.5, 0.2)
    np.testing.assert_allclose(chances, [[0.3, 0.7, 0.5], [0.3, 0.5, 0.7]], rtol=1.3e-6)
    assert find_chances(np.ones((4, 1), FLOAT32), 0.5, 0.2).tolist() == [[0.5]] * 4


def test_a_vector_is_one_row_to_della() -> None:
    chip, chat, base = (array[:, 0].copy() for array in make_triple())
    as_a_row = mix_tensors("della", chip[None], chat[None], base[None])
    for count in (1, 4, 36, 100):
        assert np.array_equal(mix_tensors("della", chip, chat, base, piece_rows=count), as_a_row.reshape(-1))
    assert prepare("della", SHARES, {}, "t", (3, 4, 5), Parameters(), lambda function: iter(()), SPARSE).row == 5


def test_a_base_that_is_not_finite_is_refused_by_name_and_position() -> None:
    chip, chat, base = make_triple()
    base[3, 2] = math.nan
    with pytest.raises(TensorNotFinite, match="base model: tensor t holds nan at flat position 74"):
        mix_tensors("task_arithmetic", chip, chat, base)


@for_each("method", BASE_METHODS)
def test_empty_tensors_have_nothing_to_prepare(method: str) -> None:
    for shape in ((0, 4), (0,)):
        mix = prepare(method, SHARES, {}, "t", shape, Parameters(), lambda function: iter(()), SPARSE)
        assert (mix.thresholds, mix.chances) == ({}, None)


@given(
    st.lists(st.tuples(st.floats(-4, 4, width=32), st.floats(-4, 4, width=32)), min_size=1, max_size=30),
    st.floats(0, 1),
)
def test_a_scaled_sum_is_rounded_once(numbers: list[tuple[float, float]], factor: float) -> None:
    """Against exact fractions, whose quotient of whole numbers Python rounds to float64 once, and numpy to float32."""
    total, difference = (np.array(column, FLOAT32) for column in zip(*numbers, strict=True))
    share = Fraction(float(np.float32(factor)))
    expected = [Fraction(float(t)) + share * Fraction(float(d)) for t, d in zip(total, difference, strict=True)]
    np.testing.assert_allclose(
        add_scaled(total, difference, factor).astype(FLOAT64),
        [float(x) for x in expected],
        rtol=2.0**-24,
        atol=2.0**-149,
    )
