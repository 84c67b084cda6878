"""rag.child and rag.ahead: messages arrive whole, a child that ends is replaced, and results keep their order."""

from __future__ import annotations

import io
import resource
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.ahead import map_ahead, map_in_threads
from rag.child import OUT_OF_MEMORY, ChildEnded, ChildPool, explain_end, read_message, write_message
from tests.rows import for_each

WORKER = "rag.checking.code_worker"  # a child of ours that starts at once
MEMORY = 2**31


@given(st.dictionaries(st.text(), st.integers() | st.text(), max_size=3), st.binary(max_size=200))
def test_a_message_arrives_as_it_was_sent(head: dict[str, int | str], body: bytes) -> None:
    head.pop("bytes", None)
    stream = io.BytesIO()
    write_message(stream, head, body)
    write_message(stream, {}, b"")
    stream.seek(0)
    assert read_message(stream) == ({**head, "bytes": len(body)}, body)
    assert read_message(stream) == ({"bytes": 0}, b"")
    assert read_message(stream) is None


@given(st.integers(0, 40))
def test_a_message_that_is_cut_off_is_none(length: int) -> None:
    stream = io.BytesIO()
    write_message(stream, {"name": "a.md"}, b"0123456789")
    whole = stream.getvalue()
    assert read_message(io.BytesIO(whole[: min(length, len(whole) - 1)])) is None


@for_each(
    ("code", "said"),
    [
        (-signal.SIGALRM, "cutting it takes longer than 5 s (CHIPALIGN_PARSE_TIMEOUT_S)"),
        (OUT_OF_MEMORY, "cutting it takes more memory than allowed (CHIPALIGN_PARSE_MEMORY_MB)"),
        (-signal.SIGSEGV, "its parser crashed (SIGSEGV): it is probably damaged"),
        (3, "its parser ended with exit code 3"),
    ],
)
def test_the_end_of_a_child_is_explained(code: int, said: str) -> None:
    assert explain_end(code, 5.0, "cutting") == said


def test_a_child_waits_for_the_next_message_and_one_that_ended_is_replaced() -> None:
    with ChildPool(WORKER, MEMORY, "20") as pool:
        assert pool.ask({}, b'{"commands": {}}')[1] == b"{}"
        [child] = pool._idle
        assert pool.ask({}, b"{}")[1] == b"{}"
        assert pool._idle == [child]
        child.kill()
        with pytest.raises(ChildEnded) as ended:
            pool.ask({}, b"{}")
        assert ended.value.code == -signal.SIGKILL
        assert pool.ask({}, b"{}")[1] == b"{}"
    with pytest.raises(ChildEnded):
        pool.ask({}, b"{}")  # it is closed


@for_each(("allowed", "limit"), [(2**30, 2**30), (2**33, 2**31), (resource.RLIM_INFINITY, 2**31)])
def test_a_child_has_its_limit_or_that_of_the_machine(allowed: int, limit: int) -> None:
    program = (
        "import resource, sys; from rag.child import serve_parent\n"
        f"resource.setrlimit(resource.RLIMIT_AS, ({allowed}, {allowed}))\n"
        f"serve_parent({MEMORY})\n"
        "sys.exit(resource.getrlimit(resource.RLIMIT_AS)[0] != int(sys.argv[1]))"
    )
    command = [sys.executable, "-c", program, str(limit)]
    assert subprocess.run(command, cwd=Path(__file__).parent.parent, check=False).returncode == 0


def test_each_of_several_threads_talks_to_a_child_of_its_own() -> None:
    together = threading.Barrier(2)

    def ask(number: int) -> bytes:
        together.wait(20)
        return pool.ask({}, b'{"language": "tcl", "code": "set x %d"}' % number)[1]

    with ChildPool(WORKER, MEMORY, "20") as pool, ThreadPoolExecutor(2) as threads:
        assert list(threads.map(ask, range(2))) == [b'{"diagnostics": []}'] * 2
        assert 1 <= len(pool._idle) <= 2


def test_closing_the_pool_ends_a_child_at_work() -> None:
    pool = ChildPool(WORKER, MEMORY, "60")
    begun = threading.Event()
    codes: list[int] = []

    def ask() -> None:
        try:
            pool.ask({}, b'{"language": "tcl", "code": "' + b"set y {" * 150_000 + b'"}', lambda head: begun.set())
        except ChildEnded as ended:
            codes.append(ended.code)

    thread = threading.Thread(target=ask)
    thread.start()
    while not pool._busy:
        begun.wait(0.01)
    pool.close()
    thread.join(30)
    assert not thread.is_alive()
    assert not pool._busy


@given(st.lists(st.integers(), max_size=20), st.integers(1, 5))
def test_results_come_in_order_and_only_so_many_are_under_way(items: list[int], ahead: int) -> None:
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        return item * 2

    with ThreadPoolExecutor(2) as workers:
        results = map_ahead(workers, work, iter(items), ahead)
        for taken, item in enumerate(items, start=1):
            assert next(results) == item * 2
            assert len(begun) <= taken + ahead
        assert next(results, None) is None
    assert list(map_in_threads(work, items, 2)) == [item * 2 for item in items]


def test_an_error_of_an_item_comes_in_its_place_and_ends_the_rest() -> None:
    def work(item: int) -> int:
        if item == 2:
            raise ValueError("damaged")
        return item

    results = map_in_threads(work, iter(range(100)), 2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="damaged"):
        next(results)
    assert list(results) == []
