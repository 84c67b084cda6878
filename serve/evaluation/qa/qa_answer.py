"""An answer of `chipalign eval qa` with its context, and the file that keeps such answers.

It asks and measures nothing.

    with open_answers(Path("answers.jsonl"), settings) as file: file.keep(asdict(answer))
    Answer.of(file.rows[1])
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serve.evaluation.asking.answers import AnswersFile, Row, read_answers

KIND = "qa answers"
QUOTED = "quote"  # the finish reason of an answer in the documents' own words


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to question `number` of its file (from 1), with what the model read.

    `prompt_hash` is the hash of the messages sent, `passages` are the places of the passages in them, and `left_out`
    counts those that did not fit whole. `by_model` is False if no model was asked: the documents answer in quotes
    (`finish_reason` is then `QUOTED`), or the search found nothing, and the answer is the gateway's sentence.
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

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Answer:
        """From a row of the file. Raises KeyError, TypeError: the row is not an answer."""
        return cls(**{**row, "passages": tuple(row["passages"])})


def open_answers(path: Path | None, settings: Row) -> AnswersFile:
    """The file of answers; without a path they stay in memory. Raises AnswersUnusable: it is of another run."""
    return AnswersFile.open(path, settings, "number", Answer.of, KIND)


def read_others(path: Path) -> list[Answer]:
    """The answers of another run, to compare with. Raises AnswersUnusable: they are not answers of this evaluation."""
    return [Answer.of(row) for row in read_answers(path, "number", Answer.of, KIND)[1]]
