"""rag.index.cutting: real children cut as the chunker does, within their limits, and name what they cannot cut."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rag.blocks import Block
from rag.documents import Document
from rag.embedding.embedder import Embedder
from rag.errors import CuttingFailed
from rag.formats.parser import parse_document
from rag.index.chunker import chunk_document
from rag.index.cutting import Cutter
from rag.settings import RagSettings
from tests.tiny_embedder import TinyEmbedder

SETTINGS = RagSettings(home=Path("unused"), parse_workers=1)
SIZES = SETTINGS.chunk_tokens, SETTINGS.overlap_tokens


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder.find(SETTINGS.embedder)


@pytest.fixture(scope="module")
def cutter(embedder: Embedder) -> Iterator[Cutter]:
    with Cutter(embedder, SETTINGS) as opened:
        yield opened


def document(text: str, name: str = "a.md") -> Document:
    return parse_document("docs", name, "Title", text, None, "ISC")


LONG = document(
    "# Title\n\n" + "".join(f"## Part {n}\n\nThe net {n} is routed by µ and °. " * 9 + "\n\n" for n in range(9))
)


def test_a_child_cuts_as_the_chunker_does(cutter: Cutter, embedder: Embedder) -> None:
    paged = replace(LONG, blocks=tuple(replace(block, page=3) for block in LONG.blocks))
    empty = replace(LONG, blocks=())
    for one in (LONG, paged, empty):
        assert cutter.cut(one) == chunk_document(one, embedder.count_tokens, *SIZES)


def test_what_cannot_be_cut_is_named_and_the_next_one_is_cut(cutter: Cutter) -> None:
    half = replace(LONG, blocks=(Block("prose", "half a pair \ud800 of signs " * 99, ()),))
    first, second, third = cutter.cut_all([LONG, half, LONG])
    assert isinstance(second, CuttingFailed)
    assert "it cannot be cut (" in str(second)
    assert first == third == cutter.cut(LONG)


def test_a_child_that_is_killed_is_named_and_another_takes_its_place(cutter: Cutter) -> None:
    cutter.cut(LONG)
    assert cutter._pool
    (child,) = cutter._pool._idle
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    with pytest.raises(CuttingFailed, match="SIGKILL"):
        cutter.cut(LONG)
    assert cutter.cut(LONG)


def test_the_limits_of_time_and_memory_are_named_with_their_settings(embedder: Embedder) -> None:
    words = replace(LONG, blocks=(Block("prose", "some words " * 2_000_000, ()),))
    late = r"cutting it takes longer than 0.2 s \(CHIPALIGN_PARSE_TIMEOUT_S\)"
    hasty = replace(SETTINGS, parse_timeout_s=0.2, parse_s_per_mb=0)
    with Cutter(embedder, hasty) as cutter, pytest.raises(CuttingFailed, match=late):
        cutter.cut(words)
    many = replace(LONG, blocks=(Block("prose", "x" * (60 * 2**20), ()),))
    large = r"more memory than allowed \(CHIPALIGN_PARSE_MEMORY_MB\)|crashed"
    with Cutter(embedder, replace(SETTINGS, parse_memory_mb=256)) as cutter, pytest.raises(CuttingFailed, match=large):
        cutter.cut(many)


def test_an_embedder_that_only_counts_itself_is_asked_here() -> None:
    with Cutter(TinyEmbedder(), SETTINGS) as opened:
        assert opened.cut(LONG) == chunk_document(LONG, TinyEmbedder().count_tokens, *SIZES)
