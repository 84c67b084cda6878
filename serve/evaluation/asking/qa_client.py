"""Ask a model server that speaks OpenAI's chat completions many questions at once, each at temperature 0.

The server is an engine (vLLM or another) or our gateway, which is told to leave its own retrieval out unless the caller
says otherwise. It writes no prompt and keeps nothing.

    server = find_server("http://127.0.0.1:8001", model_id=None, api_key="")
    ask_all(server, {1: messages}, max_tokens=400, concurrency=16, keep=lambda number, reply: ...)
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from rag.embedding.servers import is_loopback, quote_refusal, split_login
from rag.errors import EngineRefused, EngineUnavailable
from rag.printable import redact

GATEWAY = "chipalign"  # what our gateway says in `owned_by` of its models
CONNECT_TIMEOUT_S = 5.0
# Of a whole answer, which waits behind all others in flight; the gateway's own limit is as long
ANSWER_TIMEOUT_S = 900.0
NO_RETRIEVAL: Mapping[str, Any] = {"enabled": False}
PAUSES_S = (1.0, 2.0, 4.0, 8.0)  # before each further try where a server is overloaded, restarts or cuts a connection

Messages = list[dict[str, str]]
Login = tuple[str, str] | None  # user name and password out of a URL


@dataclass(frozen=True, slots=True)
class Server:
    """A model server:

    `url` without /v1. `root` is where its model lies and `max_model_len` its window in tokens, as far as it tells.
    """

    url: str
    model_id: str
    is_gateway: bool
    root: str | None
    max_model_len: int | None
    api_key: str = field(default="", repr=False)
    login: Login = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer.

    Tokens are the server's own count, None where it gives none; `latency_ms` runs from the request to the whole answer.

    `retrieval` is what our gateway says of its search (query, hits); empty where another server answers.
    """

    text: str
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    latency_ms: float
    retrieval: Mapping[str, Any] = field(default_factory=dict)


def find_server(url: str, model_id: str | None, api_key: str) -> Server:
    """The server at `url` (with or without /v1) and its model: the named one, or the only one there.

    Raises EngineUnavailable and EngineRefused (no such model, or several and none named: the message lists them).
    """
    base, login = split_login(url.rstrip("/").removesuffix("/v1"))
    _check_address(redact(url), base, api_key)
    body = asyncio.run(_get_models(base, api_key, login))
    try:
        models = {str(model["id"]): model for model in body["data"]}
        known = ", ".join(models)
        if model_id is None and len(models) != 1:
            raise EngineRefused(f"{base} serves {known or 'no model'}: name one with --model")
        name = model_id or known
        if name not in models:
            raise EngineRefused(f"{base} serves no model {name!r}, but {known}: name one of these with --model")
        found = models[name]
        window = found.get("max_model_len")
        return Server(
            base,
            name,
            found.get("owned_by") == GATEWAY,
            found.get("root"),
            int(window) if window else None,
            api_key,
            login,
        )
    except (TypeError, KeyError, ValueError, AttributeError):
        raise _no_openai(base) from None


def _check_address(url: str, base: str, api_key: str) -> None:
    try:
        good = httpx.URL(base).scheme in ("http", "https") and bool(httpx.URL(base).host)
    except httpx.InvalidURL:
        good = False
    if not good:
        raise EngineUnavailable(f"{url!r} is no URL of a server: give one like http://127.0.0.1:8001 with --url")
    if not api_key.isascii():
        raise EngineRefused(
            "CHIPALIGN_API_KEY holds letters that HTTP headers cannot carry: use ASCII letters, digits and signs"
        )


async def _get_models(base: str, api_key: str, login: Login) -> Any:
    async with _open_client(base, api_key, login) as client:
        return await _request(client, "GET", "/v1/models", None)


def ask_all(
    server: Server,
    asked: Mapping[int, Messages],
    max_tokens: int | None,
    concurrency: int,
    keep: Callable[[int, Reply], None],
    retrieval: Mapping[str, Any] | None = NO_RETRIEVAL,
) -> None:
    """Ask everything, `concurrency` requests in flight; `keep` gets each number with its reply as soon as that is
    there.

    `max_tokens` None leaves the length of an answer to the server. `retrieval` is our gateway's own field, None leaves
    it out; another server never gets it. Raises the first failure (EngineUnavailable, EngineRefused) after the other
    requests were given up; what was kept stays kept.
    """
    try:
        asyncio.run(_ask_all(server, asked, concurrency, keep, _options(server, max_tokens, retrieval)))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def _ask_all(
    server: Server,
    asked: Mapping[int, Messages],
    concurrency: int,
    keep: Callable[[int, Reply], None],
    options: Mapping[str, Any],
) -> None:
    waiting = iter(asked.items())

    async def work(client: httpx.AsyncClient) -> None:
        """Ask one question after the other, as long as some wait."""
        for number, messages in waiting:
            keep(number, await _ask(client, {"model": server.model_id, "messages": messages, **options}))

    async with _open_client(server.url, server.api_key, server.login) as client, asyncio.TaskGroup() as group:
        for _ in range(min(concurrency, len(asked))):
            group.create_task(work(client))


def _options(server: Server, max_tokens: int | None, retrieval: Mapping[str, Any] | None) -> dict[str, Any]:
    """What all requests share; `retrieval` is our gateway's own field, which other servers may refuse."""
    length = {} if max_tokens is None else {"max_tokens": max_tokens}
    ours = {"retrieval": dict(retrieval)} if server.is_gateway and retrieval is not None else {}
    return {"temperature": 0, **length, **ours}


async def _ask(client: httpx.AsyncClient, body: dict[str, Any]) -> Reply:
    started = time.perf_counter()
    answer = await _request(client, "POST", "/v1/chat/completions", body)
    latency_ms = 1000 * (time.perf_counter() - started)
    try:
        choice, usage = answer["choices"][0], answer.get("usage") or {}
        text = choice["message"].get("content") or ""  # null where a model only thought
        text = str(text).encode("utf-8", "replace").decode("utf-8")  # half of an emoji, where the answer was cut
        tokens = usage.get("prompt_tokens"), usage.get("completion_tokens")
        return Reply(text, choice.get("finish_reason"), *tokens, latency_ms, answer.get("retrieval") or {})
    except (TypeError, KeyError, IndexError, AttributeError):
        raise _no_openai(str(client.base_url).rstrip("/")) from None


async def _request(client: httpx.AsyncClient, method: str, path: str, body: dict[str, Any] | None) -> Any:
    """The JSON of a 200; tried again where the failure may pass."""
    where = str(client.base_url).rstrip("/")
    problem = ""
    # A server that does not even list its models is told at once
    for pause_s in (*PAUSES_S, None) if body else (None,):
        try:
            response = await client.request(method, path, json=body)
        except httpx.HTTPError as error:
            problem = str(error) or type(error).__name__
        else:
            if response.status_code == httpx.codes.OK:
                return _read_json(response, where)
            if response.status_code not in (429, 500, 502, 503, 504):
                raise EngineRefused(
                    f"{where}{path} refuses with status {response.status_code}: {quote_refusal(response)}"
                )
            problem = f"status {response.status_code}: {quote_refusal(response)}"
        if pause_s is not None:
            await asyncio.sleep(pause_s)
    raise EngineUnavailable(f"{where}{path} does not answer ({problem}): is the server up, and is --url right?")


def _read_json(response: httpx.Response, where: str) -> Any:
    try:
        return response.json()
    except ValueError:
        raise _no_openai(where) from None


def _no_openai(where: str) -> EngineRefused:
    return EngineRefused(
        f"{where} does not answer in OpenAI's format: give the URL of a server of /v1/chat/completions with --url"
    )


def _open_client(base: str, api_key: str, login: Login) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    limits = httpx.Limits(max_connections=None)  # the caller's workers are the limit
    timeout = httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    trust_env = not is_loopback(httpx.URL(base).host)  # a company's proxy knows nothing of this machine
    return httpx.AsyncClient(
        base_url=base,
        auth=None if api_key else login,
        headers=headers,
        limits=limits,
        timeout=timeout,
        trust_env=trust_env,
    )
