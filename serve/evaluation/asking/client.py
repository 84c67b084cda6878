"""A client of a model server (vLLM, our gateway, a hosted one): finds its model and sends many requests with retries.

The server speaks OpenAI's API. The client knows no evaluation, writes no prompt and keeps nothing; `answers` keeps what
comes back.

    async with Endpoint("http://127.0.0.1:8001") as endpoint: model = await endpoint.find_model(None)

    server = find_server("http://127.0.0.1:8001", model_id=None, api_key="")
    ask_chats(server, {1: messages}, max_tokens=400, concurrency=16, keep=lambda number, reply: ...)
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from chipalign_settings import redact
from rag.embedding.servers import QUOTED, is_loopback, split_login
from serve.errors import LONGEST_REFUSAL
from serve.evaluation.errors import ContextExceeded, EndpointRefused, EndpointUnreachable, ModelUnknown

CHAT_PATH = "/v1/chat/completions"
GATEWAY = "chipalign"  # what our gateway says in `owned_by` of its models
KEY_VARIABLE = "CHIPALIGN_API_KEY"  # holds the key where a command has no option for it
CONNECT_TIMEOUT_S = 10.0  # a reachable machine accepts at once
ANSWER_TIMEOUT_S = 1800.0  # a whole answer, not streamed: 1,280 tokens on a CPU that many requests share take minutes
# Too many requests, or a server (or the one behind it) that is starting or overloaded: worth sending again
BUSY = (429, 502, 503, 504)
# Of a request while the server is busy, with pauses of 0.5 s, doubled up to LONGEST_PAUSE_S: a minute in all
TRIES = 8
TRIES_WHEN_LOST = 6  # of a request whose connection breaks: a quarter of a minute in all, in which a server restarts
LONGEST_PAUSE_S = 30.0
# vLLM's words, and OpenAI's code
NO_ROOM = re.compile(r"context length|max_model_len|context window|context_length_exceeded", re.IGNORECASE)
NO_RETRIEVAL: Mapping[str, Any] = {"enabled": False}
MODELS_SHOWN = 20  # in a message; the others are counted

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Message = dict[str, str]  # "role" and "content"


@dataclass(frozen=True, slots=True)
class Model:
    """A served model.

    root: the weights behind the name, if the server says so; max_model_len: its window in tokens; is_gateway: our
    gateway serves it.
    """

    model_id: str
    root: str | None = None
    max_model_len: int | None = None
    is_gateway: bool = False

    def describe(self) -> dict[str, Any]:
        """The fields that files of answers and results keep of it."""
        return {"model_id": self.model_id, "root": self.root, "max_model_len": self.max_model_len}


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a chat.

    Token counts are the server's own, None if it gives none; `latency_ms` runs from the request to the whole answer.
    `retrieval` is our gateway's report on its search (query, hits); None from another server.
    """

    text: str
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    latency_ms: float
    retrieval: Mapping[str, Any] | None = None


class Endpoint:
    """One server at one address.

    url: with or without `/v1`, also with a login, which is never shown; api_key: sent as a bearer token unless empty.
    option: the command's option that gave the URL, as errors name it; those of the model and the key have the same
    prefix. key_variable: the variable that gave the key, if no option did.

    Raises:
        EndpointUnreachable: the URL is invalid.
        EndpointRefused: the key cannot be sent.
    """

    def __init__(self, url: str, api_key: str = "", option: str = "--url", key_variable: str = "") -> None:
        self.url, login = split_login(_cut_path(url))
        self.option = option
        key_option = self._sibling("api-key-env")
        self._key_advice = (
            f"set {key_variable}" if key_variable else f"name the variable that holds it with {key_option}"
        )

        try:
            address = httpx.URL(url)
        except httpx.InvalidURL:
            raise EndpointUnreachable(
                f"{option} {redact(url)} is not a URL: give one like http://127.0.0.1:8001"
            ) from None
        if address.scheme not in ("http", "https") or not address.host:
            raise EndpointUnreachable(
                f"{option} {redact(url)} is not an HTTP address: give one like http://127.0.0.1:8001"
            )
        if not api_key.isascii():
            raise EndpointRefused(
                f"{key_variable or f'the variable of {key_option}'} holds letters that HTTP headers cannot carry: use "
                "ASCII letters, digits and signs"
            )

        # `ask_all` limits the requests in flight. No connection is used twice: a server closes idle ones, at times just
        # as a request is sent.
        self._client = httpx.AsyncClient(
            base_url=self.url,
            auth=None if api_key else login,
            timeout=httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            trust_env=not is_loopback(address.host),  # a company's proxy knows nothing of this machine
        )

    async def __aenter__(self) -> Endpoint:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def find_model(self, model_id: str | None, *, only: bool = False) -> Model:
        """The model of that name, or without a name the first that the server lists; only: then there must be just one.

        It does not retry a server that does not answer.

        Raises:
            EndpointUnreachable, EndpointRefused
            ModelUnknown: it lists the names that exist.
        """
        listed = (await self._request("GET", "/v1/models", None)).get("data")
        rows = (
            [row for row in listed if isinstance(row, dict) and isinstance(row.get("id"), str)]
            if isinstance(listed, list)
            else []
        )
        if not rows:
            raise self.refuse_format("it lists no model")
        names, option = _join([row["id"] for row in rows]), self._sibling("model")
        # The gateway's other names of a model only choose what is searched
        models = [row for row in rows if not (row.get("owned_by") == GATEWAY and row.get("parent"))] or rows
        if model_id is None and only and len(models) > 1:
            raise ModelUnknown(f"{self.url} serves {names}: name one with {option}")
        found = models[0] if model_id is None else next((row for row in rows if row["id"] == model_id), None)
        if found is None:
            raise ModelUnknown(
                f"{self.url} serves no model {model_id!r}: its models are {names}; name one of them with {option}"
            )
        return _read_model(found)

    async def chat(self, body: dict[str, Any]) -> Reply:
        """The answer to one chat, not streamed. Raises what `post` raises: also where the answer is not a chat's."""
        started = time.perf_counter()
        answer = await self.post(CHAT_PATH, body)
        latency_ms = 1000 * (time.perf_counter() - started)
        try:
            return _read_reply(answer, latency_ms)
        except (TypeError, KeyError, IndexError, AttributeError):
            raise self.refuse_format("it gives no chat completion") from None

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request.

        It asks a busy server again after the pause that the server names, or a growing one; so too if the connection
        breaks.

        Raises EndpointUnreachable, ContextExceeded, EndpointRefused.
        """
        return await self._request("POST", path, body)

    def refuse_format(self, what: str) -> EndpointRefused:
        """The error for an answer that is not in OpenAI's format; what: what is wrong with it."""
        return EndpointRefused(
            f"{self.url} does not answer in OpenAI's format, {what}: give the URL of a server of models with "
            f"{self.option}"
        )

    async def _request(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        attempt = 0
        while True:
            attempt += 1
            try:
                response = await self._client.request(method, path, json=body)
            except httpx.HTTPError as error:
                too_slow = isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout)
                if body is None or too_slow or attempt == TRIES_WHEN_LOST:
                    raise self._explain_loss(error) from None
                named_pause = None
            else:
                if response.status_code not in BUSY or attempt == TRIES:
                    return self._read(response)
                named_pause = response.headers.get("retry-after")
            await asyncio.sleep(choose_pause(attempt, named_pause))

    def _explain_loss(self, error: httpx.HTTPError) -> EndpointUnreachable:
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return EndpointUnreachable(f"no server answers at {self.url}: start one, or correct {self.option}")
        if isinstance(error, httpx.TimeoutException):
            return EndpointUnreachable(
                f"{self.url} gave no answer within {ANSWER_TIMEOUT_S:.0f} s: ask less at once with --concurrency"
            )
        reason = str(error) or type(error).__name__
        return EndpointUnreachable(
            f"the connection to {self.url} broke ({reason}): see that the server runs, and start this again"
        )

    def _read(self, response: httpx.Response) -> dict[str, Any]:
        """The JSON object of an answer, or the refusal as an error."""
        try:
            data = response.json()
        except ValueError:
            data = None
        if response.status_code >= 400:
            words = response.text[:QUOTED] if data is None else data
            raise explain_refusal(self.url, response.status_code, words, self._key_advice)
        if not isinstance(data, dict):
            raise self.refuse_format("its answer is not a JSON object")
        return data

    def _sibling(self, name: str) -> str:
        """The option with the URL option's prefix: --judge-model beside --judge-url."""
        return self.option.removesuffix("url") + name


def explain_refusal(url: str, status: int, data: object, key_advice: str = "") -> EndpointRefused:
    """The error that an HTTP answer of `status` means.

    data: its JSON (OpenAI's envelope, vLLM's older one, or anything) or its text; key_advice: what to do about a
    refused key.
    """
    envelope = data.get("error", data) if isinstance(data, dict) else None
    words = envelope.get("message") if isinstance(envelope, dict) else data if isinstance(data, str) else None
    message = " ".join(str(words or "").split())[:LONGEST_REFUSAL] or "no reason given"
    code = str(envelope.get("code")) if isinstance(envelope, dict) else ""
    if status == 400 and NO_ROOM.search(f"{message} {code}"):
        return ContextExceeded(f"the model's window is too small: {message}")
    if status in (401, 403):
        return EndpointRefused(f"{url} refuses the API key: {key_advice}")
    if status in BUSY:
        return EndpointRefused(
            f"{url} stayed busy through {TRIES} tries (HTTP {status}, {message}): ask less at once with --concurrency"
        )
    return EndpointRefused(f"{url} refuses the request (HTTP {status}): {message}")


def choose_pause(attempt: int, retry_after: str | None) -> float:
    """Seconds to wait after try `attempt` (from 1), never over LONGEST_PAUSE_S.

    It is the time that the server asks for, else 0.5, 1, 2 and so on.
    """
    if retry_after is not None and retry_after.strip().isdecimal():
        return min(float(retry_after), LONGEST_PAUSE_S)
    return float(min(0.5 * 2 ** (attempt - 1), LONGEST_PAUSE_S))


async def ask_all(
    items: Sequence[Item],
    ask: Callable[[Item], Awaitable[Answer]],
    keep: Callable[[Item, Answer, float], None],
    concurrency: int,
) -> None:
    """Ask for every item, at most `concurrency` at once; call `keep(item, answer, milliseconds)` for each answer.

    The first error ends all requests in flight and is raised as it is; what was kept stays kept.
    """
    waiting = iter(items)

    async def work() -> None:
        """One of the concurrent workers: takes the next item until none is left."""
        for item in waiting:
            started = time.monotonic()
            answer = await ask(item)
            keep(item, answer, 1000 * (time.monotonic() - started))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, len(items))):
                group.create_task(work())
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


@dataclass(frozen=True, slots=True)
class Server:
    """A server and its model, as `ask_chats` asks it. address: the URL as given."""

    address: str = field(repr=False)  # it may hold a password
    model: Model
    api_key: str = field(default="", repr=False)

    @property
    def url(self) -> str:
        """The address without its password and /v1."""
        return redact(_cut_path(self.address))


def find_server(url: str, model_id: str | None, api_key: str) -> Server:
    """The server at `url` (with or without /v1) and its model: the named one, or the only one there.

    Raises:
        EndpointUnreachable, EndpointRefused
        ModelUnknown: there is no such model, or there are several and none is named; the message lists them.
    """

    async def find() -> Model:
        """Ask for the models."""
        async with Endpoint(url, api_key, key_variable=KEY_VARIABLE) as endpoint:
            return await endpoint.find_model(model_id, only=True)

    return Server(url, asyncio.run(find()), api_key)


def ask_chats(
    server: Server,
    asked: Mapping[int, list[Message]],
    max_tokens: int | None,
    concurrency: int,
    keep: Callable[[int, Reply], None],
    retrieval: Mapping[str, Any] | None = NO_RETRIEVAL,
) -> None:
    """Ask everything at temperature 0, `concurrency` requests in flight; `keep` gets each number with its reply.

    `max_tokens` None leaves the length of an answer to the server. `retrieval` is our gateway's own field; None omits
    it, and another server, which may refuse it, never gets it.

    Raises EndpointUnreachable, EndpointRefused: the first failure ends the other requests; what was kept stays kept.
    """
    length = {} if max_tokens is None else {"max_tokens": max_tokens}
    ours = {"retrieval": dict(retrieval)} if server.model.is_gateway and retrieval is not None else {}
    options = {"model": server.model.model_id, "temperature": 0, **length, **ours}

    async def run() -> None:
        """Ask with one client."""
        async with Endpoint(server.address, server.api_key, key_variable=KEY_VARIABLE) as endpoint:
            await ask_all(
                list(asked),
                lambda number: endpoint.chat({**options, "messages": asked[number]}),
                lambda number, reply, _: keep(number, reply),
                concurrency,
            )

    asyncio.run(run())


def _cut_path(url: str) -> str:
    """An address without the /v1 and the slashes at its end."""
    return url.rstrip("/").removesuffix("/v1").rstrip("/")


def _read_model(row: Mapping[str, Any]) -> Model:
    window = row.get("max_model_len")
    return Model(
        row["id"],
        row.get("root"),
        int(window) if isinstance(window, int | float) and window else None,
        row.get("owned_by") == GATEWAY,
    )


def _read_reply(answer: Mapping[str, Any], latency_ms: float) -> Reply:
    """A chat completion. Raises TypeError, KeyError, IndexError, AttributeError: it is not one."""
    choice, usage = answer["choices"][0], answer.get("usage") or {}
    text = choice["message"].get("content") or ""  # null where a model ended at once, or only thought
    if not isinstance(text, str):
        raise TypeError("content")
    text = text.encode("utf-8", "replace").decode("utf-8")  # half an emoji, if the answer was cut
    tokens = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return Reply(text, choice.get("finish_reason"), *tokens, latency_ms, answer.get("retrieval"))


def _join(names: Sequence[str]) -> str:
    """Names for a message: the first ones, and the number of the others."""
    more = len(names) - MODELS_SHOWN
    return ", ".join(names[:MODELS_SHOWN]) + (f" and {more} more" if more > 0 else "")
