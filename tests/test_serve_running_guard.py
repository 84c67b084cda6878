"""The guard on real processes: a signal to the group is the command's, and the guard ends as the command does, without
a word of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from tests.rows import for_each

COMMAND = """
import sys, time
try:
    print("working", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(0.3)
    print("cleaned up", flush=True)
    sys.exit(130)
"""


def guard(*command: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    arguments = [sys.executable, "-m", "serve.running.guard", *command]
    return subprocess.Popen(arguments, stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def test_ctrl_c_lets_the_command_clean_up_and_the_guard_waits_for_it_in_silence() -> None:
    with guard(sys.executable, "-c", COMMAND) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stdout.read() == "cleaned up\n"
        assert process.stderr is not None
        assert process.stderr.read() == ""


@for_each("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_command_that_a_signal_ended_ends_the_guard_by_the_same_signal(number: signal.Signals) -> None:
    with guard("sh", "-c", f"kill -{int(number)} $$") as process:
        assert process.wait(20) == -number


def test_the_status_of_the_command_is_the_guards() -> None:
    with guard(sys.executable, "-c", "raise SystemExit(7)") as process:
        assert process.wait(20) == 7


def test_when_the_starter_goes_away_the_command_is_asked_to_end() -> None:
    with guard(sys.executable, "-c", COMMAND) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        assert process.stdin is not None
        process.stdin.close()  # what the system does for a starter that was killed
        assert process.wait(20) == -signal.SIGTERM


def test_a_program_that_does_not_exist_is_one_line() -> None:
    with guard("no-such-program") as process:
        assert process.wait(20) == 127
        assert process.stderr is not None
        assert (
            process.stderr.read() == "chipalign guard: no-such-program cannot be started (No such file or directory)\n"
        )
