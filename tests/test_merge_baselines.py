"""Every baseline against a calculation of its own on whole tensors in numpy, and against what mergekit 0.1.5 made of the same pair.

The golden file and the script that made it are in tests/golden. mergekit's own environment is not needed to read it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.torch import load_file

from merge.baselines import combine_base, draw_uniforms, find_chances, find_line, find_threshold, prepare
from merge.errors import TensorNotFinite
from merge.geodesic import combine, find_arc, measure
from merge.recipe import BASE_METHODS, Parameters

Array = NDArray[np.float64]
GOLDEN = load_file(Path(__file__).parent / "golden" / "mergekit.safetensors")
NAMES = sorted({key.partition("/")[2] for key in GOLDEN})
SHAPE = (37, 24)
LAM = 0.6


def make_triple(shape: tuple[int, ...] = SHAPE, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Chip, chat and base of one tensor; the parents' differences overlap and conflict."""
    generator = torch.Generator().manual_seed(5)
    base, d_chip, d_chat = (torch.randn(shape, generator=generator) for _ in range(3))
    return (base + 0.3 * d_chip).to(dtype), (base + 0.2 * d_chat).to(dtype), base.to(dtype)


def mix_tensors(
    method: str, chip: torch.Tensor, chat: torch.Tensor, base: torch.Tensor, piece_rows: int = 5, lam: float = LAM, **told: Any
) -> torch.Tensor:
    """The method carried out in pieces of a few rows, as a merger does it."""
    sides = {"chip": chip, "chat": chat}
    step = piece_rows * chip.shape[-1] if chip.dim() > 1 else chip.numel()

    def differences(side: str) -> Iterator[torch.Tensor]:
        whole = (sides[side].float() - base.float()).reshape(-1)
        yield from whole.split(step)

    mix = prepare(method, lam, "t", tuple(chip.shape), Parameters(**told), differences)
    flat = [tensor.reshape(-1).split(step) for tensor in (chip, chat, base)]
    pieces = [combine_base(c, i, b, mix, number * step, torch.float32) for number, (c, i, b) in enumerate(zip(*flat, strict=True))]
    return torch.cat(pieces).reshape(chip.shape)


def uniforms_of(side: str, seed: int, count: int, name: str = "t") -> Array:
    """The random numbers by numpy's own Generator-free route: the whole stream from the start."""
    key = int.from_bytes(hashlib.sha256(f"{seed}/{side}/{name}".encode()).digest()[:16], "little")
    raw = np.random.Philox(key=key).random_raw(count)
    return np.array([int(number) >> 40 for number in raw], np.float64) / 2**24


def by_hand(method: str, chip: Array, chat: Array, base: Array, lam: float, density: float, epsilon: float, scale: float, elect: bool) -> Array:
    """The methods element by element, as their papers tell them."""
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
            kept[side] = np.array([[x / density if r < density else 0.0 for x, r in zip(*rows, strict=True)] for rows in zip(d, u, strict=True)])
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


@pytest.mark.parametrize(("method", "told"), CASES)
def test_each_method_agrees_with_its_paper_done_by_hand(method: str, told: dict[str, Any]) -> None:
    triple = make_triple()
    parameters = Parameters(**told)
    density, elect = parameters.find_density(method), parameters.elect or method in ("ties", "della")
    chip, chat, base = (tensor.double().numpy() for tensor in triple)
    # differences in float32, as the product takes them, so that no rank and no coin falls otherwise
    chip, chat = (base + (parent.float() - triple[2].float()).double().numpy() for parent in triple[:2])
    expected = by_hand(method, chip, chat, base, LAM, density, parameters.epsilon, parameters.scale, elect)
    torch.testing.assert_close(mix_tensors(method, *triple, **told), torch.from_numpy(expected).float(), rtol=2e-6, atol=2e-6)


GOLDEN_CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("task_arithmetic", "task_arithmetic", {"scale": 1.5}),
    ("ties", "ties", {"density": 0.3, "scale": 1.5}),
    ("dare_linear", "dare", {"density": 1.0}),
    ("dare_ties", "dare", {"density": 1.0, "elect": True}),
    ("della", "della", {"density": 1.0, "epsilon": 0.0}),
]


@pytest.mark.parametrize(("theirs", "method", "told"), GOLDEN_CASES)
@pytest.mark.parametrize("name", NAMES)
def test_methods_with_a_base_agree_with_mergekit(theirs: str, method: str, told: dict[str, Any], name: str) -> None:
    triple = tuple(GOLDEN[f"{side}/{name}"] for side in ("chip", "chat", "base"))
    torch.testing.assert_close(mix_tensors(method, *triple, **told), GOLDEN[f"{theirs}/{name}"], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_linear_agrees_with_mergekit(name: str) -> None:
    chip, chat = GOLDEN[f"chip/{name}"], GOLDEN[f"chat/{name}"]
    merged = combine(chip, chat, find_line(measure(chip, chat), LAM), torch.float32)
    torch.testing.assert_close(merged, GOLDEN[f"linear/{name}"], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_mergekits_slerp_is_the_geodesic_without_its_norms(name: str) -> None:
    chip, chat = GOLDEN[f"chip/{name}"], GOLDEN[f"chat/{name}"]
    arc = find_arc(measure(chip, chat), LAM, name)
    ratio = arc.chat_norm / arc.chip_norm
    slerp = arc.chip / ratio ** (1 - LAM) * chip + arc.chat / ratio**-LAM * chat
    torch.testing.assert_close(slerp, GOLDEN[f"slerp/{name}"], rtol=1e-5, atol=1e-6)
    merged = combine(chip, chat, arc, torch.float32)
    assert merged.norm().item() == pytest.approx(arc.chip_norm**LAM * arc.chat_norm ** (1 - LAM), rel=1e-5)


def test_a_line_has_the_record_of_a_geodesic() -> None:
    chip, chat, _ = make_triple()
    sums = measure(chip, chat)
    line, arc = find_line(sums, 0.5), find_arc(sums, 0.5, "t")
    assert (line.chip, line.chat, line.branch) == (0.5, 0.5, "linear")
    assert (line.chip_norm, line.chat_norm, line.theta) == (arc.chip_norm, arc.chat_norm, arc.theta)
    assert find_line(measure(chip, torch.zeros_like(chat)), 0.5).theta is None


def test_task_arithmetic_at_scale_one_is_linear() -> None:
    chip, chat, base = make_triple()
    torch.testing.assert_close(mix_tensors("task_arithmetic", chip, chat, base), LAM * chip + (1 - LAM) * chat)


@pytest.mark.parametrize("method", BASE_METHODS)
@pytest.mark.parametrize("piece_rows", [1, 2, 36, 100])
def test_pieces_of_any_size_give_the_same_bits(method: str, piece_rows: int) -> None:
    triple = make_triple()
    assert torch.equal(mix_tensors(method, *triple, piece_rows=piece_rows), mix_tensors(method, *triple))


@pytest.mark.parametrize("method", BASE_METHODS)
def test_parents_that_are_their_base_stay_as_they_are(method: str) -> None:
    _, _, base = make_triple()
    assert torch.equal(mix_tensors(method, base, base, base), base)


@pytest.mark.parametrize("method", ["dare", "della"])
def test_dropping_keeps_the_expectation(method: str) -> None:
    chip, chat, base = make_triple((500, 200))
    if method == "dare":
        mean = torch.stack([mix_tensors(method, chip, chat, base, seed=seed, density=0.5) for seed in range(8)]).mean()
        assert mean.item() == pytest.approx((LAM * chip + (1 - LAM) * chat).mean().item(), abs=0.002)
    merged = mix_tensors(method, chip, base, base, lam=1.0, seed=1, density=0.5)
    assert float((merged != base).float().mean()) == pytest.approx(0.5, abs=0.01)


def test_the_seed_the_name_and_the_side_decide_what_is_dropped() -> None:
    triple = make_triple()
    one, same, other = (mix_tensors("dare", *triple, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    mix = prepare("dare", LAM, "t", SHAPE, Parameters(), lambda side: iter(()))
    assert not torch.equal(draw_uniforms(mix, "chip", 0, 9), draw_uniforms(mix, "chat", 0, 9))


@given(start=st.integers(0, 500), count=st.integers(1, 70))
def test_random_numbers_are_the_same_from_any_position(start: int, count: int) -> None:
    mix = prepare("dare", LAM, "t", SHAPE, Parameters(seed=3), lambda side: iter(()))
    whole = draw_uniforms(mix, "chip", 0, 600)
    assert torch.equal(draw_uniforms(mix, "chip", start, count), whole[start : start + count])
    assert 0 <= float(whole.min()) < 0.02 < 0.98 < float(whole.max()) < 1


@given(values=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=60), data=st.data())
def test_the_threshold_is_the_kth_largest_magnitude_exactly(values: list[float], data: st.DataObject) -> None:
    kept = data.draw(st.integers(1, len(values)))
    tensor = torch.tensor(values, dtype=torch.float32)
    found = find_threshold("chip", lambda side: iter(tensor.split(7)), kept)
    assert found == sorted((abs(value) for value in tensor.tolist()), reverse=True)[kept - 1]


def test_equal_magnitudes_at_the_threshold_are_all_kept() -> None:
    base = torch.zeros(1, 6)
    chip = torch.tensor([[3.0, 1.0, -1.0, 1.0, 0.5, 0.0]])
    assert mix_tensors("ties", chip, base, base, lam=1.0, density=0.34).tolist() == [[3.0, 1.0, -1.0, 1.0, 0.0, 0.0]]


def test_differences_that_cancel_out_elect_plus() -> None:
    base = torch.zeros(1, 2)
    chip, chat = torch.tensor([[1.0, -2.0]]), torch.tensor([[-1.0, 1.0]])
    assert mix_tensors("ties", chip, chat, base, lam=0.5, density=1.0).tolist() == [[1.0, -2.0]]


def test_chances_of_della_rise_with_rank_within_a_row() -> None:
    chances = find_chances(torch.tensor([[0.1, -3.0, 2.0], [5.0, 5.0, 5.0]]), 0.5, 0.2)
    torch.testing.assert_close(chances, torch.tensor([[0.3, 0.7, 0.5], [0.3, 0.5, 0.7]]))
    assert find_chances(torch.ones(4, 1), 0.5, 0.2).tolist() == [[0.5]] * 4


def test_a_vector_is_one_row_to_della() -> None:
    mix = prepare("della", LAM, "t", (100_000,), Parameters(), lambda side: iter(()))
    assert mix.row == 100_000
    assert prepare("della", LAM, "t", (3, 4, 5), Parameters(), lambda side: iter(())).row == 5


def test_a_base_that_is_not_finite_is_refused_by_name_and_position() -> None:
    chip, chat, base = make_triple()
    base[3, 2] = math.nan
    with pytest.raises(TensorNotFinite, match="base model: tensor t holds nan at flat position 74"):
        mix_tensors("task_arithmetic", chip, chat, base)


@pytest.mark.parametrize("method", BASE_METHODS)
def test_empty_tensors_have_nothing_to_prepare(method: str) -> None:
    empty: Callable[[str], Iterator[torch.Tensor]] = lambda side: iter(())  # noqa: E731
    assert prepare(method, LAM, "t", (0, 4), Parameters(), empty).chip_threshold == 0.0
