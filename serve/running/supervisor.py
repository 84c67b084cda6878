"""Keeps a few processes running: starts them, waits until ready, restarts them with growing pauses, stops them all.

It does not know what the processes do. Each leads its own process group, so that stopping it stops its children.

    async with Supervisor(on_change, start_timeout_s=900) as supervisor:
        supervisor.start(part)
        await supervisor.watch()
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

import httpx
import psutil

from serve.errors import NotReadyInTime, ServeError

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
STEADY_S = 120.0  # a part that ran this long has recovered: its next pause is the first one again
POLL_S = 0.5
STOP_S = 15.0  # vLLM takes up to ten seconds to end its workers
GUARD = (sys.executable, "-m", "serve.running.guard")


@dataclass(frozen=True)
class Part:
    """A process to run: its command, environment and log, and the URL that answers 200 once it is ready."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    log_path: Path
    ready_url: str


@dataclass
class State:
    """The state of a running part. `text` is starting, ready, or a sentence about its restart."""

    part: Part
    text: str = "starting"
    restarts: int = 0
    process: asyncio.subprocess.Process | None = None
    children: list[psutil.Process] = field(default_factory=list)


class Supervisor:
    """Runs parts until its context ends; calls `on_change` with a state whenever its text changes."""

    def __init__(
        self, on_change: Callable[[State], None], start_timeout_s: float, stop_timeout_s: float = STOP_S
    ) -> None:
        self._on_change = on_change
        self._start_timeout_s = start_timeout_s
        self._stop_timeout_s = stop_timeout_s
        self._tasks: list[asyncio.Task[None]] = []
        self.states: list[State] = []

    async def __aenter__(self) -> Supervisor:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def start(self, part: Part) -> State:
        """Start a part and keep it running from now on. One log of an earlier run is kept, as `.1`."""
        if part.log_path.exists():
            part.log_path.replace(part.log_path.with_name(part.log_path.name + ".1"))
        state = State(part)
        self.states.append(state)
        self._tasks.append(asyncio.create_task(self._keep_running(state)))
        return state

    async def wait_ready(self) -> None:
        """Return once every part is ready.

        Raises:
            NotReadyInTime: a part is not ready in time, or ended before; gives the cause from its log.
            ServeError: a part cannot be started at all.
        """
        deadline = asyncio.get_running_loop().time() + self._start_timeout_s
        while waiting := [state for state in self.states if state.text != "ready"]:
            for task in self._tasks:
                if task.done():
                    task.result()
            for state in waiting:
                if state.restarts:
                    log_path = state.part.log_path
                    raise NotReadyInTime(
                        f"the {state.part.name} ended while starting: {find_cause(log_path)} (log: {log_path})"
                    )
            if asyncio.get_running_loop().time() > deadline:
                late = waiting[0].part
                raise NotReadyInTime(
                    f"the {late.name} was not ready within {self._start_timeout_s:.0f} s: see its log {late.log_path}, "
                    "or raise CHIPALIGN_START_TIMEOUT_S"
                )
            await asyncio.sleep(POLL_S / 5)

    async def watch(self) -> None:
        """Keep everything running until this is cancelled."""
        await asyncio.gather(*self._tasks)

    async def stop(self) -> None:
        """Stop all parts at once, children included; kills what ignores the request."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(end_process(state, self._stop_timeout_s) for state in self.states))

    async def _keep_running(self, state: State) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            started = asyncio.get_running_loop().time()
            state.process = await spawn(state.part)
            poll = asyncio.create_task(self._poll_ready(state))
            try:
                status = await state.process.wait()
            finally:
                poll.cancel()
            await end_process(state, self._stop_timeout_s)  # children that outlived it

            if asyncio.get_running_loop().time() - started > STEADY_S:
                pause_s = FIRST_PAUSE_S
            state.restarts += 1
            self._say(
                state,
                f"ended with status {status}; restart {state.restarts} in {pause_s:.0f} s (log: {state.part.log_path})",
            )

            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            self._say(state, f"starting again (restart {state.restarts})")

    async def _poll_ready(self, state: State) -> None:
        async with httpx.AsyncClient(timeout=5.0, trust_env=False) as client:
            while True:
                with contextlib.suppress(httpx.HTTPError, psutil.Error):
                    if (await client.get(state.part.ready_url)).status_code == 200:
                        state.children = descendants(state)
                        self._say(state, "ready")
                        return
                await asyncio.sleep(POLL_S)

    def _say(self, state: State, text: str) -> None:
        state.text = text
        self._on_change(state)


def open_log(path: Path, mode: Literal["ab", "wb"]) -> IO[bytes]:
    """Open a log that only its owner can read: engines and gateways write questions and paths."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return open(path, mode, opener=lambda name, flags: os.open(name, flags, 0o600))


async def spawn(part: Part) -> asyncio.subprocess.Process:
    """Start a part under its guard, the leader of a process group, and append its output to its log.

    Raises ServeError: the program cannot be started.
    """
    with open_log(part.log_path, "ab") as log_file:
        try:
            return await asyncio.create_subprocess_exec(
                *GUARD,
                *part.command,
                env=dict(part.env),
                stdin=asyncio.subprocess.PIPE,  # its end shows the guard that we are gone
                stdout=log_file,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise ServeError(f"the {part.name} cannot be started ({error}): run `chipalign doctor`") from None


def descendants(state: State) -> list[psutil.Process]:
    """All descendants of a part's process."""
    if state.process is None:
        return []
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(state.process.pid).children(recursive=True)
    return []


async def end_process(state: State, timeout_s: float) -> None:
    """Ask a part's process group to end, wait, then kill what is left of it and of the children seen."""
    if state.process is None:
        return
    children = [*state.children, *descendants(state)]
    signal_group(state.process.pid, signal.SIGTERM)
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(state.process.wait(), timeout_s)
    _, alive = await asyncio.to_thread(psutil.wait_procs, children, 2.0)
    signal_group(state.process.pid, signal.SIGKILL)
    for child in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    await state.process.wait()
    state.process, state.children = None, []


def signal_group(pid: int, number: signal.Signals) -> None:
    """Signal a process group if it still exists."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def find_cause(log_path: Path) -> str:
    """The line of a log that gives the cause of an end.

    It is the last word of our own commands, else the first exception, else the last line.
    """
    lines = (
        [line.strip() for line in log_path.read_text(errors="replace").splitlines() if line.strip()]
        if log_path.exists()
        else []
    )
    ours = [line for line in lines if line.startswith("chipalign ")]
    raised = [match[0] for line in lines if (match := re.search(r"\b\w*(?:Error|Exception): .+", line))]
    return (ours[-1:] or raised[:1] or lines[-1:] or ["it wrote nothing"])[0]
