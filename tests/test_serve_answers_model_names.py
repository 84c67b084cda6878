"""What the names of a model mean, and which of a request's three ways to choose its retrieval counts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.answers.model_names import NamedModel, choose_retrieval, offered_names, read_name, write_name
from serve.errors import RequestError
from serve.protocol import ChatRequest, parse_chat_request
from tests.rows import for_each

NAME = NamedModel("chip")
PLAIN = NamedModel("chip", is_plain=True)
NARROW = NamedModel("chip", collection="openroad")


def request(**retrieval: Any) -> ChatRequest:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": "What is hold slack?"}]}
    return parse_chat_request(json.dumps({**body, **({"retrieval": retrieval} if retrieval else {})}).encode())


@for_each(
    ("asked", "meant"),
    [
        ("chip", NAME),
        ("chip-plain", PLAIN),
        ("chip@openroad", NARROW),
        ("chip@openroad@2.0", NamedModel("chip", collection="openroad@2.0")),
        ("chip@2026", NamedModel("chip@2026")),
        ("chip@2026@openroad", NamedModel("chip@2026", collection="openroad")),
        ("chip-plain-plain", None),
        ("chip-plain@openroad", None),
        ("chip@", None),
        ("chi", None),
        ("chip2", None),
        ("", None),
    ],
)
def test_a_name_is_that_of_the_longest_model_it_begins_with(asked: str, meant: NamedModel | None) -> None:
    assert read_name(asked, ["chip", "chip@2026", "org/chip"]) == meant


def test_a_model_whose_own_name_ends_as_a_plain_one_stays_itself() -> None:
    assert read_name("chip-plain", ["chip", "chip-plain"]) == NamedModel("chip-plain")


@given(st.text(min_size=1), st.lists(st.text("abc@.-2", min_size=1), unique=True))
def test_every_offered_name_is_read_as_what_it_offers(model_id: str, collections: list[str]) -> None:
    for named in offered_names(model_id, (name for name in collections if name.partition("@")[0])):
        assert read_name(write_name(named), [model_id]) == named


def test_versions_are_offered_each_and_as_a_whole() -> None:
    names = [write_name(named) for named in offered_names("chip", ["sta", "openroad@2.0", "openroad@3.0"])]
    assert names == ["chip", "chip-plain", "chip@openroad", "chip@openroad@2.0", "chip@openroad@3.0", "chip@sta"]


@for_each(
    ("field", "header", "named", "enabled"),
    [
        (None, None, NAME, True),
        (None, None, PLAIN, False),
        (None, "off", NAME, False),
        (None, " On ", PLAIN, True),
        (True, "off", PLAIN, True),
        (False, "on", NAME, False),
        (False, None, NARROW, False),
    ],
)
def test_the_requests_field_counts_before_the_header_and_that_before_the_name(
    field: bool | None, header: str | None, named: NamedModel, enabled: bool
) -> None:
    asked = request() if field is None else request(enabled=field)
    assert choose_retrieval(asked, named, header).enabled is enabled


def test_collections_of_the_request_count_before_that_of_the_name() -> None:
    assert choose_retrieval(request(), NARROW, None).collections == ["openroad"]
    assert choose_retrieval(request(collections=["yosys"]), NARROW, None).collections == ["yosys"]
    assert choose_retrieval(request(top_k=2), NARROW, None).top_k == 2


@for_each("header", ["", "yes", "on, off"])
def test_a_header_of_another_word_is_refused(header: str) -> None:
    with pytest.raises(RequestError, match=r"x-chipalign-retrieval is '.*': give 'on' or 'off'"):
        choose_retrieval(request(), NAME, header)
