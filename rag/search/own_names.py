"""Names that a question brings along: of the asker's own files, nets, instances and macros, which no manual holds.

That a document lacks `uart_phy.v` or `u_core/u_ram0` says nothing of what it answers; that it lacks `ccopt_design` says
much. Rules on words; no index.

    without_own_names("why does u_dut fail in uart_phy.v", is_known=lambda name: False)  # "why does  fail in "
"""

from __future__ import annotations

import re
from collections.abc import Callable

from rag.index.bm25 import is_identifier

_EXTENSIONS = (
    "s?vh?|svp|vhdl?|lib|lef|def|gds|oas|odb|db|il|ys|tcl|sdc|upf|spef|sdf|sp|spice|cdl|vcd|fst|saif|rpt|log|py|sh|mk|"
    "c|cc|cpp|h|hpp|json|ya?ml|csv|txt|md|html"
)
_OBJECTS = "net|pin|port|cell|inst(?:ance)?|macro|module|block|reg(?:ister)?|wire|signal|clock"

# Of each the group `name` is the asker's own: a file's, what stands behind the word for an object of a design, an
# instance's or a register's, a pattern of names, a macro of the source
_OWN = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?<![\w.])(?P<name>\w+)\.(?:{_EXTENSIONS})\b",
        rf"\b(?:{_OBJECTS})s?[ :]+[`'\"\\]*(?P<name>[$\w]+)",
        r"\b(?P<name>[ui]_\w+|\w+_reg)\b",
        r"\b(?P<name>\w+)\*",
        r"`(?:define|ifn?def|undef)[ (]+(?P<name>\w+)",
    )
)
_BIT = r"\[\d+(?::\d+)?\]"
_BUS_BIT = re.compile(rf"(?P<name>\w+){_BIT}")
# Its parts may be words of a manual, the path itself is none
_INSTANCE_PATH = re.compile(rf"(?<![\w./-])(?=[\w/]*[\d_])\w+(?:/\w+)+(?:{_BIT})?(?![\w./])")


def without_own_names(question: str, is_known: Callable[[str], bool]) -> str:
    """The question without exact names of the asker's own design.

    is_known: whether a document holds a name, in lower case; such a name stays. Of a bit of a bus its number goes.
    """

    def is_own(name: str) -> bool:
        """Whether it is an exact name that no document holds."""
        return is_identifier(name) and not is_known(name.lower())

    question = _INSTANCE_PATH.sub("", question)
    question = _BUS_BIT.sub(lambda bit: "" if is_own(bit["name"]) else bit["name"], question)
    for pattern in _OWN:
        question = pattern.sub(
            lambda found: found[0].replace(found["name"], "") if is_own(found["name"]) else found[0], question
        )
    return question
