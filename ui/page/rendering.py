"""An answer or a passage as Markdown for the page that shows no picture and leads nowhere but to its sources. Pure.

It parses the text and writes it again in a form that every dialect reads alike: code in fences, and a backslash before
every other letter that could mean something (`ui.escaping`). So lists, tables, headings and emphasis stay; a picture
becomes its description, a link its text with the address beside it, raw HTML and mathematics their own letters, and
"[2]" a link to its passage. A coloured background marks spans of it, in the page's own dialect.

    st.markdown(answer_markdown("Set `$::env(X)`, see [1].", sources))
    for block in passage_blocks("Use `pdngen`.\\n", quoted=[(0, 13)]): st.markdown(block.markdown)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from markdown_it.token import Token

from ui.escaping import Code, Colour, Marked, Piece, Text, fenced, link, link_target, write
from ui.events import Source
from ui.markdown_parser import MARKED, parse, with_rest
from ui.plain_text import Span

_CITATION = re.compile(r"\[(\d{1,3})\]")
_LARGEST_NUMBER = 999_999_999  # of an item in a list; CommonMark reads more digits as text
_RULE = "___"  # no list begins with this character, so that it stays a rule inside an item too
_COLUMN_RULES = {"": "---", "text-align:left": ":--", "text-align:center": ":-:", "text-align:right": "--:"}
# What may stand below a paragraph of a list item without a blank line: only lists that begin with a full item, and with
# 1.
_JOINS_A_PARAGRAPH = re.compile(r"```|[-+*] \S|1[.)] \S")

_PASSAGE_HEADINGS = 5  # the largest heading in a passage: it is not a heading of the page

Links = dict[int, str]


@dataclass(frozen=True)
class _Look:
    """What a text has beside its letters.

    links: where its citations lead; own: what its links may lead to; colour: of its marks.
    """

    links: Links
    own: frozenset[str]
    colour: Colour
    largest_heading: int = 1


_NO_LINKS = _Look({}, frozenset(), "red")  # linked text holds no mark


@dataclass(frozen=True)
class Block:
    """A piece of a passage; `is_quoted_code`: it holds code that a quote reaches into, which no mark can stand in."""

    markdown: str
    is_quoted_code: bool


def answer_markdown(text: str, sources: Iterable[Source] = (), unsupported: Sequence[Span] = ()) -> str:
    """An answer, also an incomplete one, as Markdown: code letter by letter, citations linked, nothing else live.

    The spans `unsupported` are marked in red.
    """
    linked = [source for source in sources if source.link]
    links = {source.number: source.quote_link for source in linked}
    own = frozenset(link_target(source.link) for source in linked)
    return "\n\n".join(_blocks(iter(parse(text, unsupported)), _Look(links, own, "red")))


def passage_blocks(text: str, quoted: Sequence[Span] = ()) -> list[Block]:
    """A passage of a document block by block, what `quoted` spans of it marked in yellow; nothing in it is a link."""
    look = _Look({}, frozenset(), "yellow", _PASSAGE_HEADINGS)
    tokens = iter(parse(text, quoted))
    blocks = []
    for token in tokens:
        inside = with_rest(token, tokens)
        is_quoted_code = any(one.meta.get(MARKED) for one in inside)
        blocks.append(Block(_block(token, iter(inside[1:]), look), is_quoted_code))
    return blocks


def _blocks(tokens: Iterator[Token], look: _Look) -> Iterator[str]:
    """The blocks that `tokens` goes on with, up to and with the token that closes what they stand in."""
    for token in tokens:
        if token.nesting < 0:
            return
        yield _block(token, tokens, look)


def _block(token: Token, tokens: Iterator[Token], look: _Look) -> str:
    """The block that `token` begins; all of it is taken from `tokens`."""
    match token.type:
        case "fence" | "code_block":
            return fenced(token.content, *token.info.split()[:1])
        case "hr":
            return _RULE
        case "table_open":
            return _table(tokens, look)
        case "bullet_list_open" | "ordered_list_open":
            return _list(token, tokens, look)
        case "blockquote_open":
            return _behind("> ", "> ", "\n\n".join(_blocks(tokens, look)))
        case "heading_open":
            title = _paragraph(tokens, look).replace("\\\n", " ").replace("\n", " ")
            return f"{'#' * max(int(token.tag[1:]), look.largest_heading)} {title}"
        case _:
            return _paragraph(tokens, look)


def _paragraph(tokens: Iterator[Token], look: _Look) -> str:
    """The text of a paragraph or heading; no line of it begins with a blank, which an entity may have written."""
    inside = takewhile(lambda token: token.nesting == 0, tokens)
    text = "".join(write(_inline(token.children or (), look)) for token in inside)
    return re.sub(r"^[ \t]+", "", text, flags=re.MULTILINE)


def _list(opening: Token, tokens: Iterator[Token], look: _Look) -> str:
    """A list with the marks that it had, each item indented behind its own."""
    items, is_tight = [], True
    number = int(opening.attrGet("start") or 1) if opening.type == "ordered_list_open" else 0
    for item in takewhile(lambda token: token.nesting > 0, tokens):
        content, was_hidden = "", False
        for token in takewhile(lambda token: token.nesting >= 0, tokens):
            is_tight = is_tight and (token.type != "paragraph_open" or token.hidden)
            block = _block(token, tokens, look)
            content += (
                ("\n" if was_hidden and _JOINS_A_PARAGRAPH.match(block) else "\n\n") + block if content else block
            )
            was_hidden = token.type == "paragraph_open" and token.hidden
        mark = (
            f"{min(number, _LARGEST_NUMBER)}{item.markup} "
            if opening.type == "ordered_list_open"
            else f"{item.markup} "
        )
        items.append(_behind(mark, " " * len(mark), content))
        number += 1
    return ("\n" if is_tight else "\n\n").join(items)


def _behind(first: str, others: str, content: str) -> str:
    """`content` with `first` before its first line and `others` before the others; no line ends in blanks of ours."""
    head, *rest = content.split("\n")
    return "\n".join(
        [first + head if head else first.rstrip(), *(others + line if line else others.rstrip() for line in rest)]
    )


def _table(tokens: Iterator[Token], look: _Look) -> str:
    """A table with one line a row, its columns aligned as they were."""
    lines: list[str] = []
    rules: list[str] = []
    for token in takewhile(lambda token: token.type != "table_close", tokens):
        match token.type:
            case "tr_open":
                lines.append("|")
            case "th_open":
                rules.append(_COLUMN_RULES[str(token.attrGet("style") or "")])
            case "inline":
                lines[-1] += f" {write(_inline(token.children or (), look), in_table=True).strip()} |"
    return "\n".join([lines[0], f"|{'|'.join(rules)}|", *lines[1:]])


def _inline(children: Iterable[Token], look: _Look) -> Iterator[Piece]:
    """A paragraph's text, piece by piece."""
    tokens = iter(children)

    for token in tokens:
        match token.type:
            case "softbreak":
                yield Text("\n")
            case "hardbreak":
                yield "\\\n"
            case "code_inline":
                yield Code(token.content)
            case "strong_open" | "strong_close" | "em_open" | "em_close" | "s_open" | "s_close":
                yield token.markup
            case "link_open":
                label = list(takewhile(lambda token: token.type != "link_close", tokens))
                yield from _link(str(token.attrGet("href") or ""), label, look.own)
            case "image":
                yield from _image(token)
            case "mark_open":
                yield Marked(look.colour, list(_marked(tokens, look)))
            case _:
                yield from _cited(_in_one_line(token.content), look.links)


def _marked(tokens: Iterator[Token], look: _Look) -> Iterator[list[Piece]]:
    """The text in a mark, up to and with the token that closes it.

    It comes as a text, or as all of what is bold or linked, at a time.
    """
    for token in takewhile(lambda token: token.type != "mark_close", tokens):
        yield list(_inline(with_rest(token, tokens), look))


def _image(token: Token) -> Iterator[Piece]:
    """A picture as its description, or as its address where it has none."""
    description, address = _seen(token.children or ()), str(token.attrGet("src") or "")
    if description.strip():
        yield Text(description)
    else:
        yield Code(address) if address else Text("![]()")


def _link(address: str, label: Sequence[Token], own: frozenset[str]) -> Iterator[Piece]:
    """A link to a source; any other as its text with the address beside it, to be read and copied."""
    seen = _seen(label)
    if seen.strip() and link_target(address) in own:
        yield link(seen, address)
    elif seen in (address, address.removeprefix("mailto:")):
        yield Text(seen)
    else:
        yield from _inline(label, _NO_LINKS)
        yield from (Text(" ("), Code(address), Text(")")) if address else (Text("()"),)


def _cited(text: str, links: Links) -> Iterator[Piece]:
    """`text`, where "[2]" is a link to the second passage if that has an address."""
    position = 0
    for found in _CITATION.finditer(text):
        url = links.get(int(found.group(1)))
        if url is not None:
            yield Text(text[position : found.start()])
            yield link(found.group(), url)
            position = found.end()
    yield Text(text[position:])


def _seen(tokens: Iterable[Token]) -> str:
    """The letters of a text, without any markup."""
    return "".join(" " if token.type.endswith("break") else _in_one_line(token.content) for token in tokens)


def _in_one_line(text: str) -> str:
    """`text`, each blank in it a space: an entity may stand for a line break, which would begin a block."""
    return re.sub(r"\s", " ", text) if re.search(r"[^\S ]", text) else text
