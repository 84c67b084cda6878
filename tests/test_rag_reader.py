"""rag.reader: files to documents; the unreadable ones are named and skipped."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from rag.documents import Skipped
from rag.errors import SourceUnusable
from rag.reader import MAX_DOCUMENT_BYTES, read_source


def write_mixed_folder(folder: Path) -> Path:
    (folder / "sub").mkdir(parents=True)
    (folder / "b.md").write_bytes(b"\xef\xbb\xbf# Title B\r\n\r\nText.\r\n")
    (folder / "sub" / "a.rst").write_text("Title A\n=======\n\nText.\n")
    (folder / "latin.md").write_bytes("# Größe".encode("latin-1"))
    (folder / "binary.txt").write_bytes(b"\0\1\2")
    (folder / "empty.md").write_text(" \n")
    (folder / "picture.png").write_bytes(b"x")
    (folder / "huge.txt").write_bytes(b"x" * (MAX_DOCUMENT_BYTES + 1))
    (folder / "LICENSE").write_text("licence")
    (folder / ".hidden.md").write_text("# Hidden")
    return folder


def test_a_folder_gives_its_documents_and_names_the_rest(tmp_path: Path) -> None:
    skipped: list[Skipped] = []
    documents = list(read_source(write_mixed_folder(tmp_path / "docs"), "docs", skipped, "ISC", lambda path: f"https://x.org/{path}"))
    assert [(document.path, document.title) for document in documents] == [("b.md", "Title B"), ("sub/a.rst", "Title A")]
    assert documents[0].text == "# Title B\n\nText.\n"
    assert (documents[1].url, documents[1].licence, documents[1].collection) == ("https://x.org/sub/a.rst", "ISC", "docs")
    assert {(item.path, item.reason) for item in skipped} == {
        ("docs/latin.md", "not UTF-8 (byte 4)"),
        ("docs/binary.txt", "binary, not text"),
        ("docs/empty.md", "empty"),
        ("docs/picture.png", "not a type of document that is read (.png)"),
        ("docs/huge.txt", f"larger than {MAX_DOCUMENT_BYTES} bytes"),
    }


def test_a_file_that_may_not_be_opened_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "gone.md").symlink_to(tmp_path / "nowhere.md")
    (tmp_path / "ok.md").write_text("# Ok")
    skipped: list[Skipped] = []
    assert [document.path for document in read_source(tmp_path, "d", skipped)] == ["ok.md"]
    assert skipped == [Skipped("d/gone.md", f"cannot be read ({os.strerror(2)})")]


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("# Secret")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "link.md").symlink_to(tmp_path / "secret.md")
    assert list(read_source(tmp_path / "docs", "docs", [])) == []


def test_one_file_and_an_archive_are_sources_too(tmp_path: Path) -> None:
    (tmp_path / "one.md").write_text("# One")
    assert [document.path for document in read_source(tmp_path / "one.md", "one", [])] == ["one.md"]
    with tarfile.open(tmp_path / "docs.tar.gz", "w:gz") as tar:
        for name, content in {"top/a.md": b"# A", "top/b.bin": b"x"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    skipped: list[Skipped] = []
    assert [(document.path, document.title) for document in read_source(tmp_path / "docs.tar.gz", "docs", skipped)] == [("a.md", "A")]
    assert [item.path for item in skipped] == ["docs/b.bin"]


def test_a_source_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceUnusable, match="is not there"):
        list(read_source(tmp_path / "nothing", "x", []))
