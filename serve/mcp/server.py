"""An MCP server over some of the tools: it lists them, checks what a call carries, and turns failures into words.

It knows no transport: `http_service` and the SDK's stdio carry it.

    server = make_server(answer_calls({"search": search, "fetch": fetch}), ("search", "fetch"))
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from importlib import metadata
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)

from rag.printable import printable
from serve.errors import RequestError
from serve.mcp.results import Result
from serve.mcp.tools import INSTRUCTIONS, TOOLS
from serve.request_body import check_shape

Handler = Callable[[Any], Awaitable[Result]]  # takes the tool's arguments; raises RequestError
Call = Callable[[str, Mapping[str, Any]], Awaitable[CallToolResult]]
log = logging.getLogger("chipalign.mcp")


def make_server(call: Call, names: Iterable[str] = tuple(TOOLS)) -> Server[Any]:
    """The server of the named tools, each of whose calls `call` answers."""
    offered = [describe_tool(name) for name in names]

    async def list_tools(_: ServerRequestContext[Any], __: PaginatedRequestParams | None) -> ListToolsResult:
        """All tools; they are few."""
        return ListToolsResult(tools=offered)

    async def call_tool(_: ServerRequestContext[Any], given: CallToolRequestParams) -> CallToolResult:
        """The result of a tool, or its error in words."""
        return await call(given.name, given.arguments or {})

    return Server(
        "chipalign",
        version=metadata.version("chipalign"),
        title="ChipAlign",
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def describe_tool(name: str) -> Tool:
    """A tool as hosts see it; none changes anything, and none looks beyond the index."""
    tool = TOOLS[name]
    return Tool(
        name=name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.input_schema,
        output_schema=tool.output_schema,
        annotations=ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False),
    )


def answer_calls(handlers: Mapping[str, Handler]) -> Call:
    """What answers calls of these tools: it checks their arguments first."""

    async def call(name: str, arguments: Mapping[str, Any]) -> CallToolResult:
        """The result of a tool, or an error that the model reads."""
        if name not in handlers:
            return failed(f"There is no tool {name[:100]!r}; the tools are {', '.join(handlers)}.")
        try:
            result = await handlers[name](check_shape(TOOLS[name].arguments, arguments))
        except RequestError as error:
            return failed(str(error))
        except Exception:  # the outermost layer of a call: the SDK would show the client a bug's own words
            log.exception("the tool %s failed", printable(name))
            return failed("The tool failed on this call; the log of the server says why.")
        return CallToolResult(content=[TextContent(text=result.text)], structured_content=result.data)

    return call


def failed(sentence: str) -> CallToolResult:
    """An error that the model reads and may act on."""
    return CallToolResult(content=[TextContent(text=sentence)], is_error=True)
