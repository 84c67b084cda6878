"""Asks an MCP server by the SDK's own client, which holds each result against the schema of its tool.

with_tools("http://127.0.0.1:8000/mcp", lambda client: client.call_tool("search", {"query": "hold"}))
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

T = TypeVar("T")


def with_client(server: Any, ask: Callable[[Client], Awaitable[T]], mode: str = "auto", api_key: str = "") -> T:
    """What `ask` makes of a client connected to a server: an address, or how to start a program."""

    async def run() -> T:
        if not api_key:
            async with Client(server, mode=mode, read_timeout_seconds=60) as client:
                return await ask(client)
        headers = {"Authorization": f"Bearer {api_key}"}
        http = httpx2.AsyncClient(headers=headers, timeout=60)
        async with http, Client(streamable_http_client(server, http_client=http), mode=mode) as client:
            return await ask(client)

    return asyncio.run(run())


def call(server: Any, name: str, arguments: dict[str, Any], **more: Any) -> Any:
    """The result of one call."""
    return with_client(server, lambda client: client.call_tool(name, arguments), **more)


def said(result: Any) -> str:
    """The text of a result."""
    (content,) = result.content
    return str(content.text)


def data(result: Any) -> dict[str, Any]:
    """The structured content of a result that is not an error."""
    assert not result.is_error, said(result)
    content: dict[str, Any] = json.loads(json.dumps(result.structured_content))
    return content


def sentence(result: Any) -> str:
    """The words of an error."""
    assert result.is_error
    assert result.structured_content is None
    assert said(result).endswith((".", "?"))
    return said(result)
