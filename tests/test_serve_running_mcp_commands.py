"""`chipalign mcp` as a host starts it: over stdio, before a gateway and over an index alone."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters

from serve.mcp.tools import TOOLS
from tests.conftest import Gateway
from tests.fake_engine import FakeEngine
from tests.mcp_calls import data, said, sentence, with_client

ROOT = Path(__file__).parent.parent
QUESTION = "Which command fixes antenna violations?"


def program(*options: str, **env: str) -> StdioServerParameters:
    """How a host starts it."""
    return StdioServerParameters(
        command=sys.executable,
        args=["-m", "chipalign", "mcp", *options],
        cwd=str(ROOT),
        env={**os.environ, "OMP_NUM_THREADS": "1", **env},
    )


def test_a_host_that_starts_it_reaches_the_gateways_tools(gateway: str, engine: FakeEngine) -> None:
    async def ask(client: Client) -> list[Any]:
        offered = (await client.list_tools()).tools
        assert [tool.name for tool in offered] == list(TOOLS)
        found = await client.call_tool("search", {"query": QUESTION})
        answer = await client.call_tool("ask", {"question": QUESTION})
        wrong = await client.call_tool("fetch", {"id": "0000"})
        return [found, answer, wrong]

    found, answer, wrong = with_client(program("--url", gateway), ask, mode="legacy")
    assert data(found)["results"][0]["title"] == "Antenna repair"
    assert said(answer).startswith("Run `repair_antennas` [1].")
    assert "There is no passage with this id" in sentence(wrong)
    assert len(engine.bodies) == 1


def test_the_key_and_the_address_come_from_the_environment(gateway_at: Gateway, engine: FakeEngine) -> None:
    async def search(client: Client) -> Any:
        return await client.call_tool("search", {"query": QUESTION})

    with gateway_at(engine.url, api_key="sk-right") as url:
        address = url.replace("http://", "http://user:secret@") + "/v1/"
        right = with_client(program(CHIPALIGN_URL=url, CHIPALIGN_API_KEY="sk-right"), search)
        wrong = with_client(program(CHIPALIGN_URL=address), search)
    assert data(right)["results"]
    assert "This gateway asks for an API key" in sentence(wrong)
    assert "secret" not in sentence(wrong)


def test_a_gateway_that_goes_down_is_an_error_in_words(gateway_at: Gateway, engine: FakeEngine) -> None:
    with ExitStack() as running:
        url = running.enter_context(gateway_at(engine.url))

        async def ask(client: Client) -> list[Any]:
            before = await client.call_tool("search", {"query": QUESTION})
            running.close()
            return [before, await client.call_tool("search", {"query": QUESTION})]

        before, after = with_client(program("--url", url), ask)
    assert data(before)["results"]
    assert "start it with `chipalign up`" in sentence(after)


def test_another_server_is_reported_as_such(engine: FakeEngine) -> None:
    async def search(client: Client) -> Any:
        return await client.call_tool("search", {"query": QUESTION})

    told = with_client(program("--url", engine.url), search)
    assert "not as a gateway does" in said(told)


def test_an_index_answers_without_a_gateway(small_index: Path) -> None:
    async def ask(client: Client) -> list[Any]:
        offered = (await client.list_tools()).tools
        assert [tool.name for tool in offered] == ["search", "fetch", "reference", "check_code"]
        found = await client.call_tool("search", {"query": QUESTION})
        fetched = await client.call_tool("fetch", {"id": data(found)["results"][0]["id"]})
        code = {"code": "module m(input a);\nassign = a;\nendmodule", "language": "verilog"}
        checked = await client.call_tool("check_code", code)
        unknown = await client.call_tool("reference", {"name": "no_such_command"})
        asked = await client.call_tool("ask", {"question": QUESTION})
        return [found, fetched, checked, unknown, asked]

    found, fetched, checked, unknown, asked = with_client(program("--index", str(small_index)), ask)
    assert data(found)["results"][0]["url"] == ""  # no gateway shows it
    assert "repair_antennas" in data(fetched)["text"]
    assert data(checked)["verdict"] == "faulty"
    assert "describes a command, an option, a variable or a message, 'no_such_command' neither" in sentence(unknown)
    assert "There is no tool 'ask'" in sentence(asked)


def test_a_wrong_index_and_a_wrong_address_are_one_line_and_exit_2(tmp_path: Path) -> None:
    for options in (["--index", str(tmp_path / "none")], ["--url", "ftp://x"], ["--index", "a", "--url", "http://b"]):
        command = [sys.executable, "-m", "chipalign", "mcp", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=120)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.splitlines()[-1].startswith("chipalign mcp: ")
