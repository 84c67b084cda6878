"""rag.sources.corpus: pins, patterns, checksums, mirror and host; the host is a real HTTP server on this machine."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import ArchiveUnsafe, ChecksumMismatch, CorpusUnavailable, CorpusUnknown
from rag.sources.corpus import (
    Source,
    corpus_dir,
    fetch_corpus,
    find_source,
    load_sources,
    match_path,
    read_fetched,
    tree_checksum,
)
from tests.quiet_server import QuietServer
from tests.rows import for_each

FILES = {
    "README.md": b"# Tool\n\nIt routes.\n",
    "docs/a/b.md": b"# Deep\n",
    "docs/skip.md": b"no",
    "src/main.c": b"int x;",
}
SELECTED = {name: FILES[name] for name in ("README.md", "docs/a/b.md")}
SOURCE = Source(
    name="tool",
    repository="org/tool",
    revision="abc123",
    licence="ISC",
    include=("README.md", "docs/**/*.md"),
    exclude=("docs/skip.md",),
    checksum=tree_checksum(SELECTED),
    url_template="https://example.org/{repository}/blob/{revision}/{path}",
)


def write_archive(path: Path, files: dict[str, bytes], top: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(top + name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Requests are not news."""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A public host of our own: its address and its folder."""
    folder = tmp_path / "host"
    folder.mkdir()
    server = QuietServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_pinned_corpora_are_complete() -> None:
    sources = load_sources()
    assert list(sources) == ["openroad", "orfs", "opensta", "yosys", "verilator"]
    for source in sources.values():
        assert len(source.revision) == 40
        assert len(source.checksum) == 64
        assert source.url("docs/x.md") == f"https://github.com/{source.repository}/blob/{source.revision}/docs/x.md"
        assert source.licence


def test_an_unknown_corpus_is_reported_with_the_known_ones() -> None:
    with pytest.raises(CorpusUnknown, match="'vivado'; known are openroad, orfs"):
        find_source("vivado", load_sources())


@for_each(
    ("path", "pattern", "matches"),
    [
        ("docs/a.md", "docs/**/*.md", True),
        ("docs/x/y/a.md", "docs/**/*.md", True),
        ("docs/x/a.md", "docs/*.md", False),
        ("src/grt/README.md", "src/*/README.md", True),
        ("src/a/b/README.md", "src/*/README.md", False),
        ("README.md", "README.md", True),
        ("x/README.md", "README.md", False),
    ],
)
def test_patterns_match_whole_segments(path: str, pattern: str, matches: bool) -> None:
    assert match_path(path, pattern) is matches


def test_checksum_is_over_sorted_paths_and_contents() -> None:
    by_hand = hashlib.sha256(b"a\x003\x00onebb\x000\x00").hexdigest()
    assert tree_checksum({"bb": b"", "a": b"one"}) == by_hand
    assert tree_checksum({"a": b"one"}) != tree_checksum({"ao": b"ne"})


@pytest.mark.parametrize("top", ["", "./", "tool-abc123/"])
def test_a_mirror_archive_is_taken_with_or_without_a_top_folder(tmp_path: Path, top: str) -> None:
    write_archive(tmp_path / "mirror" / "tool.tar.gz", FILES, top)
    record = fetch_corpus(SOURCE, tmp_path / "home", mirror=tmp_path / "mirror", host="http://127.0.0.1:9")
    folder = corpus_dir(tmp_path / "home", "tool")
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == {
        *SELECTED,
        "fetched.json",
    }
    assert (record.files, record.checksum) == (2, SOURCE.checksum)
    assert read_fetched(tmp_path / "home", "tool") == record


def test_the_host_gives_the_archive_of_the_revision(tmp_path: Path, host: tuple[str, Path]) -> None:
    address, folder = host
    write_archive(folder / "org" / "tool" / "archive" / "abc123.tar.gz", FILES, "tool-abc123/")
    record = fetch_corpus(SOURCE, tmp_path / "home", mirror=None, host=address)
    assert record.origin == f"{address}/org/tool/archive/abc123.tar.gz"
    assert (corpus_dir(tmp_path / "home", "tool") / "docs/a/b.md").read_bytes() == FILES["docs/a/b.md"]


def test_fetching_again_needs_neither_mirror_nor_host(tmp_path: Path) -> None:
    write_archive(tmp_path / "mirror" / "tool.tar.gz", FILES)
    first = fetch_corpus(SOURCE, tmp_path / "home", mirror=tmp_path / "mirror")
    assert fetch_corpus(SOURCE, tmp_path / "home", mirror=None, host="http://127.0.0.1:9") == first


def test_a_new_pin_replaces_the_old_files(tmp_path: Path) -> None:
    write_archive(tmp_path / "mirror" / "tool.tar.gz", FILES)
    fetch_corpus(SOURCE, tmp_path / "home", mirror=tmp_path / "mirror")
    write_archive(tmp_path / "mirror" / "tool.tar.gz", {"README.md": b"new"})
    fetch_corpus(
        replace(SOURCE, revision="def", checksum=tree_checksum({"README.md": b"new"})),
        tmp_path / "home",
        mirror=tmp_path / "mirror",
    )
    folder = corpus_dir(tmp_path / "home", "tool")
    assert (folder / "README.md").read_bytes() == b"new"
    assert not (folder / "docs").exists()


def test_another_content_is_refused_with_both_checksums_and_leaves_nothing(tmp_path: Path) -> None:
    write_archive(tmp_path / "mirror" / "tool.tar.gz", {**FILES, "README.md": b"tampered"})
    with pytest.raises(ChecksumMismatch) as caught:
        fetch_corpus(SOURCE, tmp_path / "home", mirror=tmp_path / "mirror")
    assert SOURCE.checksum in str(caught.value)
    assert tree_checksum({**SELECTED, "README.md": b"tampered"}) in str(caught.value)
    assert list((tmp_path / "home" / "corpora").iterdir()) == []


def test_a_hostile_archive_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    write_archive(tmp_path / "mirror" / "tool.tar.gz", {**FILES, "../../evil.md": b"x"})
    with pytest.raises(ArchiveUnsafe):
        fetch_corpus(SOURCE, tmp_path / "home", mirror=tmp_path / "mirror")
    assert list((tmp_path / "home" / "corpora").iterdir()) == []
    assert not list(tmp_path.rglob("evil.md"))


def test_an_unreachable_host_says_how_to_use_a_mirror(tmp_path: Path) -> None:
    with pytest.raises(
        CorpusUnavailable, match=r"cannot be reached.*put tool\.tar\.gz into a folder.*--mirror DIR or CHIPALIGN_MIRROR"
    ):
        fetch_corpus(SOURCE, tmp_path / "home", host="http://127.0.0.1:9")


def test_a_missing_revision_is_reported_with_the_hosts_answer(tmp_path: Path, host: tuple[str, Path]) -> None:
    with pytest.raises(CorpusUnavailable, match="answers 404"):
        fetch_corpus(SOURCE, tmp_path / "home", host=host[0])


def test_a_mirror_that_is_not_a_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(CorpusUnavailable, match="is not a folder"):
        fetch_corpus(SOURCE, tmp_path / "home", mirror=tmp_path / "nowhere")


def test_a_damaged_record_counts_as_not_fetched(tmp_path: Path) -> None:
    folder = corpus_dir(tmp_path, "tool")
    folder.mkdir(parents=True)
    (folder / "fetched.json").write_text("{half")
    assert read_fetched(tmp_path, "tool") is None


def to_regex(pattern: str) -> str:
    """The same glob as a regular expression, made in another way."""
    parts = []
    for part in pattern.split("/"):
        parts.append(
            "(?:[^/]*/)*"
            if part == "**"
            else "".join("[^/]*" if sign == "*" else re.escape(sign) for sign in part) + "/"
        )
    return "".join(parts)


SEGMENTS = st.lists(st.text(alphabet="ab.", min_size=1, max_size=3), min_size=1, max_size=4)
NAMES = st.text(alphabet="ab.*", min_size=1, max_size=3).filter(lambda part: part != "**")
PATTERNS = st.lists(st.one_of(st.just("**"), NAMES), min_size=1, max_size=4)


@given(SEGMENTS, PATTERNS)
def test_a_pattern_matches_what_the_regular_expression_of_it_matches(segments: list[str], patterns: list[str]) -> None:
    pattern = "/".join(patterns)
    assert match_path("/".join(segments), pattern) is bool(re.fullmatch(to_regex(pattern), "/".join(segments) + "/"))


@given(st.dictionaries(st.text(alphabet="ab/", min_size=1, max_size=4), st.binary(max_size=6), max_size=4), st.data())
def test_the_checksum_distinguishes_any_two_trees_and_knows_no_order(
    files: dict[str, bytes], data: st.DataObject
) -> None:
    shuffled = dict(data.draw(st.permutations(list(files.items()))))
    assert tree_checksum(shuffled) == tree_checksum(files)
    other = data.draw(
        st.dictionaries(st.text(alphabet="ab/", min_size=1, max_size=4), st.binary(max_size=6), max_size=4)
    )
    assert (tree_checksum(other) == tree_checksum(files)) is (other == files)
