"""An OpenAI-compatible server, vLLM above all, as an evaluation sees it: which model it serves, and many requests in
flight.

It knows no evaluation and keeps nothing; `answers` keeps what comes back.

    async with Endpoint("http://127.0.0.1:8001") as endpoint: model = await endpoint.find_model(None)
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from merge.errors import ContextExceeded, EndpointRefused, EndpointUnreachable, ModelUnknown

CONNECT_TIMEOUT_S = 10.0  # a machine that is there accepts at once
ANSWER_TIMEOUT_S = 1800.0  # a whole answer, not streamed: 1,280 tokens on a CPU that many requests share take minutes
BUSY = (429, 503)  # too many requests, and a server that is starting or overloaded: the same request may be sent again
# Of a request while the server is busy, with pauses of 0.5 s, doubled up to LONGEST_PAUSE_S: half a minute in all
TRIES = 8
LONGEST_PAUSE_S = 30.0
# vLLM's words, and OpenAI's code
NO_ROOM = re.compile(r"context length|max_model_len|context window|context_length_exceeded", re.IGNORECASE)

Item = TypeVar("Item")
Reply = TypeVar("Reply")


@dataclass(frozen=True, slots=True)
class Model:
    """A served model. root: the weights behind the name, where the server tells; max_model_len: its window in tokens."""

    model_id: str
    root: str | None
    max_model_len: int | None


class Endpoint:
    """One server at one address. url: with or without `/v1`, also with a login, which is never shown; api_key: sent as
    a bearer token unless empty.

    option: the command's option that gave the URL, as errors name it; that of the key is called like it.
    """

    def __init__(self, url: str, api_key: str = "", option: str = "--url") -> None:
        self.option = option
        self.url = redact(url.rstrip("/").removesuffix("/v1").rstrip("/"))
        try:
            address = httpx.URL(url)
        except httpx.InvalidURL:
            raise EndpointUnreachable(
                f"{option} {redact(url)} is no URL: give one like http://127.0.0.1:8001"
            ) from None
        if address.scheme not in ("http", "https") or not address.host:
            raise EndpointUnreachable(f"{option} {redact(url)} is no HTTP address: give one like http://127.0.0.1:8001")
        # `ask_all` bounds what is in flight. No connection is used twice: a server closes idle ones, at times just as a
        # request is on its way.
        self._client = httpx.AsyncClient(
            base_url=self.url,
            auth=(address.username, address.password) if address.userinfo and not api_key else None,
            timeout=httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            trust_env=not is_loopback(address.host),  # a company's proxy knows nothing of this machine
        )

    async def __aenter__(self) -> Endpoint:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def find_model(self, model_id: str | None) -> Model:
        """The model of that name, or without a name the first that the server lists.

        Raises EndpointUnreachable, EndpointRefused, and ModelUnknown, which lists the names that there are.
        """
        listed = (await self._request("GET", "/v1/models", None)).get("data")
        rows = (
            [row for row in listed if isinstance(row, dict) and isinstance(row.get("id"), str)]
            if isinstance(listed, list)
            else []
        )
        if not rows:
            raise EndpointRefused(f"what answers at {self.url} lists no model: give the URL of a vLLM server")
        found = rows[0] if model_id is None else next((row for row in rows if row["id"] == model_id), None)
        if found is None:
            raise ModelUnknown(
                f"{self.url} serves no model {model_id!r}: its models are {', '.join(row['id'] for row in rows)}"
            )
        return Model(found["id"], found.get("root"), found.get("max_model_len"))

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request.

        A busy server (429, 503) is asked again after a pause, the one that it names or a growing one.

        Raises EndpointUnreachable, ContextExceeded, EndpointRefused.
        """
        return await self._request("POST", path, body)

    async def _request(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        for attempt in range(1, TRIES + 1):
            response = await self._send(method, path, body)
            if response.status_code not in BUSY or attempt == TRIES:
                break
            await asyncio.sleep(choose_pause(attempt, response.headers.get("retry-after")))
        return self._read(response)

    async def _send(self, method: str, path: str, body: dict[str, Any] | None) -> httpx.Response:
        try:
            return await self._client.request(method, path, json=body)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise EndpointUnreachable(f"no server answers at {self.url}: start one, or correct {self.option}") from None
        except httpx.TimeoutException:
            raise EndpointUnreachable(
                f"{self.url} gave no answer within {ANSWER_TIMEOUT_S:.0f} s: ask less at once with --concurrency"
            ) from None
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise EndpointUnreachable(
                f"the connection to {self.url} broke ({reason}): see that the server runs, and start this again"
            ) from None

    def _read(self, response: httpx.Response) -> dict[str, Any]:
        """The JSON object of an answer, or the refusal as an error."""
        try:
            data = response.json()
        except ValueError:
            data = None
        if response.status_code >= 400:
            raise explain_refusal(self.url, response.status_code, data, self.option)
        if not isinstance(data, dict):
            raise EndpointRefused(
                f"what answers at {self.url} is no OpenAI-compatible server: its answer is no JSON object"
            )
        return data


def explain_refusal(url: str, status: int, data: object, option: str = "--url") -> EndpointRefused:
    """The error that an HTTP answer of `status` means; data: its JSON, OpenAI's envelope or vLLM's older one, or
    anything; option: as in Endpoint.
    """
    envelope = data.get("error", data) if isinstance(data, dict) else None
    message = (
        " ".join(str(envelope["message"]).split())
        if isinstance(envelope, dict) and envelope.get("message")
        else "no reason given"
    )
    code = str(envelope.get("code")) if isinstance(envelope, dict) else ""
    if status == 400 and NO_ROOM.search(f"{message} {code}"):
        return ContextExceeded(f"the model's window is too small: {message}")
    if status in (401, 403):
        return EndpointRefused(
            f"{url} refuses the API key: name the variable that holds it with {option.removesuffix('url')}api-key-env"
        )
    if status in BUSY:
        return EndpointRefused(
            f"{url} stayed busy through {TRIES} tries (HTTP {status}, {message}): ask less at once with --concurrency"
        )
    return EndpointRefused(f"{url} refuses the request (HTTP {status}): {message}")


def choose_pause(attempt: int, retry_after: str | None) -> float:
    """Seconds to wait after try `attempt` (from 1): what the server asks for in seconds, else 0.5, 1, 2 and so on;
    never over LONGEST_PAUSE_S.
    """
    if retry_after is not None and retry_after.strip().isdecimal():
        return min(float(retry_after), LONGEST_PAUSE_S)
    return float(min(0.5 * 2 ** (attempt - 1), LONGEST_PAUSE_S))


async def ask_all(
    items: Sequence[Item],
    ask: Callable[[Item], Awaitable[Reply]],
    keep: Callable[[Item, Reply, float], None],
    concurrency: int,
) -> None:
    """Ask for every item with at most `concurrency` questions in flight; `keep(item, reply, milliseconds)` as each one
    is answered.

    The first error ends everything that is in flight and is raised as it is; what was kept stays kept.
    """
    waiting = iter(items)

    async def work() -> None:
        """One of the questions in flight: the next item, until there is none."""
        for item in waiting:
            started = time.monotonic()
            reply = await ask(item)
            keep(item, reply, 1000 * (time.monotonic() - started))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, len(items))):
                group.create_task(work())
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


def redact(url: str) -> str:
    """An address as it may be shown: without the user name and the password that may stand in it."""
    before, at, host = url.rpartition("@")
    scheme, slashes, _ = before.partition("//")
    return f"{scheme}{slashes}{host}" if at and slashes else host


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return False
