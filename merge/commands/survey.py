"""How two parents differ, tensor by tensor: angle, norms, and how far their geodesic and linear merges are apart.

It measures and counts; it merges nothing and draws nothing (merge.commands.plots does).

    profiles = survey_pair(make_plan(recipe, pair), pair, find_arithmetic("cpu"), threads=2)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from merge.arithmetic.dtypes import DTYPES, FLOAT32, FLOATS
from merge.arithmetic.geodesic import Arithmetic, Sums, TensorResult, find_arc, find_theta
from merge.errors import TensorsOpposite, printable
from merge.merging.doubts import NO_ANGLE
from merge.merging.pairing import Pair
from merge.merging.passes import Inputs, find_way, measure_inputs, open_inputs
from merge.merging.plan import TensorPlan
from merge.models.folded import single_threaded_blas
from merge.models.layers import KINDS, Kind, find_kind, find_layer
from merge.recipe import Parameters

SIMPLE = ("geodesic", "linear", "soup")  # methods of two coefficients for each tensor
# Largest relative error of rounding to bfloat16's 8 bits; its mean over a tensor is about a third
BFLOAT16_ROUNDING = 2.0**-9


@dataclass(frozen=True)
class Profile:
    """What is known of one tensor without merging it."""

    name: str
    kind: Kind
    layer: int | None  # None: outside the layers
    numel: int
    chip_norm: float
    chat_norm: float
    theta: float | None  # radians; None where one parent's is zero or missing
    lam: float
    # Squared norms, from one piece of the tensor: what rounding takes, and what the merge changes of the chat parent
    lost: float = field(default=0.0, compare=False)
    changed: float = field(default=0.0, compare=False)

    @property
    def drift(self) -> float | None:
        """|geodesic - linear| / |linear| at this tensor's lam; None without an angle."""
        return None if self.theta is None else find_drift(self.chip_norm, self.chat_norm, self.theta, self.lam)

    @property
    def norm_ratio(self) -> float | None:
        """|W_c| / |W_i|; None where one is zero."""
        return self.chip_norm / self.chat_norm if self.chip_norm and self.chat_norm else None


def survey_pair(
    plans: Sequence[TensorPlan],
    pair: Pair,
    arithmetic: Arithmetic,
    threads: int,
    advance: Callable[[int, int], None] | None = None,
) -> tuple[Profile, ...]:
    """Measure every floating-point tensor that both parents have, in one pass over both.

    advance: receives the bytes done and the bytes in all.

    Raises TensorNotFinite.
    """
    shared = [plan for plan in plans if plan.chip is not None and plan.chat is not None and plan.dtype in FLOATS]
    profiles, done, total = [], 0, sum(plan.n_bytes for plan in shared)
    with single_threaded_blas(), ThreadPoolExecutor(threads, thread_name_prefix="survey") as pool:
        for plan, (sums, rounding) in zip(
            shared, pool.map(lambda plan: _survey_tensor(plan, pair, arithmetic), shared), strict=True
        ):
            profiles.append(profile_sums(plan, sums, rounding))
            done += plan.n_bytes
            if advance is not None:
                advance(done, total)
    return tuple(profiles)


def _survey_tensor(plan: TensorPlan, pair: Pair, arithmetic: Arithmetic) -> tuple[Sums, tuple[float, float]]:
    inputs = open_inputs(plan, pair, arithmetic)
    sums = measure_inputs(inputs)
    return sums, measure_rounding(plan, inputs, sums)


def measure_rounding(plan: TensorPlan, inputs: Inputs, sums: Sums) -> tuple[float, float]:
    """(what rounding loses, what the merge changes), squared norms of a tensor, from its first piece.

    Zero for methods with a base, and where no geodesic exists.
    """
    if plan.method not in SIMPLE or not inputs.shared:
        return 0.0, 0.0
    piece = inputs.shared[0]
    pieces = inputs.read(piece, ("chip", "chat"))
    try:
        arc, _ = find_way(plan, inputs, sums, Parameters())
    except TensorsOpposite:
        return 0.0, 0.0
    wide, narrow = (
        inputs.arithmetic.combine(pieces["chip"], pieces["chat"], arc, dtype) for dtype in (FLOAT32, DTYPES[plan.dtype])
    )
    lost = inputs.arithmetic.square(wide - inputs.arithmetic.widen(narrow))
    changed = inputs.arithmetic.square(wide - inputs.arithmetic.widen(pieces["chat"]))
    scale = plan.numel / piece.count if changed else 0.0  # what stays as it was has no change to lose
    return lost * scale, changed * scale


def describe_pair(profiles: Iterable[Profile]) -> str:
    """How far the parents are apart, and what the way of merging makes of it, in two sentences."""
    both = [(profile, profile.theta) for profile in profiles if profile.theta is not None]
    apart = [(profile, theta) for profile, theta in both if theta > NO_ANGLE]
    if not apart:
        return "Both parents point the same way in every tensor: a merge of them is a copy, but for norms."
    share = sum(profile.numel for profile, _ in apart) / sum(profile.numel for profile, _ in both)
    furthest, theta = max(apart, key=lambda each: each[1])
    middle = math.degrees(median(theta for _, theta in apart))
    drift = max(profile.drift or 0.0 for profile, _ in apart)
    return (
        f"{share:.1%} of the weights stand in tensors that differ: they are {middle:.2f}° apart in the median, "
        f"{math.degrees(theta):.2f}° at most ({printable(furthest.name)}). A geodesic and a linear merge would differ "
        f"by {drift:.2%} at most."
    )


def find_rounding(profiles: Iterable[Profile]) -> float | None:
    """The share of all that the merge changes that rounding loses; None: nothing changes."""
    profiles = list(profiles)
    changed = math.fsum(profile.changed for profile in profiles)
    return math.sqrt(math.fsum(profile.lost for profile in profiles) / changed) if changed else None


def profile_sums(plan: TensorPlan, sums: Sums, rounding: tuple[float, float] = (0.0, 0.0)) -> Profile:
    """The profile of one tensor from its sums."""
    chip, chat = math.sqrt(sums.chip), math.sqrt(sums.chat)
    theta = find_theta(sums) if chip and chat else None
    kind, layer = find_kind(plan.name), find_layer(plan.name)
    return Profile(plan.name, kind, layer, plan.numel, chip, chat, theta, plan.lam, *rounding)


def profile_results(results: Iterable[TensorResult]) -> tuple[Profile, ...]:
    """The profiles of a finished merge: the same numbers, from its report."""
    return tuple(
        Profile(
            r.name, find_kind(r.name), find_layer(r.name), math.prod(r.shape), r.chip_norm, r.chat_norm, r.theta, r.lam
        )
        for r in results
        if r.theta is not None
    )


def find_drift(chip_norm: float, chat_norm: float, theta: float, lam: float) -> float:
    """|G - L| / |L| of the geodesic merge G and the linear merge L at the same lam, from norms and angle alone.

    It is 0 at both ends. For G - L = p W_c + q W_i the square of the norm is (p |W_c| + q |W_i|)^2 - p q |W_c| |W_i|
    chord^2 with chord = 2 sin(theta / 2). That is not a difference of nearly equal squares, so tiny angles keep their
    digits. Opposite tensors have no geodesic: NaN.
    """
    if not chip_norm or not chat_norm or lam in (0.0, 1.0):
        return 0.0
    chord_squared = 4 * math.sin(theta / 2) ** 2
    difference = (chip_norm - chat_norm) ** 2 + chip_norm * chat_norm * chord_squared
    product = chip_norm * chat_norm * (1 - chord_squared / 2)
    if difference == 0.0:
        return 0.0
    if math.pi - theta < 1e-3:
        return math.nan
    arc = find_arc(Sums(chip_norm**2, chat_norm**2, difference, product), lam, "")
    size = _norm(arc.chip - lam, arc.chat - (1 - lam), chip_norm, chat_norm, chord_squared)
    return size / _norm(lam, 1 - lam, chip_norm, chat_norm, chord_squared)


def _norm(p: float, q: float, chip_norm: float, chat_norm: float, chord_squared: float) -> float:
    return math.sqrt(max((p * chip_norm + q * chat_norm) ** 2 - p * q * chip_norm * chat_norm * chord_squared, 0.0))


@dataclass(frozen=True)
class KindSummary:
    """The profiles of one kind of tensors in a few numbers. Angles are in degrees."""

    kind: Kind
    tensors: int
    parameters: int
    theta_median: float | None
    theta_max: float | None
    theta_max_tensor: str | None
    norm_ratio_min: float | None
    norm_ratio_max: float | None
    drift_median: float | None
    drift_max: float | None


def summarise_kinds(profiles: Iterable[Profile]) -> list[KindSummary]:
    """One summary per kind that occurs, in the order of KINDS."""
    profiles = list(profiles)
    return [_summarise(kind, group) for kind in KINDS if (group := [p for p in profiles if p.kind == kind])]


def _summarise(kind: Kind, group: list[Profile]) -> KindSummary:
    angles = [(math.degrees(p.theta), p.name) for p in group if p.theta is not None]
    ratios = [p.norm_ratio for p in group if p.norm_ratio is not None]
    drifts = [p.drift for p in group if p.drift is not None and math.isfinite(p.drift)]
    largest, name = max(angles) if angles else (None, None)
    return KindSummary(
        kind,
        len(group),
        sum(p.numel for p in group),
        median(angle for angle, _ in angles) if angles else None,
        largest,
        name,
        min(ratios, default=None),
        max(ratios, default=None),
        median(drifts) if drifts else None,
        max(drifts, default=None),
    )


def median_by_layer(
    profiles: Iterable[Profile], kind: Kind, value: Callable[[Profile], float | None]
) -> list[tuple[int, float]]:
    """(layer, median of a value over the layer's tensors of a kind), in order; empty layers are left out."""
    by_layer: dict[int, list[float]] = {}
    for profile in profiles:
        number = value(profile)
        if profile.kind == kind and profile.layer is not None and number is not None and math.isfinite(number):
            by_layer.setdefault(profile.layer, []).append(number)
    return [(layer, median(numbers)) for layer, numbers in sorted(by_layer.items())]


def describe_survey(profiles: Sequence[Profile]) -> dict[str, Any]:
    """What `inspect --json` prints: the summaries, then every tensor.

    Angles are in radians per tensor, in degrees in the summaries.
    """
    tensors = [
        {**asdict(p), "drift": p.drift if p.drift is not None and math.isfinite(p.drift) else None} for p in profiles
    ]
    return {
        "rounding": find_rounding(profiles),
        "kinds": [asdict(summary) for summary in summarise_kinds(profiles)],
        "tensors": tensors,
    }
