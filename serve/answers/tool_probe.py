"""Finds out whether an engine can call tools: vLLM refuses every request with tools unless it has a tool parser.

It asks once for one token, and again after a while; an engine that does not answer is taken to be able.

    if await ToolProbe(upstream).calls_tools("chipalign-demo"): ...
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from typing import Any

from rag.printable import printable
from serve.answers.upstream import Upstream
from serve.errors import RequestError, UpstreamRefused

HOLDS_S = 600.0  # how long a finding holds; another engine may have taken this one's place
AGAIN_S = 10.0  # until an engine that did not answer is asked again
PATIENCE_S = 10.0  # for one token
TOOL = {"name": "ping", "description": "Ping.", "parameters": {"type": "object", "properties": {}}}
PROBE: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Say yes."}],
    "tools": [{"type": "function", "function": TOOL}],
    "tool_choice": "auto",
    "max_tokens": 1,
    "temperature": 0,
}
log = logging.getLogger("chipalign.gateway")


class ToolProbe:
    """What is known of an engine's models: whether each can call tools."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._found: dict[str, tuple[bool, float]] = {}

    async def calls_tools(self, model: str) -> bool:
        """Whether a model can be offered tools."""
        can, until = self._found.get(model, (True, 0.0))
        if time.monotonic() < until:
            return can
        # A task of its own, so that the engine's log does not take it for the request that waits for it
        found = await asyncio.create_task(self._ask(model), context=contextvars.Context())
        holds_s = HOLDS_S if found is not None else AGAIN_S
        self._found[model] = found is not False, time.monotonic() + holds_s
        return found is not False

    async def _ask(self, model: str) -> bool | None:
        """The engine's answer; None if it has none now."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._upstream.complete({**PROBE, "model": model})
        except UpstreamRefused as refusal:
            if "tool" not in str(refusal).lower():
                return None
            log.info("the engine cannot call tools: %s", printable(str(refusal))[:300])
            return False
        except (RequestError, TimeoutError):
            return None
        return True
