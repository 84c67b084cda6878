"""The plan of a comparison of models: rows are models, cells are evaluations.

A pure description: it reads no file and starts nothing. A parent is a row too: the geodesic merge at lam = 0 is the
chat model and the one at lam = 1 the chip model, to the last bit.

    plan = Plan("table", parents, {}, table_rows(["chat", "chip", "linear", "geodesic"], 0.6), cells, left_out=())
    write_recipe(plan, plan.rows[2])  # the TOML that `chipalign merge` makes the row's model from
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from serve.errors import ExperimentUnusable

CHAT, CHIP = "chat", "chip"  # the rows that are the parents
PARENTS = {CHAT: 0.0, CHIP: 1.0}  # the lam that gives each
GEODESIC, LINEAR, SOUP = "geodesic", "linear", "soup"
BASE_METHODS = ("task_arithmetic", "ties", "dare", "della")  # these need the model that both parents were trained from
# The rows of a table; slerp and DARE only on request
METHODS = (CHAT, CHIP, LINEAR, SOUP, "task_arithmetic", "ties", "della", GEODESIC)
KNOWN_METHODS = (*METHODS, "slerp", "dare")
CURVES = (GEODESIC, LINEAR)  # what a sweep can draw along lam
SOUP_LAM = 0.5  # by its definition
# In a plan for people: the hashes of files matter to the figures, their places do not
REPORTED_ONLY = ("questions", "documents", "asked", "left_out")


@dataclass(frozen=True)
class Row:
    """A model: its name in the API and in every report, and how it is merged."""

    name: str
    method: str
    lam: float


@dataclass(frozen=True)
class Cell:
    """An evaluation of each row.

    `evaluation` is the name behind `chipalign eval`, `options` are the command's options besides files and URL.

    `questions` is the file that the questions come from, `asked` their number; the hash is of those alone. `searched`
    is "corpus" or "index" if the evaluation searches documents, else "".
    """

    name: str
    evaluation: str
    questions: str
    asked: int
    asked_sha256: str
    options: tuple[str, ...] = ()
    searched: str = ""
    documents: str = ""
    documents_sha256: str = ""


@dataclass(frozen=True)
class Plan:
    """An experiment.

    parents: "chip", "chat" and perhaps "base", each with model, adapter and fingerprint; decisions: the keys of a
    recipe's [merge] that hold for every row; left_out: what is not measured, a sentence each.
    """

    experiment: str
    parents: Mapping[str, Mapping[str, str]]
    decisions: Mapping[str, Any]
    rows: tuple[Row, ...]
    cells: tuple[Cell, ...]
    left_out: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """The plan as plain values for JSON, rows and cells by name."""
        named = {
            "rows": {row.name: asdict(row) for row in self.rows},
            "cells": {cell.name: asdict(cell) for cell in self.cells},
        }
        document: dict[str, Any] = json.loads(json.dumps({**asdict(self), **named}))
        return document


def table_rows(methods: Sequence[str], lam: float) -> tuple[Row, ...]:
    """One row per method, all at the same lam except the parents and the soup."""
    return tuple(
        _parent(name) if name in PARENTS else Row(name, name, SOUP_LAM if name == SOUP else lam)
        for name in dict.fromkeys(methods)
    )


def sweep_rows(lams: Sequence[float], methods: Sequence[str] = CURVES) -> tuple[Row, ...]:
    """The parents, which are the ends of every curve, and a row of each method for each lam between them."""
    inner = [lam for lam in sorted(set(lams)) if 0 < lam < 1]
    return (
        _parent(CHAT),
        _parent(CHIP),
        *(Row(f"{method}-{lam:g}", method, lam) for lam in inner for method in methods),
    )


def _parent(name: str) -> Row:
    return Row(name, GEODESIC, PARENTS[name])


def parse_methods(text: str | None, has_base: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The rows of a table, and what is left out and why. Without `text`: all of METHODS that can be made.

    Raises ExperimentUnusable: a method is unknown, or was named and needs a base model that is missing.
    """
    names = METHODS if text is None else tuple(name.strip() for name in text.split(",") if name.strip())
    if unknown := [name for name in names if name not in KNOWN_METHODS]:
        raise ExperimentUnusable(f"--methods names {', '.join(unknown)}: the rows are {', '.join(KNOWN_METHODS)}")
    if not names:
        raise ExperimentUnusable(f"--methods names no row: give some of {', '.join(KNOWN_METHODS)}")
    baseless = tuple(name for name in names if name in BASE_METHODS and not has_base)
    if baseless and text is not None:
        raise ExperimentUnusable(
            f"{', '.join(baseless)} need the model that both parents were trained from: give it with --base"
        )
    left_out = (
        (f"{', '.join(baseless)}: they need --base, the model that both parents were trained from",) if baseless else ()
    )
    return tuple(name for name in names if name not in baseless), left_out


def parse_lams(text: str) -> list[float]:
    """The numbers of `0,0.1,1`. Raises ExperimentUnusable: one is not a number from 0 to 1."""
    try:
        lams = [float(part) for part in text.split(",")]
    except ValueError:
        lams = []
    if not lams or not all(0 <= lam <= 1 for lam in lams):  # also false for nan
        raise ExperimentUnusable(
            f"--lams is {text!r}: give numbers from 0, the chat model, to 1, the chip model, with commas between"
        )
    return lams


def write_recipe(plan: Plan, row: Row) -> str:
    """The recipe of a row as TOML. A soup's has no lam, which `chipalign merge` would refuse."""
    merge = {**plan.decisions, "method": row.method, "name": row.name} | (
        {} if row.method == SOUP else {"lam": row.lam}
    )
    tables = {"merge": merge} | {
        side: {key: parent[key] for key in ("model", "adapter") if key in parent}
        for side, parent in plan.parents.items()
        if side != "base" or row.method in BASE_METHODS
    }
    # A JSON string, number or list of strings is valid TOML too.
    lines = [
        [f"[{name}]", *(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in table.items())]
        for name, table in tables.items()
    ]
    return "\n\n".join("\n".join(table) for table in lines) + "\n"


def cell_arguments(cell: Cell, row: Row, folder: Path, url: str, concurrency: int) -> list[str]:
    """The arguments of `chipalign` that measure a row; `folder` is the experiment's."""
    arguments = [
        "eval",
        cell.evaluation,
        "--prompts" if cell.evaluation == "ifeval" else "--questions",
        str(question_file(folder, cell)),
    ]
    if cell.searched:
        arguments += [f"--{cell.searched}", cell.documents]
    arguments += [*cell.options, "--url", url, "--model", row.name, "--concurrency", str(concurrency)]
    return [*arguments, "--answers", str(answers_file(folder, row, cell))]


def question_file(folder: Path, cell: Cell) -> Path:
    """The questions for every row; the cells of one evaluation share them."""
    return folder / "questions" / f"{cell.evaluation}.jsonl"


def answers_file(folder: Path, row: Row, cell: Cell) -> Path:
    """Where a row's answers are kept as they come."""
    return folder / "results" / row.name / f"{cell.name}.answers.jsonl"


def result_file(folder: Path, row: Row, cell: Cell) -> Path:
    """The file of a finished cell: it exists if, and only if, the cell need not be measured again."""
    return folder / "results" / row.name / f"{cell.name}.json"


def model_file(folder: Path, row: Row) -> Path:
    """The facts about a row's model: its merge, and how long merge and engine took to be ready."""
    return folder / "results" / row.name / "model.json"


def find_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The differences between two plans (`Plan.describe`), such as "rows.soup.lam was 0.5 and is not there".

    Empty if both measure the same.
    """
    old, new = dict(_flatten(before)), dict(_flatten(now))
    return [
        f"{name} {_describe_value(old, name, 'was')} and {_describe_value(new, name, 'is')}"
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    ]


def _describe_value(values: Mapping[str, Any], name: str, verb: str) -> str:
    return f"{verb} {values[name]!r}" if name in values else f"{verb} not there"


def _flatten(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if key in REPORTED_ONLY:
            continue
        if isinstance(item, Mapping):
            yield from _flatten(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", item
