"""serve.uploads.requests and pages: values in, values out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.errors import RequestError
from serve.request_body import check_shape
from serve.uploads.pages import Page, paginate, read_page
from serve.uploads.requests import AttachFile, CreateBatch, CreateStore, RankingOptions, Search
from tests.rows import for_each


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        (CreateStore, {"metadata": {str(number): "x" for number in range(17)}}),
        (CreateStore, {"metadata": {"k" * 65: "x"}}),
        (CreateStore, {"metadata": {"a": 1}}),
        (CreateStore, {"chunking_strategy": {"type": "semantic"}}),
        (CreateBatch, {"files": [{"file_id": "file-1", "attributes": {"a": None}}]}),
        (CreateBatch, {"file_ids": ["file-1"] * 2001}),
        (Search, {"query": []}),
        (Search, {"query": "x", "ranking_options": {"score_threshold": 2}}),
    ],
)
def test_what_is_larger_or_other_than_openai_takes_is_refused(shape: Any, data: Any) -> None:
    with pytest.raises(RequestError):
        check_shape(shape, data)


@for_each(
    ("shape", "data", "param", "sentence"),
    [
        (Search, {"query": 5}, "query", "'query' is 5: give a valid string or list."),
        (Search, {}, "query", "'query' is missing."),
        (AttachFile, {"file_id": "f", "attributes": {"a": []}}, "attributes.a", "string or boolean or integer or numb"),
        (CreateStore, {"metadata": {"a": 1}}, "metadata.a", "'metadata.a' is 1: give a valid string."),
        (CreateStore, {"name": "\0"}, "name", "'name' is '\\x00': it holds a character that is not text."),
        (CreateBatch, {"file_ids": ["f"] * 2001}, "file_ids", "give at most 2000."),
        (AttachFile, {"file_id": "f" * 101}, "file_id", "give at most 100 characters."),
        (CreateBatch, {"files": [{}]}, "files[0].file_id", "'files[0].file_id' is missing."),
    ],
)
def test_what_is_wrong_stands_where_it_is_without_pydantics_words(
    shape: Any, data: Any, param: str, sentence: str
) -> None:
    with pytest.raises(RequestError) as caught:
        check_shape(shape, data)
    assert caught.value.param == param
    assert sentence in str(caught.value)


@for_each(
    ("shape", "data"),
    [
        (CreateStore, {}),
        (AttachFile, {"file_id": "file-1"}),
        (CreateBatch, {}),
        (Search, {"query": "jitter"}),
    ],
)
def test_an_optional_field_may_be_null(shape: Any, data: Any) -> None:
    nulls = dict.fromkeys(shape.model_fields)
    assert check_shape(shape, {**nulls, **data}) == check_shape(shape, data)
    options = {"ranking_options": {"ranker": None, "score_threshold": None}}
    assert check_shape(Search, {"query": "jitter", **options}).ranking_options == RankingOptions()


def test_the_longest_of_everything_is_taken() -> None:
    pairs = {f"{number:064d}": "x" * 512 for number in range(16)}
    assert check_shape(CreateStore, {"metadata": pairs}).metadata == pairs


IDS = [f"id{number}" for number in range(10)]
OBJECTS = [{"id": each} for each in IDS]


@given(st.integers(1, 12), st.sampled_from(["asc", "desc"]))
def test_pages_one_after_the_other_are_the_whole_list(limit: int, order: str) -> None:
    shown: list[str] = []
    after, has_more = None, True
    while has_more:
        page = paginate(OBJECTS, Page(limit, order, after))
        shown += [each["id"] for each in page["data"]]
        after, has_more = page["last_id"], page["has_more"]
        assert (page["first_id"], len(page["data"]) <= limit) == (page["data"][0]["id"], True)
    assert shown == (IDS if order == "asc" else IDS[::-1])


@given(st.integers(1, 12), st.sampled_from(["asc", "desc"]))
def test_pages_backwards_are_the_whole_list_too(limit: int, order: str) -> None:
    ordered = IDS if order == "asc" else IDS[::-1]
    shown = [ordered[-1]]
    has_more = True
    while has_more:
        page = paginate(OBJECTS, Page(limit, order, before=shown[0]))
        shown[:0] = [each["id"] for each in page["data"]]
        has_more = page["has_more"]
    assert shown == ordered


def test_a_page_between_two_ids_and_of_nothing_is_read() -> None:
    page = paginate(OBJECTS, Page(20, "asc", after="id2", before="id5"))
    assert [each["id"] for each in page["data"]] == ["id3", "id4"]
    assert paginate([], Page()) == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    assert paginate(OBJECTS, Page(20, "asc", after="id7", before="id2"))["data"] == []
    assert read_page({"limit": "5", "order": "asc", "after": "id1"}) == Page(5, "asc", "id1")
    for query in ({"limit": "x"}, {"limit": "101"}, {"limit": "-1"}, {"order": "new"}):
        with pytest.raises(RequestError):
            read_page(query)
