"""rag.archive: what is read from archives, and what is refused."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.archive import ArchiveLimits, archive_stem, is_archive, read_archive, safe_path, strip_top_folder
from rag.errors import ArchiveUnsafe


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


@pytest.mark.parametrize("name", ["/etc/passwd", "../up.md", "docs/../../up.md", "\\\\host\\x", "C:/x.md", "..\\up.md"])
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
    (tmp_path / "text.tar.gz").write_bytes(b"this is no archive")
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
