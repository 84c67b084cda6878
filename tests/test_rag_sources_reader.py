"""rag.sources.reader: files to documents; the unreadable ones are named and skipped."""

from __future__ import annotations

import errno
import gzip
import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import zipfile
from pathlib import Path

import pytest

from rag.documents import Document, Skipped, hash_document
from rag.errors import ArchiveUnsafe, SourceUnusable
from rag.formats.parser import read_file
from rag.settings import RagSettings
from rag.sources.reader import IGNORE_FILE, read_source

ROOT = Path(__file__).parent.parent
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


def test_licence_texts_are_passed_over_and_no_guide_to_licences_is(tmp_path: Path) -> None:
    legal = ("LICENSE", "LICENSE-MIT", "LICENSE.txt", "License.rst", "COPYING.LESSER", "NOTICE", "LICENSES/ISC.txt")
    guides = ("License_1234.md", "license-server.md", "licences/floating.md", "NOTICEABLE.md", "notice.md")
    for name in (*legal, *guides):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("# Title\n\nThe server is lic01.\n")
    skipped: list[Skipped] = []
    assert {document.path for document in read_source(tmp_path, "docs", skipped)} == set(guides)
    assert skipped == []


def test_a_folder_gives_its_documents_and_names_the_rest(tmp_path: Path) -> None:
    skipped: list[Skipped] = []
    documents = list(
        read_source(write_mixed_folder(tmp_path / "docs"), "docs", skipped, "ISC", lambda path: f"https://x.org/{path}")
    )
    assert [(document.path, document.title) for document in documents] == [
        ("b.md", "Title B"),
        ("latin.md", "Größe"),
        ("sub/a.rst", "Title A"),
    ]
    assert documents[0].text == "# Title B\n\nText.\n"
    assert (documents[2].url, documents[2].licence, documents[2].collection) == (
        "https://x.org/sub/a.rst",
        "ISC",
        "docs",
    )
    assert {(item.path, item.reason) for item in skipped} == {
        ("docs/latin.md", "read as windows-1252"),
        ("docs/binary.txt", "binary, not text"),
        ("docs/empty.md", "empty"),
        ("docs/picture.png", "not a type of document that is read (.png)"),
        ("docs/huge.txt", f"larger than {MAX_DOCUMENT_BYTES} bytes (CHIPALIGN_MAX_TEXT_MB)"),
    }


def test_what_a_folders_ignore_file_names_is_not_read(tmp_path: Path) -> None:
    for name in ("guide.md", "guide-old.md", "drafts/a.md", "deep/drafts/b.md", "deep/c-old.md", "deep/d.md"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"# {name}\n\nText.\n")
    (tmp_path / IGNORE_FILE).write_text("# frozen\n**/*-old.md\n\ndrafts/\n")
    skipped: list[Skipped] = []
    documents = {document.path for document in read_source(tmp_path, "docs", skipped, "ISC")}
    assert documents == {"deep/d.md", "deep/drafts/b.md", "guide.md"}
    assert skipped == []


def test_an_ignore_file_that_cannot_be_read_stops_the_build_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "guide.md").write_text("# Guide\n\nText.\n")
    (tmp_path / IGNORE_FILE).write_bytes(b"\xff\xfe")
    with pytest.raises(SourceUnusable, match="one glob a line"):
        list(read_source(tmp_path, "docs", [], "ISC"))


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
    from rag.sources.reader import read_source
    from rag.sources.sandbox import Sandbox
    from rag.settings import RagSettings

    settings = RagSettings(parse_workers=1)
    limits = {"settings": settings, "sandbox": Sandbox(settings), "caches": False}
    list(read_source(Path(sys.argv[1]) / "ok.md", "d", [], **limits))  # loads all modules while they can be read
    if os.geteuid() == 0:
        os.setuid(65534)
    skipped = []
    read = [document.path for document in read_source(Path(sys.argv[1]), "d", skipped, **limits)]
    print(read, [(item.path, item.reason) for item in skipped])
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
        output = subprocess.run(
            command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=True
        ).stdout
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
    assert [(document.path, document.title) for document in read_source(tmp_path / "docs.tar.gz", "docs", skipped)] == [
        ("a.md", "A")
    ]
    assert [item.path for item in skipped] == ["docs/b.bin"]


def test_a_source_that_is_not_there_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SourceUnusable, match="is not there"):
        list(read_source(tmp_path / "nothing", "x", []))


def write_archive(path: Path, files: dict[str, bytes]) -> Path:
    """A .zip or .tar.gz with these files."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return path
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def read_all(path: Path, settings: RagSettings | None = None) -> tuple[dict[str, Document], dict[str, str]]:
    """The documents by path, and the reasons of the others by path, without the collection's name."""
    skipped: list[Skipped] = []
    documents = {document.path: document for document in read_source(path, "d", skipped, settings=settings)}
    return documents, {item.path.removeprefix("d/"): item.reason for item in skipped}


def test_a_folder_of_many_formats_is_read_each_by_its_parser(tmp_path: Path) -> None:
    files = {
        "a.html": b"<title>Page</title><p>Hypertext.</p>",
        "b.tcl": b"# Routes.\nproc route {} {}\n",
        "c.v": b"module c; endmodule\n",
        "d.py": b'"""Doc."""\n',
        "e.csv": b"pin,layer\nA,M1\n",
        "f.1": b".TH F 1\n.SH NAME\nf \\- a page\n",
        "g.lef": b"VERSION 5.8 ;\nLAYER M1\n TYPE ROUTING ;\nEND M1\n",
        "h.txt": b"1. One\n\ntext\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    documents, reasons = read_all(tmp_path)
    assert reasons == {}
    assert {path: document.title for path, document in documents.items()} == {
        "a.html": "Page",
        "b.tcl": "b.tcl",
        "c.v": "c.v",
        "d.py": "d.py",
        "e.csv": "e.csv",
        "f.1": "f - a page",
        "g.lef": "g.lef",
        "h.txt": "h.txt",
    }
    for path, document in documents.items():
        assert document.blocks == read_file(path, files[path])[1].blocks


@pytest.mark.parametrize("name", ["inner.zip", "inner.tar.gz"])
def test_an_archive_in_a_folder_is_read_one_level_deep(tmp_path: Path, name: str) -> None:
    nested = write_archive(tmp_path / "nested.zip", {"x.md": b"# X"}).read_bytes()
    (tmp_path / "nested.zip").unlink()
    write_archive(tmp_path / name, {"docs/a.md": b"# A", "docs/b.png": b"x", "docs/deeper.zip": nested})
    (tmp_path / "z.md").write_text("# Z")
    documents, reasons = read_all(tmp_path)
    assert {path: document.title for path, document in documents.items()} == {f"{name}/a.md": "A", "z.md": "Z"}
    assert reasons == {
        f"{name}/b.png": "not a type of document that is read (.png)",
        f"{name}/deeper.zip": "an archive inside an archive: unpack it",
    }


def test_a_hostile_archive_in_a_folder_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    write_archive(tmp_path / "evil.zip", {"../up.md": b"# Up"})
    (tmp_path / "broken.tar.gz").write_bytes(b"no archive")
    (tmp_path / "ok.md").write_text("# Ok")
    documents, reasons = read_all(tmp_path)
    assert list(documents) == ["ok.md"]
    assert "outside its folder" in reasons["evil.zip/"]
    assert "is not an archive that can be read" in reasons["broken.tar.gz/"]
    assert not (tmp_path.parent / "up.md").exists()


def test_the_limits_of_archives_are_settings(tmp_path: Path) -> None:
    many = write_archive(tmp_path / "many.zip", {f"{number}.md": b"# T" for number in range(4)})
    with pytest.raises(ArchiveUnsafe, match="more than 3 files"):
        read_all(many, RagSettings(archive_files=3))
    big = write_archive(tmp_path / "big.zip", {"a.md": b"# A\n" + b"x " * 2**20, "b.md": b"# B"})
    documents, reasons = read_all(big, RagSettings(archive_file_mb=1, max_text_mb=1))
    assert list(documents) == ["b.md"]
    assert reasons == {"a.md": f"larger than {2**20} bytes (CHIPALIGN_MAX_TEXT_MB)"}
    with pytest.raises(ArchiveUnsafe, match="larger than allowed"):
        read_all(big, RagSettings(archive_total_mb=1))


def test_an_archive_takes_the_disk_and_not_the_memory(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "many.zip", {f"{number}.html": b"<p>a" * 2**20 for number in range(16)})
    script = (
        "import resource, sys; from pathlib import Path; from rag.settings import RagSettings; "
        "from rag.sources.reader import _list_files; from rag.sources.spool import Spool; "
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; spool = Spool(); "
        "files = _list_files(Path(sys.argv[1]), RagSettings(), spool); "
        "assert len(files) == 16 and files['3.html'].read(9) == b'<p>a<p>a<'; "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before); spool.__exit__(None, None, None)"
    )
    command = [sys.executable, "-c", textwrap.dedent(script), str(archive)]
    grown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert int(grown.stdout) < 40 * 1024  # KiB; the files have 64 MiB together


def test_a_large_library_is_read_in_part_and_that_is_said(tmp_path: Path) -> None:
    cells = b"".join(b"cell (C%d) { area : 1; }\n" % number for number in range(60_000))
    content = b"library (big) {\n" + cells + b"}\n"
    (tmp_path / "big.lib").write_bytes(content)
    (tmp_path / "packed.lib.gz").write_bytes(gzip.compress(content))
    write_archive(tmp_path / "packed.zip", {"big.lib": content})
    documents, reasons = read_all(tmp_path, RagSettings(max_file_mb=1))
    assert list(documents) == ["big.lib", "packed.lib.gz", "packed.zip/big.lib"]
    read = content.rfind(b"\n", 0, 2**20) + 1
    sizes = {"big.lib": len(content), "packed.lib.gz": "it", "packed.zip/big.lib": len(content)}
    assert reasons == {
        name: f"read in part: the first {read} bytes of {size} (CHIPALIGN_MAX_FILE_MB)" for name, size in sizes.items()
    }
    assert len({document.text for document in documents.values()}) == 1
    assert "Some of the cells; how many there are is not known" in documents["big.lib"].text
    assert not re.search(r"\d+ cells", documents["big.lib"].text)
    assert len(documents["big.lib"].text) < 300_000


def test_gzip_files_are_unpacked_up_to_the_limit(tmp_path: Path) -> None:
    (tmp_path / "ls.1.gz").write_bytes(gzip.compress(b".TH LS 1\n.SH NAME\nls \\- list\n"))
    (tmp_path / "bomb.txt.gz").write_bytes(gzip.compress(b"x" * (50 * 2**20)))
    (tmp_path / "no.txt.gz").write_bytes(b"no gzip")
    documents, reasons = read_all(tmp_path)
    assert [document.title for document in documents.values()] == ["ls - list"]
    assert reasons["bomb.txt.gz"] == f"larger than {MAX_DOCUMENT_BYTES} bytes (CHIPALIGN_MAX_TEXT_MB)"
    assert "no gzip file that can be unpacked" in reasons["no.txt.gz"]


def test_a_file_that_its_parser_refuses_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"not a pdf")
    (tmp_path / "b.docx").write_bytes(b"not a zip")
    (tmp_path / "c.2").write_text("a second log\n")
    (tmp_path / "d.html").write_bytes(b"<script>nothing to read</script>")
    (tmp_path / "ok.html").write_bytes(b"<p>Text")
    documents, reasons = read_all(tmp_path)
    assert list(documents) == ["ok.html"]
    assert reasons["a.pdf"] == "no PDF: it does not begin as one"
    assert "not a zip archive" in reasons["b.docx"]
    assert "no manual page" in reasons["c.2"]
    assert reasons["d.html"] == "no text besides its markup"


def test_includes_are_followed_inside_the_source_alone(tmp_path: Path) -> None:
    (tmp_path / "secret.inc").write_text("Secret.")
    root = tmp_path / "docs"
    (root / "parts").mkdir(parents=True)
    (root / "parts" / "intro.inc").write_text("Shared words.\n")
    (root / "parts" / "link.inc").symlink_to(tmp_path / "secret.inc")
    directives = [
        f".. include:: {target}\n"
        for target in ("parts/intro.inc", "../secret.inc", str(tmp_path / "secret.inc"), "parts/link.inc")
    ]
    (root / "index.rst").write_text("Title\n=====\n\nOwn words.\n\n" + "\n".join(directives))
    documents, _ = read_all(root)
    assert [block.text for block in documents["index.rst"].blocks] == ["Own words.", "Shared words."]


def test_a_changed_include_changes_the_document(tmp_path: Path) -> None:
    (tmp_path / "index.rst").write_text(".. include:: a.inc\n")
    hashes = set()
    for words in ("one", "two"):
        (tmp_path / "a.inc").write_text(words)
        hashes.add(hash_document(read_all(tmp_path)[0]["index.rst"]))
    assert len(hashes) == 2


def test_a_name_too_long_to_be_carried_by_each_chunk_is_named(tmp_path: Path) -> None:
    archive = write_archive(
        tmp_path / "x.zip", {f"{'folder/' * 200}a.md": b"# A\n\nText.\n", "b/b.md": b"# B\n\nText.\n"}
    )
    documents, reasons = read_all(archive)
    assert list(documents) == ["b/b.md"]
    assert list(reasons.values()) == ["its name has 1404 characters"]


def test_a_gzip_file_without_its_end_is_named_and_never_taken_for_whole(tmp_path: Path) -> None:
    text = "".join(f"Sentence {number * 7919} of many.\n" for number in range(5000)).encode()
    library = (
        b"library (a) {\n"
        + b"".join(b"cell (C%d) { area : %d; }\n" % (number, number * 7919) for number in range(5000))
        + b"}\n"
    )
    for name, content in (("a.md.gz", text), ("a.lib.gz", library)):
        packed = gzip.compress(content)
        (tmp_path / name).write_bytes(packed[: len(packed) // 2])
    documents, reasons = read_all(tmp_path)
    assert list(documents) == ["a.lib.gz"]
    assert "its end is missing after" in reasons["a.md.gz"]
    assert reasons["a.lib.gz"].startswith("read in part: the first ")
    assert "how many there are is not known" in documents["a.lib.gz"].text
