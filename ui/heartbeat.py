"""A stream of events that also beats while nothing comes, so that a page can count seconds and Stop can act.

It knows nothing of the events, and does not hurry a source that is stuck: the source's own timeout ends it.

    for event in with_heartbeat(gateway.ask(messages), every_s=0.2): ...   # None when 0.2 s passed without an event
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

T = TypeVar("T")


def with_heartbeat(source: Iterator[T], every_s: float) -> Generator[T | None, None, None]:
    """The items of `source`, read by a thread, and None whenever `every_s` seconds pass without one.

    An exception of `source` is raised here. When this iterator is closed early, the thread closes `source` (a
    generator: its connection with it) as soon as its next item comes, and ends.
    """
    # An item in a tuple, a failure, or None for the end
    arrived: queue.SimpleQueue[tuple[T] | BaseException | None] = queue.SimpleQueue()
    abandoned = threading.Event()

    def _read() -> None:
        try:
            for item in source:
                arrived.put((item,))
                if abandoned.is_set():
                    break
            arrived.put(None)
        except BaseException as error:  # carried to the reader, which raises it
            arrived.put(error)
        finally:
            close = getattr(source, "close", None)
            if close is not None:
                close()

    threading.Thread(target=_read, name="heartbeat", daemon=True).start()
    try:
        while True:
            try:
                got = arrived.get(timeout=every_s)
            except queue.Empty:
                yield None
                continue
            if got is None:
                return
            if isinstance(got, BaseException):
                raise got
            yield got[0]
    finally:
        abandoned.set()
