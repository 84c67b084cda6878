"""serve.responses.file_search: what the tool asks for, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from serve.errors import RequestError
from serve.filters import is_wanted
from serve.protocol import RetrievalOptions
from serve.responses.file_search import FileSearch, read_file_search
from tests.rows import for_each


def read(**fields: Any) -> FileSearch:
    return read_file_search({"type": "file_search", "vector_store_ids": ["openroad", "yosys"], **fields}, "tools[2]")


def compare(key: str, value: Any, kind: str = "eq") -> dict[str, Any]:
    return {"type": kind, "key": key, "value": value}


def test_vector_stores_are_collections() -> None:
    assert read(vector_store_ids=["a", "b", "a"], max_num_results=7) == FileSearch("tools[2]", ("a", "b"), 7)


def test_of_the_ranking_options_the_least_score_counts_alone() -> None:
    options = {"ranker": "default-2024-11-15", "hybrid_search": {"text_weight": 1}, "score_threshold": 0.25}
    assert read(ranking_options=options).options(RetrievalOptions()).score_threshold == 0.25
    own = RetrievalOptions(score_threshold=0.5, top_k=3)
    for nothing in (None, {}, {"ranker": "auto", "score_threshold": None}):
        assert read(ranking_options=nothing).options(own).score_threshold == 0.5


def test_filters_by_any_attribute_go_to_the_search() -> None:
    both = {"type": "and", "filters": [compare("team", "analog"), compare("year", 2020, "gte")]}
    options = read(filters=both).options(RetrievalOptions(top_k=3))
    assert (options.collections, options.top_k) == (["openroad", "yosys"], 3)
    assert options.filters is not None
    assert is_wanted(options.filters, {"team": "analog", "year": 2021})
    assert not is_wanted(options.filters, {"team": "analog", "year": 2019})


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
        ({"ranking_options": {"score_threshold": 1.5}}, "ranking_options.score_threshold"),
        ({"ranking_options": {"score_threshold": True}}, "ranking_options.score_threshold"),
        ({"ranking_options": {"score_threshold": "0.5"}}, "ranking_options.score_threshold"),
        ({"filters": "x"}, "filters"),
        ({"filters": {}}, "filters.type"),
        ({"filters": compare("version", "1", "like")}, "filters.type"),
        ({"filters": {"type": "or", "filters": [compare("x", {})]}}, "filters.filters[0].value"),
    ],
)
def test_a_search_that_cannot_be_done_is_refused_where_it_stands(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as refused:
        read(**fields)
    assert refused.value.param == f"tools[2].{param}"
    assert len(str(refused.value)) < 400
