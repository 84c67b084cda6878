"""rag.index.index_stats: counts against what was indexed, and the forms in which they are shown."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rag.documents import Skipped
from rag.errors import OutputUnwritable
from rag.formats.parser import parse_document
from rag.index.building import build_index
from rag.index.index_stats import (
    IndexStats,
    TypeStats,
    count_lengths,
    count_pages,
    describe_age,
    describe_bytes,
    describe_stats,
    draw_lengths,
    measure_index,
    type_of,
)
from rag.index.manifest import About, DenseKind
from rag.settings import RagSettings
from tests.rows import for_each
from tests.tiny_embedder import DIMENSION, TinyEmbedder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    texts = {
        "a.md": "# A\n\nShort.\n",
        "b.md": "# B\n\n" + "Longer words. " * 20 + "\n",
        "c.rst": "C\n=\n\nOther words.\n",
    }
    documents = [parse_document("tool@2.0", path, path, text, None, "ISC", "2.0") for path, text in texts.items()]
    documents.append(parse_document("other", "d.txt", "D", "Plain words.\n", None, "MIT"))
    skipped = [Skipped(f"tool@2.0/{number}.png", "not a type") for number in range(25)]
    build_index(documents, folder, RagSettings(home=Path("unused")), TinyEmbedder(), skipped=skipped)
    return folder


@pytest.fixture(scope="module")
def stats(folder: Path) -> IndexStats:
    return measure_index(folder)


def test_it_counts_what_was_indexed(folder: Path, stats: IndexStats) -> None:
    assert (stats.documents, stats.chunks) == (4, sum(entry.chunks for entry in stats.collections.values()))
    assert stats.types == {"Markdown": 2, "text": 1, "reStructuredText": 1}
    tool = stats.collections["tool@2.0"]
    assert (tool.documents, tool.version, tool.licences, tool.skipped_count) == (3, "2.0", ("ISC",), 25)
    assert tool.vector_bytes == tool.chunks * DIMENSION * 4
    assert sum(entry.text_bytes for entry in stats.collections.values()) == stats.files["chunks.jsonl"]
    assert stats.bytes == sum(path.stat().st_size for path in folder.glob("generation-*/*"))
    assert stats.chunk_lengths["shortest"] == len("Short.")
    assert sum(count for _, _, count in stats.histogram) == stats.chunks


def test_types_say_how_much_of_each_was_read(tmp_path: Path) -> None:
    documents = [parse_document("notes", name, name, "# A\n\nText.\n", None, "ISC") for name in ("a.md", "b.md")]
    skipped = [
        Skipped("notes/a.md", "read in part: pages 3-5, 17 cannot be read"),
        Skipped(
            "notes/b.md", "read in part: pages 1-2, 6 cannot be read; of page 9 the pictures are not read: run OCR"
        ),
        Skipped("notes/b.md", "read as windows-1252"),
        Skipped("notes/c.md", "empty"),
        Skipped("notes/d.xyz", "not a type"),
        Skipped("notes/*.ps", "41 files: not a type of document that is read (.ps): a.ps, b.ps, ..."),
        Skipped("notes/e.inc.rst", "stands whole in a.rst, which includes it"),
    ]
    about = {"notes": About("CAD team", ranks_lower=True)}
    build_index(documents, tmp_path, RagSettings(home=Path("unused")), TinyEmbedder(), skipped=skipped, about=about)
    stats = measure_index(tmp_path)
    assert stats.by_type == {
        "Markdown": TypeStats(2, 2, in_part=2, encoding_guessed=1, not_read=1, pages_unread=8, copies=1),
        ".xyz": TypeStats(0, 0, 0, 0, not_read=1),
        ".ps": TypeStats(0, 0, 0, 0, not_read=41),
        "reStructuredText": TypeStats(0, 0, 0, 0, not_read=0, included=1),
    }
    assert stats.reasons["read in part: pages N cannot be read"] == stats.reasons["read as windows-1252"] == 1
    assert stats.reasons["not a type of document that is read"] == 41
    text = describe_stats(stats)
    assert text.index("notes/c.md: empty") < text.index("notes/*.ps")
    assert "not stated" not in text
    assert "ISC, owner CAD team, ranks lower" in text


@for_each(
    ("reason", "pages"),
    [
        ("read in part: of pages 4-32 the pictures are not read: run text recognition (OCR)", 29),
        ("read in part: page 7 cannot be read", 1),
        ("read in part: pages 1, 3, 5 and more, 812 in all cannot be read", 812),
        ("read in part: its first 20000 rows", 0),
        ("read as windows-1252", 0),
    ],
)
def test_the_pages_that_a_reason_names_are_counted(reason: str, pages: int) -> None:
    assert count_pages(reason) == pages


def test_age_counts_from_the_build(folder: Path, stats: IndexStats) -> None:
    later = datetime.fromisoformat(stats.created) + timedelta(hours=50)
    assert measure_index(folder, now=later).age_s == 50 * 3600


def test_the_text_names_collections_failures_and_lengths(stats: IndexStats) -> None:
    text = describe_stats(stats)
    assert "dense search exact (flat)" in text
    assert (
        "not read, read in part, or read in an encoding that was guessed: 25 files\n"
        "     25 not a type\n\n  tool@2.0/0.png: not a type" in text
    )
    assert "tool@2.0/19.png" in text
    assert "tool@2.0/20.png" not in text
    assert "--json lists them" in text
    assert "█" in text
    coded = describe_stats(replace(stats, dense=DenseKind("pq", 1024, 0.998)))
    assert "by codes (pq, 1024 vectors compared), recall@10 0.998 of exact search" in coded


def test_the_picture_is_a_png_that_is_not_empty(stats: IndexStats, tmp_path: Path) -> None:
    draw_lengths(stats, tmp_path / "lengths")
    with Image.open(tmp_path / "lengths") as picture:
        assert (picture.format, picture.width > 800) == ("PNG", True)
        assert len(picture.convert("L").getcolors() or ()) > 2
    with pytest.raises(OutputUnwritable, match="cannot be written"):
        draw_lengths(stats, tmp_path)


@given(st.lists(st.integers(0, 200_000), min_size=1))
def test_the_histogram_counts_every_length_in_few_equal_steps(lengths: list[int]) -> None:
    histogram = count_lengths(lengths)
    assert len(histogram) <= 16
    assert histogram[0][0] == 0
    assert [high for _, high, _ in histogram[:-1]] == [low for low, _, _ in histogram[1:]]
    for low, high, count in histogram:
        assert count == sum(low <= length < high for length in lengths)


@for_each(
    ("path", "kind"),
    [
        ("a/B.MD", "Markdown"),
        ("x.sv", "SystemVerilog"),
        ("yosys.1", "man page"),
        ("core", "no suffix"),
        ("a.xyz", ".xyz"),
    ],
)
def test_types_follow_the_suffix(path: str, kind: str) -> None:
    assert type_of(path) == kind


def test_sizes_and_ages_are_in_units_that_people_read() -> None:
    assert [describe_bytes(count) for count in (999, 1500, 24_100_000, 3 * 10**9)] == [
        "999 B",
        "1.5 kB",
        "24.1 MB",
        "3.0 GB",
    ]
    assert [describe_age(seconds) for seconds in (5, 60, 7199, 7200, 86400, 864000)] == [
        "less than a minute",
        "1 minute",
        "1 hour",
        "2 hours",
        "1 day",
        "10 days",
    ]
