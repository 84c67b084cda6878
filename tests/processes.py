"""Processes that tests start: each is gone when its block is left, however that happens.

with running(subprocess.Popen(["sleep", "60"])) as process:
    process.send_signal(signal.SIGTERM)
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import AnyStr

Start = Callable[[Sequence[str]], list[str]]  # a command as it is started: `list` leaves it as it is


@contextmanager
def running(process: subprocess.Popen[AnyStr]) -> Iterator[subprocess.Popen[AnyStr]]:
    """The process, which is killed at the end of the block where it has not ended by itself."""
    with process:
        try:
            yield process
        finally:
            process.kill()  # does nothing to a process that was waited for


def in_the_background(command: Sequence[str]) -> list[str]:
    """The command as a script starts it with `&`: the shell has it ignore SIGINT."""
    return ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", *command]
