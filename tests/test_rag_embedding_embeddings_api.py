"""rag.embedding.embeddings_api: vectors over a real socket, in both encodings, and everything that a server may answer
instead.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from rag.embedding import embeddings_api
from rag.embedding.embeddings_api import EmbeddingsApi
from rag.errors import EmbedderUnavailable
from tests.conftest import free_port
from tests.fake_embeddings import embeddings_answer, embeddings_of
from tests.fake_openai import Answer, FakeOpenAI
from tests.rows import for_each
from tests.tiny_embedder import DIMENSION, TinyEmbedder

TEXTS = ["hold buffers", "antenna diodes", "clock tree"]


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(
        embeddings_of(TinyEmbedder()), models=[{"id": "tiny", "max_model_len": 64}, {"id": "other"}]
    ) as fake:
        yield fake


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings_api, "PAUSES_S", (0.01, 0.02, 0.03))


def always(status: int, answer: Any) -> Answer:
    """The same answer to everything."""
    return lambda path, body: (status, answer)


def refusal(server: FakeOpenAI, model: str = "tiny") -> str:
    """What is said where embedding one text fails."""
    with pytest.raises(EmbedderUnavailable) as caught:
        EmbeddingsApi(server.url, model, "").embed(["text"])
    return str(caught.value)


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/"])
def test_vectors_have_length_one_and_the_order_of_the_texts(server: FakeOpenAI, ending: str) -> None:
    vectors = EmbeddingsApi(server.url + ending, "tiny", "").embed(TEXTS)
    assert vectors.dtype == np.float32
    assert np.allclose(vectors, TinyEmbedder().embed(TEXTS), atol=1e-6)
    [(path, body)] = server.requests
    assert (path, body["model"], body["input"]) == ("/v1/embeddings", "tiny", TEXTS)


def test_both_encodings_are_read_whatever_was_asked_for(server: FakeOpenAI) -> None:
    expected = TinyEmbedder().embed(TEXTS)
    for encoding in ("base64", "float"):
        server.answer = always(200, embeddings_answer(expected, encoding))
        assert np.allclose(EmbeddingsApi(server.url, "tiny", "").embed(TEXTS), expected, atol=1e-6)


def test_a_server_that_refuses_base64_is_asked_for_numbers_from_then_on(server: FakeOpenAI) -> None:
    real = server.answer

    def answer(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """As a server that knows floats alone."""
        return (
            real(path, body)
            if body["encoding_format"] == "float"
            else (400, {"error": {"message": "encoding_format is not supported"}})
        )

    server.answer = answer
    api = EmbeddingsApi(server.url, "tiny", "")
    assert api.embed(TEXTS).shape == api.embed(TEXTS).shape == (3, DIMENSION)
    assert [body["encoding_format"] for _, body in server.requests] == ["base64", "float", "float"]


def test_the_window_is_the_servers_where_it_states_one(server: FakeOpenAI) -> None:
    assert EmbeddingsApi(server.url, "tiny", "").find_window() == 64
    assert EmbeddingsApi(server.url, "other", "").find_window() is None


def test_an_unknown_model_is_refused_with_those_that_are_served(server: FakeOpenAI) -> None:
    with pytest.raises(
        EmbedderUnavailable, match=r"serves no model 'bert', but other, tiny: set CHIPALIGN_EMBEDDER to openai:MODEL"
    ):
        EmbeddingsApi(server.url, "bert", "").find_window()


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_failure_that_may_pass_is_tried_again(server: FakeOpenAI, status: int) -> None:
    real, calls = server.answer, iter([status, status])

    def answer(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Busy twice."""
        busy = next(calls, None)
        return (busy, {"error": {"message": "busy"}}) if busy else real(path, body)

    server.answer = answer
    assert EmbeddingsApi(server.url, "tiny", "").embed(TEXTS).shape == (3, DIMENSION)
    assert len(server.requests) == 3


def test_tries_have_a_limit_and_the_last_failure_is_reported(server: FakeOpenAI) -> None:
    server.answer = lambda *_: (503, {"error": {"message": "the engine is asleep"}})
    assert "does not answer (status 503: the engine is asleep): is the server up" in refusal(server)
    assert len(server.requests) == 4


def test_a_server_that_is_not_there_is_reported_in_one_sentence() -> None:
    api = EmbeddingsApi(f"http://127.0.0.1:{free_port()}", "tiny", "")
    with pytest.raises(
        EmbedderUnavailable,
        match=r"/v1/models does not answer \(.*refused.*\): is the server up, and is CHIPALIGN_EMBEDDINGS_URL",
    ):
        api.find_window()


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "refuses the key (status 401: no): set CHIPALIGN_EMBEDDINGS_API_KEY"),
        (403, "refuses the key (status 403: no): set CHIPALIGN_EMBEDDINGS_API_KEY"),
        (404, "has no embeddings of 'tiny' (status 404: no): check CHIPALIGN_EMBEDDINGS_URL and the model"),
        (400, "refuses to embed with 'tiny' (status 400: no): does it serve an embedding model?"),
        (500, "refuses to embed with 'tiny' (status 500: no): does it serve an embedding model?"),
    ],
)
def test_a_refusal_is_quoted_with_what_to_do(server: FakeOpenAI, status: int, words: str) -> None:
    server.answer = lambda *_: (status, {"error": {"message": "no"}})
    assert words in refusal(server)
    assert len(server.requests) == 1


def test_a_key_is_sent_and_one_that_cannot_be_is_reported(server: FakeOpenAI) -> None:
    EmbeddingsApi(server.url, "tiny", "s3cret").embed(["text"])
    EmbeddingsApi(server.url, "tiny", "").embed(["text"])
    assert server.keys == ["Bearer s3cret", None]
    with pytest.raises(EmbedderUnavailable, match="CHIPALIGN_EMBEDDINGS_API_KEY holds signs"):
        EmbeddingsApi(server.url, "tiny", "schlüssel")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"<html>a proxy</html>", "does not answer with vectors in OpenAI's format"),
        ({"choices": []}, "does not answer with vectors in OpenAI's format"),
        ({"data": [{"index": 0, "embedding": "no base64!"}]}, "does not answer with vectors in OpenAI's format"),
        ({"data": []}, "answers 1 texts with 0 vectors"),
        ({"data": [{"index": 1, "embedding": [1.0]}]}, "it must give one vector a text"),
        ({"data": [{"index": 0, "embedding": [[1.0, 2.0]]}]}, "1 vectors of the shapes (1, 2)"),
        ({"data": [{"index": 0, "embedding": []}]}, "it must give one vector a text"),
        ({"data": [{"index": 0, "embedding": [0.0, 0.0]}]}, "vectors with no direction"),
        ({"data": [{"index": 0, "embedding": [float("nan"), 1.0]}]}, "vectors with no direction"),
    ],
)
def test_an_answer_of_another_form_is_reported(server: FakeOpenAI, answer: Any, words: str) -> None:
    server.answer = lambda *_: (200, answer)
    assert words in refusal(server)


def test_vectors_of_several_lengths_are_reported(server: FakeOpenAI) -> None:
    data = [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0, 2.0]}]
    server.answer = lambda *_: (200, {"data": data})
    with pytest.raises(
        EmbedderUnavailable, match=r"the shapes \(1,\), \(2,\): it must give one vector a text, all of one length"
    ):
        EmbeddingsApi(server.url, "tiny", "").embed(["a", "b"])


def test_what_the_server_finds_too_long_is_cut_until_it_fits(server: FakeOpenAI) -> None:
    real = server.answer

    def answer(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """As vLLM where a text has more than 1000 letters."""
        too_long = max(map(len, body["input"])) > 1000
        return (
            (400, {"error": {"message": "This model's maximum context length is 256 tokens."}})
            if too_long
            else real(path, body)
        )

    server.answer = answer
    assert EmbeddingsApi(server.url, "tiny", "").embed(["short text", "x" * 3000]).shape == (2, DIMENSION)
    assert server.requests[-1][1]["input"][0] == "short text"
    assert 750 < len(server.requests[-1][1]["input"][1]) <= 1000


def test_a_server_that_finds_everything_too_long_is_reported(server: FakeOpenAI) -> None:
    server.answer = lambda *_: (400, {"error": {"message": "too long"}})
    assert "refuses to embed with 'tiny' (status 400: too long)" in refusal(server)


@for_each("url", ["", "localhost:8000", "ftp://host", "http://", "http://[::1"])
def test_a_wrong_address_is_refused_before_anything_is_asked(url: str) -> None:
    with pytest.raises(EmbedderUnavailable, match="CHIPALIGN_EMBEDDINGS_URL"):
        EmbeddingsApi(url, "tiny", "")


@for_each("models", ["no list", [{"name": "x"}], [{"id": "tiny", "max_model_len": "much"}]])
def test_a_list_of_models_of_another_form_is_reported(models: Any) -> None:
    with (
        FakeOpenAI(lambda *_: (200, {}), models=models) as server,
        pytest.raises(EmbedderUnavailable, match="a list of models in OpenAI's format"),
    ):
        EmbeddingsApi(server.url, "tiny", "").find_window()


def test_many_threads_may_ask_at_once(server: FakeOpenAI) -> None:
    api, results = EmbeddingsApi(server.url, "tiny", ""), {}

    def ask(number: int) -> None:
        """One question of its own."""
        results[number] = api.embed([f"word{number}"])[0]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, vector in results.items():
        assert np.allclose(vector, TinyEmbedder().embed([f"word{number}"])[0], atol=1e-6)
    assert len(results) == 12
