"""Open WebUI in a browser before the gateway: its first question, with the tools that it sends, is answered and cited.

pytest tests/test_open_webui.py --clients /tmp/clients    # `make test-clients`; installs it there, two gigabytes
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conftest import Gateway, free_port
from tests.fake_engine import EngineScript, FakeEngine
from tests.processes import running
from tests.test_clients import ANSWER, QUESTION, SKIPPED, Client, install

OPEN_WEBUI = Client("", ("open-webui==0.12.4",))
START_S = 300.0  # its first start makes a database
ANSWER_MS = 120_000


@contextmanager
def open_webui(folder: Path, data: Path, gateway_url: str) -> Iterator[str]:
    """The address of an Open WebUI that knows the gateway's address and key alone, and nothing of the internet."""
    port = free_port()
    env = {
        **os.environ,
        "DATA_DIR": str(data),
        "OPENAI_API_BASE_URL": f"{gateway_url}/v1",
        "OPENAI_API_KEY": "none",
        "ENABLE_OLLAMA_API": "false",
        "WEBUI_AUTH": "false",
        "WEBUI_SECRET_KEY": "of no worth here",
        "OFFLINE_MODE": "true",
        "HF_HUB_OFFLINE": "1",
        "BYPASS_EMBEDDING_AND_RETRIEVAL": "true",
    }
    command = [str(folder / "bin" / "open-webui"), "serve", "--host", "127.0.0.1", "--port", str(port)]
    with (
        (data / "log").open("w") as log,
        running(subprocess.Popen(command, env=env, stdout=log, stderr=log)) as process,
    ):
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + START_S
        while not is_up(f"{url}/health"):
            assert process.poll() is None, (data / "log").read_text()[-3000:]
            assert time.monotonic() < deadline, "it does not start"
            time.sleep(1)
        yield url


def is_up(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def ask(page: Page, question: str) -> None:
    """Type a question, behind what it says of its news."""
    news = page.get_by_role("button", name="Okay, Let's Go!")
    place = page.locator("#chat-input")
    expect(place.or_(news).first).to_be_visible(timeout=60_000)
    if news.is_visible():
        news.click()
    place.click()
    page.keyboard.type(question)
    page.keyboard.press("Enter")


def test_the_first_question_of_open_webui_is_answered_with_its_sources(
    request: pytest.FixtureRequest,
    browser: Browser,
    gateway_at: Gateway,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    if not (chosen := request.config.getoption("--clients")):
        pytest.skip(SKIPPED)
    folder = Path(chosen).absolute() / "open-webui"
    install(OPEN_WEBUI, folder)
    script = EngineScript(answer=(ANSWER,), max_model_len=65_536)
    with (
        FakeEngine(script) as engine,
        gateway_at(engine.url, answer="auto") as gateway,
        open_webui(folder, tmp_path, gateway) as url,
    ):
        page = browser.new_page()
        page.goto(url)
        ask(page, QUESTION)
        expect(page.get_by_text("repair_antennas").first).to_be_visible(timeout=ANSWER_MS)
        expect(page.get_by_text(re.compile(r"[1-9] Sources?")).first).to_be_visible(timeout=ANSWER_MS)
        page.screenshot(path=tmp_path / "answer.png")
        page.close()
    record_property("client", ["open-webui", OPEN_WEBUI.version, "True", "True"])
