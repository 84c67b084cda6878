"""A source that was found: where it lies, and what distinguishes its documents.

It holds values only; `sources` and `own_sources` make them.

    NamedSource(Path("docs"), "docs", version="")
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

NOT_STATED = "not stated"


@dataclass(frozen=True, slots=True)
class NamedSource:
    """A source and what distinguishes its documents.

    `is_pinned`: a corpus or the handbook, whose file dates mean nothing. `ranks_lower`: its passages come after equally
    good ones of other sources.
    """

    path: Path
    collection: str
    version: str
    licence: str = NOT_STATED
    url_of: Callable[[str], str | None] = lambda _: None
    is_pinned: bool = False
    owner: str = ""
    ranks_lower: bool = False
