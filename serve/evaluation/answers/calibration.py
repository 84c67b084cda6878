"""Decides whether the model's prose or the documents' quotes answer better here, and keeps the result.

It asks nothing. The questions are ours if the index holds their documents, else made from the index itself. The result
is a small file beside a checkpoint. Somebody else may have written it, so its reader checks shape and sizes, and it
counts only for the checkpoint that it was measured on.

    questions, source = choose_questions(index.chunks, Path("data/eval/answers.jsonl"))
    calibration = Calibration.of(rows_of_quotes, rows_of_model, source, checkpoint="9f...", index="41...", versions={})
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rag.answering.names import find_names
from rag.documents import Chunk
from rag.index.document_list import read_documents
from rag.index.manifest import read_manifest
from rag.index.selection import is_uploaded
from rag.typed_json import parse_as
from serve.evaluation.answers.answer_questions import OPEN, AnswerQuestion, read_answer_questions, select_questions
from serve.evaluation.answers.answer_scores import FACTS, FORBIDDEN, LOOPS, UNKNOWN_NAMES

FILE = "answer_calibration.json"
MOST_BYTES = 65_536  # of such a file; ours has some 700
MOST_QUESTIONS = 40  # a demo model on two cores answers these in a minute
LEAST_OF_OURS = 20  # with fewer, questions are made from the index instead
MOST_FACTS = 3  # names that the answer to a made question must hold
SAMPLES, SAMPLE_BYTES = 16, 4096  # read from each weight file, evenly from beginning to end


@dataclass(frozen=True, slots=True)
class Calibration:
    """The mean share of facts of both ways; an answer with a wrong claim, a loop or an unknown name counts 0."""

    quote: float
    model: float
    questions: int
    source: str
    created: str
    checkpoint: str
    index: str
    versions: dict[str, str]

    @classmethod
    def of(
        cls,
        quote_rows: Sequence[Mapping[str, Any]],
        model_rows: Sequence[Mapping[str, Any]],
        source: str,
        checkpoint: str,
        index: str,
        versions: dict[str, str],
    ) -> Calibration:
        """From the verdicts (`serve.evaluation.answers.answer_scores.measure`) on both answers to each question."""
        created = datetime.now(UTC).isoformat(timespec="seconds")
        means = (_mean(quote_rows), _mean(model_rows))
        return cls(*means, len(quote_rows), source, created, checkpoint, index, versions)

    @property
    def mode(self) -> str:
        """`auto`, the model's words above the quotes, if it is no worse than its evidence; else `quote`."""
        return "auto" if self.model >= self.quote else "quote"

    @property
    def line(self) -> str:
        """The result in one line."""
        return (
            f"{self.mode}: of {self.questions} questions ({self.source}) quotes give {self.quote:.2f} of the facts, the"
            f" model's words {self.model:.2f} ({self.created[:10]})"
        )

    def save(self, folder: Path) -> Path:
        """Write it beside a checkpoint, whole or not at all. Raises OSError."""
        path, new = folder / FILE, folder / f".{FILE}.{os.getpid()}"
        new.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        return new.replace(path)


def read_calibration(folder: Path) -> Calibration | None:
    """The calibration beside a checkpoint; None if the file is missing or not ours."""
    try:
        with (folder / FILE).open("rb") as file:
            text = file.read(MOST_BYTES + 1)
        one = parse_as(Calibration, text) if len(text) <= MOST_BYTES else None
    except (OSError, ValueError):
        return None
    if one is None or not (0 <= one.quote <= 1 and 0 <= one.model <= 1 and 0 < one.questions <= 10_000):
        return None
    return one if _is_plain(one.source) and _is_plain(one.created) else None


def _is_plain(text: str) -> bool:
    return len(text) <= 200 and text.isprintable()


def _mean(rows: Sequence[Mapping[str, Any]]) -> float:
    return sum(score(row["measures"]) for row in rows) / len(rows)


def score(measures: Mapping[str, float | None]) -> float:
    """The worth of one answer, 0 to 1."""
    is_bad = any(measures[name] for name in (FORBIDDEN, LOOPS, UNKNOWN_NAMES))
    return 0.0 if is_bad else float(measures[FACTS] or 0.0)


def choose_questions(chunks: Sequence[Chunk], ours: Path, seed: int = 0) -> tuple[list[AnswerQuestion], str]:
    """At most `MOST_QUESTIONS` answerable questions that the index can answer, and their source.

    Raises QuestionsUnusable: `ours` is not a file of questions.
    """
    known = {(chunk.collection, chunk.path) for chunk in chunks}
    open_ones = select_questions(read_answer_questions(ours), OPEN)
    usable = [one for one in open_ones if one.answerable and not one.earlier and one.documents <= known]
    if len(usable) >= LEAST_OF_OURS:
        return _spread(usable), ours.name
    return _spread(make_questions(chunks, seed)), "made of the index"


def make_questions(chunks: Sequence[Chunk], seed: int = 0) -> list[AnswerQuestion]:
    """Questions about passages whose answers name something that the question does not: these names are the facts."""
    from rag.training.triplet_templates import drafts_of_chunks

    made = []
    for number, draft in enumerate(drafts_of_chunks(chunks, seed)):
        asked = {name.text for name in find_names(draft.question)}
        names = [name for name in dict.fromkeys(name.text for name in find_names(draft.answer)) if name not in asked]
        facts = tuple((re.compile(rf"(?<![\w-]){re.escape(name)}(?!\w)"),) for name in names[:MOST_FACTS])
        if facts:
            made.append(AnswerQuestion(f"made-{number}", draft.question, "made", OPEN, True, (), facts, ()))
    return made


def _spread(questions: Sequence[AnswerQuestion]) -> list[AnswerQuestion]:
    """At most `MOST_QUESTIONS`, spread over the whole list."""
    step = max(1, -(-len(questions) // MOST_QUESTIONS))
    return list(questions[::step])


def identify_checkpoint(folder: Path) -> str:
    """A hash of a checkpoint's weight files: their names and sizes, and pieces of each.

    Without weight files it is a hash of the tokenizer's files. Two merges at other settings have files of the same
    names and sizes; the pieces distinguish them.

    Raises OSError: a file cannot be read.
    """
    files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.json"))
    digest = hashlib.sha256()
    for path in files:
        if path.name == FILE:
            continue
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            for number in range(SAMPLES):
                file.seek(max(0, size - SAMPLE_BYTES) * number // max(1, SAMPLES - 1))
                digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()


def identify_index(folder: Path) -> str:
    """A hash of what an index is made with, and of the documents that its operator built; uploads do not count.

    Raises IndexNotFound, IndexCorrupt, IndexMismatch, OSError.
    """
    manifest = read_manifest(folder)
    digest = hashlib.sha256(json.dumps(asdict(manifest.spec), sort_keys=True).encode())
    records = read_documents(folder / manifest.generation)
    for line in sorted(f"{each.name} {each.hash}\n" for each in records if not is_uploaded(each.collection)):
        digest.update(line.encode())
    return digest.hexdigest()
