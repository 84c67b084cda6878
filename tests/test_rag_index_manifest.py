"""rag.index.manifest: what it says comes back, and which damage to the files is seen when."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rag.errors import IndexCorrupt
from rag.index import manifest as manifest_module
from rag.index.manifest import (
    FORMAT,
    MANIFEST,
    WHOLE_BYTES,
    Collection,
    DenseKind,
    IndexSpec,
    Manifest,
    check_files,
    read_manifest,
    record_file,
)
from tests.rows import for_each

SPEC = IndexSpec(FORMAT, "tiny", "f1", 32, 220, 32, 1, 1)
GENERATION = "generation-0123456789ab"


def manifest_of(folder: Path, files: dict[str, bytes]) -> Manifest:
    """A manifest over files that are written for it."""
    (folder / GENERATION).mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / GENERATION / name).write_bytes(content)
    collection = Collection(
        2, 5, 0, "2.0", ("ISC", "MIT"), "2026-11-24T08:00:00+00:00", 1, (("notes/a.png", "not a type"),)
    )
    records = {f"{GENERATION}/{name}": record_file(folder / GENERATION / name) for name in files}
    return Manifest(
        SPEC,
        GENERATION,
        "2026-11-24T08:00:00+00:00",
        2,
        5,
        DenseKind("pq", 256, 0.99),
        {"notes": collection},
        records,
        {"numpy": "2"},
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path, {"a": b"one", "b": b""})
    (tmp_path / MANIFEST).write_text(manifest.as_json(), encoding="utf-8")
    assert read_manifest(tmp_path) == manifest
    assert manifest.collections["notes"].rows == (0, 5)


@for_each("field", ["generation", "collections", "files", "dense", "chunks"])
def test_a_manifest_without_a_part_is_reported(tmp_path: Path, field: str) -> None:
    data = json.loads(manifest_of(tmp_path, {"a": b"one"}).as_json())
    del data[field]
    (tmp_path / MANIFEST).write_text(json.dumps(data))
    with pytest.raises(IndexCorrupt, match="not a manifest of this program"):
        read_manifest(tmp_path)


@for_each("value", [7, "text", [1], {"a": 1}, {"a": {"bytes": 1}}])
def test_a_manifest_with_a_part_of_another_form_is_reported(tmp_path: Path, value: object) -> None:
    data = json.loads(manifest_of(tmp_path, {"a": b"one"}).as_json())
    (tmp_path / MANIFEST).write_text(json.dumps({**data, "files": value}))
    with pytest.raises(IndexCorrupt, match="not a manifest of this program"):
        read_manifest(tmp_path)


def test_documents_are_cut_alike_whatever_tokenizes_their_words() -> None:
    assert SPEC.cuts_as(replace(SPEC, tokenizer_version=9, embedder="elsewhere"))
    for change in (
        {"chunk_tokens": 9},
        {"overlap_tokens": 9},
        {"chunker_version": 9},
        {"embedder_fingerprint": "f2"},
        {"format": 9},
    ):
        assert not SPEC.cuts_as(replace(SPEC, **change))


def test_every_byte_of_a_small_file_counts(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path, {"a": bytes(1000)})
    assert list(check_files(tmp_path, manifest)) == []
    for position in (0, 499, 999):
        content = bytearray(1000)
        content[position] = 1
        (tmp_path / GENERATION / "a").write_bytes(content)
        assert [problem.split(" (")[1] for problem in check_files(tmp_path, manifest)] == ["its SHA-256 is another)"]


def test_all_files_that_differ_are_reported(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path, {"a": b"one", "b": b"two", "c": b"three"})
    (tmp_path / GENERATION / "a").write_bytes(b"onE")
    (tmp_path / GENERATION / "c").write_bytes(b"thre")
    assert len(list(check_files(tmp_path, manifest))) == 2
    (tmp_path / GENERATION / "b").unlink()
    with pytest.raises(FileNotFoundError):
        list(check_files(tmp_path, manifest))


@pytest.fixture
def large(tmp_path: Path) -> Manifest:
    """A manifest over one file that is not hashed whole at each opening."""
    return manifest_of(tmp_path, {"large": bytes(range(256)) * (WHOLE_BYTES // 256 + 1000)})


@pytest.mark.parametrize("damage", ["cut", "grown", "zeros", "start", "end"])
def test_likely_damage_to_a_large_file_is_seen_at_opening(tmp_path: Path, large: Manifest, damage: str) -> None:
    path = tmp_path / GENERATION / "large"
    content = path.read_bytes()
    half = len(content) // 2
    damaged = {
        "cut": content[:-1],
        "grown": content + b"\0",
        # What a crash can leave of a file that never reached the disk
        "zeros": content[:half] + bytes(len(content) - half),
        "start": b"\xff" + content[1:],
        "end": content[:-1] + b"\0",
    }[damage]
    path.write_bytes(damaged)
    (problem,) = check_files(tmp_path, large)
    assert "is not the file that was built" in problem


def test_a_single_byte_inside_a_large_file_is_seen_by_verifying(tmp_path: Path, large: Manifest) -> None:
    path = tmp_path / GENERATION / "large"
    between = manifest_module._PIECE_BYTES + 10  # after the first piece and before the second
    with path.open("r+b") as handle:
        handle.seek(between)
        handle.write(b"\xff" if between % 256 != 255 else b"\0")
    assert list(check_files(tmp_path, large)) == []
    (problem,) = check_files(tmp_path, large, every_byte=True)
    assert "its SHA-256 is another" in problem
