"""The gateway as a person sees it: ask a question, get events; and is it ready? Over the official `openai` package.

It keeps no conversation, draws nothing and never retries by itself: a failure is one of `ui.errors`, in a sentence that
a person understands.

    gateway = Gateway(UiSettings.from_env())
    for event in gateway.ask([{"role": "user", "content": "What is hold slack?"}]): ...
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import httpx
import openai

from chipalign_settings import redact
from ui.errors import (
    AnswerBroken,
    ContextExceeded,
    EngineStarting,
    EngineTimeout,
    GatewayDown,
    GatewayError,
    GatewayTimeout,
    RequestRefused,
    say_when,
)
from ui.events import AS_IT_IS, Event, Finished, Message, Rating, Wanted, read_stream_event
from ui.settings import UiSettings

# A running machine accepts at once; a wrong address should not cost the whole answer timeout
CONNECT_TIMEOUT_S = 5.0
LONGEST_WORDS = {"reason": 2_000, "question": 20_000, "answer": 50_000}  # that the gateway takes, in characters
STATUS_TIMEOUT_S = 2.0  # the page asks for the status while it draws


@dataclass(frozen=True)
class Status:
    """What `/ready` says: `state` for the program, `sentence` for the person."""

    state: Literal["ready", "starting", "degraded", "down"]
    sentence: str


class Gateway:
    """One gateway at one address; safe to use from several threads."""

    def __init__(self, settings: UiSettings) -> None:
        self._url = redact(settings.url)  # what errors show
        address = httpx.URL(settings.url)
        login = (address.username, address.password) if address.userinfo else None
        self._timeout_s = settings.timeout_s
        # A company's HTTP_PROXY variable would otherwise swallow requests to this very machine.
        use_proxies = address.host not in ("127.0.0.1", "localhost", "::1")
        self._http = httpx.Client(auth=login, timeout=STATUS_TIMEOUT_S, trust_env=use_proxies)
        self._openai = openai.OpenAI(
            base_url=f"{self._url}/v1",
            api_key=settings.api_key or "none",  # the package insists on a key; a gateway without keys ignores it
            max_retries=0,
            http_client=openai.DefaultHttpxClient(
                auth=login,
                timeout=openai.Timeout(settings.timeout_s, connect=min(CONNECT_TIMEOUT_S, settings.timeout_s)),
                trust_env=use_proxies,
            ),
        )

    def status(self) -> Status:
        """Whether a question would be answered now; never raises, since "down" is an answer too."""
        try:
            response = self._http.get(f"{self._url}/ready")
        except httpx.TimeoutException:
            return Status("down", f"The gateway at {self._url} does not answer within {STATUS_TIMEOUT_S:g} s.")
        except httpx.TransportError:
            return Status("down", f'No gateway at {self._url}. Start it with "make up" or "chipalign serve".')
        return read_status(self._url, response.status_code, response.text)

    def model(self) -> str:
        """The id of the model that the gateway serves.

        Raises GatewayError.
        """
        try:
            listed = self._openai.models.list()
            return listed.data[0].id
        except openai.APIError as error:
            raise self._explain(error) from error
        # A 200 that is not a list of models: some other program's page
        except (AttributeError, IndexError, TypeError) as error:
            raise RequestRefused(
                f"What answers at {self._url} is not a ChipAlign gateway.",
                "Correct CHIPALIGN_URL.",
                "no list of models",
            ) from error

    def ask(self, messages: Sequence[Message], wanted: Wanted = AS_IT_IS) -> Iterator[Event]:
        """Stream the answer to the last of `messages` (OpenAI's role and content).

        The events are SourcesFound, TextDelta..., Finished.

        The gateway limits the answer's length: it knows the model's window. A history that it counts as too long is
        halved until it fits. Closing the iterator closes the connection, which makes the gateway stop.

        Raises GatewayError: before or amid the answer; what arrived until then is the caller's to keep.
        """
        model, asked = self.model(), list(messages)
        while True:
            try:
                yield from self._stream(model, asked, wanted)
                return
            except ContextExceeded:  # comes before any event
                shorter = shorten(asked)
                if len(shorter) == len(asked):
                    raise
                asked = shorter

    def _stream(self, model: str, messages: list[Message], wanted: Wanted) -> Iterator[Event]:
        finished, request_id = False, ""
        try:
            # `messages` are OpenAI's by construction; the package types each role as a class of its own.
            asked, options = cast(Any, messages), wanted.to_body()
            create = self._openai.chat.completions.create
            with create(model=model, messages=asked, stream=True, extra_body=options) as stream:
                request_id = stream.response.headers.get("x-request-id", "")
                for sent in stream:
                    for event in read_stream_event(sent.to_dict()):
                        finished = finished or isinstance(event, Finished)
                        yield event
        except openai.APIError as error:
            raise self._explain(error, request_id) from error
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
            broken = AnswerBroken(f"the gateway sent an event that cannot be read ({type(error).__name__}: {error}).")
            raise _named(broken, request_id) from error
        if not finished:
            raise _named(AnswerBroken("the connection was closed in the middle of the answer."), request_id)

    def rate(self, answer_id: str, rating: Rating, **words: str) -> None:
        """Say whether an answer helped; `words` are `reason`, `question` and `answer`, as far as they are known.

        The gateway decides what it keeps of them.

        Raises GatewayError.
        """
        given = {name: text[: LONGEST_WORDS[name]] for name, text in words.items() if text}
        try:
            self._openai.post("/feedback", cast_to=object, body={"answer_id": answer_id, "rating": rating, **given})
        except openai.APIError as error:
            raise self._explain(error) from error

    def close(self) -> None:
        """Close every connection."""
        self._http.close()
        self._openai.close()

    def _explain(self, error: openai.APIError, request_id: str = "") -> GatewayError:
        """The error of ours for `error`, with the request's id if the gateway gave one, now or when a stream began."""
        if isinstance(error, openai.APIStatusError):
            return _named(
                explain_status(self._url, error.status_code, error.body, error.response.headers), error.request_id or ""
            )
        return _named(self._explain_connection(error), request_id)

    def _explain_connection(self, error: openai.APIError) -> GatewayError:
        """The same for errors without an HTTP status. APIError itself is one that arrived amid the stream."""
        if isinstance(error, openai.APITimeoutError):
            connecting = "Connect" in type(error.__cause__).__name__
            return GatewayTimeout(self._url, min(CONNECT_TIMEOUT_S, self._timeout_s) if connecting else self._timeout_s)
        if isinstance(error, openai.APIConnectionError):
            reason = re.sub(r"\[Errno -?\d+\] ", "", str(error.__cause__ or error))
            # Only a connection that stood can break while it is read.
            was_connected = type(error.__cause__).__name__ in ("ReadError", "RemoteProtocolError")
            return (
                AnswerBroken(f"the connection to the gateway was lost ({reason}).")
                if was_connected
                else GatewayDown(self._url, reason)
            )
        return AnswerBroken(error.message)


def _named(error: GatewayError, request_id: str) -> GatewayError:
    """`error` with the id of the request that it ended."""
    error.request_id = request_id
    return error


def shorten(messages: list[Message]) -> list[Message]:
    """The same question with half the history, the older half dropped; a question alone stays as it is."""
    turns = len(messages) // 2  # of a question and an answer each, before the last question
    return messages[2 * (turns - turns // 2) :]


def explain_status(url: str, status: int, body: object, headers: Mapping[str, str]) -> GatewayError:
    """The error that an HTTP answer of `status` with OpenAI's error envelope `body` (already unwrapped) means."""
    envelope: Mapping[str, Any] = body if isinstance(body, Mapping) else {}
    message = str(envelope.get("message") or f"HTTP {status}")
    code = envelope.get("code")

    retry_after_s = headers.get("retry-after")
    if status == 503 and code in ("engine_unavailable", None):
        return EngineStarting(message, retry_after_s)
    if status == 503:  # the index, the store or the gateway itself
        return RequestRefused("The gateway cannot answer this now.", f"Try again {say_when(retry_after_s)}.", message)
    if status == 504:
        return EngineTimeout(message)
    if status == 502:
        return AnswerBroken(message)

    if code == "context_length_exceeded":
        return ContextExceeded(message)
    if status in (401, 403):
        return RequestRefused(
            "The gateway refused the API key.", "Set CHIPALIGN_API_KEY to the key your CAD team gave you.", message
        )
    if status == 404 and code == "model_not_found":
        return RequestRefused("The gateway no longer serves the model that it listed.", "Try again.", message)
    if code == "collection_not_found":
        return RequestRefused("The index has no such collection.", "Choose another.", message)
    if status == 404:
        return RequestRefused(
            f"What answers at {url} is not a ChipAlign gateway, or an older one.", "Correct CHIPALIGN_URL.", message
        )

    if status == 429:
        return RequestRefused("The gateway has too many questions at once.", "Try again in a moment.", message)
    if status >= 500:
        return RequestRefused(
            f"The gateway failed (HTTP {status}).",
            "Try again; if it happens again, show this line to your CAD team.",
            message,
        )
    return RequestRefused(f"The gateway refused the request (HTTP {status}).", "Ask in another way.", message)


def read_status(url: str, http_status: int, body: str) -> Status:
    """What the answer of `/ready` means; anything but the gateway's JSON comes from some other program."""
    try:
        answer = json.loads(body)
        state = answer["status"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return Status(
            "down", f"What answers at {url} is not a ChipAlign gateway (HTTP {http_status}). Correct CHIPALIGN_URL."
        )

    said = {part: answer[part] for part in ("model", "engine", "index") if isinstance(answer.get(part), str)}
    if http_status == 200 and state == "ready":
        return Status("ready", " · ".join(["Ready", *(said[part] for part in ("model", "index") if part in said)]))
    if state == "starting" and answer.get("answers") == "quote":
        return Status("starting", f"Answers in quotes; {said.get('engine', 'the model is being loaded')}.")
    if state == "starting":
        return Status(
            "starting", f"Not ready yet: {said.get('engine', 'the model is being loaded')}. This line says when it is."
        )

    parts = "; ".join(f"{part}: {what}" for part, what in said.items())
    return Status("degraded", f"Not everything works, so answers may fail ({parts}).")
