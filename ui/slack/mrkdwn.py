"""Markdown to Slack's mrkdwn, cut into pieces that a Slack block can hold, and back to plain text.

Pure: strings in, strings out. It sends nothing. Text of a model or a document can mention nobody and link nowhere: `&`,
`<` and `>` are escaped everywhere, and a link leads only to an http(s) address that the caller names. Whoever shows the
text must set `verbatim`, so that Slack itself links nothing.

    sections = to_sections("Run **`repair_antennas`** [1].", {1: "https://docs/grt.html"})
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markdown_it.tree import SyntaxTreeNode

from ui.markdown_parser import parse
from ui.plain_text import Span, plain

UNSUPPORTED_SIGN = "⚠"  # mrkdwn has no colours
WIDE = 90  # columns; a row of a wider table becomes a line of a list, since Slack breaks it at the window's edge
SECTION_CHARS = 3000  # Slack's limit for the text of a section block
LINK_CHARS = 2500  # a longer link becomes text: a link cannot be cut, and has to fit into a section
FENCE_CHARS = len("```\n\n```")

_CITATION = re.compile(r"\[(\d{1,3})\]")
_ATOM = re.compile(r"<[^<>]*>|&(?:amp|lt|gt);|.", re.DOTALL)  # what must not be cut in two
_THREE_BACKTICKS = re.compile("`(?=``)")
_SLACK_MARKUP = re.compile(r"<([^<>]*)>")


@dataclass(frozen=True)
class _Piece:
    """A paragraph, a heading, a list, or the escaped content of a code block."""

    text: str
    is_code: bool = False


def escape(text: str) -> str:
    """`text` as mrkdwn that shows its `&`, `<` and `>`; no mention and no link can stand in it."""
    return plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def link(url: str, label: str) -> str:
    """A link that shows `label`; the label alone where `url` is not plain http(s) or the link would be too long."""
    target = re.sub(r"[\s<>|\x00-\x1f]", lambda c: f"%{ord(c.group()):02X}", url).replace("&", "&amp;")
    shown = escape(" ".join(label.split()))
    whole = f"<{target}|{shown}>"
    return whole if url.startswith(("http://", "https://")) and shown and len(whole) <= LINK_CHARS else shown


def to_sections(
    markdown: str, links: Mapping[int, str] | None = None, limit: int = SECTION_CHARS, unsupported: Sequence[Span] = ()
) -> list[str]:
    """`markdown` as pieces of mrkdwn of at most `limit` characters; a cut code block is closed and opened again.

    `links` are the addresses of the passages by their number: `[2]` becomes a link to the second, and so does a link of
    the text to one of these addresses. Every other link is shown as text. A sign stands before an `unsupported` span.
    """
    known = links or {}
    sections: list[str] = []
    glue = ""
    for piece in _blocks(SyntaxTreeNode(parse(markdown, unsupported)), known):
        for part in _cut(piece, limit):
            joint = "\n" if piece.is_code or glue == "\n" else "\n\n"
            if sections and len(sections[-1]) + len(joint) + len(part) <= limit:
                sections[-1] += joint + part
            else:
                sections.append(part)
            glue = "\n" if piece.is_code else "\n\n"
    return sections


def from_mrkdwn(text: str, bot_user_id: str = "") -> str:
    """The plain text of what Slack gives: links as their label, channels by name.

    Mentions of the bot and of people are left out.
    """

    def _shown(match: re.Match[str]) -> str:
        """What stands for one `<...>`: the label if it has one, the address of a link, nothing for a mention by id."""
        target, _, label = match.group(1).partition("|")
        if target.startswith("#"):
            return f"#{label}" if label else ""
        if target == f"@{bot_user_id}":
            return ""
        return label or ("" if target[:1] in ("@", "!") else target)

    plain = _SLACK_MARKUP.sub(_shown, text)
    return plain.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").strip()


def _blocks(parent: SyntaxTreeNode, links: Mapping[int, str]) -> Iterator[_Piece]:
    """The pieces of everything inside `parent`, none of them blank."""
    for node in parent.children:
        match node.type:
            case "fence" | "code_block":
                yield _code(node.content.rstrip("\n"))
            case "table":
                table = _table(node)
                yield _code(table) if max(map(len, table.split("\n"))) <= WIDE else _Piece(_rows(node, links))

            case "bullet_list" | "ordered_list":
                yield from _list(node, links, 0)
            case "blockquote":
                for piece in _blocks(node, links):
                    yield piece if piece.is_code else _Piece("\n".join(f"> {line}" for line in piece.text.split("\n")))
            case "hr":
                yield _Piece("———")
            case "heading":
                title = _one_line(_inline(node, links, is_bold=True))
                if title:
                    yield _Piece(f"*{title}*")
            case _:
                text = _inline(node, links)
                if text.strip():
                    yield _Piece(text)


def _code(content: str) -> _Piece:
    return _Piece(escape(content), is_code=True)


def _list(node: SyntaxTreeNode, links: Mapping[int, str], depth: int) -> Iterator[_Piece]:
    """A list as lines with bullets or numbers.

    Code and tables inside it stand alone, since mrkdwn cannot indent a code block.
    """
    lines: list[str] = []
    start = int(node.attrs.get("start", 1)) if node.type == "ordered_list" else 0
    indent = "    " * depth

    for number, item in enumerate(node.children, start):
        marker = f"{number}. " if node.type == "ordered_list" else "• "
        for child in item.children:
            if child.type == "paragraph":
                text = _inline(child, links)
                lines.append(indent + marker + text.replace("\n", "\n" + indent + "   "))
                marker = "   "
                continue
            inner = (
                _list(child, links, depth + 1)
                if child.type in ("bullet_list", "ordered_list")
                else _blocks(SyntaxTreeNode(child.to_tokens()), links)
            )
            for piece in inner:
                if piece.is_code:
                    if lines:
                        yield _Piece("\n".join(lines))
                    lines = []
                    yield piece
                else:
                    lines.append(piece.text)

    if lines:
        yield _Piece("\n".join(lines))


def _inline(parent: SyntaxTreeNode, links: Mapping[int, str], is_bold: bool = False) -> str:
    """Everything inside `parent` as one run of mrkdwn.

    `is_bold`: it stands inside bold text, which cannot be nested.
    """
    return "".join(_inline_one(node, links, is_bold) for node in parent.children)


def _inline_one(node: SyntaxTreeNode, links: Mapping[int, str], is_bold: bool) -> str:
    match node.type:
        case "text":
            return _prose(node.content, links)
        case "softbreak" | "hardbreak":
            return "\n"
        case "code_inline":  # mrkdwn has no way to show a backtick inside inline code
            return escape(node.content) if "`" in node.content else f"`{escape(node.content)}`"

        case "strong":
            inner = _one_line(_inline(node, links, is_bold=True))
            return inner if is_bold or not inner else f"*{inner}*"
        case "em" | "s":
            inner, mark = _one_line(_inline(node, links, is_bold)), "_" if node.type == "em" else "~"
            return f"{mark}{inner}{mark}" if inner else ""
        case "mark":
            return f"{UNSUPPORTED_SIGN} {_inline(node, links, is_bold)}"

        case "link":
            return _link(str(node.attrs.get("href", "")), _plain(node), links)
        case "image":
            return escape(node.content)
        case _:  # "inline", which holds the others, and whatever a later parser adds
            return _inline(node, links, is_bold) if node.children else escape(node.content)


def _prose(text: str, links: Mapping[int, str]) -> str:
    pieces, position = [], 0
    for found in _CITATION.finditer(text):
        pieces += [escape(text[position : found.start()]), link(links.get(int(found.group(1)), ""), found.group())]
        position = found.end()
    return "".join([*pieces, escape(text[position:])])


def _link(url: str, label: str, links: Mapping[int, str]) -> str:
    if url in links.values():
        return link(url, label)
    return escape(label if label in (url, url.removeprefix("mailto:")) else f"{label} ({url})")


def _plain(parent: SyntaxTreeNode) -> str:
    """The characters that are seen, without any markup; not escaped."""
    if parent.type in ("softbreak", "hardbreak"):
        return " "
    return (
        "".join(map(_plain, parent.children)) if parent.children else parent.content if parent.type != "inline" else ""
    )


def _one_line(text: str) -> str:
    """Bold, italic and struck text ends at a line break."""
    return " ".join(text.split("\n")).strip()


def _table(node: SyntaxTreeNode) -> str:
    """A table as text with columns of equal width, a rule under its head."""
    rows = [[_plain(cell) for cell in row.children] for part in node.children for row in part.children]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-+-".join("-" * width for width in widths), *lines[1:]])


def _rows(node: SyntaxTreeNode, links: Mapping[int, str]) -> str:
    """A table as a list: each row's first cell in bold, then the second, then the others with their columns' names."""
    head, *rows = [row.children for part in node.children for row in part.children]
    names = [escape(_plain(cell)) for cell in head]
    lines = []
    for first, *others in rows:
        cells = [_inline(cell, links) for cell in others]
        named = [f"{name}: {cell}" for name, cell in zip(names[2:], cells[1:], strict=True) if cell]
        title = _one_line(_inline(first, links, is_bold=True))
        text = "; ".join([*cells[:1], *named])
        lines.append(f"• *{title}*: {text}" if title else f"• {text}")
    return "\n".join(lines) or " | ".join(names)


def _cut(piece: _Piece, limit: int) -> Iterator[str]:
    """The piece in parts of at most `limit` characters, cut at a line, else at a space, else between two characters."""
    room = limit - FENCE_CHARS if piece.is_code else limit
    # They would begin or end a code block; a zero-width space keeps them text
    text = _THREE_BACKTICKS.sub("`\u200b", piece.text)
    while True:
        end = len(text) if len(text) <= room else _cut_place(text, room)
        part, text = text[:end], text[end:]
        if part.strip() or piece.is_code:
            yield f"```\n{part.rstrip(chr(10))}\n```" if piece.is_code else part
        if not text:
            return


def _cut_place(text: str, room: int) -> int:
    """Where to end the first part of `text`: behind its last line break, or its last space.

    The space counts where the line break is far ahead of `room`.
    """
    line = space = end = 0
    for atom in _ATOM.finditer(text):
        if atom.end() > room:
            break
        end = atom.end()
        if atom.group() == "\n":
            line = end
        elif atom.group() == " ":
            space = end
    if line > room // 2:
        return line
    return space if space > room // 2 else end
