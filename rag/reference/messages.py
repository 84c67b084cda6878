"""Messages of tools by their numbers.

It knows `[ERROR GRT-0118] text`, `Error: text (UID-101)`, `%Warning-WIDTHTRUNC: text` and other forms. It reads one
line. A number alone, without a level or a text beside it, is not a message: `SKY-130` and `ISO-26262` have that form
too.

    read_message("[ERROR GRT-0118] Routing congestion too high.")  # ("GRT-0118", "Routing congestion too high.")
"""

from __future__ import annotations

import re

LONGEST_TEXT = 400
LONGEST_LINE = 1000
_SIGNS = re.compile(r"[\[(%]")  # every form has one of them
NUMBER = re.compile(r"[A-Z][A-Z0-9_]{1,15}-\d{1,6}")
WORD = re.compile(r"[A-Z][A-Z0-9_]{2,39}")  # what Verilator calls its warnings
_LEVEL = (
    r"(?:INFO|NOTE|DEBUG|WARN|WARNING|ERROR|CRITICAL|CRITICAL WARNING|FATAL|Info|Note|Warning|Error|Critical|Fatal)"
)
_NUMBER = r"(?P<number>[A-Z][A-Z0-9_]{1,15}-\d{1,6})"
_BEGUN = re.compile(rf"{_LEVEL}:\s+(?=\S)")
_MARKS = "-*>` "  # those of lists and quotations
_FORMS = tuple(
    re.compile(form)
    for form in (
        rf"\[{_LEVEL} {_NUMBER}\]\s*(?P<text>\S.*)",  # [ERROR GRT-0118] text
        rf"\*{{0,3}}\s?{_LEVEL}:?\s*[(\[]{_NUMBER}[)\]]:?\s*(?P<text>\S.*)",  # **ERROR: (IMPSP-9022): text
        # ERROR: [Synth 8-439] text
        rf"{_LEVEL}:\s+\[(?P<number>[A-Z][A-Za-z_]{{1,20}} \d{{1,3}}-\d{{1,6}})\]\s*(?P<text>\S.*)",
        # %Warning-WIDTH: a.v:3:4: text
        r"%(?:Warning|Error)-(?P<number>[A-Z][A-Z0-9_]{2,39}): (?:\S{1,200}:\d+:(?:\d+:?)? )?(?P<text>\S.*)",
    )
)


def read_message(line: str) -> tuple[str, str] | None:
    """The number and the text of a line that is a tool's message; None for any other line."""
    bare = line.strip().strip("`")
    if len(bare) > LONGEST_LINE or not _SIGNS.search(bare):
        return None
    for form in _FORMS:
        if found := form.match(bare) or form.match(bare.lstrip(_MARKS)):
            return found["number"], found["text"][:LONGEST_TEXT].strip()
    return _read_number_at_end(bare.lstrip(_MARKS).rstrip("."))


def _read_number_at_end(bare: str) -> tuple[str, str] | None:
    """`Error: text (UID-101)`."""
    text, _, number = bare.removesuffix(")").rpartition("(")
    begun = _BEGUN.match(text) if bare.endswith(")") and NUMBER.fullmatch(number) else None
    return (number, text[begun.end() :][:LONGEST_TEXT].strip()) if begun else None
