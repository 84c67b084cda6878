"""Encrypted parts of Verilog and VHDL to a remark of what they were: ciphertext is not code, and finds nothing.

It knows the envelopes of IEEE 1364 and 1800 (`pragma protect), of VHDL (`protect) and the older `protected. It decrypts
nothing. Source that is only marked to be encrypted later (`pragma protect begin) stays.

    hide_encrypted("`protected\n7Hq\n`endprotected\n") == "/* [encrypted: 1 block, 1 line] */\n"
"""

from __future__ import annotations

import re

_PRAGMA = r"(?:`|//[ \t]*)pragma[ \t]+protect[ \t]+"
_BEGIN = re.compile(
    rf"(?P<pragma>{_PRAGMA}begin_protected\b)|(?P<vhdl>`protect[ \t]+begin_protected\b)|(?P<old>`protected(?:128)?\b)",
    re.IGNORECASE,
)
_END = {
    "pragma": re.compile(rf"{_PRAGMA}end_protected\b", re.IGNORECASE),
    "vhdl": re.compile(r"`protect[ \t]+end_protected\b", re.IGNORECASE),
    "old": re.compile(r"`endprotected(?:128)?\b", re.IGNORECASE),
}
_DIRECTIVE = re.compile(rf"\s*(?:{_PRAGMA}|`protect\b)(?P<words>.*)", re.IGNORECASE)
_LOOKED_BACK = 2000  # characters of a line, in which a remark or a string begins
_BLOCK = re.compile(r"\b\w+_block\b", re.IGNORECASE)
_KEY = re.compile(r'key_?keyname\s*=\s*"([^"\n]{1,80})"', re.IGNORECASE)


def hide_encrypted(text: str, opening: str = "/* ", closing: str = " */") -> str:
    """The text with each encrypted part as one comment. A part that is never closed reaches to the text's end."""
    kept: list[str] = []
    position = 0
    while begin := _BEGIN.search(text, position):
        line_start = text.rfind("\n", 0, begin.start()) + 1
        if _is_said(text[max(line_start, begin.start() - _LOOKED_BACK) : begin.start()]):
            kept.append(text[position : begin.end()])
            position = begin.end()
            continue
        end = _END[begin.lastgroup or ""].search(text, begin.end())
        stop = end.end() if end else len(text)
        body = text[begin.end() : end.start() if end else stop]
        kept += [text[position : begin.start()], opening, _describe(body), closing]
        position = stop
    return "".join([*kept, text[position:]])


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
    parts = [_count(blocks, "block"), _count(count, "line"), *(f"key {key}" for key in keys)]
    return f"[encrypted: {', '.join(parts)}]"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"
