"""POST /mcp: the tools for hosts of MCP, with the gateway's own search, answers, key and limits.

The protocol is `serve.mcp`'s; here stands what the tools do in a gateway.

    Endpoint("/mcp", "POST", mcp)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from serve.answers.passage_search import check_number
from serve.errors import RequestError
from serve.gateway.answering import ask, whole_answer
from serve.gateway.bodies import LONG_BODY_BYTES, read_body, unless_client_leaves
from serve.gateway.gateway import Gateway
from serve.gateway.search_routes import find
from serve.mcp.index_tools import INDEX_TOOLS, IndexTools
from serve.mcp.results import Result, describe_answer, describe_search
from serve.mcp.tools import AskArguments, ReferenceArguments, SearchArguments
from serve.protocol import ChatRequest, RetrievalOptions
from serve.request_body import read_object


async def mcp(request: Request) -> Response:
    """POST /mcp: one message of a host; each is answered by itself, so that there is nothing to GET and to DELETE."""
    body = await read_body(request)
    read_object(body)  # in bounded time and memory, which the SDK's own reading is not
    return await unless_client_leaves(request, request.app.state.mcp.answer(request.scope, body))


@asynccontextmanager
async def serve_mcp(gateway: Gateway) -> AsyncIterator[McpService]:
    """What answers /mcp, as long as the gateway runs."""
    service = McpService(gateway)
    try:
        yield service
    finally:
        await service.stop()


class McpService:
    """Answers messages from the first one on: the SDK, which takes a second to load, is loaded for it."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._running: asyncio.Task[None] | None = None
        self._service: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._stopped = asyncio.Event()

    async def answer(self, scope: Scope, body: bytes) -> Response:
        """The answer to one message."""
        self._running = self._running or asyncio.create_task(self._run())
        response: Response = await (await asyncio.shield(self._service)).answer(scope, body)
        return response

    async def stop(self) -> None:
        """End what was begun."""
        self._stopped.set()
        self._service.cancel()
        if self._running:
            await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self) -> None:
        """Serve until the gateway stops: in a task of its own, as the SDK's needs."""
        try:
            serve_http, server = await asyncio.to_thread(_load, self._gateway)
            async with serve_http(server) as service:
                self._service.set_result(service)
                await self._stopped.wait()
        except Exception as error:
            if self._service.done():
                raise
            self._service.set_exception(error)


def _load(gateway: Gateway) -> tuple[Callable[[Any], AbstractAsyncContextManager[Any]], Any]:
    """What serves over HTTP, and the server of a gateway's tools."""
    from serve.mcp.http_service import serve_http
    from serve.mcp.server import Handler, answer_calls, make_server

    tools = GatewayTools(gateway)
    in_threads = {name: partial(tools.in_thread, tool) for name, tool in INDEX_TOOLS.items()}
    handlers: dict[str, Handler] = {
        **in_threads,
        "search": tools.search,
        "reference": tools.reference,
        "ask": tools.ask,
    }
    return serve_http, make_server(answer_calls(handlers))


class GatewayTools:
    """What the tools do in a gateway. All raise RequestError."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def in_thread(self, tool: Callable[[IndexTools, Any], Result], given: Any) -> Result:
        """A tool of the index as it is now, in a question's place."""
        gateway = self._gateway
        tools = IndexTools(gateway.passages(), gateway.passage_url, gateway.code_checker)
        return await gateway.slots.run(partial(tool, tools, given), False)

    async def reference(self, given: ReferenceArguments) -> Result:
        """As /v1/reference."""
        gateway = self._gateway
        passages = gateway.passages()

        def look_up() -> Result:
            """The cards in the collections and vector stores that are named."""
            check_number(given.collections)
            part = gateway.narrow(passages, given.collections, param="collections").passages
            tools = IndexTools(part, gateway.passage_url, gateway.code_checker)
            return tools.reference(given.model_copy(update={"collections": []}))

        return await gateway.slots.run(look_up, False)

    async def search(self, given: SearchArguments) -> Result:
        """As /v1/search."""
        return describe_search(await find(self._gateway, given.query, given.top_k, given.collections))

    async def ask(self, given: AskArguments) -> Result:
        """As a chat's first question, answered whole."""
        if not given.question.strip():
            raise RequestError("'question' is empty: ask a question.", "question")
        retrieval = RetrievalOptions(enabled=True, top_k=given.top_k, collections=given.collections)
        chat = ChatRequest(messages=[{"role": "user", "content": given.question}], retrieval=retrieval)
        gateway = self._gateway
        with gateway.admission.admit():
            asked = await ask(gateway, chat, len(given.question) > LONG_BODY_BYTES)
            return describe_answer(await gateway.admission.unless_stopped(whole_answer(asked)))
