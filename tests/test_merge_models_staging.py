"""Folders that appear whole or not at all, whatever happens on the way."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from merge.errors import OutputBusy, OutputFull, OutputRefused
from merge.models.staging import staged_folder


def fill_forever(target: Path) -> None:
    """Stage a folder and never finish; run in a process of its own."""
    with staged_folder(target) as folder:
        (folder / "config.json").write_text("half")
        (target.parent / "started").touch()
        time.sleep(60)


def start_filling(target: Path) -> multiprocessing.process.BaseProcess:
    process = multiprocessing.get_context("spawn").Process(target=fill_forever, args=(target,), daemon=True)
    process.start()
    deadline = time.monotonic() + 30
    while not (target.parent / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return process


def fail_while_staging(target: Path, error: BaseException) -> None:
    with staged_folder(target) as folder:
        (folder / "a").write_text("later")
        raise error


def test_the_folder_appears_at_the_end_only(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "out"
    with staged_folder(target) as folder:
        (folder / "a").write_text("1")
        assert not target.exists()
    assert (target / "a").read_text() == "1"
    assert [path.name for path in target.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(1)])
def test_a_failure_leaves_nothing_behind(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)):
        fail_while_staging(tmp_path / "out", error)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_the_earlier_folder_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "a").write_text("earlier")
    with pytest.raises(ValueError, match="x"):
        fail_while_staging(target, ValueError("x"))
    assert (target / "a").read_text() == "earlier"


def test_an_earlier_folder_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").write_text("earlier")
    with staged_folder(target) as folder:
        (folder / "new").write_text("later")
    assert [path.name for path in target.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(OutputFull, match=r"no room left for .*out"):
        fail_while_staging(tmp_path / "out", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputRefused, match="cannot be written"), staged_folder(tmp_path / "file" / "out"):
        pass


def test_another_run_that_lives_is_respected_and_one_that_was_killed_is_cleaned_up(tmp_path: Path) -> None:
    target = tmp_path / "out"
    process = start_filling(target)
    with pytest.raises(OutputBusy, match="another run is writing"), staged_folder(target):
        pass
    assert (tmp_path / ".out.partial" / "config.json").exists()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not target.exists()
    with staged_folder(target) as folder:
        assert list(folder.iterdir()) == []
        (folder / "a").write_text("1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "started"]


def test_an_earlier_folder_set_aside_by_a_run_that_died_is_brought_back(tmp_path: Path) -> None:
    retired = tmp_path / ".out.replaced"
    retired.mkdir()
    (retired / "a").write_text("earlier")
    with pytest.raises(ValueError, match="x"):
        fail_while_staging(tmp_path / "out", ValueError("x"))
    assert (tmp_path / "out" / "a").read_text() == "earlier"
    assert not retired.exists()
