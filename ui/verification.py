"""What the gateway found when it compared an answer with its passages, and what a person reads of that.

It checks nothing itself, and is pure: dictionaries in, values out. What an older gateway does not report is not shown.

    found = read_verification({"sentences": [{"start": 0, "end": 12, "supported": False}]})
    found.unsupported, describe_checks(found)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ui.plain_text import Span, one_line

SHOWN = 5  # names, and errors of one block of code, that are shown before the rest is counted
_LANGUAGES = {  # what a fence says, and how a person calls it
    **dict.fromkeys(("systemverilog", "sv", "svh"), "SystemVerilog"),
    **dict.fromkeys(("verilog", "v", "vh"), "Verilog"),
    **dict.fromkeys(("tcl", "openroad", "opensta", "sta", "upf"), "Tcl"),
    **dict.fromkeys(("sdc", "xdc"), "SDC"),
    **dict.fromkeys(("yosys", "ys"), "a Yosys script"),
}


@dataclass(frozen=True)
class Diagnostic:
    """What a parser says of one line of a block of code, counted from 1; 0 where it names none."""

    line: int
    message: str


@dataclass(frozen=True)
class CodeCheck:
    """A block of code of the answer: what it was parsed as, and "ok", "faulty" or "unchecked"."""

    start: int
    end: int
    language: str
    verdict: str
    diagnostics: tuple[Diagnostic, ...]


@dataclass(frozen=True)
class Evidence:
    """A place in a passage, in characters of its text as the gateway sent it."""

    number: int
    start: int
    end: int


@dataclass(frozen=True)
class SentenceCheck:
    """A sentence of the answer, by its place, whether the passages support it, and where they do."""

    start: int
    end: int
    is_supported: bool
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True)
class Verification:
    """All that was checked. `mode` says who worded the answer; `dropped` counts sentences that were left out.

    `is_looped`: the model ran in circles, and its answer was cut there.
    """

    mode: str
    sentences: tuple[SentenceCheck, ...]
    unknown_names: tuple[str, ...]
    code: tuple[CodeCheck, ...]
    dropped: int
    is_looped: bool = False

    @property
    def unsupported(self) -> tuple[tuple[int, int], ...]:
        """The places of the sentences that no passage supports."""
        return tuple((sentence.start, sentence.end) for sentence in self.sentences if not sentence.is_supported)

    def places_in(self, number: int) -> list[Span]:
        """Where the passage of this number supports the answer."""
        every = (place for sentence in self.sentences for place in sentence.evidence)
        return [(place.start, place.end) for place in every if place.number == number]


def read_verification(found: Mapping[str, Any] | None) -> Verification | None:
    """The `verification` of a message or of a stream's last delta; what is missing in it was not checked."""
    if found is None:
        return None

    sentences = tuple(
        SentenceCheck(
            int(each["start"]),
            int(each["end"]),
            bool(each.get("supported", True)),
            tuple(
                Evidence(int(one["number"]), int(one["start"]), int(one["end"])) for one in each.get("evidence") or ()
            ),
        )
        for each in found.get("sentences") or ()
    )

    code = tuple(
        CodeCheck(
            int(each["start"]),
            int(each["end"]),
            one_line(each.get("language") or ""),
            one_line(each.get("verdict") or "unchecked"),
            tuple(
                Diagnostic(int(one.get("line") or 0), one_line(one.get("message") or ""))
                for one in each.get("diagnostics") or ()
            ),
        )
        for each in found.get("code") or ()
    )
    names = tuple(
        one_line(name if isinstance(name, str) else name.get("text") or "") for name in found.get("unknown_names") or ()
    )
    dropped, is_looped = int(found.get("dropped") or 0), bool(found.get("looped"))
    return Verification(one_line(found.get("mode") or ""), sentences, names, code, dropped, is_looped)


def describe_checks(found: Verification | None, how: str = "marked") -> list[str]:
    """What a person should know of the checks, a line each; none where all is well and nothing was parsed.

    `how` says where a reader finds the sentences that are not supported.
    """
    if found is None:
        return []
    lines = []
    if found.is_looped:
        lines.append("The model began to repeat itself: its answer was cut there.")
    if found.dropped:
        lines.append(
            f"{_count(found.dropped, 'sentence was', 'sentences were')} left out: "
            f"the passages do not support {_it(found.dropped)}."
        )
    if found.unsupported:
        sentences = _count(len(found.unsupported), "sentence", "sentences")
        lines.append(f"The passages do not support {sentences} ({how}).")
    if found.unknown_names:
        lines.append(f"In none of the passages: {_first(found.unknown_names, ', ')}.")
    checked = [check for check in found.code if check.verdict in ("ok", "faulty")]
    return [*lines, *_describe_code(checked)]


def _describe_code(checks: list[CodeCheck]) -> Iterator[str]:
    """A line for each block of code that was parsed, numbered if there are several; one for all where all are well."""
    if len(checks) > 1 and all(check.verdict == "ok" for check in checks):
        yield f"Code: all {len(checks)} blocks parsed without errors."
        return
    for number, check in enumerate(checks, start=1):
        block = f"Code {number}" if len(checks) > 1 else "Code"
        language = _LANGUAGES.get(check.language.lower(), check.language) or "code"
        if check.verdict == "ok":
            yield f"{block}: parsed as {language} without errors."
            continue
        said = [f"line {one.line}: {one.message}" if one.line else one.message for one in check.diagnostics]
        errors = f"{_count(len(said), 'error', 'errors')}, {_first(said, '; ')}" if said else "faulty"
        yield f"{block}: parsed as {language}: {errors}"


def _first(texts: Iterable[str], joint: str) -> str:
    """The first few of the texts, and how many more there are."""
    every = list(texts)
    more = [f"{len(every) - SHOWN} more"] if len(every) > SHOWN else []
    return joint.join([*every[:SHOWN], *more])


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _it(number: int) -> str:
    return "it" if number == 1 else "them"
