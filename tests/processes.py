"""Processes that tests start: each has ended when its block is left, however that happens.

It ends no process that a test did not hand to it.

    with running(subprocess.Popen(["sleep", "60"])) as process:
        process.send_signal(signal.SIGTERM)
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import AnyStr

Start = Callable[[Sequence[str]], list[str]]  # a command as it is started: `list` leaves it as it is


@contextmanager
def running(process: subprocess.Popen[AnyStr]) -> Iterator[subprocess.Popen[AnyStr]]:
    """The process; it is killed at the end of the block if it still runs."""
    with process:
        try:
            yield process
        finally:
            process.kill()  # does nothing to a process that has been waited for


def in_the_background(command: Sequence[str]) -> list[str]:
    """The command as a script starts it with `&`: the shell makes it ignore SIGINT."""
    return ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", *command]


def write_engine(folder: Path, program: str) -> Path:
    """Write a program in the place of vLLM's server, for PYTHONPATH; returns what to put there.

    Each folder is a package, as a folder without `__init__.py` gives way to the installed vLLM.
    """
    place = folder / "python" / "vllm" / "entrypoints" / "openai"
    place.mkdir(parents=True)
    for package in (place, *place.parents[:2]):
        (package / "__init__.py").touch()
    (place / "api_server.py").write_text(program)
    return folder / "python"
