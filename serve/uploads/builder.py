"""Keeps the index as clients want it: one thread's work, in rounds, each in a child process.

A round takes texts out first, then builds in what waits, as much at once as one build takes. What a round did counts
when the gateway has opened the new index: then files are completed and deletions answered. Gateways that share a home
take turns. It reads no document itself.

    builder = Builder(library, Child(settings.child_env()), live.look)
    task = asyncio.create_task(builder.run())
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from rag.errors import RagError
from rag.folder_lock import hold_lock
from rag.index.document_list import read_documents
from rag.index.manifest import read_manifest
from rag.index.selection import is_uploaded
from serve.errors import RequestError, StoreUnavailable
from serve.store import build_queue, files, vector_stores
from serve.store.build_queue import Built
from serve.store.database import now_us
from serve.store.retention import DAY_US, delete_old
from serve.uploads.files import discard_file
from serve.uploads.jobs import Addition, Job, Outcome, read_outcome
from serve.uploads.library import Library

MOST_FILES, MOST_BYTES = 200, 256 * 2**20  # of one build
GATHER_S = 0.2  # files that are attached one after the other still make few builds
POLL_S = 20.0  # for what other gateways have written, and what failed
BUSY_S = 2.0  # until a build of somebody else's is looked at again
CLEAN_EVERY_S = 3600.0
LEFT_OVER_S = 2 * 3600.0  # an upload takes at most an hour
log = logging.getLogger("chipalign.uploads")


class Busy(Exception):
    """Somebody else is building into the index."""


class Child:
    """Does jobs in child processes, of which one runs at a time."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._process: subprocess.Popen[str] | None = None
        self._is_stopped = False
        self._lock = threading.Lock()

    def __call__(self, job: Job) -> Outcome:
        """Do a job; a child that dies leaves the index as it was.

        It runs in this process's folder, from which relative paths of the settings start, and imports nothing there.
        """
        root = Path(__file__).resolve().parent.parent.parent
        command = [sys.executable, "-P", "-m", "serve.uploads.build_worker"]
        paths = [str(root), *filter(None, [self._env.get("PYTHONPATH")])]
        env = {**self._env, "PYTHONPATH": os.pathsep.join(paths)}
        with self._lock:
            if self._is_stopped:
                return Outcome(error="the gateway stops", is_busy=True)
            self._process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        with self._process as process:
            written, _ = process.communicate(job.as_json())
        if self._is_stopped:
            return Outcome(error="the gateway stops", is_busy=True)
        try:
            return read_outcome(written.strip().rpartition("\n")[2])
        except ValueError:
            return Outcome(error=f"the process that builds ended with exit code {process.returncode}")

    def stop(self) -> None:
        """End the child that runs, and start no other."""
        with self._lock:
            self._is_stopped = True
            if self._process:
                self._process.kill()


class Builder:
    """Builds for one gateway. `run` is its loop; `settled` waits until what was wanted is so."""

    def __init__(self, library: Library, build: Callable[[Job], Outcome], reopen: Callable[[], None]) -> None:
        """reopen: has the gateway search what the index holds now, and returns once it does."""
        self._library = library
        self._build = build
        self._reopen = reopen
        self._index_dir = library.settings.index_dir
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._round_over = asyncio.Condition()
        self._rounds = 0
        self._failure = ""
        self._seen = ""  # the generation that was last compared with what should be in it
        self._cleaned_at = float("-inf")

    def wake(self) -> None:
        """Begin a round soon; from any thread."""
        self._loop.call_soon_threadsafe(self._wake.set)

    async def run(self) -> None:
        """Rounds, until it is cancelled; nothing that goes wrong ends them."""
        while True:
            self._wake.clear()
            pause_s, failure = POLL_S, ""
            try:
                if await asyncio.to_thread(self._round):
                    pause_s = 0.0
            except Busy as error:
                pause_s = BUSY_S
                log.info("%s", error)
            except (RequestError, RagError, OSError) as error:
                failure = str(error)
            except Exception:
                log.exception("building what clients uploaded failed")
                failure = "the gateway's log says why"
            if failure and failure != self._failure:
                log.error("what clients uploaded or deleted cannot be brought into the index: %s", failure)
            async with self._round_over:
                self._failure, self._rounds = failure, self._rounds + 1
                self._round_over.notify_all()
            await self._pause(pause_s)

    async def _pause(self, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await self._wake.wait()
            await asyncio.sleep(GATHER_S)
        except TimeoutError:
            pass

    async def settled(self, is_so: Callable[[], bool]) -> None:
        """Return once `is_so`, which a thread asks after each round.

        Raises StoreUnavailable: a round that began after this call has failed; it is tried again later.
        """
        begun = self._rounds
        while not await asyncio.to_thread(is_so):
            await self._next_round()
            # The first round that ended may have begun before the call
            if self._failure and self._rounds > begun + 1:
                raise StoreUnavailable(
                    f"It is deleted here, but its text could not be taken out of the index yet ({self._failure}): the "
                    "gateway tries again by itself."
                )

    async def _next_round(self) -> None:
        """Return when the next round is over."""
        async with self._round_over:
            seen = self._rounds
            self._wake.set()
            await self._round_over.wait_for(lambda: self._rounds > seen)

    def _round(self) -> bool:
        """Take out, build in, tidy up; whether there may be more to do.

        Raises Busy, RequestError, RagError, OSError.
        """
        lock = self._library.contents.folder / ".building"
        busy = Busy("another gateway builds into the index of this home")
        with hold_lock(lock, lambda error: StoreUnavailable(f"{lock.name} cannot be written ({error.strerror})"), busy):
            if time.monotonic() - self._cleaned_at > CLEAN_EVERY_S:
                self._clean()
                self._cleaned_at = time.monotonic()
            self._find_lost()
            removed = self._remove()
            return self._add() or removed

    def _remove(self) -> bool:
        """Take out what is not wanted any more."""
        database = self._library.database
        with database.transaction(writes=False) as read:
            removals, dropped = build_queue.list_removals(read), vector_stores.list_deleted(read)
        if removals or dropped:
            self._do(Job(str(self._index_dir), removals=tuple(removals), dropped=tuple(dropped)))
        with database.transaction() as change:
            build_queue.note_removed(change, removals)
            vector_stores.purge(change, dropped)
        return bool(removals or dropped)

    def _add(self) -> bool:
        """Build in what waits longest."""
        database, contents = self._library.database, self._library.contents
        with database.transaction() as change:
            waiting = build_queue.take_additions(change, MOST_FILES, MOST_BYTES)
        if not waiting:
            return False
        additions = tuple(
            Addition(each.store_id, each.file_id, str(contents.path(each.file_id, each.name))) for each in waiting
        )
        try:
            built = self._do(Job(str(self._index_dir), additions=additions)).built
        except StoreUnavailable as error:
            failed = f"It could not be built into the index: {error}"
            built = tuple(Built(each.store_id, each.file_id, 0, "server_error", failed) for each in waiting)
        with database.transaction() as change:
            build_queue.note_built(change, built)
        return True

    def _do(self, job: Job) -> Outcome:
        """Do a job, and have the gateway search the index that it left. Raises Busy, StoreUnavailable."""
        if not self._index_dir.is_dir():
            raise StoreUnavailable("there is no folder of an index")
        outcome = self._build(job)
        if outcome.is_busy:
            raise Busy(outcome.error)
        if outcome.error:
            raise StoreUnavailable(outcome.error)
        self._reopen()
        self._seen = self._generation()
        return outcome

    def _find_lost(self) -> None:
        """Have built again what an index lacks that was built anew, or put back from a copy."""
        generation = self._generation()
        if not generation or generation == self._seen:
            return
        try:
            records = read_documents(self._index_dir / generation)
        except (RagError, OSError):  # it is exchanged just now, or damaged, which whoever opens it reports
            return
        there = {(each.collection, each.path.partition("/")[0]) for each in records if is_uploaded(each.collection)}
        with self._library.database.transaction() as change:
            lost = [pair for pair in build_queue.list_built(change) if pair not in there]
            build_queue.build_again(change, lost)
        if lost:
            log.warning("the index has lost the text of uploaded files, which are built again: %d", len(lost))
        self._seen = generation

    def _generation(self) -> str:
        """The index's generation; empty where there is none that can be read."""
        try:
            return read_manifest(self._index_dir).generation
        except RagError:
            return ""

    def _clean(self) -> None:
        """Delete what is older than it may be, and what killed requests have left."""
        library, now = self._library, now_us()
        delete_old(library.database, library.settings.keep_days)
        with library.database.transaction() as change:
            expired = files.list_expired(change, now)
            for store in vector_stores.list_all(change):
                if store.expires_days and store.active_us + store.expires_days * DAY_US < now:
                    vector_stores.mark_deleted(change, store.store_id)
            known = {file.file_id for file in files.list_all(change)}
        for file_id in expired:
            discard_file(library, file_id)
        library.contents.sweep(known, LEFT_OVER_S)
