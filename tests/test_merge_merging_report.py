"""The report's totals, and how a finished output is distinguished from another."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from merge.arithmetic.geodesic import TensorResult
from merge.merging.report import REPORT, MergeReport, OutputFile, find_versions, is_same_merge, read_report
from merge.models.parents import Parent, Parents
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
