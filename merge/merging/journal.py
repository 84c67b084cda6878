"""What a merge has finished so far, kept in the folder that it writes, so that a merge that was killed can be taken up
again.

One line of JSON per finished tensor, the first line for what is being merged. A line is written after its tensor, in
one call; what a dying process leaves half-written is no valid line and is dropped. It decides nothing about tensors:
whether their bytes are really there is checked by their sha256 (merge.merging.merger), because a machine that lost its
power may have kept the line and not the bytes.

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
    """Finished tensors of one merge; a context manager that closes the file and leaves it where it is."""

    def __init__(self, path: Path, done: Mapping[str, TensorResult]) -> None:
        self.path = path
        self.done = done  # by tensor name, as an earlier run left them
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    @classmethod
    def open(cls, folder: Path, key: str) -> Journal:
        """The journal of the merge that `key` stands for.

        Without one of that very merge it is new and knows of nothing finished.
        """
        path = folder / JOURNAL
        done = read_finished(path, key)
        path.unlink(missing_ok=True)  # also where it is a link or a pipe: what is written is a file of ours
        # A half-written line must not stand before the next
        text = "".join(_to_line(asdict(result)) for result in done.values())
        path.write_text(_to_line({"key": key}) + text, encoding="utf-8")
        return cls(path, done)

    def add(self, result: TensorResult) -> None:
        """A tensor's bytes are all written."""
        os.write(self._fd, _to_line(asdict(result)).encode())

    def remove(self) -> None:
        """The merge is whole: nothing is left to take up."""
        self.path.unlink()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exc_info: object) -> None:
        os.close(self._fd)


def is_taken_up(folder: Path, key: str) -> bool:
    """Whether `folder` holds the beginning of the merge that `key` stands for."""
    return bool(read_lines(folder / JOURNAL)[:1] == [{"key": key}])


def read_finished(path: Path, key: str) -> dict[str, TensorResult]:
    """The finished tensors by name; none if there is no such file or it is of another merge."""
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
    """A line as the result that it was written from; None if it is something else."""
    numbers = [line.get(key) for key in ("chip_norm", "chat_norm", "merged_norm", "lam")]
    shape, theta = line.get("shape"), line.get("theta")
    are_numbers = all(type(number) is float for number in numbers) and (theta is None or type(theta) is float)
    are_texts = all(isinstance(line.get(key), str) for key in ("name", "branch", "sha256"))
    if line.keys() != FIELDS or not are_numbers or not are_texts:
        return None
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        return None
    return TensorResult(**{**line, "shape": tuple(shape)})


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a journal, up to the first that is no object; none where there is no such file, or no plain
    one.
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
