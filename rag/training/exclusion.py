"""Finds what must not be trained on: questions and answers too near to those that a model will be measured with.

It reads any benchmark's lines that have a "question", and drops nothing itself.

    measured = read_measured([Path("data/eval/mcq.jsonl"), Path("dev.jsonl")])
    asks_nearly = NearQuestions(measured.questions); quotes = LongQuotes(measured.answers)
    asks_nearly("Which command repairs antennas?"), quotes("It is repaired by `repair_antennas`, which ...")
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.errors import QuestionsUnusable, reason_of
from rag.index.bm25 import tokenize

NEAR_DUPLICATE = 0.6  # of two questions' terms that both have (Jaccard's index)
MAX_PROBLEMS = 5  # that an error lists
# As GPT-3's authors looked for copies of benchmarks in what they trained on (Brown et al. 2020, appendix C)
QUOTE_WORDS = 13
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Measured:
    """The questions of benchmarks, and their answers, of which there may be fewer."""

    questions: tuple[str, ...]
    answers: tuple[str, ...]


class NearQuestions:
    """Says whether a question nearly asks one of the given ones: by the share of terms that both have."""

    def __init__(self, questions: Iterable[str]) -> None:
        terms = [terms for text in questions if (terms := frozenset(tokenize(text)))]
        self._sizes = [len(known) for known in terms]
        self._holding: dict[str, list[int]] = {}
        for number, known in enumerate(terms):
            for term in known:
                self._holding.setdefault(term, []).append(number)

    def __call__(self, question: str) -> bool:
        """Whether both share at least `NEAR_DUPLICATE` of their terms, for any given question.

        Only questions with a common term are compared.
        """
        terms = frozenset(tokenize(question))
        shared = Counter(number for term in terms for number in self._holding.get(term, ()))
        return any(
            both / (len(terms) + self._sizes[number] - both) >= NEAR_DUPLICATE for number, both in shared.items()
        )


class LongQuotes:
    """Says whether a text shares `QUOTE_WORDS` words in a row with a given one; case and signs do not count."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._known = frozenset(gram for text in texts for gram in _grams(text))

    def __call__(self, text: str) -> bool:
        """Whether the text does."""
        return not self._known.isdisjoint(_grams(text))


def _grams(text: str) -> list[tuple[str, ...]]:
    words = _WORD.findall(text.lower())
    return [tuple(words[start : start + QUOTE_WORDS]) for start in range(len(words) - QUOTE_WORDS + 1)]


def read_measured(paths: Sequence[Path]) -> Measured:
    """The questions and answers of JSONL files.

    A line has a "question", and an "answer", which may be a number among its "choices"; or the "turns" of a
    conversation, each with "user" and "reference"; or "messages", of which the last one asks.

    Raises QuestionsUnusable: lists the lines that have neither.
    """
    questions: list[str] = []
    answers: list[str] = []
    problems: list[str] = []

    for path in paths:
        try:
            lines = path.read_text(encoding="utf-8-sig").split("\n")
        except (OSError, UnicodeError) as error:
            problems.append(f"{path} cannot be read ({reason_of(error)})")
            continue
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                for question, answer in _find_asked(row):
                    questions.append(question)
                    answers.append(answer)
            except (ValueError, KeyError, TypeError, IndexError):
                problems.append(
                    f'{path}, line {number} has no "question", or an "answer" that is none of its "choices"'
                )

    if problems:
        more = f"; and {len(problems) - MAX_PROBLEMS} more" if len(problems) > MAX_PROBLEMS else ""
        raise QuestionsUnusable(f"{'; '.join(problems[:MAX_PROBLEMS])}{more}: give files with one JSON object per line")
    return Measured(tuple(questions), tuple(answer for answer in answers if answer))


def _find_asked(row: dict[str, Any]) -> list[tuple[str, str]]:
    """The questions of a line, each with its answer, "" where none is given."""
    if "turns" in row:
        return [(_text(turn["user"]), _text(turn["reference"])) for turn in row["turns"]]
    if "messages" in row and "question" not in row:
        return [(_text(row["messages"][-1]["content"]), "")]
    return [(_text(row["question"]), _find_answer(row))]


def _find_answer(row: dict[str, Any]) -> str:
    answer = row.get("answer", "")
    if isinstance(answer, bool) or (isinstance(answer, int) and answer < 0):
        raise TypeError  # Python would count from the end
    return _text(row["choices"][answer] if isinstance(answer, int) else answer).replace("\\n", "\n")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
