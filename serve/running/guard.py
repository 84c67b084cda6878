"""Runs one command and ends it, with all its children, when its starter dies, even by kill -9.

The starter holds the other end of our standard input: when it dies the system closes that pipe, and no signal handler,
import or start-up phase of the command can miss that. The guard leads a process group that includes the command's
children. Standard library only.

    python -m serve.running.guard chipalign serve     # standard input: a pipe that the starter keeps open
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

GRACE_S = 15.0  # vLLM takes up to ten seconds to end its workers


def end_group_when_starter_dies() -> None:
    """Wait for the end of standard input, then ask the group to end, and kill what remains, this process included."""
    while os.read(0, 4096):
        pass
    os.killpg(0, signal.SIGTERM)
    time.sleep(GRACE_S)
    os.killpg(0, signal.SIGKILL)


def main(command: list[str]) -> int:
    """Run the command; its exit status or its fatal signal becomes ours."""
    if os.getpgrp() != os.getpid():
        os.setsid()  # lead a group of our own: signals must not reach the starter's
    # Meant for the command, which gets them too; handlers, since children would inherit SIG_IGN
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    except OSError as error:
        sys.stderr.write(f"chipalign guard: {command[0]} cannot be started ({error.strerror})\n")
        sys.stderr.flush()
        return 127  # as shells report it
    threading.Thread(target=end_group_when_starter_dies, daemon=True).start()
    status = process.wait()
    if status < 0:
        if -status in (signal.SIGTERM, signal.SIGINT):
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))  # does not wait for the thread, which reads for ever
