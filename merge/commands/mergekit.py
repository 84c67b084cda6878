"""A configuration of mergekit's as a recipe of ours, or the list of what a recipe cannot say.

Pure: parsed YAML in, the text of a recipe out. It opens no model; `mergekit_parts` reads models and slices. What means
the same is translated; what differs in a known way is noted; all else is a problem, and one problem means that there is
no recipe.

    converted = convert_config({"merge_method": "slerp", "base_model": "chat", ...}, chat=None, move=lambda ref: ref)
    converted.text  # TOML
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merge.commands.mergekit_parts import Conversion, Part, read_parts, read_ref, split_adapter
from merge.errors import RecipeError
from merge.recipe import DTYPES, MORE_SIDES
from merge.recipe_file import parse_recipe

# mergekit's name: our method, and what our parameter `elect` must be
METHODS: Mapping[str, tuple[str, bool | None]] = {
    "slerp": ("slerp", None),
    "nuslerp": ("slerp", None),
    "linear": ("linear", None),
    "karcher": ("geodesic", None),
    "passthrough": ("linear", None),
    "task_arithmetic": ("task_arithmetic", None),
    "ties": ("ties", None),
    "dare_linear": ("dare", False),
    "dare_ties": ("dare", True),
    "della": ("della", None),
}
WITH_BASE = ("task_arithmetic", "ties", "dare_linear", "dare_ties", "della")
NORMALISING = ("ties", "della", "linear")  # mergekit's defaults of `normalize` and `rescale`
RESCALING = ("dare_linear", "dare_ties", "della")
AVERAGING = ("ties", "della", "dare_ties")  # where an elected sum is divided by its weights, which ours always is
EPSILON = 0.15  # mergekit's default
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")  # of TOML
CHAT_NAME = re.compile(r"chat|instruct|(^|[-_/])it($|[-_/])", re.IGNORECASE)
TOP_KEYS = (
    "merge_method base_model models slices parameters dtype out_dtype tokenizer_source tokenizer chat_template".split()
)
KNOWN_FORMS = ("chatml", "llama3", "alpaca")  # of mergekit's names for templates
OVER_DEPTH = ("lam", "weight", "density")  # what may be a list
IGNORED = ("int8_mask", "max_iter", "tol")  # how mergekit computes, not what
METHOD_NOTES = {
    "slerp": "angles are exact here; mergekit takes the linear mean where the cosine is above 0.9995 (1.8 degrees). "
    'method = "geodesic" gives the merge the norm between the parents\' as well',
    "karcher": "the norm is the geometric mean of the parents' norms; mergekit takes the arithmetic one",
    "dare_linear": "what is kept is divided by density; mergekit rescales it to the sum of magnitudes",
    "dare_ties": "what is kept is divided by density; mergekit rescales it to the sum of magnitudes",
    "della": "what is kept is divided by its chance; mergekit rescales it to the sum of magnitudes",
}


@dataclass(frozen=True)
class Converted:
    """The recipe as TOML, and what to know about it."""

    text: str
    notes: tuple[str, ...]


def convert_config(config: Any, chat: str | None, move: Callable[[str], str], source: str = "config") -> Converted:
    """The recipe of a configuration. chat: which model is the chat parent, where that is open.

    move: from a reference in the configuration to one in the recipe.

    Raises RecipeError: it lists all that a recipe cannot say.
    """
    if not isinstance(config, dict) or not isinstance(config.get("merge_method"), str):
        raise RecipeError(source, ["is not a configuration of mergekit: it has no merge_method"])
    found, method = Conversion(), config["merge_method"]
    if method not in METHODS:
        found.refuse(f"merge_method {method} (known: {', '.join(METHODS)})")
    for key in config.keys() - set(TOP_KEYS):
        found.refuse(f"{key}: a recipe has nothing like it")

    parts = read_parts(config, found)
    base = None if config.get("base_model") is None else read_ref(config["base_model"], found)
    if not parts or method not in METHODS:
        raise RecipeError(source, [f"cannot be said in a recipe: {problem}" for problem in found.problems])
    tables = _write_tables(config, method, parts, base, chat, found)
    if found.problems:
        raise RecipeError(source, [f"cannot be said in a recipe: {problem}" for problem in found.problems])

    found.notes += [METHOD_NOTES[method]] if method in METHOD_NOTES else []
    if any(isinstance(table.get(key), list) for table in _all_tables(tables) for key in OVER_DEPTH):
        found.notes.append(
            "the last norm and the head take the last value of a list over depth; mergekit takes the first"
        )
    parse_recipe(tables, base=Path(), source=source)  # what is out of range says so
    for given in _all_tables(tables):
        given |= {key: move(given[key]) for key in ("model", "adapter") if key in given}
    return Converted(write_toml(tables, found.notes), tuple(found.notes))


def _all_tables(tables: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for value in tables.values():
        yield from value if isinstance(value, list) else [value]


def _write_tables(
    config: Mapping[str, Any], method: str, parts: Sequence[Part], base: str | None, chat: str | None, found: Conversion
) -> dict[str, Any]:
    refs = list(dict.fromkeys(source.ref for part in parts for source in part.sources))
    has_base = method in WITH_BASE or (method == "nuslerp" and base is not None)
    if has_base and base is None:
        found.refuse(f"{method} without base_model")
    if has_base or (method == "karcher" and base is not None):
        refs = [ref for ref in refs if ref != base] + ([base] if method == "karcher" and base is not None else [])
    if has_base and len(refs) == 1 and base is not None:
        refs.append(base)  # one task vector: the chat parent is the base itself

    sides = _assign_sides(refs, method, base, chat, parts, found)
    ours, elect = METHODS[method]
    merge: dict[str, Any] = {"method": ours}
    tables: dict[str, Any] = {"merge": merge} | {side: split_adapter(ref) for side, ref in sides.items()}
    if has_base and base is not None:
        tables["base"] = split_adapter(base)

    if method == "slerp":
        merge |= _read_t(config, parts, found)
    elif method == "passthrough":
        merge["lam"] = 0.0
    elif method != "karcher":
        _add_shares(tables, sides, method, config, parts, base if has_base else None, found)
    if parameters := _read_parameters(config, method, elect, parts, found):
        tables["parameters"] = parameters
    if method == "karcher" and len(sides) == 2:
        merge["lam"] = 0.5

    _add_output(merge, config, sides, found)
    if slices := _read_slices(parts, sides, method, found):
        tables["slice"] = slices
    if found.schedule:
        tables["schedule"] = found.schedule
    more = [tables.pop(side) for side in MORE_SIDES if side in tables]
    return tables | ({"more": more} if more else {})


def _assign_sides(
    refs: Sequence[str],
    method: str,
    base: str | None,
    chat: str | None,
    parts: Sequence[Part],
    found: Conversion,
) -> dict[str, str]:
    """Which model is the chip and which the chat parent; the latter gives config, tokenizer and template."""
    if chat is not None and chat not in refs:
        found.refuse(f"--chat {chat} is none of {', '.join(refs)}")
        chat = None
    if method == "slerp" and (len(refs) != 2 or base not in refs):
        found.refuse("slerp of other than two models, of which one is base_model")
    if method == "passthrough" and len(refs) == 1:
        refs = [refs[0], refs[0]]
    if method in ("passthrough", "nuslerp") and len(refs) != 2:
        found.refuse(f"{method} of {len(refs)} models")
    if len(refs) < 2 or len(refs) > 2 + len(MORE_SIDES):
        found.refuse(f"a merge of {len(refs)} models")
        return {}

    if method == "slerp":
        given = base
    elif method == "passthrough":
        given = parts[0].sources[0].ref
        if parts[-1].sources[0].ref != given:
            found.refuse(
                f"the last norm and the head of {parts[-1].sources[0].ref}, where the first layers are another's"
            )
    else:
        named = [ref for ref in refs if CHAT_NAME.search(ref)]
        given = chat or (base if base in refs else None) or (named[0] if len(named) == 1 else refs[0])
        found.notes.append(
            f"the chat parent, which gives config, tokenizer and template, is {given}; --chat names another"
        )
    rest = list(refs)
    rest.remove(given if given in rest else rest[0])
    return dict(zip(("chat", "chip", *MORE_SIDES), [str(given), *rest], strict=False))


def _read_t(config: Mapping[str, Any], parts: Sequence[Part], found: Conversion) -> dict[str, Any]:
    """slerp's t as lam, with rules of [[schedule]] for filters and for slices that have their own."""
    values = [part.parameters.get("t") for part in parts]
    if None in values:
        found.refuse("slerp without t")
        return {}
    if all(value == values[0] for value in values) and not (len(parts) > 1 and _has_gradient(values[0])):
        default = _add_rules(values[0], {}, found)
        return {} if default is None else {"lam": default}

    covered: set[int] = set()
    for part, value in zip(parts, values, strict=True):
        first, behind = part.sources[0].layers or (0, 0)
        if not behind or covered & set(range(first, behind)):
            found.refuse("t that differs between slices which share layers")
            return {}
        covered |= set(range(first, behind))
        default = _add_rules(value, {"layers": [first, behind - 1]}, found)
        if default is not None:
            found.schedule.append({"layers": [first, behind - 1], "lam": default})
    ends = [_add_rules(value, {}, Conversion()) for value in (values[0], values[-1])]
    first, last = (end if not isinstance(end, list) else end[place] for end, place in zip(ends, (0, -1), strict=True))
    return {"lam": first if first == last else [first, last]}


def _has_gradient(setting: Any) -> bool:
    return isinstance(setting, list) and any(isinstance(each, list) or _is_number(each) for each in setting)


def _add_rules(setting: Any, where: Mapping[str, Any], found: Conversion) -> Any:
    """A setting's value for all tensors; what has a filter becomes a rule, the first that fits deciding, as there."""
    if not isinstance(setting, list | dict) or _is_gradient(setting):
        return _read_values(setting, "t", found)
    for condition in [setting] if isinstance(setting, dict) else setting:
        if not isinstance(condition, dict) or "value" not in condition:
            found.refuse(f"t {setting!r}")
            return None
        value = _read_values(condition["value"], "t", found)
        if condition.get("filter") in (None, "*"):
            return value
        pattern = re.sub(r"([*?[])", r"[\1]", str(condition["filter"]))
        found.schedule.append({**where, "tensors": f"*{pattern}*", "lam": value})
    found.refuse("t with filters alone: a value for all other tensors is missing")
    return None


def _is_gradient(setting: Any) -> bool:
    return isinstance(setting, list) and bool(setting) and all(map(_is_number, setting))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _read_values(setting: Any, name: str, found: Conversion) -> Any:
    """A number, or a list of two or more over depth."""
    if isinstance(setting, str):
        try:
            return float(setting)  # 1e-3 is a text in YAML
        except ValueError:
            pass
    if _is_number(setting):
        return float(setting)
    if _is_gradient(setting):
        return [float(value) for value in setting] if len(setting) > 1 else float(setting[0])
    if isinstance(setting, dict) and setting.get("filter") in (None, "*"):
        return _read_values(setting.get("value"), name, found)
    if isinstance(setting, list) and len(setting) == 1:
        return _read_values(setting[0], name, found)
    found.refuse(f"{name} {setting!r}: only t may depend on a tensor's name")
    return None


def _add_shares(
    tables: dict[str, Any],
    sides: Mapping[str, str],
    method: str,
    config: Mapping[str, Any],
    parts: Sequence[Part],
    base: str | None,
    found: Conversion,
) -> None:
    """The weight and density of each parent."""
    for side, ref in sides.items():
        if ref == base:
            tables[side]["weight"] = 0.0  # it is the base: its difference is nothing
            continue
        for key, default in (("weight", None), ("density", 1.0)):
            given = [
                source.parameters.get(key, part.parameters.get(key, default))
                for part in parts
                for source in part.sources
                if source.ref == ref
            ]
            if any(value != given[0] for value in given) or (len(parts) > 1 and _has_gradient(given[0])):
                found.refuse(f"{key} that differs between slices")
            elif given[0] is None:
                found.refuse(f"no {key} of {ref}")
            elif key == "weight" or method in ("ties", "dare_linear", "dare_ties", "della"):
                tables[side][key] = _read_values(given[0], key, found)

    normalises = _read_flag(config, parts, "normalize", method in NORMALISING, found)
    weights = [tables[side].get("weight") for side in sides]
    total = sum(weights) if all(map(_is_number, weights)) else None
    if method in AVERAGING and not normalises:
        found.refuse(f"{method} without normalize: what is elected is averaged here")
    elif method == "linear" and not normalises and (total is None or abs(total - 1) > 1e-6):
        found.refuse("linear without normalize, with weights that do not sum to 1")
    elif method in ("task_arithmetic", "dare_linear") and normalises:
        if not total:
            found.refuse(f"{method} with normalize, with weights over depth or of sum 0")
        else:
            for side in sides:
                tables[side]["weight"] /= total


def _read_flag(config: Mapping[str, Any], parts: Sequence[Part], key: str, default: bool, found: Conversion) -> bool:
    values = {
        part.parameters.get(key, default) for part in parts if isinstance(part.parameters.get(key, default), bool)
    }
    if len(values) != 1:
        found.refuse(f"{key} other than true or false")
    return values == {True}


def _read_parameters(
    config: Mapping[str, Any], method: str, elect: bool | None, parts: Sequence[Part], found: Conversion
) -> dict[str, Any]:
    given = dict(parts[0].parameters)
    known = {"t", "weight", "density", "normalize", "rescale", "lambda", "epsilon", *IGNORED}
    known |= {"nuslerp_flatten", "nuslerp_row_wise"} if method == "nuslerp" else set()
    for part in parts:
        for values in (part.parameters, *(source.parameters for source in part.sources)):
            for key in values.keys() - known:
                found.refuse(f"the parameter {key}")
    if any(part.parameters.get(key) != given.get(key) for part in parts for key in ("lambda", "epsilon")):
        found.refuse("lambda or epsilon that differs between slices")
    if method == "nuslerp" and (given.get("nuslerp_flatten", True) is not True or given.get("nuslerp_row_wise")):
        found.refuse("nuslerp by rows or columns: a tensor has one angle here")
    if method in WITH_BASE and _read_flag(config, parts, "rescale", method in RESCALING, found) != (
        method in RESCALING
    ):
        found.refuse(f"{method} with rescale = {method not in RESCALING}")

    parameters: dict[str, Any] = {} if not elect else {"elect": True}
    if method in WITH_BASE and given.get("lambda") is not None:
        parameters["scale"] = _read_values(given["lambda"], "lambda", found)
    if method == "della":
        own = {json.dumps(s.parameters.get("epsilon", given.get("epsilon", EPSILON))) for p in parts for s in p.sources}
        if len(own) > 1:
            found.refuse("epsilon that differs between models")
        parameters["epsilon"] = _read_values(json.loads(min(own)), "epsilon", found)
    for key, value in parameters.items():
        if isinstance(value, list):
            found.refuse(f"{key} over depth")
    return parameters


def _add_output(merge: dict[str, Any], config: Mapping[str, Any], sides: Mapping[str, str], found: Conversion) -> None:
    """dtype, tokenizer and template of the output."""
    dtype = config.get("out_dtype") or config.get("dtype")
    if dtype in DTYPES:
        merge["dtype"] = dtype
    elif dtype is not None:
        found.refuse(f"dtype {dtype} (known: {', '.join(DTYPES)})")
    tokenizer = config.get("tokenizer") or {}
    given = config.get("tokenizer_source") or tokenizer.get("source", "union" if tokenizer else None)
    for key in tokenizer.keys() - {"source"}:
        found.refuse(f"tokenizer.{key}")
    if given == "union":
        merge["vocab"] = "union"
        found.notes.append("rows are matched by token; a token of one parent alone keeps that parent's row")
    elif given is not None:
        ref = config.get("base_model") if given == "base" else given
        side = next((side for side, name in sides.items() if name == ref), None)
        if side in ("chip", "chat"):
            merge["vocab"] = side
        elif given == "base":
            found.notes.append("the tokenizer is the chat parent's, not the base model's")
        else:
            found.refuse(f"the tokenizer of {given}, which is neither chip nor chat parent")
    template = config.get("chat_template")
    if template in ("auto", *KNOWN_FORMS) or (isinstance(template, str) and "{" in template):
        merge["chat_template"] = template
        if template == "auto":
            found.notes.append("the chat template is the chat parent's, or the chip parent's where it has none")
    elif template is not None:
        found.refuse(f"chat_template {template} (known: auto, {', '.join(KNOWN_FORMS)}, or a text in Jinja)")


def _read_slices(
    parts: Sequence[Part], sides: Mapping[str, str], method: str, found: Conversion
) -> list[dict[str, Any]]:
    by_ref = {ref: side for side, ref in reversed(list(sides.items()))}
    slices = []
    for part in parts:
        ranges = {source.layers for source in part.sources}
        if len(ranges) > 1:
            found.refuse("a slice of different layers of its models")
        (layers, *_) = ranges
        if layers is None:
            return []
        if method != "passthrough" and len(part.sources) == 1:
            found.refuse(f"a slice of one model under {method}")
        parent = {"parent": by_ref.get(part.sources[0].ref, "chat")} if method == "passthrough" else {}
        slices.append({"layers": [layers[0], layers[1] - 1], **parent})
    if len(slices) == 1 and slices[0]["layers"][0] == 0 and method != "passthrough":
        found.notes.append(f"layers 0 to {slices[0]['layers'][1]} are taken to be all that the models have")
        return []
    return slices


def write_toml(tables: Mapping[str, Any], notes: Sequence[str]) -> str:
    """The text of a recipe, under its notes. JSON's texts, numbers, truth values and lists are TOML's as well."""
    lines = [f"# {note}" for note in notes]
    for name, value in tables.items():
        for table in value if isinstance(value, list) else [value]:
            lines += ["", f"[[{name}]]" if isinstance(value, list) else f"[{name}]"]
            lines += [f"{_write_key(key)} = {json.dumps(each, ensure_ascii=False)}" for key, each in table.items()]
    return "\n".join(lines).lstrip("\n") + "\n"


def _write_key(key: str) -> str:
    """A key of TOML, in quotes where it is more than a word: dots would make tables of it."""
    return key if BARE_KEY.fullmatch(key) else json.dumps(key, ensure_ascii=False)
