"""What this package's commands share: types of arguments, whose refusals argparse words, and a line on stderr.

The commands themselves are in `commands` and `training`.

    parser.add_argument("--limit", type=positive)
"""

from __future__ import annotations

import sys

from merge.errors import printable


def positive(text: str) -> int:
    """A whole number from 1. Raises ValueError: it is anything else."""
    if (number := int(text)) < 1:
        raise ValueError(text)
    return number


def natural(text: str) -> int:
    """A whole number from 0. Raises ValueError: it is anything else."""
    if (number := int(text)) < 0:
        raise ValueError(text)
    return number


def factor(text: str) -> float:
    """A number above 0, at most a thousand. Raises ValueError: it is anything else."""
    if not 0 < (number := float(text)) <= 1000:
        raise ValueError(text)
    return number


def say(text: str) -> None:
    """One line on stderr, safe for a terminal."""
    sys.stderr.write(printable(text) + "\n")
