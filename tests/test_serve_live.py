"""A gateway on a real socket whose index is built again, taken apart and damaged while it answers."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from rag.formats.parser import parse_document
from rag.index.building import build_index, remove_collections
from rag.index.manifest import MANIFEST
from rag.search.live import LiveRetriever
from rag.search.retriever import Retriever
from rag.settings import RagSettings
from tests.attack import Attack
from tests.conftest import Gateway
from tests.fake_engine import FakeEngine
from tests.tiny_embedder import TinyEmbedder

TINY = RagSettings(home=Path("unused"), min_relevance=0.0, min_hit_score=-1.0)
CHANGED_WITHIN_S = 5.0  # what is promised, of a machine that does nothing else
PATIENCE_S = 30.0
CLIENTS = 4


def build(folder: Path, edition: int, *collections: str) -> None:
    documents = [
        parse_document(
            name,
            f"{number}.md",
            f"edition {edition}",
            f"# {name} {number}\n\nThe {name} repairs antennas.\n",
            None,
            "ISC",
        )
        for name in collections
        for number in range(3)
    ]
    build_index(documents, folder, TINY, TinyEmbedder())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    build(tmp_path / "index", 0, "handbook", "router")
    return tmp_path / "index"


@contextmanager
def live_gateway(gateway_at: Gateway, engine: FakeEngine, folder: Path) -> Iterator[httpx.Client]:
    """A client of a gateway that watches the folder."""
    live = LiveRetriever(folder, TINY, Retriever.open_with(TinyEmbedder(), folder, TINY))
    with (
        live.watched(),
        gateway_at(engine.url, newest=live.current) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=30) as client,
    ):
        yield client


def ask(client: httpx.Client, text: str = "Which tool repairs antennas?") -> httpx.Response:
    question = {"messages": [{"role": "user", "content": text}], "retrieval": {"top_k": 10}}
    return client.post("/v1/chat/completions", json=question)


def hits(client: httpx.Client) -> list[dict[str, Any]]:
    answer = ask(client)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["retrieval"]["hits"]
    return found


def is_searched(client: httpx.Client, edition: int) -> bool:
    return {hit["title"] for hit in hits(client)} == {f"edition {edition}"}


def wait_for(happened: Callable[[], bool]) -> float:
    """Seconds until it happened."""
    started = time.monotonic()
    while not happened():
        assert time.monotonic() < started + PATIENCE_S, "it did not happen in time"
        time.sleep(0.05)
    return time.monotonic() - started


class Load:
    """Clients that ask all the time; `failures` says what an answer must not be."""

    def __init__(self, client: httpx.Client, clients: int = CLIENTS) -> None:
        self._url = str(client.base_url)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]
        self.failures: list[str] = []
        self.asked = 0

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _ask(self) -> None:
        with httpx.Client(base_url=self._url, trust_env=False, timeout=30) as client:
            while not self._stop.is_set():
                answer = ask(client)
                self.asked += 1
                if answer.status_code != 200:
                    self.failures.append(answer.text)
                    continue
                editions = {hit["title"] for hit in answer.json()["retrieval"]["hits"]}
                if len(editions) != 1:
                    self.failures.append(f"an answer of {sorted(editions)}")


@pytest.mark.attack
def test_under_load_every_new_index_is_served_whole_and_no_question_fails(
    attack: Attack, gateway_at: Gateway, engine: FakeEngine, folder: Path
) -> None:
    times = []
    with live_gateway(gateway_at, engine, folder) as client, Load(client) as load:
        removed = next(hit["chunk_id"] for hit in hits(client) if hit["collection"] == "handbook")
        assert client.get(f"/sources/{removed}").status_code == 200
        remove_collections(["handbook"], folder)
        times.append(wait_for(lambda: {hit["collection"] for hit in hits(client)} == {"router"}))
        assert client.get(f"/sources/{removed}").status_code == 404
        assert client.get("/ready").json()["index"] == "3 passages from router"
        for edition in range(1, attack.times(3, full=40) + 1):
            build(folder, edition, "router", *[f"tool{number}" for number in range(edition % 3)])
            times.append(wait_for(partial(is_searched, client, edition)))
            assert client.get(f"/sources/{removed}").status_code == 404
    assert load.asked > len(times)
    assert max(times) < (CHANGED_WITHIN_S if attack.is_full else PATIENCE_S)
    attack.report("answers while the index is built again", load.asked, load.failures)


def test_with_the_last_collection_no_passage_is_found_any_more(
    gateway_at: Gateway, engine: FakeEngine, folder: Path
) -> None:
    with live_gateway(gateway_at, engine, folder) as client:
        remove_collections(["handbook", "router"], folder)
        wait_for(lambda: client.get("/ready").json()["index"] == "no passages: the last collection was removed")
        assert client.get("/ready").status_code == 200
        answer = ask(client).json()
        assert answer["retrieval"]["hits"] == []
        assert "handbook" not in answer["choices"][0]["message"]["content"]
        assert engine.bodies == []
        build(folder, 1, "router")
        wait_for(lambda: client.get("/ready").json()["index"] == "3 passages from router")


def test_an_index_that_cannot_be_searched_is_503_with_the_reason_until_it_can(
    gateway_at: Gateway, engine: FakeEngine, folder: Path
) -> None:
    with live_gateway(gateway_at, engine, folder) as client:
        chunk_id = hits(client)[0]["chunk_id"]
        whole = (folder / MANIFEST).read_bytes()
        (folder / MANIFEST).write_text("{half")
        wait_for(lambda: client.get("/ready").json()["status"] == "degraded")
        answer = ask(client)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "retrieval_unavailable")
        assert "manifest.json is not a manifest" in answer.json()["error"]["message"]
        assert client.get("/ready").status_code == client.get(f"/sources/{chunk_id}").status_code == 503
        (folder / MANIFEST).write_bytes(whole)
        wait_for(lambda: ask(client).status_code == 200)
        assert client.get("/ready").json()["status"] == "ready"


def test_an_index_that_is_damaged_while_it_is_open_is_503_with_the_reason(
    gateway_at: Gateway, engine: FakeEngine, folder: Path
) -> None:
    with live_gateway(gateway_at, engine, folder) as client:
        chunk_id = hits(client)[0]["chunk_id"]
        path = next(folder.rglob("chunks.jsonl"))
        with path.open("r+b") as handle:  # in its place, as a failing disk does it
            handle.write(b"?" * path.stat().st_size)
        for answer in (ask(client), client.get(f"/sources/{chunk_id}")):
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "retrieval_unavailable")
            assert "is not a chunk" in answer.json()["error"]["message"]


STREAMING = 8
SWAPS = 20


class Streams(Load):
    """Clients that stream; an answer may not be older than what was acknowledged before it was asked for."""

    acknowledged = 0

    def _ask(self) -> None:
        question = {
            "messages": [{"role": "user", "content": "Which tool repairs antennas?"}],
            "retrieval": {"top_k": 10},
            "stream": True,
        }
        with httpx.Client(base_url=self._url, trust_env=False, timeout=60) as client:
            while not self._stop.is_set():
                least = self.acknowledged
                answer = client.post("/v1/chat/completions", json=question)
                self.asked += 1
                events = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
                if answer.status_code != 200 or events[-1] != "[DONE]":
                    self.failures.append(answer.text)
                    continue
                titles = {hit["title"] for hit in json.loads(events[0])["retrieval"]["hits"]}
                [edition] = titles if len(titles) == 1 else ["edition -1"]
                if int(edition.split()[1]) < least:
                    self.failures.append(f"{sorted(titles)} after edition {least} was acknowledged")


def test_no_stream_fails_or_is_stale_while_the_index_is_swapped_twenty_times(
    gateway_at: Gateway, engine: FakeEngine, folder: Path
) -> None:
    live = LiveRetriever(folder, TINY, Retriever.open_with(TinyEmbedder(), folder, TINY))
    corpora = ("router", "timer", "placer", "handbook", "checker")
    with live.watched(), gateway_at(engine.url, newest=live.current) as url:
        with httpx.Client(base_url=url, trust_env=False) as client, Streams(client, STREAMING) as streams:
            for edition in range(1, SWAPS + 1):
                build(folder, edition, *corpora)
                live.look()  # what a signal has the gateway do, and what it does before it says that a file is built
                streams.acknowledged = edition
        assert streams.failures == []
        assert streams.asked >= STREAMING
