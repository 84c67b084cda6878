"""What a gateway has of files and vector stores: the library, its builder, the uploads that arrive.

The builder runs for as long as the gateway runs.

    async with open_shelf(settings, database, newest, live.look) as shelf:
        await shelf.do(uploads.show_file, "file-1")
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Concatenate, ParamSpec, TypeVar

from starlette.concurrency import run_in_threadpool

from rag.errors import IndexCorrupt
from serve.errors import RetrievalUnavailable
from serve.settings import ServeSettings
from serve.store.contents import Contents
from serve.store.database import Database
from serve.uploads.builder import Builder, Child
from serve.uploads.jobs import Build
from serve.uploads.library import Library, Searchable
from serve.uploads.receiving import Uploads

P = ParamSpec("P")
T = TypeVar("T")


@dataclass
class Shelf:
    """What the routes of files and vector stores need."""

    library: Library
    builder: Builder
    uploads: Uploads = field(default_factory=Uploads)

    async def do(self, operation: Callable[Concatenate[Library, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """An operation on the library, in a thread.

        Raises:
            RequestError
            RetrievalUnavailable: the index is damaged.
        """
        try:
            return await run_in_threadpool(operation, self.library, *args, **kwargs)
        except IndexCorrupt as error:
            raise RetrievalUnavailable(f"{error}") from error


@asynccontextmanager
async def open_shelf(
    settings: ServeSettings,
    database: Database,
    newest: Callable[[], Searchable],
    reopen: Callable[[], None] | None,
    build: Build | None = None,
) -> AsyncIterator[Shelf]:
    """The shelf of a gateway.

    `reopen` has the gateway search what the index holds now; without it nothing can be uploaded, since nobody would
    search what is built. `build` takes the place of child processes in tests.
    """
    child = Child(settings.child_env())
    library = Library(
        settings if reopen else replace(settings, uploads="off"), database, Contents(settings.home), newest
    )
    builder = Builder(library, build or child, reopen or (lambda: None))
    library.wake = builder.wake
    task = asyncio.create_task(builder.run()) if reopen else None
    try:
        yield Shelf(library, builder)
    finally:
        child.stop()
        if task:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
