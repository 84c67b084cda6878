"""Labelled prompts, and how often we know which of them are questions for the documents. It asks no server.

JSON lines, one prompt each; `query` is what should be searched for, where a prompt also says in what form to answer:

    {"id": "form-open-02", "kind": "form", "split": "open", "client": "any", "is_question": true,
     "query": "What is clock skew?",
     "messages": [{"role": "user", "content": "What is clock skew? Answer in one sentence."}]}

    prompts = read_prompts(Path("data/eval/prompts.jsonl")); summarize(prompts.values())["measures"]["recall"]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rag.search.asked import find_asked
from rag.search.metrics import estimate_share
from serve.evaluation.asking.question_file import field_of, read_lines
from serve.intent.decision import why_not_asked
from serve.protocol import Message, message_text

SPLITS = ("open", "closed")  # the closed half is for the end of a piece of work: nobody tunes on it
MOST_SHOWN = 100  # characters of a miss


@dataclass(frozen=True, slots=True)
class LabelledPrompt:
    """A conversation as a client sends it. `query`: what is to be searched for, if its form hides that."""

    id: str
    kind: str
    split: str
    client: str
    is_question: bool
    query: str | None
    messages: tuple[Message, ...]


def read_prompts(path: Path) -> dict[int | str, LabelledPrompt]:
    """The prompts of a file, by id. Raises QuestionsUnusable: lists every bad line."""
    return read_lines(path, _parse, key=lambda prompt: prompt.id)


def _parse(row: dict[str, Any]) -> LabelledPrompt:
    split, is_question, query = field_of(row, "split", str), row.get("is_question"), row.get("query")
    if split not in SPLITS:
        raise ValueError(f'"split" is {split!r}: give one of {", ".join(SPLITS)}')
    if not isinstance(is_question, bool):
        raise ValueError('"is_question" is neither true nor false')
    if query is not None and not (isinstance(query, str) and is_question):
        raise ValueError('"query" is not the text that a question is searched by')
    messages = field_of(row, "messages", list)
    if not (messages and all(_is_message(message) for message in messages) and messages[-1]["role"] == "user"):
        raise ValueError('"messages" is not a list of messages, each with role and content, that ends with a user\'s')
    return LabelledPrompt(
        field_of(row, "id", str),
        field_of(row, "kind", str),
        split,
        field_of(row, "client", str),
        is_question,
        query,
        tuple(messages),
    )


def _is_message(message: Any) -> bool:
    return isinstance(message, dict) and all(isinstance(message.get(name), str) for name in ("role", "content"))


def summarize(
    prompts: Iterable[LabelledPrompt], why_not: Callable[[Sequence[Message]], str | None] = why_not_asked
) -> dict[str, Any]:
    """Precision and recall of "is a question for the documents", and of the text searched for; and each miss.

    `why_not` says why a conversation asks nothing of the documents, None if it does. Each share has Wilson's 95 %
    interval, and is None of nothing.
    """
    judged = [(prompt, why_not(prompt.messages)) for prompt in prompts]
    found = [prompt.is_question for prompt, reason in judged if reason is None]
    wanted = [reason is None for prompt, reason in judged if prompt.is_question]
    queries = [(prompt, find_asked(message_text(prompt.messages[-1]))) for prompt, _ in judged if prompt.query]
    exact = [_plain(asked) == _plain(prompt.query or "") for prompt, asked in queries]

    measures = {"precision": found, "recall": wanted, "exact_query": exact}
    return {
        "counts": {"prompts": len(judged), "questions": len(wanted), "tasks": len(judged) - len(wanted)},
        "measures": {
            name: asdict(share) if (share := estimate_share(sum(hits), len(hits))) else None
            for name, hits in measures.items()
        },
        "missed": [
            _miss(prompt, reason or "taken for a question")
            for prompt, reason in judged
            if prompt.is_question != (reason is None)
        ],
        "other_queries": [
            _miss(prompt, f"searched: {asked}")
            for (prompt, asked), right in zip(queries, exact, strict=True)
            if not right
        ],
    }


def _plain(query: str) -> str:
    """A query without what makes no difference to a search."""
    return " ".join(query.split()).rstrip("?.! ")


def _miss(prompt: LabelledPrompt, why: str) -> dict[str, str]:
    said = " | ".join(" ".join(message["content"].split()) for message in prompt.messages)
    return {"id": prompt.id, "client": prompt.client, "why": why, "said": said[:MOST_SHOWN]}
