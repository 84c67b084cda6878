"""What a merge has finished so far, kept in its output folder, so that a killed merge can resume.

It has one line of JSON per finished tensor; the first line says what is being merged. A line is written after its
tensor, in one call; a half-written line of a dying process is invalid and dropped. The journal decides nothing about
tensors: merge.merging.merger checks their bytes by BLAKE3, because a machine that lost power may have kept the line and
not the bytes.

    with Journal.open(folder, key) as journal:
        journal.add(result)
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from merge.arithmetic.geodesic import TensorResult
from merge.errors import MergeError
from merge.models.checkpoint import read_bytes

JOURNAL = ".journal.jsonl"
FIELDS = {field.name for field in fields(TensorResult)}


class Journal:
    """Finished tensors of one merge; a context manager that closes the file and leaves it in place."""

    def __init__(self, path: Path, done: Mapping[str, TensorResult]) -> None:
        self.path = path
        self.done = done  # by tensor name, as an earlier run left them
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    @classmethod
    def open(cls, folder: Path, key: str) -> Journal:
        """The journal of the merge that `key` stands for.

        Without one of this very merge, it is new and empty.
        """
        path = folder / JOURNAL
        done = read_finished(path, key)
        path.unlink(missing_ok=True)  # also a link or a pipe: we write a file of our own
        # The next line must not continue a half-written one
        text = "".join(_to_line(asdict(result)) for result in done.values())
        path.write_text(_to_line({"key": key}) + text, encoding="utf-8")
        return cls(path, done)

    def add(self, result: TensorResult) -> None:
        """Record that all of a tensor's bytes are written."""
        os.write(self._fd, _to_line(asdict(result)).encode())

    def remove(self) -> None:
        """Remove the journal of a merge that is whole."""
        self.path.unlink()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exc_info: object) -> None:
        os.close(self._fd)


def is_taken_up(folder: Path, key: str) -> bool:
    """Whether `folder` holds the beginning of the merge that `key` stands for."""
    return bool(read_lines(folder / JOURNAL)[:1] == [{"key": key}])


def read_finished(path: Path, key: str) -> dict[str, TensorResult]:
    """The finished tensors by name; empty if the file is missing or of another merge."""
    lines = read_lines(path)
    if lines[:1] != [{"key": key}]:
        return {}
    found: dict[str, TensorResult] = {}
    for line in lines[1:]:
        if (result := parse_result(line)) is None:
            break
        found[result.name] = result
    return found


def parse_result(line: Mapping[str, Any]) -> TensorResult | None:
    """The result that a line was written from; None if it is something else."""
    numbers = [line.get(key) for key in ("chip_norm", "chat_norm", "merged_norm", "lam")]
    shape, theta = line.get("shape"), line.get("theta")
    are_numbers = all(type(number) is float for number in numbers) and (theta is None or type(theta) is float)
    are_texts = all(isinstance(line.get(key), str) for key in ("name", "branch", "blake3"))
    if line.keys() != FIELDS or not are_numbers or not are_texts:
        return None
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        return None
    return TensorResult(**{**line, "shape": tuple(shape)})


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a journal, up to the first that is not an object.

    Empty where the file is missing, or is not a plain file.
    """
    try:
        text = read_bytes(path).decode("utf-8", errors="replace")
    except MergeError:
        return []
    lines: list[dict[str, Any]] = []
    for line in text.split("\n"):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(value, dict):
            break
        lines.append(value)
    return lines


def _to_line(values: Mapping[str, Any]) -> str:
    return json.dumps(values) + "\n"
