"""The file in which an evaluation keeps its answers as they come, and from which an interrupted run resumes.

JSON lines: the first holds the evaluation and its settings, each other line one answer. It does not know the questions.

    with AnswersFile.open(path, {"evaluation": "mcq", "model": "demo"}, key="id") as answers:
        answers.keep({"id": 7, "text": "..."})
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from serve.evaluation.errors import AnswersUnusable

Row = dict[str, Any]
Check = Callable[[Row], object]  # raises KeyError, TypeError or ValueError if a row is not an answer
SHOWN = 200  # characters of a setting in a message


class AnswersFile:
    """Answers by key, in memory and, if a path is given, on disk.

    `keep` writes a line whole and at once, and the line is on the disk when it returns; `open` drops a last line that a
    kill cut off.
    """

    def __init__(self, path: Path | None, file: BinaryIO | None, key: str, rows: dict[Any, Row]) -> None:
        self.path = path
        self.rows = rows
        self._file = file
        self._key = key

    @classmethod
    def open(
        cls, path: Path | None, settings: Row, key: str, check: Check = lambda row: None, kind: str = ""
    ) -> AnswersFile:
        """The file with the answers that it holds, made if it does not exist; without a path it is in memory alone.

        key: the field that identifies an answer; check: what else makes a row an answer. kind: the name of the format
        whose first line is `{"file": kind, "settings": settings}`; without it the first line is the settings
        themselves, which then name the `evaluation`.

        Raises AnswersUnusable: the file is of other settings (names each with both values), of another program,
        damaged, in use by another run, or cannot be written.
        """
        if path is None:
            return cls(None, None, key, {})
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("a+b")
        except OSError as error:
            raise AnswersUnusable(
                f"{path} cannot be written ({error.strerror or error}): name another file with --answers"
            ) from None
        try:
            _lock(path, file)
            rows = _resume(path, file, settings, key, check, kind)
        except BaseException:
            file.close()
            raise
        return cls(path, file, key, rows)

    def keep(self, row: Row) -> None:
        """Add an answer; the last one of a key counts. Raises AnswersUnusable: it cannot be written."""
        if self.path and self._file:
            _write(self.path, self._file, row)
        self.rows[row[self._key]] = row

    def __enter__(self) -> AnswersFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file:
            self._file.close()  # which unlocks it


def read_answers(path: Path, key: str, check: Check = lambda row: None, kind: str = "") -> tuple[Row, list[Row]]:
    """The settings and answers of a file that another run wrote, without a cut last line; arguments as in `open`.

    Raises AnswersUnusable: the file cannot be read, or is damaged or of another kind.
    """
    first, *lines = _read_lines(path) or [b""]
    settings = _read_settings(first, kind)
    if settings is None:
        raise _foreign(path)
    return settings, list(_parse(path, lines, key, check).values())


def read_rows(path: Path) -> list[Row]:
    """The answers of a file of any kind, as they were kept. Raises AnswersUnusable: it cannot be read."""
    return [json.loads(line) for line in _read_lines(path)[1:]]


def _read_lines(path: Path) -> list[bytes]:
    """The whole lines of a file."""
    try:
        return _split(path.read_bytes())
    except OSError as error:
        raise AnswersUnusable(
            f"{path} cannot be read ({error.strerror or error}): name a file of answers that is there"
        ) from None


def _lock(path: Path, file: BinaryIO) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise AnswersUnusable(
            f"{path} is in use by another run: wait for it, or name another file with --answers"
        ) from None
    except OSError:  # a filesystem without locks: two runs at once would ask twice, and the later answer would count
        return


def _resume(path: Path, file: BinaryIO, settings: Row, key: str, check: Check, kind: str) -> dict[Any, Row]:
    """The answers that the file holds; cuts it after its last whole line, and gives an empty file its first line."""
    first = {"file": kind, "settings": settings} if kind else settings
    file.seek(0)
    content = file.read()
    lines = _split(content)
    if not lines and not _to_line(first).startswith(content):  # neither empty nor a first line of ours that was cut
        raise _foreign(path)
    if not lines:
        file.truncate(0)
        _write(path, file, first)
        return {}

    held = _read_settings(lines[0], kind)
    if held is None:
        raise _foreign(path)
    if changes := _describe_changes(held, json.loads(_to_line(settings))):
        raise AnswersUnusable(
            f"{path} holds answers of other settings ({changes}): name another file with --answers, or remove it"
        )

    rows = _parse(path, lines[1:], key, check)
    file.truncate(content.rfind(b"\n") + 1)
    return rows


def _split(content: bytes) -> list[bytes]:
    """The whole lines; it drops what follows the last line end."""
    return content.split(b"\n")[:-1]


def _read_settings(first: bytes, kind: str) -> Row | None:
    """The settings in a file's first line; None if the file is not of this kind."""
    try:
        row = json.loads(first)
        settings = row["settings"] if kind else row
        is_ours = row["file"] == kind if kind else "evaluation" in row
        return settings if is_ours and isinstance(settings, dict) else None
    except (ValueError, KeyError, TypeError):
        return None


def _foreign(path: Path) -> AnswersUnusable:
    return AnswersUnusable(f"{path} is not a file of answers of this evaluation: name another file with --answers")


def _describe_changes(held: Row, now: Row) -> str:
    """The differences between two settings, for a sentence; "" if they are the same."""
    names = [name for name in {**held, **now} if held.get(name) != now.get(name)]
    return ", ".join(f"{name} was {held.get(name)!r:.{SHOWN}} and is {now.get(name)!r:.{SHOWN}}" for name in names)


def _parse(path: Path, lines: list[bytes], key: str, check: Check) -> dict[Any, Row]:
    """Rows by key; of several answers to one question the last counts. lines: those after the first."""
    rows: dict[Any, Row] = {}
    for number, line in enumerate(lines, start=2):
        try:
            row = json.loads(line)
            check(row)
            rows[row[key]] = row
        except (ValueError, KeyError, TypeError):
            raise AnswersUnusable(f"{path}, line {number}, is not an answer: remove the line or the file") from None
    return rows


def _to_line(row: Row) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


def _write(path: Path, file: BinaryIO, row: Row) -> None:
    try:
        file.write(_to_line(row))
        file.flush()
        os.fsync(file.fileno())
    except OSError as error:
        raise AnswersUnusable(
            f"{path} cannot be written ({error.strerror or error}): make room and start this again"
        ) from None
