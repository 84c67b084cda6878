"""A conversation as a Markdown document to keep. Pure: turns in, a string out.

It draws nothing and writes no file. Whoever opens the document fetches nothing by it: answers stand as on the page,
questions, titles and paths letter by letter, passages in fences.

    text = to_markdown((Turn("What is hold slack?", "answered", "The margin ..."),))
"""

from __future__ import annotations

from ui.conversation import Conversation, Turn, describe_answer
from ui.escaping import fenced, link, literal
from ui.events import Source
from ui.page.rendering import answer_markdown
from ui.plain_text import one_line, plain


def to_markdown(conversation: Conversation) -> str:
    """The conversation, with the passages under each answer."""
    return "\n\n".join(["# ChipAlign conversation", *map(_turn, conversation)]) + "\n"


def _turn(turn: Turn) -> str:
    question = "\n".join(f"> {line}" for line in literal(turn.question).split("\n"))
    parts = ["## Question", question, "## Answer", answer_markdown(turn.answer, turn.sources) or "(no answer)"]
    parts += [f"({literal(note)})" for note in describe_answer(turn, "listed below")]
    for start, end in turn.unsupported:
        parts.append(f"- not supported: {literal(one_line(turn.answer[start:end]))}")
    if turn.state in ("stopped", "answering"):
        parts.append("(stopped before its end)")
    if turn.problem:
        parts.append(f"({literal(turn.problem)})")
    if turn.sources:
        parts.append("### Sources")
        parts += [_source(source, source.number in turn.cited) for source in turn.sources]
    return "\n\n".join(parts)


def _source(source: Source, cited: bool) -> str:
    name = literal(source.place)
    where = "  \n".join(
        [*([link(source.link, source.link)] if source.link else []), *([literal(source.path)] if source.path else [])]
    )
    parts = [f"**[{source.number}]** {name}{' (cited)' if cited else ''}", where, fenced(plain(source.text), "text")]
    return "\n\n".join(filter(None, parts))
