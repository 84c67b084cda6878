"""What CONTRIBUTING.md says is true: the rooms and their walls, the files, the targets of make."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from tests.test_architecture import MAY_IMPORT, ROOMS

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def recipe_of(target: str) -> list[str]:
    """What make runs for a target, line by line."""
    (lines,) = re.findall(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    return [line.strip() for line in lines.splitlines()]


def test_it_is_short() -> None:
    assert len(TEXT.splitlines()) <= 150


def test_the_table_of_rooms_is_the_one_that_holds_the_walls() -> None:
    rows = re.findall(r"^\| `([a-z/]+)` \| .+ \| (.*)\|$", TEXT.split("\n## Words")[0], re.MULTILINE)
    assert [room for room, _ in rows] == [
        place
        for package, rooms in ROOMS.items()
        for place in (package, *(f"{package}/{room.replace('.', '/')}" for room in rooms.split()))
    ]
    for room, others in rows:
        allowed = [names for part, names in MAY_IMPORT.items() if f"{room}/".startswith(f"{part.replace('.', '/')}/")]
        assert set(re.findall(r"\w+", others)) == set().union(*allowed), room


def test_every_file_and_folder_that_it_names_is_there() -> None:
    named = re.findall(r"`((?:rag|merge|serve|ui|tests|data|docs)/[\w/.]+|\w+\.(?:py|toml))`|\]\(([^):]+)\)", TEXT)
    for path in filter(None, (name for pair in named for name in pair)):
        assert (ROOT / path).exists(), path


def test_every_target_of_make_that_it_names_is_one() -> None:
    targets = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)", TEXT)) <= targets


def test_a_commit_and_the_tests_begin_with_the_same_checks() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert repository["repo"] == "local"
    assert [hook["entry"] for hook in repository["hooks"]] == ["make lint"]
    checks = recipe_of("lint")[1:]
    assert checks == ["$(BIN)/ruff check .", "$(BIN)/ruff format --check .", "$(BIN)/mypy"]
    assert recipe_of("test")[1:4] == checks
