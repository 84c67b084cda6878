"""serve.errors: each refusal has a status, a type and a code that OpenAI's client reads, and says when to ask again."""

from __future__ import annotations

import inspect
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import openai
import pytest

import serve.errors
import serve.evaluation.errors
from serve.errors import (
    LONGEST_REFUSAL,
    NO_TOOL_PARSER,
    InvalidApiKey,
    MethodNotAllowed,
    RequestError,
    ServeError,
    TooManyTokens,
    UpstreamRefused,
)
from tests.quiet_server import QuietServer
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
    with QuietServer(("127.0.0.1", 0), Refusing) as server:
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


@for_each(
    ("status", "error", "answered", "kind", "code", "says"),
    [
        (400, {"message": "bad", "param": "seed"}, 400, "invalid_request_error", None, "bad"),
        (400, "in words", 400, "invalid_request_error", None, "in words"),
        (400, ["a", "b"], 400, "invalid_request_error", None, "['a', 'b']"),
        (404, {"message": "no such model"}, 404, "invalid_request_error", "model_not_found", "no such model"),
        (429, None, 429, "invalid_request_error", "rate_limit_exceeded", "the engine answered with status 429"),
        (500, {}, 502, "server_error", None, "the engine answered with status 500"),
        (501, {"message": ""}, 501, "server_error", None, "the engine answered with status 501"),
        (503, {"message": None, "code": 503}, 503, "server_error", None, "the engine answered with status 503"),
        (
            400,
            {"message": "This model's maximum context length is 8192 tokens."},
            400,
            "invalid_request_error",
            "context_length_exceeded",
            "8192 tokens",
        ),
    ],
)
def test_an_engines_refusal_of_whatever_form_becomes_one_of_openais(
    status: int, error: object, answered: int, kind: str, code: str | None, says: str
) -> None:
    refused = UpstreamRefused(status, error)
    assert (refused.status, refused.type, refused.code) == (answered, kind, code)
    assert says in refused.envelope()["error"]["message"]


@for_each(
    ("param", "passed"), [("seed", "seed"), (None, None), (5, None), (["seed"], None), ("", ""), ("p" * 3000, None)]
)
def test_a_field_that_an_engine_names_is_passed_on_where_it_is_a_text(param: object, passed: str | None) -> None:
    found = UpstreamRefused(400, {"message": "x", "param": param}).param
    assert found == (passed if passed is not None or not isinstance(param, str) else param[:LONGEST_REFUSAL])


def test_a_refusal_as_long_as_a_prompt_is_cut() -> None:
    assert len(str(UpstreamRefused(400, {"message": "x" * 10**6}))) == LONGEST_REFUSAL


@for_each("end", ["", "."])
def test_tools_without_a_parser_get_advice_that_names_the_whole_remedy(end: str) -> None:
    said = f'"auto" tool choice requires --enable-auto-tool-choice and {NO_TOOL_PARSER}{end}'
    assert "CHIPALIGN_TOOL_PARSER=NAME" in str(UpstreamRefused(400, {"message": said}))
    assert str(UpstreamRefused(400, {"message": f"{said} But why?"})).endswith("But why?")


def test_a_method_that_is_not_there_lists_those_that_are() -> None:
    refused = MethodNotAllowed("x", ["GET", "DELETE"])
    assert (refused.status, refused.headers) == (405, {"allow": "GET, DELETE"})
    assert MethodNotAllowed("x", []).headers == {"allow": ""}


def test_a_missing_key_says_how_one_is_sent() -> None:
    assert InvalidApiKey("x").headers == {"www-authenticate": 'Bearer realm="chipalign"'}


def test_an_error_of_an_evaluation_stops_its_command_like_any_other() -> None:
    kinds = [kind for kind in vars(serve.evaluation.errors).values() if inspect.isclass(kind)]
    own = [kind for kind in kinds if kind.__module__ == serve.evaluation.errors.__name__]
    assert len(own) > 5
    assert all(issubclass(kind, ServeError) and kind("x").exit_code == 2 and kind.__doc__ for kind in own)
    assert issubclass(serve.evaluation.errors.ContextExceeded, serve.evaluation.errors.EndpointRefused)
