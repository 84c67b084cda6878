"""The questions that a lam is chosen by, each for one of two goals: chip knowledge, chat manners.

    {"id": "a", "question": "...", "choices": ["...", "..."], "answer": 0}                  as data/eval/mcq.jsonl
    {"id": "b", "goal": "chat", "messages": [...], "answer": "...", "rejected": ["..."]}    rather this than those
    {"id": "c", "goal": "chip", "messages": [...], "answer": "..."}                         how likely it is, per token

`goal` is "chip" unless given. `question` is asked without a chat template, as in `chipalign eval mcq`, `messages` with
the model's own. It reads files and asks no model.

    chosen_by, held_out = split_questions(read_questions([Path("questions.jsonl")]), seed=0)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merge.errors import QuestionsUnusable, join

GOALS = ("chip", "chat")
FEWEST = 5  # of a goal in each part; an interval over fewer says nothing
KEYS = {"id", "goal", "question", "messages", "choices", "answer", "rejected"}


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt and its answers. With several it counts which is likelier, with one how likely that is."""

    key: str
    goal: str
    prompt: str | tuple[dict[str, str], ...]  # text as it is, or messages for the chat template
    answers: tuple[str, ...]
    right: int = 0  # index of the right one


def read_questions(paths: Iterable[Path]) -> list[Question]:
    """The questions of JSON lines files. Raises QuestionsUnusable: it lists the lines that are wrong."""
    questions: dict[str, Question] = {}
    problems: list[str] = []
    for path in paths:
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise QuestionsUnusable(f"{path} cannot be read ({reason}). Give a file of JSON lines") from None
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    question = parse_question(json.loads(line))
                    if question.key in questions:
                        raise ValueError(f"the id {question.key!r} stands twice")
                    questions[question.key] = question
                except json.JSONDecodeError as error:
                    problems.append(f"{path}:{number}: is not JSON ({error.msg})")
                except (ValueError, TypeError, RecursionError) as error:
                    problems.append(f"{path}:{number}: {error}")
    if problems:
        raise QuestionsUnusable(join(problems))
    return list(questions.values())


def parse_question(row: Any) -> Question:
    """A question from one line. Raises ValueError: what is wrong with it."""
    if not isinstance(row, dict) or "id" not in row:
        raise ValueError("is not an object with an id")
    goal = row.get("goal", GOALS[0])
    if goal not in GOALS:
        raise ValueError(f"goal is {goal!r} (allowed: {', '.join(GOALS)})")
    if ("question" in row) == ("messages" in row):
        raise ValueError("needs either a question or messages")

    prompt = _parse_messages(row["messages"]) if "messages" in row else _need_text(row, "question").strip()
    answers, right = _parse_answers(row)
    if len(set(answers)) < len(answers):
        raise ValueError("the same answer stands twice")
    if isinstance(prompt, str):
        prompt, answers = f"Question: {prompt}\nAnswer:", tuple(f" {answer}" for answer in answers)
    return Question(str(row["id"]), goal, prompt, answers, right)


def _parse_messages(given: Any) -> tuple[dict[str, str], ...]:
    if not isinstance(given, list) or not given or not all(isinstance(message, dict) for message in given):
        raise ValueError("messages is not a list of objects")
    return tuple({key: _need_text(message, key) for key in ("role", "content")} for message in given)


def _parse_answers(row: dict[str, Any]) -> tuple[tuple[str, ...], int]:
    choices, answer, rejected = row.get("choices"), row.get("answer"), row.get("rejected", [])
    if choices is None:
        texts = [_need_text(row, "answer"), *rejected] if isinstance(rejected, list) else []
        right: Any = 0
    else:
        texts, right = (choices if isinstance(choices, list) else []), answer
        if len(texts) < 2 or type(right) is not int or not 0 <= right < len(texts):
            raise ValueError("answer is not the index of one of two or more choices")
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ValueError("choices or rejected is not a list of texts")
    return tuple(texts), right


def _need_text(row: dict[str, Any], key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{key} is {value!r}, not a text")
    return value


def split_questions(questions: Sequence[Question], seed: int) -> tuple[list[Question], list[Question]]:
    """(what lam is chosen by, what is held out to confirm it): half each of both goals, by the hash of the id.

    Raises QuestionsUnusable: a goal has too few.
    """
    parts: tuple[list[Question], list[Question]] = ([], [])
    for goal in GOALS:
        of_goal = sorted((q for q in questions if q.goal == goal), key=lambda q: _draw(seed, q.key))
        if len(of_goal) < 2 * FEWEST:
            raise QuestionsUnusable(
                f"the goal {goal} has {len(of_goal)} questions, and at least {2 * FEWEST} are needed: half choose lam, "
                f'half confirm it. Give more with --eval, each with "goal": "{goal}"'
            )
        half = (len(of_goal) + 1) // 2
        parts[0].extend(of_goal[:half])
        parts[1].extend(of_goal[half:])
    return parts


def _draw(seed: int, key: str) -> bytes:
    return hashlib.sha256(f"{seed}/{key}".encode()).digest()
