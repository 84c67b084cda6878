"""The description of the API names only schemas that it has, with the code's own fields; its page shows all of it."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from serve.gateway.feedback_routes import FeedbackRequest
from serve.openai_fields import ChatFields
from serve.openapi import answers, requests
from serve.openapi.document import describe_api
from serve.openapi.operations import OPERATIONS
from serve.openapi.page import render
from serve.protocol import ChatRequest, RetrievalOptions
from serve.responses.request import ResponsesRequest
from serve.responses.stored_conversations import AddItems, CreateConversation, UpdateConversation
from serve.uploads.requests import AttachFile, CreateBatch, CreateStore, Search, UpdateFile, UpdateStore
from tests.conftest import Gateway
from tests.fake_engine import FakeEngine

DOCUMENT = describe_api("http://127.0.0.1:8000", has_key=True)


def test_every_schema_that_it_names_is_there_and_every_one_is_named() -> None:
    named = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(DOCUMENT)))
    assert named == {*answers.SCHEMAS, *requests.SCHEMAS}
    assert not answers.SCHEMAS.keys() & requests.SCHEMAS.keys()


def test_ids_are_unique_and_parameters_of_paths_are_described() -> None:
    operations = [(path, each) for path, methods in DOCUMENT["paths"].items() for each in methods.values()]
    ids = [each["operationId"] for _, each in operations]
    assert len(ids) == len(set(ids))
    for path, each in operations:
        of_path = {one["name"] for one in each.get("parameters", ()) if one["in"] == "path"}
        assert of_path == set(re.findall(r"{(\w+)}", path))


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("ChatRequest", (ChatRequest, ChatFields)),
        ("ResponsesRequest", (ResponsesRequest,)),
        ("RetrievalOptions", (RetrievalOptions,)),
        ("FeedbackRequest", (FeedbackRequest,)),
        ("CreateVectorStore", (CreateStore,)),
        ("UpdateVectorStore", (UpdateStore,)),
        ("CreateConversation", (CreateConversation,)),
        ("UpdateConversation", (UpdateConversation,)),
        ("AddItems", (AddItems,)),
        ("AttachFile", (AttachFile,)),
        ("UpdateStoreFile", (UpdateFile,)),
        ("CreateBatch", (CreateBatch,)),
        ("VectorStoreSearch", (Search,)),
    ],
)
def test_the_fields_of_a_request_are_those_that_the_code_reads(name: str, shapes: tuple[type[BaseModel], ...]) -> None:
    read = {field for shape in shapes for field in shape.model_fields}
    assert set(requests.SCHEMAS[name]["properties"]) == read


def test_a_key_is_described_where_one_is_asked_for() -> None:
    search = DOCUMENT["paths"]["/v1/search"]["get"]
    assert search["security"] == [{"bearer": []}, {"header": []}]
    assert DOCUMENT["paths"]["/health"]["get"]["security"] == []
    assert describe_api("http://x", has_key=False)["paths"]["/v1/search"]["get"]["security"] == []


def test_the_gateway_gives_it_without_a_key_under_its_own_address(gateway_at: Gateway, engine: FakeEngine) -> None:
    with gateway_at(engine.url, api_key="sk-right", public_url="https://docs.example/chip") as url:
        given = httpx.get(f"{url}/openapi.json").json()
    assert given == describe_api("https://docs.example/chip", has_key=True)
    assert given["openapi"] == "3.1.0"


# Those of paths with an id stand in the guide, where a test runs them with real ids
SHOWN = [key for key, each in OPERATIONS.items() if each.example and "{" not in key[1]]


@pytest.mark.parametrize("key", SHOWN, ids=" ".join)
def test_the_example_of_a_path_works(uploading: str, key: tuple[str, str]) -> None:
    method, path = key
    answer = httpx.request(method, f"{uploading}{path}", json=OPERATIONS[key].example, timeout=20)
    assert answer.status_code == 200


def test_the_page_shows_every_path_without_a_script_or_a_foreign_address(gateway: str) -> None:
    page = httpx.get(f"{gateway}/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "script-src" not in page.headers["content-security-policy"]
    assert page.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    for method, path in OPERATIONS:
        assert f"<b>{method}</b> <code>{path}</code>" in page.text
    assert "<script" not in page.text
    assert set(re.findall(r"https?://[^/\s<&]+", page.text)) == {gateway}


def test_the_page_escapes_what_it_shows() -> None:
    hostile: dict[str, Any] = json.loads(json.dumps(DOCUMENT).replace("Search without a model", "<img src=x>"))
    assert "&lt;img src=x&gt;" in render(hostile)
    assert "<img" not in render(hostile)
