"""The supervisor on real processes: ready, restarted, stopped with all their children, none left when it is killed
itself.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from serve.errors import NotReadyInTime, ServeError
from serve.running.supervisor import Part, State, Supervisor
from tests.conftest import free_port
from tests.processes import running

SERVER = """
import http.server, subprocess, sys, pathlib
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path(sys.argv[2]).write_text(str(child.pid))
print("listening", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def server_part(folder: Path) -> Part:
    """A web server that starts a child of its own and writes the child's pid."""
    port = free_port()
    command = [sys.executable, "-c", SERVER, str(port), str(folder / "child.pid")]
    return Part("server", command, dict(os.environ), folder / "server.log", f"http://127.0.0.1:{port}/")


async def until(condition: object, timeout_s: float = 20.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.05)


def is_running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_part_becomes_ready_and_leaving_stops_it_with_its_children(tmp_path: Path) -> None:
    async def scenario() -> list[int]:
        async with Supervisor(lambda state: None, start_timeout_s=20) as supervisor:
            state = supervisor.start(server_part(tmp_path))
            await supervisor.wait_ready()
            assert state.process is not None
            pids = [state.process.pid, int((tmp_path / "child.pid").read_text())]
            assert all(map(is_running, pids))
            return pids

    pids = asyncio.run(scenario())
    assert not any(map(is_running, pids))
    assert "listening" in (tmp_path / "server.log").read_text()


def test_a_part_that_dies_is_said_and_started_again(tmp_path: Path) -> None:
    said: list[str] = []

    async def scenario() -> None:
        async with Supervisor(lambda state: said.append(state.text), start_timeout_s=20) as supervisor:
            state = supervisor.start(server_part(tmp_path))
            await supervisor.wait_ready()
            assert state.process is not None
            first = state.process.pid
            child = int((tmp_path / "child.pid").read_text())
            os.kill(first, signal.SIGKILL)
            await until(lambda: state.restarts == 1 and state.text == "ready")
            assert state.process.pid != first
            assert not is_running(child)

    asyncio.run(scenario())
    assert [text.split(" (")[0] for text in said] == [
        "ready",
        "ended with status -9; restart 1 in 1 s",
        "starting again",
        "ready",
    ]


def test_the_pauses_between_restarts_grow(tmp_path: Path) -> None:
    said: list[str] = []
    part = Part(
        "stub",
        [sys.executable, "-c", "raise SystemExit(3)"],
        dict(os.environ),
        tmp_path / "stub.log",
        "http://127.0.0.1:9/",
    )

    async def scenario() -> None:
        async with Supervisor(lambda state: said.append(state.text), start_timeout_s=20) as supervisor:
            state = supervisor.start(part)
            await until(lambda: state.restarts == 3)

    asyncio.run(scenario())
    pauses = [text.split(" in ")[1].split(" (")[0] for text in said if "status 3" in text]
    assert pauses == ["1 s", "2 s", "4 s"]


def test_a_part_that_ends_while_starting_is_an_error_with_the_end_of_its_log(tmp_path: Path) -> None:
    code = "print('no such model'); raise SystemExit(1)"
    part = Part(
        "engine", [sys.executable, "-c", code], dict(os.environ), tmp_path / "engine.log", "http://127.0.0.1:9/"
    )

    async def scenario() -> None:
        async with Supervisor(lambda state: None, start_timeout_s=20) as supervisor:
            supervisor.start(part)
            await supervisor.wait_ready()

    with pytest.raises(NotReadyInTime, match=r"(?s)the engine ended while starting.*no such model"):
        asyncio.run(scenario())


def test_a_part_that_never_answers_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    part = Part(
        "page",
        [sys.executable, "-c", "import time; time.sleep(60)"],
        dict(os.environ),
        tmp_path / "page.log",
        "http://127.0.0.1:9/",
    )

    async def scenario() -> None:
        async with Supervisor(lambda state: None, start_timeout_s=0.3) as supervisor:
            supervisor.start(part)
            await supervisor.wait_ready()

    with pytest.raises(NotReadyInTime, match="CHIPALIGN_START_TIMEOUT_S"):
        asyncio.run(scenario())


def test_a_part_that_ignores_the_request_to_end_is_killed(tmp_path: Path) -> None:
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    part = Part("deaf", [sys.executable, "-c", code], dict(os.environ), tmp_path / "deaf.log", "http://127.0.0.1:9/")

    async def scenario() -> int:
        async with Supervisor(lambda state: None, start_timeout_s=20, stop_timeout_s=0.5) as supervisor:
            state = supervisor.start(part)
            await until(lambda: part.log_path.exists() and "deaf" in part.log_path.read_text())
            assert state.process is not None
            return state.process.pid

    assert not is_running(asyncio.run(scenario()))


def test_a_program_that_does_not_exist_is_one_sentence(tmp_path: Path) -> None:
    part = Part("engine", [str(tmp_path / "missing")], dict(os.environ), tmp_path / "engine.log", "http://127.0.0.1:9/")

    async def scenario() -> None:
        async with Supervisor(lambda state: None, start_timeout_s=20) as supervisor:
            supervisor.start(part)
            await supervisor.wait_ready()

    with pytest.raises(ServeError, match=r"the engine ended while starting: chipalign guard: .*cannot be started"):
        asyncio.run(scenario())


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux's")
def test_a_killed_supervisor_leaves_no_part_behind(tmp_path: Path) -> None:
    code = (
        "import asyncio, os, sys, pathlib\n"
        "from serve.running.supervisor import Part, State, Supervisor\n"
        "async def main():\n"
        "    folder = pathlib.Path(sys.argv[1])\n"
        "    part = Part('sleeper', [sys.executable, '-c', 'import time; time.sleep(600)'], dict(os.environ), "
        "folder / 'log', 'http://127.0.0.1:9/')\n"
        "    async with Supervisor(lambda state: None, 60) as supervisor:\n"
        "        state = supervisor.start(part)\n"
        "        while state.process is None: await asyncio.sleep(0.01)\n"
        "        print(state.process.pid, flush=True)\n"
        "        await supervisor.watch()\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with running(
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent)
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert is_running(pid)
    asyncio.run(until(lambda: not is_running(pid)))


def test_states_start_as_starting(tmp_path: Path) -> None:
    assert State(server_part(tmp_path)).text == "starting"
