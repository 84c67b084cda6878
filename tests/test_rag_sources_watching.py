"""rag.sources.watching: real folders and files that change, and what does not count."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from rag.sources import watching
from rag.sources.watching import Watcher, is_remote


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notices come soon."""
    monkeypatch.setattr(watching, "QUIET_MS", 100)
    monkeypatch.setattr(watching, "LOOK_MS", 50)


def wait(watcher: Watcher, s: float = 20) -> set[Path]:
    """What has changed; nothing after so many seconds."""
    end = threading.Timer(s, watcher.stop)
    end.start()
    found = watcher.wait()
    end.cancel()
    return found


def test_changes_below_a_folder_are_noticed_also_those_before_the_wait(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    with Watcher([tmp_path], ignored=tmp_path / "index") as watcher:
        (tmp_path / "deep" / "a.md").write_text("# A")
        time.sleep(0.3)
        found: set[Path] = set()
        while tmp_path / "deep" / "a.md" not in found:
            more = wait(watcher)
            assert more, "nothing more has changed"
            found |= more


def test_hidden_files_and_our_own_index_do_not_count(tmp_path: Path) -> None:
    for name in (".git", "index"):
        (tmp_path / name).mkdir()
    with Watcher([tmp_path], ignored=tmp_path / "index") as watcher:
        (tmp_path / ".git" / "HEAD").write_text("x")
        (tmp_path / ".swp").write_text("x")
        (tmp_path / "index" / "manifest.json").write_text("x")
        assert wait(watcher, 0.6) == set()


def test_a_single_file_is_noticed_where_another_takes_its_place(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_text("# A")
    with Watcher([file], ignored=tmp_path / "index") as watcher:
        for text in ("# B", "# C"):
            (tmp_path / "new").write_text(text)
            (tmp_path / "new").replace(file)
            assert wait(watcher) == {file}


def test_a_drive_of_another_machine_is_known_by_its_kind(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("dev / ext4 rw 0 0\nserver:/docs /srv/docs nfs4 rw 0 0\ntmpfs /srv/docs/fast tmpfs rw 0 0\n")
    found = [is_remote(Path(name), mounts) for name in ("/srv/docs/a", "/srv/docs/fast/a", "/srv", "/srv/docsx")]
    assert found == [True, False, False, False]
    assert not is_remote(tmp_path, tmp_path / "nothing")
