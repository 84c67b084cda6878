"""What to merge, as a frozen value.

`merge.recipe_file` reads it from TOML and checks it; it does not look for the parents.

    recipe = Recipe(chip=ParentRef("./chip"), chat=ParentRef("./chat"), base=Path.cwd(), lam=0.4)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# One value, or values over depth, interpolated linearly from the first layer to the last
Lam = float | tuple[float, ...]

BASE_METHODS = ("task_arithmetic", "ties", "dare", "della")  # these add differences from a base model
METHODS = ("geodesic", "linear", "soup", "slerp", *BASE_METHODS)
MORE_SIDES = ("third", "fourth", "fifth", "sixth", "seventh", "eighth")  # what the [[more]] parents are called
# Of the output; "auto": the wider of what most of each parent is stored in
DTYPES = ("auto", "bfloat16", "float16", "float32")
# What decides where the parents differ; the first of each is the default.
DECISIONS: Mapping[str, tuple[str, ...]] = {
    "vocab": ("refuse", "chat", "chip", "union"),  # whose vocabulary, where token tables or rows differ
    "embeddings": ("refuse", "tied", "untied"),  # where one parent ties them and the other does not
    "unmatched": ("refuse", "chat", "chip", "union"),  # whose tensors stay, where only one parent has them
    "config": ("refuse", "chat", "chip"),  # whose rope and other settings, where they differ and no shape does
    # Whose names the output has, where only these differ; "exact": the chat parent's, if each tensor of
    # the one is a tensor of the other
    "names": ("exact", "refuse", "chat", "chip"),
}
UNDECIDED = ("exact", "refuse")  # of these values those that choose no parent
# Which method takes which parameter, and what it takes: (methods, smallest, largest).
PARAMETERS: Mapping[str, tuple[tuple[str, ...], float, float]] = {
    "density": (("ties", "dare", "della"), 0.0, 1.0),
    "epsilon": (("della",), 0.0, 0.5),
    "scale": (BASE_METHODS, 0.0, 10.0),
    "elect": (("dare",), 0, 1),
    "seed": (("dare", "della"), 0, 2**32 - 1),
}
# TIES: "top-20%" of its paper; the others: half, as in mergekit's examples
DENSITIES = {"ties": 0.2, "dare": 0.5, "della": 0.5}
# Whose template the output has ("auto": the chip parent's where the chat parent has none), or a known form
CHAT_TEMPLATES = ("chat", "chip", "auto", "chatml", "llama3", "alpaca")
DEFAULT_SHARD_GB = 5.0  # transformers' customary limit
DEFAULT_LAM = 0.6  # the best of the paper's sweep, its figure 7


@dataclass(frozen=True)
class ParentRef:
    """Where one parent comes from: its model, and the LoRA adapters to fold into it; and how much of it is taken."""

    model: str
    adapter: str | tuple[str, ...] | None = None  # several are folded in one after the other
    weight: Lam | None = None  # in the place of lam; None: 1, where another parent has one or there are more than two
    density: Lam | None = None  # None: that of [parameters]

    @property
    def adapters(self) -> tuple[str, ...]:
        """The adapters in the order in which they are folded in."""
        return (self.adapter,) if isinstance(self.adapter, str) else self.adapter or ()

    def describe(self) -> str:
        """All in short, for titles."""
        return " + ".join([self.model, *(adapter.rstrip("/").rpartition("/")[2] for adapter in self.adapters)])


@dataclass(frozen=True)
class Parameters:
    """Parameters of a baseline; those that the method does not take are ignored (PARAMETERS)."""

    density: float | None = None  # share of a difference that is kept; None: the method's default, DENSITIES
    epsilon: float = 0.1  # DELLA: the keep probabilities run from density - epsilon to density + epsilon
    scale: float = 1.0  # multiplies the sum of differences
    elect: bool = False  # DARE: elect signs as TIES does
    seed: int = 0  # with the tensor's name it decides what is dropped

    def find_density(self, method: str) -> float:
        """The density that a method works with."""
        return DENSITIES.get(method, 1.0) if self.density is None else self.density


@dataclass(frozen=True)
class Rule:
    """One [[schedule]] entry: the lam of the tensors in `layers` whose name fits `tensors`."""

    lam: Lam
    layers: tuple[int, int] | None = None  # first and last, both included; None: any tensor, those outside layers too
    tensors: str | None = None  # a pattern with * and ?; None: any name


@dataclass(frozen=True)
class Slice:
    """Layers of the output: the parents' from first to last, both included, merged or copied from one parent.

    The slices in order are all layers that the output has; a layer may be in several.
    """

    layers: tuple[int, int]
    parent: str = "both"


@dataclass(frozen=True)
class Recipe:
    """One merge. `base` is the folder that relative references start from, `base_model` the parents' common origin."""

    chip: ParentRef
    chat: ParentRef
    base: Path
    lam: Lam = DEFAULT_LAM
    method: str = "geodesic"
    dtype: str = "auto"
    name: str = "chipalign-merge"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    vocab: str = "refuse"
    embeddings: str = "refuse"
    unmatched: str = "refuse"
    config: str = "refuse"
    names: str = "exact"
    chat_template: str = "chat"  # "chip", "auto", a known form, or Jinja: see CHAT_TEMPLATES
    shard_gb: float = DEFAULT_SHARD_GB  # the largest file of weights
    code: bool = False  # whether the chat parent's Python code is copied; else it is left out
    dtypes: tuple[tuple[str, str], ...] = ()  # (pattern of names, dtype); the first that fits decides
    parameters: Parameters = Parameters()
    schedule: tuple[Rule, ...] = ()
    base_model: ParentRef | None = None
    more: tuple[ParentRef, ...] = ()
    slices: tuple[Slice, ...] = ()

    @property
    def givers(self) -> dict[str, ParentRef]:
        """The parents that are merged, by side: chip, chat, third, ..."""
        return {"chip": self.chip, "chat": self.chat, **dict(zip(MORE_SIDES, self.more, strict=False))}

    @property
    def is_weighted(self) -> bool:
        """Whether weights stand in the place of lam."""
        return bool(self.more) or any(ref.weight is not None for ref in self.givers.values())

    @property
    def weights(self) -> dict[str, Lam]:
        """The weight of each parent, by side; empty where lam decides."""
        if not self.is_weighted:
            return {}
        return {side: 1.0 if ref.weight is None else ref.weight for side, ref in self.givers.items()}

    @property
    def uses_base(self) -> bool:
        """Whether differences from a base model are merged, rather than tensors."""
        return self.method in BASE_METHODS or (self.method == "slerp" and self.base_model is not None)

    def values(self) -> dict[str, Any]:
        """The values that, with the parents' contents, decide every byte of the output.

        Values left at their defaults are included only where the report always states them.
        """
        values: dict[str, Any] = {
            "method": self.method,
            "lam": _listed(self.lam),
            "dtype": self.dtype,
            "name": self.name,
        }
        values |= {key: list(value) for key in ("include", "exclude") if (value := getattr(self, key))}
        values |= {key: value for key in DECISIONS if (value := getattr(self, key)) not in UNDECIDED}
        if self.chat_template != "chat":
            values["chat_template"] = self.chat_template
        if self.shard_gb != DEFAULT_SHARD_GB:
            values["shard_gb"] = self.shard_gb
        if self.code:
            values["code"] = True
        if self.dtypes:
            values["dtypes"] = dict(self.dtypes)
        if parameters := self.describe_parameters():
            values["parameters"] = parameters
        if self.schedule:
            values["schedule"] = [
                {key: _listed(value) for key, value in asdict(rule).items() if value is not None}
                for rule in self.schedule
            ]
        if self.slices:
            values["slice"] = [{"layers": list(each.layers), "parent": each.parent} for each in self.slices]
        if self.is_weighted and self.method != "soup":
            values["weights"] = {side: _listed(weight) for side, weight in self.weights.items()}
        if densities := {key: _listed(ref.density) for key, ref in self.givers.items() if ref.density is not None}:
            values["densities"] = densities
        return values

    def parents(self) -> list[tuple[ParentRef, str]]:
        """The parents that the method needs, each with its side: chip, chat, base where there is one, third, ..."""
        base = [] if self.base_model is None or not self.uses_base else [(self.base_model, "base")]
        (chip, chat, *more) = [(ref, side) for side, ref in self.givers.items()]
        return [chip, chat, *base, *more]

    def describe_parameters(self) -> dict[str, Any]:
        """The parameters that the method takes, as it takes them."""
        taken = {
            key: getattr(self.parameters, key) for key, (methods, _, _) in PARAMETERS.items() if self.method in methods
        }
        return taken | ({"density": self.parameters.find_density(self.method)} if "density" in taken else {})


def describe_lam(lam: Lam | list[float]) -> str:
    """A lam for people: 0.6, or 0.2 to 0.8 to 0.6 over depth."""
    return f"{lam:g}" if isinstance(lam, int | float) else " to ".join(f"{value:g}" for value in lam) + " over depth"


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
