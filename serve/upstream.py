"""The engine (vLLM, or vllm-router before several) as the gateway sees it: an HTTP server that speaks OpenAI's API.

It changes nothing in what the engine says; it turns every way in which the engine can fail into an error with a name.

    async with Upstream(settings) as engine: answer = await engine.complete(body)
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from serve.errors import EngineUnavailable, RequestError, UpstreamBroken, UpstreamRefused, UpstreamTimeout
from serve.settings import ServeSettings
from serve.sse import DONE, read_events

CHAT_PATH = "/v1/chat/completions"


class Upstream:
    """One HTTP client to the engine, shared by all requests."""

    def __init__(self, settings: ServeSettings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.url = settings.engine_base_url
        self._whole_timeout = httpx.Timeout(settings.answer_timeout_s, connect=settings.connect_timeout_s)  # nothing comes before the end
        self._client = httpx.AsyncClient(
            base_url=self.url,
            timeout=httpx.Timeout(settings.read_timeout_s, connect=settings.connect_timeout_s),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),  # the engine queues by itself
            transport=transport,
            trust_env=not is_loopback(self.url),  # a company's proxy knows nothing of this machine
        )

    async def __aenter__(self) -> Upstream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def models(self) -> list[dict[str, Any]]:
        """The engine's models, with `id` and `max_model_len` in tokens.

        Raises:
            EngineUnavailable, UpstreamTimeout, UpstreamBroken, UpstreamRefused
        """
        with self._named_errors():
            response = await self._client.get("/v1/models")
        data = self._json(response).get("data")
        if not (isinstance(data, list) and data and all(isinstance(model, dict) and isinstance(model.get("id"), str) for model in data)):
            raise UpstreamBroken(f"The model engine at {self.url} lists no model: is it a vLLM server?")
        return data

    async def is_ready(self) -> bool:
        """Whether the engine answers its health check."""
        try:
            response = await self._client.get("/health", timeout=2.0)
        except httpx.HTTPError:
            return False
        return response.status_code == 200

    async def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        """A whole answer.

        Raises:
            EngineUnavailable, UpstreamTimeout, UpstreamBroken, UpstreamRefused
        """
        with self._named_errors():
            response = await self._client.post(CHAT_PATH, json=body, timeout=self._whole_timeout)
        return self._json(response)

    async def stream(self, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """The chunks of an answer as they come. Leaving the iterator early closes the connection, and the engine stops computing.

        Raises:
            EngineUnavailable, UpstreamTimeout, UpstreamBroken (also when the stream ends without [DONE]), UpstreamRefused
        """
        with self._named_errors():
            async with self._client.stream("POST", CHAT_PATH, json=body) as response:
                if response.status_code != 200:
                    await response.aread()
                    self._json(response)
                async for data in read_events(response.aiter_bytes()):
                    if data == DONE:
                        return
                    yield self._chunk(data)
        raise UpstreamBroken("The model engine closed the stream before the answer ended: ask again.")

    def _chunk(self, data: str) -> dict[str, Any]:
        try:
            chunk = json.loads(data)
        except ValueError:
            raise UpstreamBroken(f"The model engine sent an event that is not JSON: {data[:80]!r}.") from None
        if not isinstance(chunk, dict):
            raise UpstreamBroken(f"The model engine sent an event that is no object: {data[:80]!r}.")
        if isinstance(error := chunk.get("error"), dict):
            raise UpstreamRefused(500, error)
        return chunk

    def _json(self, response: httpx.Response) -> dict[str, Any]:
        """The body of an answer, or the engine's refusal as an error."""
        try:
            data = response.json()
        except ValueError:
            data = None
        if response.status_code >= 400:
            error = data.get("error", data) if isinstance(data, dict) else None
            raise UpstreamRefused(response.status_code, error if isinstance(error, dict) else {})
        if not isinstance(data, dict):
            raise UpstreamBroken(f"The model engine at {self.url} answered with something that is not JSON: is it a vLLM server?")
        return data

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Give httpx's errors our names and a sentence."""
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise EngineUnavailable(f"The model engine at {self.url} does not answer: it is starting or down. Try again in a minute.") from None
        except (ValueError, httpx.InvalidURL) as error:  # httpx writes JSON as the standard has it: no NaN, no lone surrogates
            raise RequestError(f"The request cannot be sent on as JSON: {error}.") from None
        except httpx.TimeoutException:
            raise UpstreamTimeout(
                "The model engine did not answer in time: it is overloaded or stuck. Try again, ask for a shorter answer, "
                "or raise CHIPALIGN_READ_TIMEOUT_S (streams) or CHIPALIGN_ANSWER_TIMEOUT_S (whole answers)."
            ) from None
        except httpx.HTTPError as error:
            raise UpstreamBroken(f"The connection to the model engine broke ({type(error).__name__}: {error}): ask again.") from None


def is_loopback(url: str) -> bool:
    """Whether an address means this machine."""
    host = httpx.URL(url).host
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return False
