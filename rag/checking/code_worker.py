"""Parses code of answers in a process of its own, with limits on time and memory.

A model writes what it likes, and a hostile block must cost a verdict at most. It answers messages (`rag.child`) and
runs no code; `code_checks` starts it. It ends when its input ends or when a block takes too long, and keeps within its
memory. pyslang reads Verilog and SystemVerilog, tclint Tcl and SDC; each is loaded with the first block of its kind.

    python -m rag.checking.code_worker MEMORY_BYTES TIMEOUT_S
"""

from __future__ import annotations

import json
import re
import signal
import sys
from typing import Any

from rag.child import read_message, serve_parent, set_timer, write_message

MOST_DIAGNOSTICS = 20
LONGEST_MESSAGE = 300  # characters
# What a piece of code may stand in, on the same line, so that lines stay what they are.
_AROUND = (("", "\n"), ("module answer; ", "\nendmodule\n"), ("module answer; initial begin ", "\nend endmodule\n"))

Diagnostic = tuple[int, str]  # line, counted from 1, and what is wrong there


def parse_verilog(code: str) -> list[Diagnostic]:
    """The errors that pyslang finds in the code, or inside a module or a procedure if it finds fewer there.

    Answers show pieces of files. Files that `include names are not opened. Where a macro of another file is used,
    nothing is known.
    """
    code = code.replace("`include", "//nclude")
    best: list[Diagnostic] | None = None
    for before, after in _AROUND:
        found = _parse_source(before + code + after)
        if found is None:
            return []
        if best is None or len(found) < len(best):
            best = found
    return best or []


def _parse_source(code: str) -> list[Diagnostic] | None:
    """The errors in a whole source, or None where it uses a macro that it does not define."""
    from pyslang import DiagnosticEngine, SourceManager
    from pyslang.syntax import SyntaxTree

    manager = SourceManager()
    buffer = manager.assignText("answer", code)
    tree = SyntaxTree.fromBuffer(buffer, manager)
    diagnostics = list(tree.diagnostics)
    if any("UnknownDirective" in str(one.code) for one in diagnostics):
        return None
    engine = DiagnosticEngine(manager)
    return [(manager.getLineNumber(one.location), engine.formatMessage(one)) for one in diagnostics if one.isError()]


def parse_tcl(code: str, commands: dict[str, Any]) -> list[Diagnostic]:
    """The syntax error at which tclint stops, or its complaints about arguments of commands.

    It knows Tcl's own commands and the `commands` given.
    """
    from tclint.commands.builtin import commands as own
    from tclint.parser import Parser, TclSyntaxError

    parser = Parser(commands={**commands, **own})
    try:
        parser.parse(code)
    except TclSyntaxError as error:
        return [(error.start[0], str(error).strip().rstrip(":"))]
    return [(found.start[0], found.message) for found in sorted(parser.violations) if _is_sure(found.message, own)]


def _is_sure(message: str, own: dict[str, Any]) -> bool:
    """Whether a complaint holds: any of Tcl's own commands; of other commands an unknown option.

    Documents leave open how many arguments commands take.
    """
    return message.startswith("unrecognized argument for ") or any(
        re.search(rf" for {re.escape(name)}\b", message) for name in own
    )


def parse(request: dict[str, Any], commands: dict[str, Any]) -> dict[str, Any]:
    """The diagnostics of one block, or `failed` where a parser gave up."""
    try:
        found = (
            parse_verilog(request["code"]) if request["language"] == "verilog" else parse_tcl(request["code"], commands)
        )
    except (
        RuntimeError,
        RecursionError,
        MemoryError,
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
    ) as error:
        return {"failed": type(error).__name__}
    return {"diagnostics": [(line, message[:LONGEST_MESSAGE]) for line, message in found[:MOST_DIAGNOSTICS]]}


def main(memory_bytes: int, timeout_s: float) -> None:
    """Parse messages until none come. A message with `commands` sets the schema of those that follow."""
    requests, answers = serve_parent(memory_bytes)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started this
    commands: dict[str, Any] = {}
    while (message := read_message(requests)) is not None:
        set_timer(timeout_s)
        request = json.loads(message[1])
        if "commands" in request:
            commands = request["commands"]
        write_message(answers, {}, json.dumps(parse(request, commands)).encode() if "code" in request else b"{}")
        set_timer(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
