"""Rules that a program can check in an answer: words that must or must not be there, a length, a form.

Pure text; no model judges here. It knows no conversation. A value matches on word borders in any case; matching ignores
emphasis and code marks, and a blank in the value matches any blanks, a hyphen or nothing ("flip flop" is in
"flip-flop"). The types are the keys of TYPES.

    rule = parse_rule({"type": "contains_any", "values": ["4 cycles", "four cycles"]})
    rule.is_met("It takes **four** cycles.")  # True
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from serve.evaluation.asking.question_file import field_of

# Mark, language, code
FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^\n]*\n(.*?)^[ \t]*\1[ \t]*$", re.MULTILINE | re.DOTALL)
LIST_ITEM = re.compile(r"^[ \t]*(?:[-*+\u2022]|\d{1,2}[.)])[ \t]+\S", re.MULTILINE)
LIST_MARK = re.compile(r"^[ \t]*(?:[-*+\u2022]|\d{1,2}[.)]|#+)[ \t]+", re.MULTILINE)
SENTENCE_END = re.compile(r"[.!?]+[\"')\]]*(?=\s|$)")
# Abbreviations, whose full stop ends no sentence
ABBREVIATIONS = re.compile(r"\b(e\.g|i\.e|etc|vs|approx|cf|no|fig)\.(?=\s+[a-z0-9(])", re.IGNORECASE)
DASHES = str.maketrans(
    {"\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2212": "-", "\u00a0": " ", "\u202f": " "}
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a turn. values: what its type needs, texts or one number."""

    type: str
    values: tuple[str | int, ...]
    case_sensitive: bool = False

    def is_met(self, text: str) -> bool:
        """Whether an answer follows the rule.

        An empty answer follows none: it says nothing, so it keeps nothing short.
        """
        return bool(text.strip()) and TYPES[self.type][1](self, text)


def parse_rule(row: Any) -> Rule:
    """A rule as written in a file. Raises ValueError: it is wrong; the message is the reason."""
    if not isinstance(row, dict):
        raise ValueError("a rule is not an object")
    name = row.get("type")
    if not isinstance(name, str) or name not in TYPES:
        raise ValueError(f"there is no rule {name!r}: the rules are {', '.join(TYPES)}")
    field = TYPES[name][0]
    if unknown := sorted(set(row) - {"type", field} - ({"case_sensitive"} if field == "values" else set())):
        raise ValueError(f"rule {name}: it has no {', '.join(map(repr, unknown))}")
    sensitive = row.get("case_sensitive", False)
    if not isinstance(sensitive, bool):
        raise ValueError(f'rule {name}: "case_sensitive" is not true or false')
    try:
        return Rule(name, _read_values(row, field), sensitive)
    except ValueError as error:
        raise ValueError(f"rule {name}: {error}") from None


def _read_values(row: dict[str, Any], field: str) -> tuple[str | int, ...]:
    if field == "values":
        values = field_of(row, field, list)
        if not values or not all(isinstance(value, str) and value.strip() for value in values):
            raise ValueError('"values" is not a list of texts')
        return tuple(values)
    if field == "value":
        number: int = field_of(row, field, int)
        if number < 1:
            raise ValueError(f'"value" is {number}, not a number from 1')
        return (number,)
    if field == "pattern":
        try:
            return (re.compile(field_of(row, field, str)).pattern,)
        except re.error as error:
            raise ValueError(f'"pattern" is not a regular expression ({error})') from None
    return (field_of(row, field, str).lower(),) if field in row else ()


def contains(text: str, value: str, *, case_sensitive: bool = False) -> bool:
    """Whether a value stands in a text on word borders.

    A number does not match inside another one ("4" is neither in "0.4" nor in "4,096").
    """
    parts = [re.escape(part) for part in plain(value).split()]
    pattern = r"(?<![A-Za-z0-9_])(?<!\d[.,])" + r"[\s-]*".join(parts) + r"(?![A-Za-z0-9_])(?![.,]\d)"
    return re.search(pattern, plain(text), 0 if case_sensitive else re.IGNORECASE) is not None


def plain(text: str) -> str:
    """A text without marks of emphasis and code, with one kind of hyphen and of blank."""
    return text.translate(DASHES).replace("**", "").replace("`", "")


def count_sentences(text: str) -> int:
    """The number of sentences outside code blocks. A paragraph or list item without a full stop is one too."""
    prose = LIST_MARK.sub("", ABBREVIATIONS.sub(r"\1", FENCE.sub("\n\n", text)))
    count = 0
    for line in re.split(r"\n\s*\n|\n(?=[A-Z`])", prose):
        ends = [match.end() for match in SENTENCE_END.finditer(line)]
        count += len(ends) + bool(re.search(r"\w", line[ends[-1] if ends else 0 :]))
    return count


def count_lines(text: str) -> int:
    """The number of lines that hold something, without the fences of code blocks."""
    return sum(bool(line.strip()) and not re.match(r"[ \t]*(?:`{3,}|~{3,})", line) for line in text.splitlines())


def _found(rule: Rule, text: str) -> list[bool]:
    return [contains(text, str(value), case_sensitive=rule.case_sensitive) for value in rule.values]


def _has_code(rule: Rule, text: str) -> bool:
    languages = [match[2].lower() for match in FENCE.finditer(text if text.endswith("\n") else text + "\n")]
    return bool(languages) and (not rule.values or rule.values[0] in languages)


def _is_at_most(count: Callable[[str], int]) -> Callable[[Rule, str], bool]:
    return lambda rule, text: count(text) <= int(rule.values[0])


Check = Callable[[Rule, str], bool]
TYPES: dict[str, tuple[str, Check]] = {  # by name: the field that holds what the rule needs, and its check
    "contains_any": ("values", lambda rule, text: any(_found(rule, text))),
    "contains_all": ("values", lambda rule, text: all(_found(rule, text))),
    "absent": ("values", lambda rule, text: not any(_found(rule, text))),
    "max_words": ("value", _is_at_most(lambda text: len(text.split()))),
    "max_sentences": ("value", _is_at_most(count_sentences)),
    "max_lines": ("value", _is_at_most(count_lines)),
    "list_of": ("value", lambda rule, text: len(LIST_ITEM.findall(text)) == rule.values[0]),  # exactly this many items
    "code_block": ("language", _has_code),  # of any language if none is named
    "regex": ("pattern", lambda rule, text: re.search(str(rule.values[0]), text) is not None),
}
