"""Files of somebody's model are opened only where they are plain files, and odd names of tensors are refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from merge.errors import SCREEN, CheckpointCorrupt, CheckpointNotFound
from merge.files import NAME_LIMIT, check_name, open_plain, open_stream
from tests.rows import for_each


def test_a_plain_file_is_read_whole_and_from_its_beginning(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(bytes(range(256)))
    with open_stream(tmp_path / "w") as file:
        assert file.read(3) == b"\x00\x01\x02"
        assert file.readall() == bytes(range(3, 256))
    fd = open_plain(tmp_path / "w")
    try:
        assert os.pread(fd, 10, 250) == bytes(range(250, 256))
        assert not os.get_inheritable(fd)  # a child keeps no parent's weights open
    finally:
        os.close(fd)


def test_an_empty_file_and_one_behind_a_link_are_plain_files(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"")
    (tmp_path / "snapshot").symlink_to("blob")  # as the hub's client lays out its folders
    with open_stream(tmp_path / "snapshot") as file:
        assert file.read() == b""


def test_a_pipe_is_refused_without_waiting_for_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.safetensors")
    with pytest.raises(CheckpointCorrupt, match=r"model\.safetensors is not a plain file\. Copy the file anew"):
        open_plain(tmp_path / "model.safetensors")


@for_each("name", ["folder", "/dev/zero", "/dev/null"])
def test_folders_and_devices_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(CheckpointCorrupt, match="is not a plain file"):
        open_plain(tmp_path / name)


@for_each("name", ["none", "file/below", "dangling", "no/such/folder/w"])
def test_what_is_not_there_is_said_to_be_missing(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(CheckpointNotFound, match=r"does not exist\. Give a folder that holds a whole model"):
        open_stream(tmp_path / name)


@for_each(("name", "reason"), [("loop", "symbolic links"), ("x" * 300, "name too long")])
def test_what_cannot_be_opened_says_why(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(CheckpointCorrupt, match=rf"(?i)cannot be read: .*{reason}.*Copy the file anew"):
        open_plain(tmp_path / name)


def test_refused_files_leave_no_descriptor_open(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        with pytest.raises(CheckpointCorrupt):
            open_plain(tmp_path / "pipe")
    assert len(list(Path("/proc/self/fd").iterdir())) < before + 20


@for_each("name", ["model.norm.weight", "gewicht.größe", "a b", "x" * NAME_LIMIT])
def test_names_that_can_be_shown_pass(name: str) -> None:
    check_name(name, Path("m"))


@for_each("name", ["a\nb", "a\x1b[2J", "a\u202eb", "a\x00", "\ud800", "a\xa0b"])
def test_names_that_steer_a_terminal_are_refused_and_shown_escaped(name: str) -> None:
    with pytest.raises(CheckpointCorrupt, match=r"^m names a tensor '.*\\.*', which cannot be printed$") as caught:
        check_name(name, Path("m"))
    assert str(caught.value).isprintable()


def test_a_name_that_is_too_long_is_refused_by_its_beginning() -> None:
    with pytest.raises(
        CheckpointCorrupt, match=rf"of {NAME_LIMIT + 1} characters \({NAME_LIMIT} are allowed\): x{{80}}"
    ):
        check_name("x" * (NAME_LIMIT + 1), Path("m"))
    with pytest.raises(CheckpointCorrupt) as caught:
        check_name("\n" * 10_000, Path("m"))
    assert len(str(caught.value)) <= SCREEN
