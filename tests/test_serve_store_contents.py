"""serve.store.contents: a file is there whole or not at all, whatever is killed when."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.errors import StoreFull, StoreUnavailable
from serve.store.contents import MOST_NAME_BYTES, Contents, safe_name

ROOT = Path(__file__).parent.parent
KILLED = """
import os, sys
from pathlib import Path
from serve.store.contents import Contents

contents, step = Contents(Path(sys.argv[1])), sys.argv[2]
if step in ("hide", "remove"):
    contents.hide("file-0")
    if step == "remove":
        contents.remove_hidden("file-0")
else:
    incoming = contents.begin("file-1", "a.md")
    incoming.write(b"text")
    if step != "write":
        incoming.seal()
    if step == "place":
        incoming.place()
os.kill(os.getpid(), 9)
"""


def keep(home: Path, file_id: str, content: bytes = b"text") -> Path:
    incoming = Contents(home).begin(file_id, "a.md")
    incoming.write(content)
    incoming.seal()
    incoming.place()
    return Contents(home).path(file_id, "a.md")


def test_a_file_is_in_its_place_only_when_it_is_whole(tmp_path: Path) -> None:
    contents = Contents(tmp_path / "home")
    incoming = contents.begin("file-1", "a.md")
    path = contents.path("file-1", "a.md")
    incoming.write(b"one ")
    incoming.write(b"two")
    incoming.seal()
    assert not path.exists()
    incoming.place()
    assert (path.read_bytes(), incoming.bytes) == (b"one two", 7)
    assert (tmp_path / "home").stat().st_mode & 0o077 == 0
    assert path.parent.parent.stat().st_mode & 0o077 == 0


def test_an_upload_that_is_aborted_leaves_nothing(tmp_path: Path) -> None:
    incoming = Contents(tmp_path).begin("file-1", "a.md")
    incoming.write(b"half")
    incoming.abort()
    assert list((tmp_path / "files").iterdir()) == []


@pytest.mark.parametrize("step", ["write", "seal", "place", "hide", "remove"])
@pytest.mark.parametrize("is_known", [True, False])
def test_after_a_kill_the_sweep_does_what_the_rows_say(tmp_path: Path, step: str, is_known: bool) -> None:
    old = keep(tmp_path, "file-0")
    new = Contents(tmp_path).path("file-1", "a.md")
    code = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), step], check=False, cwd=ROOT).returncode
    assert code == -9
    Contents(tmp_path).sweep({"file-0", "file-1"} if is_known else set(), older_than_s=3600)
    assert {path.suffix for path in (tmp_path / "files").iterdir()} & {".part", ".gone"} or step in ("place", "remove")
    Contents(tmp_path).sweep({"file-0", "file-1"} if is_known else set(), older_than_s=-1)
    # A row is written between seal and place, and deleted between hide and remove
    assert new.exists() == (step == "place" or (is_known and step in ("write", "seal")))
    assert old.exists() == (step not in ("hide", "remove") or (is_known and step == "hide"))
    assert {path.suffix for path in (tmp_path / "files").iterdir()} <= {""}


def test_a_disk_that_is_full_or_not_ours_is_one_clear_error(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    incoming = Contents(tmp_path).begin("file-1", "a.md")
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    try:
        with pytest.raises(StoreFull, match="no room left for the file"):
            incoming.write(bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        incoming.abort()
    assert list((tmp_path / "files").iterdir()) == []
    (tmp_path / "home").touch()
    with pytest.raises(StoreUnavailable, match="CHIPALIGN_HOME"):
        Contents(tmp_path / "home").begin("file-1", "a.md")


@given(st.text(max_size=400))
def test_any_name_becomes_one_that_a_folder_can_hold(name: str) -> None:
    safe = safe_name(name)
    assert safe
    assert safe not in (".", "..")
    assert not {"/", "\\", "\x00", "\n"} & set(safe)
    assert len(os.fsencode(safe)) <= MOST_NAME_BYTES
    assert safe_name(safe) == safe


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("manual.pdf", "manual.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\docs\\a b.md", "a b.md"),
        ("..", "file"),
        ("", "file"),
        ("a\nb.md", "ab.md"),
        (f"{'x' * 300}.pdf", f"{'x' * 196}.pdf"),
        (".hidden", ".hidden"),
    ],
)
def test_a_name_keeps_its_ending_and_loses_its_folders(name: str, safe: str) -> None:
    assert safe_name(name) == safe
