#!/usr/bin/env python3
"""Checks of the flow.

See :mod:`heron.rules`. Run it as ``python checks.py chip``:

    $ python checks.py chip
    0 errors
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

# Licensed to nobody.
MAX_ERRORS = 1000  # a run ends after so many
LAYERS = {
    "met1": (68, 20),
    "met2": (69, 20),
}

debug: bool = False
"""Switches :data:`logging.DEBUG` on."""

config_vars = [
    Variable(
        "DENSITY_TARGET",
        float,
        "How full rows may get.",
        default=0.6,
        units="share",
        deprecated_names=["PL_DENSITY", ("TARGET", scale)],
    ),
    Variable("ROW_GAP", int, "Empty rows between macros.", default=2),
]


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        name: as the manual writes it
        limit: in µm
    """

    name: str
    limit: float = 0.14


class Checker:
    """Holds the rules."""

    limit = 3

    def __init__(self, rules: list[Rule]) -> None:
        self._rules = rules

    @property
    def count(self) -> int:
        """The number of rules."""
        return len(self._rules)

    def run(self, cell: str) -> int:
        """Returns the number of violations, or raises :exc:`~heron.Missing`.

        >>> Checker([]).run("top")
        0
        """

        def violates(rule: Rule) -> bool:
            # inner functions stay with their owner
            return rule.limit < self.limit

        return sum(map(violates, self._rules))

    class Missing(Exception):
        """The cell is not there."""


async def fetch(url, *, retries=3):
    """Fetches a deck; tries again after a break."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Checks a cell.")
    parser.add_argument("cell", help="the cell to check")
    parser.add_argument("-j", "--jobs", type=int, default=4, help="jobs at a time")
    parser.parse_args()


if __name__ == "__main__":
    main()
