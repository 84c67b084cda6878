"""Text as Markdown that shows exactly its letters, in every dialect that reads it. Pure: strings in, strings out.

It parses no Markdown: `ui.page.rendering` does. The page's dialect is Streamlit's: CommonMark and GFM, mathematics
between dollars, directives such as `:red[...]`, pictures by name such as `:smile:`, and `->` drawn as an arrow. A
backslash disarms most of these. Addresses, names of pictures and arrows are detected after backslashes are removed, but
never in code: they are written as inline code.

    st.markdown(literal("Set $::env(X), see http://h/x"))   # Set \\$\\:\\:env(X), see `http://h/x`
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, TypeAlias
from urllib.parse import quote

from ui.plain_text import plain

_MARKUP = re.compile(
    r"[\\`*_\[\]<>&$~|#]"
    r"|:(?=\S|\Z)"  # directives, and a table's second line; a sentence's colon stays as it is
    r"|!(?=\Z)"  # before a link it would make a picture
    r"|\A[{(]"  # behind a mark they would be read as its attributes, or in other dialects as the address of a link
)
# Lists, rules and underlined headings
_LINE_START = re.compile(r"^([ \t]*(?:\d{1,9}(?=[.)])|(?=[+\-=])))(.)", re.MULTILINE)
# Streamlit draws these as one character, between blanks
_DRAWN = frozenset(("<->", "->", "<-", "--", ">=", "<=", "~="))
_FOUND_LATER = re.compile(
    r"://|www\."  # addresses, for GFM
    # The same; a domain has a dot and no digit at its end, other than the version in router@2.1 or router@5c9e48a
    r"|[\w.+\-]@(?!(?:[a-z0-9.]*[0-9]|[a-z0-9]+)\.?(?![a-z0-9_.\-]))[\w\-]"
    # Pictures by name, for Streamlit; none has a name of two digits, which times have
    r"|:material/|:(?!\d\d:)[\w+\-]+:",
    re.IGNORECASE,
)
_CLOSING = ".,;!?)]}>\"'"  # what may stand behind an address in a sentence
_SCHEME = f"{string.ascii_letters}{string.digits}_.+-"  # what an address or a name may have before `_FOUND_LATER`
# What an address may hold as it is; all else ends a link early somewhere, and is percent-encoded
_URL_SAFE = "%/:?#[]@!&=+,;~"
_HALF_A_NAME = re.compile(r":[\w+\-]+\Z")  # of a picture: the colon of a mark behind it would be its end
_BRACKET = re.compile(r"\\[\[\]\\]|[\[\]]")
# A directive's label ends at the bracket that closes it, code or not; these are the most that its parser takes
# (https://github.com/micromark/micromark-extension-directive/blob/main/dev/lib/factory-label.js).
_LABEL_DEPTH = 32
_LABEL_ESCAPES = 999
_LANGUAGE = re.compile(r"[A-Za-z0-9_+\-]{1,20}")

Colour = Literal["yellow", "red"]


@dataclass(frozen=True)
class Text:
    """Letters to be shown; "\\n" is a line break."""

    text: str


@dataclass(frozen=True)
class Code:
    """Letters to be shown as inline code, in one line."""

    text: str


@dataclass(frozen=True)
class Marked:
    """Pieces before a coloured background; each of `groups` (text, bold text, code) makes sense without the others."""

    colour: Colour
    groups: Sequence[Sequence[Piece]]


Piece: TypeAlias = "Text | Code | Marked | str"  # a str is Markdown already, and means what it says


def literal(text: str) -> str:
    """`text` as Markdown that shows exactly its letters, line breaks and indentation kept."""
    lines = plain(text).expandtabs(4).split("\n")
    return "  \n".join(
        write([Text("\u00a0" * (len(line) - len(line.lstrip(" "))) + line.lstrip(" "))]) for line in lines
    )


def write(pieces: Iterable[Piece], in_table: bool = False) -> str:
    """The pieces, one behind the other, as Markdown for inside a paragraph.

    `in_table`: for a cell, where code must not hold a `|`. Neighbours of a kind are joined before they are written: two
    spans of code side by side would be read as one or none, and an address may stand in two texts.
    """
    parts: list[str] = []
    for kind, run in groupby(_without_addresses(_markable(pieces, in_table)), type):
        if kind is Marked:
            marked = [piece for piece in run if isinstance(piece, Marked)]
            parts += [f":{piece.colour}-background[{_label(piece.groups, in_table)}]" for piece in marked]
            continue
        joined = "".join(map(_letters, run))
        if kind is Text:
            parts.append(_LINE_START.sub(r"\1\\\2", _MARKUP.sub(r"\\\g<0>", joined)))
        elif kind is Code and in_table:
            parts.append("&#124;".join(inline_code(part) for part in joined.split("|")))
        else:
            parts.append(inline_code(joined) if kind is Code else joined)
    return "".join(parts)


def _markable(pieces: Iterable[Piece], in_table: bool) -> Iterator[Piece]:
    """The pieces, without the marks that would end too early, or whose colon would end what stands before them."""
    before = ""
    for piece in pieces:
        if isinstance(piece, Marked) and _HALF_A_NAME.search(before):
            yield from (inner for group in piece.groups for inner in group)
        elif not isinstance(piece, Marked) or _is_label(_label(piece.groups, in_table)):
            yield piece
        else:
            for group in piece.groups:
                yield from _marked_alone(piece.colour, group, in_table)
        before = _letters(piece)


def _marked_alone(colour: Colour, group: Sequence[Piece], in_table: bool) -> Iterator[Piece]:
    """One group of marked pieces, without its mark if need be; blanks at the ends of a text are not marked."""
    if len(group) == 1 and isinstance(group[0], Text) and group[0].text.strip():
        text = group[0].text
        first, after = len(text) - len(text.lstrip()), len(text.rstrip())
        middle = [Text(text[first:after])]
        yield Text(text[:first])
        yield from [Marked(colour, [middle])] if _is_label(_label([middle], in_table)) else middle
        yield Text(text[after:])
    else:
        yield from [Marked(colour, [group])] if _is_label(_label([group], in_table)) else group


def _label(groups: Sequence[Sequence[Piece]], in_table: bool) -> str:
    """What stands between the brackets of a directive."""
    return write([piece for group in groups for piece in group], in_table)


def _is_label(markdown: str) -> bool:
    """Whether a directive's label can hold this: no blank at its ends, which would be lost, and brackets in pairs."""
    depth = deepest = escapes = 0
    for found in _BRACKET.finditer(markdown):
        escapes += len(found.group()) > 1
        depth += {"[": 1, "]": -1}.get(found.group(), 0)
        deepest = max(deepest, depth)
        if depth < 0:
            return False
    is_whole = markdown != "" and markdown == markdown.strip()
    return is_whole and depth == 0 and deepest < _LABEL_DEPTH and escapes < _LABEL_ESCAPES


def inline_code(text: str) -> str:
    """`text`, which holds no line break, as inline code; "" for nothing."""
    if not text:
        return ""
    fence = "`" * (longest_run("`", text) + 1)
    # CommonMark takes one space off both ends of code that has one at both, and backticks must not touch.
    pad = " " if text.startswith("`") or text.endswith("`") or (text[0] == text[-1] == " " and text.strip()) else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def fenced(text: str, language: str = "") -> str:
    """`text` as a block of code.

    A language that is not a plain word is left out, and so is mermaid, which Streamlit draws as a picture.
    """
    fence = "`" * max(3, longest_run("`", text) + 1)
    shown = language if _LANGUAGE.fullmatch(language) and "mermaid" not in language.lower() else ""
    return f"{fence}{shown}\n{text.removesuffix(chr(10))}\n{fence}"


def link(label: str, url: str) -> str:
    """A link that shows `label` letter by letter and leads to `url`, which must be http(s)."""
    return f"[{write([Text(label)])}]({link_target(url)})"


def link_target(url: str) -> str:
    """`url` as it may stand in a link of Markdown, percent-encoded where it has to be."""
    return quote(url, safe=_URL_SAFE).replace("&", "&amp;")


def longest_run(character: str, text: str) -> int:
    """How many of `character` stand side by side in `text`, at most."""
    return max((len(run) for run in re.findall(f"{re.escape(character)}+", text)), default=0)


def _without_addresses(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """The pieces that are not empty, neighbouring texts joined; what would still be detected in a text becomes code."""
    for kind, run in groupby(filter(_letters, pieces), type):
        if kind is Text:
            yield from filter(_letters, _split(plain("".join(map(_letters, run)))))
        else:
            yield from run


def _letters(piece: Piece) -> str:
    """What a piece shows; of a marked one only that it shows something."""
    if isinstance(piece, Marked):
        return "".join(_letters(inner) for group in piece.groups for inner in group)
    return piece if isinstance(piece, str) else piece.text


def _split(text: str) -> Iterator[Piece]:
    """`text`, its addresses, names of pictures and arrows as code."""
    if not _FOUND_LATER.search(text) and not _DRAWN.intersection(text.split()):
        yield Text(text)
        return
    for word in re.split(r"(\s+)", text):
        found = _FOUND_LATER.search(word)
        if found:
            before = word[: found.start()].rstrip(_SCHEME)
            address = word[len(before) :].rstrip(_CLOSING)
            yield from (Text(before), Code(address), Text(word[len(before) + len(address) :]))
        else:
            yield Code(word) if word in _DRAWN else Text(word)
