"""rag.index.manifest: what it says comes back, and which damage to the files is seen when."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from rag.errors import IndexCorrupt, IndexMismatch, IndexNotFound, SettingsError
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
    spec_of,
)
from rag.settings import RagSettings
from tests.rows import for_each
from tests.tiny_embedder import TinyEmbedder

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


def store(folder: Path, **changes: object) -> Path:
    """A manifest with these parts instead, as it lies in the folder."""
    data = json.loads(manifest_of(folder, {"a": b"one"}).as_json())
    (folder / MANIFEST).write_text(json.dumps({**data, **changes}), encoding="utf-8")
    return folder


def test_a_folder_without_an_index_says_how_to_build_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path, tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(IndexNotFound, match=r"no index in .*: build one with `chipalign index build --out"):
            read_manifest(folder)


@for_each(
    "content",
    [b"", b"{", b"[1]", b"null", b'"text"', b"\xff\xfe", b'{"spec": 1}', b'{"spec": {"format": "4"}}', b"[" * 100_000],
)
def test_what_is_not_a_manifest_is_named_with_its_path(tmp_path: Path, content: bytes) -> None:
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(IndexCorrupt, match=r"manifest\.json is not a manifest.*: build the index again"):
        read_manifest(tmp_path)


def test_a_folder_in_the_place_of_the_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).mkdir()
    with pytest.raises(IndexCorrupt, match=r"cannot be read.*build the index again"):
        read_manifest(tmp_path)


@for_each("number", [0, FORMAT - 1, FORMAT + 1, -1])
def test_the_format_of_another_version_is_named_with_both_numbers(tmp_path: Path, number: int) -> None:
    spec = json.loads(json.dumps(asdict(SPEC))) | {"format": number, "unknown": True}
    with pytest.raises(IndexMismatch, match=f"has format {number}, this program reads {FORMAT}: build it again"):
        read_manifest(store(tmp_path, spec=spec))


@for_each(
    ("part", "value"),
    [
        ("created", "2026-11-24T08:00:00"),  # no zone
        ("created", "yesterday"),
        ("documents", "2"),
        ("documents", None),
        ("chunks", 1.5),
        ("chunks", True),
        ("versions", ["numpy"]),
        ("collections", {"notes": {}}),
    ],
)
def test_a_part_of_another_kind_is_named(tmp_path: Path, part: str, value: object) -> None:
    with pytest.raises(IndexCorrupt, match=r"is not a manifest of this program \(.+\): build the index again"):
        read_manifest(store(tmp_path, **{part: value}))


@for_each(
    "name",
    ["../a", "/etc/hostname", f"{GENERATION}/../a", f"{GENERATION}/.a", f"{GENERATION}/", "a", f"{GENERATION}/a/b", ""],
)
def test_a_file_outside_the_folder_is_refused_by_name(tmp_path: Path, name: str) -> None:
    record = {"bytes": 3, "sha256": "0", "pieces_sha256": ""}
    with pytest.raises(IndexCorrupt, match=f"names the file {re.escape(repr(name))} outside its folder"):
        read_manifest(store(tmp_path, files={name: record}))


@for_each("name", ["..", "generation-0123456789AB", "generation-0123", "", "generation-0123456789ab/x"])
def test_a_generation_of_another_form_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(IndexCorrupt, match="outside its folder"):
        read_manifest(store(tmp_path, generation=name, files={}))


def test_a_link_or_a_folder_in_the_place_of_a_file_is_named(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path, {"a": b"one", "b": b"two"})
    (tmp_path / "elsewhere").write_bytes(b"one")
    for name in ("a", "b"):
        (tmp_path / GENERATION / name).unlink()
    (tmp_path / GENERATION / "a").symlink_to(tmp_path / "elsewhere")
    (tmp_path / GENERATION / "b").mkdir()
    problems = list(check_files(tmp_path, manifest))
    assert len(problems) == 2
    assert all("it is a link, a folder or a device" in problem for problem in problems)


def test_a_file_of_another_size_is_named_with_both_sizes(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path, {"a": b"one"})
    (tmp_path / GENERATION / "a").write_bytes(b"three")
    (problem,) = check_files(tmp_path, manifest)
    assert problem.endswith("(it has 5 bytes, not 3)")


def test_only_large_files_have_a_hash_of_pieces(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for size, has_pieces in ((0, False), (WHOLE_BYTES, False), (WHOLE_BYTES + 1, True)):
        path.write_bytes(bytes(size))
        record = record_file(path)
        assert record.bytes == size
        assert record.sha256 == hashlib.sha256(bytes(size)).hexdigest()
        assert bool(record.pieces_sha256) is has_pieces


def test_each_difference_is_said_with_both_values_and_a_new_name_is_none() -> None:
    assert SPEC.differences(SPEC) == []
    assert SPEC.differences(replace(SPEC, embedder="other name")) == []
    assert SPEC.differences(replace(SPEC, chunk_tokens=99, dimension=3)) == [
        "dimension: 32 in the index, 3 now",
        "chunk_tokens: 220 in the index, 99 now",
    ]
    changed = SPEC.differences(replace(SPEC, embedder="b", embedder_fingerprint="f2"))
    assert [line.split(":")[0] for line in changed] == ["embedder", "embedder_fingerprint"]


def test_passages_longer_than_the_embedder_reads_are_refused_with_the_setting() -> None:
    embedder = TinyEmbedder()
    whole = replace(RagSettings(), chunk_tokens=embedder.max_tokens)
    assert spec_of(whole, embedder).chunk_tokens == embedder.max_tokens
    too_long = replace(whole, chunk_tokens=embedder.max_tokens + 1)
    with pytest.raises(SettingsError, match=f"set it to at most {embedder.max_tokens}") as caught:
        spec_of(too_long, embedder)
    assert f"CHIPALIGN_CHUNK_TOKENS={embedder.max_tokens + 1}" in str(caught.value)


def test_names_that_are_not_ascii_come_back(tmp_path: Path) -> None:
    about = Collection(1, 1, 0, "", (), "2026-11-24T08:00:00+00:00", 1, (("größe/µ.png", "kein Typ"),), "Zoë", True)
    manifest = replace(manifest_of(tmp_path, {"a": b"one"}), collections={"entwürfe": about})
    (tmp_path / MANIFEST).write_text(manifest.as_json(), encoding="utf-8")
    assert "größe/µ.png" in manifest.as_json()
    assert read_manifest(tmp_path) == manifest
