"""Server-sent events: what is written is read back, however the lines are cut."""

import asyncio
from collections.abc import AsyncIterator

from hypothesis import given
from hypothesis import strategies as st

from serve.sse import DONE, read_events, write_event


def read(lines: list[str]) -> list[str]:
    async def feed() -> AsyncIterator[str]:
        for line in lines:
            yield line

    async def collect() -> list[str]:
        return [data async for data in read_events(feed())]

    return asyncio.run(collect())


@given(st.lists(st.dictionaries(st.text(), st.text())))
def test_every_written_event_is_read_back(events: list[dict[str, str]]) -> None:
    import json

    wire = b"".join(write_event(event) for event in events) + write_event(DONE)
    data = read(wire.decode().split("\n"))
    assert [json.loads(each) for each in data[:-1]] == events
    assert data[-1] == DONE


def test_comments_and_other_fields_are_passed_over() -> None:
    assert read([": ping", "", "event: message", "id: 7", "data: a", "", "retry: 10", ""]) == ["a"]


def test_several_data_lines_are_one_event_and_one_space_belongs_to_the_field() -> None:
    assert read(["data:a", "data:  b", ""]) == ["a\n b"]


def test_an_event_that_the_end_cuts_off_is_dropped() -> None:
    assert read(["data: a", "", "data: b"]) == ["a"]
