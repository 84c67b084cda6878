"""Which one-byte encoding a text was saved in: that in which its foreign letters stand as words of a language do.

Each encoding reads the same bytes as other letters; the right one makes words of them: letters that are common in a
language, small ones behind small ones, signs beside words and not within. It guesses from the letters alone.

    guess_alphabet("šířka vodiče".encode("iso8859_2")) == "iso8859_2"
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice

DEFAULT = "cp1252"
_CLEAR_LEAD = 0.04  # by which another reading must be better than windows-1252, the most frequent by far
_LEAST_RUN = 2.0  # foreign letters in a row, on average, from which a text may have another alphabet than the Latin one
_MOST_LETTERS = 2000  # foreign ones that are judged
# What a letter says for a reading, where a common small one says 1
_CAPITAL, _LESS, _RARE, _WRONG = 0.9, 0.6, 0.2, -1.0
_OLD_DOUBT = 0.1  # that a text is of DOS or of an old Mac
_FOREIGN = re.compile(rb"[\x80-\xff]+")
_LETTER = re.compile(r"[^\x00-\x7f]")
_BOXES = re.compile(r"[\u2500-\u259f]")
_BESIDE_BOXES = frozenset("─═ \n")
_SIGNS = frozenset("µ°±²³×·–—…•€£§©®«»„“”‘’¼½¾Ω≤≥≠≈√∞¹\xa0")
_BESIDE_WORDS = frozenset("µ°²³·–—…•§«»„“”‘’\xa0")
_WITHIN_WORDS = frozenset("’·–\xa0")


@dataclass(frozen=True, slots=True)
class _Alphabet:
    """The small letters of a language: `common` ones, less common `others`, those that only end a word (`final`).

    `needed`: a text has at least one of them. `is_latin`: words have letters of ASCII too.
    """

    common: frozenset[str]
    others: frozenset[str] = frozenset()
    final: frozenset[str] = frozenset()
    needed: frozenset[str] = frozenset()
    is_latin: bool = False


def _latin(common: str, others: str = "") -> _Alphabet:
    return _Alphabet(frozenset(common), frozenset(others), is_latin=True)


_WEST = (_latin("äöüßéèàçêñáíóúâîôûëïœøåæãìòù", "õ"),)
_EAST = (_latin("ąćęłńóśźż"), _latin("áčďéěíňóřšťúůýžľĺŕôäć"), _latin("áéíóöőúüű"), _latin("ăâîșțşţ"))
_TURKISH = (_latin("çğıöşüâîİ"),)
_CYRILLIC = (_Alphabet(frozenset("оеаинтсрвлкмдпу"), frozenset("яыьгзбчйхжшюцщэфъё")),)
_GREEK = (
    _Alphabet(frozenset("αοιετσνηυρπκμλάέήίόύώ"), frozenset("ωδγχθφβξζψϊϋ"), frozenset("ς"), frozenset("άέήίόύώ")),
)
_HEBREW = (_Alphabet(frozenset("יוהלאמרתבשנ"), frozenset("דקפחטעגסכזצ"), frozenset("םןךףץ")),)
_ARABIC = (_Alphabet(frozenset("اليمنوترهبسدعفقكحةجشطصخأذزغضظئءىإ"), needed=frozenset("ال")),)
_THAI = (_Alphabet(frozenset("านรกงอยมลดวตคทสปบชพหเแ่้ิีัืุูำใไ็์ะ")),)
_LATIN = {
    DEFAULT: _WEST,
    "cp1254": _TURKISH,
    "cp1250": _EAST,
    "iso8859_2": _EAST,
    "cp850": _WEST,
    "cp437": _WEST,
    "cp852": _EAST,
    "mac_roman": _WEST,
}
_OLD = ("cp850", "cp437", "cp852", "mac_roman", "cp866", "mac_cyrillic")
_OTHERS = {
    "cp1251": _CYRILLIC,
    "koi8_r": _CYRILLIC,
    "cp866": _CYRILLIC,
    "iso8859_5": _CYRILLIC,
    "mac_cyrillic": _CYRILLIC,
    "cp1253": _GREEK,
    "cp1255": _HEBREW,
    "cp1256": _ARABIC,
    "cp874": _THAI,
}


def guess_alphabet(sample: bytes) -> str:
    """The codec of a text that is neither UTF-8 nor of more than a byte a letter; windows-1252 where none is better."""
    runs = _FOREIGN.findall(sample)
    is_other = sum(map(len, runs)) >= _LEAST_RUN * len(runs)
    codecs = {**_LATIN, **(_OTHERS if is_other else {})}
    scores = {
        codec: max(_judge(sample.decode(codec, "replace"), alphabet) for alphabet in alphabets)
        - (_OLD_DOUBT if codec in _OLD else 0)
        for codec, alphabets in codecs.items()
    }
    best = max(scores, key=lambda codec: scores[codec])
    return best if scores[best] > scores[DEFAULT] + _CLEAR_LEAD else DEFAULT


def _judge(text: str, alphabet: _Alphabet) -> float:
    """How well the foreign letters of a text stand as those of a language do: 1 at best."""
    padded = f" {text} "
    weights = [
        _weigh(padded[found.start() - 1], found[0], padded[found.end()], alphabet)
        for found in islice(_LETTER.finditer(padded), _MOST_LETTERS)
    ]
    if alphabet.needed and not alphabet.needed & set(text):
        return _WRONG
    return sum(weights) / max(len(weights), 1)


def _weigh(before: str, letter: str, after: str, alphabet: _Alphabet) -> float:
    """What a foreign letter between two others says for a reading."""
    if letter == "\ufffd" or "\x80" <= letter <= "\x9f":
        return 2 * _WRONG
    if _BOXES.match(letter):
        return 1.0 if {before, after} & (_BESIDE_BOXES | {letter}) else _WRONG
    if letter not in _SIGNS and (letter.isalpha() or letter in alphabet.common):
        return _weigh_letter(before, letter, after, alphabet)
    if before.isalpha() and after.isalpha() and letter not in _WITHIN_WORDS:
        return _WRONG
    is_beside = before.isalpha() or after.isalpha()
    return 1.0 if letter in (_BESIDE_WORDS if is_beside else _SIGNS) else 0.0


def _weigh_letter(before: str, letter: str, after: str, alphabet: _Alphabet) -> float:
    is_mixed = (letter.isupper() and before.islower()) or (letter.islower() and after.isupper())
    is_cut = letter in alphabet.final and after.isalpha()
    beside = [other for other in (before, after) if other.isalpha()]
    foreign = sum(1 for other in beside if other > "\x7f")
    if is_mixed or is_cut or (foreign < len(beside) and not alphabet.is_latin):
        return _WRONG
    small = letter.lower()
    is_strange = foreign == 2 and alphabet.is_latin
    if is_strange or not beside or small not in alphabet.common | alphabet.others | alphabet.final:
        return _RARE
    if letter.isupper():
        return _CAPITAL if alphabet.is_latin else _LESS
    return 1.0 if letter in alphabet.common else _LESS
