"""The names and origins that are the page's own; test_ui_page.py asks the real server with others."""

from __future__ import annotations

import socket

from tests.rows import for_each
from ui.page.page_guard import content_policy, is_own_host, is_own_origin
from ui.settings import UiSettings

LOCAL = UiSettings()
OPEN = UiSettings(host="0.0.0.0")
ONE = UiSettings(host="10.1.2.3")
PUBLIC = UiSettings(page_url="https://Chip.example:8443/ask")
NAMED = UiSettings(host="eda-7.local")


@for_each(
    ("host", "settings"),
    [
        ("localhost:8501", LOCAL),
        ("LOCALHOST", LOCAL),
        ("localhost.:8501", LOCAL),
        ("127.0.0.1:8501", LOCAL),
        ("127.9.9.9", LOCAL),
        ("[::1]:8501", LOCAL),
        ("chip.example", PUBLIC),
        ("chip.example:1", PUBLIC),
        ("10.1.2.3:8501", ONE),
        ("10.9.9.9:8501", OPEN),
        ("[fd00::7]:8501", OPEN),
        (socket.gethostname(), OPEN),
        ("eda-7.local:8501", NAMED),
    ],
)
def test_own_names_are_known(host: str, settings: UiSettings) -> None:
    assert is_own_host(host, settings)


@for_each(
    ("host", "settings"),
    [
        ("rebind.evil.example:8501", LOCAL),
        ("rebind.evil.example:8501", OPEN),
        ("localhost.evil.example", OPEN),
        ("127.0.0.1.evil.example", OPEN),
        ("evil.example/localhost", LOCAL),
        ("localhost@evil.example", LOCAL),
        ("localhost:8501, evil.example", LOCAL),
        ("localhost\n", LOCAL),
        ("10.1.2.3:8501", LOCAL),
        ("10.9.9.9", ONE),
        ("sub.chip.example", PUBLIC),
        ("[::1", LOCAL),
        ("[localhost]x", LOCAL),
        (":8501", LOCAL),
        ("", LOCAL),
    ],
)
def test_foreign_names_are_refused(host: str, settings: UiSettings) -> None:
    assert not is_own_host(host, settings)


@for_each(
    ("origin", "host", "settings"),
    [
        ("http://localhost:8501", "localhost:8501", LOCAL),
        ("https://localhost:8501", "LOCALHOST:8501", LOCAL),
        ("https://chip.example:8443", "127.0.0.1:8501", PUBLIC),
    ],
)
def test_the_page_itself_may_ask(origin: str, host: str, settings: UiSettings) -> None:
    assert is_own_origin(origin, host, settings)


@for_each(
    ("origin", "host", "settings"),
    [
        ("http://evil.example", "localhost:8501", LOCAL),
        ("http://localhost:3000", "localhost:8501", LOCAL),
        ("http://localhost", "localhost:8501", LOCAL),
        ("http://localhost:8501.evil.example", "localhost:8501", LOCAL),
        ("null", "localhost:8501", LOCAL),
        ("file://localhost:8501", "localhost:8501", LOCAL),
        ("http://chip.example:8443", "127.0.0.1:8501", PUBLIC),
        ("http://[::1", "localhost:8501", LOCAL),
        ("", "localhost:8501", LOCAL),
    ],
)
def test_other_sites_may_not_ask(origin: str, host: str, settings: UiSettings) -> None:
    assert not is_own_origin(origin, host, settings)


def test_policy_lets_the_page_reach_its_own_server_alone() -> None:
    rules = dict(rule.split(" ", 1) for rule in content_policy("localhost:8501").split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "'self' data:"
    assert rules["script-src"] == "'self'"
    assert rules["connect-src"] == "'self' ws://localhost:8501 wss://localhost:8501"
    assert rules["frame-ancestors"] == "'none'"
    assert "ws:" not in content_policy("")
