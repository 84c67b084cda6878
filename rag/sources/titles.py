"""Titles of pages that many pages of a source share, such as the name of a site: they say nothing of one page.

Such a page is called by the first heading of its own, or else by its file beside the shared title.

    documents = part_titles(documents)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from rag.blocks import Block
from rag.documents import Document
from rag.formats.parser import format_of

LEAST_SHARED = 3  # pages that have a title, for it to say nothing
_PAGES = frozenset({"HTML", "XML"})


def part_titles(documents: Sequence[Document]) -> list[Document]:
    """The documents in their order, those whose title is shared under titles of their own."""
    counts = Counter(document.title for document in documents if _is_page(document))
    shared = {title for title, count in counts.items() if count >= LEAST_SHARED}
    return [_rename(item) if _is_page(item) and item.title in shared else item for item in documents]


def _is_page(document: Document) -> bool:
    found = format_of(document.path)
    return found is not None and found.name in _PAGES


def _rename(document: Document) -> Document:
    headings = (block.heading_path for block in document.blocks)
    own = next((heading for path in headings for heading in path if heading != document.title), "")
    pure = PurePosixPath(document.path)
    name = pure.parent.name if pure.stem.lower() == "index" and pure.parent.name else pure.stem
    title = own or f"{document.title}: {name}"
    return replace(document, title=title, blocks=tuple(_without(block, title) for block in document.blocks))


def _without(block: Block, title: str) -> Block:
    """A block without the heading that its document is called by."""
    return replace(block, heading_path=block.heading_path[1:]) if block.heading_path[:1] == (title,) else block
