"""What matters in a pasted log: the person's own words, and the lines that say what went wrong.

Rules on lines; no model, no index. A log is not a question: its times, paths, coordinates and lines of progress find
other logs. What identifies the problem is the message, its number, and the command that was echoed before it. That is
searched for, and a log that no model's window holds is cut to what matters. No text is cut that is not a paste.

    condense_paste(
        "why?\\n[INFO GRT-0103] Extra run.\\n[ERROR GRT-0118] Routing congestion too high.\\n"
        "Error: route.tcl, 21 GRT-0118"
    )
    # "why? [ERROR GRT-0118] Routing congestion too high."
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rag.search.eda_tools import named_eda_tools

MOST_READ = 20_000  # characters of a turn, half of them at its end, where a run says why it stopped
# Lines between the two that report a problem and are read as well: the error may be followed by an hour of other steps
MOST_PROBLEMS = 100
INFORMATIVE_LINES = (
    2  # of a log: more bring other messages' words, and no more of the right passages among the first eight
)
_LONGEST_LINE = 1000  # characters of a line of a long log
_OWN_LINES = 20  # at either end of a log, between which a person's own words are looked for
_GAP = "[... {:,} lines left out ...]"
_WORDS_OF_A_LINE = 60  # of a line that is searched for: what stands further on is a dump
_OWN_SHARE = 0.6  # of the words of a line that a person wrote, at least so many are plain words
_OWN_WORDS = 2  # a line of fewer is a person's only where it asks

_ERROR = re.compile(
    r"\b(?:error|fatal|fail(?:ed|ure|s)?|violated|mismatch|cannot|can't|couldn't|could not|not found|no such"
    r"|does(?:n't| not) exist|unable|missing|aborted|illegal|invalid|undefined|undeclared|unresolved|unrecognized"
    r"|unknown (?:or ambiguous )?(?:command|option|subcommand|keyword|argument|identifier)|denied|segmentation fault"
    r"|core dumped|bad_alloc|assert(?:ion)?)\b"
    r"|%Error|\*\*ERROR|\*[EF],[A-Z]|\bUVM_(?:FATAL|ERROR)\b",
    re.IGNORECASE,
)
# How Tcl, in which most tools are driven, begins to say what is wrong (the manual pages of its commands)
_TCL = re.compile(
    r"^\s*(?:invalid command name|wrong # args|can't (?:read|set|find)|couldn't|(?:unknown|bad|ambiguous) \w+ \""
    r"|unknown or ambiguous|expected \w+ (?:number )?but got|extra characters after|missing (?:close-|\"))"
)
_WARNING = re.compile(r"\bwarn(?:ing)?\b|%Warning|\*\*WARN|\*W,[A-Z]|\bUVM_WARNING\b", re.IGNORECASE)
_INFO = re.compile(r"\b(?:(?:UVM_)?info|note|debug)\b", re.IGNORECASE)
# What a line of each level weighs
ERROR_WEIGHT, WARNING_WEIGHT, INFO_WEIGHT = 3.0, 2.0, -1.0
ECHO_WEIGHT, NUMBER_WEIGHT = 1.5, 1.0  # of an echoed command, and of a message's number
_LEVELS = ((_TCL, ERROR_WEIGHT), (_ERROR, ERROR_WEIGHT), (_WARNING, WARNING_WEIGHT), (_INFO, INFO_WEIGHT))
_OWN, _PROBLEM, _OTHER = range(3)  # kinds of a log's lines, the most important first
# How tools number and name their messages: GRT-0118, %Warning-WIDTH, xrun's *E,EXPSMC, VCS's Error-[SE], Questa's
# (vsim-3033), Vivado's [Place 30-574] and [DRC NSTD-1], Quartus's Error (10170)
_NUMBER = re.compile(
    r"\b[A-Z][A-Z0-9]{1,9}-\d{1,5}\b|%(?:Error|Warning)-\w+|\*[EFWN],[A-Z0-9]{3,}|\b(?:Error|Warning|Lint)-\[[\w-]+\]"
    r"|\((?:vsim|vlog|vcom|vopt|qrun)-\d+\)|\[(?!Table|Fig|Section|Chapter|Page)[A-Z][\w ]* \w+-\d+\]"
    r"|^\s*(?:Critical )?(?:Error|Warning|Info) \(\d+\)"
)
_ECHO = re.compile(
    r"\s*(?:[%$>#]|\w+>)\s+\S|\s*(?:make|bazelisk|yosys|verilator|openroad|sta|klayout|iverilog)\b"
    r"|\s*[a-z]+(?:_[a-z0-9]+)+(?:\s|$)"
)
_CALL = re.compile(r"(?<![\w/.-])[a-z]+(?:_[a-z0-9]+)+\s+--?[a-z]")  # "gp.tcl: global_placement -density 0.6"
_QUOTED = re.compile(r"[\"'`]([\w:.-]+)[\s\"'`]")  # a name that a message is about
_WORD = re.compile(r"[\w:.-]+")
_PROMPT = re.compile(r"\s*([A-Za-z][\w@:/ -]{0,40}?)[%>]\s")  # "Vivado% place_design", "icc2_shell> ", "innovus 3> "
_WORD_SIGNS = re.compile(r"[_@:/-]")
# The end of every failing run, which says nothing of the cause.
_AFTERMATH = re.compile(
    r"\bexit(?:ing|ed)?\b|\bmake(?:\[\d+\])?:|\bTraceback\b|\bError: [\w.]+\.tcl, \d+", re.IGNORECASE
)
_PLACE = re.compile(
    r"\S+:\d+:|UVM_(?:INFO|WARNING|ERROR|FATAL)\b|(?:critical )?(?:error|warning|info|information|note|fatal)\b[:\[]",
    re.IGNORECASE,
)  # "top.v:12: syntax error", "Error: ..."
_BANNER = re.compile(r"\(c\) |©|\bcopyright\b", re.IGNORECASE)  # what a tool says of itself as it starts
_PLAIN = re.compile(r"[\"'(]?[A-Za-z][A-Za-z'’-]*[.,?!;:)\"']*")

_ADDRESS = re.compile(r"https?://\S+")
_FOLDERS = re.compile(r"(?<!\S)(?!I/O\b)[\w.~-]*/(?:[\w.~-]+/)*(?=[\w.])")
_LINE_NUMBER = re.compile(r":\d+(?::\d+)?(?=:)")  # "top.v:12:7:"
_BARE_NUMBER = re.compile(
    r"(?<![^\s(,])[+-]?(?:0x[0-9a-f]+|\d+(?:[.:,]\d+)*(?:e[+-]?\d+)?)%?(?![^\s),.;:])", re.IGNORECASE
)
_RULE = re.compile(r"[-=_*#.]{3,}|[|]")


def condense_paste(turn: str) -> str:
    """The turn as it is, or, where lines of it are a log, the lines that matter.

    Those are the person's own lines and the most informative ones of the log, in their order, behind the names of tools
    whose prompt stands in it.
    """
    lines = [line for line in _lines_to_read(turn) if line.strip()]
    weights = {number: _weigh(line) for number, line in enumerate(lines) if not is_own_words(line)}
    if len(lines) < 2 or not weights:
        return turn

    best = max(weights, key=lambda number: (weights[number], -number))
    # Of equals those that name what it complains of: the echo of the command
    named = set(_QUOTED.findall(lines[best]))
    others = sorted(
        weights.keys() - {best},
        key=lambda number: (-weights[number], named.isdisjoint(_WORD.findall(lines[number])), number),
    )
    if _weigh_level(lines[best]) == ERROR_WEIGHT:  # a lesser warning says little of it
        others = [
            number
            for number in others
            if weights[number] == weights[best] or _weigh_level(lines[number]) != WARNING_WEIGHT
        ]
    informative = {best, *(number for number in others[: INFORMATIVE_LINES - 1] if weights[number] > 0)}
    parts = [
        _strip(line) if number in informative else line.strip()
        for number, line in enumerate(lines)
        if number in informative or number not in weights
    ]
    condensed = " ".join(dict.fromkeys(part for part in (*_prompting_tools(lines), *parts) if part))
    return condensed if any(character.isalnum() for character in condensed) else turn


@dataclass(frozen=True, slots=True)
class CutLog:
    """A log's lines that matter, with marks where others were; of how many lines they are, and how many they are."""

    text: str
    lines: int
    kept: int


def cut_log(turn: str, most: int) -> CutLog | None:
    """A turn with a log in about `most` characters; None where no line of it is a log's.

    The person's own lines stay first, then what reports the worst problems, in up to half of the characters, then what
    is nearest to either end.
    """
    lines = [line[:_LONGEST_LINE] for line in turn.splitlines() if line.strip()]
    if len(lines) < 2 or all(map(is_own_words, lines)):
        return None

    def rank(number: int) -> tuple[int, float]:
        """What a line is, the most important first."""
        from_end = min(number, len(lines) - 1 - number)
        if from_end < _OWN_LINES and is_own_words(lines[number]):
            return _OWN, from_end
        weight = _weigh(lines[number])
        return (_PROBLEM, -weight) if weight >= WARNING_WEIGHT else (_OTHER, from_end)

    kept, left, left_for_problems = set[int](), most, most // 2
    for (kind, _), number in sorted((rank(number), number) for number in range(len(lines))):
        is_problem = kind == _PROBLEM
        cost = len(lines[number]) + 1 + is_problem * len(_GAP)
        if cost <= (min(left, left_for_problems) if is_problem else left):
            kept.add(number)
            left -= cost
            left_for_problems -= is_problem * cost
    return CutLog("\n".join(_with_gaps(lines, sorted(kept))), len(lines), len(kept))


def _with_gaps(lines: list[str], kept: list[int]) -> Iterator[str]:
    """The kept lines, and marks where others were left out."""
    for before, number in zip([-1, *kept], [*kept, len(lines)], strict=True):
        if number - before > 1:
            yield _GAP.format(number - before - 1)
        if number < len(lines):
            yield lines[number]


def _lines_to_read(turn: str) -> list[str]:
    """The lines of a turn; of a long one those at both ends, and what reports a problem between them."""
    if len(turn) <= MOST_READ:
        return turn.splitlines()
    half = MOST_READ // 2
    first = turn.rfind("\n", 0, half) + 1 or half  # in whole lines, where there are any
    last = max(turn.find("\n", len(turn) - half), len(turn) - half)
    return [*turn[:first].splitlines(), *_find_worst(turn[first:last].splitlines()), *turn[last:].splitlines()]


def _find_worst(lines: Iterable[str]) -> list[str]:
    """Of the lines that report an error or a warning the worst, and of equals the first, in their order."""
    problems = [line[:_LONGEST_LINE] for line in lines if _ERROR.search(line) or _WARNING.search(line)]
    worst = sorted(range(len(problems)), key=lambda number: -_weigh(problems[number]))[:MOST_PROBLEMS]
    return [problems[number] for number in sorted(worst)]


def is_own_words(line: str) -> bool:
    """Whether a person wrote a line: a sentence of plain words, no message, echo, listing or place in a file."""
    words = line.split()
    is_listing = line[:1].isspace() or line[:1] in "|-+*[%$>#{}/" or "   " in line.rstrip() or "\t" in line.rstrip()
    if not words or is_listing or is_message(line) or _ECHO.match(line) or _BANNER.search(line):
        return False
    plain = sum(1 for word in words if _PLAIN.fullmatch(word))
    return plain >= _OWN_SHARE * len(words) and (len(words) >= _OWN_WORDS or line.rstrip().endswith("?"))


def is_message(line: str) -> bool:
    """Whether a line is a tool's message: it has the number of one, or begins with a place in a file or a level."""
    return bool(_NUMBER.search(line) or _PLACE.match(line.lstrip()) or _TCL.search(line))


def _weigh(line: str) -> float:
    """How much a line of a log says of what went wrong."""
    if _AFTERMATH.search(line):
        return -1.0
    signs = ECHO_WEIGHT * bool(_ECHO.match(line) or _CALL.search(line)) + NUMBER_WEIGHT * bool(_NUMBER.search(line))
    return _weigh_level(line) + signs


def _weigh_level(line: str) -> float:
    """What its level weighs, which is what a line says first: "[WARNING STA-0366] port not found" is a warning."""
    levels = [(found.start(), weight) for pattern, weight in _LEVELS if (found := pattern.search(line))]
    return min(levels)[1] if levels else 0.0


def _prompting_tools(lines: Iterable[str]) -> Iterator[str]:
    """The known tools of chip design that wait for commands in a log."""
    for line in lines:
        if prompt := _PROMPT.match(line):
            yield from (names[0] for names in named_eda_tools(f"{prompt[1]} {_WORD_SIGNS.sub(' ', prompt[1])}"))


def _strip(line: str) -> str:
    """A line without what is another run's alone: addresses, folders, bare numbers, rules."""
    line = " ".join(line.split()[:_WORDS_OF_A_LINE])
    for pattern in (_ADDRESS, _FOLDERS, _LINE_NUMBER):
        line = pattern.sub("" if pattern is _LINE_NUMBER else " ", line)
    parts, end = list[str](), 0
    for number in _NUMBER.finditer(line):  # which stays, whatever it is made of
        parts += [_strip_numbers(line[end : number.start()]), number.group()]
        end = number.end()
    return " ".join("".join([*parts, _strip_numbers(line[end:])]).split())


def _strip_numbers(text: str) -> str:
    """A text without bare numbers and rules."""
    return _RULE.sub(" ", _BARE_NUMBER.sub(" ", text))
