"""LaTeX to blocks: sections, paragraphs, lists, tables and verbatim text; commands become their words.

It expands macros of a document's own that take no arguments, and reads no \\input. Mathematics stays as it is written,
but for what is only a sign (`$\\mu$`) or plain words.

    parse_latex("\\section{Rules} A \\texttt{width} rule.").blocks[0].text == "A `width` rule."
"""

from __future__ import annotations

import re
import unicodedata

from rag.blocks import (
    Block,
    BlockKind,
    HeadingStack,
    Parsed,
    add_block,
    dedent_lines,
    fence_code,
    join_short_head,
    pipe_table,
)
from rag.raised import mark_raised, write_raised

_LEVELS = {"part": 1, "chapter": 2, "section": 3, "subsection": 4, "subsubsection": 5, "paragraph": 6}
_VERBATIM = ("verbatim", "Verbatim", "lstlisting", "minted", "alltt", "verbatimtab")
_MATH = ("equation", "align", "gather", "multline", "eqnarray", "displaymath", "math")
_TABLES = ("tabular", "tabularx", "longtable", "tabulary", "array")
_SILENT = ("tikzpicture", "picture", "thebibliography", "filecontents")
_LONGEST_ARGUMENT = 2000  # characters in braces; more is a brace that is never closed
_LISTS = ("itemize", "enumerate", "description", "compactitem", "compactenum")
_MAX_EXPANDED = 2**20  # characters of a document's own macros
_MAX_PASSES = 30  # of commands inside commands; people stop at five

_COMMENT = re.compile(r"(\\verb\*?([^\w\s*{]).{0,500}?\2|(?<!\\)(?:\\\\){0,9}(?=%))(?:%.*)?")
_NAMES = "|".join((*_VERBATIM, *_MATH, *_TABLES, *_SILENT))
_BEGIN = re.compile(
    rf"\\begin\{{(?P<name>{_NAMES})\*?\}}"
    r"|\\(?P<section>part|chapter|section|subsection|subsubsection|paragraph)\*?(?:\[[^\]\n]*\])?\s*(?=\{)"
    r"|\\(?P<caption>caption\*?|title)(?:\[[^\]\n]*\])?\s*(?=\{)"
    r"|\\(?P<item>item)\b\s*(?:\[(?P<term>[^\]\n]*)\])?"
    r"|\\(?P<edge>begin|end)\{(?P<environment>\w+)\*?\}(?:\[[^\]\n]*\])?"
    r"|(?P<display>\\\[|\$\$)"
    r"|(?P<gap>\n[ \t]*\n\s*)"
)
_VERBATIM_BEGIN = re.compile(rf"\\begin\{{({'|'.join(_VERBATIM)})")
_VERBATIM_EDGE = re.compile(rf"\\(?P<edge>begin|end)\{{(?P<name>{'|'.join(_VERBATIM)})\*?\}}")
_VERB = re.compile(r"\\(?:verb|lstinline)\*?([^\w\s*{])(.{0,500}?)\1")
_CODE = re.compile(r"\\(?:texttt|code|lstinline|path|file|cmd|command|option|ttt?)\s*\{([^{}]*)\}")
_LINK = re.compile(r"\\href\s*\{[^{}]*\}\s*\{([^{}]*)\}")
_DROPPED = re.compile(
    r"\\(?:label|ref|pageref|cite|index|vspace|hspace|includegraphics|input|include|bibliography\w*|usepackage|"
    r"documentclass|pagestyle|thispagestyle|setlength|hline|cline|toprule|midrule|bottomrule|cmidrule|"
    r"noindent|centering|small|footnotesize|tableofcontents|maketitle|newpage|clearpage)\*?(?![A-Za-z])"
    r"(?:\[[^\]]*\]|\([^)]*\))*(?:\{[^{}]*\})?"
)
_FOOTNOTE = re.compile(r" ?\\(?:footnote|thanks)(?:\[[^\]]*\])?\{([^{}]*)\}")
_MACRO = re.compile(
    r"\\(?:(?:re)?newcommand|providecommand)\*?\s*\{?\\(?P<name>[A-Za-z]+)\}?(?P<arguments>(?:\[[^\]]*\])*)\s*(?=\{)"
    r"|\\def\s*\\(?P<old>[A-Za-z]+)(?P<parameters>[^{}\n]{0,40})(?=\{)"
)
_INLINE_MATH = re.compile(
    r"(?<![\\$])\$(?!\$)(?P<dollars>[^$]{1,500}?)(?<!\\)\$|\\\((?P<round>.{1,500}?)\\\)"
    r"|\\ensuremath\{(?P<ensured>[^{}]{1,500})\}",
    re.DOTALL,
)
_QUANTITY = re.compile(
    r"\\(?:SI|qty)(?:\[[^\]]*\])?\{(?P<value>[^{}]*)\}(?:\[[^\]]*\])?\{(?P<of>[^{}]*)\}"
    r"|\\(?:si|unit)\{(?P<unit>[^{}]*)\}|\\num\{(?P<number>[^{}]*)\}"
)


def _pair(names: str, signs: str) -> dict[str, str]:
    return dict(zip(names.split(), signs, strict=True))


_SIGNS = {
    **_pair("alpha beta gamma delta epsilon eta theta lambda mu pi rho sigma tau phi omega", "αβγδεηθλµπρστφω"),
    **_pair("Delta Omega Sigma Phi le leq ge geq pm approx cdot times ne neq", "ΔΩΣΦ≤≤≥≥±≈·×≠≠"),
    **_pair("rightarrow to leftarrow infty degree circ sim", "→→←∞°°~"),
}
# Letters and signs of running text
_LETTERS = {
    **_pair("ss ae AE oe OE aa AA o O l L S copyright", "ßæÆœŒåÅøØłŁ§©"),
    **_pair("textless textgreater textbar textunderscore textasciicircum slash texteuro euro", "<>|_^/€€"),
    **_pair("textendash textemdash textregistered texttrademark", "–—®™"),
    **{name: name for name in ("LaTeX", "TeX")},
}
_LETTER = re.compile(rf"\\({'|'.join(_LETTERS)})(?![A-Za-z]|\{{[^}}])[ \t]*(?:\{{\}})?")
_ACCENTS = _pair("\" ' ` ^ ~ c v H u r k", "\u0308\u0301\u0300\u0302\u0303\u0327\u030c\u030b\u0306\u030a\u0328")
_ACCENT = re.compile(
    r"(?<!\\)\\(?:(?P<sign>[\"'`^~])(?P<letter>[A-Za-z])|(?P<mark>[\"'`^~cvHurk])\{(?P<of>[A-Za-z])\})"
)
_UNITS = {
    **_pair("femto pico nano micro milli kilo mega giga per", "fpnµmkMG/"),
    **_pair("metre meter second volt ampere ohm farad watt kelvin joule henry percent", "mmsVAΩFWKJH%"),
    **{"hertz": "Hz", "celsius": "°C", "degreeCelsius": "°C", "squared": "²", "square": "²", "decibel": "dB"},
}
_ROW_END = re.compile(r"(?<!\\)\\(?:\\|tabularnewline\b)(?:\[[^\]]*\])?")
_ROWS = re.compile(r"\\multirow(?:\[[^\]]*\])?\s*\{(\d{1,3})\}")
_COLUMNS = re.compile(r"\\multicolumn\s*\{(\d{1,3})\}")
_CAPTION = re.compile(r"\\caption\*?(?:\[[^\]\n]*\])?\s*(?=\{)")
_REPEATED = re.compile(r"\\end(?:firsthead|head|foot|lastfoot)(?![A-Za-z])")
_VERBATIM_OPTIONS = re.compile(r"(?:\[(?P<options>[^\n]*?)\](?=\s*(?:\n|\{)))?(?:\{(?P<language>\w+)\})?[^\S\n]*\n?")
_LISTING_CAPTION = re.compile(r"\bcaption\s*=\s*(?:\{([^{}]*)\}|([^,\]]*))")
_LISTING_LANGUAGE = re.compile(r"\blanguage\s*=\s*(\w+)")
_MOST_COLUMNS = 100
_RAISED = re.compile(r"\\text(super|sub)script\s*\{([^{}]*)\}")
_SPANS = re.compile(r"\\multi(?:column|row)(?:\[[^\]]*\])?\s*\{[^{}]*\}\s*\{[^{}]*\}\s*\{([^{}]*)\}")
_ARGUMENT = re.compile(r"\\[A-Za-z]+\*?(?:\[[^\]]*\])?\{([^{}]*)\}")
_COMMAND = re.compile(r"\\[A-Za-z]+\*?[ \t]*")
_WORDS = {
    r"\\textbackslash\b\s*": "\ue000", r"\\textasciitilde\b\s*": "\ue001", r"\\(?:ldots|dots)\b\s*": "...",
    r"\\(?:mu|textmu|micro)\b\s*": "µ", r"\\(?:textdegree|degree)\b\s*": "°", r"\\times\b": "×",
    r"\\[\\]\s*(?:\[[^\]]*\])?": "\n", r"(?<!\\)~": " ", r"``|''": '"', r"\\[,;:! ]": " ", r"\\-": "",
}  # fmt: skip
_ESCAPED = re.compile(r"\\([%&#$_{}])")
# Signs of verbatim text, which the cleaning of commands leaves alone
_VERBATIM_SIGNS = {ord("\\"): "\ue000", **{ord(sign): chr(0xE010 + at) for at, sign in enumerate("%&#$_{}")}}
_SHOWN = str.maketrans("\ue000\ue001", "\\~")


def parse_latex(text: str) -> Parsed:
    """Title ("" without one) and blocks. Never fails: what is not understood stays as words."""
    text = _expand_macros(_drop_comments(text))
    body = re.search(r"\\begin\{document\}(.*?)(?:\\end\{document\}|\Z)", text, re.DOTALL)
    head = text[: body.start()] if body else ""
    reader = _LatexReader()
    if title := re.search(r"\\title\s*(?=\{)", head):
        reader.headings.enter(1, clean(_braced(head, title.end())[0]))
    reader.read(body[1] if body else text)
    blocks = tuple(reader.blocks) or reader.headings.as_blocks()
    return Parsed(reader.headings.title or "", blocks)


def clean(text: str) -> str:
    """Running text without commands: code in backticks, words of emphasis and links alone."""
    text = _VERB.sub(lambda found: f"`{found[2]}`".translate(_VERBATIM_SIGNS), text)
    text = _INLINE_MATH.sub(_write_math, _QUANTITY.sub(_write_quantity, text))
    text = _ACCENT.sub(_write_accent, _LETTER.sub(lambda found: _LETTERS[found[1]], text))
    text = re.sub(r"\\([A-Za-z]+)\b[ \t]*(?:\{\})?", lambda found: _SIGNS.get(found[1], found[0]), text)
    for pattern, word in _WORDS.items():
        text = re.sub(pattern, word.replace("\\", r"\\"), text)
    text = _ESCAPED.sub(lambda found: chr(0xE010 + "%&#$_{}".index(found[1])), text)
    for _ in range(_MAX_PASSES):
        before = text
        text = _SPANS.sub(r"\1", _LINK.sub(r"\1", _CODE.sub(r"`\1`", _DROPPED.sub("", text))))
        text = _FOOTNOTE.sub(r" (\1)", text)
        text = _RAISED.sub(lambda found: mark_raised(found[2], "raised" if found[1] == "super" else "lowered"), text)
        text = _ARGUMENT.sub(r"\1", text)
        if text == before:
            break
    text = re.sub(r"[{}]", "", _COMMAND.sub("", text)).translate(_SHOWN)
    text = re.sub(r"[\ue010-\ue016]", lambda found: "%&#$_{}"[ord(found[0]) - 0xE010], text)
    return write_raised(text)


def _write_math(found: re.Match[str]) -> str:
    """A formula within a line: its signs where it is nothing else, otherwise as it is written."""
    formula = " ".join((found["dollars"] or found["round"] or found["ensured"]).split())
    shown = re.sub(r"\\([A-Za-z]+)[ ]?", lambda sign: _SIGNS.get(sign[1], sign[0]), formula)
    shown = re.sub(r"\\[,;:! ]", " ", shown)
    is_plain = not re.search(r"[\\^_{}]", shown)
    return shown if is_plain else f"${formula}$".translate(_VERBATIM_SIGNS)


def _write_accent(found: re.Match[str]) -> str:
    """A letter with its accent; as it is written where there is no such letter."""
    letter = f"{found['letter'] or found['of']}{_ACCENTS[found['sign'] or found['mark']]}"
    composed = unicodedata.normalize("NFC", letter)
    return composed if len(composed) == 1 else found[0]


def _write_quantity(found: re.Match[str]) -> str:
    """A number with its unit, as `0.5 µm`."""
    unit = re.sub(r"\\([A-Za-z]+)\s*", lambda name: _UNITS.get(name[1], name[1]), found["of"] or found["unit"] or "")
    return f"{found['value'] or found['number'] or ''} {unit}".strip()


def _expand_macros(text: str) -> str:
    """The text without definitions of macros, and with those that take no arguments in place of their names."""
    outside, macros = _part_verbatim(text), dict[str, str]()
    outside[::2] = [_take_macros(part, macros) for part in outside[::2]]
    if not macros:
        return "".join(outside)
    room = _MAX_EXPANDED

    def put(match: re.Match[str]) -> str:
        """What a macro stands for, or its name once there is too much text."""
        nonlocal room
        body = macros.get(match[1])
        room -= len(body or "")
        return match[0] if body is None or room < 0 else body

    outside[::2] = [re.sub(r"\\([A-Za-z]+)(?![A-Za-z])(?:\{\})?", put, part) for part in outside[::2]]
    return "".join(outside)


def _part_verbatim(text: str) -> list[str]:
    """The text in pieces: every second one is a verbatim environment."""
    pieces: list[str] = []
    start, open_name = 0, ""
    for found in _VERBATIM_EDGE.finditer(text):
        if not open_name and found["edge"] == "begin":
            pieces.append(text[start : found.start()])
            start, open_name = found.start(), found["name"]
        elif found["edge"] == "end" and found["name"] == open_name:
            pieces.append(text[start : found.end()])
            start, open_name = found.end(), ""
    return [*pieces, text[start:]]


def _take_macros(text: str, macros: dict[str, str]) -> str:
    """The text without the macros that it defines; those without arguments are added to `macros`."""
    kept: list[str] = []
    position = 0
    while found := _MACRO.search(text, position):
        body, end = _braced(text, found.end())
        if not found["arguments"] and not (found["parameters"] or "").strip():
            macros[found["name"] or found["old"]] = body
        kept.append(text[position : found.start()])
        position = end
    return "".join([*kept, text[position:]])


def _drop_comments(text: str) -> str:
    """The text without comments; in verbatim text a percent sign is one."""
    kept: list[str] = []
    inside = ""  # the name of the verbatim environment that is open
    for line in text.split("\n"):
        kept.append(line if inside else _COMMENT.sub(r"\1", line))
        if inside:
            inside = "" if f"\\end{{{inside}" in line else inside
        elif begun := _VERBATIM_BEGIN.search(kept[-1]):
            inside = "" if f"\\end{{{begun[1]}" in line else begun[1]
    return "\n".join(kept)


def _braced(text: str, start: int) -> tuple[str, int]:
    """What stands between the brace at `start` and the one that closes it, and the place after that."""
    depth = 0
    for found in re.compile(r"\\.|[{}]", re.DOTALL).finditer(text, start):
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        if depth == 0 and found[0] == "}":
            return text[start + 1 : found.start()], found.end()
        if found.start() - start > _LONGEST_ARGUMENT:
            break
    end = text.find("\n", start)
    return text[start + 1 : end if end >= 0 else len(text)], end if end >= 0 else len(text)


class _LatexReader:
    """Reads text into `blocks`; paragraphs end at blank lines and at what begins an environment."""

    def __init__(self) -> None:
        self.headings = HeadingStack()
        self.blocks: list[Block] = []
        self._items: list[str] = []  # of the list that is being read
        self._lists: list[tuple[str, int]] = []  # those around the item being read, each with its number of items

    def read(self, text: str) -> None:
        """Read a document's body."""
        position = 0
        while found := _BEGIN.search(text, position):
            self._add_text(text[position : found.start()])
            position = found.end()
            if found["environment"] in _LISTS:
                self._turn_list(found["edge"] == "begin", found["environment"])
            elif not found["item"] and not found["gap"]:
                self._flush_list()
            if name := found["name"]:
                end = text.find(f"\\end{{{name}", position)
                stop = end if end >= 0 else len(text)
                self._read_environment(name, text[position:stop])
                position = text.find("}", stop) + 1 or len(text)
            elif found["section"] or found["caption"]:
                words, position = _braced(text, position)
                if found["section"] or found["caption"] == "title":
                    level = _LEVELS.get(found["section"] or "", 1)
                    self._add("prose", self.headings.enter(level, clean(words).replace("`", "")))
                else:
                    self._add("prose", clean(words))
            elif found["display"]:
                end = text.find("\\]" if found["display"] == "\\[" else "$$", position)
                stop = end if end >= 0 else len(text)
                self._read_environment("displaymath", text[position:stop])
                position = stop + 2
            elif found["item"]:
                self._begin_item(found["term"])
        self._add_text(text[position:])
        self._flush_list()

    def _add_text(self, text: str) -> None:
        words = "\n".join(" ".join(line.split()) for line in clean(text).split("\n") if line.strip())
        if self._items and words:
            self._items.append(f" {' '.join(words.split())}")
        else:
            self._add("prose", words)

    def _turn_list(self, begins: bool, name: str) -> None:
        """A list begins or ends, which may stand in another one."""
        if begins:
            self._lists.append((name, 0))
        elif self._lists:
            self._lists.pop()
        if not self._lists or (begins and len(self._lists) == 1):
            self._flush_list()

    def _begin_item(self, term: str | None) -> None:
        name, count = self._lists.pop() if self._lists else ("itemize", 0)
        self._lists.append((name, count + 1))
        mark = f"{count + 1}." if name in ("enumerate", "compactenum") else "-"
        indent = "  " * min(len(self._lists) - 1, 8)
        self._items.append(f"\n{indent}{mark} {clean(term)}:" if term else f"\n{indent}{mark}")

    def _flush_list(self) -> None:
        """End the list being read, if there is one."""
        items, self._items = "".join(self._items), []
        self._add(
            "list", "\n".join(line for line in items.splitlines() if re.sub(r"^\s*(?:-|\d+\.)", "", line).strip())
        )

    def _read_environment(self, name: str, body: str) -> None:
        if name in _VERBATIM:
            self._read_verbatim(body)
        elif name in _TABLES:
            body, caption = _take_caption(body)
            self._add("prose", clean(caption))
            self._add("table", pipe_table(_read_rows(_drop_repeated(body))))
        elif name in _MATH:
            self._add("code", fence_code(dedent_lines(body.splitlines()), "latex") if body.strip() else "")

    def _read_verbatim(self, body: str) -> None:
        """Lines of code under their caption; both may stand in the environment's options."""
        begun = _VERBATIM_OPTIONS.match(body)
        options = (begun["options"] or "") if begun else ""
        caption = _LISTING_CAPTION.search(options)
        self._add("prose", clean(caption[1] or caption[2] or "") if caption else "")
        named = _LISTING_LANGUAGE.search(options)
        language = (begun["language"] if begun else "") or (named[1] if named else "")
        lines = dedent_lines(body[begun.end() if begun else 0 :].splitlines())
        self._add("code", fence_code(lines, language) if any(lines) else "")

    def _add(self, kind: BlockKind, text: str) -> None:
        if text.strip():
            add_block(self.blocks, Block(kind, text if kind == "list" else text.strip(), self.headings.path))


def _read_rows(body: str) -> list[list[str]]:
    """The cells of a tabular by rows; its column specification and its rules are left out."""
    specification = re.match(r"\s*(?:\[[^\]]*\])?\s*", body)
    start = specification.end() if specification else 0
    while body[start : start + 1] == "{":
        start = _braced(body, start)[1]
    rows: list[list[str]] = []
    heads = 0
    below: dict[int, tuple[int, str]] = {}  # by column: for how many rows more a cell goes on, and its text
    for part in _ROW_END.split(body[start:]):
        if rows and not heads and "\\midrule" in part:
            heads = len(rows)
        row = _read_row(part, below, in_head=not heads and "\\midrule" in body)
        rows += [row] if any(row) else []
    return join_short_head(rows, heads)


def _read_row(text: str, below: dict[int, tuple[int, str]], in_head: bool) -> list[str]:
    """The cells of a row. One that spans rows (`below`, kept from row to row) stands in each of them.

    One that spans columns fills the first, or in a head all of them.
    """
    cells: list[str] = []
    for part in re.split(r"(?<!\\)&", text):
        shown = " ".join(clean(part).split())
        more, above = below.pop(len(cells), (0, ""))
        if span := _ROWS.search(part):
            more, above = int(span[1]), shown
        if more > 1 or (more == 1 and not shown):
            shown = shown or above
        if more > 1:
            below[len(cells)] = more - 1, above
        width = int(found[1]) if (found := _COLUMNS.search(part)) else 1
        cells += [shown, *[shown if in_head else ""] * (min(width, _MOST_COLUMNS) - 1)]
    return cells


def _take_caption(body: str) -> tuple[str, str]:
    """A table without the caption in it, as long ones have it, and the caption."""
    found = _CAPTION.search(body)
    if not found:
        return body, ""
    words, end = _braced(body, found.end())
    return body[: found.start()] + body[end:], words


def _drop_repeated(body: str) -> str:
    """A long table without the heads and feet that each further page repeats."""
    found = _REPEATED.search(body)
    return f"{body[: found.start()]}\\\\{re.split(_REPEATED, body[found.end() :])[-1]}" if found else body
