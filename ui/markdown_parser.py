"""Markdown as tokens, parsed as the page, Slack and the terminal need it, with spans of the text marked. Pure.

It writes nothing: `ui.page.rendering`, `ui.slack.mrkdwn` and `ui.terminal.terminal` do. Raw HTML is text, and no text
defines a link that stands elsewhere. Spans are places in the given text; the text itself cannot make or end a mark.

    tokens = parse("Run **`repair_antennas`** [1].", marks=[(0, 25)])
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline, newline
from markdown_it.rules_inline import text as read_text
from markdown_it.token import Token

from ui.plain_text import Span, move_span, plain

MARKED = "marked"  # in the meta of a block of code that a span reaches into
_MARKS = ("strong", "em", "s")
_CELLS = ("th_open", "td_open")
_TURNS = ("mark_on", "mark_off")


def parse(text: str, marks: Sequence[Span] = ()) -> list[Token]:
    """The tokens of `text`, less what steers a terminal or reorders letters. Emphasis stands in no other of its kind.

    A line that is indented below another, as in a definition or a synopsis, stays a line of its own.

    What `marks` span stands between `mark_open` and `mark_close` in a paragraph's children; emphasis, links and code
    that a mark begins or ends in are in it whole, and so are cells of a table. Without these tokens the others are
    those of the text without marks. A span that is out of range or holds nothing marks nothing.
    """
    spans = [span for mark in marks if (span := move_span(text, mark))]
    tokens = _PARSER.parse(plain(text), {"spans": spans})
    for token in tokens:
        if token.children:
            token.children = list(_place_marks(list(_without_nested_emphasis(token.children))))
    return tokens


def with_rest(token: Token, tokens: Iterator[Token]) -> list[Token]:
    """A token with what follows it in `tokens` up to the one that closes it; alone where it closes itself."""
    group = [token]
    depth = int(token.nesting)
    while depth > 0:
        group.append(next(tokens))
        depth += group[-1].nesting
    return group


def _read_paragraphs(state: StateCore) -> None:
    """The parser's own rule for paragraphs, with the places of their marks; code learns whether it is marked."""
    lines = state.src.split("\n")
    starts = [0]  # of each line in the text
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)

    is_cell = False
    for token in state.tokens:
        if token.map and token.type in ("inline", "fence", "code_block"):
            first, after = token.map
            reached = [span for span in state.env["spans"] if span[0] < starts[after] - 1 and span[1] > starts[first]]
        if token.type == "inline":
            whole = [(0, len(token.content))] if reached else []
            parts = [_in_paragraph(token, span, lines, starts) for span in reached]
            spans = whole if is_cell else [part for part in parts if part]
            turns = sorted({place for span in spans for place in span})
            inside = [any(start <= place < end for start, end in spans) for place in turns]
            env = {"source": token.content, "turns": list(zip(turns, inside, strict=True))}
            token.children = state.md.inline.parse(token.content, state.md, env, [])
        elif token.type in ("fence", "code_block"):
            token.meta[MARKED] = bool(reached)
        is_cell = token.type in _CELLS


def _in_paragraph(token: Token, span: Span, lines: Sequence[str], starts: Sequence[int]) -> Span | None:
    """The part of a span that a paragraph holds, as a place in its content, whose lines each end a line of the text."""
    places: list[int] = []
    at = 0
    for number, content in enumerate(token.content.split("\n"), start=(token.map or [0])[0]):
        bare = content.strip()
        begin = starts[number] + max(lines[number].rfind(bare), 0)
        start, end = max(span[0], begin), min(span[1], begin + len(bare))
        if start < end:
            indent = at + len(content) - len(content.lstrip())
            places += [indent + start - begin, indent + end - begin]
        at += len(content) + 1
    return (places[0], places[-1]) if places else None


def _turns(state: StateInline, silent: bool) -> list[tuple[int, bool]]:
    """Where marks begin (True) or end from here on; none in a picture's description, which is read apart."""
    turns: list[tuple[int, bool]] = [] if silent or state.src != state.env["source"] else state.env["turns"]
    return turns


def _turn_marks(state: StateInline, silent: bool) -> bool:
    """Put down where a mark begins or ends, as soon as its place is reached. It reads no text itself."""
    turns = _turns(state, silent)
    while turns and turns[0][0] <= state.pos:
        place, begins = turns.pop(0)
        token = state.push("mark_on" if begins else "mark_off", "", 0)
        token.meta["is_late"] = place < state.pos  # it lies in what was read as one
    return False


def _read_text(state: StateInline, silent: bool) -> bool:
    """The parser's own rule of this name, up to the place where the next mark begins or ends."""
    start = state.pos
    found = read_text(state, silent=True)
    end, state.pos = min([state.pos, *(place for place, _ in _turns(state, silent)[:1])]), start
    if found and not silent:
        state.append_pending(state.src[state.pos : end])
    state.pos = end
    return found


def _read_newline(state: StateInline, silent: bool) -> bool:
    """The parser's own rule of this name; before a line that is indented the break stays one."""
    below = state.src[state.pos + 1 : state.pos + 2]
    found = newline(state, silent)
    if found and not silent and below in (" ", "\t"):
        state.tokens[-1].type = "hardbreak"
    return found


def _place_marks(tokens: Sequence[Token]) -> Iterator[Token]:
    """The tokens of one paragraph, marks around whole ones."""
    groups: list[tuple[list[Token], bool]] = []  # a token with all that stands in it, and whether it is marked
    is_marked = False
    rest = iter(tokens)
    for token in rest:
        group = with_rest(token, rest)
        turns = [one for one in group if one.type in _TURNS]
        if shown := [one for one in group if one.type not in _TURNS]:
            groups.append((shown, is_marked or any(turn.type == "mark_on" for turn in turns)))
        elif groups and token.type == "mark_on" and token.meta["is_late"]:
            groups[-1] = (groups[-1][0], True)
        is_marked = turns[-1].type == "mark_on" if turns else is_marked

    for marked, run in groupby(groups, key=lambda group: group[1]):
        inner = [one for shown, _ in run for one in shown]
        yield from [Token("mark_open", "mark", 1), *inner, Token("mark_close", "mark", -1)] if marked else inner


def _without_nested_emphasis(tokens: Sequence[Token]) -> Iterator[Token]:
    """The tokens of one paragraph: a thousand stars would else nest as deep as no recursion can follow."""
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


def _make_parser() -> MarkdownIt:
    # The parser drops what is nested deeper than maxNesting: 60 levels are lists 30 deep, and far from Python's limit
    # of recursion.
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": 60})
    parser.enable(["table", "strikethrough"]).disable("reference")
    parser.core.ruler.at("inline", _read_paragraphs)
    parser.inline.ruler.before("text", "mark", _turn_marks)
    parser.inline.ruler.at("text", _read_text)
    parser.inline.ruler.at("newline", _read_newline)
    return parser


_PARSER = _make_parser()
