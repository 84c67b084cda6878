"""Hands a tool's call on to a gateway's /mcp: what `chipalign mcp --url` answers hosts with that start a program.

It keeps nothing between calls, so that a gateway may stop, restart and change its index meanwhile.

    async with Bridge("http://127.0.0.1:8000", "", 900.0) as bridge: await bridge.call("search", {"query": "hold"})
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

import httpx
from mcp_types import CallToolResult

from chipalign_settings import redact
from rag.embedding.servers import is_loopback
from serve.mcp.server import failed

# The SDK's last version whose requests need nothing around them; the gateway answers each by itself
PROTOCOL_VERSION = "2025-11-25"
CONNECT_TIMEOUT_S = 5.0
SHOWN = 300  # characters of a foreign server's answer


class Bridge:
    """One HTTP client to a gateway."""

    def __init__(
        self, url: str, api_key: str, timeout_s: float, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.url = redact(url)
        address = httpx.URL(url.rstrip("/").removesuffix("/v1").removesuffix("/mcp"))
        self._client = httpx.AsyncClient(
            base_url=address.copy_with(userinfo=b""),
            auth=(address.username, address.password) if address.userinfo and not api_key else None,
            headers={
                "Accept": "application/json, text/event-stream",
                "MCP-Protocol-Version": PROTOCOL_VERSION,
                **({"Authorization": f"Bearer {api_key}"} if api_key else {}),
            },
            timeout=httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S),
            transport=transport,
            trust_env=not is_loopback(address.host),  # a company's proxy knows nothing of this machine
        )

    async def __aenter__(self) -> Bridge:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def call(self, name: str, arguments: Mapping[str, Any]) -> CallToolResult:
        """What the gateway's tool gives; an error in words where there is none."""
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}}
        try:
            response = await self._client.post("/mcp", json=message)
        except httpx.TimeoutException:
            return failed(f"The gateway at {self.url} did not answer in time: ask again, or search instead.")
        except httpx.HTTPError as error:
            return failed(
                f"The gateway at {self.url} cannot be reached ({str(error)[:SHOWN]}): start it with `chipalign up`, or "
                "name another with CHIPALIGN_URL."
            )
        try:
            return _read(response.json())
        except (ValueError, KeyError, TypeError):  # pydantic's errors are ValueErrors
            said = " ".join(response.text.split())[:SHOWN]
            return failed(f"{self.url} answers with status {response.status_code}, and not as a gateway does: {said}")


def _read(answer: dict[str, Any]) -> CallToolResult:
    """The result in an answer to a call. Raises ValueError, KeyError, TypeError: it is not one."""
    if "error" in answer:  # MCP's own, or OpenAI's envelope
        return failed(str(answer["error"]["message"]))
    return CallToolResult.model_validate(answer["result"])
