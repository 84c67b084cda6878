"""The bodies of requests, read within limits, and work that ends when its client hangs up.

It parses nothing.

    body = await read_body(request)
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from serve.errors import BodyNotJson, BodyTooLarge, BodyTooSlow, TooManyInFlight
from serve.gateway.gateway import gateway_of

BODY_TIMEOUT_S = 30.0
MAX_BODY_BYTES = 8 * 1024 * 1024  # a context window of a million tokens is about 4 MB of text
MAX_BODIES_BYTES = 256 * 1024 * 1024  # of all requests together, while they arrive
# A request larger than this waits for the one place of long texts; a window of 8,000 tokens is about 30 KB
LONG_BODY_BYTES = 128 * 1024
# All that HTML forms cannot send
JSON_TYPE = re.compile(r"application/(?:json|[\w.+-]+\+json)\s*(?:;.*)?", re.IGNORECASE | re.ASCII)
T = TypeVar("T")


async def read_body(request: Request) -> bytes:
    """The JSON body of a request, up to a limit.

    Clients must declare JSON: a browser asks before it sends that for a page of another origin, but sends a form
    without asking.

    Raises:
        BodyNotJson: the request declares another type, or none, or is compressed.
        BodyTooLarge: the body exceeds the limit.
        TooManyInFlight: the bodies of all requests together exceed their limit.
        BodyTooSlow: the body is not whole in time, so that a slow sender holds no connection for ever.
    """
    declared = request.headers.get("content-type", "")
    if not JSON_TYPE.fullmatch(declared.strip()):
        found = repr(declared[:100]) if declared else "nothing"
        raise BodyNotJson(
            f"The body must be declared as JSON, and Content-Type says {found}: send the header "
            "'Content-Type: application/json' (curl: -H 'Content-Type: application/json')."
        )

    if (encoding := request.headers.get("content-encoding", "identity").strip().lower()) != "identity":
        raise BodyNotJson(
            f"The body is encoded as {encoding[:100]!r} (Content-Encoding), which this gateway does not read: send it "
            "as it is."
        )

    gateway, body = gateway_of(request), bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for piece in request.stream():
                body += piece
                gateway.body_bytes += len(piece)
                if gateway.body_bytes > MAX_BODIES_BYTES:
                    raise TooManyInFlight(
                        "The gateway is reading as many requests as its memory is meant for: ask again in a few "
                        "seconds."
                    )
                if len(body) > MAX_BODY_BYTES:
                    raise BodyTooLarge(
                        f"The request body is larger than {MAX_BODY_BYTES // 1024 // 1024} MiB: shorten the "
                        "conversation."
                    )

    except TimeoutError:
        raise BodyTooSlow(f"The request body did not arrive within {BODY_TIMEOUT_S:.0f} s.") from None
    finally:
        gateway.body_bytes -= len(body)
    return bytes(body)


async def unless_client_leaves(request: Request, work: Awaitable[T]) -> T:
    """Await the work, but cancel it when the client hangs up, so that the engine stops computing."""

    async def left() -> None:
        """Return once the client has hung up."""
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task, watch = asyncio.ensure_future(work), asyncio.ensure_future(left())
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        for each in (task, watch):
            each.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)
