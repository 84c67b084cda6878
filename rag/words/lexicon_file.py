"""The lexicon's files: groups of what engineers say and what manuals say, ours (data/lexicon.csv) and a company's own.

A file is CSV with a header. `field` is one of FIELDS; `manual` and `said` hold phrases with semicolons between them,
the manual's usual one first; further columns are notes. A phrase that ends in `?` means this only beside another word
of the field; `it` between other words stands for any few words ("turn it off").

    field,manual,said
    timing,hold violation; hold check,race?; min-delay failure

It reads and checks files, and looks for nothing in a question (`lexicon` does).

    groups = read_groups(Path("data/lexicon.csv"))
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from rag.data_folder import DATA
from rag.errors import LexiconUnusable
from rag.words.phrases import phrase_key

LEXICON_FILE = DATA / "lexicon.csv"
COLUMNS = ("field", "manual", "said")
SEPARATOR = ";"  # between phrases
VAGUE = "?"  # behind a phrase that only means this beside another word of its field
PROBLEMS_SHOWN = 3  # of a file

# Fields, each with words that place a question in it.
FIELDS = {
    "analog": "spice ngspice circuit transistor voltage current amplifier netlist simulate waveform analog volts",
    "computing": "file files script program command python shell run code folder package plot data library error",
    "cts": "clock clocks cts skew sinks flops",
    "dft": "scan test tester testing fault patterns chain dft",
    "floorplan": "floorplan macro macros block blocks die core pins chip power memories",
    "flow": "flow tool tools step design run script tcl make command",
    "fpga": "fpga bitstream ice40 ecp5 nextpnr lattice xilinx",
    "general": "",
    "layout": "layout gds klayout magic polygon mask layer layers shape shapes draw drawing",
    "pcb": "pcb schematic footprint copper gerber solder",
    "pdk": "pdk process cell cells library liberty lef corner metal foundry",
    "placement": "placement placer place cells rows density overlap",
    "power": "power supply voltage current leakage vdd ground watts",
    "routing": "route router routing wire wires wiring metal net nets layer layers track congestion",
    "rtl": "verilog vhdl systemverilog rtl module signal signals flop flops clock bus port ports",
    "signoff": "drc lvs extraction signoff tapeout rule rules layout foundry",
    "synthesis": "synthesis synthesize yosys netlist gates gate logic module area abc",
    "timing": "timing clock hold setup slack path paths flop flops delay sta constraint constraints",
    "verification": "simulation simulator simulate testbench verilator formal proof assertion waveform bench",
}


@dataclass(frozen=True, slots=True)
class Group:
    """Phrases of one meaning in one field; those in `vague` mean it only beside another word of the field."""

    field: str
    manual: tuple[str, ...]
    said: tuple[str, ...]
    vague: frozenset[str] = frozenset()


def read_lexicon_files(own_files: str) -> list[Group]:
    """The groups of our file, then those of a company's, whose paths `own_files` lists as PATH lists folders.

    Raises LexiconUnusable.
    """
    own = [Path(name.strip()).expanduser() for name in own_files.split(os.pathsep) if name.strip()]
    return [group for path in (LEXICON_FILE, *own) for group in read_groups(path)]


def read_groups(path: Path) -> list[Group]:
    """The groups of one file, in its order.

    Raises LexiconUnusable: says in which lines what is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise LexiconUnusable(
            f"the lexicon {path} cannot be read ({reason}): name CSV files in CHIPALIGN_LEXICON, with {os.pathsep!r} "
            "between them"
        ) from error
    return parse_groups(text, str(path))


def parse_groups(text: str, name: str) -> list[Group]:
    """The groups of a file's text; `name` is the file's, for errors.

    Raises LexiconUnusable.
    """
    rows = csv.reader(StringIO(text, newline=""), strict=True)
    try:
        header = [cell.strip().lower() for cell in next(rows, [])]
        if tuple(header[: len(COLUMNS)]) != COLUMNS:
            raise LexiconUnusable(
                f"{name}, line 1: a lexicon is CSV and begins with the columns {','.join(COLUMNS)}; write them there"
            )
        numbered = [(rows.line_num, row) for row in rows if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise LexiconUnusable(f"{name}, line {rows.line_num}: not CSV ({error}); correct this line") from error

    groups: list[Group] = []
    seen: dict[tuple[str, tuple[str, ...]], int] = {}  # (field, phrase's key): line
    problems: list[str] = []
    for line, row in numbered:
        group = _make_group(row)
        found = list(_find_problems(row, group, seen, line))
        problems += [f"line {line}: {problem}" for problem in found]
        groups.append(group)
    if problems:
        more = len(problems) - PROBLEMS_SHOWN
        listed = "; ".join(problems[:PROBLEMS_SHOWN]) + (f"; and {more} more" if more > 0 else "")
        raise LexiconUnusable(f"{name}, {listed}")
    return groups


def _make_group(row: Sequence[str]) -> Group:
    field, manual, said = ([*row, "", "", ""])[: len(COLUMNS)]
    phrases = [[phrase.strip() for phrase in cell.split(SEPARATOR) if phrase.strip()] for cell in (manual, said)]
    plain = [tuple(phrase.rstrip(VAGUE).strip() for phrase in cell) for cell in phrases]
    vague = frozenset(phrase.rstrip(VAGUE).strip() for cell in phrases for phrase in cell if phrase.endswith(VAGUE))
    return Group(field.strip(), plain[0], plain[1], vague)


def _find_problems(
    row: Sequence[str], group: Group, seen: dict[tuple[str, tuple[str, ...]], int], line: int
) -> Iterator[str]:
    """What is wrong with a group, as ends of sentences; `seen` gets its phrases."""
    if len(row) < len(COLUMNS):
        yield f"{len(row)} columns instead of {','.join(COLUMNS)}; add what is missing"
        return
    if group.field not in FIELDS:
        yield f"{group.field!r} is not a field; the fields are {', '.join(FIELDS)}"
        return
    if not group.manual or len(group.manual) + len(group.said) < 2:
        alone = ", ".join(map(repr, (*group.manual, *group.said))) or "nothing"
        yield f"a group needs a phrase of the manual's and another one, and here is {alone}; add what is missing"
        return
    for phrase in (*group.manual, *group.said):
        key = phrase_key(phrase)
        if not any(character.isalnum() for character in phrase):
            yield f"the phrase {phrase!r} has neither letters nor digits; remove it"
        elif (before := seen.setdefault((group.field, key), line)) != line:
            yield f"{phrase!r} stands in line {before} too, in the same field; make one group of both or remove it"
