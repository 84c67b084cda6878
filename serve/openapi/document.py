"""The description of the gateway's API as an OpenAPI 3.1 document, made from the tables beside it.

It decides nothing about the API.

    describe_api("http://127.0.0.1:8000", has_key=True)["paths"]["/v1/search"]["get"]
"""

from __future__ import annotations

import re
from importlib import metadata
from typing import Any

from serve.openapi import answers, requests
from serve.openapi.operations import EVENTS, JSON, OPERATIONS, Operation, Parameter
from serve.openapi.shapes import about, record, ref, text

ABOUT = (
    "An assistant for chip designers: OpenAI's API over your own documents. What it says stands in them, and it shows "
    "where."
)
KEYS = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "The gateway's key, CHIPALIGN_API_KEY."},
    "header": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "The same, as Anthropic has it."},
}


def describe_api(base_url: str, has_key: bool) -> dict[str, Any]:
    """The document; has_key: the gateway asks for a key."""
    paths: dict[str, dict[str, Any]] = {}
    for (method, path), operation in OPERATIONS.items():
        paths.setdefault(path, {})[method.lower()] = _describe(method, path, operation, has_key)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ChipAlign",
            "version": metadata.version("chipalign"),
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": base_url}],
        "tags": [{"name": group} for group in dict.fromkeys(each.group for each in OPERATIONS.values())],
        "paths": paths,
        "components": {"schemas": {**requests.SCHEMAS, **answers.SCHEMAS}, "securitySchemes": KEYS},
    }


def _describe(method: str, path: str, operation: Operation, has_key: bool) -> dict[str, Any]:
    """One method of a path."""
    described: dict[str, Any] = {
        "operationId": "_".join([method.lower(), *re.findall(r"\w+", path)]),
        "tags": [operation.group],
        "summary": operation.summary,
        "security": [{name: []} for name in KEYS] if has_key and operation.needs_key else [],
        "responses": _responses(operation),
    }
    if operation.description:
        described["description"] = operation.description
    if operation.parameters:
        described["parameters"] = [_parameter(each) for each in operation.parameters]
    if operation.body:
        content = {"schema": ref(operation.body)} | ({"example": operation.example} if operation.example else {})
        described["requestBody"] = {"required": True, "content": {operation.takes: content}}
    return described


def _responses(operation: Operation) -> dict[str, Any]:
    """What is answered, by status."""
    schema = (
        ref(operation.answer) if operation.answer else {"type": "object" if operation.content == JSON else "string"}
    )
    content: dict[str, Any] = {operation.content: {"schema": schema}}
    if operation.streams:
        event = record("data", event=text(), data=text("JSON, or what ends the stream."))
        content[EVENTS] = {"schema": about("An event of a stream, where the request has `stream`.", event)}

    named = [ref(name) for name in dict.fromkeys(["Error", operation.error])]
    error = {JSON: {"schema": {"anyOf": named} if len(named) > 1 else named[0]}}
    responses: dict[str, Any] = {"200": {"description": "The answer.", "content": content}}
    for status, name in (operation.other or {}).items():
        responses[status] = {"description": "An answer of another kind."}
        if name:
            responses[status]["content"] = {JSON: {"schema": ref(name)}}
    responses["4XX"] = {"description": "The request is wrong; the message says how.", "content": error}
    responses["5XX"] = {"description": "The engine or the gateway failed; the message says how.", "content": error}
    return responses


def _parameter(given: Parameter) -> dict[str, Any]:
    schema = {"type": "array", "items": given.schema} if given.is_repeated else given.schema
    return {"name": given.name, "in": given.place, "required": given.is_required, "schema": schema}
