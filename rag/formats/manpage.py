"""Manual pages in troff's `man` and `mdoc` macros to blocks with heading paths, each option above its description.

It has its own reader for the macros that manual pages use, with simple `tbl` tables. It runs no troff: it skips
requests that compute or define. A generated page that only loads another one (`.so`) holds no text.

    parse_man(".TH LS 1\n.SH NAME\nls \\- list").title == "ls - list"
"""

from __future__ import annotations

import re

from rag.blocks import (
    MAX_HEADING_CHARACTERS,
    Block,
    BlockKind,
    Parsed,
    add_block,
    fence_code,
    name_definition,
    pipe_table,
)
from rag.errors import ParseFailed

_ESCAPES = {
    "-": "-",
    "&": "",
    "e": "\\",
    "\\": "\\",
    " ": " ",
    "~": " ",
    "0": " ",
    "|": "",
    "^": "",
    "%": "",
    "c": "",
    "/": "",
    ",": "",
    ":": "",
    "'": "'",
    "`": "`",
    ".": ".",
    "t": "\t",
    "d": "",
    "u": "",
    "p": "",
    "{": "",
    "}": "",
    "a": "",
    ")": "",
}
_GLYPHS = {
    "bu": "•",
    "em": "—",
    "en": "–",
    "hy": "-",
    "aq": "'",
    "dq": '"',
    "lq": '"',
    "rq": '"',
    "oq": "'",
    "cq": "'",
    "ga": "`",
    "ha": "^",
    "ti": "~",
    "rs": "\\",
    "co": "(c)",
    "rg": "(R)",
    "tm": "(TM)",
    "mu": "×",
    "de": "°",
    "<=": "<=",
    ">=": ">=",
    "!=": "!=",
    "+-": "+-",
    "->": "->",
    "<-": "<-",
    "at": "@",
    "sh": "#",
    "Do": "$",
    "lB": "[",
    "rB": "]",
    "lC": "{",
    "rC": "}",
    "ba": "|",
    "sl": "/",
    "**": "*",
    "pl": "+",
    "mi": "-",
    "eq": "=",
    "Fo": '"',
    "Fc": '"',
    "fo": "'",
    "fc": "'",
    "R": "(R)",
    "Tm": "(TM)",
    'L"': '"',
    'R"': '"',
    "C`": "",
    "C'": "",
}
_ESCAPE = re.compile(
    r"\\(?:f(?:\[[^\]]*\]|\(..|.)|s[-+]?(?:\[[^\]]*\]|'[^']*'|\(..|\d{1,2}|)|[mMFgkVYO](?:\[[^\]]*\]|\(..|.)"
    r"|\*(?:\[(?P<longstring>[^\]]*)\]|\((?P<string>..)|(?P<one>.))|\[(?P<long>[^\]]*)\]|\((?P<glyph>..)"
    r"|[hvwlLDXRbCNoxZABSH]'[^']*'|n(?:\[[^\]]*\]|\(..|.)|\"(?P<comment>.*)|#.*|(?P<single>.)|$)"
)
_STRING = re.compile(r"\\\*(?:\[(?P<long>[^\]]*)\]|\((?P<two>..)|(?P<one>[^\[(]))")
MAX_PUT = 2**20  # characters of strings that a page defines itself
_FONTS = frozenset({"B", "I", "R", "BI", "IB", "BR", "RB", "IR", "RI", "SM", "SB"})
_MDOC_TEXT = frozenset(
    {"Fl", "Cm", "Nm", "Ar", "Pa", "Ev", "Ic", "Li", "Sy", "Em", "Va", "Fn", "Xr", "Op"}
)  # macros that print their arguments
_NAME_LINE = re.compile(r"^(\S.*?)\s+[-–—]+\s+(.*)$")


def parse_man(text: str) -> Parsed:
    """Title (`name - what it is`, from the NAME section) and blocks.

    Raises ParseFailed: the text has no macros of a manual page.
    """
    if not re.search(r"^[.'][ \t]*(?:TH|Dd|SH|Sh)\b", text, re.MULTILINE):
        only = re.search(r"^\.so +(\S+)", text, re.MULTILINE)
        raise ParseFailed(
            f"it only points to the manual page {only[1]}"
            if only
            else "no manual page: it has none of the macros .TH, .SH, .Dd, .Sh"
        )
    reader = _ManReader()
    reader.read(text.splitlines())
    return Parsed(reader.title, tuple(block for block in reader.blocks if block.text.strip()))


def unescape(text: str) -> str:
    """troff's escapes as the characters they print; fonts, sizes and motions are dropped."""
    return _ESCAPE.sub(_print_escape, text)


def _print_escape(match: re.Match[str]) -> str:
    if match["single"] is not None:
        return _ESCAPES.get(match["single"], match["single"])
    name = match["glyph"] or match["long"] or match["longstring"] or match["string"] or match["one"]
    if name is None:
        return ""
    if re.fullmatch(r"u[0-9A-F]{4,5}", name):
        code = int(name[1:], 16)
        return "" if 0xD800 <= code < 0xE000 else chr(code)
    return _GLYPHS.get(name, "")


def split_arguments(text: str) -> list[str]:
    """A macro's arguments, separated by blanks; one that contains blanks is in double quotes."""
    parts = re.findall(r'"((?:[^"]|"")*)"?|((?:\\.|[^\s"])(?:\\.|[^\s])*)', text)
    return [quoted.replace('""', '"') if quoted or not plain else plain for quoted, plain in parts]


class _ManReader:
    """Reads lines into `blocks`.

    The path is section, subsection, and the tag (an option) of the paragraph being read.
    """

    def __init__(self) -> None:
        self.title = ""
        self.blocks: list[Block] = []
        self._name = ""  # of what the page is about, which `.Nm` alone stands for
        self._section = ""
        self._subsection = ""
        self._tags: list[str] = []  # what the paragraph defines; the tags stand over it like a heading
        self._awaits_block = False  # whether no block follows the tags yet
        self._words: list[str] = []
        self._code: list[str] | None = None  # the lines between .nf and .fi
        self._table: list[str] | None = None  # the lines between .TS and .TE
        self._wants_tag = False  # after .TP
        self._skip_until = ""  # the end of a macro's definition
        self._strings: dict[str, str] = {}  # what `.ds` defines
        self._room = MAX_PUT  # characters

    def read(self, lines: list[str]) -> None:
        """Read a whole page."""
        for line in map(self._put_strings, lines):
            if self._skip_until:
                ends = (
                    line.startswith(".") and f".{line[1:].strip()}" == self._skip_until
                )  # `.  .` also ends what `.  am` began
                self._skip_until = "" if ends else self._skip_until
            elif self._table is not None and not line.startswith(".TE"):
                self._table.append(line)
            elif line[:1] in (".", "'") and line[:3] not in ("...", "'''"):
                self._read_request(line)
            else:
                self._read_text(unescape(line))
        self._flush()
        self._drop_tags()

    def _put_strings(self, line: str) -> str:
        """A line with the strings that the page defined before it; they stay out once there is too much of them."""

        def put(match: re.Match[str]) -> str:
            """The text of a string, or its name where it is not the page's own."""
            text = self._strings.get(match["long"] or match["two"] or match["one"], match[0])
            self._room -= len(text)
            return text if self._room > 0 else match[0]

        return _STRING.sub(put, line) if self._strings and "\\*" in line else line

    def _read_request(self, line: str) -> None:
        name, _, rest = line[1:].strip().partition(" ")
        if name.startswith('\\"'):
            return
        arguments = [unescape(argument) for argument in split_arguments(re.sub(r'(?<!\\)\\".*', "", rest).strip())]
        joined = " ".join(arguments)

        if name in _FONTS:
            self._read_text(joined if len(name) == 1 or name in ("SM", "SB") else "".join(arguments))
        elif name in ("SH", "Sh", "SS", "Ss"):
            self._enter(name.upper() == "SH", joined)
        elif name in ("TP", "TQ"):
            self._flush()
            self._wants_tag = True
            if name == "TP" and not self._awaits_block:  # otherwise both share the text to come
                self._tags.clear()
        elif name in ("IP", "It"):
            self._read_item(arguments[:1] if name == "IP" else arguments, is_mdoc=name == "It")
        elif name in ("PP", "P", "LP", "Pp", "HP", "sp", "br", "RS", "RE", "El", "Bl", "TH", "Dt"):
            self._read_break(name)
        elif name in ("nf", "EX", "Bd", "fi", "EE", "Ed"):
            self._switch_code(name, joined)
        elif name in ("TS", "TE"):
            self._switch_table(name)
        elif name in ("de", "de1", "am", "ig"):
            self._skip_until = f".{arguments[1]}" if len(arguments) > 1 else ".."
        elif name == "ds" and arguments:
            self._strings[arguments[0]] = rest.partition(" ")[2].lstrip().removeprefix('"')
        elif name == "Nd":
            self._read_text(f"- {joined}")
        elif name == "Nm":
            self._name = self._name or " ".join(arguments[:1])
            self._read_text(_print_mdoc(name, arguments or [self._name]))
        elif name in ("UR", "MT", "URL"):
            self._read_text(joined)
        elif name in _MDOC_TEXT:
            self._read_text(_print_mdoc(name, arguments))

    def _read_break(self, name: str) -> None:
        if self._code is not None and name in ("sp", "PP", "P"):
            self._code.append("")
        elif name != "br":
            self._flush()
            if name in ("PP", "P", "LP", "El"):
                self._drop_tags()
        elif self._words:
            self._words.append("\n")

    def _enter(self, is_section: bool, heading: str) -> None:
        self._flush()
        self._drop_tags()
        self._code, self._wants_tag = None, False
        if is_section:
            self._section, self._subsection = heading, ""
        else:
            self._subsection = heading

    def _read_item(self, arguments: list[str], is_mdoc: bool) -> None:
        """`.IP tag`: a bullet makes a list item, any other tag stands over its paragraph.

        Without a tag the paragraph goes on.
        """
        self._flush()
        tag = (_print_mdoc("It", arguments) if is_mdoc else " ".join(arguments)).strip()
        if tag in ("•", "*", "o", "-", "+", "·", "—"):
            self._words = ["-"]
        elif tag:
            self._tags = [*(self._tags if self._awaits_block else ()), tag]
            self._awaits_block = True

    def _read_text(self, text: str) -> None:
        if self._wants_tag:
            self._wants_tag = False
            self._tags.append(text.strip())
            self._awaits_block = True
        elif self._code is not None:
            self._code.append(text.expandtabs(8).rstrip())
        elif text.strip() == "•":  # generators draw an item so for terminals, before the macro for printers
            self._flush()
            self._words = ["-"]
        elif text.strip():
            self._words.append(text.strip() if text[0] != " " or not self._words else f"\n{text.rstrip()}")
        elif self._words:
            self._flush()

    def _switch_code(self, name: str, argument: str) -> None:
        self._flush()
        opens = name in ("nf", "EX") or (name == "Bd" and ("literal" in argument or "unfilled" in argument))
        self._code = [] if opens else None

    def _switch_table(self, name: str) -> None:
        self._flush()
        if name == "TE" and self._table is not None:
            self._add("table", pipe_table(_table_rows(self._table)))
        self._table = [] if name == "TS" else None

    def _flush(self) -> None:
        """End the paragraph, or the code so far, as a block."""
        if self._code:
            code = "\n".join(self._code).strip("\n")
            if code.strip():
                self._add("code", fence_code(code.split("\n")))
            self._code = []
        text = re.sub(r" *\n *", "\n", " ".join(self._words)).strip()
        self._words = []
        if text in ("", "-"):
            return
        named = _NAME_LINE.match(text) if self._section.upper() == "NAME" and not self.title else None
        if named:
            self.title = f"{named[1]} - {named[2]}"[:MAX_HEADING_CHARACTERS]
        self._add("list" if text.startswith("- ") else "prose", text)

    def _drop_tags(self) -> None:
        """Go on below what was defined. Names that never got a text are still worth finding."""
        names, self._tags = self._tags, []
        if self._awaits_block and any(names):
            self._add("prose", "\n".join(f"`{name}`" for name in names if name))
        self._awaits_block = False

    def _add(self, kind: BlockKind, text: str) -> None:
        tag, whole = name_definition(self._tags)
        path = tuple(filter(None, (self._section, self._subsection, tag)))
        if whole and self._awaits_block:
            self.blocks.append(Block("prose", whole, path))
        self._awaits_block = False
        add_block(self.blocks, Block(kind, text, path))


def _print_mdoc(name: str, arguments: list[str]) -> str:
    """A line of mdoc, whose arguments may be macros themselves: `.Op Fl v Ar file` prints `[-v file]`."""
    words: list[str] = []
    closing = ""
    dash = ""
    for word in [name, *arguments]:
        if word == "Op":
            words.append("[")
            closing = "]"
        elif word == "Fl":
            dash = "-"
        elif word in _MDOC_TEXT or word in ("It", "Ns", "No"):
            continue
        else:
            words.append(dash + word)
            dash = ""
    text = re.sub(r"\[ ", "[", " ".join(words + ([dash] if dash else []))) + closing
    return re.sub(r" (?=[.,;:)](?: |$))", "", text)  # signs that end a sentence are arguments of their own


def _table_rows(lines: list[str]) -> list[list[str]]:
    """The rows of a `tbl` table, which follow its options (`;`) and its format (up to `.`), its header first.

    Cells are separated by tabs or by the table's own mark. A header has a format or a ruler of its own, else it is
    empty.
    """
    text = "\n".join(lines)
    options = re.match(r"[^\n]*;[ \t]*\n", text)
    mark = re.search(r"tab ?\((.)\)", options[0]) if options else None
    form, _, data = re.sub(r"\.[ \t]*\n", ".\n", text[options.end() if options else 0 :]).partition(".\n")
    has_header = "\n" in form or bool(re.match(r"[^\n]*\n[_=]+\n", data))
    before, *blocks = data.split("T{\n")  # a cell of several lines
    cells = (part.partition("\nT}") for part in blocks)
    data = "".join([before, *(cell.replace("\n", " ") + rest for cell, _, rest in cells)])
    rows = [line.split(mark[1] if mark else "\t") for line in data.split("\n") if line.strip(" _=") and line[0] != "."]
    cleaned = [[unescape(cell).strip() for cell in row] for row in rows]
    return cleaned if has_header or not cleaned else [[""] * len(cleaned[0]), *cleaned]
