"""What to merge, as a frozen value read from TOML. It checks every key and value; it does not look for the parents.

    recipe = load_recipe(Path("data/recipes/demo.toml"))

    [merge]   method = "geodesic", lam = 0.6, dtype = "bfloat16", name = "chipalign-demo"
    [chip]    model = REF, adapter = REF (optional)
    [chat]    model = REF, adapter = REF (optional)

A REF is a folder (relative to the recipe file), a hub id "org/name" or "org/name@revision", or "package:NAME" (merge.parents).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merge.errors import RecipeError

METHODS = ("geodesic",)
DTYPES = ("bfloat16", "float16", "float32")
TABLES = ("merge", "chip", "chat")
MERGE_KEYS = ("method", "lam", "dtype", "name")
PARENT_KEYS = ("model", "adapter")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
DEFAULT_LAM = 0.6  # the best of the paper's sweep, its figure 7


@dataclass(frozen=True)
class ParentRef:
    """Where one parent comes from: its model, and the LoRA adapter to fold into it."""

    model: str
    adapter: str | None = None


@dataclass(frozen=True)
class Recipe:
    """One merge. `base` is the folder that relative references start from."""

    chip: ParentRef
    chat: ParentRef
    base: Path
    lam: float = DEFAULT_LAM
    method: str = "geodesic"
    dtype: str = "bfloat16"
    name: str = "chipalign-merge"

    def values(self) -> dict[str, str | float]:
        """The values that, with the parents' contents, decide the output to the last byte."""
        return {"method": self.method, "lam": self.lam, "dtype": self.dtype, "name": self.name}


def load_recipe(path: Path) -> Recipe:
    """Read a recipe file. Raises RecipeError: no such file, not TOML, or all its problems at once."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(str(path), ["no such recipe file"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(str(path), [f"cannot be read as text: {error}"]) from None
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(str(path), [f"is no valid TOML: {error}"]) from None
    return parse_recipe(data, base=path.absolute().parent, source=str(path))


def parse_recipe(data: Mapping[str, Any], base: Path, source: str) -> Recipe:
    """A recipe from parsed TOML; `source` names it in the RecipeError, which lists all problems."""
    problems = [f"unknown key {key!r} (allowed: {', '.join(TABLES)})" for key in data if key not in TABLES]
    tables: dict[str, Mapping[str, Any]] = {}
    for table in TABLES:
        value = data.get(table)
        if isinstance(value, dict):
            tables[table] = value
        else:
            problems.append(f"table [{table}] is missing" if value is None else f"[{table}] must be a table")
    merge = tables.get("merge", {})
    problems += _merge_problems(merge)
    for table in ("chip", "chat"):
        if table in tables:
            problems += _parent_problems(table, tables[table])
    if problems:
        raise RecipeError(source, problems)
    values = {**merge, "lam": float(merge.get("lam", DEFAULT_LAM))}
    chip, chat = (ParentRef(tables[t]["model"], tables[t].get("adapter")) for t in ("chip", "chat"))
    return Recipe(chip=chip, chat=chat, base=base, **values)


def _merge_problems(merge: Mapping[str, Any]) -> list[str]:
    problems = [f"unknown key merge.{key} (allowed: {', '.join(MERGE_KEYS)})" for key in merge if key not in MERGE_KEYS]
    for key, allowed in (("method", METHODS), ("dtype", DTYPES)):
        value = merge.get(key, allowed[0])
        if value not in allowed:
            problems.append(f"merge.{key} is {value!r} (allowed: {', '.join(allowed)})")
    lam = merge.get("lam", DEFAULT_LAM)
    if isinstance(lam, bool) or not isinstance(lam, int | float) or not 0 <= lam <= 1:
        problems.append(f"merge.lam is {lam!r} (allowed: a number from 0, the chat model, to 1, the chip model)")
    name = merge.get("name", "chipalign-merge")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        problems.append(f"merge.name is {name!r} (allowed: up to 96 letters, digits, dots, dashes and underscores, the first a letter or digit)")
    return problems


def _parent_problems(table: str, parent: Mapping[str, Any]) -> list[str]:
    problems = [f"unknown key {table}.{key} (allowed: {', '.join(PARENT_KEYS)})" for key in parent if key not in PARENT_KEYS]
    if "model" not in parent:
        problems.append(f'{table}.model is missing (allowed: a folder, "org/name", "org/name@revision" or "package:NAME")')
    for key in PARENT_KEYS:
        if key in parent and (not isinstance(parent[key], str) or not parent[key].strip()):
            problems.append(f"{table}.{key} is {parent[key]!r} (allowed: a text that is not empty)")
    return problems
