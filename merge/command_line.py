"""What this package's commands share: types of arguments, and a line on stderr.

The commands themselves are in `commands` and `training`.

    parser.add_argument("--limit", type=positive)
"""

from __future__ import annotations

import argparse
import sys

from merge.errors import printable


def positive(text: str) -> int:
    """A whole number from 1; argparse reports anything else."""
    return _whole(text, 1)


def natural(text: str) -> int:
    """A whole number from 0; argparse reports anything else."""
    return _whole(text, 0)


def factor(text: str) -> float:
    """A number above 0, at most a thousand; argparse reports anything else."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0, at most 1000")
    return number


def _whole(text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least}")
    return int(text)


def say(text: str) -> None:
    """One line on stderr, safe for a terminal."""
    sys.stderr.write(printable(text) + "\n")
