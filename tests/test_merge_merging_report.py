"""The report's totals, and how a finished output is distinguished from another."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merge.arithmetic.geodesic import TensorResult
from merge.merging.report import (
    REPORT,
    MergeReport,
    OutputFile,
    describe_combined,
    describe_dtypes,
    describe_parents,
    find_key,
    find_versions,
    is_same_merge,
    list_adapters,
    read_report,
)
from merge.models.parents import Parent, Parents
from merge.models.vocabulary import RowMap, RowRun
from merge.recipe import ParentRef, Recipe
from tests.rows import for_each

RECIPE = Recipe(ParentRef("chip"), ParentRef("chat"), base=Path())
ADAPTER = Parent("adapter", Path("a"), "cc", {"adapter_model.safetensors": "c1"})
CHIP = Parent("chip", Path("c"), "aa", {"model.safetensors": "a1"}, licence="mit", adapters=(ADAPTER,))
CHAT = Parent("chat", Path("i"), "bb", {"model.safetensors": "b1"}, revision="v1")
PARENTS = Parents(CHIP, CHAT)


def result(name: str, degrees: float | None) -> TensorResult:
    return TensorResult(
        name,
        (2, 3),
        1.0,
        2.0,
        None if degrees is None else math.radians(degrees),
        "zero" if degrees is None else "geodesic",
    )


def make_report(*angles: float | None) -> MergeReport:
    tensors = tuple(result(f"t{number}", angle) for number, angle in enumerate(angles))
    return MergeReport(RECIPE, PARENTS, tensors, {"weights": OutputFile(4, "dd")})


def written(folder: Path, report: MergeReport) -> dict[str, object]:
    (folder / "weights").write_bytes(b"1234")
    (folder / REPORT).write_text(report.to_json())
    document = read_report(folder)
    assert document is not None
    return document


def test_theta_summary_is_in_degrees_and_names_the_largest() -> None:
    theta = make_report(1.0, None, 4.0, 2.0).theta
    assert theta is not None
    assert theta.median == pytest.approx(2.0)
    assert theta.max == pytest.approx(4.0)
    assert theta.max_tensor == "t2"


def test_theta_summary_is_absent_where_no_tensor_has_an_angle() -> None:
    assert make_report(None, None).theta is None
    assert make_report(None).summary()["theta_degrees"] is None


def test_summary_counts_tensors_parameters_bytes_and_branches() -> None:
    summary = make_report(1.0, None).summary()
    assert (summary["tensors"], summary["parameters"], summary["bytes"], summary["branches"]) == (
        2,
        12,
        4,
        {"geodesic": 1, "zero": 1},
    )


def test_json_holds_no_place_and_is_valid_for_strict_readers() -> None:
    text = make_report(1.0, None).to_json()
    document = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert document["parents"]["chip"]["adapter"]["blake3"] == "cc"
    assert document["parents"]["chat"]["revision"] == "v1"
    assert document["tensors"][1]["theta"] is None
    assert str(Path.cwd()) not in text


def test_versions_name_what_is_installed() -> None:
    assert find_versions()["torch"].split(".")[0].isdigit()


def test_a_merge_recognises_its_own_output(tmp_path: Path) -> None:
    document = written(tmp_path, make_report(1.0))
    assert is_same_merge(document, RECIPE, PARENTS, tmp_path)
    assert is_same_merge(document, RECIPE, Parents(replace(CHIP, ref="moved"), CHAT), tmp_path)


def test_other_values_contents_or_sizes_are_another_merge(tmp_path: Path) -> None:
    document = written(tmp_path, make_report(1.0))
    assert not is_same_merge(document, replace(RECIPE, lam=0.5), PARENTS, tmp_path)
    assert not is_same_merge(document, RECIPE, Parents(replace(CHIP, blake3="xx"), CHAT), tmp_path)
    assert not is_same_merge(document, RECIPE, Parents(CHIP, replace(CHAT, blake3="xx")), tmp_path)
    assert not is_same_merge(document, RECIPE, Parents(replace(CHIP, adapters=()), CHAT), tmp_path)
    assert not is_same_merge(document, RECIPE, Parents(CHIP, replace(CHAT, adapters=(ADAPTER,))), tmp_path)
    assert not is_same_merge(document, RECIPE, replace(PARENTS, base=CHAT), tmp_path)
    assert not is_same_merge({**document, "format": 0}, RECIPE, PARENTS, tmp_path)
    assert not is_same_merge({**document, "files": {}}, RECIPE, PARENTS, tmp_path)
    assert not is_same_merge({**document, "parents": {"chip": 3}}, RECIPE, PARENTS, tmp_path)
    (tmp_path / "weights").write_bytes(b"123")
    assert not is_same_merge(document, RECIPE, PARENTS, tmp_path)


@for_each("text", ["", "{", "[]", "{}", '{"kind": "another"}'])
def test_a_folder_without_our_report_is_not_ours(tmp_path: Path, text: str) -> None:
    assert read_report(tmp_path) is None
    (tmp_path / REPORT).write_text(text)
    assert read_report(tmp_path) is None


def make(*tensors: TensorResult, recipe: Recipe = RECIPE, rows: RowMap | None = None) -> MergeReport:
    return MergeReport(recipe, PARENTS, tensors, {"weights": OutputFile(4, "dd")}, rows)


NORM = replace(result("model.norm.weight", 1.0), lam=0.6)
EMBEDDING = replace(NORM, name="model.embed_tokens.weight", shape=(9, 2))
ROWS = RowMap(9, (RowRun(0, 4, 0, 0), RowRun(4, 2, 4, None), RowRun(6, 3, None, 4)))


@for_each(
    ("tensor", "recipe", "combined"),
    [
        (NORM, RECIPE, 6),
        (replace(NORM, branch="copied"), RECIPE, 0),
        (replace(NORM, lam=0.0), RECIPE, 0),
        (replace(NORM, lam=1.0), RECIPE, 0),
        (replace(NORM, lam=1.0), replace(RECIPE, method="ties"), 6),  # lam = 1 is no end where a base is
        (replace(NORM, lam=0.0), replace(RECIPE, more=(ParentRef("third"),)), 6),
        (replace(NORM, shape=()), RECIPE, 1),
        (replace(NORM, shape=(0, 4)), RECIPE, 0),
    ],
)
def test_what_is_made_of_both_parents_is_counted(tensor: TensorResult, recipe: Recipe, combined: int) -> None:
    assert make(tensor, recipe=recipe).combined == combined


def test_of_a_tensor_by_token_only_the_shared_rows_are_of_both_parents() -> None:
    assert make(EMBEDDING, rows=ROWS).combined == 4 * 2
    assert make(replace(EMBEDDING, name="lm_head.bias", shape=(9,)), rows=ROWS).combined == 4
    assert make(NORM, EMBEDDING, rows=ROWS).combined == 6 + 4 * 2
    assert make(EMBEDDING).combined == 18


@for_each(
    ("combined", "parameters", "sentence"),
    [
        (8, 8, ""),
        (0, 0, ""),
        (2, 8, "25.0% of the weights were combined; the others are one parent's, as the recipe says."),
        (0, 8, "No weights were combined: each is one parent's, as the recipe says."),
    ],
)
def test_the_part_of_both_parents_is_a_sentence_where_it_is_not_all(
    combined: int, parameters: int, sentence: str
) -> None:
    assert describe_combined({"combined": combined, "parameters": parameters}) == sentence


@for_each(
    ("dtypes", "text"),
    [
        ({"bfloat16": 9}, "bfloat16"),
        ({}, "bfloat16"),
        ({"bfloat16": 9, "float32": 2, "int64": 1}, "bfloat16 (2 in float32, 1 in int64)"),
    ],
)
def test_the_dtypes_of_a_merge_are_said_with_the_most_common_first(dtypes: dict[str, int], text: str) -> None:
    assert describe_dtypes({"dtype": "bfloat16", "dtypes": dtypes}) == text


def test_a_report_of_no_tensors_has_totals_of_zero(tmp_path: Path) -> None:
    summary = make().summary()
    assert (summary["tensors"], summary["parameters"], summary["combined"], summary["branches"]) == (0, 0, 0, {})
    assert is_same_merge(written(tmp_path, make()), RECIPE, PARENTS, tmp_path)


def test_the_same_merge_writes_the_same_bytes_whatever_the_order_of_its_files() -> None:
    files = {"b": OutputFile(1, header_blake3="h"), "a": OutputFile(2, "s")}
    turned = dict(reversed(files.items()))
    report = MergeReport(RECIPE, PARENTS, (NORM,), files)
    assert report.to_json() == replace(report, files=turned).to_json()
    assert json.loads(report.to_json())["files"] == {
        "a": {"bytes": 2, "blake3": "s"},
        "b": {"bytes": 1, "header_blake3": "h"},
    }


def test_several_adapters_are_a_list_and_one_stands_alone() -> None:
    other = replace(ADAPTER, blake3="dd")
    for adapters, found in (((), []), ((ADAPTER,), ["cc"]), ((ADAPTER, other), ["cc", "dd"])):
        described = describe_parents(Parents(replace(CHIP, adapters=adapters), CHAT))["chip"]
        assert [each["blake3"] for each in list_adapters(described)] == found
        assert json.loads(json.dumps(described)) == described


def test_adapters_in_another_order_are_another_merge(tmp_path: Path) -> None:
    two = (ADAPTER, replace(ADAPTER, blake3="dd"))
    ours = Parents(replace(CHIP, adapters=two), CHAT)
    document = written(tmp_path, replace(make_report(1.0), parents=ours))
    assert is_same_merge(document, RECIPE, ours, tmp_path)
    assert not is_same_merge(document, RECIPE, Parents(replace(CHIP, adapters=two[::-1]), CHAT), tmp_path)
    assert not is_same_merge(document, RECIPE, Parents(replace(CHIP, adapters=two[:1]), CHAT), tmp_path)


@for_each(
    ("key", "value"),
    [
        ("totals", None),
        ("totals", []),
        ("totals.tensors", "1"),
        ("totals.bytes", True),
        ("totals.combined", None),
        ("totals.dtype", 5),
        ("totals.dtypes", []),
        ("totals.theta_degrees", 3),
        ("totals.theta_degrees", {"median": "1", "max": 2.0}),
        ("files.weights", 4),
        ("files.weights", {}),
        ("files.missing", {"bytes": 4}),
        ("files", []),
        ("parents", None),
        ("parents.chip", []),
        ("parents.chip.adapter", "another"),
        ("parents.third", {"blake3": "xx"}),
        ("recipe", None),
        ("format", "6"),
    ],
)
def test_a_report_that_somebody_changed_is_neither_a_merge_of_ours_nor_a_crash(
    tmp_path: Path, key: str, value: Any
) -> None:
    document: Any = json.loads(json.dumps(written(tmp_path, make_report(1.0))))
    assert is_same_merge(document, RECIPE, PARENTS, tmp_path)
    *path, last = key.split(".")
    place = document
    for name in path:
        place = place[name]
    place[last] = value
    assert not is_same_merge(document, RECIPE, PARENTS, tmp_path)


def test_a_key_changes_with_all_that_decides_the_bytes_and_with_nothing_else() -> None:
    key = find_key(RECIPE, PARENTS, 100)
    assert len(key) == 64
    assert key == find_key(RECIPE, Parents(replace(CHIP, ref="moved", licence=None, revision="v9"), CHAT), 100)
    others = [
        find_key(replace(RECIPE, lam=0.5), PARENTS, 100),
        find_key(replace(RECIPE, name="other"), PARENTS, 100),
        find_key(RECIPE, PARENTS, 101),
        find_key(RECIPE, Parents(CHAT, CHIP), 100),
        find_key(RECIPE, Parents(replace(CHIP, adapters=()), CHAT), 100),
        find_key(RECIPE, replace(PARENTS, base=CHAT), 100),
        find_key(RECIPE, replace(PARENTS, more={"third": CHAT}), 100),
    ]
    assert len({key, *others}) == len(others) + 1


@settings(max_examples=30)
@given(st.lists(st.none() | st.floats(0, 180), max_size=6))
def test_the_largest_angle_is_at_least_the_median_and_is_that_of_its_tensor(angles: list[float | None]) -> None:
    report = make_report(*angles)
    known = sorted(angle for angle in angles if angle is not None)
    theta = report.theta
    assert (theta is None) is (not known)
    if theta is not None:
        assert theta.max == pytest.approx(known[-1])
        assert known[0] - 1e-9 <= theta.median <= theta.max
        assert angles[int(theta.max_tensor.removeprefix("t"))] == pytest.approx(theta.max)
