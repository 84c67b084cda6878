"""Jobs of one line come one after the other, those of several lines together, no more than so many at once."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from ui.slack.slack_queue import Lines

PATIENCE_S = 10.0


def test_jobs_of_one_line_run_in_their_order_and_never_together() -> None:
    lines, seen, running = Lines(at_once=4), list[int](), threading.Lock()

    def job(number: int) -> None:
        assert running.acquire(blocking=False)
        seen.append(number)
        running.release()

    for number in range(200):
        lines.put("one", partial(job, number))
    lines.close()
    assert seen == list(range(200))


def test_lines_run_at_the_same_time() -> None:
    lines, meeting, met = Lines(at_once=3), threading.Barrier(3), list[int]()
    for name in range(3):
        lines.put(name, lambda: met.append(meeting.wait(PATIENCE_S)))  # passes only when three wait for each other
    lines.close()
    assert sorted(met) == [0, 1, 2]


def test_no_more_than_so_many_run_at_once() -> None:
    lines, lock, open_gate = Lines(at_once=2), threading.Lock(), threading.Event()
    now, most, two = 0, 0, threading.Event()

    def job() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
            if now == 2:
                two.set()
        open_gate.wait(PATIENCE_S)
        with lock:
            now -= 1

    for name in range(6):
        lines.put(name, job)
    assert two.wait(PATIENCE_S)
    open_gate.set()
    lines.close()
    assert most == 2


def test_job_that_fails_stops_neither_its_line_nor_others(caplog: pytest.LogCaptureFixture) -> None:
    lines, seen = Lines(at_once=1), list[str]()
    lines.put("one", lambda: seen.append(str(1 // 0)))
    lines.put("one", lambda: seen.append("after"))
    lines.put("two", lambda: seen.append("other"))
    lines.close()
    assert sorted(seen) == ["after", "other"]
    assert "ZeroDivisionError" in caplog.text


def test_closed_lines_take_no_job() -> None:
    lines = Lines(at_once=1)
    lines.close()
    for _ in range(2):
        with pytest.raises(RuntimeError):
            lines.put("one", lambda: None)
