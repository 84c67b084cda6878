"""The engine (vLLM, or vllm-router before several) as the gateway sees it: an HTTP server that speaks OpenAI's API.

It drops the engine's internals from answers (`engine_words`) and changes nothing else; it turns every failure of the
engine into a named error. It trusts nothing: it limits an answer's size and time and checks its shape
(`engine_answers`), follows no redirects, keeps no cookies and unpacks no compressed answers.

    async with Upstream(settings) as engine: answer = await engine.complete(body)
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx

from chipalign_settings import redact
from rag.embedding.servers import is_loopback
from serve.answers.engine_answers import read_models, read_refusal
from serve.answers.engine_apis import CHAT, EngineApi
from serve.answers.engine_words import without_internals
from serve.errors import (
    EngineOverloaded,
    EngineUnavailable,
    RequestError,
    UpstreamBroken,
    UpstreamRefused,
    UpstreamTimeout,
)
from serve.request_body import shorten
from serve.request_ids import HEADER, current_request_id
from serve.settings import ServeSettings
from serve.sse import DONE, EventTooLarge, read_events
from serve.strict_json import write_json

HEALTH_TIMEOUT_S = 2.0
# Of an answer, whole or streamed; with the likeliest tokens of 128 choices it has about 50 MiB
MAX_ANSWER_BYTES = 64 * 1024 * 1024
TOO_SLOW = (
    "The model engine did not answer in time: it is overloaded or stuck. Try again, ask for a shorter answer, or raise "
    "CHIPALIGN_READ_TIMEOUT_S (silence in a stream), CHIPALIGN_STREAM_TIMEOUT_S (whole streams) or "
    "CHIPALIGN_ANSWER_TIMEOUT_S (whole answers)."
)


class Upstream:
    """One HTTP client to the engine, shared by all requests. `url` is its address without a password."""

    def __init__(self, settings: ServeSettings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.url = redact(settings.engine_base_url)
        self._settings = settings
        address = httpx.URL(settings.engine_base_url)
        key = settings.engine_key
        self._client = httpx.AsyncClient(
            base_url=self.url,
            auth=(address.username, address.password) if address.userinfo and not key else None,
            headers={"Accept-Encoding": "identity", **({"Authorization": f"Bearer {key}"} if key else {})},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # an engine has no sessions with a gateway
            # The deadlines below are shorter
            timeout=httpx.Timeout(settings.answer_timeout_s, connect=settings.connect_timeout_s),
            # The engine queues by itself. vLLM closes a connection that is idle for 5 s; a request sent at that moment
            # is lost.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=2.0),
            transport=transport,
            trust_env=not is_loopback(address.host),  # a company's proxy knows nothing of this machine
        )

    async def __aenter__(self) -> Upstream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def models(self) -> list[dict[str, Any]]:
        """The engine's models, with `id` and, if the engine says it, `max_model_len` in tokens.

        Raises EngineUnavailable, UpstreamTimeout, UpstreamBroken, UpstreamRefused.
        """
        with self._named_errors():
            async with asyncio.timeout(self._settings.read_timeout_s), self._answer("GET", "/v1/models") as pieces:
                return read_models(await _text(pieces))

    async def is_ready(self) -> bool:
        """Whether the engine answers its health check."""
        try:
            async with asyncio.timeout(HEALTH_TIMEOUT_S), self._client.stream("GET", "/health") as response:
                return response.status_code == 200
        except (httpx.HTTPError, TimeoutError):
            return False

    async def complete(self, body: dict[str, Any], api: EngineApi = CHAT) -> dict[str, Any]:
        """A whole answer of one of the engine's APIs.

        Raises EngineUnavailable, UpstreamTimeout, UpstreamBroken, UpstreamRefused.
        """
        with self._named_errors():
            async with (
                asyncio.timeout(self._settings.answer_timeout_s),
                self._answer("POST", api.path, _request(body)) as pieces,
            ):
                return without_internals(api.read_answer(await _text(pieces)), asked=body)

    async def stream(self, body: dict[str, Any], api: EngineApi = CHAT) -> AsyncGenerator[dict[str, Any], None]:
        """The events of an answer as they come.

        Leaving the iterator early closes the connection, and the engine stops computing.

        Each event has a time limit, which comments ("still here") do not extend; the whole stream has one too.

        Raises:
            EngineUnavailable, UpstreamTimeout, UpstreamRefused
            UpstreamBroken: also a stream without its end.
        """
        now = asyncio.get_running_loop().time
        end = now() + self._settings.stream_timeout_s
        answer = self._answer("POST", api.path, _request(body))
        with self._named_errors():
            async with asyncio.timeout(self._settings.read_timeout_s):
                pieces = await answer.__aenter__()
            try:
                events = read_events(pieces)
                while True:
                    async with asyncio.timeout_at(min(end, now() + self._settings.read_timeout_s)):
                        data = await anext(events, None)
                    if data == DONE:
                        return
                    if data is None:
                        raise UpstreamBroken("The model engine closed the stream before the answer ended: ask again.")
                    event = without_internals(api.read_event(data), asked=body)
                    yield event
                    if api.is_last(event):
                        return
            finally:
                await answer.__aexit__(None, None, None)

    @asynccontextmanager
    async def _answer(
        self, method: str, path: str, content: bytes | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The body of a 200 in pieces, up to a size; any other status becomes an error."""
        headers = {"Content-Type": "application/json"} if content is not None else {}
        if request_id := current_request_id():
            headers[HEADER] = request_id  # the engine's log has the same id
        async with self._client.stream(method, path, content=content, headers=headers) as response:
            encoding = response.headers.get("content-encoding", "identity").strip().lower()
            if encoding not in ("", "identity"):
                raise UpstreamBroken(
                    f"The model engine at {self.url} sent a compressed answer ({shorten(encoding)}), which it was asked"
                    " not to."
                )
            pieces = _bounded(response.aiter_raw())
            if response.status_code == 200:
                yield pieces
            else:
                raise await self._refusal(response.status_code, pieces)

    async def _refusal(self, status: int, pieces: AsyncIterator[bytes]) -> RequestError:
        """The error that a status other than 200 means."""
        if status in (401, 403):
            return UpstreamBroken(
                f"The model engine at {self.url} refuses the gateway's key: CHIPALIGN_ENGINE_KEY must be the one that "
                "it asks for."
            )
        if not 400 <= status < 600:
            return UpstreamBroken(f"The model engine at {self.url} answered with status {status}: is it a vLLM server?")
        error = read_refusal(await _text(pieces))
        return UpstreamRefused(status, error if isinstance(error, dict | str) else {})

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Turn httpx's errors into ours, each with a sentence."""
        try:
            yield
        except httpx.ConnectTimeout:
            raise EngineOverloaded(
                f"The model engine at {self.url} accepts no connection within {self._settings.connect_timeout_s:g} s: "
                "it is overloaded, or cannot be reached. Try again in a minute."
            ) from None
        except httpx.ConnectError as error:
            raise self._unreachable(error) from None
        except (httpx.TimeoutException, TimeoutError):
            raise UpstreamTimeout(TOO_SLOW) from None
        except EventTooLarge as error:
            raise UpstreamBroken(f"The model engine's stream has {error}: is it a vLLM server?") from None
        except httpx.HTTPError as error:
            reason = f"{type(error).__name__}: {error}"[:200]
            raise UpstreamBroken(f"The connection to the model engine broke ({reason}): ask again.") from None

    def _unreachable(self, error: httpx.ConnectError) -> EngineUnavailable:
        """The reason why there is no connection, as far as the system gives one."""
        number = _errno(error)
        if number in (errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL):
            return EngineOverloaded(
                "The gateway has more connections open than the system allows it: try again in a minute."
            )
        if number == errno.ECONNREFUSED:
            return EngineUnavailable(
                f"The model engine at {self.url} does not answer: it is starting or down. Try again in a minute."
            )
        return EngineUnavailable(
            f"The model engine at {self.url} cannot be reached ({str(error)[:200]}): is CHIPALIGN_ENGINE_URL right?"
        )


def _request(body: dict[str, Any]) -> bytes:
    """The body as the engine gets it. Raises RequestError: it cannot be sent (NaN, nested too deeply)."""
    try:
        return write_json(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"The request cannot be sent on as JSON: {error}.") from None


async def _bounded(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces, up to MAX_ANSWER_BYTES. Raises UpstreamBroken."""
    size = 0
    async for piece in pieces:
        size += len(piece)
        if size > MAX_ANSWER_BYTES:
            raise UpstreamBroken(f"The model engine's answer has more than {MAX_ANSWER_BYTES // 1024 // 1024} MiB.")
        yield piece


async def _text(pieces: AsyncIterator[bytes]) -> str:
    """All pieces as text; bytes that are not UTF-8 become U+FFFD."""
    return bytearray().join([piece async for piece in pieces]).decode(errors="replace")


def _errno(error: BaseException | None) -> int | None:
    """The system's error number behind an error, or behind the first of several attempts (one per address)."""
    while error is not None:
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        error = error.__cause__ or error.__context__
    return None
