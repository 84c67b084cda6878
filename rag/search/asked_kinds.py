"""What kind of thing a question asks for, where words show whether a text gives one: a release, a time, a share.

"since which release is there opt_share" finds pages on `opt_share` that name no release: they are about it, and do not
answer. Rules on words; no index. Only kinds that no text can give without certain words or numbers are here: not an
order, which a line of code may give.

    kind = find_kind("since which release is there opt_share")  # kind.name == "a release"
    kind.is_given_in("**Release 0.9:** ...")
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """`name` is what a refusal calls it; `asks` and `gives` are the words of a question and of a text."""

    name: str
    asks: re.Pattern[str]
    gives: re.Pattern[str]

    def is_given_in(self, text: str) -> bool:
        """Whether a text holds anything of this kind."""
        return bool(self.gives.search(text))


def find_kind(question: str) -> Kind | None:
    """The first kind that the question asks for; None for most questions."""
    return next((kind for kind in KINDS if kind.asks.search(question)), None)


def _kind(name: str, asks: str, gives: str) -> Kind:
    return Kind(name, re.compile(asks, re.IGNORECASE), re.compile(gives, re.IGNORECASE))


_LAST = r"(?:oldest|newest|minimum|latest)"
_HOW_MANY = r"\bhow (?:many|much) "
_FILES = r"(?:file|dump|snapshot)s?"
_PER_WHAT = r"(?:licen[sc]es?|seats?|masks?|wafers?|mm2|dies?)"
_UNIT = r"(?:dbu|microns?|[munp]m|[munp]s|seconds|[munpf][vawf]|percent)"
KINDS = (
    _kind(
        "a release",
        rf"\b(?:which|what|{_LAST})\b[^?.]{{0,25}}\b(?:release|version)s?\b|\bsince when\b",
        r"\d\.\d|\b(?:version|release)s?\b|\b20\d\d\b",
    ),
    _kind(
        "a time",
        rf"{_HOW_MANY}(?:\w*seconds|secs|minutes|hours|days|weeks)\b|\b(?:timeout|time limit) (?:of|for)\b",
        r"\d\s*(?:[munp]?s|secs?|min|h)\b|\b(?:\w*seconds?|minutes?|hours?|days?|weeks?|timeout)\b",
    ),
    _kind(
        "an amount of memory",
        rf"{_HOW_MANY}(?:memory|ram|[kmgt]i?b|\w*bytes)\b|\bhow (?:big|large)\b.{{0,40}}\b{_FILES}\b",
        r"\d\s*[kmgt]?i?b\b|\b[kmgt]i?b\b|\b\w*bytes?\b",
    ),
    _kind(
        "a share",
        rf"{_HOW_MANY}(?:percent|%)|\bin percent\b|\bpercentage of\b",
        r"\d\s*%|\bpercent|\bfraction|\bratio\b",
    ),
    _kind(
        "a price",
        rf"\bhow much (?:does|do|is|would)\b.{{0,60}}\bcosts?\b|\b(?:price|costs?)\b.{{0,40}}\b{_PER_WHAT}\b",
        r"[$€£]\s*\d|\b(?:dollars?|euros?|usd|eur)\b",
    ),
    _kind(
        "a unit",
        rf"\b(?:which|what) units?\b|\b{_UNIT} or (?:in )?{_UNIT}\b",
        rf"\b(?:units?|{_UNIT})\b|\d\s*(?:%|{_UNIT}\b)",
    ),
)
