"""serve.errors: each refusal has a status, a type and a code that OpenAI's client reads, and says when to ask again."""

from __future__ import annotations

import inspect
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import openai
import pytest

import serve.errors
from serve.errors import RequestError, ServeError, TooManyTokens
from tests.rows import for_each

WORDS, PARAM = "It is wrong: do this.", "messages[0].content"

THEIR_ERRORS: dict[int, type[openai.APIStatusError]] = {  # OpenAI's client's, by status; others are APIStatusError
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    409: openai.ConflictError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
}


def all_refusals(of: type[RequestError] = RequestError) -> Iterator[type[RequestError]]:
    yield of
    for kind in of.__subclasses__():
        if kind.__module__ == serve.errors.__name__:
            yield from all_refusals(kind)


REFUSALS = [kind for kind in all_refusals() if [*inspect.signature(kind).parameters] == ["message", "param", "code"]]


def test_the_list_is_not_empty() -> None:
    assert len(REFUSALS) > 20


class Refusing(BaseHTTPRequestHandler):
    """Answers /NAME/... with the refusal of that name."""

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        refusal = {kind.__name__: kind for kind in REFUSALS}[self.path.split("/")[1]](WORDS, PARAM)
        body = json.dumps(refusal.envelope()).encode()
        self.send_response(refusal.status)
        for name, value in {**refusal.headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@for_each("kind", REFUSALS)
def test_openais_client_reads_a_refusal(kind: type[RequestError], url: str) -> None:
    with (
        openai.OpenAI(api_key="k", base_url=f"{url}/{kind.__name__}/v1", max_retries=0) as client,
        pytest.raises(openai.APIStatusError) as caught,
    ):
        client.models.list()
    error, refusal = caught.value, kind(WORDS, PARAM)
    assert isinstance(error, THEIR_ERRORS.get(refusal.status, openai.APIStatusError))
    assert (error.status_code, error.code) == (refusal.status, refusal.code)
    assert (error.type, error.param) == (refusal.type, PARAM)
    assert WORDS in str(error)


def test_codes_are_words_and_statuses_are_errors() -> None:
    for kind in REFUSALS:
        refusal = kind("x")
        assert 400 <= refusal.status < 600, kind
        assert refusal.code is None or re.fullmatch(r"[a-z]+(_[a-z]+)*", refusal.code), kind
        assert re.fullmatch(r"[a-z_]+", refusal.type), kind


def test_who_should_ask_again_learns_when() -> None:
    waits = {kind: kind("x").headers.get("retry-after") for kind in REFUSALS}
    assert all(int(wait) > 0 for wait in waits.values() if wait is not None)
    assert {kind.status for kind, wait in waits.items() if wait} == {429, 503}
    assert not [kind for kind, wait in waits.items() if kind.status == 429 and not wait]
    # What the operator must mend is not over in a few seconds
    assert {kind.__name__ for kind, wait in waits.items() if kind.status == 503 and not wait} == {
        "RetrievalUnavailable",
        "StoreUnavailable",
    }


def test_a_code_may_be_said_for_one_refusal_alone() -> None:
    assert RequestError("x", "stop", "invalid_type").envelope()["error"] == {
        "message": "x",
        "type": "invalid_request_error",
        "param": "stop",
        "code": "invalid_type",
    }
    assert RequestError("x").code is None


def test_what_stops_a_command_is_the_users_to_mend() -> None:
    kinds = [kind for kind in vars(serve.errors).values() if inspect.isclass(kind) and issubclass(kind, ServeError)]
    assert {kind.exit_code for kind in kinds} == {2}


def test_tokens_are_counted_as_far_as_needed() -> None:
    assert (TooManyTokens(900).at_least, str(TooManyTokens(900))) == (900, "at least 900 tokens")
