"""The subcommand `mcp`: the tools over stdio, for hosts of MCP that start a program and talk to it.

With --url it hands calls on to a running gateway; with --index it answers from an index alone, without any gateway.

    chipalign mcp --index my-index/
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serve.mcp.settings import McpSettings

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

    from rag.search.live import LiveRetriever
    from serve.mcp.results import Result


def mcp(argv: list[str]) -> int:
    """`chipalign mcp`: until the host closes its end."""
    parser = argparse.ArgumentParser(
        prog="chipalign mcp",
        description=(
            "Tools over the documentation for hosts of MCP (editors, agents), over stdin and stdout: search, fetch, "
            "ask, reference, check_code. A running gateway also has them at /mcp."
        ),
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--url", help="address of a gateway (default: CHIPALIGN_URL, or http://127.0.0.1:8000)")
    where.add_argument(
        "--index", type=Path, metavar="DIR", help="answer from this index alone, without a gateway: all tools but ask"
    )
    options = parser.parse_args(argv)
    settings = McpSettings.from_env(options={"url": options.url} if options.url else {})

    # stdout belongs to the protocol
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    asyncio.run(_serve_index(options.index) if options.index else _serve_gateway(settings))
    return 0


async def _serve_gateway(settings: McpSettings) -> None:
    from serve.mcp.bridge import Bridge
    from serve.mcp.server import make_server

    async with Bridge(settings.url, settings.api_key, settings.answer_timeout_s) as bridge:
        await _run(make_server(bridge.call))


async def _serve_index(index_dir: Path) -> None:
    """Raises what opening the index raises."""
    from rag.checking.code_checks import CodeChecker
    from rag.search.live import LiveRetriever
    from rag.settings import RagSettings
    from serve.mcp.index_tools import INDEX_TOOLS
    from serve.mcp.server import answer_calls, make_server

    index, checker = LiveRetriever.open(index_dir, RagSettings.from_env()), CodeChecker()
    handlers = {name: _in_thread(index, checker, tool) for name, tool in INDEX_TOOLS.items()}
    with index.watched():
        await _run(make_server(answer_calls(handlers), handlers))


def _in_thread(index: LiveRetriever, checker: Any, tool: Callable[..., Result]) -> Callable[[Any], Awaitable[Result]]:
    """A tool over the index as it is when it is called."""
    from rag.documents import Hit
    from rag.errors import IndexUnusable
    from serve.answers.passage_page import public_url
    from serve.errors import RetrievalUnavailable
    from serve.mcp.index_tools import IndexTools

    def passage_url(hit: Hit) -> str:
        """The document's public page; "" where it has none, for no gateway shows its passages."""
        return public_url(hit.chunk.url) or ""

    async def call(given: Any) -> Result:
        """Raises RequestError."""
        try:
            passages = index.current()
        except IndexUnusable as error:
            raise RetrievalUnavailable(f"{error}") from error
        return await asyncio.to_thread(tool, IndexTools(passages, passage_url, checker), given)

    return call


async def _run(server: Server[Any]) -> None:
    """Serve stdin and stdout until the host closes them."""
    from mcp.server.stdio import stdio_server

    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())
