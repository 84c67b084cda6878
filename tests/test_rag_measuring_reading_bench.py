"""rag.measuring.reading_bench: what is measured can be read, of every kind; how fast it is, nobody promises here."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.formats.parser import read_file
from rag.measuring.reading_bench import SECTIONS, cpu_s, make_content, measure_reading
from rag.settings import RagSettings
from tests.rows import for_each
from tests.tiny_embedder import TinyEmbedder


@for_each("kind", SECTIONS)
def test_a_made_document_is_read_and_as_large_as_it_should_be(kind: str) -> None:
    content = make_content(kind, 4000)
    assert 4000 <= len(content) < 9000
    assert read_file(kind if "." in kind else f"document.{kind}", content)[1].blocks


def test_a_small_run_measures_each_size() -> None:
    shown: list[str] = []
    settings = RagSettings(home=Path("unused"))
    found = measure_reading(TinyEmbedder(), settings, ["md"], [0.01, 0.02], lambda kind, _: shown.append(kind))
    assert shown == list(found) == ["md"]
    small, large = found["md"]
    assert large["bytes"] == pytest.approx(2 * small["bytes"], rel=0.2)
    assert large["chunks"] > small["chunks"] > 0
    assert large["mb_per_s"] > 0
    assert cpu_s() > 0
