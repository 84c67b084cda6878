"""Reads a recipe from TOML and checks every key and value; all problems are one error.

    recipe = load_recipe(Path("data/recipes/demo.toml"))

    [merge]        method = "geodesic", lam = 0.6, dtype = "auto", name = "chipalign-demo"
                   (lam may be a list: values over depth)
                   include = ["model.layers.*"], exclude = ["*norm*"]: what is not merged is the chat parent's
                   vocab, embeddings, unmatched, config, names: what decides where the parents differ; each "refuse" at
                   first, names "exact"
                   code = true: copy the chat parent's Python code, too
                   chat_template = "chat" | "chip" | "auto" | "chatml" | "llama3" | "alpaca" | a text in Jinja
                   shard_gb = 5.0: the largest file of weights
    [parameters]   density = 0.2, epsilon = 0.1, scale = 1.0, elect = true, seed = 0: of the method, see PARAMETERS
    [[schedule]]   layers = [0, 7], tensors = "*.mlp.*", lam = 0.4: the first that fits a tensor decides its lam
    [dtypes]       "*.gate.weight" = "float32": of tensors whose name fits, whatever dtype says
    [[slice]]      layers = [0, 15], parent = "chip": the output's layers in order, see Slice
    [chip]         model = REF, adapter = REF, weight = 0.5, density = 0.3 (all but model optional; adapter = [REF, REF]
                   folds one in after the other)
    [chat]         the same
    [[more]]       the same: a further parent, with the chat parent's vocabulary
    [base]         model = REF: what the parents were trained from, for the methods that need it

A REF is a folder (relative to the recipe file), a hub id "org/name" or "org/name@revision", or "package:NAME"
(merge.models.parents).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from merge.checks import find_unknown, guess, is_number, is_text
from merge.errors import RecipeError
from merge.recipe import (
    BASE_METHODS,
    CHAT_TEMPLATES,
    DECISIONS,
    DEFAULT_LAM,
    DEFAULT_SHARD_GB,
    DTYPES,
    METHODS,
    MORE_SIDES,
    PARAMETERS,
    Lam,
    Parameters,
    ParentRef,
    Recipe,
    Rule,
    Slice,
)

TABLES = ("merge", "chip", "chat", "more", "base", "parameters", "schedule", "slice", "dtypes")
NEEDED_TABLES = ("merge", "chip", "chat")
PAIR: tuple[str, ...] = ("chip", "chat")
MERGE_KEYS = ("method", "lam", "dtype", "name", "include", "exclude", "code", "chat_template", "shard_gb", *DECISIONS)
SCHEDULE_KEYS = ("layers", "tensors", "lam")
SLICE_KEYS = ("layers", "parent")
SLICE_PARENTS = ("both", "chip", "chat")
PARENT_KEYS = ("model", "adapter", "weight", "density")
BASE_KEYS = PARENT_KEYS[:2]
MOST_WEIGHT = 10.0
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
LAYERS_RULE = "[first, last], counted from 0, both included"
LAM_RULE = "a number from 0, the chat model, to 1, the chip model, or a list of two or more of them over depth"
# chip + chat - base: a base trained on chip text gets the instruction residual of its chat model (arXiv 2410.10739)
RESIDUAL = "residual"


def load_recipe(path: Path) -> Recipe:
    """Read a recipe file. Raises RecipeError: no such file, not TOML, or all its problems at once."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(str(path), ["no such recipe file"]) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RecipeError(str(path), [f"cannot be read as text: {reason}"]) from None
    # Besides TOML's own error: numbers of thousands of digits, deeply nested lists
    except (ValueError, RecursionError) as error:
        raise RecipeError(str(path), [f"is not valid TOML: {error}"]) from None
    return parse_recipe(data, base=path.absolute().parent, source=str(path))


def parse_recipe(data: Mapping[str, Any], base: Path, source: str) -> Recipe:
    """A recipe from parsed TOML; `source` names it in the RecipeError, which lists all problems."""
    problems = find_unknown("", data, TABLES)
    tables: dict[str, Mapping[str, Any]] = {}
    for table in ("merge", "chip", "chat", "base", "parameters", "dtypes"):
        value = data.get(table)
        if isinstance(value, dict):
            tables[table] = value
        elif value is not None:
            problems.append(f"[{table}] must be a table")
        elif table in NEEDED_TABLES:
            problems.append(f"table [{table}] is missing")

    merge, parameters, schedule = tables.get("merge", {}), tables.get("parameters", {}), data.get("schedule", [])
    if merge.get("method") == RESIDUAL:
        merge, tables = _spell_out_residual(merge, tables)
    method, more, slices = merge.get("method", METHODS[0]), data.get("more", []), data.get("slice", [])
    problems += _merge_problems(merge)
    problems += _more_problems(more, method)
    givers: dict[str, Mapping[str, Any]] = {table: tables[table] for table in PAIR if table in tables}
    givers |= {f"more {n}": given for n, given in enumerate(more, start=1) if isinstance(given, dict)}
    for table, given in givers.items():
        problems += _parent_problems(table, given) + _share_problems(table, given, method)
    if "base" in tables:
        problems += _parent_problems("base", tables["base"], BASE_KEYS)
    if "lam" in merge and (more or any("weight" in given for given in givers.values())):
        problems.append(
            "merge.lam does not go with weights or [[more]] parents (allowed: weight at every parent, or lam)"
        )
    problems += _method_problems(method, parameters, has_base="base" in data)
    if not problems:
        for table, given in givers.items():
            problems += _density_problems(table, method, given.get("density", []), parameters)
    problems += _schedule_problems(schedule) + _slice_problems(slices)
    problems += _dtype_problems(tables.get("dtypes", {}))

    if problems:
        raise RecipeError(source, problems)

    refs = {table: _parse_parent(tables[table]) for table in ("chip", "chat", "base") if table in tables}

    values = {**merge, "lam": _parse_lam(merge.get("lam", DEFAULT_LAM))}
    values |= {key: tuple(merge[key]) for key in ("include", "exclude") if key in merge}
    rules = tuple(
        Rule(_parse_lam(r["lam"]), tuple(r["layers"]) if "layers" in r else None, r.get("tensors")) for r in schedule
    )

    return Recipe(
        chip=refs["chip"],
        chat=refs["chat"],
        base=base,
        base_model=refs.get("base"),
        parameters=Parameters(**parameters),
        schedule=rules,
        more=tuple(map(_parse_parent, more)),
        slices=tuple(Slice(tuple(each["layers"]), each.get("parent", "both")) for each in slices),
        dtypes=tuple(tables.get("dtypes", {}).items()),
        **values,
    )


def _spell_out_residual(
    merge: Mapping[str, Any], tables: Mapping[str, Mapping[str, Any]]
) -> tuple[Mapping[str, Any], dict[str, Mapping[str, Any]]]:
    """The tables of method = "residual" as task arithmetic with weights of 1: chip + chat - base."""
    whole = {side: {"weight": 1.0, **tables[side]} for side in ("chip", "chat") if side in tables}
    return {**merge, "method": "task_arithmetic"}, {**tables, **whole}


def _parse_parent(given: Mapping[str, Any]) -> ParentRef:
    shares = {key: _parse_lam(given[key]) for key in ("weight", "density") if key in given}
    adapter = given.get("adapter")
    return ParentRef(given["model"], tuple(adapter) if isinstance(adapter, list) else adapter, **shares)


def _parse_lam(value: Any) -> Lam:
    return tuple(float(number) for number in value) if isinstance(value, list) else float(value)


def _is_lam(value: Any, smallest: float = 0, largest: float = 1) -> bool:
    return (
        (len(value) > 1 and all(is_number(v, smallest, largest) for v in value))
        if isinstance(value, list)
        else is_number(value, smallest, largest)
    )


def _is_layers(value: Any) -> bool:
    is_pair = isinstance(value, list) and len(value) == 2 and all(type(number) is int for number in value)
    return is_pair and 0 <= value[0] <= value[1]


def _merge_problems(merge: Mapping[str, Any]) -> list[str]:
    problems = find_unknown("merge.", merge, MERGE_KEYS)
    for key, allowed in (("method", (*METHODS, RESIDUAL)), ("dtype", DTYPES), *DECISIONS.items()):
        value = merge.get(key, allowed[0])
        if value not in allowed:
            problems.append(f"merge.{key} is {value!r} (allowed: {', '.join(allowed)}){guess(value, allowed)}")

    lam = merge.get("lam", DEFAULT_LAM)
    if not _is_lam(lam):
        problems.append(f"merge.lam is {lam!r} (allowed: {LAM_RULE})")
    elif merge.get("method") == "soup" and "lam" in merge:
        problems.append("merge.lam does not go with soup, which is 0.5 (allowed: no lam, or method linear)")

    if not isinstance(merge.get("code", False), bool):
        problems.append(f"merge.code is {merge['code']!r} (allowed: true, false)")

    template = merge.get("chat_template", "chat")
    if not isinstance(template, str) or (template not in CHAT_TEMPLATES and "{" not in template):
        problems.append(
            f"merge.chat_template is {template!r} (allowed: {', '.join(CHAT_TEMPLATES)}, or a text in Jinja)"
            f"{guess(template, CHAT_TEMPLATES)}"
        )
    if not is_number(shard_gb := merge.get("shard_gb", DEFAULT_SHARD_GB), 1e-6, 1e6):
        problems.append(f"merge.shard_gb is {shard_gb!r} (allowed: a number of GB above 0)")

    name = merge.get("name", "chipalign-merge")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        problems.append(
            f"merge.name is {name!r} (allowed: up to 96 letters, digits, dots, dashes and underscores, the first a "
            "letter or digit)"
        )

    for key in ("include", "exclude"):
        value = merge.get(key, [])
        if not isinstance(value, list) or not all(map(is_text, value)):
            problems.append(
                f'merge.{key} is {value!r} (allowed: a list of tensor name patterns, for example ["*.mlp.*"])'
            )
    return problems


def _parent_problems(table: str, parent: Mapping[str, Any], keys: tuple[str, ...] = PARENT_KEYS) -> list[str]:
    problems = find_unknown(f"{table}.", parent, keys)
    if "model" not in parent:
        problems.append(
            f'{table}.model is missing (allowed: a folder, "org/name", "org/name@revision" or "package:NAME")'
        )
    for key in BASE_KEYS:
        value = parent.get(key)
        is_list = key == "adapter" and isinstance(value, list) and bool(value) and all(map(is_text, value))
        if key in parent and not is_text(value) and not is_list:
            allowed = "a text that is not empty" + (", or a list of them" if key == "adapter" else "")
            problems.append(f"{table}.{key} is {value!r} (allowed: {allowed})")
    return problems


def _share_problems(table: str, parent: Mapping[str, Any], method: Any) -> list[str]:
    """What is wrong with a parent's weight and density. Only where nothing is averaged may a weight be negative."""
    problems = []
    smallest = -MOST_WEIGHT if method == "task_arithmetic" else 0.0
    if "weight" in parent and method == "soup":
        problems.append(f"{table}.weight does not go with soup, where all weigh the same (allowed: method linear)")
    elif "weight" in parent and not _is_lam(parent["weight"], smallest, MOST_WEIGHT):
        problems.append(
            f"{table}.weight is {parent['weight']!r} (allowed: a number from {smallest:g} to {MOST_WEIGHT:g}, or a "
            "list of them over depth)"
        )
    methods, lowest, highest = PARAMETERS["density"]
    if "density" in parent and method not in methods:
        problems.append(f"{table}.density goes with {', '.join(methods)}, not with {method}")
    elif "density" in parent and not _is_lam(parent["density"], lowest, highest):
        problems.append(
            f"{table}.density is {parent['density']!r} (allowed: a number from {lowest:g} to {highest:g}, or a list of "
            "them over depth)"
        )
    return problems


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _more_problems(more: Any, method: Any) -> list[str]:
    if not _is_tables(more):
        return ["[[more]] must be a list of tables"]
    if len(more) > len(MORE_SIDES):
        return [f"[[more]] has {len(more)} parents (allowed: at most {len(MORE_SIDES)})"]
    if more and method == "slerp":
        return ["method slerp takes two parents (allowed: geodesic, which takes more)"]
    return []


def _slice_problems(slices: Any) -> list[str]:
    if not _is_tables(slices):
        return ["[[slice]] must be a list of tables"]
    problems = []
    for number, each in enumerate(slices, start=1):
        where = f"slice {number}"
        problems += find_unknown(f"{where}: ", each, SLICE_KEYS)
        if not _is_layers(each.get("layers")):
            problems.append(f"{where}: layers is {each.get('layers')!r} (allowed: {LAYERS_RULE})")
        if each.get("parent", "both") not in SLICE_PARENTS:
            problems.append(f"{where}: parent is {each['parent']!r} (allowed: {', '.join(SLICE_PARENTS)})")
    return problems


def _method_problems(method: Any, parameters: Mapping[str, Any], *, has_base: bool) -> list[str]:
    problems = find_unknown("parameters.", parameters, tuple(PARAMETERS))
    if method in BASE_METHODS and not has_base:
        problems.append(
            f"method {method} needs the model that both parents were trained from, which the chat parent is not: "
            f'set [base] model = "org/name" (or a folder), or take a method without a base (geodesic, linear, soup)'
        )

    for key, (methods, smallest, largest) in PARAMETERS.items():
        value = parameters.get(key)
        if value is None:
            continue
        if method not in methods:
            problems.append(f"parameters.{key} goes with {', '.join(methods)}, not with {method}")
        elif key == "elect":
            problems += [] if isinstance(value, bool) else [f"parameters.elect is {value!r} (allowed: true, false)"]
        elif not is_number(value, smallest, largest) or (key == "seed" and not isinstance(value, int)):
            problems.append(f"parameters.{key} is {value!r} (allowed: a number from {smallest:g} to {largest:g})")

    return problems or _density_problems(
        "parameters", method, Parameters(**parameters).find_density(method), parameters
    )


def _density_problems(table: str, method: Any, density: Any, parameters: Mapping[str, Any]) -> list[str]:
    """What speaks against densities that are numbers in their range."""
    epsilon = parameters.get("epsilon", Parameters.epsilon)
    for value in density if isinstance(density, list) else [density]:
        if method == "della" and not epsilon < value <= 1 - epsilon:
            return [
                f"{table}.density {value:g} -+ epsilon {epsilon:g} leaves the range of probabilities (allowed: a "
                "smaller epsilon)"
            ]
        if method in ("ties", "dare") and value == 0:
            return [f"{table}.density is 0, which keeps nothing (allowed: above 0)"]
    return []


def _dtype_problems(dtypes: Mapping[str, Any]) -> list[str]:
    return [
        f"dtypes: {pattern!r} is {value!r} (allowed: {', '.join(DTYPES[1:])}){guess(value, DTYPES[1:])}"
        for pattern, value in dtypes.items()
        if value not in DTYPES[1:]
    ]


def _schedule_problems(schedule: Any) -> list[str]:
    if not _is_tables(schedule):
        return ["[[schedule]] must be a list of tables"]
    problems = []

    for number, rule in enumerate(schedule, start=1):
        where = f"schedule {number}"
        problems += find_unknown(f"{where}: ", rule, SCHEDULE_KEYS)

        layers = rule.get("layers")
        if layers is not None and not _is_layers(layers):
            problems.append(f"{where}: layers is {layers!r} (allowed: {LAYERS_RULE})")
        if "tensors" in rule and not is_text(rule["tensors"]):
            problems.append(
                f'{where}: tensors is {rule["tensors"]!r} (allowed: one tensor name pattern, for example "*.mlp.*")'
            )

        if not rule.keys() & {"layers", "tensors"}:
            problems.append(
                f"{where}: neither layers nor tensors is given (allowed: one of them or both; for all tensors use "
                "merge.lam)"
            )
        if not _is_lam(rule.get("lam")):
            problems.append(f"{where}: lam is {rule.get('lam')!r} (allowed: {LAM_RULE})")

    return problems
