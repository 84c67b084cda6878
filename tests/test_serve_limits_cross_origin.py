"""Pages of other origins: shut out unless a setting names them, and then served on every answer as browsers ask."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from serve.errors import SettingsError
from serve.settings import ServeSettings
from tests.conftest import Gateway
from tests.fake_engine import EngineScript, FakeEngine
from tests.rows import for_each

PAGE = "http://tools.example:8080"
CHAT = "/v1/chat/completions"
ASKS = {
    "origin": PAGE,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-stainless-timeout",
}
QUESTION = {"messages": [{"role": "user", "content": "Which command fixes antenna violations?"}]}


@pytest.fixture(scope="module")
def open_gateway(gateway_at: Gateway, shared_engine: FakeEngine) -> Iterator[str]:
    with gateway_at(shared_engine.url, allowed_origins=f"https://other.example,{PAGE}", api_key="s3cret") as url:
        yield url


def of_origins(answer: httpx.Response) -> dict[str, str]:
    """The headers that tell a browser who may read an answer."""
    return {name: value for name, value in answer.headers.items() if name.startswith(("access-control-", "vary"))}


def test_without_the_setting_no_other_page_may_ask_and_the_log_names_the_setting(
    gateway: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "chipalign.gateway"):
        preflight = httpx.options(gateway + CHAT, headers=ASKS)
        asked = httpx.post(gateway + CHAT, json=QUESTION, headers={"origin": PAGE})
    assert (preflight.status_code, asked.status_code) == (403, 403)
    assert of_origins(preflight) == of_origins(asked) == {}
    assert "CHIPALIGN_ALLOWED_ORIGINS" in caplog.text


@pytest.mark.parametrize(("path", "methods"), [(CHAT, "POST"), ("/v1/models", "GET"), ("/v1/models/a/b", "GET")])
def test_a_preflight_of_an_allowed_page_is_answered_without_a_key(open_gateway: str, path: str, methods: str) -> None:
    answer = httpx.options(open_gateway + path, headers={**ASKS, "access-control-request-private-network": "true"})
    assert (answer.status_code, answer.content) == (204, b"")
    said = of_origins(answer)
    assert said["access-control-allow-origin"] == PAGE
    assert methods in said["access-control-allow-methods"].split(", ")
    assert said["access-control-allow-headers"] == ASKS["access-control-request-headers"]
    assert said["access-control-allow-private-network"] == "true"
    assert said["vary"] == "Origin"
    assert "access-control-allow-credentials" not in said


@pytest.mark.parametrize("stream", [False, True])
def test_an_allowed_page_may_read_answers_streams_and_errors(
    open_gateway: str, engine: FakeEngine, stream: bool
) -> None:
    key = {"origin": PAGE, "authorization": "Bearer s3cret"}
    bodies: tuple[dict[str, Any], ...] = ({**QUESTION, "stream": stream}, {"messages": []})
    answers = [httpx.post(open_gateway + CHAT, json=body, headers=key, timeout=20) for body in bodies]
    engine.script = EngineScript(refusal=(400, "no"))
    answers.append(httpx.post(open_gateway + CHAT, json=bodies[0], headers=key, timeout=20))
    answers.append(httpx.post(open_gateway + CHAT, json=QUESTION, headers={"origin": PAGE}))
    answers.append(httpx.get(f"{open_gateway}/v1/nothing", headers=key))
    assert [answer.status_code for answer in answers] == [200, 400, 400, 401, 404]
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert "x-request-id" in answer.headers["access-control-expose-headers"]


@for_each("origin", ["https://tools.example:8080", "http://tools.example", f"{PAGE}.evil.example", "null", "*"])
def test_a_page_of_nearly_the_same_origin_may_not(open_gateway: str, origin: str) -> None:
    answer = httpx.options(open_gateway + CHAT, headers={**ASKS, "origin": origin})
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


def test_passages_are_never_read_by_pages_of_other_origins(open_gateway: str) -> None:
    for answer in (
        httpx.get(f"{open_gateway}/sources/0000", headers={"origin": PAGE}),
        httpx.options(f"{open_gateway}/sources/0000", headers=ASKS),
    ):
        assert answer.status_code in (404, 405)
        assert of_origins(answer) == {}


def test_options_of_no_browser_and_of_no_path_are_answered_as_before(open_gateway: str) -> None:
    plain = httpx.options(open_gateway + CHAT)
    assert (plain.status_code, plain.headers["allow"]) == (405, "POST")
    assert of_origins(plain) == {"vary": "Origin"}
    assert httpx.options(f"{open_gateway}/v1/nothing", headers=ASKS).status_code == 404


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("https://Chat.Example.com/", "https://chat.example.com"),
        (" http://127.0.0.1:3000 ,app://obsidian.md,", "http://127.0.0.1:3000,app://obsidian.md"),
        ("https://chat.example.com:443/,http://[::1]:80", "https://chat.example.com,http://[::1]"),
        ("https://a.example:80,http://a.example:443", "https://a.example:80,http://a.example:443"),
        ("http://a.example:8080,https://a.example:4430", "http://a.example:8080,https://a.example:4430"),
    ],
)
def test_origins_are_read_in_the_form_that_browsers_send(text: str, origins: str) -> None:
    assert ServeSettings.from_env({"CHIPALIGN_ALLOWED_ORIGINS": text}).allowed_origins == origins


@for_each("text", ["*", "https://*", "chat.example.com", "https://a.example/chat", "null", "https://u@a"])
def test_what_is_not_an_origin_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(SettingsError, match=r"CHIPALIGN_ALLOWED_ORIGINS is .*: give origins with commas"):
        ServeSettings.from_env({"CHIPALIGN_ALLOWED_ORIGINS": text})
