"""Reads and checks an experiment's inputs before anything runs: parents, questions, documents.

Every row gets the same questions, which are copied into the experiment's folder: with a limit, a sample of the file,
drawn with a fixed seed. It asks nobody and starts nothing.

    models = {"chip": {"model": "models/chip"}, "chat": {"model": "models/chat"}}
    parents, decisions = find_parents(None, models, Path.cwd())
    lines = sample(read_lines(Path("dev.jsonl")), 100)
"""

from __future__ import annotations

import hashlib
import json
import random
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from rag.errors import reason_of
from serve.errors import ExperimentUnusable

Tables = dict[str, dict[str, str]]
SIDES = ("chip", "chat", "base")
PACKAGE = "package:"
OF_A_ROW = ("method", "lam", "name")  # keys of a recipe's [merge] that each row sets itself
# The files that identify a model folder
CONTENT = ("*.safetensors", "*.gguf", "adapter_config.json", "config.json", "tokenizer.json")
SEED = 0  # for every sample


def find_parents(
    recipe: Path | None, given: Mapping[str, Mapping[str, str]], here: Path
) -> tuple[Tables, dict[str, Any]]:
    """The parents, with absolute paths and their fingerprints, and the recipe's decisions.

    given: the options' values, by side; a side of a recipe cannot be given twice.

    Raises ExperimentUnusable: the recipe cannot be used, or a parent is missing or given twice.
    """
    tables: Mapping[str, Any] = {} if recipe is None else _read_recipe(recipe)
    named = {side: parent for side, parent in given.items() if parent}
    if twice := [side for side in named if side in tables]:
        raise ExperimentUnusable(
            f"{recipe} names the {', '.join(twice)} model already: give a recipe or options, not both"
        )
    places = {side: (tables[side], recipe.absolute().parent) for side in SIDES if recipe is not None and side in tables}
    places |= {side: (parent, here) for side, parent in named.items()}
    missing = [
        option
        for side, option in (("chip", "--chip"), ("chat", "--instruct"))
        if "model" not in places.get(side, ({}, here))[0]
    ]
    if missing:
        raise ExperimentUnusable(
            f"{' and '.join(missing)} missing: give both parents, or a recipe file such as data/recipes/demo.toml"
        )
    parents = {side: _find_parent(*places[side]) for side in SIDES if side in places}
    return parents, {key: value for key, value in tables.get("merge", {}).items() if key not in OF_A_ROW}


def _read_recipe(path: Path) -> Mapping[str, Any]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ExperimentUnusable(
            f"{path} cannot be read as a recipe ({reason_of(error)}): name a TOML file such as data/recipes/demo.toml"
        ) from None
    if decided := [name for name in ("schedule", "parameters") if name in tables]:
        raise ExperimentUnusable(
            f"{path} has [{'] and ['.join(decided)}], which would decide what the rows compare: leave it out"
        )
    if broken := [name for name in (*SIDES, "merge") if not isinstance(tables.get(name, {}), dict)]:
        raise ExperimentUnusable(f"{path}: [{'] and ['.join(broken)}] must be tables, as in data/recipes/demo.toml")
    if unread := [side for side in SIDES if not all(isinstance(ref, str) for ref in tables.get(side, {}).values())]:
        raise ExperimentUnusable(
            f"{path}: [{'] and ['.join(unread)}] hold something that is not text: give model and adapter as texts"
        )
    return tables


def _find_parent(parent: Mapping[str, str], here: Path) -> dict[str, str]:
    found = {
        key: str(here / Path(ref).expanduser()) if (here / Path(ref).expanduser()).exists() else ref
        for key, ref in parent.items()
    }
    return found | {f"{key}_content": fingerprint(ref) for key, ref in found.items()}


def fingerprint(ref: str) -> str:
    """What identifies the content behind a reference: a hash of its files, a package's version, or the hub id."""
    if ref.startswith(PACKAGE):
        try:
            return f"version {metadata.version(ref.removeprefix(PACKAGE))}"
        except (metadata.PackageNotFoundError, ValueError):
            return ref  # the merge reports how to get it
    path = Path(ref)
    files = [path] if path.is_file() else sorted({file for pattern in CONTENT for file in path.glob(pattern)})
    if not files:
        return ref
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as handle:
            digest.update(f"{file.name} {hashlib.file_digest(handle, 'sha256').hexdigest()}\n".encode())
    return f"sha256 {digest.hexdigest()}"


def read_lines(path: Path) -> list[str]:
    """The lines of a JSONL file that hold an object to ask.

    It omits questions that no document answers: they have no answer to measure by.

    Raises ExperimentUnusable: the file is missing, a line is not a JSON object, or nothing is left to ask.
    """
    try:
        lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ExperimentUnusable(
            f"{path} cannot be read ({reason_of(error)}): name a file with one JSON object a line"
        ) from None
    asked = [line for number, line in enumerate(lines, start=1) if _parse(path, number, line).get("answerable", True)]
    if not asked:
        raise ExperimentUnusable(f"{path} holds nothing to ask: name a file with one JSON object a line")
    return asked


def _parse(path: Path, number: int, line: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, dict):
        raise ExperimentUnusable(f"{path}, line {number}, is not a JSON object: mend or remove it")
    return row


def sample(lines: Sequence[str], limit: int | None) -> list[str]:
    """At most `limit` of the lines, in order: a sample, since a file's first lines may be of one kind.

    A larger one holds the smaller ones.
    """
    numbers = list(range(len(lines)))
    random.Random(SEED).shuffle(numbers)
    return [lines[number] for number in sorted(numbers[:limit])]


def join_lines(lines: Iterable[str]) -> bytes:
    """Lines as the content of a file."""
    return "".join(f"{line}\n" for line in lines).encode("utf-8")


def questions_from_choices(lines: Sequence[str], has: Callable[[str], bool]) -> list[str]:
    """Multiple-choice questions with a source, as questions about documents.

    The right choice becomes the reference answer, the source the passage. has: whether documents of a collection exist;
    questions about others are left out.
    """
    questions = []
    for row in map(json.loads, lines):
        collection, _, path = row.get("source", {}).get("document", "").partition("/")
        if path and has(collection):
            reference = {"collection": collection, "path": path, "heading": row["source"].get("heading", "")}
            asked = {
                "id": row["id"],
                "kind": row["domain"],
                "question": row["question"],
                "answer": row["choices"][row["answer"]],
            }
            questions.append(json.dumps({**asked, "references": [reference]}, ensure_ascii=False))
    return questions
