"""Names and pages: who may ask the gateway, decided by Host and Origin alone, and the same over a real socket."""

from __future__ import annotations

import gzip
from pathlib import Path

import httpx
import pytest

from serve.errors import MisdirectedRequest, OriginNotAllowed, RequestError
from serve.limits.visitors import Visitors, machine_names, search_domains
from serve.settings import ServeSettings
from tests.conftest import Gateway
from tests.fake_engine import FakeEngine
from tests.rows import for_each

LOCAL = Visitors.of(ServeSettings())
OPEN = Visitors.of(
    ServeSettings(host="0.0.0.0", public_url="https://chat.example:8443/gw", allowed_hosts="Proxy.example, cad")
)
CHAT = {"messages": [{"role": "user", "content": "Which command fixes antenna violations?"}]}
CAME_TO = "192.168.7.5"


@for_each(
    "host",
    [
        "127.0.0.1:8000",
        "127.0.0.1",
        "127.8.8.8:1",
        "localhost:8000",
        "LOCALHOST",
        "localhost.:80",
        "[::1]:8000",
        "chip.localhost",
        "[::ffff:127.0.0.1]",
    ],
)
def test_loopback_names_are_always_the_gateways(host: str) -> None:
    LOCAL.check([host], [], "127.0.0.1")
    OPEN.check([host], [], CAME_TO)


@for_each(
    "host",
    [
        "192.168.7.5:8000",
        "chat.example",
        "CHAT.EXAMPLE:8443",
        "proxy.example:1",
        "cad",
        "0.0.0.0:8000",
        "[::ffff:192.168.7.5]",
    ],
)
def test_beyond_loopback_the_address_that_was_reached_and_the_set_names_are_too(host: str) -> None:
    OPEN.check([host], [], CAME_TO)
    with pytest.raises(MisdirectedRequest):
        LOCAL.check([host], [], CAME_TO)


def test_beyond_loopback_the_names_of_the_machine_are_the_gateways() -> None:
    for name in machine_names():
        OPEN.check([f"{name}:8000"], [], CAME_TO)


def test_short_names_are_completed_as_the_network_completes_them(tmp_path: Path) -> None:
    resolver = tmp_path / "resolv.conf"
    resolver.write_text("nameserver 10.0.0.1\nsearch Eda.example lab.example.\ndomain old.example\n")
    assert search_domains(resolver) == ["eda.example", "lab.example", "old.example"]
    assert search_domains(tmp_path / "none") == ()


def test_a_foreign_name_is_refused_with_the_setting_that_allows_it() -> None:
    with pytest.raises(
        MisdirectedRequest, match=r"'rebind.evil.example': ask at http://127.0.0.1:8000, or .* CHIPALIGN_ALLOWED_HOSTS"
    ) as caught:
        LOCAL.check(["rebind.evil.example:8000"], [], "127.0.0.1")
    assert caught.value.status == 421


@for_each(
    "hosts",
    [[], ["localhost", "evil.example"], ["localhost@evil.example"], ["localhost evil"], ["localhost/"], ["[::1"], [""]],
)
def test_a_request_needs_one_host_that_is_a_name(hosts: list[str]) -> None:
    with pytest.raises(RequestError) as caught:
        LOCAL.check(hosts, [], "127.0.0.1")
    assert caught.value.status == 400


def test_a_star_allows_every_name_and_still_no_page_of_another() -> None:
    anybody = Visitors.of(ServeSettings(allowed_hosts="*"))
    anybody.check(["chat.company.example"], ["http://chat.company.example"], "127.0.0.1")
    with pytest.raises(OriginNotAllowed):
        anybody.check(["chat.company.example"], ["http://evil.example"], "127.0.0.1")


@for_each("origin", ["http://127.0.0.1:8000", "http://localhost:8000", "https://LOCALHOST:8000", "http://[::1]:8000"])
def test_pages_of_the_gateway_itself_may_ask(origin: str) -> None:
    LOCAL.check(["127.0.0.1:8000"], [origin], "127.0.0.1")


def test_pages_under_the_public_url_may_ask_whatever_a_proxy_makes_of_host() -> None:
    OPEN.check(["127.0.0.1:8000"], ["https://chat.example:8443"], "127.0.0.1")
    with pytest.raises(OriginNotAllowed):
        OPEN.check(["127.0.0.1:8000"], ["https://chat.example"], "127.0.0.1")


@for_each(
    "origin",
    [
        "null",
        "",
        "http://evil.example",
        "http://localhost:8099",
        "http://localhost",
        "http://127.0.0.1:8000.evil.example",
        "file://",
        "http://localhost:8000/",
    ],
)
def test_other_pages_may_not(origin: str) -> None:
    with pytest.raises(OriginNotAllowed, match="CHIPALIGN_PUBLIC_URL"):
        LOCAL.check(["127.0.0.1:8000"], [origin], "127.0.0.1")


@pytest.mark.parametrize("path", ["/v1/models", "/ready", "/metrics", "/sources/0", "/nothing"])
def test_under_a_foreign_name_nothing_is_read_and_the_log_says_why(
    gateway: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    response = httpx.get(gateway + path, headers={"host": "rebind.evil.example"})
    assert (response.status_code, response.json()["error"]["code"]) == (421, "host_not_allowed")
    assert "CHIPALIGN_ALLOWED_HOSTS" in caplog.text


def test_health_is_answered_under_every_name(gateway: str) -> None:
    assert httpx.get(f"{gateway}/health", headers={"host": "10.1.2.3"}).json() == {"status": "ok"}


def test_a_page_of_another_is_refused_before_the_engine_is_asked(gateway: str, engine: FakeEngine) -> None:
    foreign = {"origin": "http://tools.example"}
    response = httpx.post(f"{gateway}/v1/chat/completions", json=CHAT, headers=foreign)
    assert (response.status_code, response.json()["error"]["code"]) == (403, "origin_not_allowed")
    asked = {**foreign, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    preflight = httpx.options(f"{gateway}/v1/chat/completions", headers=asked)
    assert preflight.status_code == 403
    assert not [name for name in preflight.headers if name.startswith("access-control")]
    assert engine.bodies == []


@pytest.mark.parametrize(
    "declared",
    [None, "text/plain", "application/x-www-form-urlencoded", "text/plain;application/json", "application/jsonp"],
)
def test_what_a_form_of_another_page_can_send_is_not_read(
    gateway: str, engine: FakeEngine, declared: str | None
) -> None:
    headers = {"content-type": declared} if declared else {}
    response = httpx.post(f"{gateway}/v1/chat/completions", content=b'{"messages": []}', headers=headers)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (415, "unsupported_media_type")
    assert "-H 'Content-Type: application/json'" in error["message"]


def test_a_body_that_is_compressed_is_not_read(gateway: str) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    response = httpx.post(f"{gateway}/v1/chat/completions", content=gzip.compress(b"{}"), headers=headers)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (415, "unsupported_media_type")
    assert error["message"].startswith("The body is encoded as 'gzip' (Content-Encoding)")


@pytest.mark.parametrize(
    "declared", ["application/json; charset=utf-8", "Application/JSON", "application/vnd.chat+json ; v=1"]
)
def test_json_may_be_declared_as_clients_do(gateway: str, declared: str) -> None:
    response = httpx.post(
        f"{gateway}/v1/chat/completions", content=b'{"messages": []}', headers={"content-type": declared}
    )
    assert response.status_code == 400


def test_a_gateway_for_the_network_is_reached_by_its_address_and_names(gateway_at: Gateway, engine: FakeEngine) -> None:
    with gateway_at(engine.url, host="0.0.0.0", public_url="https://chat.example") as url:
        for host in ("127.0.0.1", "chat.example", next(iter(machine_names()))):
            assert httpx.get(f"{url}/v1/models", headers={"host": host}).status_code == 200
        assert httpx.get(f"{url}/v1/models", headers={"host": "10.9.8.7"}).status_code == 421
