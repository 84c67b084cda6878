"""Markdown, with the MyST additions that documentation sites use, to blocks with heading paths.

It renders nothing: blocks are slices of the source (by markdown-it's line maps) without link targets, HTML tags and
MyST marks, so that a passage reads as its author wrote it.

    parse_markdown("# Title\n\nText.").title == "Title"
"""

from __future__ import annotations

import html
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from markdown_it.common.utils import normalizeReference
from markdown_it.token import Token

from rag.blocks import (
    Block,
    BlockKind,
    HeadingStack,
    Parsed,
    dedent_lines,
    fence_code,
    name_definition,
    pipe_table,
    squeeze_table,
)
from rag.errors import ParseFailed
from rag.formats.html_page import parse_html
from rag.formats.markdown_blocks import outer_tokens
from rag.formats.rst import OBJECTS, parse_rst
from rag.formats.rst_tables import join_header, read_csv_table, read_grid_table, read_list_table
from rag.raised import mark_raised, write_raised

_KINDS: dict[str, BlockKind] = {
    "paragraph_open": "prose",
    "blockquote_open": "prose",
    "html_block": "prose",
    "bullet_list_open": "list",
    "ordered_list_open": "list",
    "table_open": "table",
}
# MyST directives: those that hold code, and those that draw or assemble pages and say nothing themselves.
_CODE_DIRECTIVES = frozenset({"code", "code-block", "code-cell", "sourcecode", "literalinclude", "parsed-literal"})
_SILENT_DIRECTIVES = frozenset(
    {"tableofcontents", "toctree", "contents", "image", "figure", "include", "index", "raw", "mermaid"}
)

_FENCED_DIRECTIVES = frozenset({*_CODE_DIRECTIVES, "list-table", "csv-table", "glossary", "eval-rst"})

_COLON_FENCE = re.compile(r"^(\s*):{3,}\s*(?:\{([\w:-]+)\}\s*(.*))?$", re.IGNORECASE)
# MkDocs: `!!! note "Title"` and `=== "Tab"` own the lines below them that are indented by four more.
_INDENTED_PART = re.compile(
    r'(?P<margin>\s*)(?:(?:!!!|\?\?\?\+?)\s+(?P<kind>[\w-]+)[^"\n]{0,100}(?:"(?P<title>[^"\n]*)")?'
    r'|===\+?\s+"(?P<tab>[^"\n]+)")\s*'
)
_NOTE = re.compile(r"\[[^\]\n]{1,200}\]:\s")  # a footnote, or a link's target
_PREPARED = re.compile(
    r"^\s*(?::::|\{:|% |\+\+\+|!!!|\?\?\?|===|\[[^\]\n]{1,200}\]:\s)", re.MULTILINE
)  # what any of these begins with
_ATTRIBUTES = re.compile(r"\s*\{[#.][^{}]*\}\s*$")  # of a heading, as pandoc and kramdown write them
# Attributes of the block above, as kramdown writes them; comments and breaks of MyST
_SILENT_LINE = re.compile(r"\s*\{:[^{}\n]*\}\s*|% .*|\+\+\+.{0,200}")
_DIRECTIVE_OPTION = re.compile(r"\s*:[\w-]+:(?:\s.*)?")
_ALERT = re.compile(r"\s*>\s*\[!(?P<kind>[A-Za-z]+)\][ \t]*(?P<title>.*)")
_DEFINITION = re.compile(r"[^\n:]{1,200}\n:\s{1,3}\S")
_CAPTION = re.compile(r"(?:Table)?: +(?P<text>\S[^\n]*)")
_GRID = re.compile(r"\s*\+(?:[-=:]+\+)+\s*\n\s*\|")
# Each part stops where the next match could begin: otherwise a text of openings that nothing closes would be read once
# for each of them.
_IMAGE = re.compile(r"!\[((?:[^\]!]|!(?!\[))*)\]\((?:[^)!]|!(?!\[))*\)")
_LINK = re.compile(r"\[([^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*)\]\((?:[^()\s]|\([^()]*\))*(?:\s+\"[^\"]*\")?\)")
_REFERENCE_LINK = re.compile(r"\[([^\[\]\n]{1,300})\](?:\[([^\[\]\n]{0,300})\])?(?![(:])")
_TAG_NAMES = (
    r"a|b|br|center|code|dd|details|div|dl|dt|em|h\d|hr|i|img|kbd|li|ol|p|span|strong|sub|summary|sup|"
    r"table|tbody|td|th|thead|tr|ul"
)
_TAG = re.compile(rf"</?(?:{_TAG_NAMES})(?:\s[^<>]*)?/?>", re.IGNORECASE)
_BREAK = re.compile(r"<br\s{0,9}/?>(?!\s{0,9}\n)", re.IGNORECASE)
_RAISED = re.compile(r"<(?P<kind>su[bp])>(?P<letters>[^<>\n]{1,100})</(?P=kind)>", re.IGNORECASE)
# `{term}`its words <ECO>`` is its words; without a target a role's mark alone is taken out.
_MYST_TARGET_ROLE = re.compile(r"\{[a-z:_-]+\}`([^`<>]*[^`<>\s])\s*<[^`<>]*>`")
_MYST_LAST_NAME = re.compile(r"\{[a-z:_-]+\}`~(?:[\w.]{0,200}\.)?(\w+)`")  # of `~a.b.Name` the last name alone
_MYST_ROLE = re.compile(r"\{[a-z:_-]+\}(?=`)|(?<=\}`)!(?=\w)")
_MYST_TARGET = re.compile(r"^\([\w.-]+\)=\s*$", re.MULTILINE)


def parse_markdown(text: str) -> Parsed:
    """Title ("" where there is no heading) and blocks of a Markdown text. Never fails: unknown markup stays as text."""
    headings = HeadingStack()
    blocks = _read_blocks(_prepare(text), headings)
    return Parsed(headings.title or "", tuple(block for block in blocks if block.text.strip()) or headings.as_blocks())


def _prepare(text: str) -> str:
    """The text without front matter, `:::{note}` fences as plain lines: CommonMark lacks them."""
    front = re.match(r"---\r?\n.*?\n---\s*?\n", text, re.DOTALL)
    lines = text[front.end() :].splitlines() if front else text.splitlines()
    if not _PREPARED.search(text):
        return "\n".join(lines)
    waiting = deque(lines)
    prepared: list[str] = []
    in_fence = False
    while waiting:
        line = waiting.popleft()
        begins = line.lstrip()[:3]
        begins_block = bool(prepared) and not prepared[-1].strip()  # otherwise it may be a title, or go on a paragraph
        if not in_fence and (begins_block or begins[:2] == "{:") and _SILENT_LINE.fullmatch(line):
            continue
        in_fence ^= begins in ("```", "~~~")
        mark = _COLON_FENCE.match(line) if begins == ":::" and not in_fence else None
        if begins in ("!!!", "???", "===") and not in_fence and (part := _INDENTED_PART.fullmatch(line)):
            waiting.extendleft(reversed(_take_part(part, waiting)))
        elif not mark:
            if not in_fence and prepared and _NOTE.match(line) and _NOTE.match(prepared[-1]):
                prepared.append("")
            prepared.append(line)
        elif mark[2] and mark[2].lower() in _FENCED_DIRECTIVES:
            waiting.extendleft(reversed(_take_fence(mark, line, waiting)))
        elif mark[2] and mark[2].lower() not in _SILENT_DIRECTIVES:
            is_table = mark[2].lower() == "table"
            title = [clean_inline(mark[3] or ""), ""] if is_table else [_label(mark[2], mark[3] or "")]
            prepared += ["", f"{mark[1]}{title[0]}", *title[1:]]
            while waiting and _DIRECTIVE_OPTION.fullmatch(waiting[0]):
                waiting.popleft()
        else:
            prepared.append("")
    return "\n".join(prepared)


def _take_fence(mark: re.Match[str], line: str, waiting: deque[str]) -> list[str]:
    """The lines of a directive between colons, taken from those that wait, as the fence of code that it also may be."""
    colons = line.strip()[: len(line.strip()) - len(line.strip().lstrip(":"))]
    body: list[str] = []
    while waiting and waiting[0].strip() != colons:
        body.append(waiting.popleft())
    if waiting:
        waiting.popleft()
    fence = f"{mark[1]}{'`' * 9}"
    return ["", f"{fence}{{{mark[2]}}} {mark[3] or ''}", *body, fence, ""]


def _take_part(part: re.Match[str], waiting: deque[str]) -> list[str]:
    """The lines of an admonition or a tab, taken from those that wait, with its name above them."""
    margin, body = part["margin"], list[str]()
    while waiting and (not waiting[0].strip() or waiting[0].startswith(f"{margin}    ")):
        line = waiting.popleft()
        body.append(f"{margin}{line[len(margin) + 4 :]}" if line.strip() else "")
    label = _label(part["kind"], part["title"] or "") if part["kind"] else f"{part['tab']}:"
    return ["", f"{margin}{label}", "", *body, ""]


def _read_blocks(text: str, headings: HeadingStack) -> list[Block]:
    lines = text.splitlines()
    blocks: list[Block] = []
    links: dict[str, Any] = {}
    tokens = outer_tokens(text, links)
    done = 0  # lines

    for number, token in enumerate(tokens):
        if token.level or not token.map or token.map[0] < done:
            continue
        source = "\n".join(lines[token.map[0] : token.map[1]])

        if token.type == "heading_open":
            heading = _ATTRIBUTES.sub("", tokens[number + 1].content)
            whole = headings.enter(int(token.tag[1]), clean_inline(heading).replace("`", "").replace("**", ""))
            blocks.append(Block("prose", whole, headings.path))
        elif token.type in ("fence", "code_block"):
            blocks += _read_fence(token, headings)
        elif token.type == "html_block" and "<table" in source.lower():
            done = _end_of_table(lines, token.map[0], token.map[1])
            blocks += _read_html("\n".join(lines[token.map[0] : done]), headings)
        elif token.type == "paragraph_open":
            _add_paragraph(blocks, source, links, headings)
        elif token.type in _KINDS:
            kind = _KINDS[token.type]
            cleaned = _show_links(clean_inline(source), links)
            text = squeeze_table(_join_rows(cleaned)) if kind == "table" else cleaned.strip("\n")
            blocks.append(Block(kind, _show_alert(text) if token.type == "blockquote_open" else text, headings.path))
    return blocks


def _add_paragraph(blocks: list[Block], source: str, links: Mapping[str, Any], headings: HeadingStack) -> None:
    """A paragraph, or what pandoc means by such a one: a drawn table, a table's caption, defined terms."""
    cleaned = _show_links(clean_inline(source), links).strip("\n")
    if _GRID.match(source) and (rows := read_grid_table([line.strip() for line in source.split("\n")])):
        table = pipe_table([[clean_inline(cell) for cell in row] for row in rows])
        blocks.append(Block("table", table, headings.path))
    elif (caption := _CAPTION.fullmatch(cleaned)) and blocks and blocks[-1].kind == "table":
        blocks.insert(len(blocks) - 1, Block("prose", caption["text"], headings.path))
    elif _DEFINITION.match(source):
        blocks += _read_glossary(cleaned.split("\n"), headings)
    else:
        blocks.append(Block("prose", cleaned, headings.path))


def _end_of_table(lines: list[str], start: int, end: int) -> int:
    """The line after an HTML table, which blank lines may part into several blocks of Markdown."""
    closing = (number for number in range(start, len(lines)) if "</table" in lines[number].lower())
    return max(end, next(closing, end - 1) + 1)


def _read_html(source: str, headings: HeadingStack) -> list[Block]:
    """HTML with a table in it, under the headings that are open."""
    try:
        found = parse_html(f"<body>{source}</body>".encode())
    except ParseFailed:
        return [Block("prose", clean_inline(source), headings.path)]
    return [_put_under(block, headings.path) for block in found.blocks]


def _show_alert(text: str) -> str:
    """A quote of the kind that hosts of code draw as a box (`> [!WARNING]`) as any other admonition."""
    alert = _ALERT.match(text)
    if not alert:
        return text
    lines = [re.sub(r"^\s*> ?", "", line) for line in text[alert.end() :].strip("\n").split("\n")]
    return "\n".join([f"{_label(alert['kind'].lower(), alert['title'])} {lines[0]}".strip(), *lines[1:]])


def _show_links(text: str, links: Mapping[str, Any]) -> str:
    """Text with links whose targets stand elsewhere (`[words][target]`) as their words."""
    known = links.get("references")
    if not known:
        return text

    def show(found: re.Match[str]) -> str:
        """The words alone, where the target is known."""
        return found[1] if normalizeReference(found[2] or found[1]) in known else found[0]

    return _REFERENCE_LINK.sub(show, text)


def _join_rows(table: str) -> str:
    """The table with each row on one line; where rows begin with a bar, a line without one continues the row above."""
    first, *lines = table.split("\n")
    return re.sub(r"\n[ \t]*(?=[^\s|])", " ", table) if lines and first.lstrip().startswith("|") else table


def _read_fence(token: Token, headings: HeadingStack) -> list[Block]:
    """A code fence, or a MyST directive written as one.

    An admonition's body is Markdown again, under the same headings.
    """
    directive = re.match(r"\{([\w:.-]+)\}\s*(.*)", token.info.strip())
    body = token.content.splitlines()
    if not directive:
        info = token.info.strip()
        attributes = re.match(r"\{\s*\.([\w+-]+)", info)
        language = attributes[1] if attributes else info.split(" ")[0]
        return [Block("code", fence_code(body, language), headings.path)] if token.content.strip() else []
    name = directive[1].lower()
    if name in _SILENT_DIRECTIVES:
        return []
    options: dict[str, str] = {}
    while body and (option := re.match(r":(?P<name>[\w-]+):\s*(?P<value>.*)|\s*$", body[0])):
        options[option["name"] or ""] = option["value"] or ""
        body = body[1:]
    if name in _CODE_DIRECTIVES:
        return [Block("code", fence_code(body, directive[2]), headings.path)] if body else []
    body = dedent_lines(body)
    if name in ("list-table", "csv-table"):
        return _read_table(body, directive[2], options, headings)
    if name == "glossary":
        return _read_glossary(body, headings)
    if name == "eval-rst":
        return [_put_under(block, headings.path) for block in parse_rst("\n".join(body)).blocks]
    if directive[2] and (":" in name or name in OBJECTS):
        heading, whole = name_definition([clean_inline(directive[2]).replace("`", "")])
        return _define(heading, whole, body, headings)

    inner = _read_blocks(_prepare("\n".join(body)), headings)
    label = _label(name, directive[2])
    if inner and inner[0].kind == "prose":
        return [Block("prose", f"{label} {inner[0].text}", inner[0].heading_path), *inner[1:]]
    return [Block("prose", label, headings.path), *inner] if inner or directive[2] else []


def _read_table(body: list[str], caption: str, options: dict[str, str], headings: HeadingStack) -> list[Block]:
    """A table directive: its caption and its rows; the rows' text where they are not such a table."""
    rows = read_list_table(body) if options.get("header") is None and body[:1] and body[0][:1] in "*-" else []
    rows = rows or read_csv_table(body, options)
    rows = join_header(rows, options)
    table = pipe_table([[clean_inline(cell) for cell in row] for row in rows]) if rows else "\n".join(body)
    return [Block("prose", clean_inline(caption), headings.path), Block("table", table, headings.path)]


def _read_glossary(body: list[str], headings: HeadingStack) -> list[Block]:
    """Terms over their definitions, which are indented or begin with a colon; each term is a heading."""
    blocks: list[Block] = []
    terms: list[str] = []
    definition: list[str] = []
    for line in [*body, ""]:
        if line[:1] in ("", " ", ":"):
            definition.append(f" {line[1:]}" if line[:1] == ":" else line)
            continue
        if any(part.strip() for part in definition):
            blocks += _define(*name_definition(terms), definition, headings)
            terms, definition = [], []
        terms.append(clean_inline(line).replace("`", ""))
    return [*blocks, *_define(*name_definition(terms), definition, headings)] if terms else blocks


def _define(heading: str, whole: str, body: list[str], headings: HeadingStack) -> list[Block]:
    """What a directive defines: its body under a heading of its own."""
    inner = _read_blocks("\n".join(dedent_lines(body)), HeadingStack())
    first = [Block("prose", whole, ())] if whole else [] if inner else [Block("prose", f"`{heading}`", ())]
    return [_put_under(block, (*headings.path, heading)) for block in [*first, *inner]]


def _put_under(block: Block, path: tuple[str, ...]) -> Block:
    return replace(block, heading_path=(*path, *block.heading_path))


def _label(directive: str, title: str) -> str:
    return f"{directive.split(':')[-1].capitalize()}: {clean_inline(title)}".rstrip()


def clean_inline(text: str) -> str:
    """Text with links and images as their words, without HTML tags and comments, MyST roles and targets."""
    text = _drop_comments(text)
    text = _LINK.sub(r"\1", _IMAGE.sub(r"\1", text))
    text = _MYST_LAST_NAME.sub(r"`\1`", text)
    text = _MYST_TARGET.sub("", _MYST_ROLE.sub("", _MYST_TARGET_ROLE.sub(r"\1", text)))
    text = _BREAK.sub(" ", write_raised(_RAISED.sub(_mark, text)))
    return html.unescape(_TAG.sub("", text))


def _mark(found: re.Match[str]) -> str:
    return mark_raised(found["letters"], "raised" if found["kind"].lower() == "sup" else "lowered")


def _drop_comments(text: str) -> str:
    """Text without `<!-- -->`; a comment that is never closed is text."""
    kept: list[str] = []
    position = 0
    while (start := text.find("<!--", position)) >= 0 and (end := text.find("-->", start + 4)) >= 0:
        kept.append(text[position:start])
        position = end + 3
    return "".join([*kept, text[position:]])
