"""The file in which an evaluation keeps its answers while they come, and from which a run that was cut off goes on.

JSON lines: the first tells the evaluation and its settings, each other one is one answer. It knows nothing of what is
asked.

    with AnswersFile.open(path, {"evaluation": "mcq", "model": "demo"}, key="id") as answers: answers.keep({"id": 7, "text": "..."})
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from merge.errors import AnswersUnusable

Row = dict[str, Any]


class AnswersFile:
    """Answers by key, on disk and in memory.

    A line is written at once and whole; what a kill left of a last line is dropped.
    """

    def __init__(self, path: Path, file: BinaryIO, key: str, rows: dict[Any, Row]) -> None:
        self.path = path
        self.rows = rows
        self._file = file
        self._key = key

    @classmethod
    def open(cls, path: Path, settings: Row, key: str, fields: Collection[str] = ()) -> AnswersFile:
        """The file with the answers that it holds, made if it is not there. key: the field that tells answers apart;
        fields: what else each has.

        Raises AnswersUnusable: the file is of other settings, of another program, damaged, in use by another run, or
        cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("a+b")
        except OSError as error:
            raise AnswersUnusable(
                f"{path} cannot be written ({error.strerror or error}): name another file with --answers"
            ) from None
        try:
            _lock(path, file)
            rows = _read(path, file, settings, (key, *fields))
        except BaseException:
            file.close()
            raise
        return cls(path, file, key, rows)

    def keep(self, row: Row) -> None:
        """Add an answer. Raises AnswersUnusable where the disk is full."""
        _write(self.path, self._file, row)
        self.rows[row[self._key]] = row

    def __enter__(self) -> AnswersFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()  # which unlocks it


def _lock(path: Path, file: BinaryIO) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise AnswersUnusable(
            f"{path} is in use by another run: wait for it, or name another file with --answers"
        ) from None
    except OSError:  # a filesystem without locks: two runs at once would ask twice, and the later answer would count
        return


def _read(path: Path, file: BinaryIO, settings: Row, fields: tuple[str, ...]) -> dict[Any, Row]:
    """The answers that the file holds; an empty file gets its first line."""
    file.seek(0)
    content = file.read()
    whole = content[: content.rfind(b"\n") + 1]
    if not whole and not _to_line(settings).startswith(content):  # neither empty nor a first line of ours that was cut
        raise AnswersUnusable(f"{path} is no file of answers: name another one with --answers")
    if len(whole) < len(content):
        file.truncate(len(whole))
    lines = whole.splitlines()
    if not lines:
        _write(path, file, settings)
        return {}
    if not _is_same(lines[0], settings):
        raise AnswersUnusable(
            f"{path} holds answers of {_differences(lines[0], settings)}: name another file with --answers, or "
            "remove it"
        )
    rows: dict[Any, Row] = {}
    for number, line in enumerate(lines[1:], start=2):
        try:
            row = json.loads(line)
            key, *_ = [row[name] for name in fields]
            rows[key] = row
        except (ValueError, KeyError, TypeError):
            raise AnswersUnusable(f"{path}, line {number}, is no answer: remove the line or the file") from None
    return rows


def _is_same(first_line: bytes, settings: Row) -> bool:
    """Whether a file's first line tells these very settings."""
    try:
        return bool(json.loads(first_line) == settings)
    except ValueError:
        return False


def _differences(first_line: bytes, settings: Row) -> str:
    """What the file's settings have otherwise, for a sentence."""
    try:
        held = json.loads(first_line)
    except ValueError:
        held = None
    if not isinstance(held, dict) or "evaluation" not in held:
        return "no evaluation of ours"
    names = [name for name in {**settings, **held} if held.get(name) != settings.get(name)]
    return (
        "other settings (" + ", ".join(f"{name} {held.get(name)!r}, now {settings.get(name)!r}" for name in names) + ")"
    )


def _to_line(row: Row) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


def _write(path: Path, file: BinaryIO, row: Row) -> None:
    try:
        file.write(_to_line(row))
        file.flush()
    except OSError as error:
        raise AnswersUnusable(
            f"{path} cannot be written ({error.strerror or error}): make room and start this again"
        ) from None
