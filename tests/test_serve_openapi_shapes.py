"""serve.openapi: words for schemas, a description that agrees with the code at every limit, and its page."""

from __future__ import annotations

import html
import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from serve.errors import RequestError
from serve.gateway.feedback_routes import FeedbackRequest
from serve.openai_fields import ChatFields
from serve.openapi import answers, requests
from serve.openapi.document import describe_api
from serve.openapi.operations import EVENTS, FORM, JSON, OPERATIONS
from serve.openapi.page import render
from serve.openapi.shapes import (
    Schema,
    about,
    anything,
    closed,
    either,
    flag,
    items,
    nullable,
    number,
    record,
    ref,
    text,
    whole,
    whole_record,
    word,
)
from serve.protocol import ChatRequest, RetrievalOptions
from serve.request_body import check_shape
from serve.responses.request import ResponsesRequest
from serve.responses.stored_conversations import AddItems, CreateConversation, UpdateConversation
from serve.uploads.requests import AttachFile, CreateBatch, CreateStore, ExpiresAfter, Search, UpdateFile, UpdateStore
from tests.rows import for_each

DOCUMENT = describe_api("http://127.0.0.1:8000", has_key=False)
SCHEMAS = DOCUMENT["components"]["schemas"]
SHAPES: list[tuple[str, type[BaseModel], dict[str, Any]]] = [  # a schema, the code's shape, and what it cannot lack
    ("ChatRequest", ChatRequest, {"messages": [{"role": "user", "content": "a"}]}),
    ("ChatRequest", ChatFields, {}),
    ("RetrievalOptions", RetrievalOptions, {}),
    ("ResponsesRequest", ResponsesRequest, {"input": "a"}),
    ("FeedbackRequest", FeedbackRequest, {"answer_id": "a", "rating": "up"}),
    ("CreateVectorStore", CreateStore, {}),
    ("UpdateVectorStore", UpdateStore, {}),
    ("ExpiresAfter", ExpiresAfter, {"anchor": "last_active_at", "days": 1}),
    ("CreateConversation", CreateConversation, {}),
    ("UpdateConversation", UpdateConversation, {"metadata": None}),
    ("AddItems", AddItems, {"items": [{}]}),
    ("AttachFile", AttachFile, {"file_id": "a"}),
    ("UpdateStoreFile", UpdateFile, {"attributes": None}),
    ("CreateBatch", CreateBatch, {}),
    ("VectorStoreSearch", Search, {"query": "a"}),
]


# Words for schemas


@for_each(
    ("made", "schema"),
    [
        (text(), {"type": "string"}),
        (text("A name.", maxLength=5), {"type": "string", "maxLength": 5, "description": "A name."}),
        (word("a"), {"type": "string", "enum": ["a"]}),
        (whole(least=0), {"type": "integer", "minimum": 0}),
        (whole(least=0, most=0), {"type": "integer", "minimum": 0, "maximum": 0}),
        (number("x", most=1.5), {"type": "number", "maximum": 1.5, "description": "x"}),
        (items(flag(), minItems=1), {"type": "array", "items": {"type": "boolean"}, "minItems": 1}),
        (record(), {"type": "object", "properties": {}}),
        (record("a", a=flag()), {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}),
        (whole_record(a=text(), b=text())["required"], ["a", "b"]),
        (closed(anything()), {"type": "object", "additionalProperties": False}),
        (nullable(text("x", maxLength=2)), {"type": ["string", "null"], "maxLength": 2, "description": "x"}),
        (nullable(items(text()))["type"], ["array", "null"]),
        (nullable(word("a", "b")), {"anyOf": [word("a", "b"), {"type": "null"}]}),
        (nullable(ref("Hit")), {"anyOf": [{"$ref": "#/components/schemas/Hit"}, {"type": "null"}]}),
        (either(text(), whole(), description="x"), {"anyOf": [text(), whole()], "description": "x"}),
        (nullable(nullable(text())), {"anyOf": [nullable(text()), {"type": "null"}]}),
    ],
)
def test_each_word_makes_the_schema_that_it_says(made: Any, schema: Any) -> None:
    assert made == schema


def test_a_description_leaves_the_schema_that_it_is_of_as_it_was() -> None:
    plain = record("a", a=text())
    assert about("Some.", plain)["description"] == "Some."
    assert (nullable(plain)["type"], closed(plain)["additionalProperties"]) == (["object", "null"], False)
    assert plain == record("a", a=text())


# The description and the code


def kinds_of(schema: Schema) -> Iterator[Schema]:
    """The kinds that a value may be of, with references followed."""
    if "$ref" in schema:
        yield from kinds_of(SCHEMAS[schema["$ref"].rpartition("/")[2]])
    elif "anyOf" in schema:
        for each in schema["anyOf"]:
            yield from kinds_of(each)
    else:
        yield schema


def sample(schema: Schema) -> Any:
    """A value of a schema."""
    kind = next(kinds_of(schema))
    names = kind["type"] if isinstance(kind["type"], list) else [kind["type"]]
    if "enum" in kind:
        return kind["enum"][0]
    if names[0] == "object":
        return {name: sample(kind["properties"][name]) for name in kind.get("required", ())}
    plain = {
        "string": "a" * max(1, kind.get("minLength", 1)),
        "integer": 1,
        "number": 0.5,
        "boolean": True,
        "array": [],
    }
    return plain[names[0]]


def at_limits(kind: Schema) -> Iterator[tuple[Any, Any]]:
    """Values at a limit of a schema, each with one that is beyond it."""
    if "maximum" in kind:
        yield kind["maximum"], kind["maximum"] + 1
    if "minimum" in kind:
        yield kind["minimum"], kind["minimum"] - 1
    if "maxLength" in kind:
        yield "a" * kind["maxLength"], "a" * (kind["maxLength"] + 1)
    if kind.get("minLength"):
        yield "a", ""
    if "maxItems" in kind:
        one = sample(kind["items"])
        yield [one] * kind["maxItems"], [one] * (kind["maxItems"] + 1)
    if kind.get("minItems"):
        yield [sample(kind["items"])], []
    if "maxProperties" in kind:
        many = {f"k{count}": "v" for count in range(kind["maxProperties"] + 1)}
        yield dict([*many.items()][1:]), many
    if "enum" in kind:
        yield from ((each, f"{each}?") for each in kind["enum"])


@for_each(("name", "shape", "least"), SHAPES)
def test_what_is_described_as_too_much_is_refused_and_what_is_not_is_taken(
    name: str, shape: type[BaseModel], least: dict[str, Any]
) -> None:
    tried = 0
    for field, schema in SCHEMAS[name]["properties"].items():
        if field not in shape.model_fields:
            continue
        for kind in kinds_of(schema):
            for allowed, beyond in at_limits(kind):
                check_shape(shape, {**least, field: allowed})
                with pytest.raises(RequestError) as caught:
                    check_shape(shape, {**least, field: beyond})
                assert (caught.value.param or "").startswith(field)
                tried += 1
    assert tried or name in ("UpdateConversation", "UpdateStoreFile", "RetrievalOptions")


@for_each(("name", "shape", "least"), SHAPES)
def test_a_field_that_is_described_as_null_or_required_is_so(
    name: str, shape: type[BaseModel], least: dict[str, Any]
) -> None:
    required = set(SCHEMAS[name].get("required", ())) & set(shape.model_fields)
    for field, schema in SCHEMAS[name]["properties"].items():
        if field not in shape.model_fields:
            continue
        if any("null" in kind["type"] for kind in kinds_of(schema)):
            check_shape(shape, {**least, field: None})
    for field in required - {"input"}:  # which a continued response may lack
        with pytest.raises(RequestError) as caught:
            check_shape(shape, {key: each for key, each in least.items() if key != field})
        assert (caught.value.param, caught.value.code) == (field, "missing_required_parameter")


# What each path does


def test_every_operation_names_schemas_that_there_are() -> None:
    for key, operation in OPERATIONS.items():
        named = [operation.answer, operation.body, operation.error, *(operation.other or {}).values()]
        assert not {each for each in named if each} - {*answers.SCHEMAS, *requests.SCHEMAS}, key
        assert operation.summary, key
        assert not operation.summary.endswith("."), key


def test_only_a_request_with_a_body_has_an_example_or_a_stream() -> None:
    for (method, path), operation in OPERATIONS.items():
        assert not (operation.example or operation.streams) or operation.body, path
        assert not operation.body or method in ("POST", "PUT", "PATCH"), path
        assert operation.takes in (JSON, FORM), path
        kinds = DOCUMENT["paths"][path][method.lower()]["responses"]["200"]["content"]
        assert (EVENTS in kinds) == operation.streams, path


def test_a_parameter_of_a_path_is_required_and_one_of_a_query_is_named_once() -> None:
    for key, operation in OPERATIONS.items():
        names = [each.name for each in operation.parameters]
        assert len(names) == len(set(names)), key
        assert all(each.is_required for each in operation.parameters if each.place == "path"), key
        assert {each.place for each in operation.parameters} <= {"path", "query", "header"}, key


# The page


def page_of(schemas: dict[str, Any], **operation: Any) -> str:
    shown = {"tags": ["T"], "operationId": "get_x", "summary": "s", **operation}
    shown.setdefault("responses", {"200": {"content": {JSON: {"schema": {"type": "object"}}}}})
    document = {
        "openapi": "3.1.0",
        "info": {"title": "{t}", "version": "1 & 2", "description": "<d>"},
        "servers": [{"url": "http://h/?a=1&b={c}"}],
        "tags": [{"name": "T"}],
        "paths": {"/x": {"get": shown}},
        "components": {"schemas": schemas},
    }
    return render(document)


def test_braces_and_marks_of_the_description_stand_on_the_page_as_they_are() -> None:
    page = page_of({})
    assert "<title>The API of {t}</title>" in page
    assert "<small>1 &amp; 2</small></h1><p>&lt;d&gt;</p>" in page
    assert "<code>http://h/?a=1&amp;b={c}</code>" in page


@for_each(
    ("schema", "shown"),
    [
        (text(), "string"),
        (nullable(whole()), "integer or null"),
        (word("on", "off"), "&quot;on&quot; or &quot;off&quot;"),
        (nullable(word("on")), "&quot;on&quot; or null"),
        (items(text()), "array of string"),
        (nullable(items(whole())), "array of integer or null"),
        (items(items(number())), "array of array of number"),
        (items(ref("Hit")), 'array of <a href="#Hit">Hit</a>'),
        (nullable(ref("Hit")), '<a href="#Hit">Hit</a> or null'),
        (either(text(), text("other"), whole()), "string or integer"),
        ({}, "any value"),
    ],
)
def test_what_a_value_is_stands_beside_its_name(schema: Schema, shown: str) -> None:
    page = page_of({"Hit": record(), "S": record("a", a=schema, b=text())})
    assert f"<dt>a <small>{shown}, required</small></dt>" in page
    assert "<dt>b <small>string</small></dt>" in page


def test_names_in_a_description_are_code_and_a_lone_mark_is_not() -> None:
    page = page_of({"S": about("Use `a<b` or ` and `c`.", record(a=text("`-hold`")))})
    assert "Use <code>a&lt;b</code> or <code> and </code>c`." in page
    assert "<dd><code>-hold</code></dd>" in page


def test_a_field_without_words_of_its_own_has_those_of_the_schema_that_it_is() -> None:
    assert "<dd>A passage.</dd>" in page_of({"Hit": about("A passage.", record()), "S": record(hit=ref("Hit"))})


def test_every_link_on_the_page_leads_to_a_place_on_it() -> None:
    page = render(DOCUMENT)
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)
    assert set(SCHEMAS) <= set(ids)


def test_each_example_is_a_command_that_a_shell_reads_as_it_is_meant() -> None:
    shown = [html.unescape(each) for each in re.findall(r"<pre>(.*?)</pre>", render(DOCUMENT), re.DOTALL)]
    meant = [(path, each) for (_, path), each in OPERATIONS.items() if each.example]
    assert len(shown) == len(meant) > 5
    found = {}
    for command in shown:
        program, url, *rest = shlex.split(command.replace("\\\n", ""))
        options = dict(zip(rest[::2], rest[1::2], strict=True))
        assert (program, options["-H"]) == ("curl", "Content-Type: application/json")
        found[url.removeprefix("http://127.0.0.1:8000")] = json.loads(options["-d"])
    assert found == {path: each.example for path, each in meant}


def test_an_example_with_a_quote_is_still_one_word_for_a_shell() -> None:
    body = {"content": {JSON: {"schema": {"type": "object"}, "example": {"input": "What's \\ <hold>?"}}}}
    [command] = re.findall(r"<pre>(.*?)</pre>", page_of({}, requestBody=body), re.DOTALL)
    assert json.loads(shlex.split(html.unescape(command))[-1]) == {"input": "What's \\ <hold>?"}
