"""reStructuredText, with Sphinx's roles and directives, to blocks with heading paths.

It is a tolerant reader of its own, not docutils: Sphinx documentation is full of directives and roles that docutils
does not know without the project's extensions, and a passage should read as its author wrote it, not as a rebuilt tree.
It follows no includes: `includes` does that before.

    parse_rst("Title\n=====\n\nText with :ref:`a link <target>`.").title == "Title"
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping

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
from rag.formats.rst_tables import (
    join_header,
    read_csv_table,
    read_grid_table,
    read_list_table,
    read_simple_table,
    spread_cells,
)
from rag.raised import mark_raised, write_raised

_CODE = frozenset({"code", "code-block", "sourcecode", "parsed-literal", "productionlist", "prompt", "math"})
_ADMONITIONS = frozenset(
    {"note", "warning", "tip", "seealso", "important", "caution", "attention", "danger", "hint", "admonition"}
)
# An object description is a heading of its own: its name stands over the text that explains it.
OBJECTS = frozenset("option describe object function method class attribute data envvar confval cmdoption".split())
# Directives of a domain (`py:function`, `make:var`) describe objects too, but for those that only set a place.
_PLACES = frozenset("module currentmodule namespace namespace-push namespace-pop usage".split())
_LIST_TABLES = frozenset({"list-table", "flat-table"})  # the second is that of the Linux kernel
_TABLES = frozenset({*_LIST_TABLES, "csv-table"})
_CAPTIONED = frozenset({*_TABLES, "table"})  # their caption may go on below their name
# These draw, assemble or remark; their content is elsewhere or not for the reader.
_SILENT = frozenset(
    """
    todo todolist toctree contents image raw include literalinclude bibliography index role default-role program
    highlight autocmd autocmd_rst autocmdgroup autocellgroup currentmodule module meta date
    """.split()
)

_VERSIONS = {
    "versionadded": "Added in version",
    "versionchanged": "Changed in version",
    "deprecated": "Deprecated since version",
    "versionremoved": "Removed in version",
}
# Directives whose argument names a class or a kind of output, and says nothing to a reader.
_WRAPPERS = frozenset({"figure", "only", "container", "class", "compound", "ifconfig"})
# Options of an object that say how it is listed; the others ("type", "default") describe it.
_LISTING = frozenset(
    """
    noindex no-index noindexentry no-index-entry nocontentsentry no-contents-entry notypesetting no-typesetting module
    canonical name class annotation single-line-parameter-list
    """.split()
)

_MAX_SUBSTITUTED = 2**20  # characters; a manual has some thousand
_MAX_DEPTH = 100  # of indentation; people stop at ten, and deeper content is read as plain text
_ADORNMENT = re.compile(r"^([!-/:-@\[-`{-~])\1{2,}$")
# Titles of one or two letters have adornments as short, of signs that nothing else begins with
_SHORT_ADORNMENT = re.compile(r"^([=\-~^\"'*+#])\1?$")
_DIRECTIVE = re.compile(r"^\.\. (?:\|[^|]+\| ?)?([A-Za-z][\w:.+-]*?)::(?: +(.*)|)$")
_SUBSTITUTION = re.compile(
    r"^\.\. \|(?P<name>[^|\s](?:[^|]{0,98}[^|\s])?)\| (?P<kind>replace|image|unicode)::(?P<text>.*)$"
)
_REFERENCE = re.compile(r"\|(?P<name>[^|\s](?:[^|]{0,98}[^|\s])?)\|_{0,2}")
_CHARACTER = re.compile(r"(?:0x|x|\\x|U\+?|u|\\u|&#x)(?P<hex>[0-9A-Fa-f]{1,6});?|(?P<decimal>\d{1,7})")
_SIMPLE_BORDER = re.compile(r"^=+(?: +=+)+$")
_GRID_BORDER = re.compile(r"^\+(?:[-=]+\+)+$")
_OPTION_LINE = re.compile(r"^:(?P<name>[\w-]+):(?: +(?P<value>.*)|$)")
# Names have a limit: in a long run of letters, dots and colons each of them could begin one.
_ROLE = re.compile(r":(?:[A-Za-z][\w.+-]{0,60}:){0,4}[A-Za-z][\w.+-]{0,60}:`([^`]+)`")
_PLAIN_ROLE = re.compile(r"(?<![\w:]):(?:ref|doc|numref|term|title|abbr|eq|download|std:ref):`([^`]+)`")
_RAISED_ROLE = re.compile(r"(?:\\ )?:(?P<kind>su[bp])(?:erscript|script)?:`(?P<letters>[^`]+)`(?:\\ )?")
_TARGET = re.compile(r"\s+<.*>$", re.DOTALL)
_PHRASE_LINK = re.compile(r"`([^`<]+?)\s*<[^`>]+>`__?")
# A blank inside a name that Sphinx would cut at it; the build of the manual turns it into one: `verilator&32;public`
_CODED_BLANK = "&32;"
_FOOTNOTE_MARK = re.compile(r"(?<![\w\]`])(\[(?:\d+|#[\w-]*|\*)\])_(?!\w)")
_NAME_LINK = re.compile(r"`([^`]+)`__?(?!\w)|\b([A-Za-z][\w.-]{0,200})_(?=[\s.,;:)]|$)")


def parse_rst(text: str) -> Parsed:
    """Title ("" where there is no heading) and blocks. Never fails: unknown markup stays as text."""
    lines, substitutions = take_substitutions(text.expandtabs(8).splitlines())
    reader = _RstReader(substitutions)
    reader.read(lines)
    return Parsed(
        reader.headings.title or "",
        tuple(block for block in reader.blocks if block.text.strip()) or reader.headings.as_blocks(),
    )


def clean_inline(text: str) -> str:
    """Text with roles, links and literals as their words: names and code in single backticks, references bare."""
    text = _PHRASE_LINK.sub(r"\1", clean_roles(text)).replace("``", "`")
    text = _NAME_LINK.sub(lambda match: match[1] or match[2], text)
    text = _FOOTNOTE_MARK.sub(r"\1", text)
    text = text.replace(_CODED_BLANK, " ")
    text = re.sub(r"\\\s", "", text)
    return re.sub(r"\\([^\w\s])", r"\1", text)


def clean_roles(text: str) -> str:
    """Text with roles as their words, which docstrings have too: names and code in backticks, references bare."""
    text = write_raised(_RAISED_ROLE.sub(_mark, text)) if ":su" in text else text
    text = _PLAIN_ROLE.sub(lambda match: _role_text(match[1]), text)
    return _ROLE.sub(lambda match: f"`{_role_text(match[1])}`", text)


def _mark(found: re.Match[str]) -> str:
    return mark_raised(found["letters"], "raised" if found["kind"] == "sup" else "lowered")


class Substitutions:
    """What each `|name|` of a document stands for. It is put into the words of a text alone.

    A table's columns, for one, are those of the names, not of what they stand for.
    """

    def __init__(self, stands_for: Mapping[str, str]) -> None:
        self._stands_for = stands_for
        self._room = _MAX_SUBSTITUTED

    def put(self, text: str) -> str:
        """The text with each name replaced; names stay once all of them together have made too much text."""
        return _REFERENCE.sub(self._put_one, text) if self._stands_for and "|" in text else text

    def _put_one(self, match: re.Match[str]) -> str:
        text = self._stands_for.get(match["name"], match[0])
        self._room -= len(text)
        return text if self._room > 0 else match[0]


def take_substitutions(lines: list[str]) -> tuple[list[str], Substitutions]:
    """The lines without `.. |name| replace:: text` and the like, and what the names stand for: pictures for nothing."""
    stands_for: dict[str, str] = {}
    kept: list[str] = []
    position = 0
    while position < len(lines):
        definition = _SUBSTITUTION.match(lines[position])
        end = _indented_end(lines, position + 1) if definition else position + 1
        if definition:
            text = " ".join(line.strip() for line in [definition["text"], *lines[position + 1 : end]])
            stands_for[definition["name"]] = _stands_for(definition["kind"], text.strip())
        kept += [""] if definition else lines[position:end]
        position = end
    return kept, Substitutions(stands_for)


def _stands_for(kind: str, text: str) -> str:
    """What a name stands for, which is defined by one of three directives."""
    if kind == "image":
        return ""
    if kind == "replace":
        return text
    parts = re.split(r"\s\.\.\s", re.sub(r" :[lr]?trim:", "", text))[0].split()
    return " ".join(map(_read_character, parts))


def _read_character(written: str) -> str:
    """The character of a code such as `0xA9`, `U+000AE` or `174`; other text as it is."""
    code = _CHARACTER.fullmatch(written)
    number = int(code["hex"], 16) if code and code["hex"] else int(code["decimal"]) if code else 0
    return chr(number) if 0 < number <= sys.maxunicode and not 0xD800 <= number < 0xE000 else written


def _role_text(content: str) -> str:
    """What a role shows: its words without the target; of `~a.b.Name` the last name alone."""
    words = _TARGET.sub("", content)
    shown = words.rpartition(".")[2] if words.startswith("~") else words
    return re.sub(r"\\([^\w\s])", r"\1", shown.lstrip("~!"))


class _RstReader:
    """Reads lines into `blocks`. One instance per document: it learns the document's order of heading adornments."""

    def __init__(self, substitutions: Substitutions) -> None:
        self._substitutions = substitutions
        self.headings = HeadingStack()
        self.blocks: list[Block] = []
        self._styles: list[str] = []
        self._objects: list[str] = []  # directives such as `.. option:: -a` whose names wait for the body they share
        self._object_path: tuple[str, ...] = ()
        self._depth = 0  # of bodies inside bodies

    def read(self, lines: list[str]) -> None:
        """Read a whole document or the body of a directive."""
        if self._depth == _MAX_DEPTH:
            self._add("prose", "\n".join(dedent_lines(lines)))
            return
        self._depth += 1
        position = 0
        while position < len(lines):
            if not lines[position].strip():
                position += 1
                continue
            position = self._read_one(lines, position)
        self._flush_objects()
        self._depth -= 1

    def _read_one(self, lines: list[str], position: int) -> int:
        """Read what starts at `position`; return the position after it."""
        line = lines[position].rstrip()
        heading_end = self._read_heading(lines, position)
        if heading_end:
            return heading_end
        if line.startswith(".. ") or line == "..":
            return self._read_markup(lines, position)
        self._flush_objects()
        if _SIMPLE_BORDER.match(line) or _GRID_BORDER.match(line):
            return self._read_table(lines, position)
        if line[0] == " ":  # the body of a list item or of a definition
            end = _indented_end(lines, position)
            self.read(dedent_lines(lines[position:end]))
            return end
        return self._read_paragraph(lines, position)

    def _read_heading(self, lines: list[str], position: int) -> int:
        """The position after a heading or a transition line that starts here, or 0.

        Levels are learnt from the order in which adornments appear.
        """
        window = [line.rstrip() for line in lines[position : position + 3]]
        style, title, size = _find_title(window)
        if not style:
            return position + size if size else 0

        self._flush_objects()
        if style not in self._styles:
            self._styles.append(style)

        self._add(
            "prose",
            self.headings.enter(self._styles.index(style) + 1, self._clean(title).replace("`", "").strip(" -")),
        )
        return position + size

    def _read_markup(self, lines: list[str], position: int) -> int:
        """A directive, comment, target or footnote; each owns the indented lines after it."""
        directive = _DIRECTIVE.match(lines[position].rstrip())
        end = _indented_end(lines, position + 1)
        body = dedent_lines(lines[position + 1 : end])
        if directive:
            name, argument = directive[1].lower(), (directive[2] or "").strip()
            goes_on = bool("".join(lines[position + 1 : position + 2]).strip()) and bool(body)
            while argument and goes_on and name in _CAPTIONED and body and body[0].strip():
                if _OPTION_LINE.match(body[0]):
                    break
                argument, body = f"{argument} {body[0].strip()}", body[1:]
            if argument and goes_on and name in _ADMONITIONS and name != "admonition":
                body, argument = [argument, *body], ""  # its text begins beside its name
            while (
                argument
                and name in ("option", "cmdoption")
                and body[:1]
                and body[0].strip() == lines[position + 1].strip()
            ):
                if not body[0].lstrip().startswith(("-", "+")):
                    break
                argument, position, body = f"{argument}, {body[0].strip()}", position + 1, dedent_lines(body[1:])
            self._read_directive(name, argument, body)
        else:
            note = re.match(r"^\.\. \[([^\]]+)\](?: +(.*)|\s*$)", lines[position])
            if note:
                first, *others = [note[2], *body] if note[2] else body or [""]
                self._add("prose", self._clean("\n".join([f"{note[1]}: {first}", *others])))
        return end

    def _read_directive(self, name: str, argument: str, body: list[str]) -> None:
        options, body = _take_options(body)

        if name in OBJECTS or (":" in name and argument and name.split(":")[-1] not in _PLACES):
            facts = [f"{key.capitalize()}: {value}" for key, value in options.items() if value and key not in _LISTING]
            self._read_object(argument, [*facts, "", *body] if facts else body)
            return
        if name == "glossary":
            self._read_glossary(body)
            return

        self._flush_objects()
        if name in _SILENT:
            return

        if name in _CODE:
            self._add("prose", self._clean(options.get("caption") or ""))
            if name == "parsed-literal":
                body = list(map(self._substitutions.put, body))
            if name == "math" and argument:  # its formula may stand beside its name
                body, argument = [argument, *body], ""
            if body:
                self._add_code(body, argument)
        elif name in _TABLES:
            self._add("prose", self._clean(argument))
            rows = read_list_table(body) if name in _LIST_TABLES else read_csv_table(body, options)
            self._add_table(join_header(spread_cells(rows) if name == "flat-table" else rows, options))
            if body and not rows:
                self._add("prose", self._clean("\n".join(body)))
        elif name in _ADMONITIONS:
            label = "See also:" if name == "seealso" else f"{name.capitalize()}:"
            if name == "admonition":
                label, argument = f"{argument}:" if argument else "", ""
            if body and re.match(r"\w|`", body[0]) and not argument:
                self.read([f"{label} {body[0]}", *body[1:]])
            else:
                self.read([f"{label} {argument}", "", *body])
        else:  # figure, table, tab, only, and whatever a project added: its argument and its body are text
            if name in _VERSIONS:
                version, _, text = argument.partition(" ")
                argument, body = "", [f"{_VERSIONS[name]} {version}: {text or ''.join(body[:1])}", *body[not text :]]
            argument = "" if name in _WRAPPERS else argument
            self.read([argument, "", *body] if argument else body)

    def _read_object(self, name: str, body: list[str]) -> None:
        """`.. option:: -a` and the like: several in a row share the body of the last one."""
        self._objects.append(self._clean(name).replace("`", ""))
        if not body:
            return
        names, self._objects = self._objects, []
        outer = self._object_path
        heading, whole = name_definition(names)
        self._object_path = (*outer, heading) if heading else outer
        if whole:
            self._add("prose", whole)
        self.read(body)
        self._object_path = outer

    def _read_glossary(self, body: list[str]) -> None:
        """Terms over their definitions; each term, or several in a row, is a heading."""
        self._flush_objects()
        position = 0
        while position < len(body):
            end = _indented_end(body, position + 1)
            if body[position].strip():
                term = body[position].split(" : ")[0]  # behind the colon stands how it is sorted
                self._read_object(term, dedent_lines(body[position + 1 : end]))
            position = end
        self._flush_objects()

    def _flush_objects(self) -> None:
        """Add names that never got a body: they are still worth finding."""
        if self._objects:
            names, self._objects = self._objects, []
            self._add("prose", "\n".join(f"`{name}`" for name in names))

    def _read_table(self, lines: list[str], position: int) -> int:
        """A grid table ends at a blank line; a simple one at a border that a blank line follows."""
        end = position
        simple = bool(_SIMPLE_BORDER.match(lines[position].rstrip()))
        while end < len(lines):
            blank = not lines[end].strip()
            if blank and (not simple or _SIMPLE_BORDER.match(lines[end - 1].rstrip())) and end > position + 1:
                break
            end += 1
        rows = read_simple_table(lines[position:end]) if simple else read_grid_table(lines[position:end])
        if rows:
            self._add_table(rows)
        else:
            self._add("table", squeeze_table(self._clean("\n".join(lines[position:end]))))
        return end

    def _read_paragraph(self, lines: list[str], position: int) -> int:
        """Lines up to a blank one; `::` at the end turns the indented lines after it into code."""
        end = position
        while end < len(lines) and lines[end].strip():
            end += 1
        text = "\n".join(line.rstrip() for line in lines[position:end])
        kind: BlockKind = "list" if re.match(r"(?:[-*+]|#\.|\d+[.)])\s", text) else "prose"
        if not text.endswith("::"):
            self._add(kind, self._clean(text))
            return end
        self._add(kind, self._clean(text[:-1].rstrip(": ") + ":") if text.strip() != "::" else "")
        code_end = _indented_end(lines, end)
        code = dedent_lines(lines[end:code_end])
        if code:
            self._add_code(code, "")
        return code_end

    def _clean(self, text: str) -> str:
        return clean_inline(self._substitutions.put(text))

    def _add(self, kind: BlockKind, text: str) -> None:
        self.blocks.append(Block(kind, text.strip("\n"), self.headings.path + self._object_path))

    def _add_table(self, rows: list[list[str]]) -> None:
        if rows:
            self._add("table", pipe_table([[self._clean(cell) for cell in row] for row in rows]))

    def _add_code(self, lines: list[str], language: str) -> None:
        self.blocks.append(Block("code", fence_code(lines, language), self.headings.path + self._object_path))


def _find_title(window: list[str]) -> tuple[str, str, int]:
    """The style, text and number of lines of a title that begins in the first of three lines.

    An empty style for none; then the number of lines is that of a line that parts two paragraphs, or 0.
    """
    lines = [*window, "", ""][:3]
    if len(window) == 3 and lines[1].strip() and lines[0] == lines[2]:
        is_short = _SHORT_ADORNMENT.match(lines[0]) and len(lines[1]) <= len(lines[0]) and lines[1].strip().isalnum()
        if is_short or _ADORNMENT.match(lines[0]):
            return lines[0][0] * 2, lines[1].strip(), 3
    if _ADORNMENT.match(lines[0]):
        return "", "", 1
    if lines[0][:1] in ("", " ") or lines[0].startswith(".. "):
        return "", "", 0
    is_short = _SHORT_ADORNMENT.match(lines[1]) and len(lines[0]) <= len(lines[1]) and lines[0].isalnum()
    is_long = _ADORNMENT.match(lines[1]) and len(lines[1]) >= min(len(lines[0]), 4)
    return (lines[1][0], lines[0], 2) if is_long or (is_short and not lines[2]) else ("", "", 0)


def _take_options(body: list[str]) -> tuple[dict[str, str], list[str]]:
    """The options that begin a directive's body, whose values may go on in lines that are indented more; and the rest.

    The rest is dedented.
    """
    options: dict[str, str] = {}
    name, taken = "", 0
    for line in body:
        if option := _OPTION_LINE.match(line):
            name = option["name"]
            options[name] = option["value"] or ""
        elif name and line[:1] == " " and line.strip():
            options[name] = f"{options[name]} {line.strip()}".strip()
        else:
            break
        taken += 1
    return options, dedent_lines(body[taken:])


def _indented_end(lines: list[str], position: int) -> int:
    """Position of the first line from `position` on that is neither blank nor indented."""
    while position < len(lines) and (not lines[position].strip() or lines[position][0] == " "):
        position += 1
    return position
