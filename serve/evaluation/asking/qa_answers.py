"""The file of answers of an evaluation:

JSON lines, the settings first, then one answer a line as it comes, so that a killed run goes on.

It asks and measures nothing.

    with AnswersFile.open(Path("answers.jsonl"), settings) as file:
        file.kept  # {1: Answer(...)}: what an earlier run of the same settings got
        file.keep(answer)
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from rag.errors import AnswersUnusable

KIND = "qa answers"
_OPENING = b'{"file": '  # of the first line


QUOTED = "quote"  # why an answer of the documents' own words ends


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to question `number` of its file (from 1), with what the model read.

    `prompt_hash` is of the very messages that were sent, `passages` are the places of the passages in them, and
    `left_out` counts those that did not fit, or not whole. `by_model` is False where no model was asked: the documents
    answer in quotes (`finish_reason` is then `QUOTED`), or the search found nothing, and the answer is the gateway's
    sentence.
    """

    number: int
    id: str
    kind: str
    question: str
    reference: str
    answer: str
    prompt_hash: str
    passages: tuple[str, ...]
    left_out: int
    by_model: bool
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    latency_ms: float | None = None


class AnswersFile:
    """Answers that are kept as they come: on the disk, or in memory alone where no file is named."""

    def __init__(self, kept: dict[int, Answer], handle: BinaryIO | None) -> None:
        self.kept = kept
        self._handle = handle

    @classmethod
    @contextmanager
    def open(cls, path: Path | None, settings: dict[str, Any]) -> Iterator["AnswersFile"]:
        """Open or begin the file; a last line that a kill cut off is dropped. One writer at a time.

        Raises AnswersUnusable where the file is of other settings (names each with both values), no file of answers, or
        not to be written.
        """
        if path is None:
            yield cls({}, None)
            return
        try:
            handle = path.open("ab+")
        except OSError as error:
            raise AnswersUnusable(
                f"{path} cannot be written ({error.strerror or error}): name another file with --answers"
            ) from None
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AnswersUnusable(
                    f"another run is writing {path}: wait for it, or name another file with --answers"
                ) from None
            file = cls(_resume(handle, path, settings), handle)
            yield file

    def keep(self, answer: Answer) -> None:
        """Add an answer; it is on the disk when this returns."""
        self.kept[answer.number] = answer
        if self._handle:
            _write_line(self._handle, asdict(answer))


def read_answers(path: Path) -> tuple[dict[str, Any], list[Answer]]:
    """The settings and the answers of a file. Raises AnswersUnusable."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AnswersUnusable(
            f"{path} cannot be read ({error.strerror or error}): name a file that `eval qa` wrote"
        ) from None
    settings, answers = _parse(content[: content.rfind(b"\n") + 1], path)
    return settings, list(answers.values())


def _resume(handle: BinaryIO, path: Path, settings: dict[str, Any]) -> dict[int, Answer]:
    """What the file holds already, the file cut behind its last whole line; a new file gets its settings."""
    handle.seek(0)
    content = handle.read()
    whole = content[: content.rfind(b"\n") + 1]
    if not whole and content[: len(_OPENING)] != _OPENING[: len(content)]:  # not even a first line that a kill cut off
        raise _no_answers(path)
    answers: dict[int, Answer] = {}
    if whole:
        before, answers = _parse(whole, path)
        _compare_settings(path, before, json.loads(json.dumps(settings)))
    handle.truncate(len(whole))
    if not whole:
        _write_line(handle, {"file": KIND, "settings": settings})
    return answers


def _parse(content: bytes, path: Path) -> tuple[dict[str, Any], dict[int, Answer]]:
    """Settings and answers of whole lines; a question that was answered twice counts with its last answer."""
    try:
        head, *rows = [json.loads(line) for line in content.split(b"\n") if line]
        if head["file"] != KIND:
            raise ValueError(head["file"])
        answers = [Answer(**{**row, "passages": tuple(row["passages"])}) for row in rows]
        return dict(head["settings"]), {answer.number: answer for answer in answers}
    except (ValueError, TypeError, KeyError):
        raise _no_answers(path) from None


def _no_answers(path: Path) -> AnswersUnusable:
    return AnswersUnusable(f"{path} is no file of answers that `eval qa` wrote: name another file")


def _compare_settings(path: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if names:
        changes = ", ".join(f"{name} was {before.get(name)!r} and is {now.get(name)!r}" for name in names)
        raise AnswersUnusable(
            f"the answers in {path} are of other settings ({changes}): name another file with --answers, or remove "
            "this one"
        )


def _write_line(handle: BinaryIO, value: dict[str, Any]) -> None:
    handle.write(json.dumps(value, ensure_ascii=False).encode("utf-8") + b"\n")
    handle.flush()
    os.fsync(handle.fileno())
