"""rag.embedding.servers: this machine by its addresses, and refusals in one line."""

from __future__ import annotations

import httpx
import pytest

from rag.embedding.embeddings_api import EmbeddingsApi
from rag.embedding.servers import QUOTED, is_loopback, quote_refusal, split_login
from rag.errors import RagError
from rag.index.milvus import Milvus
from rag.index.vector_store import choose_store
from rag.settings import RagSettings
from tests.rows import for_each


@for_each(
    ("host", "is_this"),
    [
        ("127.0.0.1", True),
        ("127.3.2.1", True),
        ("::1", True),
        ("[::1]", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("LOCALHOST.", True),
        ("chip.localhost", True),
        ("notlocalhost", False),
        ("gpu", False),
        ("10.0.0.7", False),
        ("", False),
    ],
)
def test_only_this_machine_is_loopback(host: str, is_this: bool) -> None:
    assert is_loopback(host) is is_this


@for_each(
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


@for_each(
    ("url", "shown", "login"),
    [
        ("http://someone:hunter2@gpu:8002/v1", "http://gpu:8002/v1", ("someone", "hunter2")),
        ("http://someone:p%40ss@gpu", "http://gpu", ("someone", "p@ss")),
        ("http://gpu:8002", "http://gpu:8002", None),
        ("http://someone:hunter2/@gpu", "http://gpu", None),  # no address at all
        ("someone:hunter2@gpu", "gpu", None),
    ],
)
def test_a_password_in_an_address_is_sent_and_never_shown(url: str, shown: str, login: tuple[str, str] | None) -> None:
    assert split_login(url) == (shown, login)


def test_no_error_of_a_client_shows_the_password_in_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.embedding.embeddings_api.PAUSES_S", ())
    address = "http://someone:hunter2@127.0.0.1:9"
    for ask in (
        lambda: EmbeddingsApi(address, "m", "").embed(["x"]),
        lambda: EmbeddingsApi(address, "m", "").find_window(),
        lambda: EmbeddingsApi("ftp://someone:hunter2@gpu", "m", ""),
    ):
        with pytest.raises(RagError) as caught:
            ask()
        assert "hunter2" not in f"{caught.value}"
    settings = RagSettings(milvus_uri="http://someone:hunter2@milvus:19530", embeddings_url=address)
    assert "hunter2" not in repr(settings)
    milvus = choose_store(settings)
    assert milvus == Milvus("http://milvus:19530", "someone:hunter2")
    assert "hunter2" not in repr(milvus)
