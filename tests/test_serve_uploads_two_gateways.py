"""Two gateways with one store, home and index, as behind a load balancer: what the one does, the other knows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any

import httpx
import openai
import pytest

import serve.uploads.builder
from serve.settings import ServeSettings
from tests.conftest import Gateway, OpenAIAt
from tests.fake_engine import FakeEngine
from tests.uploading import uploading_gateway

PATIENCE_S = 30.0
Pair = tuple[Any, Any]


@pytest.fixture
def pair(
    gateway_at: Gateway,
    engine: FakeEngine,
    openai_at: OpenAIAt,
    store_settings: ServeSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Pair]:
    """A client of each gateway."""
    monkeypatch.setattr(serve.uploads.builder, "POLL_S", 0.3)
    monkeypatch.setattr(serve.uploads.builder, "BUSY_S", 0.1)
    home = store_settings.home
    shared: dict[str, Any] = {"store_url": store_settings.store_url, "feedback": "words"}
    with ExitStack() as stack:
        urls = [stack.enter_context(uploading_gateway(gateway_at, engine.url, home, **shared)) for _ in range(2)]
        first, second = (openai_at(url) for url in urls)
        yield first, second


def wait_for(happened: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := happened()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return found


def upload(client: Any, word: str) -> str:
    content = f"# {word}\n\nIt is about {word}.\n".encode()
    file_id: str = client.files.create(file=(f"{word}.md", content), purpose="assistants").id
    return file_id


def found(client: Any, store_id: str) -> list[str]:
    return sorted(hit.filename for hit in client.vector_stores.search(store_id, query="about", max_num_results=50))


def is_whole(client: Any, store_id: str, names: list[str]) -> bool:
    completed: int = client.vector_stores.retrieve(store_id).file_counts.completed
    return completed == len(names) and found(client, store_id) == names


def test_what_one_gateway_does_the_other_knows(pair: Pair) -> None:
    first, second = pair
    store = first.vector_stores.create(name="shared")
    file_id = upload(first, "pll")
    assert second.files.content(file_id).content.startswith(b"# pll")
    built = second.vector_stores.files.create_and_poll(file_id, vector_store_id=store.id, poll_interval_ms=50)
    assert built.status == "completed"
    wait_for(lambda: all(found(client, store.id) == ["pll.md"] for client in pair))
    assert first.files.delete(file_id).deleted
    assert found(first, store.id) == []
    wait_for(lambda: found(second, store.id) == [])
    with pytest.raises(openai.NotFoundError):
        second.files.retrieve(file_id)
    assert second.vector_stores.delete(store.id).deleted
    with pytest.raises(openai.NotFoundError):
        first.vector_stores.search(store.id, query="about")


def test_both_receive_and_build_at_once_and_nothing_is_lost_or_built_twice(pair: Pair) -> None:
    store = pair[0].vector_stores.create()
    words = [f"word{number}" for number in range(12)]

    def attach(number: int) -> str:
        client = pair[number % 2]
        file_id = upload(client, words[number])
        client.vector_stores.files.create(store.id, file_id=file_id)
        return file_id

    with ThreadPoolExecutor(6) as threads:
        ids = list(threads.map(attach, range(len(words))))
    assert len(set(ids)) == len(words)
    names = sorted(f"{word}.md" for word in words)
    for client in pair:
        wait_for(partial(is_whole, client, store.id, names))


def test_a_conversation_goes_on_at_the_other_gateway_and_its_answer_is_rated_there(pair: Pair) -> None:
    first, second = pair
    question = "Which edition has the router?"
    response = first.responses.create(model="chipalign-demo", input=question)
    assert second.responses.retrieve(response.id).output_text == response.output_text
    going_on = second.responses.create(model="chipalign-demo", input="And the timer?", previous_response_id=response.id)
    assert going_on.previous_response_id == response.id
    kept = first.conversations.create(items=[{"role": "user", "content": "hello"}])
    within = second.responses.create(model="chipalign-demo", input=question, conversation=kept.id)
    assert within.output[0].id == first.conversations.items.list(kept.id).data[0].id
    assert len(second.conversations.items.list(kept.id).data) == 3
    rated = {"answer_id": response.id, "rating": "up"}
    said = httpx.post(f"{second.base_url}feedback", json=rated, trust_env=False, timeout=PATIENCE_S).json()
    assert (said["kept"], said["question_known"]) == ("words", True)
