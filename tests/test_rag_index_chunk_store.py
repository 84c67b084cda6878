"""rag.index.chunk_store: chunks come back as they were, one by one, from files that may be gone by then."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.documents import Chunk, Document, make_chunk
from rag.errors import IndexCorrupt
from rag.index.chunk_store import CHUNK_FILES, CHUNKS, IDS, OFFSETS, ChunkStore, save_chunks

DOCUMENT = Document("notes", "a.md", "Title", "", None, "ISC", version="2.0", date="2026-11-24")
TEXTS = ["plain", "umlaut ä, 漢字, 🙂", 'quotes " and \\ and\nnewline', "\u2028 separator"]


def chunks_of(texts: list[str]) -> list[Chunk]:
    return [
        replace(make_chunk(DOCUMENT, ("A", "B"), text, position), page=position + 1)
        for position, text in enumerate(texts)
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_chunks(chunks_of(TEXTS), tmp_path)
    return tmp_path


def test_chunks_come_back_as_they_were(folder: Path) -> None:
    store, chunks = ChunkStore.load(folder), chunks_of(TEXTS)
    assert list(store) == chunks
    assert (len(store), store[1], store[-1], store[1:3]) == (4, chunks[1], chunks[3], chunks[1:3])
    assert {path.name for path in folder.iterdir()} == CHUNK_FILES
    with pytest.raises(IndexError):
        store[4]


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5, unique=True))
def test_any_text_survives(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    folder = tmp_path_factory.mktemp("chunks")
    save_chunks(chunks_of(texts), folder)
    assert [chunk.text for chunk in ChunkStore.load(folder)] == texts


def test_a_chunk_is_found_by_its_id_and_nothing_else_is(folder: Path) -> None:
    store = ChunkStore.load(folder)
    assert [store.find(chunk.chunk_id) for chunk in store] == [0, 1, 2, 3]
    assert [store.find(name) for name in ("", "zz", "f" * 16, "f" * 17, store[0].chunk_id.upper() + " ", "0x1")] == [
        None
    ] * 6


def test_the_bytes_of_rows_are_those_of_their_lines(folder: Path) -> None:
    lines = (folder / CHUNKS).read_bytes().splitlines(keepends=True)
    assert ChunkStore.load(folder).bytes_of(1, 3) == len(lines[1]) + len(lines[2])


def test_an_open_store_reads_on_when_its_files_are_removed(folder: Path) -> None:
    store = ChunkStore.load(folder)
    for path in folder.iterdir():
        path.unlink()
    assert [chunk.text for chunk in store] == TEXTS


@pytest.mark.parametrize("line", [b"{half", b"[]", b'{"chunk_id": "1"}'])
def test_a_line_that_is_not_a_chunk_is_reported_when_it_is_read(folder: Path, line: bytes) -> None:
    lines = (folder / CHUNKS).read_bytes().splitlines(keepends=True)
    lines[2] = line.ljust(len(lines[2]) - 1) + b"\n"
    (folder / CHUNKS).write_bytes(b"".join(lines))
    store = ChunkStore.load(folder)
    assert store[1].text == TEXTS[1]
    with pytest.raises(IndexCorrupt, match=r"line 3 of .*chunks\.jsonl is not a chunk .*build the index again"):
        store[2]


def test_files_that_do_not_fit_together_are_refused(folder: Path) -> None:
    (folder / CHUNKS).write_bytes((folder / CHUNKS).read_bytes()[:-1])
    with pytest.raises(IndexCorrupt, match="do not fit together"):
        ChunkStore.load(folder)


@pytest.mark.parametrize(
    ("name", "array"), [(IDS, np.zeros(3, dtype=np.uint64)), (OFFSETS, np.zeros(5)), (IDS, np.zeros(4))]
)
def test_arrays_of_another_length_or_type_are_refused(
    folder: Path, name: str, array: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> None:
    np.save(folder / name, array)
    with pytest.raises(IndexCorrupt, match="do not fit together"):
        ChunkStore.load(folder)


@pytest.mark.parametrize("name", [IDS, OFFSETS, CHUNKS])
def test_an_empty_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"")
    with pytest.raises(IndexCorrupt, match="cannot be read"):
        ChunkStore.load(folder)


def test_a_pickled_array_is_refused(folder: Path) -> None:
    np.save(folder / OFFSETS, np.array([{"code": "runs"}], dtype=object), allow_pickle=True)
    with pytest.raises(IndexCorrupt, match="cannot be read"):
        ChunkStore.load(folder)


def test_a_line_is_one_json_object_with_every_field(folder: Path) -> None:
    first = json.loads((folder / CHUNKS).read_text(encoding="utf-8").split("\n")[0])
    assert (first["page"], first["version"], first["date"], first["heading_path"]) == (
        1,
        "2.0",
        "2026-11-24",
        ["A", "B"],
    )
