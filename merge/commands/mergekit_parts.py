"""The models of a configuration of mergekit's, in one stretch of layers or several, each with its parameters.

It knows no method and no recipe: `mergekit` makes one of them. What cannot be read is noted as a problem.

    parts = read_parts({"models": [{"model": "org/name"}]}, found := Conversion())
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Source:
    """A model with its own parameters, in one slice of the output or in the whole of it."""

    ref: str
    parameters: Mapping[str, Any]
    layers: tuple[int, int] | None = None  # from first to behind the last, as mergekit counts


@dataclass(frozen=True)
class Part:
    """The sources of one stretch of layers, and the parameters given for it."""

    sources: tuple[Source, ...]
    parameters: Mapping[str, Any]


@dataclass
class Conversion:
    """What is collected while a configuration is read."""

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    schedule: list[dict[str, Any]] = field(default_factory=list)

    def refuse(self, problem: str) -> None:
        """Note what a recipe cannot say, once."""
        if problem not in self.problems:
            self.problems.append(problem)


def read_parts(config: Mapping[str, Any], found: Conversion) -> list[Part]:
    """The slices of a configuration, or all of its models as one; [] with a problem where there is neither."""
    shared = config.get("parameters") or {}
    if "models" in config:
        given = [{"sources": config["models"]}]
    elif isinstance(config.get("slices"), list) and config["slices"]:
        given = config["slices"]
    else:
        found.refuse("neither models nor slices")
        return []
    parts = []
    for each in given:
        if not isinstance(each, dict) or not isinstance(each.get("sources"), list) or not each["sources"]:
            found.refuse("a slice without sources")
            return []
        for key in each.keys() - {"sources", "parameters"}:
            found.refuse(f"{key} of a slice")
        sources = tuple(_read_source(source, found) for source in each["sources"])
        parts.append(Part(sources, {**shared, **(each.get("parameters") or {})}))
    return parts


def _read_source(given: Any, found: Conversion) -> Source:
    if not isinstance(given, dict) or "model" not in given:
        found.refuse(f"a source without a model: {given!r}")
        return Source("", {})
    for key in given.keys() - {"model", "parameters", "layer_range"}:
        found.refuse(f"{key} of a model")
    layers = given.get("layer_range")
    if layers is not None and not (
        isinstance(layers, list) and len(layers) == 2 and all(type(n) is int for n in layers) and layers[0] < layers[1]
    ):
        found.refuse(f"layer_range {layers!r}")
        layers = None
    return Source(read_ref(given["model"], found), given.get("parameters") or {}, tuple(layers) if layers else None)


def read_ref(given: Any, found: Conversion) -> str:
    """A model of a configuration as text, an adapter behind a plus sign."""
    if isinstance(given, str):
        return given
    if isinstance(given, dict) and isinstance(given.get("model"), str | dict):
        model, lora = _read_path(given["model"]), given.get("lora")
        for key in given.keys() - {"model", "lora"}:
            found.refuse(f"{key} of a model")
        return model if lora is None else f"{model}+{_read_path(lora)}"
    if isinstance(given, dict) and "path" in given:
        return _read_path(given)
    found.refuse(f"the model {given!r}")
    return ""


def _read_path(given: Any) -> str:
    if isinstance(given, dict):
        revision = given.get("revision")
        return str(given.get("path")) + (f"@{revision}" if revision else "")
    return str(given)


def split_adapter(ref: str) -> dict[str, Any]:
    """A model of `read_ref` as a recipe names it."""
    model, _, adapter = ref.partition("+")
    return {"model": model} | ({"adapter": adapter} if adapter else {})
