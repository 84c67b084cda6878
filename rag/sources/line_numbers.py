"""Finds the line of a file at which a passage begins, for addresses that name a line.

A passage is what a parser made of some lines: without roles, link targets and signs of comments. So lines are compared
by their letters and digits, and passages must come in the order of the file.

    LineFinder("# Route\n\nRoutes all nets.\n").find("Routes all nets.") == 3
"""

from __future__ import annotations

import re
from bisect import bisect_left

LINE = "{line}"  # stands in an address for the number of a line
_LEAST_KEY = 4  # letters and digits of a line that can be told from others
_LINES_TRIED = 40  # of a passage, which may begin with a repeated header
_HIDDEN = re.compile(r":[\w:.+-]{1,80}:(?=`)|\]\([^()\n]*\)|<[^<>\n]*>")
_SUFFIX = re.compile(r"(?:\?plain=1)?#[^#]*\{line\}$")


class LineFinder:
    """The lines of one file; each search goes on from the one before."""

    def __init__(self, text: str) -> None:
        self._places: dict[str, list[int]] = {}
        for number, line in enumerate(text.splitlines(), start=1):
            if len(key := _key(line)) >= _LEAST_KEY:
                self._places.setdefault(key, []).append(number)
        self._last = 1

    def find(self, passage: str) -> int:
        """The number of the first line of a passage that is known; that of the passage before where none is."""
        for line in passage.split("\n")[:_LINES_TRIED]:
            places = self._places.get(_key(line), [])
            at = bisect_left(places, self._last)
            if at < len(places):
                self._last = places[at]
                break
        return self._last


def without_line(url: str) -> str:
    """The address of a file whose lines nobody can name, such as a PDF."""
    return _SUFFIX.sub("", url).replace(LINE, "1")


def _key(line: str) -> str:
    return re.sub(r"[\W_]+", "", _HIDDEN.sub("", line)).lower()
