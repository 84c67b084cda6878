"""/v1/conversations: OpenAI's kept conversations, and the items in them.

It reads requests and writes answers; `serve.responses.stored_conversations` does the work, in threads.

    Endpoint("/v1/conversations", "POST", create_conversation)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serve.gateway.bodies import read_body
from serve.gateway.gateway import gateway_of
from serve.request_body import check_shape, read_object
from serve.responses import stored_conversations
from serve.responses.stored_conversations import AddItems, CreateConversation, UpdateConversation
from serve.store.database import Database
from serve.uploads.pages import read_page

P = ParamSpec("P")


async def create_conversation(request: Request) -> Response:
    """POST /v1/conversations: with its first items, or empty."""
    wanted = check_shape(CreateConversation, read_object(await read_body(request)))
    return await _answer(request, stored_conversations.create_conversation, wanted)


async def show_conversation(request: Request) -> Response:
    """GET /v1/conversations/{conversation_id}."""
    return await _answer(request, stored_conversations.show_conversation, _id(request))


async def update_conversation(request: Request) -> Response:
    """POST /v1/conversations/{conversation_id}: other metadata."""
    wanted = check_shape(UpdateConversation, read_object(await read_body(request)))
    return await _answer(request, stored_conversations.update_conversation, _id(request), wanted.metadata)


async def delete_conversation(request: Request) -> Response:
    """DELETE /v1/conversations/{conversation_id}."""
    return await _answer(request, stored_conversations.delete_conversation, _id(request))


async def list_items(request: Request) -> Response:
    """GET /v1/conversations/{conversation_id}/items: the newest first, in pages."""
    return await _answer(request, stored_conversations.list_items, _id(request), read_page(request.query_params))


async def add_items(request: Request) -> Response:
    """POST /v1/conversations/{conversation_id}/items."""
    wanted = check_shape(AddItems, read_object(await read_body(request)))
    return await _answer(request, stored_conversations.add_items, _id(request), wanted)


async def show_item(request: Request) -> Response:
    """GET /v1/conversations/{conversation_id}/items/{item_id}."""
    return await _answer(request, stored_conversations.show_item, _id(request), request.path_params["item_id"])


async def delete_item(request: Request) -> Response:
    """DELETE /v1/conversations/{conversation_id}/items/{item_id}: answered with the conversation."""
    return await _answer(request, stored_conversations.delete_item, _id(request), request.path_params["item_id"])


async def _answer(
    request: Request,
    operation: Callable[Concatenate[Database, P], dict[str, Any]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> Response:
    """What an operation on the store gives."""
    return JSONResponse(await run_in_threadpool(operation, gateway_of(request).database, *args, **kwargs))


def _id(request: Request) -> str:
    conversation_id: str = request.path_params["conversation_id"]
    return conversation_id
