"""serve.uploads.pages: a walk over the pages of a list sees each object once, whichever way and however long."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.errors import RequestError
from serve.uploads.pages import ORDERS, Page, paginate, read_page
from tests.rows import for_each

FIVE = [{"id": f"file-{number}"} for number in range(5)]  # the oldest first


def ids(page: dict[str, Any]) -> list[str]:
    return [each["id"].removeprefix("file-") for each in page["data"]]


@for_each(
    ("page", "shown", "has_more"),
    [
        (Page(), "43210", False),
        (Page(order="asc"), "01234", False),
        (Page(limit=2), "43", True),
        (Page(limit=5), "43210", False),
        (Page(limit=2, after="file-3"), "21", True),
        (Page(limit=2, after="file-2"), "10", False),
        (Page(limit=2, after="file-0"), "", False),
        (Page(limit=2, before="file-1"), "32", True),  # the two that end there
        (Page(limit=9, before="file-1"), "432", False),
        (Page(limit=9, before="file-4"), "", False),
        (Page(limit=9, after="file-4", before="file-1"), "32", False),
        (Page(limit=9, after="file-1", before="file-4"), "", False),  # nothing lies between them
        (Page(limit=2, order="asc", after="file-0", before="file-4"), "23", True),
    ],
)
def test_a_page_begins_after_an_id_and_ends_before_one(page: Page, shown: str, has_more: bool) -> None:
    found = paginate(FIVE, page)
    assert ("".join(ids(found)), found["has_more"]) == (shown, has_more)
    ends = (f"file-{shown[0]}", f"file-{shown[-1]}") if shown else (None, None)
    assert (found["first_id"], found["last_id"]) == ends


def test_nothing_is_a_page_too() -> None:
    assert paginate([], Page()) == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


@given(st.integers(0, 30), st.integers(1, 7), st.sampled_from(ORDERS), st.booleans())
def test_a_walk_over_all_pages_sees_each_object_once_in_order(
    count: int, limit: int, order: str, is_backwards: bool
) -> None:
    objects = [{"id": f"file-{number}"} for number in range(count)]
    seen: list[str] = []
    page = Page(limit, order)
    if is_backwards and objects:
        last = (objects if order == "asc" else objects[::-1])[-1]["id"]
        page, seen = Page(limit, order, before=last), [last.removeprefix("file-")]
    while True:
        found = paginate(objects, page)
        seen = [*ids(found), *seen] if page.before else [*seen, *ids(found)]
        if not found["has_more"]:
            break
        assert len(found["data"]) == limit
        page = (
            Page(limit, order, before=found["first_id"]) if page.before else Page(limit, order, after=found["last_id"])
        )
    expected = [str(number) for number in range(count)]
    assert seen == (expected if order == "asc" else expected[::-1])


def test_the_address_gives_a_page_and_what_it_leaves_out_is_the_default() -> None:
    assert read_page({}) == Page(20, "desc", None, None)
    assert read_page({}, default=7).limit == 7
    given = {"limit": "3", "order": "asc", "after": "a", "before": "b", "other": "x"}
    assert read_page(given) == Page(3, "asc", "a", "b")
    assert read_page({"limit": "000100"}).limit == 100


@for_each(
    ("query", "param", "said"),
    [
        ({"limit": "0"}, "limit", "'limit' is '0': give a number from 1 to 100."),
        ({"limit": "101"}, "limit", "'101'"),
        ({"limit": ""}, "limit", "give a number"),
        ({"limit": "-1"}, "limit", "'-1'"),
        ({"limit": "1.5"}, "limit", "'1.5'"),
        ({"limit": "\u0662"}, "limit", "give a number"),  # a digit, but not one of ours
        ({"limit": "9" * 5000}, "limit", "..."),
        ({"order": "up"}, "order", "'order' is 'up': give asc or desc."),
        ({"order": ""}, "order", "give asc or desc"),
    ],
)
def test_a_page_that_makes_no_sense_is_refused_by_its_field(query: dict[str, str], param: str, said: str) -> None:
    with pytest.raises(RequestError) as caught:
        read_page(query)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 300
    assert caught.value.param == param


def test_an_id_that_is_not_in_the_list_is_refused() -> None:
    for page, param in ((Page(after="file-9"), "after"), (Page(before="file-9"), "before")):
        with pytest.raises(RequestError, match=f"'{param}' is 'file-9', which is not in this list") as caught:
            paginate(FIVE, page)
        assert caught.value.param == param
