"""Encrypted parts of code, and keys in armour, to a remark of what they were: ciphertext is no code, and finds nothing.

It knows the envelopes of IEEE 1364 and 1800 (`pragma protect), of VHDL (`protect) and the older `protected, those of
SVRF, HSPICE, Spectre and Tcl, and blocks between `-----BEGIN` and `-----END`. It decrypts nothing. Source that is only
marked to be encrypted later (`pragma protect begin), or to be kept out of listings (.prot), stays.

    hide_encrypted("`protected\n7Hq\n`endprotected\n") == "/* [encrypted: 1 block, 1 line] */\n"
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rag.counted import counted

_PRAGMA = r"(?:`|//[ \t]*)pragma[ \t]+protect[ \t]+"
_DIRECTIVE = re.compile(rf"\s*(?:{_PRAGMA}|`protect\b)(?P<words>.*)", re.IGNORECASE)
_LOOKED_BACK = 2000  # characters of a line, in which a remark or a string begins
_BLOCK = re.compile(r"\b\w+_block\b", re.IGNORECASE)
_KEY = re.compile(r'key_?keyname\s*=\s*"([^"\n]{1,80})"', re.IGNORECASE)
_PLAIN_SHARE = 0.2  # of the lines of ciphertext have blanks; nearly all of a netlist have


@dataclass(frozen=True, slots=True)
class _Envelope:
    """What opens and closes an encrypted part; `keeps_source`: also plain source may stand in it, which is shown."""

    begin: re.Pattern[str]
    end: re.Pattern[str]
    keeps_source: bool = False


def _envelope(begin: str, end: str, keeps_source: bool = False) -> _Envelope:
    flags = re.IGNORECASE | re.MULTILINE
    return _Envelope(re.compile(begin, flags), re.compile(end, flags), keeps_source)


_IEEE = _envelope(rf"{_PRAGMA}begin_protected\b", rf"{_PRAGMA}end_protected\b")
_OLD = _envelope(r"`protected(?:128)?\b", r"`endprotected(?:128)?\b")
_VHDL = _envelope(r"`protect[ \t]+begin_protected\b", r"`protect[ \t]+end_protected\b")
_WHOLE = _envelope(r"\AXlxV\d\dE[BH]\b.*", r"\Z")  # a file of Xilinx's
_HARDWARE = (_IEEE, _VHDL, _OLD, _WHOLE)
_ENVELOPES = {
    "verilog": _HARDWARE,
    "vhdl": _HARDWARE,
    "svrf": (_envelope(r"^[ \t]*#DECRYPT\b.*", r"^[ \t]*#ENDCRYPT\b.*"),),
    "spice": (_envelope(r"^[ \t]*\.prot(?:ect)?\b.*", r"^[ \t]*\.unprot(?:ect)?\b.*", keeps_source=True),),
    "spectre": (_IEEE, _envelope(r"^[ \t]*protect[ \t]*$", r"^[ \t]*unprotect[ \t]*$", keeps_source=True)),
    "tcl": (_envelope(r"\btbcload::bceval[ \t]*\{", r"^\}"),),
}
_REMARKS = {
    "verilog": ("/* ", " */"),
    "vhdl": ("-- ", "\n"),
    "svrf": ("// ", "\n"),
    "tcl": ("# ", ""),
    "spice": ("* ", ""),
}
_ARMOUR = re.compile(
    r"^(?P<mark>[ \t>]*)-----BEGIN (?P<name>[A-Z0-9 ]{1,60})-----\n(?P<body>(?:(?!.*-----(?:BEGIN|END) ).*\n)*)"
    r".*-----END (?P=name)-----",
    re.MULTILINE,
)


def hide_encrypted(text: str, language: str = "verilog") -> str:
    """The text with each encrypted part as one comment. A part that is never closed reaches to the text's end."""
    opening, closing = _REMARKS.get(language, ("// ", ""))
    for envelope in _ENVELOPES.get(language, ()):
        text = _hide(text, envelope, opening, closing)
    return text


def hide_armour(text: str) -> str:
    """The text with each certificate, key or message in armour as one remark."""
    return _ARMOUR.sub(_describe_armour, text) if "-----BEGIN " in text else text


def _describe_armour(found: re.Match[str]) -> str:
    count = sum(1 for line in found["body"].splitlines() if line.strip())
    return f"{found['mark']}[{found['name'].lower()}: {counted(count, 'line')}, not shown]"


def _hide(text: str, envelope: _Envelope, opening: str, closing: str) -> str:
    """The text with each part in this envelope as one comment."""
    kept: list[str] = []
    position = 0
    while begin := envelope.begin.search(text, position):
        line_start = text.rfind("\n", 0, begin.start()) + 1
        if _is_said(text[max(line_start, begin.start() - _LOOKED_BACK) : begin.start()]):
            kept.append(text[position : begin.end()])
            position = begin.end()
            continue

        end = envelope.end.search(text, begin.end())
        stop = end.end() if end else len(text)
        body = text[begin.end() : end.start() if end else stop]
        is_source = envelope.keeps_source and not _is_ciphertext(body)
        remark = (text[begin.start() : stop],) if is_source else (opening, _describe(body), closing)
        kept += [text[position : begin.start()], *remark]
        position = stop
    return "".join([*kept, text[position:]])


def _is_ciphertext(body: str) -> bool:
    """Whether nearly no line has a blank, as those of source have."""
    lines = [line.strip() for line in body.splitlines() if line.strip()]
    return sum(1 for line in lines if re.search(r"\s", line)) <= _PLAIN_SHARE * len(lines)


def _is_said(before: str) -> bool:
    """Whether what follows on this line stands in a remark or a string, which only speak of encrypted parts."""
    in_string = bool(before.replace('\\"', "").count('"') % 2)
    return in_string or "//" in before or "--" in before or before.rfind("/*") > before.rfind("*/")


def _describe(body: str) -> str:
    """What is known of an encrypted part: its blocks, its lines of ciphertext, its keys."""
    lines = [line for line in body.splitlines() if line.strip()]
    directives = [found["words"] for line in lines if (found := _DIRECTIVE.match(line))]
    blocks = sum(1 for words in directives if _BLOCK.search(words)) or 1
    count = len(lines) - len(directives)
    keys = dict.fromkeys(_KEY.findall("\n".join(directives)))
    parts = [counted(blocks, "block"), counted(count, "line"), *(f"key {key}" for key in keys)]
    return f"[encrypted: {', '.join(parts)}]"
