"""Server-sent events: what is written is read back, however the network cuts it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.sse import DONE, MAX_EVENT_BYTES, EventTooLarge, read_events, write_event


def read(pieces: list[bytes]) -> list[str]:
    async def feed() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    async def collect() -> list[str]:
        return [data async for data in read_events(feed())]

    return asyncio.run(collect())


@given(
    st.lists(st.dictionaries(st.text(), st.text() | st.sampled_from(["\u2028", "\x85", "a\r\nb"]))), st.integers(1, 7)
)
def test_every_written_event_is_read_back_however_the_bytes_are_cut(events: list[dict[str, str]], size: int) -> None:
    wire = b"".join(write_event(event) for event in events) + write_event(DONE)
    data = read([wire[start : start + size] for start in range(0, len(wire), size)])
    assert [json.loads(each) for each in data[:-1]] == events
    assert data[-1] == DONE


def test_comments_and_other_fields_are_passed_over() -> None:
    assert read([b": ping\n\nevent: message\r\nid: 7\r\ndata: a\r\n\r\nretry: 10\n\n"]) == ["a"]


def test_several_data_lines_are_one_event_and_one_space_belongs_to_the_field() -> None:
    assert read([b"data:a\nda", b"ta:  b\n\n"]) == ["a\n b"]


def test_an_event_that_the_end_cuts_off_is_dropped() -> None:
    assert read([b"data: a\n\ndata: b"]) == ["a"]


@pytest.mark.parametrize("piece", [b"x" * 2**16, b"data: " + b"x" * 2**16 + b"\n"])
def test_a_line_and_an_event_have_an_end(piece: bytes) -> None:
    assert read([b"data: a\n\n", *[piece] * 3]) == ["a"]
    with pytest.raises(EventTooLarge):
        read([b"data: ", *[piece] * (MAX_EVENT_BYTES // len(piece) + 2)])


def test_a_long_line_in_small_pieces_costs_time_in_proportion() -> None:
    assert read([b"data: ", *[b"x" * 16] * 100_000, b"\n\n"]) == ["x" * 1_600_000]
