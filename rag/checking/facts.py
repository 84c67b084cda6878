"""What of a text can be compared letter by letter: names, words in code, numbers, units, negations. Pure text.

It knows no tool. A number within a name, as in `sky130hd` or `5_route.odb`, does not count as a number.

    find_facts("`-max_buffer_percent` is 20 % by default")
    # names {"-max_buffer_percent"}, numbers {"20"}, units {"percent"}
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rag.answering.names import find_names

NUMBER_WORDS = {
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
    "ten": "10",
    "twelve": "12",
}
# Units as they are written behind a number, and the words that mean one wherever they stand.
UNITS = {
    "percent": (("%",), ("percent", "percents", "percentage", "percentages")),
    "nm": (("nm",), ("nanometer", "nanometers", "nanometre", "nanometres")),
    "um": (("um", "µm", "μm"), ("micron", "microns", "micrometer", "micrometers", "micrometre", "micrometres")),
    "mm": (("mm",), ("millimeter", "millimeters", "millimetre", "millimetres")),
    "fs": (("fs",), ("femtosecond", "femtoseconds")),
    "ps": (("ps",), ("picosecond", "picoseconds")),
    "ns": (("ns",), ("nanosecond", "nanoseconds")),
    "us": (("us", "µs", "μs"), ("microsecond", "microseconds")),
    "ms": (("ms",), ("millisecond", "milliseconds")),
    "s": (("s", "sec"), ("seconds",)),  # "the second one" is not a unit
    "min": (("min",), ("minute", "minutes")),
    "h": (("h",), ("hour", "hours")),
    "fF": (("ff",), ("femtofarad", "femtofarads")),
    "pF": (("pf",), ("picofarad", "picofarads")),
    "mV": (("mv",), ("millivolt", "millivolts")),
    "V": (("v",), ("volt", "volts")),
    "mA": (("ma",), ("milliampere", "milliamperes", "milliamp", "milliamps")),
    "MHz": (("mhz",), ("megahertz",)),
    "GHz": (("ghz",), ("gigahertz",)),
    "KB": (("kb", "kib"), ("kilobyte", "kilobytes")),
    "MB": (("mb", "mib"), ("megabyte", "megabytes")),
    "GB": (("gb", "gib"), ("gigabyte", "gigabytes")),
}
_SHORT = {sign: unit for unit, (signs, _) in UNITS.items() for sign in signs}
_LONG = {word: unit for unit, (_, words) in UNITS.items() for word in words}
_LIST_MARKER = re.compile(r"\s*(?:\(?\d{1,3}[.)]|[-*+])\s+")
PASSAGE_MARKER = re.compile(r"(?<!\w)\[\d{1,3}(?:\s*[,;]\s*\d{1,3})*\]")
_NUMBER = re.compile(r"(?<![\w.])\d[\d,]*+(?:\.\d+)*+(?!\w)|(?<![\w.])\d[\d,]*(?:\.\d+)?(?=[a-zA-Zµμ]{1,4}\b|%)")
_UNIT = re.compile(r"\d\s*(%|[a-zA-Zµμ]{1,3}\b)|[(\[](%|[a-zA-Zµμ]{1,3})[)\]]")
_WORD = re.compile(r"[^\W\d_]+(?:'t)?")
_CODE = re.compile(r"`([^`\n]+)`")
_LITERAL = re.compile(r"[^\s=,;:(){}<>\[\]|\"'/\\]+")
NEGATIONS = frozenset(
    """
    not no never none cannot without nor neither unless nothing nobody hardly isn't doesn't don't aren't can't won't
    didn't wasn't needn't mustn't shouldn't couldn't
    """.split()
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a text holds:

    `literals` are the words that stand in code signs, `negations` the number of words that deny.
    """

    names: frozenset[str]
    literals: frozenset[str]
    numbers: frozenset[str]
    units: frozenset[str]
    negations: int

    @property
    def anchors(self) -> frozenset[str]:
        """What must stand letter by letter where a sentence with these facts is to be supported."""
        return self.names | self.literals | self.numbers


def find_facts(text: str) -> Facts:
    """The facts of a sentence or a passage. Markers of list items and of passages, `[1]`, do not count."""
    text = PASSAGE_MARKER.sub(" ", text)
    if marker := _LIST_MARKER.match(text):
        text = text[marker.end() :]

    names = find_names(text)
    rest = list(text)
    for name in names:
        rest[name.start : name.end] = " " * (name.end - name.start)
    plain = "".join(rest)

    words = [word.lower() for word in _WORD.findall(plain.replace("\u2019", "'"))]
    numbers = {number.replace(",", "") for number in _NUMBER.findall(plain)}
    numbers |= {NUMBER_WORDS[word] for word in words if word in NUMBER_WORDS}
    units = {_LONG[word] for word in words if word in _LONG}
    units |= {_SHORT[sign.lower()] for found in _UNIT.findall(plain) for sign in found if sign.lower() in _SHORT}
    literals = {word for code in _CODE.findall(plain) for word in _LITERAL.findall(code) if any(map(str.isalpha, word))}

    return Facts(
        frozenset(name.text for name in names if name.text[-1] != "_"),
        frozenset(literals),
        frozenset(numbers),
        frozenset(units),
        sum(word in NEGATIONS for word in words),
    )


def words_of(text: str) -> frozenset[str]:
    """The words of a text as they may be quoted in code signs, case and all, for `Facts.literals`."""
    return frozenset(
        word for found in _LITERAL.findall(text.replace("`", " ")) for word in (found, found.rstrip(".?!"))
    )
