"""The questions of `chipalign eval answers`: each has the facts of a right answer and the claims of a wrong one.

JSON lines, one question each; this module asks nothing and scores nothing. A fact is a list of regular expressions, one
of which must match; case does not matter, and a dot does not match a line's end. `messages` are the turns before a
follow-up, `sources` the documents that hold the answer.

    {"id": "handbook-01", "question": "...", "kind": "look-up", "split": "open", "answerable": true,
     "facts": [["\\\\b10\\\\b operations"]], "forbidden": ["\\\\b14 operations"],
     "sources": [{"collection": "handbook", "path": "atpg-and-bist.md", "evidence": "..."}]}

    questions = read_answer_questions(Path("data/eval/answers.jsonl"))
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.errors import QuestionsUnusable, reason_of

OPEN, CLOSED, ALL = "open", "closed", "all"
SPLITS = (OPEN, CLOSED)  # the closed part is for the end of a piece of work: nobody tunes on it

Pattern = re.Pattern[str]
Message = dict[str, str]


@dataclass(frozen=True, slots=True)
class AnswerQuestion:
    """One question. Each of `facts` holds alternatives, one of which must match; an unanswerable question has none.

    `documents` are the collection and path of each document that holds the answer, as far as the file names them.
    """

    id: str
    text: str
    kind: str
    split: str
    answerable: bool
    earlier: tuple[Message, ...]
    facts: tuple[tuple[Pattern, ...], ...]
    forbidden: tuple[Pattern, ...]
    documents: frozenset[tuple[str, str]] = frozenset()

    @property
    def messages(self) -> list[Message]:
        """The messages to send: the earlier turns, then the question."""
        return [*self.earlier, {"role": "user", "content": self.text}]

    @property
    def asked(self) -> str:
        """Everything said before the answer."""
        return "\n".join(message["content"] for message in self.messages)


def read_answer_questions(path: Path) -> list[AnswerQuestion]:
    """The questions of a file, in order; it skips empty lines.

    Raises QuestionsUnusable: it lists every bad line.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise QuestionsUnusable(
            f"{path} cannot be read ({reason_of(error)}): name a file of questions with facts"
        ) from None

    questions: list[AnswerQuestion] = []
    problems: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            questions.append(_parse(json.loads(line)))
        except json.JSONDecodeError as error:
            problems.append(f"line {number} is not JSON ({error.msg})")
        except ValueError as error:
            problems.append(f"line {number} {error}")
    problems += [f"the id {name!r} is given twice" for name in _repeated(question.id for question in questions)]

    if problems:
        raise QuestionsUnusable(f"{path}: {'; '.join(problems)}: mend or remove these lines")
    if not questions:
        raise QuestionsUnusable(f"{path} holds no question: give a file with one JSON object per line")
    return questions


def select_questions(questions: Iterable[AnswerQuestion], split: str, every: int = 1) -> list[AnswerQuestion]:
    """Every `every`-th question of a split (`ALL`: both). Raises QuestionsUnusable: none is left."""
    chosen = [question for question in questions if split in (ALL, question.split)][::every]
    if not chosen:
        raise QuestionsUnusable(f"there is no question of the split {split!r}: choose another with --split")
    return chosen


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, times in Counter(names).items() if times > 1]


def _parse(row: Any) -> AnswerQuestion:
    """A row as a question. Raises ValueError: the row is wrong; the message completes "line 7 ..."."""
    if not isinstance(row, dict):
        raise ValueError("is not a JSON object")
    for name in ("id", "question", "kind"):
        if not isinstance(row.get(name), str) or not row[name].strip():
            raise ValueError(f'has no "{name}"')
    if row.get("split", OPEN) not in SPLITS:
        raise ValueError(f'has the split {row["split"]!r}: it is "open" or "closed"')

    facts = tuple(_compile(alternatives, "facts") for alternatives in _list(row, "facts"))
    answerable = row.get("answerable", bool(facts))
    if answerable != bool(facts):
        raise ValueError("is answerable, but has no facts" if answerable else "is not answerable, but has facts")
    forbidden = _compile(_list(row, "forbidden"), "forbidden")
    earlier = tuple(_parse_message(message) for message in _list(row, "messages"))
    documents = frozenset(_documents(row.get("sources")))

    return AnswerQuestion(
        row["id"],
        row["question"],
        row["kind"],
        row.get("split", OPEN),
        answerable,
        earlier,
        facts,
        forbidden,
        documents,
    )


def _documents(sources: Any) -> Iterator[tuple[str, str]]:
    """Collection and path of the sources that name both; other sources are skipped."""
    for source in sources if isinstance(sources, list) else ():
        match source:
            case {"collection": str(collection), "path": str(path)}:
                yield collection, path


def _list(row: dict[str, Any], name: str) -> list[Any]:
    value = row.get(name, [])
    if not isinstance(value, list):
        raise ValueError(f'has "{name}" that is not a list')
    return value


def _compile(patterns: Any, name: str) -> tuple[Pattern, ...]:
    if not isinstance(patterns, list) or (name == "facts" and not patterns):
        raise ValueError('has "facts" whose items are not lists of patterns')
    try:
        return tuple(re.compile(pattern, re.IGNORECASE) for pattern in patterns)
    except (re.error, TypeError) as error:
        raise ValueError(f'has "{name}" with a pattern that is none ({error})') from None


def _parse_message(message: Any) -> Message:
    if (
        not isinstance(message, dict)
        or message.get("role") not in ("user", "assistant")
        or not isinstance(message.get("content"), str)
    ):
        raise ValueError('has "messages" that are not turns of "user" and "assistant" with "content"')
    return {"role": message["role"], "content": message["content"]}
