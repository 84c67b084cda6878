"""What the README says is true: commands, settings, the tree; and the handbook's form."""

import dataclasses
import re
import subprocess
from pathlib import Path

import pytest

import chipalign
from merge.settings import MergeSettings
from rag.settings import RagSettings
from serve.settings import ServeSettings
from ui.settings import UiSettings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
HANDBOOK = sorted((ROOT / "data" / "handbook").glob("*.md"))
SETTINGS = (ServeSettings, RagSettings, MergeSettings, UiSettings)


def settings_rows() -> dict[str, str]:
    """Every variable with its row of the README's table; where packages share a variable the first one's words stand."""
    rows: dict[str, str] = {}
    for settings in SETTINGS:
        for item in dataclasses.fields(settings):
            name = item.metadata["env"]
            default = (
                ""
                if item.default in (dataclasses.MISSING, None, "") or name == "CHIPALIGN_HOME"
                else f"`{item.default}`"
            )
            rows.setdefault(name, f"| `{name}` | {default} | {item.metadata['help']} |")
    return rows


def test_the_table_of_settings_is_the_classes() -> None:
    table = [line for line in README.splitlines() if re.match(r"\| `[A-Z\d_]+` \|", line)]
    assert table == [row for _, row in sorted(settings_rows().items())]


def test_every_command_is_in_the_readme_and_none_that_does_not_exist() -> None:
    used = set(re.findall(r"(?:`|^    )chipalign ([a-z]+)\b", README, re.MULTILINE))
    assert set(chipalign.COMMANDS) <= used
    assert used <= set(chipalign.COMMANDS)


def test_the_tree_in_the_readme_names_every_file_of_the_packages() -> None:
    tree = README.split("## The tree")[1].split("\n## ")[0]
    for package in ("merge", "rag", "serve", "ui"):
        (line,) = re.findall(rf"^    {package}/ +(.+(?:\n {{8,}}.+)*)", tree, re.MULTILINE)
        rooms = {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}
        assert set(line.split()) == {path.stem for path in (ROOT / package).glob("*.py")} - {"__init__"} | rooms
        for room in rooms:
            (line,) = re.findall(rf"^      {room}/ +([^:\n]+)", tree, re.MULTILINE)
            assert set(line.split()) == {path.stem for path in (ROOT / package / room).glob("*.py")} - {"__init__"}


def test_no_place_was_left_to_be_filled() -> None:
    assert not re.search(r"@[A-Z]+@|TODO|TBD", README)


def test_every_link_to_a_file_leads_to_one() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_make_targets_in_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z]+)`?", README)) <= targets | {"sure"}


def test_every_dependency_is_pinned() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    declared.remove("chipalign[rag]")
    names = {re.split(r"[\[<>=!; ]", requirement)[0].lower().replace("_", "-") for requirement in declared}
    pins = [
        line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if not line.startswith("#")
    ]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", pin) for pin in pins)
    assert names <= {pin.split("==")[0].lower().replace("_", "-") for pin in pins}


def test_the_handbook_has_at_least_forty_articles() -> None:
    assert len(HANDBOOK) >= 40


@pytest.mark.parametrize("path", HANDBOOK, ids=lambda path: path.stem)
def test_an_article_has_its_form_and_its_links_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.match(r"# \S", text)
    assert text.count("\n## ") >= 3
    assert not re.search(r"[ \t]+$", text, re.MULTILINE)
    assert path.stem == "glossary" or 300 <= len(text.split()) <= 900
    for target in re.findall(r"\]\(([^)]+\.md)\)", text):
        assert (path.parent / target).exists(), target


def test_the_glossary_explains_each_abbreviation_once() -> None:
    text = (ROOT / "data" / "handbook" / "glossary.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?!Abbreviation|-)([^|]+?) \| ([^|]+?) \| ([^|]+?) \|$", text, re.MULTILINE)
    names = [name for name, _, _ in rows]
    assert len(names) >= 150
    assert len(names) == len(set(names))


def test_no_tracked_file_names_a_path_of_one_machine() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    suspicious = re.compile("|".join("/" + name + "/" for name in ("root", "work", "farm")))
    for name in filter(None, tracked):
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".txt", ".mjs", ""} and path.is_file():
            assert not suspicious.search(path.read_text(encoding="utf-8")), name
