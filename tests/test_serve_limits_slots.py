"""serve.limits.slots: so many at a time, long texts apart, and work that nobody waits for never starts."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from serve.limits.slots import Slots


class Work:
    """Holds threads until it is let go, and knows how many run and ever ran."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.running = self.most = self.started = 0
        self._lock = threading.Lock()

    def __call__(self) -> int:
        with self._lock:
            self.started += 1
            self.running += 1
            self.most = max(self.most, self.running)
        assert self.go.wait(20)
        with self._lock:
            self.running -= 1
        return self.started


async def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def test_as_many_questions_run_at_a_time_as_there_are_cores() -> None:
    async def body() -> None:
        work = Work()
        slots = Slots(cores=2)
        tasks = [asyncio.create_task(slots.run(work, is_long=False)) for _ in range(5)]
        await until(lambda: work.started == 2)
        work.go.set()
        await asyncio.gather(*tasks)
        assert (work.started, work.most) == (5, 2)

    asyncio.run(body())


def test_a_long_text_takes_no_question_its_place_and_one_runs_at_a_time() -> None:
    async def body() -> None:
        texts, questions = Work(), Work()
        slots = Slots(cores=1)
        long = [asyncio.create_task(slots.run(texts, is_long=True)) for _ in range(3)]
        await until(lambda: texts.started == 1)
        questions.go.set()
        assert await slots.run(questions, is_long=False) == 1
        texts.go.set()
        await asyncio.gather(*long)
        assert (texts.started, texts.most) == (3, 1)

    asyncio.run(body())


def test_work_that_is_cancelled_while_it_waits_never_starts() -> None:
    async def body() -> None:
        first, second = Work(), Work()
        slots = Slots(cores=1)
        running = asyncio.create_task(slots.run(first, is_long=False))
        await until(lambda: first.started == 1)
        waiting = asyncio.create_task(slots.run(second, is_long=False))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        first.go.set()
        await running
        assert second.started == 0

    asyncio.run(body())


def test_a_place_becomes_free_when_the_thread_ends_also_of_one_that_was_cancelled() -> None:
    async def body() -> None:
        work, next_one = Work(), Work()
        next_one.go.set()
        slots = Slots(cores=1)
        running = asyncio.create_task(slots.run(work, is_long=False))
        await until(lambda: work.started == 1)
        running.cancel()
        waiting = asyncio.create_task(slots.run(next_one, is_long=False))
        await asyncio.sleep(0.05)
        assert next_one.started == 0  # the thread of the cancelled one still computes
        work.go.set()
        assert await waiting == 1
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(body())


def test_an_error_of_the_work_is_raised_and_frees_the_place() -> None:
    def fails() -> None:
        raise ValueError("damaged")

    async def body() -> None:
        slots = Slots(cores=1)
        for _ in range(2):
            with pytest.raises(ValueError, match="damaged"):
                await slots.run(fails, is_long=False)

    asyncio.run(body())
