"""How a command is called, read from its synopsis in a manual: its name, options with what they take, and arguments.

A synopsis differs from an example by its form: placeholders and brackets, no numbers, no quoted values, no files, no
substitutions, no prose. It reads one text and knows no document. Its time is linear in the text.

    read_synopsis(["place_pin -pin_name name", "    [-layer layer]"]).options[1].argument  # "layer"
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

COMMAND = re.compile(r"[a-z][a-z0-9]*(?:(?:_|::)[a-z0-9]+)+")  # only commands and other identifiers have this form
NAME = re.compile(r"-{0,2}[A-Za-z$\\][\w:$.\\-]*")
OPTION = re.compile(r"-{1,2}[A-Za-z?][\w-]*\+?|\+[A-Za-z0-9][\w+-]*")
MOST_LINES = 80  # of a synopsis
MOST_CALLS = 8  # shown one below the other; more are a script
LONGEST = 8000  # characters of it

# What a command may be called: not a word with a capital that a sentence could begin with.
_CALLED = re.compile(
    r"[a-z][A-Za-z0-9]*(?:(?:_|::|[.-])[A-Za-z0-9]+)*|[A-Z][A-Za-z0-9]*(?:(?:_|::)[A-Za-z0-9]+)+|[A-Z][A-Z0-9]{2,}"
)
_USAGE = re.compile(r"(?:usage|synopsis|syntax)\s*:\s*", re.IGNORECASE)
# A placeholder, a quoted placeholder, an ellipsis, a bracket, a bar, or a run of other signs.
_TOKEN = re.compile(
    r'<[^<>\n]{1,80}>(?:=<[^<>\n]{1,80}>)?|"<[^<>"\n]{1,80}>"|\.\.\.|[\[\](){}|]|[^\s\[\](){}|"<>]+|>>|\S'
)
_WORD = re.compile(r"[A-Za-z_][\w:/#-]*(?:,|=\w+)?|\*")
_PLAIN_WORD = re.compile(r"[a-z]\d|[a-z][A-Za-z_]*(?:_\d)?(?:[|:,][a-z_]+)*|<[^<>]*>|[A-Z][A-Z_]+|\{[\w ,]*\}")
_OR = re.compile(r"[-(]*\s*or\s*[-):]*", re.IGNORECASE)  # between two ways to call a command
_BEGINS = re.compile(r"[\[({|<a-z]|-{1,2}[A-Za-z]")  # what the next line of a synopsis begins with
_GLUED = re.compile(r"=?[\w:.*]*")
_ALTERNATIVES = re.compile(r"/(?=[-+])")
_RETURNED = frozenset(
    {"string", "status", "int", "integer", "float", "boolean", "list", "collection", "Boolean"}
)  # what a command gives back
_BRACKETS = frozenset("[](){}")
_SQUARE, _ROUND = {"[": 1, "]": -1}, {"(": 1, ")": -1}
_REMARK = re.compile(r"\s\([^()]*\)$")  # `-v file (default)`
_BETWEEN = re.compile(r"\s*(?:,|/|\\?\||\bor\b)\s*(?=[-+\[]*[-+][A-Za-z?0-9-])")
_ARGUMENT = re.compile(r"(?:\[?=?[<{\"'(]?[\w$][^`]*|\{.*\}|\.\.\.|<[^`]*|)")
_REDIRECTIONS = (">", ">>")
LONGEST_ARGUMENT, LONGEST_NAMES = 60, 300
# Words that stand for options themselves.
_ANY_OPTION = frozenset({"options", "option", "flags", "switches", "opts", "args", "arguments"})
# What only a line of prose has, and what begins a line of a language or a shell.
_PROSE = frozenset(
    """
    the is are was of with this that these you your it its be should can must will which we has have see when then and
    """.split()
)
_NO_COMMANDS = frozenset(
    """
    if else elif for foreach while do done fi case esac then function return export cd echo sudo source puts set proc
    expr let var def class import from include module endmodule input output inout wire reg logic assign always
    initial begin end int void char bool auto const static struct namespace template using note warning error info try
    catch eval example examples usage default or and not see name type value options arguments
    """.split()
)
_NO_SYNOPSES = frozenset(  # languages of code that shows no command of a tool
    """
    c c++ cpp python py json yaml toml xml html verilog systemverilog sv vhdl makefile make cmake diff mermaid rtlil
    bnf swig starlark markdown ini java rust lef def spice csv
    """.split()
)


@dataclass(frozen=True, slots=True)
class Spot:
    """Columns `start` to `end` of the synopsis's line number `line`."""

    line: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Part:
    """An option with what it takes (`argument`), or an argument by itself."""

    name: str
    argument: str
    is_required: bool
    spot: Spot


@dataclass(frozen=True, slots=True)
class Synopsis:
    """A command's name, its options and arguments in order, and how many lines the synopsis takes.

    `is_strong`: it has brackets, placeholders or options on lines of their own, as only a synopsis does; any other may
    be an example.
    """

    name: str
    options: tuple[Part, ...]
    arguments: tuple[Part, ...]
    lines: int
    is_strong: bool

    @property
    def names(self) -> frozenset[str]:
        """Options and arguments without their dashes: what a table of them has too."""
        return frozenset(part.name.lstrip("-") for part in (*self.options, *self.arguments))


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    spot: Spot


def is_example_language(language: str) -> bool:
    """Whether code of that language shows no synopsis of a command."""
    return language.split(" ")[0] in _NO_SYNOPSES


def read_synopses(lines: Sequence[str]) -> list[tuple[int, Synopsis]]:
    """The synopses that a block of code begins with, each with the number of its first line; [] where it is other code.

    Several stand one below the other only where one has a synopsis's own signs, or where all are of one command.
    """
    found: list[tuple[int, Synopsis]] = []
    number = next((number for number, line in enumerate(lines) if line.strip()), len(lines))
    while number < len(lines):
        if found and (not lines[number].strip() or _is_or(lines[number])):
            number += 1
            continue

        synopsis = read_synopsis(lines[number : number + MOST_LINES])
        if synopsis is None:
            break
        found.append((number, synopsis))
        number += synopsis.lines

        if number < len(lines) and not lines[number].strip():
            number += 1
            goes_on = number < len(lines) and (lines[number].split(" ")[0] == synopsis.name or _is_or(lines[number]))
            if not goes_on:
                break  # what follows a blank line describes the command, unless it calls it again

    is_all = number >= len(lines) or not lines[number - 1].strip()
    if len(found) > 1:
        strong = {synopsis.name for _, synopsis in found if synopsis.is_strong}
        is_script = len(found) > MOST_CALLS or not all(synopsis.options or synopsis.arguments for _, synopsis in found)
        is_one = len({synopsis.name for _, synopsis in found}) == 1  # all of which may be examples
        is_shown = strong and all(synopsis.name in strong or COMMAND.fullmatch(synopsis.name) for _, synopsis in found)
        return found if is_all and (is_one or (is_shown and not is_script)) else []
    return found if is_all else []


def _is_or(line: str) -> bool:
    """Whether a line only parts two ways to call a command: "or", "-- or --"."""
    return _OR.fullmatch(line.strip()) is not None


def read_synopsis(lines: Sequence[str], is_cut: bool = False) -> Synopsis | None:
    """The synopsis that the first line begins: up to a blank line, or one that is not indented deeper.

    Where it is cut off in the middle, as long headings are, the part before the cut is read. None for any other text.
    """
    first = lines[0]
    margin = len(first) - len(first.lstrip())
    taken = 1
    while taken < len(lines) and lines[taken].strip() and _goes_on(lines[taken], margin):
        taken += 1
    body = [_strip_remark(line) for line in lines[:taken]]
    goes_on = any(line.rstrip().endswith("\\") for line in lines[:taken])  # only an example needs that
    if sum(map(len, body)) > LONGEST or taken >= MOST_LINES:
        return None

    tokens = list(_tokens(body))
    usage = _USAGE.match(body[0].strip())
    if usage:
        lead = len(body[0]) - len(body[0].lstrip()) + usage.end()
        tokens = [token for token in tokens if token.spot.line or token.spot.start >= lead]
    if len(tokens) > 2 and tokens[0].text in _RETURNED and COMMAND.fullmatch(tokens[1].text) and "[-" in " ".join(body):
        tokens = tokens[1:]  # `string report_paths [-to list]`
    is_glued = (
        len(tokens) > 1
        and tokens[1].text[:1] in ("<", "(")
        and (tokens[1].spot.line, tokens[1].spot.start) == (tokens[0].spot.line, tokens[0].spot.end)
    )
    if not tokens or is_glued or not _CALLED.fullmatch(tokens[0].text) or not _may_be_called(tokens):
        return None
    return _read_parts(tokens, body, taken, is_usage=bool(usage), is_cut=is_cut, goes_on=goes_on)


def _goes_on(line: str, margin: int) -> bool:
    """Whether a line belongs to the synopsis above it: it is indented deeper, or begins with a bracket."""
    bare = line.lstrip()
    return len(line) - len(bare) > margin or bare[0] in "[{(|<"


def _may_be_called(tokens: Sequence[_Token]) -> bool:
    """Whether the first word may be a command: `proc [options]` may be a tool's, `proc name {}` is Tcl's."""
    return tokens[0].text.lower() not in _NO_COMMANDS or [token.text.lower() for token in tokens[1:3]] == [
        "[",
        "options",
    ]


def _strip_remark(line: str) -> str:
    """The line without a comment and without the sign that continues it in the next line."""
    bare = line.rstrip().removesuffix("\\").rstrip()
    return "" if bare.lstrip().startswith("#") else bare.split(" #")[0]


def _tokens(lines: Sequence[str]) -> Iterator[_Token]:
    for number, line in enumerate(lines):
        for match in _TOKEN.finditer(line):
            start = match.start()
            for piece in _ALTERNATIVES.split(match[0]) if match[0][:1] in "-+" else [match[0]]:
                yield _Token(piece, Spot(number, start, start + len(piece)))
                start += len(piece) + 1


def _read_parts(
    tokens: Sequence[_Token], body: Sequence[str], taken: int, is_usage: bool, is_cut: bool, goes_on: bool
) -> Synopsis | None:
    """The synopsis whose first token is the name; None where a token that no synopsis has follows it."""
    name, rest = tokens[0].text, tokens[1:]
    reader = _Reader(rest, is_long=bool(COMMAND.fullmatch(name)))
    is_whole = reader.read()
    if is_cut and tokens[-1].text != "]" and len(reader.options) > 1:
        reader.options.pop()  # what it takes is behind the cut
        is_whole = reader.has_signs
    if not is_whole:
        return None

    stands_alone = taken > 1 and all(_BEGINS.match(line.strip()) for line in body[1:] if line.strip())
    is_strong = (
        is_usage
        or reader.has_signs
        or (stands_alone and not goes_on and bool(reader.options or COMMAND.fullmatch(name)))
    )
    if not is_strong and not all(_PLAIN_WORD.fullmatch(part.name) for part in reader.arguments):
        return None  # an example: `place_cell AND2_X1`
    if not is_strong and any(part.argument and not _PLAIN_WORD.fullmatch(part.argument) for part in reader.options):
        return None
    options = reader.options if is_strong else [replace(part, is_required=False) for part in reader.options]
    return Synopsis(name, tuple(options), tuple(reader.arguments), taken, is_strong)


class _Reader:
    """Walks the tokens that follow a command's name.

    A name with an underscore may have more words after it than a name that a sentence could begin with.
    """

    def __init__(self, tokens: Sequence[_Token], is_long: bool) -> None:
        self.options: list[Part] = []
        self.arguments: list[Part] = []
        self.has_signs = False
        self._tokens = tokens
        self._most_words = 6 if is_long else 3
        self._depth = 0  # of square brackets
        self._remark = 0  # of round ones
        self._words = 0  # in a row
        self._alternates = _has_alternatives(tokens)

    def read(self) -> bool:
        """Read all tokens; False where one does not belong to a synopsis."""
        at = 0
        while at < len(self._tokens):
            text = self._tokens[at].text

            if text == "(" and not self._is_group(at + 1):
                at = self._end_of_remark(at)
            elif text in _BRACKETS:
                at += 1
                if not self._enter(text, at):
                    return False
            elif OPTION.match(text):
                at = self._read_option(at)
                self._words = 0
                if at < 0:
                    return False
            elif text in _REDIRECTIONS:
                at += 2  # and the file after it
            elif text in ("|", "...", "-", ","):
                self._words = 0
                at += 1
            elif self._read_word(self._tokens[at], at):
                at += 1
            else:
                return False
        return True

    def _is_group(self, at: int) -> bool:
        """Whether a round bracket holds a choice of options, not a remark such as "(deprecated)"."""
        text = self._tokens[at].text if at < len(self._tokens) else ""
        return OPTION.match(text) is not None or text.startswith(("<", "[", "{"))

    def _end_of_remark(self, at: int) -> int:
        """The number of the token after the round bracket that closes the one at `at`."""
        while at < len(self._tokens) and self._tokens[at].text != ")":
            at += 1
        return at + 1

    def _enter(self, bracket: str, at: int) -> bool:
        """Open or close a bracket that token `at` follows.

        False where it holds the call of another command, `[get_ports clk]`.
        """
        self._words = 0
        self._depth = max(self._depth + _SQUARE.get(bracket, 0), 0)
        self._remark = max(self._remark + _ROUND.get(bracket, 0), 0)
        inside = [token.text for token in self._tokens[at : at + 2]] if bracket in "[({" else []
        if inside and (OPTION.match(inside[0]) or inside[0].startswith("<") or inside[0].lower() in _ANY_OPTION):
            self.has_signs = True
        is_call = bracket == "[" and len(inside) == 2 and COMMAND.fullmatch(inside[0]) and _WORD.fullmatch(inside[1])
        return not is_call

    def _read_option(self, at: int) -> int:
        """Add the option at `at` with what it takes; return the next token's number, or -1 where it fits no synopsis.

        Inside square brackets it takes everything up to their end; outside, one word, or what stands in braces, on the
        same line.
        """
        token, taken, nested = self._tokens[at], list[_Token](), 0
        match = OPTION.match(token.text)
        assert match is not None
        rest = token.text[match.end() :]
        end = at + 1
        while end < len(self._tokens) and (nested or self._is_taken(at, end, taken)):
            text = self._tokens[end].text
            nested += (text in "{(") - (text in "})")
            if nested < 0 or (text not in _BRACKETS and not self._is_value(text, end)):
                break
            taken.append(self._tokens[end])
            end += 1
        if rest and not _GLUED.fullmatch(rest):
            return -1
        while taken and taken[-1].text == "|":  # `-help | -version`
            taken.pop()

        last = taken[-1].spot if taken and taken[-1].spot.line == token.spot.line else token.spot
        spot = Spot(token.spot.line, token.spot.start, last.end)
        argument = rest.removeprefix("=") + _join(taken)
        self.options.append(Part(match[0], argument, self._is_required(at, end), spot))
        return end

    def _is_taken(self, option: int, at: int, taken: Sequence[_Token]) -> bool:
        """Whether the token at `at` may still belong to what the option takes."""
        text = self._tokens[at].text
        following = self._tokens[at + 1].text if at + 1 < len(self._tokens) else ""
        if text in "[])" or OPTION.match(text) or (text == "|" and OPTION.match(following)):
            return False
        if self._depth:
            return True
        is_more = not taken or text == "|" or taken[-1].text == "|"
        return is_more and self._tokens[at].spot.line == self._tokens[option].spot.line

    def _is_value(self, text: str, at: int) -> bool:
        """Whether a token can be a placeholder of what an option takes.

        A number can where alternatives surround it: `0|1`.
        """
        if text in ("|", "...", "*", ",", "-"):
            return True
        self.has_signs |= _is_angled(text)
        near = {token.text for token in (*self._tokens[max(at - 1, 0) : at], *self._tokens[at + 1 : at + 2])}
        return _is_placeholder(text) or (text.isdecimal() and "|" in near)

    def _read_word(self, token: _Token, at: int) -> bool:
        """Read an argument; False for a word of prose, a value, or too many words in a row."""
        self.has_signs |= _is_angled(token.text)
        self._words += 1
        if not _is_placeholder(token.text) or self._words > self._most_words:
            return False
        name = token.text.strip('"<>,')
        if name.lower().split(" ")[-1] not in _ANY_OPTION and self._depth < 2:
            self.arguments.append(Part(name, "", self._is_required(at, at + 1), token.spot))
        return True

    def _is_required(self, at: int, end: int) -> bool:
        """Whether what stands from `at` up to `end` is in no square bracket and no alternative to its neighbours."""
        beside = [token.text for token in (*self._tokens[max(at - 1, 0) : at], *self._tokens[end : end + 1])]
        return not self._depth and not self._remark and not self._alternates and "|" not in beside


def _has_alternatives(tokens: Sequence[_Token]) -> bool:
    """Whether one of several options is required: a bar between options outside square brackets."""
    depth = 0
    for token, after in pairwise(tokens):
        depth += _SQUARE.get(token.text, 0)
        if not depth and token.text == "|" and OPTION.match(after.text):
            return True
    return False


def _is_angled(text: str) -> bool:
    """Whether it is `<name>`, in quotes or not."""
    return len(text) > 2 and text.startswith(("<", '"<'))


def _is_placeholder(text: str) -> bool:
    if _is_angled(text):
        return True
    return _WORD.fullmatch(text) is not None and text.strip(",").lower() not in _PROSE


def _join(tokens: Sequence[_Token]) -> str:
    """What an option takes, as written, with single blanks."""
    parts: list[str] = []
    for before, token in zip([None, *tokens], tokens, strict=False):
        is_close = before is not None and before.spot.line == token.spot.line and before.spot.end == token.spot.start
        parts.append(token.text if is_close or before is None else f" {token.text}")
    return "".join(parts)


# --- options as a list, a table or a usage text names them --------------------------------------------------------


def read_option_names(text: str) -> list[tuple[str, str]]:
    """The options of `-t N`, `--threads N` with what they take; [] where the text holds anything else."""
    found: list[tuple[str, str]] = []
    bare = text.strip()
    if len(bare) > LONGEST_NAMES:
        return []

    for piece in _BETWEEN.split(bare):
        if piece.startswith("["):  # [-layers list]
            piece = piece[1:].removesuffix("]").strip()

        match = OPTION.match(piece)
        if not match:
            return []
        argument = " ".join(_REMARK.sub("", piece[match.end() :]).strip().removeprefix("=").split())
        words = argument.lower().split()
        if (
            len(argument) > LONGEST_ARGUMENT
            or not _ARGUMENT.fullmatch(argument)
            or not _PROSE.isdisjoint(words)
            or "or" in words
        ):
            return []
        found.append((match[0], argument))

    if len(found) > 1 and found[-1][1]:  # `-t, --threads N`: both take it
        found = [(name, argument or found[-1][1]) for name, argument in found]
    return found


def read_cell_names(cell: str) -> list[tuple[str, str]]:
    """The options in a table's cell with what they take, or its arguments; [] where it holds anything else."""
    bare = cell.replace("`", "")
    if options := read_option_names(bare):
        return options
    names = bare.strip("[] ").split(", ")
    return [(name, "") for name in names] if all(NAME.fullmatch(name) for name in names) else []
