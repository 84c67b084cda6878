"""rag.index.generation: the files of an index, written, opened, and removed by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rag.documents import Document, make_chunk
from rag.errors import IndexCorrupt
from rag.index.chunk_store import CHUNK_FILES
from rag.index.document_list import DocumentRecord, read_documents
from rag.index.generation import _OUR_FILES, remove_generation, write_generation
from rag.index.late import LATE_FILES, PackedTokens
from rag.reference.cards import Reference

NAME = "generation-0123456789ab"
CHUNKS = [
    make_chunk(Document("notes", "a.md", "A", "", None, "ISC"), (), f"text {number}", number) for number in range(3)
]
TOKENS = [PackedTokens(np.array([number], dtype=np.uint32), np.zeros((1, 1), dtype=np.uint8)) for number in range(3)]
RECORDS = [DocumentRecord("notes", "a.md", "0" * 64, 3, 21, "ISC", "", "")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    kind = write_generation(tmp_path / NAME, CHUNKS, RECORDS, np.eye(3, dtype=np.float32), TOKENS, Reference())
    assert kind.kind == "flat"
    return tmp_path / NAME


def test_every_file_that_is_written_can_be_removed(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()} | {"dense.codes.faiss"}
    assert names > CHUNK_FILES | set(LATE_FILES)
    assert all(_OUR_FILES.fullmatch(name) for name in names)
    assert remove_generation(folder)
    assert not folder.exists()


def test_documents_come_back_in_order(folder: Path) -> None:
    assert read_documents(folder) == RECORDS
    assert RECORDS[0].name == "notes/a.md"
    (folder / "documents.jsonl").write_text('{"collection": "x"}\n')
    with pytest.raises(IndexCorrupt, match="a line that is not a document"):
        read_documents(folder)


def test_an_existing_folder_is_never_written_into(folder: Path) -> None:
    with pytest.raises(FileExistsError):
        write_generation(folder, CHUNKS, RECORDS, np.eye(3, dtype=np.float32), TOKENS, Reference())


@pytest.mark.parametrize("name", ["thesis.md", "chunks.jsonl.bak", "dense.faiss2"])
def test_a_folder_with_a_foreign_file_is_left_alone(folder: Path, name: str) -> None:
    (folder / name).write_text("years of work")
    assert remove_generation(folder)
    assert (folder / name).read_text() == "years of work"
    assert (folder / "chunks.jsonl").exists()
