"""Words that turn a sentence into another where they change places.

A table and nothing else: no grammar, no stems.

    OPPOSITE["before"]  # {"after"}
"""

from __future__ import annotations

_PAIRS = (
    "before after",
    "first last",
    "minimum maximum",
    "min max",
    "smallest largest",
    "smaller larger",
    "shorter longer",
    "shortest longest",
    "setup hold",
    "early late",
    "earlier later",
    "earliest latest",
    "launch capture",
    "increase decrease",
    "increases decreases",
    "increased decreased",
    "raise lower",
    "raises lowers",
    "higher lower",
    "high low",
    "highest lowest",
    "more fewer",
    "more less",
    "most least",
    "enable disable",
    "enables disables",
    "enabled disabled",
    "on off",
    "above below",
    "over under",
    "top bottom",
    "slow fast",
    "slower faster",
    "rising falling",
    "rise fall",
    "input output",
    "inputs outputs",
    "positive negative",
    "upper lower",
    "left right",
    "horizontal vertical",
    "synchronous asynchronous",
    "synchronously asynchronously",
    "always never",
    "all none",
    "optional mandatory",
    "optional required",
    "add remove",
    "adds removes",
    "added removed",
    "open closed",
    "opens closes",
    "start end",
    "starts ends",
    "startpoint endpoint",
    "source sink",
    "tighter looser",
    "stricter looser",
    "optimistic pessimistic",
    "wider narrower",
    "inside outside",
    "allow forbid",
    "allowed forbidden",
    "save load",
    "read write",
    "reads writes",
    "power ground",
    "best worst",
    "static dynamic",
    "ideal propagated",
    "both neither",
    "same different",
    "deprecated recommended",
    "discouraged recommended",
    "parent child",
    "local global",
    "logical physical",
    "even odd",
    "up down",
    "near far",
    "success failure",
    "pass fail",
    "passes fails",
    "expanded truncated",
    "wins loses",
)


def _by_word() -> dict[str, frozenset[str]]:
    opposites: dict[str, set[str]] = {}
    for one, other in (pair.split() for pair in _PAIRS):
        opposites.setdefault(one, set()).add(other)
        opposites.setdefault(other, set()).add(one)
    return {word: frozenset(others) for word, others in opposites.items()}


OPPOSITE = _by_word()
