"""serve.responses.file_search: what the tool asks for, its filters, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from serve.errors import RequestError
from serve.responses.file_search import FileSearch, read_file_search
from tests.rows import for_each


def read(**fields: Any) -> FileSearch:
    return read_file_search({"type": "file_search", "vector_store_ids": ["openroad", "yosys"], **fields}, "tools[2]")


def compare(key: str, value: Any, kind: str = "eq") -> dict[str, Any]:
    return {"type": kind, "key": key, "value": value}


def test_vector_stores_are_collections() -> None:
    assert read(vector_store_ids=["a", "b", "a"], max_num_results=7) == FileSearch("tools[2]", ("a", "b"), 7)


def test_ranking_that_the_search_does_anyway_is_accepted() -> None:
    assert read(ranking_options={"ranker": "default-2024-11-15", "score_threshold": 0.0}).collections


@for_each(
    ("filters", "collections"),
    [
        (None, ("openroad", "yosys")),
        (compare("collection", "yosys"), ("yosys",)),
        (compare("collection", ["yosys", "other"], "in"), ("yosys",)),
        (compare("version", "2.0"), ("openroad@2.0", "yosys@2.0")),
        ({"type": "and", "filters": [compare("collection", "yosys"), compare("version", "0.9")]}, ("yosys@0.9",)),
        (
            {"type": "or", "filters": [compare("version", "1"), compare("version", "2")]},
            ("openroad@1", "openroad@2", "yosys@1", "yosys@2"),
        ),
    ],
)
def test_filters_choose_collections_and_versions(filters: Any, collections: tuple[str, ...]) -> None:
    assert read(filters=filters).collections == collections


def test_a_version_that_a_vector_store_names_already_is_kept() -> None:
    assert read(vector_store_ids=["a@1", "a@2"], filters=compare("version", "2")).collections == ("a@2",)


@for_each(
    ("fields", "param"),
    [
        ({"vector_store_ids": []}, "vector_store_ids"),
        ({"vector_store_ids": "openroad"}, "vector_store_ids"),
        ({"vector_store_ids": [""]}, "vector_store_ids"),
        ({"vector_store_ids": [5]}, "vector_store_ids"),
        ({"vector_store_ids": ["a"] * 101}, "vector_store_ids"),
        ({"max_num_results": 51}, "max_num_results"),
        ({"max_num_results": True}, "max_num_results"),
        ({"ranking_options": "auto"}, "ranking_options"),
        ({"ranking_options": {"ranker": "best"}}, "ranking_options.ranker"),
        ({"ranking_options": {"score_threshold": 0.5}}, "ranking_options.score_threshold"),
        ({"ranking_options": {"hybrid_search": {}}}, "ranking_options.hybrid_search"),
        ({"filters": "x"}, "filters"),
        ({"filters": {}}, "filters"),
        ({"filters": compare("author", "x")}, "filters"),
        ({"filters": compare("version", "1", "gt")}, "filters"),
        ({"filters": compare("version", 1)}, "filters.value"),
        ({"filters": compare("version", "1", "in")}, "filters.value"),
        ({"filters": compare("collection", "other")}, "filters"),
        ({"filters": {"type": "and", "filters": []}}, "filters.filters"),
        ({"filters": {"type": "and", "filters": [compare("x", "y")]}}, "filters.filters[0]"),
        ({"filters": {"type": "or", "filters": [compare("version", "1"), compare("collection", "yosys")]}}, "filters"),
    ],
)
def test_a_search_that_cannot_be_done_is_refused_where_it_stands(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as refused:
        read(**fields)
    assert refused.value.param == f"tools[2].{param}"
    assert len(str(refused.value)) < 400
