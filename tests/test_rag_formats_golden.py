"""The golden corpus: one document of each format, beside it the blocks that a reader should get of it.

`golden/documents` holds the files, `golden/blocks` what each becomes. Both are read by people first: they say what a
format keeps. To add a format, write both by hand; PDF, Word and Excel are made in `golden_files`.
"""

from __future__ import annotations

from rag.blocks import Parsed
from rag.formats.parser import FORMATS, NAMES, format_of, read_file
from tests.golden_files import GOLDEN, MADE
from tests.rows import for_each

DOCUMENTS = sorted((GOLDEN / "documents").iterdir())


def show(parsed: Parsed) -> str:
    """What a file became, as people read it."""
    lines = [f"title: {parsed.title}"]
    lines += [f"note: {parsed.note}"] if parsed.note else []
    for block in parsed.blocks:
        page = f" (page {block.page})" if block.page else ""
        lines += ["", f"[{block.kind}] {' > '.join(block.heading_path)}{page}".rstrip(), block.text]
    return "\n".join(lines) + "\n"


@for_each("name", [*(path.name for path in DOCUMENTS), *MADE])
def test_a_document_becomes_the_blocks_that_a_reader_expects(name: str) -> None:
    content = MADE[name]() if name in MADE else (GOLDEN / "documents" / name).read_bytes()
    assert show(read_file(name, content)[1]) == (GOLDEN / "blocks" / f"{name}.txt").read_text(encoding="utf-8")


def test_every_format_has_a_golden_document() -> None:
    shown = {found.name for name in (*(path.name for path in DOCUMENTS), *MADE) if (found := format_of(name))}
    assert {found.name for found in (*FORMATS.values(), *NAMES.values())} == shown | {"Yosys"}  # as Tcl is read
    assert {path.name.removesuffix(".txt") for path in (GOLDEN / "blocks").iterdir()} == {
        *(path.name for path in DOCUMENTS),
        *MADE,
    }
