"""What becomes of each tensor: its lam, method, rows and dtype, decided from recipe and headers.

No tensor is read here.

    plans = make_plan(recipe, check_pair(chip, chat, recipe, base))

How a merger carries out a TensorPlan, by its `method`:
  geodesic, linear, soup, slerp       two numbers per tensor: merge.arithmetic.geodesic.find_arc,
                                      merge.arithmetic.baselines.find_line or find_slerp, then combine; for more than
                                      two parents a number for each: merge.arithmetic.mean.find_mean, then combine_all
  task_arithmetic, ties, dare, della  merge.arithmetic.baselines.prepare, then combine_base on pieces of whole rows
  copy                                copied, in the output's dtype, from the chat parent (lam = 0) or the chip parent
                                      (lam = 1)
  identical                           whole numbers and truth values: equal in both parents (else TensorsDiffer), and
                                      copied

`segments` says which flat elements of the parents each stretch of the output is made of; most tensors have one segment.
What both parents have is merged as one tensor, with one angle; what only one parent has is copied from it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from merge.arithmetic.dtypes import DTYPES, FLOATS
from merge.errors import RecipeError
from merge.merging.lams import find_lam, find_weights, fits_rule, interpolate_lam
from merge.merging.pairing import HEAD, Pair, by_number, has_lost_head
from merge.merging.vocabularies import VOCABULARY_TENSORS, find_embedding
from merge.models.checkpoint import TensorSource, TensorSpec
from merge.models.layers import KINDS, LAYER, Kind, count_layers, find_depth, find_kind, find_layer
from merge.models.vocabulary import RowMap
from merge.recipe import Recipe

OUTPUT_DTYPES = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}
FLOAT_NAMES = {short: name for name, short in OUTPUT_DTYPES.items()}
HALF, WIDE = ("BF16", "F16"), ("F32", "F64")


@dataclass(frozen=True)
class Segment:
    """`count` flat elements of the output from `out` on, and where they start in each parent.

    None: that parent lacks them.
    """

    out: int
    count: int
    chip: int | None
    chat: int | None
    base: int | None = None


@dataclass(frozen=True)
class TensorPlan:
    """One tensor of the output. chip, chat and base are its names there; None: missing, or not needed."""

    name: str
    shape: tuple[int, ...]
    lam: float
    method: str
    rows: RowMap | None = None  # None: element n of the output is made of elements n
    dtype: str = "BF16"  # safetensors name
    chip: str | None = None
    chat: str | None = None
    base: str | None = None
    more: Mapping[str, str] = field(default_factory=dict)  # names in further parents, by side
    shares: Mapping[str, float] = field(default_factory=dict)  # weights by side, where they stand in the place of lam
    densities: Mapping[str, float] = field(default_factory=dict)  # of the sides that have their own

    @property
    def numel(self) -> int:
        """Number of elements; 1 for a scalar."""
        return math.prod(self.shape)

    @property
    def n_bytes(self) -> int:
        """Bytes it takes in the output."""
        return self.numel * DTYPES[self.dtype].itemsize

    @property
    def spec(self) -> TensorSpec:
        """As a writer lays it out; path and offset mean nothing here."""
        return TensorSpec(self.name, self.dtype, self.shape, Path(), 0)

    def segments(self) -> tuple[Segment, ...]:
        """The stretches of the output in order, without gap or overlap; an empty tensor has none."""
        if self.rows is None:
            here = [None if name is None else 0 for name in (self.chip, self.chat, self.base)]
            return (Segment(0, self.numel, *here),) if self.numel else ()
        row = math.prod(self.shape[1:])
        return tuple(
            Segment(
                run.out * row,
                run.count * row,
                *(None if start is None else start * row for start in (run.chip, run.chat, run.base)),
            )
            for run in self.rows.runs
        )


def make_plan(recipe: Recipe, pair: Pair) -> tuple[TensorPlan, ...]:
    """The plans of all output tensors, in the order of their names.

    Raises RecipeError: a pattern or a layer fits no tensor; most often it is a typing mistake.
    """
    names = choose_names(recipe, pair)
    depths = count_layers(names)
    if problems := _find_idle_patterns(recipe, names, depths) + _find_bad_slices(recipe, names, pair, depths):
        raise RecipeError("recipe", problems)
    dtypes = find_dtypes(recipe, pair)
    plans = {name: _plan_tensor(recipe, pair, name, depths, dtypes) for name in names}
    is_merged = any(plan.method not in ("copy", "identical") for plan in plans.values())
    if (recipe.include or recipe.exclude) and not is_merged:
        raise RecipeError(
            "recipe",
            [
                "include and exclude leave no tensor to merge: the output would be a copy. Use lam = 0 to copy the "
                "chat parent"
            ],
        )
    if recipe.slices:
        plans = {plan.name: plan for plan in cut_layers(recipe, plans.values())}
    return tuple(plans[name] for name in by_number(plans))


def cut_layers(recipe: Recipe, plans: Iterable[TensorPlan]) -> Iterator[TensorPlan]:
    """The plans of the layers that the recipe's slices name, numbered anew in their order; others stay as they are.

    A layer keeps the lam that it has in the parents, and may be in several slices.
    """
    layers = [(layer, each.parent) for each in recipe.slices for layer in range(each.layers[0], each.layers[1] + 1)]
    for plan in plans:
        match = LAYER.match(plan.name)
        if match is None:
            yield plan
            continue
        for number, (layer, parent) in enumerate(layers):
            if layer == int(match["number"]):
                name = f"{match['stack']}{number}{plan.name[match.end() :]}"
                moved = replace(plan, name=name)
                if parent != "both" and plan.dtype in FLOATS:
                    moved = replace(moved, lam=float(parent == "chip"), method="copy", base=None, more={}, shares={})
                yield moved


@dataclass(frozen=True)
class Dtypes:
    """The dtypes of floating-point tensors, by safetensors' names: of the output, and what most of each parent is."""

    output: str
    chip: str
    chat: str


def find_dtypes(recipe: Recipe, pair: Pair) -> Dtypes:
    """What most of each parent is stored in, and with the recipe's dtype "auto" the wider of both.

    bfloat16 and float16 are equally wide: of these it is the chat parent's.
    """
    chip, chat = find_main_dtype(pair.chip), find_main_dtype(pair.chat)
    widest = "F32" if "F32" in (chip, chat, *map(find_main_dtype, pair.more.values())) else chat
    return Dtypes(OUTPUT_DTYPES.get(recipe.dtype, widest), chip, chat)


def find_main_dtype(source: TensorSource) -> str:
    """What most of a model's floating-point elements are stored in; float64 counts as float32."""
    counts: Counter[str] = Counter()
    for spec in source.specs.values():
        if spec.dtype in FLOATS:
            counts["F32" if spec.own_dtype == "F64" else spec.own_dtype] += spec.numel
    return max(counts, key=lambda dtype: (counts[dtype], dtype)) if counts else "BF16"


def choose_dtype(recipe: Recipe, name: str, chip: TensorSpec | None, chat: TensorSpec | None, dtypes: Dtypes) -> str:
    """The dtype of one floating-point tensor of the output, from how the parents that it is made of have it.

    What stands in float32 within a chat model of half precision is meant to (routers' biases, decay rates), and stays
    so, and so does what both parents have in float32. In the chip parent alone it may be what a trainer left.
    """
    if (chosen := next((dtype for pattern, dtype in recipe.dtypes if fnmatchcase(name, pattern)), None)) is not None:
        return OUTPUT_DTYPES[chosen]
    is_wide = [spec.own_dtype in WIDE for spec in (chip, chat) if spec is not None]
    is_meant = dtypes.chat in HALF and chat is not None and chat.own_dtype in WIDE
    is_shared = bool({dtypes.chip, dtypes.chat} & set(HALF)) and all(is_wide)
    return "F32" if is_meant or is_shared else dtypes.output


def choose_names(recipe: Recipe, pair: Pair) -> list[str]:
    """The output's tensors: those of both parents, and those that `unmatched` and `embeddings` keep."""
    chip, chat = pair.chip.specs, pair.chat.specs
    names = []
    for name in chip.keys() | chat.keys():
        if name in chip and name in chat:
            keep = not (name == HEAD and recipe.embeddings == "tied" and pair.ties_differ)
        elif name == HEAD and find_embedding(chip) and find_embedding(chat) and not pair.lacks_head:
            keep = recipe.embeddings == "untied"
        else:
            keep = recipe.unmatched in ("union", "chip" if name in chip else "chat")
        if keep:
            names.append(name)
    return names


def _plan_tensor(recipe: Recipe, pair: Pair, name: str, depths: Mapping[str, int], dtypes: Dtypes) -> TensorPlan:
    chip, chat = (_find_source(name, source) for source in (pair.chip, pair.chat))
    spec = pair.chat.specs[chat] if chat is not None else pair.chip.specs[str(chip)]
    rows = pair.rows if VOCABULARY_TENSORS.fullmatch(name) else None
    shape = (rows.rows, *spec.shape[1:]) if rows else spec.shape
    dtype = spec.dtype
    if dtype in FLOATS:
        dtype = choose_dtype(recipe, name, pair.chip.specs.get(chip or ""), pair.chat.specs.get(chat or ""), dtypes)
    base = _find_source(name, pair.base) if pair.base is not None and recipe.uses_base else None
    lam, method = find_lam(recipe, name, depths), recipe.method
    if chip is None or chat is None:
        lam, method = float(chat is None), "copy"
    elif spec.dtype not in FLOATS:
        lam, method = 0.0, "identical"
    elif not is_merged(recipe, name):
        lam, method = 0.0, "copy"
    if method in ("copy", "identical"):
        return TensorPlan(name, shape, lam, method, rows, dtype, chip, chat)
    own = {side: ref.density for side, ref in recipe.givers.items() if ref.density is not None}
    return TensorPlan(
        name,
        shape,
        lam,
        method,
        rows,
        dtype,
        chip,
        chat,
        base,
        dict.fromkeys(pair.more, name),
        find_weights(recipe, name, depths),
        {side: interpolate_lam(density, name, 0, find_depth(name, depths) - 1) for side, density in own.items()},
    )


def _find_source(name: str, source: TensorSource) -> str | None:
    """The parent's tensor behind a name of the output: a tied parent's head is its embedding."""
    if name in source.specs:
        return name
    return find_embedding(source.specs) if name == HEAD and not has_lost_head(source) else None


def is_merged(recipe: Recipe, name: str) -> bool:
    """Whether include and exclude let a tensor be merged; otherwise it is the chat parent's."""
    included = not recipe.include or any(fnmatchcase(name, pattern) for pattern in recipe.include)
    return included and not any(fnmatchcase(name, pattern) for pattern in recipe.exclude)


def find_layers(recipe: Recipe) -> list[int]:
    """The parents' layer of each layer of the output, as the slices give it."""
    return [layer for each in recipe.slices for layer in range(each.layers[0], each.layers[1] + 1)]


def _find_bad_slices(recipe: Recipe, names: Iterable[str], pair: Pair, depths: Mapping[str, int]) -> list[str]:
    if not recipe.slices:
        return []
    if len(depths) != 1:
        return [f"[[slice]] needs a model with one stack of layers, and this one has {len(depths)}"]
    [depth] = depths.values()
    problems = [
        f"slice {number}: layers {list(each.layers)} reach beyond the parents' last layer, {depth - 1}"
        for number, each in enumerate(recipe.slices, start=1)
        if each.layers[1] >= depth
    ]
    return problems or _find_moved_kinds(recipe, names, pair, depth)


def _find_moved_kinds(recipe: Recipe, names: Iterable[str], pair: Pair, depth: int) -> list[str]:
    """Layers that come where the architecture has another kind of layer, without a list in the config that says so."""
    parts: dict[int, set[str]] = {}
    for name in names:
        if match := LAYER.match(name):
            parts.setdefault(int(match["number"]), set()).add(name[match.end() :])
    if any(isinstance(value, list) and len(value) == depth for value in pair.chat.config.values()):
        return []
    return [
        f"layer {layer} comes in the place of layer {place}, which has other tensors: the architecture decides by the "
        "number which layer has which (allowed: layers of one kind)"
        for place, layer in enumerate(find_layers(recipe))
        if parts.get(layer) != parts.get(min(place, depth - 1))
    ][:1]


def _find_idle_patterns(recipe: Recipe, names: Iterable[str], depths: Mapping[str, int]) -> list[str]:
    names = list(names)
    patterns = [("include", pattern) for pattern in recipe.include] + [
        ("exclude", pattern) for pattern in recipe.exclude
    ]
    patterns += [
        (f"schedule {n}: tensors", rule.tensors) for n, rule in enumerate(recipe.schedule, start=1) if rule.tensors
    ]
    patterns += [("dtypes:", pattern) for pattern, _ in recipe.dtypes]
    example = min(names, key=lambda name: (find_layer(name) != 0, name), default="")
    problems = [
        f"{where} {pattern!r} fits no tensor (a name is for example {example})"
        for where, pattern in patterns
        if not any(fnmatchcase(name, pattern) for name in names)
    ]
    depth = max(depths.values(), default=0)
    for number, rule in enumerate(recipe.schedule, start=1):
        if rule.layers and rule.layers[1] >= depth:
            problems.append(
                f"schedule {number}: layers {list(rule.layers)} reach beyond the model's last layer, {depth - 1}"
            )
    deciding = {next((n for n, rule in enumerate(recipe.schedule) if fits_rule(rule, name)), None) for name in names}
    if not problems:
        problems = [
            f"schedule {n + 1} decides no tensor: rules before it take all that it fits. Put it before them"
            for n in range(len(recipe.schedule))
            if n not in deciding
        ]
    return problems


@dataclass(frozen=True)
class Traffic:
    """Bytes that a merge moves."""

    read: int  # one pass over the needed part of all parents
    write: int  # the output's weights


def count_traffic(plans: Iterable[TensorPlan], pair: Pair) -> Traffic:
    """The bytes to read in one pass, and to write.

    A tensor that is read twice because its head is tied counts twice.
    """
    read = write = 0
    for plan in plans:
        write += plan.n_bytes
        for source, name, side in (
            (pair.chip, plan.chip, "chip"),
            (pair.chat, plan.chat, "chat"),
            (pair.base, plan.base, "base"),
        ):
            if source is not None and name is not None:
                elements = sum(segment.count for segment in plan.segments() if getattr(segment, side) is not None)
                read += elements * DTYPES[source.specs[name].dtype].itemsize
        read += sum(pair.more[side].specs[name].n_bytes for side, name in plan.more.items())
    return Traffic(read, write)


def summarise_plan(plans: Iterable[TensorPlan]) -> list[dict[str, Any]]:
    """One row per tensor kind and method: count, parameters, lam from and to, dtypes and bytes.

    What --dry-run shows.
    """
    groups: dict[tuple[Kind, str], list[TensorPlan]] = {}
    for plan in plans:
        groups.setdefault((find_kind(plan.name), plan.method), []).append(plan)
    return [
        {
            "kind": kind,
            "method": method,
            "tensors": len(group),
            "parameters": sum(plan.numel for plan in group),
            "lam": [min(plan.lam for plan in group), max(plan.lam for plan in group)],
            "dtype": "/".join(sorted(Counter(plan.dtype for plan in group))),
            "bytes": sum(plan.n_bytes for plan in group),
        }
        for (kind, method), group in sorted(groups.items(), key=lambda item: (KINDS.index(item[0][0]), item[0][1]))
    ]
