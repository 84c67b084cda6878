"""Gateways that are killed while clients upload: what was acknowledged is there when they are started again.

`make attack` kills fifty times, at moments that are drawn.
"""

from __future__ import annotations

import multiprocessing
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.attack import Attack
from tests.conftest import free_port
from tests.uploading import serve_uploads

pytestmark = pytest.mark.attack
PATIENCE_S = 60.0
LONGEST_S = 1.5  # from the first upload that is acknowledged to the kill
CLIENTS = 3


@pytest.fixture(scope="module")
def forked() -> ForkServerContext:
    """Processes with everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", __name__])
    return context


@contextmanager
def served(context: ForkServerContext, home: Path) -> Iterator[httpx.Client]:
    """A client of a gateway in a process of its own, which is killed at the end of the block."""
    port = free_port()
    process = context.Process(target=serve_uploads, args=(home, port), daemon=True)
    process.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/v1", trust_env=False, timeout=PATIENCE_S) as client:
            wait_for(lambda: answers(client))
            yield client
    finally:
        process.kill()
        process.join()


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/files").status_code == 200
    except httpx.TransportError:
        return False


def wait_for(happened: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


class Uploader:
    """A client that uploads, attaches and deletes until its gateway dies; it notes what was acknowledged."""

    def __init__(self, name: str, url: httpx.URL) -> None:
        self._name = name
        self._url = url
        self.contents: dict[str, bytes] = {}  # by file
        self.attached: dict[str, str] = {}  # store by file
        self.completed: set[str] = set()
        self.asked_to_delete: set[str] = set()
        self.deleted: set[str] = set()

    def run(self) -> None:
        with httpx.Client(base_url=self._url, trust_env=False, timeout=PATIENCE_S) as client:
            try:
                for number in range(1_000):
                    self._upload(client, f"{self._name}n{number}end")
            except httpx.TransportError:
                return

    def _upload(self, client: httpx.Client, word: str) -> None:
        content = f"# {word}\n\nThe word is {word}.\n".encode() + b" \n" * 2000
        form = {"file": (f"{word}.md", content)}
        file_id = self._ask(client, "POST", "/files", files=form, data={"purpose": "assistants"})["id"]
        self.contents[file_id] = content
        store = self._ask(client, "POST", "/vector_stores", json={"name": word, "file_ids": [file_id]})["id"]
        self.attached[file_id] = store
        path = f"/vector_stores/{store}/files/{file_id}"
        while self._ask(client, "GET", path)["status"] == "in_progress":
            time.sleep(0.02)
        self.completed.add(file_id)
        if len(self.contents) % 3 == 0:
            self.asked_to_delete.add(file_id)
            assert self._ask(client, "DELETE", f"/files/{file_id}")["deleted"]
            self.deleted.add(file_id)

    def _ask(self, client: httpx.Client, method: str, path: str, **fields: Any) -> dict[str, Any]:
        answer = client.request(method, path, **fields)
        assert answer.status_code == 200, answer.text
        said: dict[str, Any] = answer.json()
        return said

    def losses(self, client: httpx.Client, home: Path) -> Iterator[str]:
        """What of the acknowledged is not so, for people."""
        for file_id in self.deleted:
            if client.get(f"/files/{file_id}").status_code != 404:
                yield f"{file_id} was deleted and is listed"
            if self.contents[file_id].split()[1] in index_bytes(home):
                yield f"{file_id} was deleted and its text is in the index"
        for file_id in self.contents.keys() - self.asked_to_delete:
            if client.get(f"/files/{file_id}/content").content != self.contents[file_id]:
                yield f"the content of {file_id} is another"
        for file_id in self.attached.keys() - self.asked_to_delete:
            yield from self._losses_of_search(client, file_id, self.attached[file_id])

    def _losses_of_search(self, client: httpx.Client, file_id: str, store: str) -> Iterator[str]:
        path = f"/vector_stores/{store}/files/{file_id}"
        if file_id in self.completed and client.get(path).json()["status"] != "completed":
            yield f"{file_id} was completed and is not"
        wait_for(lambda: client.get(path).json()["status"] != "in_progress")
        found = client.post(f"/vector_stores/{store}/search", json={"query": "Which word?"}).json()
        if [hit["file_id"] for hit in found["data"]] != [file_id]:
            yield f"{file_id} is not found"


def has_begun(uploaders: list[Uploader]) -> bool:
    return any(one.contents for one in uploaders)


def index_bytes(home: Path) -> bytes:
    return b"".join(path.read_bytes() for path in (home / "index").rglob("*") if path.is_file())


def test_whenever_a_gateway_is_killed_no_acknowledged_upload_is_lost(
    attack: Attack, forked: ForkServerContext, tmp_path: Path
) -> None:
    dice, kills, failures = random.Random(19), attack.times(2, full=50), list[str]()
    uploaders: list[Uploader] = []
    for number in range(kills):
        with served(forked, tmp_path) as client:
            failures += [loss for one in uploaders[-CLIENTS:] for loss in one.losses(client, tmp_path)]
            new = [Uploader(f"r{number}c{each}", client.base_url) for each in range(CLIENTS)]
            threads = [threading.Thread(target=one.run) for one in new]
            for thread in threads:
                thread.start()
            wait_for(partial(has_begun, new))  # the kill's moment is drawn from here on
            time.sleep(dice.uniform(0, LONGEST_S))
        for thread in threads:
            thread.join(PATIENCE_S)
        uploaders += new
    with served(forked, tmp_path) as client:
        failures += [loss for one in uploaders for loss in one.losses(client, tmp_path)]
    assert sum(len(one.contents) for one in uploaders) >= kills
    attack.report("kills of a gateway that receives uploads", kills, failures)
