"""What of a source is not indexed by itself, and how that is said: files that others include, types that are not read.

It reads nothing itself: it asks a function for texts, and works on names.

    held = find_held(names, read_text)  # {"limits.inc.rst": "rules.rst"}
    skipped[:] = join_types(skipped, "docs")
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import PurePosixPath

from rag.documents import Skipped
from rag.formats.includes import ReadText, candidate_paths, find_whole_includes
from rag.formats.parser import may_include

NOT_READ = "not a type of document that is read"
HELD = "stands whole in "  # begins the reason of a file that another one includes
JOINED = re.compile(r"(\d+) files: ")  # begins the reason of all files of a type that is not read
_NAMED_FILES = 5  # of a type that is not read


def find_held(names: Collection[str], read: ReadText) -> dict[str, str]:
    """The files that another file includes whole, each with that one: in it they are read in their place."""
    held: dict[str, str] = {}
    known = frozenset(names)
    for name in names:
        text = read(name) if may_include(name) else None
        for target in find_whole_includes(text) if text else ():
            found = next((path for path in candidate_paths(name, target) if path in known), None)
            if found and found not in held and found not in _holders(name, held):
                held[found] = name
    return held


def _holders(name: str, held: dict[str, str]) -> list[str]:
    """A file and those that hold it: none of them may be held by it, or nothing would be left."""
    chain = [name]
    while chain[-1] in held:
        chain.append(held[chain[-1]])
    return chain


def describe_unread(name: str) -> str:
    """Why a file of this name is not read."""
    return f"{NOT_READ} ({_suffix(name)})"


def kind_of(reason: str) -> tuple[str, int]:
    """A reason as it is counted, without numbers and names of types, and of how many files it speaks."""
    if reason.startswith("read as "):  # an encoding keeps its name
        return reason, 1
    joined = JOINED.match(reason)
    if NOT_READ in reason:
        return NOT_READ, int(joined[1]) if joined else 1
    reason = re.sub(r"(what could not be read): [^;]*", r"\1", reason)  # what each document includes
    return re.sub(r"\d[\d.]*(?:(?:, | to |-)\d[\d.]*)*", "N", reason), 1


def join_types(skipped: Sequence[Skipped], collection: str) -> list[Skipped]:
    """The list with the files of a collection whose type is not read once for each type: "41 files: ... (.ps)"."""
    by_reason: dict[str, list[Skipped]] = {}
    for item in skipped:
        if item.reason.startswith(NOT_READ) and item.path.startswith(f"{collection}/"):
            by_reason.setdefault(item.reason, []).append(item)
    joined = {reason: items for reason, items in by_reason.items() if len(items) > 1}
    kept = [item for item in skipped if item.reason not in joined or not item.path.startswith(f"{collection}/")]
    return kept + [_join(items, collection) for items in joined.values()]


def _join(items: Sequence[Skipped], collection: str) -> Skipped:
    suffix = _suffix(items[0].path)
    names = [item.path.removeprefix(f"{collection}/") for item in items[:_NAMED_FILES]]
    shown = ", ".join(names) + (", ..." if len(items) > _NAMED_FILES else "")
    path = f"{collection}/*{suffix}" if suffix.startswith(".") else f"{collection}/*"
    return Skipped(path, f"{len(items)} files: {items[0].reason}: {shown}")


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower() or "no suffix"
