"""Real clients against the gateway: each has its own folder of packages, and needs a base URL and a key alone.

pytest tests/test_clients.py --clients /tmp/clients    # `make test-clients`; installs what that folder lacks
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Gateway
from tests.fake_engine import EngineScript, FakeEngine

PROGRAMS = Path(__file__).parent / "clients"
QUESTION = "Which command fixes antenna violations?"
ANSWER = "Run `repair_antennas` [1]."
SKIPPED = "installs packages of others, for minutes: `make test-clients` runs it"


@dataclass(frozen=True)
class Client:
    """A program of `tests/clients` and the packages that it needs, the client itself first."""

    program: str
    packages: tuple[str, ...]
    cites: bool = True  # hands on the citations of a chat

    @property
    def is_node(self) -> bool:
        return self.program.endswith(".mjs")

    @property
    def separator(self) -> str:
        return "@" if self.is_node else "=="

    @property
    def version(self) -> str:
        return self.packages[0].rpartition(self.separator)[2]


CLIENTS = {
    "openai-python": Client("openai_python.py", ("openai==3.57.0",)),
    "openai-node": Client("openai_node.mjs", ("openai@6.49.0",)),
    "langchain": Client("langchain_openai_python.py", ("langchain-openai==1.7.4", "langchain==1.5.2")),
    "litellm": Client("litellm_python.py", ("litellm==1.110.2",)),
    "llama-index": Client("llama_index_python.py", ("llama-index-llms-openai-like==0.8.1",)),
    "pydantic-ai": Client("pydantic_ai_python.py", ("pydantic-ai-slim[openai]==2.68.0",), cites=False),
    "ai-sdk": Client(
        "ai_sdk.mjs", ("ai@6.0.326", "@ai-sdk/openai@3.0.141", "@ai-sdk/openai-compatible@2.0.92", "zod@4.6.7")
    ),
}


@pytest.fixture
def folder(request: pytest.FixtureRequest) -> Path:
    """The folder of clients that the option names."""
    chosen = request.config.getoption("--clients")
    if not chosen:
        pytest.skip(SKIPPED)
    return Path(chosen).absolute()


@pytest.fixture(scope="module")
def url(gateway_at: Gateway) -> Iterator[str]:
    """A gateway whose engine calls the first tool that it is offered, and else answers."""
    with FakeEngine(EngineScript(calls=True)) as engine, gateway_at(engine.url, answer="model") as address:
        yield address


@dataclass(frozen=True)
class Agent:
    """A coding agent of a terminal: its packages, itself first, and how it is asked once at a gateway.

    `command` writes the agent's settings into a folder and returns the command line.
    """

    packages: tuple[str, ...]
    is_node: bool
    command: Callable[[Path, str], list[str]]

    @property
    def version(self) -> str:
        return self.packages[0].rpartition("@" if self.is_node else "==")[2]


def ask_codex(folder: Path, url: str) -> list[str]:
    provider = f'{{name="chipalign", base_url="{url}/v1", wire_api="responses", env_key="OPENAI_API_KEY"}}'
    settings = [f"model_providers.chipalign={provider}", 'model_provider="chipalign"', 'model="chipalign-demo"']
    options = [part for each in settings for part in ("-c", each)]
    return [str(folder / "node_modules/.bin/codex"), "exec", "--skip-git-repo-check", *options, QUESTION]


def ask_opencode(folder: Path, url: str) -> list[str]:
    models = {"chipalign-demo": {"name": "ChipAlign", "limit": {"context": 8192, "output": 512}}}
    provider = {"npm": "@ai-sdk/openai-compatible", "options": {"baseURL": f"{url}/v1", "apiKey": "none"}}
    settings = {"provider": {"chipalign": {**provider, "models": models}}, "autoupdate": False, "share": "disabled"}
    (folder / "opencode.json").write_text(json.dumps(settings))
    (folder / "models.json").write_text("{}")  # the list of all models of the world, which it fetches otherwise
    return [str(folder / "node_modules/.bin/opencode"), "run", "--model", "chipalign/chipalign-demo", QUESTION]


def ask_aider(folder: Path, url: str) -> list[str]:
    address = ["--openai-api-base", f"{url}/v1", "--openai-api-key", "none", "--model", "openai/chipalign-demo"]
    quiet = ["--no-git", "--no-check-update", "--no-show-release-notes", "--analytics-disable", "--yes-always"]
    plain = ["--no-pretty", "--no-show-model-warnings", "--no-detect-urls", "--chat-mode", "ask"]
    return [str(folder / "bin/aider"), *address, *quiet, *plain, "--message", QUESTION]


AGENTS = {
    "codex": Agent(("@openai/codex@0.169.0",), True, ask_codex),
    "opencode": Agent(("opencode-ai@1.18.33",), True, ask_opencode),
    "aider": Agent(("aider-chat==0.86.2",), False, ask_aider),
}


def install(client: Client | Agent, folder: Path) -> None:
    """Install a client's packages into a folder, unless they are there."""
    done = folder / "installed.txt"
    if done.is_file() and done.read_text() == "\n".join(client.packages):
        return
    folder.mkdir(parents=True, exist_ok=True)
    if client.is_node:
        run = ["npm", "install", "--no-audit", "--no-fund", "--silent", *client.packages]
        subprocess.run(run, cwd=folder, check=True)
    else:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(folder / "bin" / "python"), "-m", "pip", "install", "-q", *client.packages], check=True)
    done.write_text("\n".join(client.packages))


def ask(client: Client, folder: Path, url: str) -> Any:
    """What a client's program saw of the gateway."""
    program = PROGRAMS / client.program
    if client.is_node:  # Node looks for packages beside the program
        program = folder / client.program
        program.write_bytes((PROGRAMS / client.program).read_bytes())
    interpreter = "node" if client.is_node else str(folder / "bin" / "python")
    command = [interpreter, str(program), f"{url}/v1", QUESTION]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_chats_streams_calls_a_tool_and_cites_with_a_base_url_and_a_key_alone(
    folder: Path, url: str, name: str, record_property: Callable[[str, object], None]
) -> None:
    client = CLIENTS[name]
    install(client, folder / name)
    seen = ask(client, folder / name, url)
    record_property("client", [name, client.version, *(str(bool(seen[each])) for each in seen)])
    assert (seen["whole"], seen["streamed"], seen["after_tool"]) == (ANSWER, ANSWER, ANSWER)
    assert seen["response"] in (ANSWER, None)
    assert seen["tool"] == "get_time"
    assert seen["citations"] == (["Antenna repair"] if client.cites else None)


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_of_a_terminal_shows_the_answer_with_a_base_url_and_a_key_alone(
    folder: Path, gateway_at: Gateway, name: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    agent = AGENTS[name]
    install(agent, folder / name)
    env = {**os.environ, "HOME": str(tmp_path), "PWD": str(folder / name), "OPENAI_API_KEY": "none", "NO_COLOR": "1"}
    env |= {"OPENCODE_MODELS_PATH": str(folder / name / "models.json"), "OPENCODE_DISABLE_MODELS_FETCH": "true"}
    with (
        FakeEngine(EngineScript(answer=(ANSWER,), max_model_len=65_536)) as engine,
        gateway_at(engine.url, answer="model") as url,
    ):
        command = agent.command(folder / name, url)
        done = subprocess.run(
            command, cwd=folder / name, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300
        )
        assert "repair_antennas" in done.stdout, done.stderr[-3000:]
        assert any(body.get("tools") for body in engine.bodies) == agent.is_node  # aider edits by text alone
    record_property("client", [name, agent.version, "True", "True"])


INSPECTOR = Agent(
    ("@modelcontextprotocol/inspector@0.15.0",),
    True,
    lambda folder, url: [str(folder / "node_modules/.bin/mcp-inspector"), "--cli", f"{url}/mcp", "--transport", "http"],
)


def test_a_host_of_mcp_lists_the_tools_and_calls_one(
    folder: Path, url: str, record_property: Callable[[str, object], None]
) -> None:
    place = folder / "mcp-inspector"
    install(INSPECTOR, place)

    def run(*options: str) -> Any:
        """What the host prints of an answer."""
        command = [*INSPECTOR.command(place, url), "--method", *options]
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout)

    listed = [tool["name"] for tool in run("tools/list")["tools"]]
    assert listed == ["search", "fetch", "ask", "reference", "check_code"]
    found = run("tools/call", "--tool-name", "search", "--tool-arg", f"query={QUESTION}", "--tool-arg", "top_k=1")
    [result] = found["structuredContent"]["results"]
    assert "repair_antennas" in result["text"]
    unknown = run("tools/call", "--tool-name", "fetch", "--tool-arg", "id=0000000000000000")
    assert unknown["isError"]
    record_property("client", ["mcp-inspector", INSPECTOR.version, "True"])
