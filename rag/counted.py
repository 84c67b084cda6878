"""A number with what it counts, as people say it. Pure, and English.

It knows no noun with another plural than -s.

    counted(1, "file") == "1 file"
"""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """`number` and the noun, in the plural unless there is one."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
