"""rag.folder_lock: held by one, refused to the others, and free again however its holder ended."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rag.errors import IndexBusy, SourceUnusable
from rag.folder_lock import hold_lock
from tests.processes import running

HOLD = """
import sys
from pathlib import Path
from rag.folder_lock import hold_lock
with hold_lock(Path(sys.argv[1]), lambda error: error, RuntimeError("busy")):
    sys.stdout.write("held\\n"); sys.stdout.flush()
    sys.stdin.read()
"""
BUSY = IndexBusy("another one works here: wait for it")


def unwritable(error: OSError) -> SourceUnusable:
    return SourceUnusable(f"not to be written: {error.strerror}")


def test_a_second_process_is_refused_and_a_killed_one_lets_go(tmp_path: Path) -> None:
    lock = tmp_path / "new" / "lock"
    command = [sys.executable, "-c", HOLD, str(lock)]
    with running(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(IndexBusy, match="another one works here"), hold_lock(lock, unwritable, BUSY):
            pass
    with hold_lock(lock, unwritable, BUSY):
        assert lock.is_file()


def test_it_is_free_after_an_error_inside(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), hold_lock(tmp_path / "lock", unwritable, BUSY):
        1 / 0  # noqa: B018 - any error
    with hold_lock(tmp_path / "lock", unwritable, BUSY):
        pass


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(SourceUnusable, match="not to be written: File exists"),
        hold_lock(tmp_path / "file" / "lock", unwritable, BUSY),
    ):
        pass
