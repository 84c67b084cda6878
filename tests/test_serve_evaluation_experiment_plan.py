"""What a comparison consists of: rows, recipes, commands, and when two plans measure the same."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merge.recipe import BASE_METHODS, METHODS
from merge.recipe_file import parse_recipe
from serve.errors import ExperimentUnusable
from serve.evaluation.experiment import plan as experiment
from serve.evaluation.experiment.plan import (
    Cell,
    Plan,
    Row,
    answers_file,
    cell_arguments,
    find_changes,
    parse_lams,
    parse_methods,
    question_file,
    result_file,
    sweep_rows,
    table_rows,
    write_recipe,
)
from tests.rows import for_each

CELLS = (
    Cell("qa_golden", "qa", "/q.jsonl", 4, "aa", ("--context", "golden"), "corpus", "/chunks.json", "bb"),
    Cell("ifeval", "ifeval", "/p.jsonl", 3, "cc", ("--max-tokens", "9")),
)
PARENTS = {
    "chip": {"model": "/models/chip", "adapter": "org/adapter"},
    "chat": {"model": "package:llm"},
    "base": {"model": "org/base"},
}


def make_plan(**changes: object) -> Plan:
    plan = Plan(
        "table",
        PARENTS,
        {"vocab": "union", "exclude": ["*norm*"]},
        table_rows(["chat", "chip", "soup", "ties", "geodesic"], 0.3),
        CELLS,
    )
    return dataclasses.replace(plan, **changes)  # type: ignore[arg-type]


def test_a_parent_is_the_geodesic_merge_at_its_end_and_a_soup_has_its_own_lam() -> None:
    rows = make_plan().rows
    assert [(row.name, row.method, row.lam) for row in rows] == [
        ("chat", "geodesic", 0.0),
        ("chip", "geodesic", 1.0),
        ("soup", "soup", 0.5),
        ("ties", "ties", 0.3),
        ("geodesic", "geodesic", 0.3),
    ]


def test_a_method_named_twice_is_one_row() -> None:
    assert [row.name for row in table_rows(["linear", "chat", "linear"], 0.6)] == ["linear", "chat"]


def test_a_sweep_has_the_parents_once_and_both_methods_between_them() -> None:
    rows = sweep_rows([1, 0, 0.5, 0.25, 0.5])
    assert [row.name for row in rows] == ["chat", "chip", "geodesic-0.25", "linear-0.25", "geodesic-0.5", "linear-0.5"]
    assert [row.lam for row in rows] == [0, 1, 0.25, 0.25, 0.5, 0.5]


def test_a_sweep_may_have_one_curve() -> None:
    assert [row.name for row in sweep_rows([0, 0.5], ["linear"])] == ["chat", "chip", "linear-0.5"]


def test_the_methods_are_those_of_merge() -> None:
    assert set(experiment.KNOWN_METHODS) - {"chat", "chip"} == set(METHODS)
    assert experiment.BASE_METHODS == BASE_METHODS


@for_each("row", [*make_plan().rows, Row("geodesic-0.1", "geodesic", 0.1)])
def test_every_recipe_is_one_that_merge_takes(row: Row, tmp_path: Path) -> None:
    recipe = parse_recipe(tomllib.loads(write_recipe(make_plan(), row)), tmp_path, "test")
    assert (recipe.method, recipe.lam if row.method != "soup" else 0.5, recipe.name) == (row.method, row.lam, row.name)
    assert (recipe.vocab, recipe.exclude) == ("union", ("*norm*",))
    assert (recipe.chip.model, recipe.chip.adapter, recipe.chat.model) == ("/models/chip", "org/adapter", "package:llm")
    assert (recipe.base_model is not None) == (row.method in BASE_METHODS)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x7f"), min_size=1))
def test_any_name_of_a_folder_survives_in_a_recipe(name: str) -> None:
    plan = make_plan(parents={"chip": {"model": name}, "chat": {"model": "c"}})
    assert tomllib.loads(write_recipe(plan, plan.rows[0]))["chip"]["model"] == name


def test_without_a_list_what_needs_a_base_is_left_out_and_reported() -> None:
    methods, left_out = parse_methods(None, has_base=False)
    assert methods == ("chat", "chip", "linear", "soup", "geodesic")
    assert left_out == (
        "task_arithmetic, ties, della: they need --base, the model that both parents were trained from",
    )
    assert parse_methods(None, has_base=True) == (experiment.METHODS, ())


@for_each(
    ("text", "has_base", "message"),
    [
        ("chat,spherical", True, "spherical: the rows are chat"),
        ("ties,chat", False, "ties need .* --base"),
        (" , ", True, "names no row"),
    ],
)
def test_rows_that_cannot_be_are_refused(text: str, has_base: bool, message: str) -> None:
    with pytest.raises(ExperimentUnusable, match=message):
        parse_methods(text, has_base)


@for_each("text", ["", "a", "0,1.1", "nan", "0;1", "-0.1", "0,,1"])
def test_lams_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ExperimentUnusable, match="--lams"):
        parse_lams(text)


def test_lams_are_numbers_with_commas() -> None:
    assert parse_lams("0, .5,1") == [0.0, 0.5, 1.0]


def test_a_cell_becomes_the_users_own_command() -> None:
    row, folder = Row("soup", "soup", 0.5), Path("/e")
    golden, ifeval = (cell_arguments(cell, row, folder, "http://u", 8) for cell in CELLS)
    assert golden == [
        *("eval", "qa", "--questions", "/e/questions/qa.jsonl", "--corpus", "/chunks.json", "--context", "golden"),
        *(
            "--url",
            "http://u",
            "--model",
            "soup",
            "--concurrency",
            "8",
            "--answers",
            "/e/results/soup/qa_golden.answers.jsonl",
        ),
    ]
    assert ifeval[:6] == ["eval", "ifeval", "--prompts", "/e/questions/ifeval.jsonl", "--max-tokens", "9"]


def test_files_of_different_cells_differ_and_those_of_one_evaluation_share_questions() -> None:
    row, folder = Row("soup", "soup", 0.5), Path("/e")
    retrieved = dataclasses.replace(CELLS[0], name="qa_retrieved")
    assert question_file(folder, retrieved) == question_file(folder, CELLS[0])
    places = [place(folder, row, cell) for cell in (*CELLS, retrieved) for place in (result_file, answers_file)]
    assert len(set(places)) == 6


def test_equal_plans_have_no_changes_wherever_their_files_lie() -> None:
    moved = tuple(dataclasses.replace(cell, questions="/elsewhere", documents="/elsewhere") for cell in CELLS)
    assert find_changes(make_plan().describe(), make_plan(cells=moved, left_out=("mcq",)).describe()) == []


def test_every_change_is_named_with_both_values() -> None:
    other = make_plan(
        rows=table_rows(["chat", "chip", "soup", "ties", "geodesic"], 0.6)[:4],
        cells=(
            dataclasses.replace(CELLS[0], options=("--context", "golden", "--max-tokens", "7")),
            dataclasses.replace(CELLS[1], asked_sha256="dd"),
        ),
        parents={**PARENTS, "chip": {"model": "/models/chip", "adapter": "org/adapter@2"}},
    )
    changes = find_changes(make_plan().describe(), other.describe())
    assert changes == [
        "parents.chip.adapter was 'org/adapter' and is 'org/adapter@2'",
        "rows.ties.lam was 0.3 and is 0.6",
        "rows.geodesic.name was 'geodesic' and is not there",
        "rows.geodesic.method was 'geodesic' and is not there",
        "rows.geodesic.lam was 0.3 and is not there",
        "cells.qa_golden.options was ['--context', 'golden'] and is ['--context', 'golden', '--max-tokens', '7']",
        "cells.ifeval.asked_sha256 was 'cc' and is 'dd'",
    ]
