"""Commands as they are typed, run in this process: to start one and import its libraries takes seconds.

A test of what a process does at its start or end, on a signal, or under another hash seed starts one.

    done = run_command("adapt", "model", "--out", "ours", CHIPALIGN_HOME=str(home))
    assert (done.returncode, done.stdout) == (0, "...")
"""

from __future__ import annotations

import contextlib
import io
import subprocess
from pathlib import Path

import pytest

import chipalign


def run_command(*arguments: str, folder: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """What `chipalign ARGUMENTS` ends with and writes, in a folder if one is given, with variables beside our own."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        for name, value in env.items():
            patch.setenv(name, value)
        if folder:
            patch.chdir(folder)
        try:
            code = chipalign.main(list(arguments))
        except SystemExit as ended:  # of the parser of options
            code = ended.code if isinstance(ended.code, int) else 1
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())
