"""rag.sources.archive: what is read from archives, and what is refused."""

from __future__ import annotations

import gzip
import io
import resource
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.errors import ArchiveUnsafe
from rag.sources.archive import ArchiveLimits, archive_stem, is_archive, read_archive, safe_path, strip_top_folder
from rag.sources.archive_members import MAX_HEADER_BYTES, members, read_member
from tests.rows import for_each


def write_tar(path: Path, files: dict[str, bytes], links: dict[str, str] | None = None) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return path


def test_tar_and_zip_give_the_same_files(tmp_path: Path) -> None:
    files = {"a.md": b"one", "docs/b.md": b"two"}
    tar = write_tar(tmp_path / "x.tar.gz", {f"./{name}": content for name, content in files.items()})
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    assert dict(read_archive(tar)) == dict(read_archive(tmp_path / "x.zip")) == files


def test_only_wanted_files_are_read(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "x.tar.gz", {"a.md": b"one", "b.bin": b"two"})
    assert dict(read_archive(tar, lambda path: path.endswith(".md"))) == {"a.md": b"one"}


@for_each("name", ["/etc/passwd", "../up.md", "docs/../../up.md", "\\\\host\\x", "C:/x.md", "..\\up.md"])
def test_a_name_outside_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    tar = write_tar(tmp_path / "x.tar.gz", {"good.md": b"fine", name: b"bad"})
    with pytest.raises(ArchiveUnsafe, match="outside its folder"):
        list(read_archive(tar))


def test_links_are_passed_over(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "x.tar.gz", {"a.md": b"one"}, links={"passwd.md": "/etc/passwd"})
    assert dict(read_archive(tar)) == {"a.md": b"one"}


def test_a_zip_link_is_passed_over(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("passwd.md")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
        archive.writestr("a.md", "one")
    assert dict(read_archive(tmp_path / "x.zip")) == {"a.md": b"one"}


def test_more_than_the_size_limit_is_refused(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "x.tar.gz", {"a.md": b"x" * 600, "b.md": b"x" * 600})
    with pytest.raises(ArchiveUnsafe, match=r"larger than allowed at b\.md"):
        list(read_archive(tar, limits=ArchiveLimits(total_bytes=1000)))


def test_no_archive_and_a_cut_archive_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.tar.gz").write_bytes(b"this is not an archive")
    (tmp_path / "text.zip").write_bytes(b"nor is this")
    whole = write_tar(tmp_path / "whole.tar.gz", {"a.md": bytes(range(256)) * 400}).read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    for name in ("text.tar.gz", "text.zip", "cut.tar.gz"):
        with pytest.raises(ArchiveUnsafe, match="read"):
            list(read_archive(tmp_path / name))


@given(st.text(max_size=30))
def test_a_safe_path_never_leaves_its_folder(name: str) -> None:
    try:
        clean = safe_path(name)
    except ArchiveUnsafe:
        return
    assert not clean.startswith("/")
    assert ".." not in clean.split("/")


def test_the_one_top_folder_is_stripped_and_several_are_not() -> None:
    assert strip_top_folder({"repo-abc/a.md": b"1", "repo-abc/docs/b.md": b"2"}) == {"a.md": b"1", "docs/b.md": b"2"}
    for files in ({"a/x": b"", "b/y": b""}, {"a/x": b"", "y": b""}):
        assert strip_top_folder(files) == files


def test_archive_names() -> None:
    assert is_archive(Path("x.TAR.GZ"))
    assert not is_archive(Path("x.md"))
    assert archive_stem(Path("dir/openroad.tar.gz")) == "openroad"
    assert archive_stem(Path("notes.md")) == "notes"


@pytest.mark.parametrize(
    ("suffix", "mode"), [(".tar", "w"), (".tar.bz2", "w:bz2"), (".tar.xz", "w:xz"), (".tgz", "w:gz")]
)
def test_every_compression_is_read(tmp_path: Path, suffix: str, mode: Literal["w", "w:gz"]) -> None:
    path = tmp_path / f"x{suffix}"
    with tarfile.open(path, mode) as tar:
        info = tarfile.TarInfo("a.md")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"one"))
    assert is_archive(path)
    assert archive_stem(path) == "x"
    assert dict(read_archive(path)) == {"a.md": b"one"}


def test_more_files_than_allowed_are_refused(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "x.tar.gz", {f"{number}.md": b"x" for number in range(5)})
    assert len(list(read_archive(tar, limits=ArchiveLimits(files=5)))) == 5
    with pytest.raises(ArchiveUnsafe, match="holds more than 4 files"):
        list(read_archive(tar, limits=ArchiveLimits(files=4)))


@pytest.mark.parametrize("suffix", [".tar.gz", ".zip"])
def test_a_file_larger_than_allowed_is_refused_or_cut(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    files = {"big.md": b"x" * 5000, "small.md": b"y"}
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    else:
        write_tar(path, files)
    limits = ArchiveLimits(file_bytes=100)
    with pytest.raises(ArchiveUnsafe, match=r"larger than allowed at big\.md"):
        list(read_archive(path, limits=limits))
    assert dict(read_archive(path, limits=limits, cut_large=True)) == {"big.md": b"x" * 101, "small.md": b"y"}


def test_cut_files_count_as_what_is_read_of_them(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "x.tar.gz", {f"{number}.md": b"x" * 200 for number in range(4)})
    assert len(list(read_archive(tar, limits=ArchiveLimits(file_bytes=100, total_bytes=404), cut_large=True))) == 4
    with pytest.raises(ArchiveUnsafe, match=r"larger than allowed at 3\.md"):
        list(read_archive(tar, limits=ArchiveLimits(file_bytes=100, total_bytes=403), cut_large=True))


def test_a_bomb_among_files_that_are_not_wanted_is_not_unpacked_to_its_end(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "x.tar.gz", {"bomb.bin": b"\0" * (4 * 2**20), "a.md": b"one"})
    wanted = {"a.md"}.__contains__
    assert dict(read_archive(tar, wanted)) == {"a.md": b"one"}
    with pytest.raises(ArchiveUnsafe, match=r"unpacks to more than 1600000 bytes at 'bomb\.bin'"):
        list(read_archive(tar, wanted, ArchiveLimits(total_bytes=100_000)))


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.md", "text")
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flag "encrypted" in both headers
        content[content.index(mark) + offset] |= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ArchiveUnsafe, match="encrypted"):
        list(read_archive(path))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_damaged_archive_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    path = folder / data.draw(st.sampled_from(["x.tar.gz", "x.tar.xz", "x.tar.bz2", "x.tar", "x.zip"]))
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.md", "text " * 50)
    else:
        compressions: dict[str, Literal["w", "w:gz"]] = {".gz": "w:gz", ".xz": "w:xz", ".bz2": "w:bz2", ".tar": "w"}  # type: ignore[dict-item]
        with tarfile.open(path, compressions[path.suffix]) as tar:
            info = tarfile.TarInfo("a.md")
            info.size = 250
            tar.addfile(info, io.BytesIO(b"text " * 50))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with suppress(ArchiveUnsafe):
        for name, _, read in members(path, passed_bytes=2**20):
            assert safe_path(name) == name
            assert read is None or len(read_member(read, 10_000)) <= 10_000


def write_record(path: Path, kind: bytes, size: int) -> Path:
    """A tar whose first header has a record of so many bytes, before a file."""
    record = tarfile.TarInfo("././@record")
    record.type, record.size = kind, size
    with gzip.open(path, "wb") as handle:
        handle.write(record.tobuf(tarfile.GNU_FORMAT))
        for _ in range(0, size, 2**20):
            handle.write(b"a" * min(size, 2**20))
        handle.write(b"\0" * (-size % 512))
        file = tarfile.TarInfo("a.md")
        file.size = 3
        handle.write(file.tobuf() + b"one".ljust(512, b"\0") + b"\0" * 1024)
    return path


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_header_larger_than_any_that_describes_a_file_is_not_read(tmp_path: Path, kind: bytes) -> None:
    path = write_record(tmp_path / "x.tar.gz", kind, 64 * 2**20)
    with pytest.raises(ArchiveUnsafe, match=f"has a header of {64 * 2**20} bytes, more than {MAX_HEADER_BYTES}"):
        list(read_archive(path))


def test_a_long_name_is_read_and_a_file_with_holes_is_refused(tmp_path: Path) -> None:
    name = "/".join(["folder"] * 60) + "/a.md"
    assert dict(read_archive(write_tar(tmp_path / "x.tar.gz", {name: b"one"}))) == {name: b"one"}
    with pytest.raises(ArchiveUnsafe, match="with holes"):
        list(read_archive(write_record(tmp_path / "y.tar.gz", tarfile.GNUTYPE_SPARSE, 512)))


def test_headers_take_a_child_of_limited_memory_and_not_this_process(tmp_path: Path) -> None:
    # In the directory alone: 46 bytes each, and 700 once they are read
    names = [f"{number}".encode() for number in range(200_000)]
    entry = b"PK\x01\x02" + bytes(24) + b"%b" + bytes(16)
    directory = b"".join((entry % len(name).to_bytes(2, "little")) + name for name in names)
    size = len(directory).to_bytes(4, "little")
    (tmp_path / "x.zip").write_bytes(directory + b"PK\x05\x06" + bytes(8) + size + bytes(4) + bytes(2))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(
        ArchiveUnsafe, match=r"not an archive that can be read|takes more memory for its headers than allowed"
    ):
        list(read_archive(tmp_path / "x.zip", limits=ArchiveLimits(file_bytes=2**20)))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**15  # KiB
