"""rag.sources.packages: pins, real archives of both indexes, and the real clients where they need no network."""

from __future__ import annotations

import hashlib
import io
import shutil
import stat
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from rag.documents import Skipped
from rag.errors import ArchiveUnsafe, ChecksumMismatch, CorpusUnavailable
from rag.sources.packages import DEBIAN, PYPI, Package, fetch_package, load_packages
from rag.sources.reader import read_source

ROOT = Path(__file__).parent.parent
needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is missing")
FILES = {"docs/guide.rst": "Guide\n=====\n\nIt routes.\n", "docs/skip.rst": "No\n", "tool/main.py": "x = 1\n"}
# A build backend in the archive itself: pip asks it for the metadata, and needs nothing else
BUILD = """
import os
def prepare_metadata_for_build_wheel(folder, settings=None):
    os.makedirs(os.path.join(folder, "tool-1.0.dist-info"))
    with open(os.path.join(folder, "tool-1.0.dist-info", "METADATA"), "w") as file:
        file.write("Metadata-Version: 2.1\\nName: tool\\nVersion: 1.0\\n")
    return "tool-1.0.dist-info"
"""
PROJECT = '[build-system]\nrequires = []\nbuild-backend = "build"\nbackend-path = ["."]\n'


def write_sdist(path: Path, files: dict[str, str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(f"tool-1.0/{name}")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return path


def write_deb(path: Path, work: Path) -> Path:
    """A Debian package with a manual page, a page that a link also names, and a program."""
    page = work / "usr/share/doc/tool/index.html"
    page.parent.mkdir(parents=True)
    page.write_text("<h1>Tool</h1><p>It routes.</p>")
    (page.parent / "alias.html").symlink_to("index.html")
    (work / "usr/bin").mkdir()
    (work / "usr/bin/tool.html").write_text("no document")
    (work / "DEBIAN").mkdir()
    (work / "DEBIAN/control").write_text(
        "Package: tool\nVersion: 1.0\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: a tool\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", work, path], check=True, capture_output=True)
    return path


def pin(archive: Path, index: str = PYPI, include: tuple[str, ...] = ("docs/**/*.rst",)) -> Package:
    checksum = hashlib.sha256(archive.read_bytes()).hexdigest()
    return Package("tool", index, "tool", "1.0", archive.name, checksum, "ISC", include, ("docs/skip.rst",))


@pytest.fixture
def sdist(tmp_path: Path) -> Path:
    return write_sdist(tmp_path / "mirror/tool-1.0.tar.gz", {**FILES, "build.py": BUILD, "pyproject.toml": PROJECT})


def test_the_table_pins_each_set_and_says_its_licence() -> None:
    packages = load_packages(ROOT / "data/eval/leftout/sets.toml")
    assert len(packages) >= 7
    for name, package in packages.items():
        assert package.name == name
        assert package.index in (DEBIAN, PYPI)
        assert len(package.sha256) == 64
        assert package.version in package.file
        assert package.licence
        assert package.include


def test_a_source_distribution_gives_the_wanted_files_alone(tmp_path: Path, sdist: Path) -> None:
    lines: list[str] = []
    out = tmp_path / "documents/tool"
    count = fetch_package(pin(sdist), out, tmp_path / "packages", sdist.parent, lines.append)
    assert (count, lines) == (1, ["tool: 1 file of tool-1.0.tar.gz"])
    skipped: list[Skipped] = []
    (document,) = read_source(out, "tool", skipped)  # the record beside it is not a document
    assert (document.path, document.title, skipped) == ("docs/guide.rst", "Guide", [])


def test_what_is_fetched_stays_until_its_pin_changes(tmp_path: Path, sdist: Path) -> None:
    package, out, lines = pin(sdist), tmp_path / "documents/tool", list[str]()
    fetch_package(package, out, tmp_path / "packages", sdist.parent)
    fetch_package(package, out, tmp_path / "nowhere", None, lines.append)
    assert lines == ["tool: already fetched (1 file)"]
    wider = replace(package, exclude=())
    assert fetch_package(wider, out, tmp_path / "packages", sdist.parent) == 2
    assert (out / "docs/skip.rst").is_file()


@needs_dpkg
def test_a_debian_package_gives_its_documents_and_no_links(tmp_path: Path) -> None:
    deb = write_deb(tmp_path / "packages/tool_1.0_all.deb", tmp_path / "work")
    package = pin(deb, DEBIAN, ("doc/tool/*.html", "**/tool.html"))
    assert fetch_package(package, tmp_path / "out", deb.parent) == 2
    found = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.html")}
    assert found == {"doc/tool/index.html", "usr/bin/tool.html"}


def test_an_archive_with_another_checksum_is_not_opened(tmp_path: Path, sdist: Path) -> None:
    package = pin(sdist)
    sdist.write_bytes(b"other")
    with pytest.raises(ChecksumMismatch, match="pinned is"):
        fetch_package(package, tmp_path / "out", tmp_path / "packages", sdist.parent)
    assert not (tmp_path / "out").exists()


def test_a_hostile_archive_writes_nothing_even_with_its_checksum(tmp_path: Path) -> None:
    archive = write_sdist(tmp_path / "mirror/tool-1.0.tar.gz", {"../../docs/evil.rst": "no"})
    with pytest.raises(ArchiveUnsafe, match="outside its folder"):
        fetch_package(pin(archive), tmp_path / "out", tmp_path / "packages", archive.parent)
    assert not (tmp_path / "out").exists()


def test_a_selection_of_nothing_is_an_error(tmp_path: Path, sdist: Path) -> None:
    with pytest.raises(CorpusUnavailable, match="holds no path that `include` selects"):
        fetch_package(pin(sdist, include=("doc/*.md",)), tmp_path / "out", tmp_path / "packages", sdist.parent)


def test_pip_fetches_a_source_distribution_by_its_hash(
    tmp_path: Path, sdist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(sdist.parent))
    monkeypatch.chdir(tmp_path)
    package = pin(sdist)
    assert fetch_package(package, Path("out"), Path("packages")) == 1  # folders as they are typed
    assert [path.name for path in (tmp_path / "packages").iterdir()] == [package.file]
    with pytest.raises(CorpusUnavailable, match="give it with --mirror DIR"):
        fetch_package(replace(package, sha256="0" * 64), tmp_path / "again", tmp_path / "other")
    assert list((tmp_path / "other").iterdir()) == []


@needs_dpkg
def test_apt_get_is_asked_for_the_pinned_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deb = write_deb(tmp_path / "index/tool_1.0_all.deb", tmp_path / "work")
    client = tmp_path / "bin/apt-get"
    client.parent.mkdir()
    client.write_text(
        f'#!/bin/sh\n[ "$*" = "download --quiet tool=1.0" ] && cp {deb} . || {{ echo no >&2; exit 100; }}\n'
    )
    client.chmod(client.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", str(client.parent), prepend=":")
    package = pin(deb, DEBIAN, ("doc/tool/*.html",))
    assert fetch_package(package, tmp_path / "out", tmp_path / "packages") == 1
    with pytest.raises(CorpusUnavailable, match=r"tool 2\.0 cannot be fetched \(no\)"):
        fetch_package(replace(package, version="2.0"), tmp_path / "again", tmp_path / "other")


def test_a_client_that_is_missing_is_said_with_the_way_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    package = Package("tool", DEBIAN, "tool", "1.0", "tool_1.0_all.deb", "0" * 64, "ISC", ("doc/**",))
    with pytest.raises(CorpusUnavailable, match=r"apt-get does not run .*--mirror DIR"):
        fetch_package(package, tmp_path / "out", tmp_path / "packages")
