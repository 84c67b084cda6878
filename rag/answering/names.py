"""Finds what looks like a name: a command, an option, a variable, a message number or a path.

Grammar and checks share this one definition. It knows no tool and no document: `tapcell`, a command of one plain word,
looks like any other word and does not count as a name. What users name themselves (`$my_net`) looks like any other
name. Every pattern takes linear time.

    unknown_names("Run `repair_antena -iterations 5`.", allowed_names(["repair_antennas -iterations N"]))
    # repair_antena
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

NameKind = Literal["command", "option", "variable", "message", "path"]

# Letters of Latin, Greek and Cyrillic script. Other letters end a word: in Korean and Chinese a particle follows a name
# without a blank.
LETTERS = "A-Za-z\u00aa\u00b5\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0370-\u03ff\u0400-\u052f"
WORD = f"0-9_{LETTERS}"  # the inside of a class of characters
JOINERS = "./~+-"  # what joins words into one run: paths, options, hyphenated words
# A word behind a dot makes a file name only if it is one of these; `pkt.data` and "e.g" are not paths.
FILE_SUFFIXES = tuple(
    """
    tcl mk sdc lib lef def gds odb spef sdf vcd saif v sv svh vh vlt json md rst rpt log ys il py sh cpp h txt csv
    toml yaml lyrdb sp spi
    """.split()
)

_SUFFIX = "|".join(FILE_SUFFIXES)
_CHARACTER = rf"(?:[{WORD}]|\\_)"  # `\_` is Markdown's escape
_ADDRESS = r"(?<![a-z])[a-z]{2,10}://[^\s<>\"'`)\]}|]+"
_RUN = re.compile(rf"(?P<address>{_ADDRESS})|(?:[{WORD}${JOINERS}]|\\_)+")
_FILE_END = re.compile(rf"(?<=[{WORD}.+-])\.(?:{_SUFFIX})(?![{WORD}])", re.IGNORECASE)
_DOT = re.compile(rf"[{WORD}]\.[{LETTERS}]")
_ABSOLUTE = re.compile(rf"[.~+-]*(?:/(?:[{WORD}.+-]|\\_)+){{2,}}")
BULLET = re.compile(r"^[ \t]*-(?=[A-Z][a-z]+ )", re.MULTILINE)  # "-Run the flow": a list, not an option
# Behind a closing mark a dash joins: "`repair_timing`-based".
_PLACE = rf"(?<![{WORD}$-])(?<![{WORD}][`'\"*)\]}}])"
_ATOM = re.compile(
    rf"""{_PLACE}(?P<option>--?[A-Za-z](?:[{WORD}-]|\\_)* | (?<!\+)\+[A-Za-z](?:[{WORD}+]|\\_)+)
       | (?<![{WORD}$])(?P<message>[A-Z]{{2,}}-[0-9]+)
       | (?P<word>{_CHARACTER}(?:{_CHARACTER}|(?<=[0-9A-Za-z_])\$+(?=[0-9A-Za-z_]))*)
    """,
    re.VERBOSE,
)
_CAMEL = re.compile(
    r"[a-z]{2}[a-z0-9]*(?:[A-Z]+[0-9][a-z0-9]*)*[A-Z]+[a-z]"
)  # setOptMode, not macOS, SystemVerilog or kHz
LONGEST_PATH = 300  # characters of a path whose ends are names too: its length times its ends is the time they take


@dataclass(frozen=True, slots=True)
class Name:
    """`text` stands at `[start:end]`, there perhaps with Markdown's `\\_` for `_`."""

    text: str
    kind: NameKind
    start: int
    end: int


def find_names(text: str) -> list[Name]:
    """Everything that looks like a name, in order and without overlaps.

    Names are words with `_` or an inner `$` (`set_wire_rc`, `PLACE_DENSITY`, `x_i`), words like `setOptMode`, options
    (`-hold`, `--lint-only`, `+verilator+seed+17`), message numbers (`GRT-0243`, and so `UTF-8`), file names, absolute
    paths and addresses. Not names are hyphenated words, "and/or", "e.g.", "src/tap", `pkt.data`, numbers ("-5"),
    bullets ("-Run it") and a dash behind a closing mark ("`-hold`-free").
    """
    return list(_scan(text))


def allowed_names(texts: Iterable[str]) -> frozenset[str]:
    """Every name of the texts; of a path also its ends (`cts.tcl` of `scripts/cts.tcl`) and the names within it.

    A path that is not one of a file tree has no ends. Words with dots (`design.evalTclString`) are not names, but a
    grammar has to know them: it cannot distinguish them from file names.
    """
    allowed: set[str] = set()
    for text in texts:
        allowed.update(_dotted_words(text))
        for name in _scan(text):
            allowed.add(name.text)
            if name.kind == "path" and len(name.text) <= LONGEST_PATH:
                parts = name.text.split("/")
                allowed.update("/".join(parts[first:]) for first in range(1, len(parts)))
                allowed.update(inner.text for inner in _scan_atoms(name.text, 0, len(name.text)))
    return frozenset(allowed - {""})


def unknown_names(answer: str, allowed: frozenset[str]) -> list[Name]:
    """The names of an answer that are not allowed, in order. Case and dashes count.

    A name that ends with `_` stands for many names (`report_*`) or is emphasised (`_so_`), and does not count here.
    """
    return [name for name in _scan(answer) if name.text not in allowed and name.text[-1] != "_"]


def is_name(word: str) -> bool:
    """Whether a whole word, without dashes, dots or slashes, looks like a name."""
    return ("_" in word and bool(word.strip("_"))) or "$" in word or bool(_CAMEL.match(word))


def _dotted_words(text: str) -> Iterator[str]:
    for run in _RUN.finditer(text):
        for part in run.group().strip(JOINERS).split("/"):
            if _DOT.search(part):
                yield _plain(part)


def _scan(text: str) -> Iterator[Name]:
    text = BULLET.sub(lambda bullet: " " * len(bullet.group()), text)
    for run in _RUN.finditer(text):
        start, end = run.span()
        end = start + len(run.group().rstrip(JOINERS if run["address"] is None else JOINERS + ",;:!?*"))
        if run["address"] is not None:
            yield Name(_plain(text[start:end]), "path", start, end)
            continue
        files = list(_FILE_END.finditer(text, start, end))
        if files or _ABSOLUTE.fullmatch(text, start, end):
            path_end = files[-1].end() if files else end
            yield Name(_plain(text[start:path_end]), "path", start, path_end)
            start = path_end
        yield from _scan_atoms(text, start, end)


def _scan_atoms(text: str, start: int, end: int) -> Iterator[Name]:
    for atom in _ATOM.finditer(text, start, end):
        kind, word = atom.lastgroup, _plain(atom.group())
        if kind == "option" or kind == "message":
            yield Name(word, "option" if kind == "option" else "message", *atom.span())
        elif kind == "word" and is_name(word):
            yield Name(word, _kind_of_word(text, atom.start(), word), *atom.span())


def _kind_of_word(text: str, start: int, word: str) -> NameKind:
    """A variable is in capitals, or stands behind a `$`."""
    return "variable" if word == word.upper() or text[max(0, start - 2) : start].endswith(("$", "${")) else "command"


def _plain(text: str) -> str:
    return text.replace("\\_", "_")
