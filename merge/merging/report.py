"""merge_report.json: what a merged checkpoint was made from, how, and the result for each tensor.

The same merge writes the same bytes: the report holds no date, duration or path of the machine. A finished output is
recognised by it, by content and never by time.

    report = MergeReport(recipe, parents, tensors, files)
    (folder / REPORT).write_text(report.to_json())
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from merge.arithmetic.geodesic import TensorResult
from merge.errors import MergeError
from merge.merging.vocabularies import VOCABULARY_TENSORS
from merge.models.checkpoint import read_json_object
from merge.models.parents import Parent, Parents
from merge.models.vocabulary import RowMap
from merge.recipe import Recipe

REPORT = "merge_report.json"
FORMAT = 7  # raised when the same recipe and parents give other bytes: older outputs are then merged anew
READABLE = (6, FORMAT)  # formats that can be verified; 6 has SHA-256
KIND = "chipalign merge report"
VERSIONS_OF = ("chipalign", "numpy", "ml_dtypes", "numba", "torch", "safetensors", "transformers")


@dataclass(frozen=True)
class OutputFile:
    """One file of the merged checkpoint.

    A file of weights has the BLAKE3 of its header here, and of each tensor in `tensors`. Together they cover every
    byte; unlike one sum over the file, they can be computed in parallel and resumed after a kill.
    """

    bytes: int
    blake3: str | None = None
    header_blake3: str | None = None

    def values(self) -> dict[str, Any]:
        """As in the report: the size, and the one hash that it has."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class ThetaSummary:
    """The angles of all tensors that have one, in degrees."""

    median: float
    max: float
    max_tensor: str


@dataclass(frozen=True)
class MergeReport:
    """One finished merge; `tensors` are in the order of their names."""

    recipe: Recipe
    parents: Parents
    tensors: tuple[TensorResult, ...]
    files: Mapping[str, OutputFile]
    rows: RowMap | None = None  # where the parents' vocabularies are not the same
    code: tuple[str, ...] = ()  # files whose originals name a parent's own Python code, which is left out
    left: tuple[str, ...] = ()  # files of the chat parent that are not in the output
    dtypes: Mapping[str, int] = field(default_factory=dict)  # tensors by dtype, that of most elements first

    @property
    def theta(self) -> ThetaSummary | None:
        """The summary of the angles; None if no tensor has one."""
        angled = [(math.degrees(t.theta), t.name) for t in self.tensors if t.theta is not None]
        if not angled:
            return None
        largest, name = max(angled)
        return ThetaSummary(median(theta for theta, _ in angled), largest, name)

    @property
    def combined(self) -> int:
        """Elements of the output that are made of both parents' numbers.

        The others are one parent's: tensors that were copied, those at lam = 0 or 1 of the methods that go from one
        parent to the other, and rows of tokens that only one vocabulary has.
        """
        ends = () if self.recipe.uses_base or self.recipe.more else (0.0, 1.0)
        return sum(_count_shared(t, self.rows) for t in self.tensors if t.branch != "copied" and t.lam not in ends)

    def summary(self) -> dict[str, Any]:
        """The totals: what the command prints."""
        return {
            "tensors": len(self.tensors),
            "parameters": sum(math.prod(t.shape) for t in self.tensors),
            "combined": self.combined,
            "dtype": next(iter(self.dtypes), self.recipe.dtype),
            "dtypes": dict(self.dtypes),
            "bytes": sum(file.bytes for file in self.files.values()),
            "branches": dict(sorted(Counter(t.branch for t in self.tensors).items())),
            "theta_degrees": asdict(self.theta) if self.theta else None,
        }

    def to_json(self) -> str:
        """The text of merge_report.json. Angles are in radians per tensor, in degrees in the totals."""
        document = {
            "kind": KIND,
            "format": FORMAT,
            "versions": find_versions(),
            "recipe": self.recipe.values(),
            "parents": describe_parents(self.parents),
            "vocabulary": self.rows.count() if self.rows else None,
            "code_left_out": list(self.code),
            "files_left_out": list(self.left),
            "totals": self.summary(),
            "files": {name: file.values() for name, file in sorted(self.files.items())},
            "tensors": [asdict(tensor) for tensor in self.tensors],
        }
        return json.dumps(document, indent=1) + "\n"


def _count_shared(tensor: TensorResult, rows: RowMap | None) -> int:
    by_row = rows is not None and bool(VOCABULARY_TENSORS.fullmatch(tensor.name))
    return math.prod(tensor.shape[1:]) * rows.shared if rows is not None and by_row else math.prod(tensor.shape)


def describe_combined(totals: Mapping[str, Any]) -> str:
    """Which part of a merge is made of both parents, as a sentence; empty where all of it is."""
    combined, parameters = totals["combined"], totals["parameters"]
    if combined == parameters:
        return ""
    share = f"{combined / parameters:.1%} of the weights were combined" if combined else "No weights were combined"
    return (
        f"{share}; the others are one parent's, as the recipe says."
        if combined
        else f"{share}: each is one parent's, as the recipe says."
    )


def describe_dtypes(totals: Mapping[str, Any]) -> str:
    """The dtype of a merge, and of what tensors it has beside it."""
    others = [f"{count} in {name}" for name, count in list(totals["dtypes"].items())[1:]]
    return f"{totals['dtype']} ({', '.join(others)})" if others else str(totals["dtype"])


def describe_parents(parents: Parents) -> dict[str, dict[str, Any]]:
    """The parents as in the report, by side."""
    return {side: _describe(parent) for side, parent in parents.by_side().items()}


def _describe(parent: Parent) -> dict[str, Any]:
    described: dict[str, Any] = {
        "ref": parent.ref,
        "revision": parent.revision,
        "licence": parent.licence,
        "blake3": parent.blake3,
        "files": dict(parent.files),
    }
    if parent.adapters:
        adapters = [_describe(adapter) for adapter in parent.adapters]
        described["adapter"] = adapters if len(adapters) > 1 else adapters[0]
    return described


def list_adapters(parent: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The adapters of a parent in a report, in their order."""
    adapter = parent.get("adapter", [])
    return adapter if isinstance(adapter, list) else [adapter]


def find_versions() -> dict[str, str]:
    """The installed versions of the packages that a merge uses."""
    versions = {}
    for name in VERSIONS_OF:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def read_report(folder: Path) -> dict[str, Any] | None:
    """The report of a merged checkpoint; None if the folder holds no checkpoint of ours."""
    try:
        document = read_json_object(folder / REPORT)
    except MergeError:
        return None
    return document if document.get("kind") == KIND else None


def find_key(recipe: Recipe, parents: Parents, shard_bytes: int) -> str:
    """One sha256 for all that decides the bytes of a merge: recipe, contents of the parents, layout, versions."""
    decided = {
        "format": FORMAT,
        "versions": find_versions(),
        "recipe": recipe.values(),
        "parents": {side: _content(described) for side, described in describe_parents(parents).items()},
        "shard_bytes": shard_bytes,
    }
    return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()


def is_same_merge(document: Mapping[str, Any], recipe: Recipe, parents: Parents, folder: Path) -> bool:
    """Whether `folder`, whose report is `document`, is what this merge would make.

    It compares the recipe, the contents of the parents and the sizes of all files.
    """
    if (
        document.get("format") != FORMAT
        or document.get("recipe") != recipe.values()
        or not _are_totals(document.get("totals"))
    ):
        return False
    theirs, ours = document.get("parents"), describe_parents(parents)
    if not isinstance(theirs, dict) or not isinstance(document.get("files"), dict):
        return False
    if any(_content(theirs.get(side)) != _content(ours.get(side)) for side in theirs.keys() | ours.keys()):
        return False
    files: Mapping[str, Any] = document["files"]
    return bool(files) and all(
        isinstance(file, dict) and _size(folder / name) == file.get("bytes") for name, file in files.items()
    )


def _are_totals(totals: Any) -> bool:
    """Whether these are the totals of a report, which are shown again where the merge already exists."""
    if not isinstance(totals, dict) or any(
        type(totals.get(key)) is not int for key in ("tensors", "parameters", "combined", "bytes")
    ):
        return False
    if not isinstance(totals.get("dtype"), str) or not isinstance(totals.get("dtypes"), dict):
        return False
    theta = totals.get("theta_degrees", 0)
    return theta is None or (
        isinstance(theta, dict) and all(isinstance(theta.get(key), float) for key in ("median", "max"))
    )


def _content(parent: Any) -> tuple[Any, Any]:
    if not isinstance(parent, dict):
        return (None, None)
    adapters = list_adapters(parent)
    return (parent.get("blake3"), [each.get("blake3") if isinstance(each, dict) else each for each in adapters])


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None
