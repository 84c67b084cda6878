"""What a merge has finished so far, kept in the folder that it writes, so that a merge that was killed can be taken up again.

One line of JSON per finished tensor, the first line for what is being merged. A line is written after its tensor, in one call; what a
dying process leaves half-written is no valid line and is dropped. It decides nothing about tensors: whether their bytes are really there
is checked by their sha256 (merge.merger), because a machine that lost its power may have kept the line and not the bytes.

    with Journal.open(folder, key) as journal:
        journal.add(result)
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from merge.geodesic import TensorResult

JOURNAL = ".journal.jsonl"


class Journal:
    """Finished tensors of one merge; a context manager that closes the file and leaves it where it is."""

    def __init__(self, path: Path, done: Mapping[str, TensorResult]) -> None:
        self.path = path
        self.done = done  # by tensor name, as an earlier run left them
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    @classmethod
    def open(cls, folder: Path, key: str) -> Journal:
        """The journal of the merge that `key` stands for. Without one of that very merge it is new and knows of nothing finished."""
        path = folder / JOURNAL
        done = read_finished(path, key)
        text = "".join(_to_line(asdict(result)) for result in done.values())  # a half-written line must not stand before the next
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
    results = [TensorResult(**{**line, "shape": tuple(line["shape"])}) for line in lines[1:]]
    return {result.name: result for result in results}


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a journal, up to the first that is not."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    lines = []
    for line in text.splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            break
    return lines


def _to_line(values: Mapping[str, Any]) -> str:
    return json.dumps(values) + "\n"
