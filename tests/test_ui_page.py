"""The chat page in a real browser: `chipalign page` as its own process, before a gateway on a real socket."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from tests.conftest import free_port
from tests.fake_gateway import HITS, FakeGateway, Script, judged, quote
from tests.processes import Start, in_the_background, running
from tests.rows import for_each

ROOT = Path(__file__).parent.parent
PATIENCE_MS = 15_000  # two busy cores draw slowly


@pytest.fixture(scope="module")
def gateway() -> Iterator[FakeGateway]:
    with FakeGateway() as fake:
        yield fake


def serve_page(port: int, url: str, start: Start = list) -> AbstractContextManager[subprocess.Popen[bytes]]:
    command = start([sys.executable, "-m", "chipalign", "page", "--port", str(port), "--url", url])
    return running(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))


@contextmanager
def page_served_at(gateway_url: str) -> Iterator[str]:
    """The address of a served page; its process is gone afterwards."""
    port = free_port()
    with serve_page(port, gateway_url) as process:
        wait_until_served(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}"
        process.terminate()
        process.wait(timeout=15)


@pytest.fixture(scope="module")
def page_url(gateway: FakeGateway) -> Iterator[str]:
    with page_served_at(gateway.url) as url:
        yield url


def wait_until_served(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        assert process.poll() is None, f"the page's process ended with {process.returncode}"
        try:
            if httpx.get(f"{url}/_stcore/health").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("the page was not served within 30 s")


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """One for all tabs: what Streamlit's page is made of is fetched and compiled once."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    yield context
    context.close()


@pytest.fixture
def tab(context: BrowserContext, page_url: str, gateway: FakeGateway) -> Iterator[Page]:
    """A fresh tab on the empty page, and a gateway that is up and well."""
    gateway.reset()
    page = context.new_page()
    page.goto(page_url)
    expect(page.get_by_text("Try one of these")).to_be_visible()
    yield page
    page.close()


def type_question(tab: Page, question: str) -> None:
    box = tab.get_by_placeholder("Ask a chip-design question")
    box.fill(question)
    box.press("Enter")


def test_answer_arrives_in_pieces_ends_and_opens_its_sources(tab: Page, gateway: FakeGateway) -> None:
    gateway.script = Script(hold_after=2)
    type_question(tab, "How do I repair antennas?")
    expect(tab.get_by_text("Run repair_antennas")).to_be_visible()
    expect(tab.get_by_role("button", name="Stop")).to_be_visible()
    expect(tab.get_by_text("after global routing")).to_have_count(0)
    gateway.release()
    answer = tab.locator(".st-key-answer-0")
    expect(answer).to_contain_text("Run repair_antennas after global routing [1].")
    expect(tab.get_by_role("button", name="Stop")).to_have_count(0)

    first, other = tab.locator(".st-key-source-0-1"), answer.get_by_text("A violation is fixed by a jumper")
    expect(first).to_contain_text("1 · Global Routing › Commands › Repair Antennas")
    expect(first.get_by_text("The repair_antennas command checks")).to_be_visible()
    expect(first.get_by_role("link", name="Open the page")).to_have_attribute("href", HITS[0]["url"])
    expect(other).to_be_hidden()
    answer.get_by_text("Other passages found (2)").click()
    expect(other).to_be_visible()
    expect(answer.get_by_role("link", name="[1]")).to_have_attribute("href", HITS[0]["url"])


def test_marks_are_coloured_and_the_text_of_a_document_can_neither_make_nor_end_one(
    tab: Page, gateway: FakeGateway
) -> None:
    forged = ":yellow-background[forged] and `a]b` of x[3:0] is {real} :red[x]"
    code = "```tcl\nputs ]\n```"
    hit = {**HITS[0], "text": f"{forged}. And more.\n\n| a | b |\n|---|---|\n| `x]` | y |\n\n{code}"}
    quotes = (quote(hit, "`a]b` of x[3:0] is"), quote(hit, "| `x]` | y |"), quote(hit, code))
    answer = "Run it [1]. :yellow-background[It] fixes all."
    unsupported = ":yellow-background[It] fixes all."
    gateway.script = Script(deltas=(answer,), hits=(hit,), quotes=quotes, verification=judged(answer, unsupported))
    type_question(tab, "q")
    passage = tab.locator(".st-key-source-0-1")
    expect(passage).to_contain_text(f"{forged.replace('`', '')}. And more.")
    assert passage.locator(".stMarkdownColoredBackground").all_inner_texts() == ["of x[3:0] is", "y"]
    expect(passage.locator("[class*=st-key-quoted-]")).to_have_text("puts ]")
    expect(tab.locator(".st-key-answer-0 .stMarkdownColoredBackground").first).to_have_text(unsupported)


def test_text_grows_while_it_is_watched(tab: Page, gateway: FakeGateway) -> None:
    gateway.script = Script(deltas=tuple(f"word{number} " for number in range(40)), delta_delay_s=0.05)
    type_question(tab, "q")
    expect(tab.get_by_text("word0")).to_be_visible()
    lengths: set[int] = set()
    while tab.get_by_role("button", name="Stop").count():
        lengths.update(len(text) for text in tab.get_by_text("word0").all_inner_texts())
    expect(tab.locator(".st-key-answer-0")).to_contain_text("word39")
    assert len(lengths) >= 5


def test_a_long_answer_is_read_from_its_top_while_it_grows_and_afterwards(tab: Page, gateway: FakeGateway) -> None:
    tab.set_viewport_size({"width": 1280, "height": 720})
    paragraphs = tuple(f"Paragraph {number} of the answer.\n\n" for number in range(60))
    stop = tab.get_by_role("button", name="Stop")
    for turn, question in enumerate(("How do I repair antennas?", "And for hold?")):
        gateway.reset(Script(deltas=paragraphs, hold_after=40))
        type_question(tab, question)
        top = tab.locator(".st-key-last").get_by_text("Paragraph 0 of")
        expect(tab.locator(".st-key-last").get_by_text("Paragraph 39 of")).not_to_be_in_viewport()
        expect(top).to_be_in_viewport()
        expect(tab.get_by_text(question)).to_be_in_viewport()
        expect(stop).to_be_in_viewport()
        gateway.release()
        expect(tab.locator(f".st-key-answer-{turn}")).to_contain_text("Paragraph 59 of")
        expect(stop).to_have_count(0)
        expect(top).to_be_in_viewport()
    tab.reload()
    expect(tab.get_by_text("And for hold?")).to_be_in_viewport()
    expect(tab.get_by_text("How do I repair antennas?")).not_to_be_in_viewport()


def test_a_reader_scrolls_as_they_like_while_an_answer_grows(tab: Page, gateway: FakeGateway) -> None:
    gateway.script = Script(deltas=tuple(f"Paragraph {number}.\n\n" for number in range(60)))
    type_question(tab, "the first question")
    expect(tab.locator(".st-key-answer-0")).to_contain_text("Paragraph 59.")
    gateway.reset(Script(hold_after=2))
    type_question(tab, "the second question")
    expect(tab.get_by_text("Run repair_antennas")).to_be_in_viewport()
    tab.locator(".st-key-last").evaluate("last => Promise.all(last.getAnimations().map(each => each.finished))")
    tab.get_by_text("the first question").scroll_into_view_if_needed()
    gateway.release()
    expect(tab.locator(".st-key-answer-1")).to_contain_text("after global routing")
    expect(tab.get_by_text("the first question")).to_be_in_viewport()


def test_gateway_down_is_reported_and_retry_works_once_it_is_up(tab: Page, gateway: FakeGateway) -> None:
    type_question(tab, "the first question")
    expect(tab.locator(".st-key-answer-0")).to_contain_text("after global routing")
    gateway.stop()
    type_question(tab, "the second question")
    expect(tab.locator(".st-key-answer-1")).to_contain_text("cannot be reached (Connection refused). Start it with")
    expect(tab.get_by_text("the first question")).to_be_visible()
    gateway.start()
    tab.get_by_role("button", name="Retry").click()
    expect(tab.locator(".st-key-answer-1")).to_contain_text("after global routing")
    expect(tab.get_by_text("cannot be reached")).to_have_count(0)


def test_status_line_follows_the_gateway_without_a_click(tab: Page, gateway: FakeGateway) -> None:
    status = tab.locator(".st-key-status")
    expect(status).to_contain_text("Ready")
    gateway.stop()
    tab.reload()
    expect(status).to_contain_text("No gateway at")
    gateway.start()
    expect(status).to_contain_text("Ready")


def test_conversation_survives_a_reload_until_it_is_ended(tab: Page, gateway: FakeGateway, page_url: str) -> None:
    type_question(tab, "How do I repair antennas?")
    expect(tab.locator(".st-key-answer-0")).to_contain_text("after global routing")
    address = tab.url
    assert re.fullmatch(re.escape(page_url) + r"/\?conversation=[\w-]{43}", address)
    tab.reload()
    expect(tab.locator(".st-key-answer-0")).to_contain_text("after global routing [1].")
    expect(tab.get_by_text("Other passages found (2)")).to_be_visible()
    type_question(tab, "And for hold?")
    expect(tab.locator(".st-key-answer-1")).to_contain_text("after global routing")
    assert tab.url == address
    assert len(gateway.requests) == 2  # nothing was asked again

    tab.get_by_role("button", name="New conversation").click()
    expect(tab.get_by_text("Try one of these")).to_be_visible()
    expect(tab).to_have_url(re.compile(re.escape(page_url) + r"/\??$"))
    tab.reload()
    expect(tab.get_by_text("Try one of these")).to_be_visible()
    tab.goto(address)
    expect(tab.get_by_text("Try one of these")).to_be_visible()
    expect(tab.get_by_text("How do I repair antennas?")).to_have_count(0)


def test_reload_amid_an_answer_keeps_what_came_and_lets_the_gateway_go(tab: Page, gateway: FakeGateway) -> None:
    gateway.script = Script(deltas=tuple(f"word{number} " for number in range(200)), delta_delay_s=0.05)
    type_question(tab, "q")
    expect(tab.get_by_text("word3")).to_be_visible()
    tab.reload()
    answer = tab.locator(".st-key-answer-0")
    expect(answer).to_contain_text("word3")
    expect(answer).to_contain_text("Stopped before its end.")
    assert gateway.hung_up.wait(10)
    gateway.reset()
    tab.get_by_role("button", name="Retry").click()
    expect(answer).to_contain_text("after global routing")


def test_pasted_log_scrolls_in_a_box_and_leaves_its_answer_in_sight(tab: Page) -> None:
    log = "\n".join(f"[INFO GRT-0{number}] routed net clk_{number} with 3 antenna violations" for number in range(60))
    assert len(log) > 3000
    type_question(tab, f"What does this log say?\n{log}")
    expect(tab.locator(".st-key-answer-0")).to_contain_text("after global routing [1].")
    question = tab.get_by_text("What does this log say?")
    answer = tab.get_by_text("after global routing [1].")
    assert answer.is_visible()
    assert question.is_visible()
    places = (question.bounding_box(), answer.bounding_box())
    assert places[0] is not None
    assert places[1] is not None
    assert 0 < places[0]["y"] < places[1]["y"] < 700
    assert places[1]["y"] - places[0]["y"] < 400
    last_line = tab.get_by_text("clk_59 with 3 antenna violations")
    last_line.scroll_into_view_if_needed()
    expect(last_line).to_be_in_viewport()


def attach(tab: Page, name: str, content: bytes) -> None:
    tab.locator("[data-testid=stChatInput] input[type=file]").set_input_files(
        {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    )
    expect(tab.locator("[data-testid=stChatInput]").get_by_text(name)).to_be_visible()
    # The name stands there from the first byte; until the last has come the input sends nothing, not by Enter either
    expect(tab.get_by_role("button", name="Send message")).to_be_enabled()


def test_an_attached_log_is_asked_about(tab: Page, gateway: FakeGateway) -> None:
    attach(tab, "run.log", b"[INFO GRT-0001] Routed a net.\n" * 5_000 + b"[ERROR GRT-0118] congestion\n")
    type_question(tab, "why does this fail?")
    expect(tab.locator(".st-key-answer-0")).to_contain_text("after global routing [1].")
    sent = gateway.requests[-1]["messages"][-1]["content"]
    assert sent.startswith("why does this fail?\n\n[INFO GRT-0001]")
    assert sent.endswith("[ERROR GRT-0118] congestion")
    expect(tab.get_by_text("lines not shown")).to_be_attached()


def test_what_was_typed_returns_where_the_attached_file_is_no_text(tab: Page, gateway: FakeGateway) -> None:
    attach(tab, "top.gds", b"\0\x06\0\x02\x02\x58")
    type_question(tab, "why does this fail?")
    expect(tab.get_by_text("top.gds holds no text, so nothing was asked")).to_be_in_viewport()
    expect(tab.get_by_placeholder("Ask a chip-design question")).to_have_value("why does this fail?")
    assert not gateway.requests


def test_stop_keeps_what_came_and_the_page_goes_on(tab: Page, gateway: FakeGateway) -> None:
    gateway.script = Script(hold_after=2)
    type_question(tab, "q")
    expect(tab.get_by_text("Run repair_antennas")).to_be_visible()
    tab.get_by_role("button", name="Stop").click()
    expect(tab.locator(".st-key-answer-0")).to_contain_text("Stopped before its end.")
    expect(tab.locator(".st-key-answer-0")).to_contain_text("Run repair_antennas")
    gateway.reset()
    type_question(tab, "r")
    expect(tab.locator(".st-key-answer-1")).to_contain_text("after global routing")


def test_stop_acts_before_the_first_word(tab: Page, gateway: FakeGateway) -> None:
    gateway.script = Script(hold_after=0)
    type_question(tab, "q")
    expect(tab.get_by_text(re.compile(r"Found 3 passages, reading them \(\d s\)"))).to_be_visible()
    tab.get_by_role("button", name="Stop").click()
    expect(tab.get_by_role("button", name="Retry")).to_be_visible()
    assert len(gateway.requests) == 1


def test_new_question_while_an_answer_comes_keeps_both(tab: Page, gateway: FakeGateway) -> None:
    gateway.script = Script(hold_after=2)
    type_question(tab, "the first question")
    expect(tab.get_by_text("Run repair_antennas")).to_be_visible()
    gateway.script = Script()
    type_question(tab, "the second question")
    expect(tab.locator(".st-key-answer-1")).to_contain_text("after global routing")
    expect(tab.locator(".st-key-answer-0")).to_contain_text("Stopped before its end.")


def test_page_fetches_nothing_from_outside(browser: Browser, page_url: str, gateway: FakeGateway) -> None:
    gateway.reset()
    fetched: list[str] = []
    context = browser.new_context()
    page = context.new_page()
    page.on("request", lambda request: fetched.append(request.url))
    page.goto(page_url)
    page.get_by_role("button", name="Which command inserts antenna diodes").click()
    expect(page.locator(".st-key-answer-0")).to_contain_text("after global routing")
    context.close()
    assert fetched
    assert [url for url in fetched if not url.startswith((page_url, "data:", "blob:"))] == []


def test_download_holds_the_conversation(tab: Page, tmp_path: Path) -> None:
    type_question(tab, "How do I repair antennas?")
    expect(tab.locator(".st-key-answer-0")).to_contain_text("after global routing")
    with tab.expect_download() as download:
        tab.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "chipalign-conversation.md"
    download.value.save_as(tmp_path / "conversation.md")
    text = (tmp_path / "conversation.md").read_text()
    assert "> How do I repair antennas?" in text
    assert HITS[0]["text"] in text


def test_narrow_screen_needs_no_sideways_scrolling(tab: Page) -> None:
    tab.set_viewport_size({"width": 420, "height": 900})
    type_question(tab, "How do I repair antennas?")
    expect(tab.get_by_text("The repair_antennas command checks")).to_be_visible()
    assert tab.evaluate("document.documentElement.scrollWidth") <= 420


OWN = "127.0.0.1:8501"


FOREIGN = [("rebind.evil.example:8501", None), (OWN, "http://evil.example"), (OWN, "http://localhost:1"), (OWN, "null")]


@for_each(("host", "origin"), FOREIGN)
def test_other_names_and_sites_get_neither_the_page_nor_its_websocket(
    page_url: str, host: str, origin: str | None
) -> None:
    headers = {"Host": host} | ({"Origin": origin} if origin else {})
    for path in ("/", "/_stcore/health", "/_stcore/host-config", "/media/x.md"):
        answer = httpx.get(page_url + path, headers=headers)
        assert (answer.status_code, answer.headers["x-content-type-options"]) == (403, "nosniff")
        assert "evil" not in str(answer.headers) + answer.text
    with pytest.raises(InvalidStatus, match="403"):
        open_websocket(page_url, host, origin)


@pytest.mark.parametrize("host", [OWN, "localhost:8501"])
def test_own_names_get_the_page_and_its_websocket(page_url: str, host: str) -> None:
    assert httpx.get(page_url, headers={"Host": host}).status_code == 200
    for origin in (f"http://{host}", None):
        with open_websocket(page_url, host, origin) as websocket:
            assert websocket.response is not None
            assert websocket.response.status_code == 101


def open_websocket(page_url: str, host: str, origin: str | None) -> ClientConnection:
    """Streamlit's websocket, asked for as a browser does on a page of `origin` that knows this server as `host`."""
    connection = socket.create_connection(("127.0.0.1", int(page_url.rpartition(":")[2])))
    return connect(
        f"ws://{host}/_stcore/stream", sock=connection, origin=Origin(origin) if origin else None, proxy=None
    )


def test_page_keeps_to_its_own_server_and_gives_nobody_its_address(page_url: str) -> None:
    for path in ("/", "/_stcore/health", "/nothing/here"):
        headers = httpx.get(page_url + path).headers
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        policy = headers["content-security-policy"]
        assert all(
            rule in policy
            for rule in (
                "img-src 'self' data:",
                "connect-src 'self' ws://127",
                "script-src 'self';",
                "frame-ancestors 'none'",
            )
        )


@pytest.mark.parametrize(
    ("start", "stop"),
    [(list, signal.SIGINT), (in_the_background, signal.SIGINT), (in_the_background, signal.SIGTERM)],
)
def test_page_process_ends_when_it_is_asked_to_also_in_the_background(
    gateway: FakeGateway, start: Start, stop: signal.Signals
) -> None:
    port = free_port()
    with serve_page(port, gateway.url, start) as process:
        wait_until_served(f"http://127.0.0.1:{port}", process)
        process.send_signal(stop)
        _, said = process.communicate(timeout=15)
    assert b"Traceback" not in said
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/_stcore/health")
