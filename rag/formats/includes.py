"""Replaces reStructuredText's `include`, Sphinx's `literalinclude` and the file of a `csv-table` by what they name.

It opens nothing itself: it asks a function that knows only the source's files, so that no directive leads out of it. A
directive whose file is missing stays; the parser skips it, and `find_missing` names it.

    expand_includes("index.rst", text, read={"intro.inc": "Hello."}.get)
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from functools import cache
from pathlib import PurePosixPath

from rag.formats.rst_tables import TAB

ReadText = Callable[[str], str | None]  # a posix path inside the source to its text, or None where the file is missing
MAX_DEPTH = 8  # of includes in includes; documentation has two or three
MAX_CHARACTERS = 4 * 2**20  # of one document with all it includes; the longest manual's page has a tenth
_DIRECTIVE = re.compile(
    r"^(?P<indent>[ \t]{0,80})\.\. (?:(?P<name>include|literalinclude)::[ \t]+(?P<target>\S.*)"
    r"|(?P<table>csv-table)::(?:[ \t]+\S.*)?)$"
)
_OPTION = re.compile(r"^[ \t]+:(?P<name>[\w-]+):[ \t]*(?P<value>.*)$")
_PARTS = frozenset({"lines", "start-line", "end-line", "start-after", "start-at", "end-before", "end-at"})
_MARKDOWN = (".md", ".markdown")
_LANGUAGES = {
    ".v": "verilog",
    ".sv": "systemverilog",
    ".tcl": "tcl",
    ".sdc": "tcl",
    ".ys": "yoscrypt",
    ".py": "python",
    ".c": "c",
    ".cc": "c++",
    ".sh": "sh",
}


def expand_includes(path: str, text: str, read: ReadText) -> str:
    """The text with the files that it includes: unchanged for `include`, as a `code-block` for `literalinclude`."""
    return _Expander(read).expand(path, text, (path,))


def find_missing(expanded: str) -> list[str]:
    """The targets of directives that were left in an expanded text, since their files are not in the source."""
    lines = expanded.split("\n")
    found: dict[str, None] = {}
    for number, line in enumerate(lines):
        if not line.startswith(".. ") or not (directive := _DIRECTIVE.match(line.rstrip())):
            continue
        target, position = directive["target"] or "", number + 1
        while position < len(lines) and (option := _OPTION.match(lines[position].rstrip())):
            target = option["value"] if directive["table"] and option["name"] == "file" else target
            position += 1
        has_rows = directive["table"] and any(line.startswith(" ") for line in lines[position : position + 2])
        if target and not has_rows:
            found[target] = None
    return list(found)


def find_whole_includes(text: str) -> list[str]:
    """The targets of `include` directives and tables that show a whole file; code and Markdown are not such text."""
    found: list[str] = []
    lines = text.split("\n")
    for number, line in enumerate(lines):
        position = number
        if not (directive := _DIRECTIVE.match(line.rstrip())) or directive["name"] == "literalinclude":
            continue
        options: dict[str, str] = {}
        position += 1
        while position < len(lines) and (option := _OPTION.match(lines[position].rstrip())):
            options[option["name"]] = option["value"]
            position += 1
        target = directive["target"] or options.get("file", "")
        if target and not _PARTS & options.keys() and PurePosixPath(target).suffix.lower() not in _MARKDOWN:
            found.append(target)
    return found


class _Expander:
    def __init__(self, read: ReadText) -> None:
        self._read = cache(read)  # a file that is named a thousand times is read once
        self._room = MAX_CHARACTERS

    def expand(self, path: str, text: str, above: tuple[str, ...]) -> str:
        """Expand one file; `above` are the files being read, outermost first, none of which is included again."""
        lines = text.split("\n")
        expanded: list[str] = []
        position = 0
        while position < len(lines):
            directive = _DIRECTIVE.match(lines[position].rstrip())
            position += 1
            if not directive:
                expanded.append(lines[position - 1])
                continue
            options: dict[str, str] = {}
            start = position
            while position < len(lines) and (option := _OPTION.match(lines[position].rstrip())):
                options[option["name"]] = option["value"]
                position += 1
            head = lines[start - 1 : position]
            if directive["table"]:
                expanded += [*head, *self._include_rows(path, directive, options, above)]
                continue
            included = self._include(path, directive, options, above)
            expanded += head if included is None else included
        return "\n".join(expanded)

    def _include(
        self, path: str, directive: re.Match[str], options: dict[str, str], above: tuple[str, ...]
    ) -> list[str] | None:
        """The lines that replace one directive; None where its file is missing, being read already, or too large."""
        found, text = self._find(path, directive["target"], above)
        if text is None:
            return None
        lines = select_lines(text.expandtabs(8).splitlines(), options)

        if (
            directive["name"] == "include"
            and PurePosixPath(found).suffix.lower() not in _MARKDOWN
            and "literal" not in options
        ):
            body = self.expand(found, "\n".join(lines), (*above, found)).split("\n")
        else:
            language = (
                options.get("language")
                or options.get("code")
                or _LANGUAGES.get(PurePosixPath(found).suffix.lower(), "")
            )
            body = [f".. code-block:: {language}".rstrip(), "", *(f"   {line}".rstrip() for line in lines)]

        return ["", *(f"{directive['indent']}{line}".rstrip() for line in body), ""]

    def _include_rows(
        self, path: str, directive: re.Match[str], options: dict[str, str], above: tuple[str, ...]
    ) -> list[str]:
        """The rows of a table's file as its body; none where the table has no file, or the file is missing."""
        _, text = self._find(path, options["file"], above) if options.get("file") else ("", None)
        if text is None:
            return []
        lines = text.replace("\t", TAB).splitlines()  # tabs are blanks in reStructuredText
        return ["", *(f"{directive['indent']}   {line}".rstrip() for line in lines), ""]

    def _find(self, path: str, target: str, above: tuple[str, ...]) -> tuple[str, str | None]:
        """The path and the text of the file that a directive names; None where it is missing or may not be read."""
        candidates = ((name, self._read(name)) for name in candidate_paths(path, target) if name not in above)
        found, text = next(((name, text) for name, text in candidates if text is not None), ("", None))
        if text is None or len(above) > MAX_DEPTH or len(text) > self._room:
            return "", None
        self._room -= len(text)
        return found, text


def candidate_paths(path: str, target: str) -> list[str]:
    """Where a target may lie in the source: beside the document, or, for `/x`, under the root of the documentation.

    That root is not known: each folder above the document is a candidate, the nearest first. Paths that lead out of the
    source are left out.
    """
    if not target.startswith("/"):
        joined = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        return [] if joined.startswith("..") else [joined]
    clean = posixpath.normpath(target).lstrip("/")
    folders = [folder.as_posix() for folder in PurePosixPath(path).parents]
    return [] if clean.startswith("..") else [posixpath.normpath(posixpath.join(folder, clean)) for folder in folders]


def select_lines(lines: list[str], options: dict[str, str]) -> list[str]:
    """The part of a file that the directive's options select.

    Sphinx's options: lines, start-after, start-at, end-before, end-at, dedent.
    """
    if "lines" in options:
        lines = [lines[number - 1] for number in _line_numbers(options["lines"], len(lines))]
    start = _find(lines, options.get("start-at") or options.get("start-after"), 0)
    if start is None:
        return []
    start += 1 if "start-after" in options and "start-at" not in options else 0
    end = _find(lines, options.get("end-at") or options.get("end-before"), start + (1 if "start-at" in options else 0))
    lines = lines[
        start : (
            len(lines)
            if end is None or not (options.get("end-at") or options.get("end-before"))
            else end + ("end-at" in options)
        )
    ]
    dedent = options.get("dedent", "0")
    return [line[int(dedent) :] for line in lines] if dedent.isdecimal() and len(dedent) < 4 else lines


def _find(lines: list[str], words: str | None, start: int) -> int | None:
    """The first line from `start` on that contains the words; `start` where there are no words."""
    if not words:
        return start
    return next((number for number in range(start, len(lines)) if words in lines[number]), None)


def _line_numbers(text: str, count: int) -> list[int]:
    """`1,3,5-10,20-` as line numbers from 1 to `count`."""
    numbers: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{0,9})\s*(-?)\s*(\d{0,9})\s*", part)
        if match and (match[1] or match[3]) and len(numbers) < count:
            first = int(match[1] or 1)
            last = int(match[3] or count) if match[2] else first
            numbers += range(max(first, 1), min(last, count) + 1)
    return numbers[:count]
