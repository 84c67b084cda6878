"""The heartbeat passes everything on, beats while nothing comes, and lets go of what is abandoned."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from ui.heartbeat import with_heartbeat


def test_all_items_come_in_order() -> None:
    assert [item for item in with_heartbeat(iter(range(100)), every_s=5) if item is not None] == list(range(100))


def test_none_comes_while_the_source_is_silent() -> None:
    go = threading.Event()

    def source() -> Iterator[str]:
        go.wait(10)
        yield "at last"

    events = with_heartbeat(source(), every_s=0.01)
    assert next(events) is None
    assert next(events) is None
    go.set()
    assert [event for event in events if event is not None] == ["at last"]


def test_failure_of_the_source_is_raised_after_what_came_before_it() -> None:
    def source() -> Iterator[str]:
        yield "first"
        raise ValueError("broken")

    events = with_heartbeat(source(), every_s=5)
    assert next(events) == "first"
    with pytest.raises(ValueError, match="broken"):
        next(events)


def test_abandoned_source_is_closed_at_its_next_item() -> None:
    closed, go = threading.Event(), threading.Event()

    def source() -> Iterator[int]:
        try:
            yield 1
            go.wait(10)
            yield 2
            yield 3
        finally:
            closed.set()

    events = with_heartbeat(source(), every_s=5)
    assert next(events) == 1
    events.close()
    go.set()
    assert closed.wait(5)


def test_source_that_has_nothing_ends_at_once() -> None:
    assert list(with_heartbeat(iter(()), every_s=5)) == []
