"""GET /v1/search on a real socket: hits as beside an answer, refusals in words, wrong parameters in the envelope."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from rag.errors import EmbedderUnavailable
from rag.search.retriever import Retriever
from tests.conftest import Gateway, free_port
from tests.fake_engine import FakeEngine
from tests.rows import for_each

QUESTION = "Which command fixes antenna violations?"


@pytest.fixture(scope="module")
def url(gateway_at: Gateway) -> Iterator[str]:
    """A gateway whose engine is down: a search needs none."""
    with gateway_at(f"http://127.0.0.1:{free_port()}") as address:
        yield address


def ask(url: str, **parameters: Any) -> httpx.Response:
    return httpx.get(f"{url}/v1/search", params=parameters, timeout=20)


def test_a_search_gives_the_hits_that_stand_beside_an_answer(gateway: str, engine: FakeEngine) -> None:
    body = {"messages": [{"role": "user", "content": QUESTION}], "retrieval": {"top_k": 2}}
    answer = httpx.post(f"{gateway}/v1/chat/completions", json=body, timeout=20).json()
    found = ask(gateway, q=QUESTION, top_k=2).json()
    assert found["hits"] == answer["retrieval"]["hits"]
    assert found["hits"][0]["title"] == "Antenna repair"
    assert (found["object"], found["query"], found["refused"], found["refusal"]) == ("list", QUESTION, False, None)
    assert len(engine.bodies) == 1  # the search asked it nothing


def test_top_k_says_how_many_hits_and_a_collection_narrows(url: str) -> None:
    assert len(ask(url, q=QUESTION, top_k=1).json()["hits"]) == 1
    assert ask(url, q=QUESTION, collection="notes").json()["hits"] == ask(url, q=QUESTION).json()["hits"]
    unknown = ask(url, q=QUESTION, collection=["notes", "nowhere"])
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (400, "collection_not_found")
    assert "notes" in unknown.json()["error"]["message"]
    assert ask(url, q=QUESTION, collection=["notes"] * 101).json()["error"]["param"] == "collection"


def test_a_query_that_no_document_answers_is_refused_in_words(url: str) -> None:
    found = ask(url, q="What is the best recipe for tomato soup?").json()
    assert (found["refused"], found["hits"]) == (True, [])
    assert "I found nothing about this in the indexed documents (notes)" in found["refusal"]


@for_each("query", ["", " ", "???", "\N{CAT FACE}", "hello"])
def test_a_query_without_words_to_search_for_is_refused(url: str, query: str) -> None:
    response = ask(url, q=query)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "q")
    assert "no words to search for" in response.json()["error"]["message"]


def test_a_missing_query_is_refused_with_an_example(url: str) -> None:
    assert ask(url).json()["error"] == {
        "message": "'q' is missing: give the query, as in /v1/search?q=antenna+repair.",
        "type": "invalid_request_error",
        "param": "q",
        "code": None,
    }


@for_each("top_k", ["0", "51", "-1", "1e1", "three", "", "\u0663", "9" * 5000])
def test_a_number_of_hits_out_of_range_is_refused(url: str, top_k: str) -> None:
    response = ask(url, q=QUESTION, top_k=top_k)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "top_k")
    assert "from 1 to 50" in response.json()["error"]["message"]


def test_an_embedding_server_that_does_not_answer_is_503(gateway_at: Gateway, small_retriever: Retriever) -> None:
    class Down:
        """The index, whose embedding server is down."""

        def __getattr__(self, name: str) -> Any:
            return getattr(small_retriever, name)

        def search(self, query: str, top_k: int = 5) -> list[Any]:
            raise EmbedderUnavailable("http://vectors does not answer")

    with gateway_at(f"http://127.0.0.1:{free_port()}", Down()) as address:
        response = ask(address, q=QUESTION)
    assert (response.status_code, response.json()["error"]["code"]) == (503, "retrieval_unavailable")
    assert "http://vectors" in response.json()["error"]["message"]


def test_searches_are_counted(gateway_at: Gateway, engine: FakeEngine) -> None:
    with gateway_at(engine.url) as address:
        ask(address, q=QUESTION)
        ask(address, q="What is the best recipe for tomato soup?")
        text = httpx.get(f"{address}/metrics").text
    assert 'chipalign_requests_total{path="/v1/search",status="200"} 2.0' in text
    assert 'chipalign_searches_total{found_by="question"} 1.0' in text
    assert 'chipalign_searches_total{found_by="none"} 1.0' in text
