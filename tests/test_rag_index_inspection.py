"""rag.index.inspection: what a file becomes, with what it includes, and what became of one that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.errors import SourceUnusable
from rag.index.inspection import describe_inspection, inspect_files
from rag.settings import RagSettings
from tests.tiny_embedder import TinyEmbedder

SETTINGS = RagSettings(home=Path("unused"), chunk_tokens=40)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    (folder / "parts").mkdir(parents=True)
    (folder / "parts" / "a.rst").write_text(
        "Router\n======\n\nRoutes nets.\n\nOptions\n-------\n\n.. include:: shared.inc\n\n" + "One more sentence. " * 30
    )
    (folder / "parts" / "shared.inc").write_text("Shared words.\n")
    (folder / "odd.md").write_bytes(b"# A\0")
    (folder / "steer\x1b[2J.md").write_text("# A\n\nB.\n")
    return folder


def test_blocks_and_chunks_are_those_of_an_index(docs: Path) -> None:
    (found,) = inspect_files(docs / "parts" / "a.rst", SETTINGS, TinyEmbedder(), source=docs)
    assert (found.path, found.format, found.title) == ("parts/a.rst", "reStructuredText", "Router")
    assert [(block.text[:13], block.heading_path) for block in found.blocks] == [
        ("Routes nets.", ()),
        ("Shared words.", ("Options",)),
        ("One more sent", ("Options",)),
    ]
    first, *_, last = found.chunks
    assert (first.before, last.after) == ("", "")
    assert [chunk.after for chunk in found.chunks[:-1]] == [chunk.chunk_id for chunk in found.chunks[1:]]
    assert [chunk.before for chunk in found.chunks[1:]] == [chunk.chunk_id for chunk in found.chunks[:-1]]
    assert all(0 < chunk.tokens <= 40 for chunk in found.chunks)


def test_it_is_shown_block_by_block_and_chunk_by_chunk(docs: Path) -> None:
    (found,) = inspect_files(Path("parts/a.rst"), SETTINGS, TinyEmbedder(), source=docs)
    text = describe_inspection(found)
    assert text.startswith(f"parts/a.rst: reStructuredText, 3 blocks, {len(found.chunks)} chunks, title 'Router'\n")
    assert "\nblock 2, prose, Options\n    Shared words.\n" in text
    assert f"\nchunk 1, {found.chunks[0].tokens} tokens, {found.chunks[0].chunk_id}" in text


def test_a_file_alone_is_inspected_and_one_that_cannot_be_read_says_why(docs: Path) -> None:
    (odd,) = inspect_files(docs / "odd.md", SETTINGS, TinyEmbedder())
    assert (odd.problem, odd.blocks) == ("binary, not text", ())
    assert "not indexed: binary, not text" in describe_inspection(odd)
    (steering,) = inspect_files(docs / "steer\x1b[2J.md", SETTINGS, TinyEmbedder())
    assert "\x1b" not in describe_inspection(steering)


def test_a_file_that_is_in_no_source_is_an_error(docs: Path) -> None:
    with pytest.raises(SourceUnusable, match="is not in"):
        list(inspect_files(Path("gone.md"), SETTINGS, TinyEmbedder(), source=docs))
    with pytest.raises(SourceUnusable, match="is not there"):
        list(inspect_files(docs / "gone.md", SETTINGS, TinyEmbedder()))
