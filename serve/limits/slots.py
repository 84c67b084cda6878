"""Limits who may count tokens and search: one question per core, and beside them one long text at a time.

So no question waits for a long text, and the texts of clients that left cost nothing. It does not know the work.

    grounded = await slots.run(partial(ground, request, ...), is_long=False)
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

T = TypeVar("T")


class Slots:
    """The places; `cores`: how many questions run at a time."""

    def __init__(self, cores: int | None = None) -> None:
        self._questions = asyncio.Semaphore(cores or os.cpu_count() or 1)
        self._long_texts = asyncio.Semaphore(1)

    async def run(self, work: Callable[[], T], is_long: bool) -> T:
        """Do the work in a thread as soon as there is a place.

        Work that is cancelled while it waits never starts; a place becomes free when its thread ends.
        """
        async with self._long_texts if is_long else self._questions:
            thread = asyncio.ensure_future(run_in_threadpool(work))
            try:
                return await asyncio.shield(thread)
            finally:
                await asyncio.wait({thread})
