"""The server under the gateway: uvicorn with limits on what clients can hold, and with a bounded shutdown.

`h11` reads HTTP here, in every installation: it is strict and comes with uvicorn. `app` answers the requests.

    make_server(create_app(settings, newest, counter), settings).run()
"""

from __future__ import annotations

import asyncio
import collections
import json
import logging
import math
import resource
import socket
import sys
import time
from functools import partial
from typing import Any, cast

import h11
import uvicorn
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from serve.errors import HeadersTooLarge, RequestError, TooManyConnections
from serve.gateway.app import FOR_ANYBODY, SECURE, error_response
from serve.gateway.metrics import Metrics
from serve.settings import ServeSettings

log = logging.getLogger("chipalign.connections")
quiet = logging.getLogger("chipalign.connections.uvicorn")
quiet.setLevel(logging.ERROR)  # uvicorn warns of every bad request; `Watch` counts them instead

OPEN_FILES = 65_536  # this process asks for as many: two for each of 32,000 connections
OTHER_FILES = 256  # of an index, a log, libraries
SPARE_CONNECTIONS = 64  # beyond the limit, to refuse in words, and for /health
SEND_BUFFER_BYTES = 256 * 1024  # in the kernel, per connection; we see what a client leaves unread beyond it
TICKS_PER_LOOK = 5  # uvicorn's ticks are 0.1 s
LAST_WORDS_S = 2  # after the drain: time for the error events of streams

HEADERS_LATE, NOT_READ, REFUSED, NOT_HTTP = "headers late", "not read", "refused", "not HTTP"


class Watch:
    """State that all connections share: the limits, and how many connections each ended since the last log line."""

    def __init__(self, settings: ServeSettings, limit: int) -> None:
        self.settings = settings
        self.limit = limit
        self.ended: collections.Counter[str] = collections.Counter()
        self._said = {
            HEADERS_LATE: f"closed: no request within {settings.header_timeout_s:g} s (CHIPALIGN_HEADER_TIMEOUT_S)",
            NOT_READ: f"cut off: nothing was read for {settings.write_timeout_s:g} s (CHIPALIGN_WRITE_TIMEOUT_S)",
            REFUSED: f"refused: {limit} are open (CHIPALIGN_MAX_CONNECTIONS)",
            NOT_HTTP: f"refused: not HTTP, or headers above {settings.max_header_kb} KiB (CHIPALIGN_MAX_HEADER_KB)",
        }

    def report(self, metrics: Metrics) -> None:
        """Log one line for each limit that acted, however often it did."""
        for why, count in self.ended.items():
            metrics.cut_off.labels(why).inc(count)
            log.warning("connections %s: %d", self._said[why], count)
        self.ended.clear()


class Connection(H11Protocol):
    """One connection; it records since when its client owes it something."""

    def __init__(self, *, watch: Watch, **of_uvicorn: Any) -> None:
        super().__init__(**of_uvicorn)
        self.logger = quiet
        self._watch = watch
        self._owed_since: float | None = None  # the rest of a request, or of its head
        self._unsent = 0  # bytes, at the last look
        self._unsent_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Note the start; refuse a connection beyond the limit in words, and one far beyond it without."""
        super().connection_made(transport)
        self._owed_since = self._unsent_since = time.monotonic()
        if len(self.connections) > self._watch.limit:
            self._watch.ended[REFUSED] += 1
            self.app = self._answer_crowded
        if len(self.connections) > self._watch.limit + SPARE_CONNECTIONS:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Read on; drop what follows a request before its answer, and end the connection with that answer.

        Our clients do not pipeline requests, and while such requests wait nobody would see that the client has left.
        """
        if self._is_answering() and self.conn.their_state in (h11.DONE, h11.MUST_CLOSE):
            self.cycle.keep_alive = False
            return
        super().data_received(data)
        if not self._is_answering():
            self._owed_since = self._owed_since or time.monotonic()
            return
        self._owed_since = None  # its body has a time limit of its own
        if self.conn.their_state is h11.DONE and self.conn.trailing_data[0]:
            self.cycle.keep_alive = False
            self.flow.resume_reading()

    def on_response_complete(self) -> None:
        """An answer is out: from now on the client owes the rest of an unread body."""
        super().on_response_complete()
        unread = not self._is_answering() and self.conn.their_state is h11.SEND_BODY
        self._owed_since = time.monotonic() if unread else None

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP in OpenAI's envelope; if an answer is under way, only end the connection."""
        self._watch.ended[NOT_HTTP] += 1
        if self._is_answering():
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            caught = sys.exception()  # uvicorn calls this while it handles h11's exception
            too_large = getattr(caught, "error_status_hint", None) == HeadersTooLarge.status
            said = f"{msg.rstrip('.')}: {caught}."
            self._write(_too_large(self._watch.settings) if too_large else RequestError(said))
        self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """Ignore offers of HTTP/2, which some clients (Java's) send with every request: they get HTTP/1.1, unlogged."""

    def look(self, now: float) -> None:
        """End the connection if its client owes something for too long, or does not read what it is sent."""
        settings = self._watch.settings
        unsent = self.transport.get_write_buffer_size()
        if unsent == 0 or unsent < self._unsent:
            self._unsent_since = now
        self._unsent = unsent
        if now - self._unsent_since > settings.write_timeout_s:
            self._watch.ended[NOT_READ] += 1
            self.transport.abort()
        elif now - (self._owed_since or now) > settings.header_timeout_s and not self.transport.is_closing():
            self._watch.ended[HEADERS_LATE] += 1
            self.transport.close()

    def _is_answering(self) -> bool:
        """Whether a request is being answered."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _write(self, error: RequestError) -> None:
        """Write an answer that does not come from the application."""
        body = json.dumps(error.envelope()).encode()
        headers = {
            "content-type": "application/json",
            "content-length": str(len(body)),
            "connection": "close",
            **SECURE,
        }
        for event in (
            h11.Response(status_code=error.status, headers=list(headers.items())),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")

    async def _answer_crowded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Say that the gateway is full, unless the request asks for its health or it is full no more."""
        if scope["path"] == FOR_ANYBODY or len(self.connections) <= self._watch.limit:
            await self.config.loaded_app(scope, receive, send)
            return
        full = f"{self._watch.limit} connections to the gateway are open, as many as may be (CHIPALIGN_MAX_CONNECTIONS)"
        response = error_response(TooManyConnections(f"{full}: ask again soon."))
        response.headers["connection"] = "close"
        await response(scope, receive, send)


class Server(uvicorn.Server):
    """uvicorn's server; it checks its connections twice a second and logs what it waits for when it stops."""

    def __init__(self, config: uvicorn.Config, app: Starlette, watch: Watch) -> None:
        super().__init__(config)
        self._app = app
        self._watch = watch

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; connections inherit the buffer's size."""
        await super().startup(sockets)
        for listener in self.servers:
            for each in listener.sockets:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    async def on_tick(self, counter: int) -> bool:
        """Look at every connection, and count them."""
        if counter % TICKS_PER_LOOK == 0:
            now = time.monotonic()
            for connection in list(self.server_state.connections):
                cast(Connection, connection).look(now)
            metrics: Metrics = self._app.state.gateway.metrics
            metrics.connections.set(len(self.server_state.connections))
            self._watch.report(metrics)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let the answers in flight end by themselves for a while, then end them with an error."""
        drain_s, admission = self._watch.settings.drain_timeout_s, self._app.state.gateway.admission
        if admission.in_flight:
            said = "stopping: answers in flight: %d; they have %g s (CHIPALIGN_DRAIN_TIMEOUT_S)"
            log.info(said, admission.in_flight, drain_s)

        def end_the_rest() -> None:
            """End the remaining answers: the time is over."""
            if ended := admission.stop():
                log.warning("answers ended with an error, not over after %g s: %d", drain_s, ended)

        end = asyncio.get_running_loop().call_later(drain_s, end_the_rest)
        try:
            await super().shutdown(sockets)
        finally:
            end.cancel()


def make_server(app: Starlette, settings: ServeSettings) -> Server:
    """The server of the gateway, on the host and port of the settings."""
    watch = Watch(settings, connections_that_fit(settings.max_connections))
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.gateway_port,
        http=cast(Any, partial(Connection, watch=watch)),  # uvicorn calls it, whatever it is
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # we trust nothing that a client says of itself
        server_header=False,
        h11_max_incomplete_event_size=settings.max_header_kb * 1024,
        timeout_keep_alive=cast(int, settings.idle_timeout_s),
        timeout_graceful_shutdown=math.ceil(settings.drain_timeout_s) + LAST_WORDS_S,
    )
    return Server(config, app, watch)


def connections_that_fit(wanted: int) -> int:
    """The wanted connections, or as many as this process has files for: each needs one, and one to the engine."""
    open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    fitting = wanted if open_files == resource.RLIM_INFINITY else min(wanted, max((open_files - OTHER_FILES) // 2, 1))
    if fitting < wanted:
        log.warning(
            "at most %d connections, not the %d of CHIPALIGN_MAX_CONNECTIONS: this process may open %d files",
            fitting,
            wanted,
            open_files,
        )
    return fitting


def raise_open_files() -> None:
    """Raise this process's limit of open files as far as the system allows and it can use."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _too_large(settings: ServeSettings) -> HeadersTooLarge:
    """The refusal of headers that do not end."""
    limit = f"{settings.max_header_kb} KiB (CHIPALIGN_MAX_HEADER_KB)"
    return HeadersTooLarge(f"The request's headers are larger than {limit}.")
