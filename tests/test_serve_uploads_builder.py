"""Builds of uploaded files that fail, wait, are cancelled or killed: what is promised holds, and each says why not."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

import serve.uploads.builder
from rag.embedding.embedder import Embedder
from rag.formats.parser import parse_document
from rag.index.building import build_index
from rag.search.live import LiveRetriever
from rag.settings import RagSettings
from serve.settings import ServeSettings
from serve.store import vector_stores
from serve.store.database import open_database
from serve.uploads.builder import Child
from serve.uploads.jobs import Job, Outcome
from tests.conftest import Gateway, OpenAIAt
from tests.fake_engine import FakeEngine
from tests.uploading import build_sources, builds_here, uploading_gateway

PATIENCE_S = 30.0


class Builds:
    """Builds that a test makes wait or fail; `jobs` are those that were asked for."""

    def __init__(self, home: Path) -> None:
        self._build = builds_here(home)
        self.jobs: list[Job] = []
        self.failures: list[Outcome | Exception] = []  # instead of the next builds
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def __call__(self, job: Job) -> Outcome:
        self.jobs.append(job)
        assert self.may_go_on.wait(PATIENCE_S)
        failure = self.failures.pop(0) if self.failures else None
        if isinstance(failure, Exception):
            raise failure
        return failure or self._build(job)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses as short as a test is patient."""
    monkeypatch.setattr(serve.uploads.builder, "POLL_S", 0.2)
    monkeypatch.setattr(serve.uploads.builder, "BUSY_S", 0.1)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def builds(home: Path) -> Builds:
    return Builds(home)


@contextmanager
def client_of(gateway_at: Gateway, engine: FakeEngine, home: Path, build: Any = None, **changes: Any) -> Iterator[Any]:
    with (
        uploading_gateway(gateway_at, engine.url, home, build, **changes) as url,
        openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=60) as client,
    ):
        yield client


@pytest.fixture
def client(gateway_at: Gateway, engine: FakeEngine, home: Path, builds: Builds, quick: None) -> Iterator[Any]:
    with client_of(gateway_at, engine, home, builds) as connected:
        yield connected


def upload(client: Any, name: str = "a", text: str = "Apples.") -> str:
    file_id: str = client.files.create(file=(f"{name}.md", f"# {name}\n\n{text}\n".encode()), purpose="assistants").id
    return file_id


def wait_for(happened: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := happened()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return found


def status(client: Any, store_id: str, file_id: str) -> str:
    found: str = client.vector_stores.files.retrieve(file_id, vector_store_id=store_id).status
    return found


def is_in_index(home: Path, text: bytes) -> bool:
    return any(text in path.read_bytes() for path in (home / "index").rglob("*") if path.is_file())


def test_files_that_are_attached_together_make_one_build(client: Any, builds: Builds) -> None:
    ids = [upload(client, f"n{number}", f"Number {number}.") for number in range(12)]
    store = client.vector_stores.create(file_ids=ids)
    wait_for(lambda: client.vector_stores.retrieve(store.id).status == "completed")
    assert [len(job.additions) for job in builds.jobs] == [12]


def test_a_build_that_fails_fails_its_files_with_the_reason(client: Any, builds: Builds, home: Path) -> None:
    builds.failures.append(Outcome(error="the index in x cannot be written (No space left on device)"))
    store, file_id = client.vector_stores.create(), upload(client)
    failed = client.vector_stores.files.create_and_poll(file_id, vector_store_id=store.id, poll_interval_ms=50)
    assert (failed.status, failed.last_error.code) == ("failed", "server_error")
    assert "No space left on device" in failed.last_error.message
    assert client.vector_stores.search("router", query="router").data
    again = client.vector_stores.files.create_and_poll(file_id, vector_store_id=store.id, poll_interval_ms=50)
    assert (again.status, again.last_error) == ("completed", None)
    assert is_in_index(home, b"Apples")


def test_files_wait_for_a_build_of_somebody_else(client: Any, builds: Builds) -> None:
    builds.failures += [Outcome(error="another process is building", is_busy=True)] * 3
    store = client.vector_stores.create(file_ids=[upload(client)])
    wait_for(lambda: client.vector_stores.retrieve(store.id).status == "completed")
    assert len(builds.jobs) == 4


def test_a_bug_in_a_round_ends_neither_the_builder_nor_the_wait(
    client: Any, builds: Builds, caplog: pytest.LogCaptureFixture
) -> None:
    builds.failures.append(RuntimeError("nobody foresaw this"))
    with caplog.at_level(logging.ERROR):
        store = client.vector_stores.create(file_ids=[upload(client)])
        wait_for(lambda: client.vector_stores.retrieve(store.id).status == "completed")
    assert "nobody foresaw this" in caplog.text


def test_a_text_that_cannot_be_taken_out_is_hidden_and_taken_out_later(client: Any, builds: Builds, home: Path) -> None:
    store = client.vector_stores.create(file_ids=[upload(client)])
    wait_for(lambda: client.vector_stores.retrieve(store.id).status == "completed")
    builds.failures += [Outcome(error="the disk is read-only")] * 3
    with pytest.raises(openai.InternalServerError, match=r"the disk is read-only.*tries again"):
        client.vector_stores.delete(store.id)
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.search(store.id, query="apples")
    assert client.vector_stores.delete(store.id).deleted
    assert not is_in_index(home, b"Apples")


def test_a_cancelled_batch_leaves_nothing_of_what_was_being_built(client: Any, builds: Builds, home: Path) -> None:
    store = client.vector_stores.create()
    builds.may_go_on.clear()
    ids = [upload(client, name, f"{name} text.") for name in ("first", "second")]
    batch = client.vector_stores.file_batches.create(store.id, file_ids=ids)
    wait_for(lambda: builds.jobs)
    cancelled = client.vector_stores.file_batches.cancel(batch.id, vector_store_id=store.id)
    assert (cancelled.status, cancelled.file_counts.cancelled) == ("cancelled", 2)
    builds.may_go_on.set()
    wait_for(lambda: len(builds.jobs) == 2)
    wait_for(lambda: not is_in_index(home, b"first text"))
    assert [status(client, store.id, each) for each in ids] == ["cancelled", "cancelled"]
    assert client.vector_stores.search(store.id, query="text").data == []
    again = client.vector_stores.files.create_and_poll(ids[0], vector_store_id=store.id, poll_interval_ms=50)
    assert again.status == "completed"


def test_a_file_that_is_deleted_while_it_is_built_is_not_found(client: Any, builds: Builds, home: Path) -> None:
    store = client.vector_stores.create()
    builds.may_go_on.clear()
    file_id = upload(client)
    client.vector_stores.files.create(store.id, file_id=file_id)
    wait_for(lambda: builds.jobs)
    thread = threading.Thread(target=client.files.delete, args=(file_id,))
    thread.start()
    wait_for(lambda: client.vector_stores.retrieve(store.id).file_counts.total == 0)
    builds.may_go_on.set()
    thread.join(PATIENCE_S)
    assert not is_in_index(home, b"Apples")
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file_id)


def test_a_gateway_that_is_started_again_goes_on_with_what_waits(
    gateway_at: Gateway, engine: FakeEngine, home: Path, builds: Builds, quick: None
) -> None:
    builds.failures += [Outcome(error="not now", is_busy=True)] * 1000
    with client_of(gateway_at, engine, home, builds) as first:
        store = first.vector_stores.create(name="kept", file_ids=[upload(first)])
        assert first.vector_stores.retrieve(store.id).status == "in_progress"
    with client_of(gateway_at, engine, home) as second:
        wait_for(lambda: second.vector_stores.retrieve(store.id).status == "completed")
        assert [hit.filename for hit in second.vector_stores.search(store.id, query="apples")] == ["a.md"]


def test_what_an_index_of_other_settings_lost_is_built_again(client: Any, home: Path) -> None:
    store = client.vector_stores.create(file_ids=[upload(client)])
    wait_for(lambda: client.vector_stores.retrieve(store.id).status == "completed")
    build_sources(home / "new", "router", "timer", edition=3)
    (home / "index").rename(home / "old")
    (home / "new").rename(home / "index")
    wait_for(lambda: is_in_index(home, b"Apples"))
    wait_for(lambda: client.vector_stores.retrieve(store.id).status == "completed")
    assert [hit.filename for hit in client.vector_stores.search(store.id, query="apples")] == ["a.md"]


def test_what_is_over_its_time_is_deleted(
    gateway_at: Gateway, engine: FakeEngine, home: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve.uploads.builder, "CLEAN_EVERY_S", 0.0)
    with client_of(gateway_at, engine, home) as client:
        file_id = upload(client)
        store = client.vector_stores.create(file_ids=[file_id], expires_after={"anchor": "last_active_at", "days": 1})
        wait_for(lambda: client.vector_stores.retrieve(store.id).status == "completed")
        database = open_database(ServeSettings(home=home))
        with database.transaction() as change:
            change.run("UPDATE vector_stores SET active_us = 1")
            change.run("UPDATE files SET expires_us = 1")
        wait_for(lambda: not is_in_index(home, b"Apples"))
        wait_for(lambda: not list((home / "files").glob("file-*")))
        with database.transaction(writes=False) as read:
            assert vector_stores.list_all(read) == []
        database.close()


def test_a_store_that_is_deleted_while_it_is_searched_fails_no_search_in_another_way(client: Any, home: Path) -> None:
    store = client.vector_stores.create(file_ids=[upload(client)])
    wait_for(lambda: client.vector_stores.retrieve(store.id).status == "completed")
    answers: list[int] = []
    stop = threading.Event()

    def search() -> None:
        with httpx.Client(base_url=str(client.base_url), trust_env=False, timeout=60) as own:
            while not stop.is_set():
                answers.append(own.post(f"vector_stores/{store.id}/search", json={"query": "apples"}).status_code)

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_for(lambda: 200 in answers)
    assert client.vector_stores.delete(store.id).deleted
    count = len(answers)
    wait_for(lambda: len(answers) > count + 8)
    stop.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert set(answers) == {200, 404}
    assert set(answers[-4:]) == {404}


def test_a_store_that_is_not_a_store_fails_what_needs_it_and_nothing_else(
    gateway_at: Gateway, engine: FakeEngine, home: Path, quick: None
) -> None:
    (home / "store.db").write_text("a letter, and not a database\n" * 100)
    with client_of(gateway_at, engine, home) as client:
        for call, given in ((client.files.list, {}), (client.vector_stores.create, {"name": "x"})):
            with pytest.raises(openai.InternalServerError, match="damaged, or is not a store") as caught:
                call(**given)
            assert (caught.value.status_code, caught.value.code) == (503, "store_unavailable")
        answer = client.chat.completions.create(
            model="chipalign-demo", messages=[{"role": "user", "content": "What is the router?"}]
        )
        assert answer.retrieval["hits"]
    assert (home / "store.db").read_text().startswith("a letter")


def test_a_child_process_builds_what_a_gateway_is_handed_in_the_same_folder(
    gateway_at: Gateway, engine: FakeEngine, tmp_path: Path, openai_at: OpenAIAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = RagSettings(home=tmp_path)
    documents = [parse_document("notes", "a.md", "Notes", "# Notes\n\nAbout clocks.\n", None, "ISC")]
    build_index(documents, tmp_path / "index", settings, Embedder.find(settings.embedder))
    live = LiveRetriever.open(tmp_path / "index", settings)
    (tmp_path / "serve.py").write_text("raise SystemExit('the child imports what lies around')")
    monkeypatch.chdir(tmp_path)
    with gateway_at(engine.url, newest=live.current, reopen=live.look, home=tmp_path, index="index") as url:
        client = openai_at(url, timeout=120)
        store = client.vector_stores.create()
        files = {"good": ("pll.md", b"# PLL\n\nIt has 3 ps of jitter.\n"), "bad": ("x.gds", b"\x00")}
        ids = {name: client.files.create(file=file, purpose="assistants").id for name, file in files.items()}
        batch = client.vector_stores.file_batches.create_and_poll(
            vector_store_id=store.id, file_ids=list(ids.values()), poll_interval_ms=200
        )
        assert (batch.file_counts.completed, batch.file_counts.failed) == (1, 1)
        assert "3 ps" in client.vector_stores.search(store.id, query="jitter of the PLL").data[0].content[0].text
        assert client.files.delete(ids["good"]).deleted
        assert not is_in_index(tmp_path, b"3 ps")


def test_a_child_that_is_killed_or_stopped_says_so(tmp_path: Path) -> None:
    child = Child(ServeSettings(home=tmp_path).child_env())
    outcomes: list[Outcome] = []
    job = Job(str(tmp_path / "index"), dropped=("vs_1",))
    thread = threading.Thread(target=lambda: outcomes.append(child(job)))
    thread.start()
    wait_for(lambda: child._process).kill()
    thread.join(PATIENCE_S)
    assert outcomes == [Outcome(error="the process that builds ended with exit code -9")]
    child.stop()
    assert child(job).is_busy
