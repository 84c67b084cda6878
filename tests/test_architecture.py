"""The walls of the house: which rooms there are, who may import whom, where the environment is read."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.python_trees import tree_of
from tests.rows import for_each

ROOT = Path(__file__).parent.parent
# The rooms of each package. A room imports the files of its package that stand in no room, and rooms named before it;
# files in no room import no room. Inside a room the only rule is: no circle.
ROOMS = {
    "rag": "design paged office formats sources embedding reference index measuring words search answering checking "
    "training commands",
    "merge": "arithmetic models merging training tuning commands",
    "serve": "store uploads intent tokens answers limits responses mcp openapi gateway evaluation.asking "
    "evaluation.prompts evaluation.retrieval evaluation.qa evaluation.answers running evaluation.model "
    "evaluation.experiment",
    "ui": "page slack terminal",
}
# Which other packages a room, or all of a package, may import.
MAY_IMPORT = {"serve": {"rag"}, "serve.evaluation.experiment": {"merge"}, "merge.training": {"rag"}}
MOST_FILES = 20  # in a room
SOURCES = [path for package in ROOMS for path in sorted((ROOT / package).rglob("*.py"))]
GROUND = ROOT / "chipalign_settings.py"  # of all packages, so that it may import none of them
PROGRAMS = (*SOURCES, GROUND, ROOT / "chipalign.py", ROOT / "install.py")
# What stands behind "Raises", which ends a docstring: `X, Y: why.`, `what f raises.`, or a line each in a block.
_NAMES = r"[A-Z]\w+(?:, [A-Z]\w+)*"
_RAISES_LINE = re.compile(rf" (?:(?:{_NAMES})|what .+ raises?)(?:: (?:(?!\n\n).)+)?\.", re.DOTALL)
_RAISES_BLOCK = re.compile(rf":\n(?:    {_NAMES}(?:: .+(?:\n        .+)*\.)?(?:\n|$))+")


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room_of(module: str) -> str:
    """The room of a module, "" for what stands in none."""
    package, _, rest = module.partition(".")
    rooms = [room for room in ROOMS[package].split() if f"{rest}.".startswith(f"{room}.")]
    return rooms[0] if rooms else ""


@cache
def imported(path: Path) -> frozenset[str]:
    """All modules of ours, and names in them, that a file imports, also those imported only when they are needed."""
    return frozenset(_imported(path))


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def may_import(module: str, other: str) -> bool:
    """Whether a module may import another one of ours."""
    package, target = module.partition(".")[0], other.partition(".")[0]
    if package != target:
        allowed = [others for part, others in MAY_IMPORT.items() if f"{module}.".startswith(f"{part}.")]
        return any(target in others for others in allowed)
    here, there = room_of(module), room_of(other)
    order = ["", *ROOMS[package].split()]
    return order.index(there) <= order.index(here)


def docstrings_of(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """The classes and functions of a file that have a docstring, with it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (
            text := ast.get_docstring(node)
        ):
            yield node.name, text


def test_every_folder_is_a_room_and_none_is_too_full() -> None:
    for package, rooms in ROOMS.items():
        folders = {module_of(path).partition(".")[2] for path in (ROOT / package).rglob("__init__.py")} - {""}
        containers = {room.rpartition(".")[0] for room in rooms.split()} - {""}
        assert folders == set(rooms.split()) | containers
    for folder in {path.parent for path in SOURCES}:
        assert len(list(folder.glob("*.py"))) <= MOST_FILES + 1, folder  # and __init__.py


@for_each("package", ROOMS)
def test_a_room_imports_only_the_rooms_before_it(package: str) -> None:
    ours = tuple(f"{name}." for name in ROOMS)
    for path in (path for path in SOURCES if path.is_relative_to(ROOT / package)):
        for name in (name for name in imported(path) if f"{name}.".startswith(ours)):
            assert may_import(module_of(path), name), f"{module_of(path)} imports {name}, which stands behind a wall"


def test_no_imports_go_in_circles() -> None:
    modules = {module_of(path): path for path in SOURCES}
    graph = {module: imported(path) & modules.keys() - {module} for module, path in modules.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"imports in a circle: {' -> '.join(error.args[1])}")


def test_no_file_imports_vllm_or_pickle() -> None:
    for path in SOURCES:
        assert not {name.split(".")[0] for name in imported(path)} & {"vllm", "pickle", "dill", "joblib", "shelve"}, (
            path
        )


def test_the_ground_of_all_packages_imports_none_of_them() -> None:
    assert not {name.split(".")[0] for name in imported(GROUND)} & {*ROOMS, "chipalign", "install"}


def test_every_file_says_what_it_does() -> None:
    for path in (*SOURCES, GROUND):
        docstring = ast.get_docstring(tree_of(path), clean=False)
        assert docstring, path
        assert path.name == "__init__.py" or "    " in docstring, f"{path}: a file's docstring shows one call"


def test_the_environment_is_read_in_settings_alone() -> None:
    for path in (*SOURCES, GROUND, ROOT / "chipalign.py"):
        tree = ast.walk(tree_of(path))
        names = {node.attr for node in tree if isinstance(node, ast.Attribute)}
        names |= {name.removeprefix("os.") for name in imported(path)}  # from os import environ
        assert path.stem == "settings" or not names & {"environ", "getenv"}, f"{path} reads the environment"


def test_docstrings_say_in_one_form_which_errors_are_raised_and_these_exist() -> None:
    trees = {path: tree_of(path) for path in PROGRAMS}
    classes = {node.name for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    wrong = []
    for path, tree in trees.items():
        for name, docstring in docstrings_of(tree):
            _, raises, how = docstring.partition("Raises")
            lines = how.split(":")[:1] if how.startswith(" ") else re.findall(rf"^    ({_NAMES})", how, re.MULTILINE)
            named = {error for line in lines for error in re.findall(r"(?<!`)\b[A-Z]\w+", line)}
            if raises and not (_RAISES_LINE.fullmatch(how) or _RAISES_BLOCK.fullmatch(how)):
                wrong.append(f"{path.relative_to(ROOT)}, {name}: {raises}{how}")
            elif unknown := named - classes - {*dir(builtins)}:
                wrong.append(f"{path.relative_to(ROOT)}, {name}: {', '.join(unknown)}")
    assert not wrong
