"""Names that are spelled with the words of a question: "which variable sets the placement density?", PLACE_DENSITY.

A reader of sentences does not see that such a name answers, and a table often says no more of it. Rules on words; no
model, no index.

    asks_for_name("which variable sets the placement density?")
    holds_spelled_name("which variable sets the placement density?", "| `PLACE_DENSITY` | target |")
"""

from __future__ import annotations

import re

from rag.index.bm25 import find_tokens, is_identifier

LEAST_BEGINNING = 4  # letters of a word, or of a name's part, that stand for the whole: place, placement
_ASKS = re.compile(
    r"\b(?:which|what|whats|name of|is there an?)\b.{0,20}\b(?:commands?|cmd|variables?|var|options?|switch|flag|pass|"
    r"settings?|knobs?)\b",
    re.IGNORECASE,
)
_PART = re.compile(r"[a-z]{2,}")
_BETWEEN = frozenset("the an of in to for and or is are do does how what which when my it on with by set get".split())


def asks_for_name(question: str) -> bool:
    """Whether a question asks which command, variable, option or the like does something."""
    return bool(_ASKS.search(question))


def holds_spelled_name(question: str, text: str) -> bool:
    """Whether a text holds an exact name, not one of the question, all of whose parts are words of the question."""
    asked = question.lower()
    words = set(_PART.findall(asked)) - _BETWEEN
    return any(
        is_identifier(token) and token.lower() not in asked and _is_spelled(token.lower(), words)
        for token in find_tokens(text)
    )


def _is_spelled(name: str, words: set[str]) -> bool:
    parts = _PART.findall(name)
    return len(parts) > 1 and all(any(_stands_for(part, word) for word in words) for part in parts)


def _stands_for(part: str, word: str) -> bool:
    """Whether both are the same, or one begins with the other."""
    short, long = sorted((part, word), key=len)
    return part == word or (len(short) >= LEAST_BEGINNING and long.startswith(short))
