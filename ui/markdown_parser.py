"""A model's Markdown as tokens, parsed as the page and Slack both need it. Pure: a string in, tokens out.

It writes nothing: `ui.rendering` and `ui.mrkdwn` do. Raw HTML is text, and nothing is the definition of a link that stands elsewhere.

    tokens = parse("Run **`repair_antennas`** [1].")
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

from ui.plain_text import plain

# What is nested deeper than maxNesting is dropped by the parser: 60 levels are lists 30 deep, and far from Python's limit of recursion.
_PARSER = MarkdownIt("commonmark", {"html": False, "maxNesting": 60}).enable(["table", "strikethrough"]).disable("reference")
_MARKS = ("strong", "em", "s")


def parse(text: str) -> list[Token]:
    """The tokens of `text`, without what steers a terminal or reorders letters. Emphasis stands in no other of its kind."""
    tokens = _PARSER.parse(plain(text))
    for token in tokens:
        if token.children:
            token.children = list(_without_nested_marks(token.children))
    return tokens


def _without_nested_marks(tokens: Sequence[Token]) -> Iterator[Token]:
    """The tokens of one paragraph: a thousand stars would else nest as deep as no reader, and no recursion, can follow."""
    depth = dict.fromkeys(_MARKS, 0)
    for token in tokens:
        mark = token.type.removesuffix("_open").removesuffix("_close")
        if mark not in depth:
            yield token
            continue
        depth[mark] -= token.nesting < 0
        if depth[mark] == 0:
            yield token
        depth[mark] += token.nesting > 0
