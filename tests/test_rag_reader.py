"""rag.reader: files to documents; the unreadable ones are named and skipped."""

import errno
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import textwrap
from pathlib import Path

import pytest

from rag.documents import Skipped
from rag.errors import SourceUnusable
from rag.reader import read_source

MAX_DOCUMENT_BYTES = 8 * 2**20  # by default


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


def test_pipes_and_circles_of_links_are_named_and_skipped(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.md")
    (tmp_path / "one.md").symlink_to(tmp_path / "two.md")
    (tmp_path / "two.md").symlink_to(tmp_path / "one.md")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "up").symlink_to(tmp_path)
    (tmp_path / "ok.md").write_text("# Ok")
    skipped: list[Skipped] = []
    assert [document.path for document in read_source(tmp_path, "d", skipped)] == ["ok.md"]
    circle = f"cannot be read ({os.strerror(errno.ELOOP)})"
    pipe = "cannot be read (a pipe, socket or device, not a regular file)"
    assert skipped == [Skipped("d/one.md", circle), Skipped("d/pipe.md", pipe), Skipped("d/two.md", circle)]
    with pytest.raises(SourceUnusable, match="is a pipe, socket or device"):
        list(read_source(tmp_path / "pipe.md", "pipe", []))


def test_a_name_that_is_not_utf8_is_skipped_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"gr\xfcn.md")).write_text("# Green")
    (tmp_path / os.fsdecode(b"gr\xfcn")).mkdir()
    (tmp_path / os.fsdecode(b"gr\xfcn") / "a.md").write_text("# A")
    (tmp_path / "ok.md").write_text("# Ok")
    skipped: list[Skipped] = []
    assert [document.path for document in read_source(tmp_path, "d", skipped)] == ["ok.md"]
    assert {item.path for item in skipped} == {"d/gr\\udcfcn.md", "d/gr\\udcfcn/a.md"}
    assert {item.reason for item in skipped} == {"its name is not UTF-8"}
    with pytest.raises(SourceUnusable, match=r"the name gr\\udcfcn is not UTF-8"):
        list(read_source(tmp_path / os.fsdecode(b"gr\xfcn"), os.fsdecode(b"gr\xfcn"), []))


READ_AS_NOBODY = """
    import os, sys
    from pathlib import Path
    from rag.errors import SourceUnusable
    from rag.reader import read_source

    list(read_source(Path(sys.argv[1]) / "ok.md", "d", []))  # loads all modules while they can be read
    if os.geteuid() == 0:
        os.setuid(65534)
    skipped = []
    print([document.path for document in read_source(Path(sys.argv[1]), "d", skipped)], [(item.path, item.reason) for item in skipped])
    try:
        list(read_source(Path(sys.argv[1]) / "closed", "closed", skipped))
    except SourceUnusable as error:
        print(error)
"""


def test_a_folder_that_may_not_be_read_is_named_and_skipped() -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to other users
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "closed").mkdir()
        (folder / "closed").chmod(0)
        (folder / "ok.md").write_text("# Ok")
        command = [sys.executable, "-c", textwrap.dedent(READ_AS_NOBODY), name]
        output = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=True).stdout
        (folder / "closed").chmod(0o755)
    read, refused = output.splitlines()
    assert read == "['ok.md'] [('d/closed/', 'cannot be read (Permission denied)')]"
    assert "closed cannot be read (Permission denied): make it readable" in refused


def test_a_document_without_text_is_skipped_and_one_of_headings_is_not(tmp_path: Path) -> None:
    (tmp_path / "remark.md").write_text("<!-- nothing for readers -->")
    (tmp_path / "headings.md").write_text("# Commands\n\n## write_sdf\n")
    skipped: list[Skipped] = []
    assert [document.path for document in read_source(tmp_path, "d", skipped)] == ["headings.md"]
    assert skipped == [Skipped("d/remark.md", "no text besides its markup")]


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
