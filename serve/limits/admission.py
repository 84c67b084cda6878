"""Counts and limits the chat answers in flight, and ends them when the gateway stops.

It knows nothing of HTTP and has no queue: the engine has its own.

    with admission.admit(): answer = await admission.unless_stopped(ask_the_engine())
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from serve.errors import GatewayStopping, TooManyInFlight

STOPPED = "The gateway is being stopped and this answer was not over in time: ask again in a minute."
T = TypeVar("T")


class Admission:
    """The places of the answers in flight; `limit` 0 means no limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_flight = 0
        self._is_stopped = False
        self._waits: set[asyncio.Timeout] = set()

    @contextmanager
    def admit(self) -> Iterator[None]:
        """A place for one answer, as long as the block lasts.

        Raises TooManyInFlight: every place is taken.
        """
        if self.limit and self.in_flight >= self.limit:
            full = f"{self.in_flight} in flight, the most that CHIPALIGN_ANSWERS_IN_FLIGHT allows"
            raise TooManyInFlight(f"The gateway gives no more answers at a time ({full}): ask again in a few seconds.")
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    async def unless_stopped(self, work: Awaitable[T]) -> T:
        """Await the work, but give it up at `stop`.

        Raises GatewayStopping: the gateway stops before the work is done.
        """
        limit = asyncio.timeout(0 if self._is_stopped else None)
        self._waits.add(limit)
        try:
            async with limit:
                return await work
        except TimeoutError:
            if not limit.expired():
                raise
            raise GatewayStopping(STOPPED) from None
        finally:
            self._waits.discard(limit)

    def stop(self) -> int:
        """End the current awaits and all later ones; returns how many current ones that ends."""
        self._is_stopped = True
        for limit in self._waits:
            limit.reschedule(0)
        return self.in_flight
