"""MCP's streamable HTTP over one server: each request is answered by itself and whole, with no session to keep.

It reads no socket and checks no key: the gateway does, as for its other paths.

    async with serve_http(server) as service: response = await service.answer(request.scope, body)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.responses import Response
from starlette.types import Message, Scope

LONGEST_BODY_BYTES = 8 * 1024 * 1024  # the gateway's own limit, so that it refuses first and in its own words


class HttpService:
    """Answers requests for as long as `serve_http` lasts."""

    def __init__(self, manager: StreamableHTTPSessionManager) -> None:
        self._manager = manager

    async def answer(self, scope: Scope, body: bytes) -> Response:
        """The answer to a POST; whoever cancels this ends the tool's work."""
        given: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        sent: list[Message] = []

        async def receive() -> Message:
            """The body, and then nothing: whether the client is still there is watched elsewhere."""
            if not given:
                await asyncio.Event().wait()
            return given.pop()

        async def send(message: Message) -> None:
            """Keep a part of the answer."""
            sent.append(message)

        await self._manager.handle_request(scope, receive, send)
        start, *parts = sent
        response = Response(b"".join(part.get("body", b"") for part in parts), start["status"])
        for name, value in start.get("headers", ()):
            if name.lower() != b"content-length":
                response.headers[name.decode("latin-1")] = value.decode("latin-1")
        return response


@asynccontextmanager
async def serve_http(server: Server[Any]) -> AsyncIterator[HttpService]:
    """The service of a server."""
    manager = StreamableHTTPSessionManager(
        server, json_response=True, stateless=True, max_request_body_size=LONGEST_BODY_BYTES
    )
    async with manager.run():
        yield HttpService(manager)
