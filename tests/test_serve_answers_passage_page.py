"""The page of a passage: text alone, in a frame of headers, and the addresses that citations may lead to."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from dataclasses import replace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Browser

from rag.documents import Chunk, Hit
from rag.search.retriever import Retriever
from serve.answers.passage_page import public_url, read_quotes, render
from tests.conftest import Gateway
from tests.fake_engine import EngineScript, FakeEngine
from tests.rows import for_each

SCAN = {"messages": [{"role": "user", "content": "How are scan chains inserted?"}]}
CHUNK = Chunk("c0ffee", "notes", "a.md", "T", (), "", None, "Apache-2.0", 0)
HOSTILE = "javascript:alert(1)"


class LinkedStore:
    """The six documents, each with an address that its author chose."""

    def __init__(self, retriever: Retriever, url: str) -> None:
        self._retriever = retriever
        self._url = url
        self.collections = retriever.collections
        self.chunk_count = retriever.chunk_count
        self.chunk = retriever.chunk
        self.clean = retriever.clean
        self.tokens_of = retriever.tokens_of
        self.read_tokens = retriever.read_tokens

    def search(self, query: str, top_k: int = 5) -> list[Hit]:
        return [replace(hit, chunk=replace(hit.chunk, url=self._url)) for hit in self._retriever.search(query, top_k)]


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=20).json()
    return answer


@pytest.mark.parametrize("url", ["https://docs.example/grt.html#fix", "http://docs.example"])
def test_an_address_of_the_web_may_be_a_citations(url: str) -> None:
    assert public_url(url) == url


@for_each(
    "url",
    [
        None,
        "",
        HOSTILE,
        "JavaScript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "//evil.example",
        "https:",
        "https://",
        "http:///x",
        "vbscript:x",
        " javascript:alert(1)",
        "java\nscript:alert(1)",
        "https://x\n.example",
        "http://[::1",
        "https://a b",
        "\x01https://x",
    ],
)
def test_no_other_address_may(url: str | None) -> None:
    assert public_url(url) is None


def test_a_hostile_address_of_a_document_becomes_our_own_page(
    gateway_at: Gateway, engine: FakeEngine, small_retriever: Retriever
) -> None:
    engine.script = EngineScript(answer=("Scan insertion replaces flip-flops by scan flip-flops.",))
    with gateway_at(engine.url, store=LinkedStore(small_retriever, HOSTILE)) as url:
        answer = post(url, SCAN)
        stream = httpx.post(f"{url}/v1/chat/completions", json={**SCAN, "stream": True}, timeout=20).text
    assert HOSTILE not in f"{answer}{stream}"
    assert answer["choices"][0]["message"]["annotations"][0]["url_citation"]["url"].startswith(f"{url}/sources/")


def test_the_page_of_a_passage_is_held_to_be_text_by_its_headers(gateway: str) -> None:
    page = httpx.get(post(gateway, SCAN)["retrieval"]["hits"][0]["url"])
    policy = page.headers["content-security-policy"]
    for directive in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"):
        assert directive in policy
    (style,) = re.findall(r"<style>(.*?)</style>", page.text, re.DOTALL)
    assert f"style-src 'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'" in policy
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "private, no-store"


def test_a_quote_is_marked_where_the_address_says_and_the_page_begins_there(gateway: str, browser: Browser) -> None:
    hit = post(gateway, SCAN)["retrieval"]["hits"][0]
    start = hit["text"].index("Scan insertion")
    page = browser.new_page(viewport={"width": 300, "height": 120})
    page.goto(f"{hit['url']}?quote={start}-{start + 14}&quote={start + 5}-{start + 20}#quote")
    marks = page.locator("mark")
    assert "".join(marks.all_inner_texts()) == hit["text"][start : start + 20]
    assert page.evaluate("window.scrollY") > 0
    assert page.locator("pre").evaluate("each => each.textContent") == hit["text"]
    page.close()


@given(
    st.text(alphabet="ab<>&\"'\n", max_size=40),
    st.lists(st.tuples(st.integers(-3, 45), st.integers(-3, 45)), max_size=4),
)
def test_marks_change_no_letter_of_a_passage(text: str, quoted: list[tuple[int, int]]) -> None:
    page = render(replace(CHUNK, text=text), quoted)
    (shown,) = re.findall(r"<pre>(.*)</pre>", page, re.DOTALL)
    assert html.unescape(re.sub(r"<(/mark|mark|mark id=\"quote\")>", "", shown)) == text
    assert re.sub(r"<[^>]*>", "", shown) == html.escape(text)
    assert shown.count("<mark") == shown.count("</mark>")
    assert shown.count('id="quote"') == min(shown.count("<mark"), 1)


@for_each("value", ["", "a-b", "1", "-1-2", "1-2-3", "1-٢", "<script>", "9" * 10 + "-1", "1 - 2"])
def test_what_is_not_a_place_in_an_address_is_left_out(value: str) -> None:
    assert read_quotes([value, "1-2"]) == [(1, 2)]


def test_an_address_names_only_so_many_places() -> None:
    assert len(read_quotes(["1-2"] * 1000)) == 50


def test_a_browser_shows_the_page_with_its_style_and_nothing_frames_it(gateway: str, browser: Browser) -> None:
    url = post(gateway, SCAN)["retrieval"]["hits"][0]["url"]
    page = browser.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(url)
    assert page.locator("pre").evaluate("each => getComputedStyle(each).whiteSpaceCollapse") == "preserve"
    assert said == []
    page.set_content(f'<iframe src="{url}"></iframe>')
    page.wait_for_timeout(0)
    assert page.frames[-1].locator("pre").count() == 0
    page.close()


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/v1/models", "/nothing", "/sources/0"])
def test_every_answer_forbids_guessing_its_type(gateway: str, path: str) -> None:
    assert httpx.get(gateway + path).headers["x-content-type-options"] == "nosniff"
