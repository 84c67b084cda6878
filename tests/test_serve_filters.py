"""serve.filters: which files pass a filter, and which filters are refused, where they are wrong."""

from __future__ import annotations

from typing import Any

import pytest

from serve.errors import RequestError
from serve.filters import MOST_PARTS, is_wanted, read_filter
from serve.protocol import ChatRequest
from serve.request_body import check_shape
from serve.uploads.requests import Search
from tests.rows import for_each

OF_FILE = {"tool": "router", "year": 2025, "draft": True, "share": 0.5}


def wanted(kind: str, key: str, value: Any) -> dict[str, Any]:
    return {"type": kind, "key": key, "value": value}


def passes(filters: Any) -> bool:
    found = read_filter(filters, "filters")
    assert found is not None
    return is_wanted(found, OF_FILE)


@for_each(
    ("filters", "is_so"),
    [
        (wanted("eq", "tool", "router"), True),
        (wanted("eq", "tool", "Router"), False),
        (wanted("ne", "tool", "timer"), True),
        (wanted("eq", "year", 2025.0), True),
        (wanted("eq", "draft", True), True),
        (wanted("eq", "draft", 1), False),
        (wanted("eq", "year", "2025"), False),
        (wanted("gt", "year", 2024), True),
        (wanted("gt", "year", 2025), False),
        (wanted("gte", "year", 2025), True),
        (wanted("lt", "share", 1), True),
        (wanted("lte", "tool", "s"), True),
        (wanted("gt", "tool", 5), False),
        (wanted("in", "tool", ["timer", "router"]), True),
        (wanted("nin", "tool", ["timer", "router"]), False),
        (wanted("nin", "tool", []), True),
        (wanted("eq", "nothing", "x"), False),
        (wanted("ne", "nothing", "x"), True),
        (wanted("lt", "nothing", 5), False),
        ({"type": "and", "filters": [wanted("eq", "tool", "router"), wanted("gt", "year", 2030)]}, False),
        ({"type": "or", "filters": [wanted("eq", "tool", "router"), wanted("gt", "year", 2030)]}, True),
        ({"type": "and", "filters": []}, True),
        ({"type": "or", "filters": []}, False),
    ],
)
def test_a_filter_passes_the_files_that_it_says(filters: Any, is_so: bool) -> None:
    assert passes(filters) is is_so


@for_each(
    ("filters", "place", "sentence"),
    [
        ({"type": "like", "key": "a", "value": "b"}, ".type", "is 'like': give one of eq, ne, gt, gte, lt, lte, in, "),
        ({"key": "a", "value": "b"}, ".type", "is missing: give one of eq, ne,"),
        ({"type": "eq", "key": "a"}, ".value", "is missing: give a text, a number, true or false, or a list of such."),
        ({"type": "eq", "key": 5, "value": "b"}, ".key", "is 5: give the name of an attribute."),
        ({"type": "eq", "key": "a" * 65, "value": "b"}, ".key", "give at most 64 characters."),
        ({"type": "eq", "key": "a", "value": None}, ".value", "is None: give a text"),
        ({"type": "eq", "key": "a", "value": {"b": 1}}, ".value", "give a text"),
        ({"type": "in", "key": "a", "value": ["b", None]}, ".value[1]", "is None: give a text"),
        ({"type": "in", "key": "a", "value": ["b"] * 1001}, ".value", "give at most 1,000 values."),
        ({"type": "and", "filters": "all"}, ".filters", "is 'all': give a list of filters."),
        ({"type": "and", "filters": [wanted("eq", "a", "b")] * 101}, ".filters", "give at most 100 filters."),
        ({"type": "or", "filters": [wanted("eq", "a", "b"), wanted("is", "a", "b")]}, ".filters[1].type", "is 'is'"),
        ({"type": "and", "filters": [{"type": "and", "filters": [wanted("eq", "a", "b")] * 60}] * 2}, "", "100 parts."),
        ("tool = router", "", "is 'tool = router': give an object with 'type', 'key' and 'value', or with"),
    ],
)
def test_a_filter_that_is_wrong_is_refused_in_one_sentence(filters: Any, place: str, sentence: str) -> None:
    chat = {"messages": [{"role": "user", "content": "hello"}], "retrieval": {"filters": filters}}
    for field, read in (
        ("tools[0].filters", lambda: read_filter(filters, "tools[0].filters")),
        ("filters", lambda: check_shape(Search, {"query": "jitter", "filters": filters})),
        ("retrieval.filters", lambda: check_shape(ChatRequest, chat)),
    ):
        with pytest.raises(RequestError) as caught:
            read()
        assert caught.value.param == f"{field}{place}"
        assert caught.value.code
        assert str(caught.value).startswith(f"'{field}{place}' ")
        assert sentence in str(caught.value)
        assert len(str(caught.value)) < 400


def test_a_filter_of_as_many_parts_as_may_be_is_read() -> None:
    most = {"type": "or", "filters": [wanted("eq", "tool", "router")] * (MOST_PARTS - 1)}
    assert passes(most)
