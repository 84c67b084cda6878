"""Runs a function over items in threads, a few items ahead of whoever takes the results, in order.

It holds at most as many results as it is told, so that no queue grows with the number of items.

    for parsed in map_ahead(threads, parse, names, ahead=4): ...
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Given = TypeVar("Given")
Found = TypeVar("Found")


def map_ahead(
    workers: ThreadPoolExecutor, function: Callable[[Given], Found], items: Iterable[Given], ahead: int
) -> Iterator[Found]:
    """The results of `function` for each item, in order; at most `ahead` of them are in progress or waiting."""
    under_way: deque[Future[Found]] = deque()
    for item in items:
        under_way.append(workers.submit(function, item))
        if len(under_way) == ahead:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()


def map_in_threads(
    function: Callable[[Given], Found], items: Iterable[Given], threads: int
) -> Generator[Found, None, None]:
    """The results of `function` for each item, in order, from threads of their own.

    What is in progress when the caller stops is not waited for: whatever it waits for has to end.
    """
    workers = ThreadPoolExecutor(threads)
    try:
        yield from map_ahead(workers, function, items, 2 * threads)
    finally:
        workers.shutdown(wait=False, cancel_futures=True)
