"""Runs one of the user's own commands as a process, with --json, and returns its document.

The process ends when this one does, even by kill -9, and is interrupted if its caller is cancelled. It knows no
command.

    summary = await step(["merge", "recipe.toml", "--out", "merged/"], env)
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from serve.errors import StepFailed
from serve.running.supervisor import GUARD, find_cause, open_log, signal_group

CHIPALIGN = (sys.executable, "-m", "chipalign")


async def step(
    arguments: Sequence[str], env: Mapping[str, str], log_path: Path | None = None, is_shown: bool = True
) -> dict[str, Any]:
    """Run one of our commands with --json and return its document.

    Its progress goes to our stderr, and to a log if one is named. A command that runs beside others is not shown: its
    progress goes to the log alone.

    Raises StepFailed: it ended with an error; stderr says which, and with a log the message does too.
    """
    command = [*GUARD, *CHIPALIGN, *arguments, "--json"]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, env=dict(env), stdin=pipe, stdout=pipe, stderr=pipe if log_path else None, start_new_session=True
    )
    assert process.stdout is not None  # it is a pipe

    try:
        output, _ = await asyncio.gather(process.stdout.read(), _tee(process.stderr, log_path, is_shown))
        await process.wait()
    finally:
        if process.returncode is None:
            signal_group(process.pid, signal.SIGINT)  # our commands clean up after themselves
            await process.wait()

    if process.returncode != 0:
        if log_path is None:
            raise StepFailed(f"`chipalign {' '.join(arguments[:2])}` failed, for the reason above")
        cause = find_cause(log_path).removeprefix(f"chipalign {arguments[0]}: ")
        raise StepFailed(f"{cause} (log: {log_path})")

    document: dict[str, Any] = json.loads(output)
    return document


async def _tee(stream: asyncio.StreamReader | None, log_path: Path | None, is_shown: bool) -> None:
    """Copy a stream to a new log as it comes, and to our stderr if it is shown."""
    if stream is None or log_path is None:
        return
    with open_log(log_path, "wb") as log:
        while piece := await stream.read(2**16):
            log.write(piece)
            log.flush()
            if is_shown:
                sys.stderr.write(piece.decode("utf-8", errors="replace"))
                sys.stderr.flush()
