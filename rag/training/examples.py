"""Questions with what answers them: the beginnings of units, the words that prove it, or an answer in own words.

It searches nothing and fits nothing.

    examples = read_examples(Path("data/training/questions.jsonl"))
    rows = AnswerFinder(chunks).rows(examples[0])  # of the chunks that hold what answers it
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rag.answering.units import Unit, cut_units
from rag.documents import Chunk
from rag.errors import QuestionsUnusable, reason_of
from rag.index.bm25 import tokenize
from rag.search.pasted_log import condense_paste

EVIDENCE_SHARE = 0.7  # of the terms of the evidence, held by a unit that is a part of it
ANSWER_SHARE = 0.6  # of a unit's terms, held by an answer that says the same in other words
ANSWER_TERMS = 4  # of these, the fewest that the question lacks
Begins = Mapping[tuple[str, str], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Example:
    """A question, and the words that answer it: literally from a document, or in somebody's own words.

    `begins`, where known, says how the answering units begin, by collection and path; `also` does so for units that say
    the same elsewhere. Without either, nothing answers the question. `answer` is what we would say.
    """

    question: str
    words: str = ""
    is_literal: bool = True
    begins: Begins = field(default_factory=dict)
    also: Begins = field(default_factory=dict)
    answer: str = ""

    @property
    def is_answerable(self) -> bool:
        """Whether something answers it."""
        return bool(self.words or self.begins)


def read_examples(path: Path) -> list[Example]:
    """The questions of one file: a table of questions and answers, or JSON lines.

    A line has what proves the answer, or places of it.

    Raises QuestionsUnusable: the file cannot be read, or lines of it are wrong.
    """
    try:
        return list(_read_table(path) if path.suffix == ".csv" else _read_lines(path))
    except OSError as error:
        raise QuestionsUnusable(f"{path} cannot be read ({reason_of(error)}): name a file that is there") from None
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise QuestionsUnusable(
            f"{path} holds no questions with what answers them ({error!r}): give JSON lines as those of "
            "data/training/questions.jsonl"
        ) from None


def _read_table(path: Path) -> Iterator[Example]:
    with path.open(encoding="utf-8-sig", newline="", errors="replace") as handle:
        rows = [row for row in csv.reader(handle) if len(row) == 2][1:]
    yield from (Example(question.strip(), answer, False) for question, answer in dict(rows).items())


def _read_lines(path: Path) -> Iterator[Example]:
    with path.open(encoding="utf-8") as lines:
        for row in map(json.loads, filter(str.strip, lines)):
            if "source" in row:
                yield Example(row["question"], row["source"]["evidence"], True)
            else:
                begins, also = (_read_begins(row.get(key, ())) for key in ("references", "also"))
                yield Example(condense_paste(row["question"]), begins=begins, also=also, answer=row.get("answer", ""))


def _read_begins(places: Iterable[Mapping[str, Any]]) -> Begins:
    """How units begin, by collection and path."""
    begins: dict[tuple[str, str], tuple[str, ...]] = {}
    for place in places:
        key = (place["collection"], place["path"])
        begins[key] = (*begins.get(key, ()), *place["begins"])
    return begins


def is_answer(example: Example, asked: frozenset[str], chunk: Chunk, unit: Unit) -> bool:
    """Whether a unit says what answers the question."""
    text = chunk.text
    if example.begins:
        quoted, document = " ".join(text[unit.start : unit.end].split()), (chunk.collection, chunk.path)
        return quoted.startswith((*example.begins.get(document, ()), *example.also.get(document, ())))
    said, wanted = set(tokenize(text[unit.start : unit.end])), set(tokenize(example.words))
    if not example.is_literal:
        return len(said & wanted) >= ANSWER_SHARE * len(said) and len(said & wanted - asked) >= ANSWER_TERMS
    evidence = " ".join(example.words.split())
    if evidence not in " ".join(text.split()):
        return False
    quoted = " ".join(text[unit.start : unit.end].split())
    return evidence in quoted or len(said & wanted) >= EVIDENCE_SHARE * len(wanted)


class AnswerFinder:
    """The units of many chunks, each cut once, to find those that answer. A chunk is named by its row."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self._documents: dict[tuple[str, str], list[tuple[int, list[str]]]] = {}
        for row, chunk in enumerate(chunks):
            units = [" ".join(chunk.text[unit.start : unit.end].split()) for unit in cut_units(chunk.text)]
            self._documents.setdefault((chunk.collection, chunk.path), []).append((row, units))

    def rows(self, example: Example) -> list[int]:
        """The chunks that hold a unit which answers the question, here or elsewhere."""
        found = {
            row
            for places in (example.begins, example.also)
            for document, begins in places.items()
            for row, units in self._documents.get(document, ())
            if any(unit.startswith(begins) for unit in units)
        }
        return sorted(found)

    def first_rows(self, example: Example) -> list[int | None]:
        """For each unit that the answer needs the first chunk that holds it, None where none does."""
        return [
            next(
                (
                    row
                    for row, units in self._documents.get(document, ())
                    if any(unit.startswith(one) for unit in units)
                ),
                None,
            )
            for document, begins in example.begins.items()
            for one in begins
        ]
