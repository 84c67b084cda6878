"""Raised and lowered letters as plain text that keeps their meaning: 10^-9, m^2, t_setup; a footnote's mark is [1].

Formats put marks around such letters where they read them (`mark_raised`), and write all of a text's marks at its end
(`write_raised`): what stands before the letters decides whether "2" is a power, a footnote, or a part of a name.

    write_raised(f"10{mark_raised('-9')} A") == "10^-9 A"
"""

from __future__ import annotations

import re
from typing import Literal

Place = Literal["raised", "lowered", "footnote"]

_SIGNS: dict[Place, str] = {"raised": "\ue020", "lowered": "\ue021", "footnote": "\ue022"}
_END = "\ue023"
_MARKED = re.compile(r"([\ue020-\ue022])([^\ue020-\ue023]*)\ue023")
_LEFT_OVER = re.compile(r"[\ue020-\ue023]")
_MOST_LEVELS = 4  # of letters raised in raised ones
_LONGEST_BASE = 40  # characters before the letters, which hold the last word

_TRADE = {"tm": "™", "(tm)": "™", "r": "®", "(r)": "®", "c": "©"}
_AS_IT_IS = re.compile(r"[®™©℠*†‡§°ªº'′″]+|st|nd|rd|th|e|er|ème|SM", re.IGNORECASE)
_NOTE_NUMBER = re.compile(r"\(?\[?\d{1,3}(?:\s*[,;–-]\s*\d{1,3})*\]?\)?|\[[a-z*†‡]\]")
_NOTED_WORD = re.compile(r"[^\W\d_]{3,}$|[.,;:!?\"”’]$")  # behind such a word, a number is a footnote's
_LONG_UNITS = re.compile(r"(?:mils?|inch|micron|meter|metre|foot|sec|volt|amp)$", re.IGNORECASE)
_SIMPLE = re.compile(r"[-+−–]?[\w.,/∞°*′]+|[-+−–*]")
_JOINED_NAME = re.compile(r"[A-Z]+|\d+")  # behind a capital letter: V_DD is written VDD, H_2O is H2O


def mark_raised(text: str, place: Place = "raised") -> str:
    """The letters with marks around them, for `write_raised`."""
    return f"{_SIGNS[place]}{text}{_END}" if text.strip() else text


def write_raised(text: str) -> str:
    """The text with what its marks mean; without any it is the same."""
    if _END not in text:
        return text
    for _ in range(_MOST_LEVELS):
        if _END not in text:
            break
        text = _MARKED.sub(_write_one, text)
    return _LEFT_OVER.sub("", text)


def _write_one(found: re.Match[str]) -> str:
    before = found.string[max(found.start() - _LONGEST_BASE, 0) : found.start()]
    before = _LEFT_OVER.sub("", before)
    letters = found[2].strip()
    blank = " " if found[2][-1:].isspace() else ""
    if found[1] == _SIGNS["lowered"]:
        return _lower(before, letters) + blank
    if found[1] == _SIGNS["footnote"]:
        return f"[{letters.strip('[]()')}]{blank}"
    return _raise(before, letters) + blank


def _raise(before: str, letters: str) -> str:
    base = before.rstrip()
    if _AS_IT_IS.fullmatch(letters):
        return letters
    if letters.lower() in _TRADE and base[-1:].isalpha():
        return _TRADE[letters.lower()]
    is_noted = not base or (_NOTED_WORD.search(base) and not _LONG_UNITS.search(base))
    if is_noted and _NOTE_NUMBER.fullmatch(letters):
        return f"[{letters.strip('[]()')}]"
    return f"^{letters}" if _SIMPLE.fullmatch(letters) else f"^({letters})"


def _lower(before: str, letters: str) -> str:
    if not before.strip() or (before[-1:].isupper() and _JOINED_NAME.fullmatch(letters)) or before[-1:] in ")]":
        return letters
    return f"_{letters}" if _SIMPLE.fullmatch(letters) and "," not in letters else f"_({letters})"
