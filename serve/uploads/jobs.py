"""What a child process is asked to do with the index, and what it answers; both as JSON.

It imports nothing heavy: the gateway writes jobs, and the child reads them.

    job = Job(index_dir, additions=(Addition("vs_1", "file-1", "/home/files/file-1/manual.pdf"),))
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

from rag.typed_json import parse_as
from serve.store.build_queue import Built


@dataclass(frozen=True, slots=True)
class Addition:
    """A file that is to be built into a store's collection."""

    store_id: str
    file_id: str
    path: str


@dataclass(frozen=True, slots=True)
class Job:
    """Files to add, or texts to take out: of files (store and file ids), and of whole stores."""

    index_dir: str
    additions: tuple[Addition, ...] = ()
    removals: tuple[tuple[str, str], ...] = ()
    dropped: tuple[str, ...] = ()

    def as_json(self) -> str:
        """For the child."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of each file; or the error that left the index as it was, and whether it may go better soon."""

    built: tuple[Built, ...] = ()
    error: str | None = None
    is_busy: bool = False

    def as_json(self) -> str:
        """For the gateway."""
        return json.dumps(asdict(self))


Build = Callable[[Job], Outcome]  # does a job; also in this process, for tests


def read_job(text: str) -> Job:
    """The job that `as_json` wrote. Raises ValueError."""
    return parse_as(Job, text)


def read_outcome(text: str) -> Outcome:
    """The outcome that `as_json` wrote. Raises ValueError."""
    return parse_as(Outcome, text)
