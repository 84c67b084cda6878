"""Scripts and other code, read line by line, to blocks: each procedure under its name with its leading comment.

The rest becomes pieces. It reads Tcl (also SDC, UPF, XDC), shell, Perl, SKILL, Yosys scripts, SPICE, rule decks and
VHDL. It runs nothing and knows no grammar beyond procedures, comments and braces.

    parse_script("# Routes.\nproc route {} {\n  global_route\n}\n", "tcl").blocks[0].heading_path == ("proc route",)
"""

from __future__ import annotations

import re

from rag.blocks import Block, Parsed, dedent_lines, fence_code
from rag.design.protected import hide_encrypted

# About as many lines as a chunk of the default size holds. Pieces end at blank lines, so that cuts fall between
# statements.
PIECE_LINES = 24
_COMMENT = {
    "vhdl": "--",
    "verilog": "//",
    "systemverilog": "//",
    "skill": ";",
    "spice": "*",
    "spectre": "//",
    "svrf": "//",
}
_WITHOUT_KIND = {"svrf": "rule"}  # what a heading calls a part whose language has no word for it; else "function"
_RULER = re.compile(r"\s*([^\w\s])\1*[^\w\s]?\s*")  # one sign repeated, which only decorates
_DECORATION = re.compile(r"^([-=*#_+])\1{2,}\s+(?=\w)|(?<=\w)\s+([-=*#_+])\2{2,}$")  # around a title
_ARGUMENTS_ALONE = re.compile(r"\s*proc\s+\S+\s+(?:\{[^{}]*\}|\S+)\s*\\?")  # the body opens on the next line
_STARTS = {
    "tcl": re.compile(r"\s*(?P<kind>proc)\s+(?P<name>[^\s{}]+)"),
    "vhdl": re.compile(
        r"(?P<kind>entity|architecture|package body|package|configuration|context)\s+(?P<name>\w+)"
        r"(?:\s+of\s+\w+)?\s+is\b",
        re.IGNORECASE,
    ),
    "perl": re.compile(r"\s*(?P<kind>sub)\s+(?P<name>[\w:]+)"),
    "skill": re.compile(r"\s*\(?\s*(?P<kind>procedure|defun|defmethod|define)\s*\(?\s*(?P<name>[\w:-]+)"),
    "spice": re.compile(r"\s*\.?(?P<kind>subckt|model)\s+(?P<name>[^\s(]+)", re.IGNORECASE),
    "spectre": re.compile(r"\s*(?:inline\s+)?(?P<kind>subckt|model)\s+(?P<name>[^\s(]+)"),
    "svrf": re.compile(r"\s*(?:(?P<kind>rule|DMACRO)\s+)?(?P<name>[\w.:\"-]++)(?(kind)[^{]*+|\s*+)\{", re.IGNORECASE),
    "techfile": re.compile(r"\s*(?P<kind>[A-Za-z]\w*)\s+\"?(?P<name>[\w.-]+)\"?\s*\{"),
    "shell": re.compile(r"\s*(?:function\s+(?P<word>[\w:.-]+)|(?P<name>[\w:.-]+)\s*\(\s*\))"),
}


def parse_script(text: str, language: str) -> Parsed:
    """Title "" and blocks in the order of the file: a comment is prose, the lines below it are code. Never fails."""
    text = text if language in _READ_BEFORE else hide_encrypted(text, language)
    lines = [line.rstrip() for line in text.expandtabs(4).splitlines()]
    starts = _STARTS.get(language)
    depths = _count_braces(lines, "()" if language == "skill" else "{}")
    find_ends = _ENDS.get(language)
    closings = find_ends(lines) if find_ends else _find_closings(depths)
    blocks: list[Block] = []
    loose: list[str] = []
    position = 0

    while position < len(lines):
        begun = starts.match(lines[position]) if starts else None
        end = 0
        if begun:
            end = closings[position] if find_ends else _find_end(lines, position, depths, closings)
        if not begun or not end:
            loose.append(lines[position])
            position += 1
            continue

        comment = _take_comment(loose, language)
        blocks += code_pieces(loose, language)
        loose = []

        groups = begun.groupdict()
        kind = (groups.get("kind") or _WITHOUT_KIND.get(language, "function")).lower()
        name = (groups.get("word") or groups["name"]).strip('"')
        blocks += _describe(
            f"{kind} {name}",
            comment,
            lines[position:end],
            language,
        )

        position = end
    return Parsed("", (*blocks, *code_pieces(loose, language)))


def code_pieces(lines: list[str], language: str, heading_path: tuple[str, ...] = ()) -> list[Block]:
    """Code lines as blocks of about `PIECE_LINES` lines that end at blank lines.

    A comment that opens a piece becomes prose.
    """
    if not any(lines):
        return []
    pieces: list[list[str]] = [[]]
    for line in lines:
        if not line.strip() and len(pieces[-1]) >= PIECE_LINES // 2:
            pieces.append([])
        elif len(pieces[-1]) >= PIECE_LINES and not line.startswith((" ", ")", "}")):
            pieces.append([line])
        else:
            pieces[-1].append(line)
    blocks: list[Block] = []
    for piece in pieces:
        comment, code = split_comment(dedent_lines(piece), language)
        if comment:
            blocks.append(Block("prose", comment, heading_path))
        if any(re.search(r"\w", line) for line in code):  # a brace alone says nothing
            blocks.append(Block("code", fence_code(dedent_lines(code), language), heading_path))
    return blocks


def split_comment(lines: list[str], language: str) -> tuple[str, list[str]]:
    """The comment that opens some code, as text without its marks, and the lines after it."""
    mark = _COMMENT.get(language, "#")
    count = 0
    while count < len(lines) and lines[count].lstrip().startswith(mark):
        count += 1
    return clean_comment(lines[:count], mark), lines[count:]


def clean_comment(lines: list[str], mark: str) -> str:
    """Comment lines without their marks, rulers and the first line of a script (`#!`); "" where nothing is left."""
    if not lines:
        return ""
    opening = re.compile(rf"^(?:{re.escape(mark[0])}+|\*+)[!<]*{':?' if mark == '#' else ''} ?")
    texts = [
        re.sub(r"\s*\*+/$", "", opening.sub("", line.strip())).rstrip() for line in lines if not line.startswith("#!")
    ]
    kept = ["" if _RULER.fullmatch(text) else _DECORATION.sub("", text) for text in texts]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(dedent_lines(kept)))


def _take_comment(loose: list[str], language: str) -> str:
    """Take the comment off the end of `loose`: it belongs to the procedure that follows without a blank line."""
    mark = _COMMENT.get(language, "#")
    count = 0
    while count < len(loose) and loose[-1 - count].lstrip().startswith(mark):
        count += 1
    taken = loose[len(loose) - count :]
    del loose[len(loose) - count :]
    return clean_comment(taken, mark)


def _describe(heading: str, comment: str, lines: list[str], language: str) -> list[Block]:
    path = (heading,)
    said = _SKILL_DOCSTRING.match("\n".join(lines[:_MOST_SAID])) if language == "skill" else None
    comment = "\n".join(filter(None, [comment, " ".join(said["text"].split()) if said else ""]))
    prose = [Block("prose", comment, path)] if comment else []
    return [*prose, Block("code", fence_code(dedent_lines(lines), language), path)]


def _count_braces(lines: list[str], pair: str) -> list[int]:
    """How deep in braces, or another pair, each line begins, and how deep the last one ends.

    Braces behind a backslash do not count; others in strings do, as Tcl itself counts them in a braced body.
    """
    depths = [0]
    brace = re.compile(rf"\\.|[{pair}]")
    for line in lines:
        found = brace.findall(line) if pair[0] in line or pair[1] in line else ()
        depths.append(depths[-1] + found.count(pair[0]) - found.count(pair[1]))
    return depths


def _find_closings(depths: list[int]) -> list[int]:
    """For each place in `depths`, the next one that is not deeper, or 0."""
    closings = [0] * len(depths)
    waiting: list[int] = []
    for place, depth in enumerate(depths):
        while waiting and depths[waiting[-1]] >= depth:
            closings[waiting.pop()] = place
        waiting.append(place)
    return closings


def _find_end(lines: list[str], start: int, depths: list[int], closings: list[int]) -> int:
    """The position after the procedure that begins at `start`, where the braces of its body are closed; 0 for never."""
    if depths[start + 1] > depths[start]:
        return closings[start]
    if "{" in lines[start] and not _ARGUMENTS_ALONE.fullmatch(lines[start]):
        return start + 1
    opens_next = start + 2 < len(depths) and depths[start + 2] > depths[start + 1]
    return closings[start + 1] if opens_next else 0


def _find_vhdl_ends(lines: list[str]) -> list[int]:
    """For each line, the position after the next `end` that stands at the left edge, as that of a unit does; or 0."""
    ends = [0] * len(lines)
    following = 0
    for at in range(len(lines) - 1, -1, -1):
        following = at + 1 if re.match(r"end\b[^;]*;", lines[at], re.IGNORECASE) else following
        is_whole = len(lines[at]) < _LONG_LINE and _WHOLE_UNIT.search(lines[at])
        ends[at] = at + 1 if is_whole else following
    return ends


def _find_spice_ends(lines: list[str]) -> list[int]:
    """For each line, the position after the next `.ends`, or after the lines that go on a model; or 0."""
    ends = [0] * len(lines)
    following, going_on, closing = 0, 0, 0
    for at in range(len(lines) - 1, -1, -1):
        goes_on = at + 1 < len(lines) and (lines[at + 1].startswith("+") or lines[at].endswith("\\"))
        going_on = going_on if goes_on else at + 1
        following = at + 1 if re.match(r"\s*\.?ends\b", lines[at], re.IGNORECASE) else following
        closing = at + 1 if lines[at].lstrip().startswith("}") else closing
        if re.match(r"\s*\.?model\b", lines[at], re.IGNORECASE):
            ends[at] = closing if lines[at].endswith("{") and closing else going_on
        else:
            ends[at] = following
    return ends


_READ_BEFORE = ("verilog", "systemverilog")  # whose encrypted parts their own parser hides
_LONG_LINE = 1000  # characters; a unit on one line has some hundred
_MOST_SAID = 30  # lines of a function in which the string that describes it ends
_SKILL_DOCSTRING = re.compile(r'[^"\n]*(?:"[^"\n]*"[^"\n]*)*\n\s*"(?P<text>(?:[^"\\]|\\.)+)"\s*\n', re.DOTALL)
_WHOLE_UNIT = re.compile(r"\bis\b.*\bend(?:\s+\w+){0,2}\s*;\s*(?:--.*)?$", re.IGNORECASE)  # on one line
_ENDS = {"vhdl": _find_vhdl_ends, "spice": _find_spice_ends, "spectre": _find_spice_ends}
