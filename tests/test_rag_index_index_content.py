"""rag.index.index_content: what is taken over from the old index, and what is cut and embedded anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.documents import Document, Skipped, searchable_text
from rag.errors import SourceUnusable
from rag.formats.parser import parse_document
from rag.index.building import BuildReport, build_index
from rag.index.index_content import OldIndex, gather, keep
from rag.index.manifest import spec_of
from rag.index.opening import open_index
from rag.settings import RagSettings
from tests.tiny_embedder import TinyEmbedder

SETTINGS = RagSettings(home=Path("unused"))
WORDS = ("antenna", "buffer", "clock", "diode", "hold", "setup", "slack", "via")


class CountingTokens(TinyEmbedder):
    """Counts how often a text's tokens were counted: cutting a document does that, taking its chunks over does not."""

    def __init__(self) -> None:
        super().__init__()
        self.counted = 0

    def count_tokens(self, text: str) -> int:
        self.counted += 1
        return super().count_tokens(text)


def document(name: str, text: str, collection: str = "notes") -> Document:
    return parse_document(collection, f"{name}.md", name.title(), f"# {name.title()}\n\n{text}\n", None, "ISC")


DOCUMENTS = [
    document("antenna", "Diodes discharge the gate."),
    document("hold", "Buffers delay the data."),
    document("via", "A via joins layers."),
]


def build(
    folder: Path, embedder: TinyEmbedder, documents: Sequence[Document], settings: RagSettings = SETTINGS
) -> BuildReport:
    return build_index(documents, folder, settings, embedder)


def check_rows(folder: Path, embedder: TinyEmbedder) -> None:
    """Every row's vector is that of its chunk's text, however it came there."""
    index = open_index(folder)
    for row, chunk in enumerate(index.chunks):
        assert np.allclose(index.dense.vectors([row])[0], embedder.embed([searchable_text(chunk)])[0], atol=1e-6)
        assert index.bm25.scores(chunk.title)[row] > 0


def test_an_unchanged_document_is_neither_cut_nor_embedded_again(tmp_path: Path) -> None:
    embedder = CountingTokens()
    build(tmp_path, embedder, DOCUMENTS)
    changed = [DOCUMENTS[0], document("hold", "Now it speaks of skew."), DOCUMENTS[2]]
    embedder.texts, embedder.counted = [], 0
    only_changed = CountingTokens()
    build(tmp_path / "alone", only_changed, changed[1:2])
    report = build(tmp_path, embedder, changed)
    assert (report.unchanged, report.embedded, report.reused) == (2, 1, 2)
    assert embedder.texts == ["Hold\nNow it speaks of skew."]
    assert embedder.counted == only_changed.counted  # as many as the changed document alone takes
    check_rows(tmp_path, embedder)


def test_what_is_gone_is_gone_and_what_is_new_is_in_its_place(tmp_path: Path) -> None:
    embedder = TinyEmbedder()
    build(tmp_path, embedder, DOCUMENTS)
    report = build(tmp_path, embedder, [document("clock", "A tree of buffers."), *DOCUMENTS[1:]])
    assert (report.documents, report.unchanged, report.embedded) == (3, 2, 1)
    assert [chunk.path for chunk in open_index(tmp_path).chunks] == ["clock.md", "hold.md", "via.md"]
    check_rows(tmp_path, embedder)


def test_a_renamed_document_is_cut_again_but_keeps_its_vectors(tmp_path: Path) -> None:
    embedder = TinyEmbedder()
    build(tmp_path, embedder, DOCUMENTS)
    report = build(tmp_path, embedder, [replace(DOCUMENTS[0], path="moved.md"), *DOCUMENTS[1:]])
    assert (report.unchanged, report.embedded, report.reused) == (2, 0, 3)
    check_rows(tmp_path, embedder)


def test_a_new_version_or_date_reaches_the_chunks_without_embedding(tmp_path: Path) -> None:
    embedder = TinyEmbedder()
    build(tmp_path, embedder, DOCUMENTS)
    report = build(tmp_path, embedder, [replace(one, version="2.0", date="2026-11-24") for one in DOCUMENTS])
    assert (report.unchanged, report.embedded) == (0, 0)
    assert {(chunk.version, chunk.date) for chunk in open_index(tmp_path).chunks} == {("2.0", "2026-11-24")}


def test_the_same_text_is_embedded_once(tmp_path: Path) -> None:
    embedder = TinyEmbedder()
    copies = [replace(DOCUMENTS[0], path=f"{number}.md") for number in range(5)]
    report = build(tmp_path, embedder, copies)
    assert (report.chunks, report.embedded, report.reused) == (5, 1, 4)
    assert len(embedder.texts) == 1
    check_rows(tmp_path, embedder)


def test_other_settings_of_cutting_cut_all_again_and_keep_equal_texts(tmp_path: Path) -> None:
    embedder = TinyEmbedder()
    build(tmp_path, embedder, DOCUMENTS)
    report = build(tmp_path, embedder, DOCUMENTS, replace(SETTINGS, chunk_tokens=100))
    assert (report.up_to_date, report.unchanged, report.embedded) == (False, 0, 0)
    assert open_index(tmp_path).manifest.spec.chunk_tokens == 100


def test_another_embedder_takes_nothing_over(tmp_path: Path) -> None:
    build(tmp_path, TinyEmbedder(), DOCUMENTS)
    report = build(tmp_path, TinyEmbedder("tiny-2"), DOCUMENTS)
    assert (report.unchanged, report.embedded) == (0, 3)


def test_documents_without_text_are_kept_in_mind_but_not_alone(tmp_path: Path) -> None:
    embedder = TinyEmbedder()
    empty = parse_document("notes", "empty.md", "Empty", "<!-- only a remark -->\n", None, "ISC")
    assert build(tmp_path, embedder, [*DOCUMENTS, empty]).documents == 4
    assert build(tmp_path, embedder, [*DOCUMENTS, empty]).up_to_date
    with pytest.raises(SourceUnusable, match="there is no text to index in 1 document"):
        build(tmp_path / "other", embedder, [empty])


def test_keeping_some_documents_needs_no_embedder(tmp_path: Path) -> None:
    build(tmp_path, TinyEmbedder(), DOCUMENTS)
    old = OldIndex.of(open_index(tmp_path), tmp_path)
    content = keep({name: record for name, record in old.records.items() if record.path != "hold.md"}, old)
    assert [chunk.path for chunk in content.chunks] == ["antenna.md", "via.md"]
    assert np.array_equal(content.vectors, np.stack([old.index.dense.vectors([0])[0], old.index.dense.vectors([2])[0]]))
    assert keep({}, old).chunks == []


def test_collections_whose_names_begin_alike_lie_in_one_run_each(tmp_path: Path) -> None:
    embedder = TinyEmbedder()
    names = ("or", "or-flow", "or!", "or@2.0")
    documents = [document(word, "Text.", collection) for word in ("a", "z") for collection in names]
    by_name = {one.name: one for one in documents}
    content = gather(by_name, {}, None, spec_of(SETTINGS, embedder), SETTINGS, embedder, lambda *_: None)
    collections = [chunk.collection for chunk in content.chunks]
    assert collections == sorted(collections)


@settings(deadline=None, max_examples=25)
@given(
    st.lists(
        st.dictionaries(st.sampled_from(WORDS), st.sampled_from(WORDS), min_size=1, max_size=5), min_size=2, max_size=4
    )
)
def test_an_index_brought_up_to_date_is_the_one_built_anew(
    tmp_path_factory: pytest.TempPathFactory, states: list[dict[str, str]]
) -> None:
    folder, embedder = tmp_path_factory.mktemp("synced"), TinyEmbedder()
    for state in states:
        documents = [document(name, f"It is about {word} and {word} alone.") for name, word in state.items()]
        build(folder, embedder, documents)
        fresh_folder = tmp_path_factory.mktemp("fresh")
        build(fresh_folder, TinyEmbedder(), documents)
        synced, fresh = open_index(folder), open_index(fresh_folder)
        assert list(synced.chunks) == list(fresh.chunks)
        assert np.allclose(
            synced.dense.vectors(range(len(synced.chunks))), fresh.dense.vectors(range(len(fresh.chunks))), atol=1e-6
        )
        assert synced.bm25.search("about", 9) == fresh.bm25.search("about", 9)


class Stumbling(TinyEmbedder):
    """Fails to count a text of a certain word, as a tokenizer might that meets what nobody foresaw."""

    def count_tokens(self, text: str) -> int:
        if "stumble" in text:
            raise RecursionError("too deep")
        return super().count_tokens(text)


def test_a_document_that_cannot_be_cut_is_named_and_the_others_are_indexed(tmp_path: Path) -> None:
    bad = document("bad", "Here they stumble.")
    skipped: list[Skipped] = []
    report = build_index([*DOCUMENTS, bad], tmp_path, SETTINGS, Stumbling(), skipped=skipped)
    assert report.documents == len(DOCUMENTS)
    assert skipped == [Skipped("notes/bad.md", "it cannot be cut (RecursionError: too deep)")]
    assert open_index(tmp_path).manifest.collections["notes"].skipped == (("notes/bad.md", skipped[0].reason),)
    again: list[Skipped] = []
    assert build_index([*DOCUMENTS, bad], tmp_path, SETTINGS, Stumbling(), skipped=again).up_to_date
    assert again == skipped
    with pytest.raises(SourceUnusable, match=r"notes/bad\.md: it cannot be cut"):
        build_index([bad], tmp_path / "other", SETTINGS, Stumbling())


def test_a_document_that_takes_too_long_to_cut_is_named(tmp_path: Path) -> None:
    long = document("long", "Word after word. " * 400_000)
    skipped: list[Skipped] = []
    build_index(
        [*DOCUMENTS, long],
        tmp_path,
        replace(SETTINGS, parse_timeout_s=0.1, parse_s_per_mb=0),
        TinyEmbedder(),
        skipped=skipped,
    )
    assert skipped == [Skipped("notes/long.md", "cutting it takes longer than 0.1 s (CHIPALIGN_PARSE_TIMEOUT_S)")]
