"""rag.servers: this machine by its addresses, and refusals in one line."""

import httpx
import pytest

from rag.servers import QUOTED, is_loopback, quote_refusal


@pytest.mark.parametrize(
    ("host", "is_this"),
    [("127.0.0.1", True), ("127.3.2.1", True), ("::1", True), ("localhost", True), ("gpu", False), ("10.0.0.7", False), ("", False)],
)
def test_only_this_machine_is_loopback(host: str, is_this: bool) -> None:
    assert is_loopback(host) is is_this


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (httpx.Response(400, json={"error": {"message": "too\n  long"}}), "too long"),
        (httpx.Response(500, text="<html>\nbroken</html>"), "<html> broken</html>"),
        (httpx.Response(500, json=["broken"]), '["broken"]'),
        (httpx.Response(503, text=""), "no reason given"),
        (httpx.Response(500, text="x" * 1000), "x" * QUOTED),
    ],
)
def test_a_refusal_is_one_line(response: httpx.Response, said: str) -> None:
    assert quote_refusal(response) == said
