"""A cache, by content, of parsed PDF, Word and HTML files: a second build does not parse a manual's pages again.

It holds nothing that cannot be made anew: a missing, damaged or unwritable entry only costs the time to parse. Entries
that no build has used for `MAX_AGE_DAYS` are removed.

    cache = ParsedCache(settings.home / "parsed")
    parsed = cache.read("manual.pdf", content)
"""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path

from rag.blocks import Parsed, read_parsed, write_parsed
from rag.home import make_home

MAX_AGE_DAYS = 90
_LIBRARIES = ("lxml", "pdfplumber", "pdfminer.six", "python-docx", "openpyxl")


class ParsedCache:
    """Entries in `folder`, one file each; without a folder it keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def read(self, name: str, content: bytes) -> Parsed | None:
        """The parsed file of this name and content, as this very program parsed it, or None."""
        if self._folder is None:
            return None
        path = self._folder / _key(name, content)
        try:
            parsed = read_parsed(path.read_text(encoding="utf-8"))
            os.utime(path)  # in use: its age starts anew
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return parsed

    def write(self, name: str, content: bytes, parsed: Parsed) -> None:
        """Keep a parsed file, whole or not at all."""
        if self._folder is None:
            return
        path = self._folder / _key(name, content)
        work = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}")
        with suppress(OSError, UnicodeEncodeError):
            make_home(self._folder.parent)
            self._folder.mkdir(parents=True, exist_ok=True)
            work.write_text(write_parsed(parsed), encoding="utf-8")
            work.replace(path)
            return
        with suppress(OSError):
            work.unlink()

    def remove_old(self) -> None:
        """Remove entries that were not used for `MAX_AGE_DAYS`."""
        oldest = time.time() - MAX_AGE_DAYS * 86_400
        for path in list(self._folder.glob("*")) if self._folder is not None else []:
            with suppress(OSError):
                if path.stat().st_mtime < oldest:
                    path.unlink()


def _key(name: str, content: bytes) -> str:
    return hashlib.sha256(b"\0".join((_program().encode(), name.encode(), content))).hexdigest()


@cache
def _program() -> str:
    """A hash of this package's code and its libraries' versions: another parser may read the same file differently."""
    digest = hashlib.sha256(" ".join(f"{name}=={metadata.version(name)}" for name in _LIBRARIES).encode())
    for path in sorted(Path(__file__).resolve().parent.parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
