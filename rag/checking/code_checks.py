"""Checks whether the code in an answer is code.

It parses Verilog and SystemVerilog, and Tcl and SDC with the options that the documents know of each command. It runs
nothing, and judges no shell, make or other language. A parser works in a process of its own (`code_worker`), which
starts with the first block that needs it, and again when it has died over one.

    verdict = CodeChecker().check("create_clock -period 5 [get_ports clk", "tcl")   # faulty, line 1
"""

from __future__ import annotations

import json
import re
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rag.checking.sentences import Part
from rag.child import Child, end_child, read_message, start_child, write_message
from rag.passages import FENCE
from rag.reference.cards import Reference
from rag.reference.tclint_schema import as_tclint

Ruling = Literal["ok", "faulty", "unchecked"]

TIMEOUT_S = 2.0  # for one block; an honest one takes milliseconds, and loading a parser half a second
MEMORY_BYTES = 2 * 2**30  # of addresses
LONGEST = 50_000  # characters of a block that is parsed
MOST_BLOCKS = 20  # of an answer that are parsed
LANGUAGES = {  # what a fence says, and what that is to us
    **dict.fromkeys(("verilog", "systemverilog", "sv", "v", "svh", "vh"), "verilog"),
    **dict.fromkeys(("tcl", "sdc", "xdc", "upf", "openroad", "opensta", "sta"), "tcl"),
    **dict.fromkeys(("yosys", "ys"), "yosys"),
}
# Text that stands for something else and is not code itself: an ellipsis, a placeholder, a synopsis with its options in
# brackets or one a line.
_ELLIPSIS = re.compile(r"\.\.\.|\u2026|<[\w -]+>")
_SYNOPSIS = re.compile(r"\[\s*-[a-zA-Z]\w*|(?<!\\)\n[ \t]+-[a-zA-Z]|^(?:>|%|openroad>|yosys>)\s", re.MULTILINE)
_UNKNOWN = re.compile(r"unrecognized argument for (\S+): ([^\s;]+)")
LEAST_COMMANDS = 100  # that a whole reference of Yosys has: it knows some 300; fewer do not show what is unknown
_YOSYS_BREAK = re.compile(r";|\n")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a parser says of some code: `diagnostics` are lines, counted from 1, each with what is wrong there."""

    language: str
    ruling: Ruling
    diagnostics: tuple[tuple[int, str], ...] = ()


class CodeChecker:
    """Checks one block at a time, never raises, and is safe to call from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._worker: Child | None = None
        self._known: object = None  # whose commands the worker has

    def check(
        self, code: str, language: str, reference: Reference | None = None, passages: Sequence[str] = ()
    ) -> Verdict:
        """The verdict on some code in the language that its fence names.

        An option that the reference lacks is not a fault where one of the passages has it in one paragraph with its
        command.
        """
        kind = LANGUAGES.get(language.lower(), "")
        if not kind or not code.strip() or len(code) > LONGEST or _ELLIPSIS.search(code):
            return Verdict(language, "unchecked")
        if kind == "tcl" and _SYNOPSIS.search(code):
            return Verdict(language, "unchecked")
        as_yosys = check_yosys(code, language, reference) if kind != "verilog" else None
        if as_yosys and (kind == "yosys" or as_yosys.ruling == "ok"):  # scripts of Yosys are often marked as Tcl
            return as_yosys
        with self._lock:
            found = self._ask(kind, code, reference)
        if found is None or "failed" in found:
            return Verdict(language, "unchecked")
        diagnostics = tuple(
            (int(line), str(message)) for line, message in found["diagnostics"] if not _is_written(message, passages)
        )
        return Verdict(language, "faulty" if diagnostics else "ok", diagnostics)

    def _ask(self, kind: str, code: str, reference: Reference | None) -> dict[str, Any] | None:
        """What the worker answers; None where it died over it."""
        if self._worker is None:
            self._worker = start_child("rag.checking.code_worker", MEMORY_BYTES, str(TIMEOUT_S))
            weakref.finalize(self, end_child, self._worker)
            self._known = None
        request: dict[str, Any] = {"language": kind, "code": code}
        if kind == "tcl" and self._known is not reference:
            request["commands"], self._known = as_tclint(reference.commands)["commands"] if reference else {}, reference
        try:
            write_message(self._worker.stdin, {}, json.dumps(request).encode())
            answer = read_message(self._worker.stdout)
        except OSError:  # it died before it had read all
            answer = None
        if answer is None:
            end_child(self._worker)
            self._worker = None
            return None
        found: dict[str, Any] = json.loads(answer[1])
        return found


def check_blocks(
    answer: str,
    parts: Sequence[Part],
    checker: CodeChecker,
    reference: Reference | None = None,
    passages: Sequence[str] = (),
) -> list[tuple[Part, Verdict]]:
    """The verdict on each block of code of an answer; the first `MOST_BLOCKS` are parsed.

    Lines are those within the fence.
    """
    verdicts: list[tuple[Part, Verdict]] = []
    for part in parts:
        if part.kind == "code":
            language, code = read_block(answer[part.start : part.end])
            verdicts.append(
                (
                    part,
                    checker.check(code, language, reference, passages)
                    if len(verdicts) < MOST_BLOCKS
                    else Verdict(language, "unchecked"),
                )
            )
    return verdicts


def read_block(block: str) -> tuple[str, str]:
    """The language that a fenced block names, and its code."""
    first, _, rest = block.partition("\n")
    opened = FENCE.match(first)
    language = first[opened.end() :].strip().split(" ")[0].strip("{}.") if opened else ""
    code, _, last = rest.rpartition("\n")
    return language, code if opened and FENCE.match(last) else rest


def _is_written(message: str, passages: Sequence[str]) -> bool:
    """Whether a passage has the option that is called unknown in one paragraph with its command."""
    unknown = _UNKNOWN.match(message)
    if not unknown:
        return False
    pattern = re.compile(rf"(?<![\w-]){re.escape(unknown[2])}(?![\w-])")
    return any(
        unknown[1] in paragraph and pattern.search(paragraph)
        for passage in passages
        for paragraph in passage.split("\n\n")
    )


def check_yosys(code: str, language: str, reference: Reference | None) -> Verdict:
    """Each command and each of its options against the reference of Yosys.

    Where the reference is incomplete, nothing is known.
    """
    known = _options_by_command(reference)
    if len(known) < LEAST_COMMANDS:
        return Verdict(language, "unchecked")
    diagnostics: list[tuple[int, str]] = []
    line = 1
    at = 0
    for found in [*_YOSYS_BREAK.finditer(code), None]:
        words = code[at : found.start() if found else len(code)].split("#")[0].split()
        if words and words[0] not in known:
            diagnostics.append((line, f"no command {words[0]} in the documents"))
        elif words and known[words[0]]:
            wrong = [word for word in words[1:] if re.match(r"-[A-Za-z]", word) and word not in known[words[0]]]
            diagnostics += [(line, f"no option {word} of {words[0]} in the documents") for word in wrong]
        if found:
            line += found.group() == "\n"
            at = found.end()
    return Verdict(language, "faulty" if diagnostics else "ok", tuple(diagnostics[:MOST_BLOCKS]))


def _options_by_command(reference: Reference | None) -> Mapping[str, frozenset[str]]:
    options: dict[str, frozenset[str]] = {}
    for command in reference.commands if reference else ():
        if command.collection == "yosys":
            options[command.name] = options.get(command.name, frozenset()) | {option.name for option in command.options}
    return options
