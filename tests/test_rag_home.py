"""The home folder is for its owner alone, and a folder of somebody else's things stays as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.home import make_home


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_home_is_for_its_owner_alone(tmp_path: Path) -> None:
    make_home(tmp_path / "deep" / "home")
    assert mode(tmp_path / "deep" / "home") == 0o700


@pytest.mark.parametrize(
    ("names", "before", "after"),
    [
        (["models", "logs"], 0o755, 0o700),  # made by an earlier version
        (["models", "logs"], 0o750, 0o750),  # opened to a group
        (["models", "letters"], 0o755, 0o755),  # not ours alone
        ([], 0o777, 0o777),  # made by the user
    ],
)
def test_an_old_home_is_closed_and_a_folder_of_other_things_is_not(
    tmp_path: Path, names: list[str], before: int, after: int
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for name in names:
        (home / name).mkdir()
    home.chmod(before)
    make_home(home)
    assert mode(home) == after


def test_a_home_that_cannot_be_made_is_reported_by_who_writes_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    make_home(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "x"
