"""rag.sources.parsed_cache: a file is parsed once per content, and a broken cache only costs time."""

from __future__ import annotations

import os
import time
from pathlib import Path

from rag.blocks import Block, Parsed
from rag.documents import Skipped
from rag.settings import RagSettings
from rag.sources.parsed_cache import MAX_AGE_DAYS, ParsedCache
from rag.sources.reader import read_source

PARSED = Parsed("Manual", (Block("prose", "text", ("A",), 3),), "pages 4 cannot be read")


def test_what_was_written_is_read_for_the_same_name_and_content_alone(tmp_path: Path) -> None:
    cache = ParsedCache(tmp_path / "parsed")
    assert cache.read("a.pdf", b"content") is None
    cache.write("a.pdf", b"content", PARSED)
    assert cache.read("a.pdf", b"content") == PARSED
    assert cache.read("a.pdf", b"other") is None
    assert cache.read("b.pdf", b"content") is None  # a title may come from the name


def test_a_damaged_entry_counts_as_none(tmp_path: Path) -> None:
    cache = ParsedCache(tmp_path)
    cache.write("a.pdf", b"content", PARSED)
    (entry,) = tmp_path.iterdir()
    for damage in ("", "{", "[]", '{"title": "x"}', entry.read_text()[:-5]):
        entry.write_text(damage)
        assert cache.read("a.pdf", b"content") is None


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = ParsedCache(tmp_path / "file" / "parsed")
    cache.write("a.pdf", b"content", PARSED)
    assert cache.read("a.pdf", b"content") is None
    none = ParsedCache(None)
    none.write("a.pdf", b"content", PARSED)
    none.remove_old()
    assert none.read("a.pdf", b"content") is None


def test_old_entries_are_removed_and_used_ones_are_kept(tmp_path: Path) -> None:
    cache = ParsedCache(tmp_path)
    cache.write("old.pdf", b"1", PARSED)
    cache.write("used.pdf", b"2", PARSED)
    past = time.time() - (MAX_AGE_DAYS + 1) * 86_400
    for path in tmp_path.iterdir():
        os.utime(path, (past, past))
    assert cache.read("used.pdf", b"2") == PARSED
    cache.remove_old()
    assert (cache.read("old.pdf", b"1"), cache.read("used.pdf", b"2")) == (None, PARSED)


def test_the_reader_takes_a_known_page_from_the_cache_and_reads_a_changed_one(tmp_path: Path) -> None:
    settings = RagSettings(home=tmp_path / "home")
    page = tmp_path / "docs" / "a.html"
    page.parent.mkdir()
    page.write_bytes(b"<p>One.")
    skipped: list[Skipped] = []
    (first,) = read_source(page.parent, "docs", skipped, settings=settings)
    (entry,) = (settings.home / "parsed").iterdir()
    entry.write_text(entry.read_text().replace("One.", "From the cache."))
    (second,) = read_source(page.parent, "docs", skipped, settings=settings)
    assert second.text == first.text.replace("One.", "From the cache.")
    page.write_bytes(b"<p>Two.")
    (third,) = read_source(page.parent, "docs", skipped, settings=settings)
    assert third.text == first.text.replace("One.", "Two.")


def test_without_settings_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_bytes(b"<p>One.")
    assert len(list(read_source(tmp_path, "docs", []))) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]
