"""Types of arguments that this package's commands share; argparse words the refusals itself.

The commands themselves are in `commands` and `training`.

    parser.add_argument("--limit", type=positive)
"""

from __future__ import annotations


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
