"""What the pages say is true: commands and their options, settings, rooms, links; and the handbook's form."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import importlib.util
import io
import itertools
import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import chipalign
from merge.settings import MergeSettings
from rag.settings import RagSettings
from serve.gateway.app import ENDPOINTS
from serve.openapi.operations import OPERATIONS
from serve.settings import ServeSettings
from tests.python_trees import tree_of
from tests.rows import for_each
from ui.settings import UiSettings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
HANDBOOK = sorted((ROOT / "data" / "handbook").glob("*.md"))
SETTINGS = (ServeSettings, RagSettings, MergeSettings, UiSettings)
PACKAGES = ("merge", "rag", "serve", "ui")
GUIDES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]  # what they say holds for this version
MEASUREMENTS = sorted((ROOT / "docs" / "measurements").glob("*.md"))  # these describe older versions too
PAGES = [*GUIDES, *MEASUREMENTS, *(ROOT.glob("[A-QS-Z]*.md"))]
WRITTEN = [*PAGES, *HANDBOOK, *sorted((ROOT / "data" / "adapters").glob("*/README.md"))]
COMMAND = re.compile(r"(?:^|[\s|;&])(?:\.venv/bin/)?chipalign(?=\s|$)")
SHORTEST_PHRASE = 10  # characters of an error that are known again
LONGEST_LINE = 120  # of prose; tables and code are as long as they must be
ADDRESS = "http://127.0.0.1:8000"  # of the gateway, in the guides


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def split_code(text: str) -> tuple[list[str], list[str]]:
    """The lines of prose and of code, in fences or indented; what ends with a backslash is one line with the next."""
    prose: list[str] = []
    code: list[str] = []
    fence, before = "", ""
    for line in text.splitlines():
        mark = re.match(r" {0,3}(```+)", line)
        if mark and (not fence or line.strip() == fence):
            fence = "" if fence else mark[1]
        elif fence or (line.startswith("    ") and (not before or before.startswith("    "))):
            code.append(line.strip())
        else:
            prose.append(line)
        before = line
    return prose, re.sub(r"\\\n", " ", "\n".join(code)).splitlines()


def spans(prose: list[str]) -> list[str]:
    """What stands in `code` amid prose."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"\n(?=\S)", " ", "\n".join(prose)))


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found: dict[str, int] = {}
    slugs = set()
    for line in split_code(text)[0]:
        if heading := re.match(r"#{1,6} +(.+?) *$", line):
            shown = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", heading[1])
            slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
            slugs.add(f"{slug}-{found[slug]}" if slug in found else slug)
            found[slug] = found.get(slug, 0) + 1
    return slugs


def links(text: str) -> list[str]:
    """Where a page's links and pictures lead, beyond addresses of others."""
    prose = re.sub(r"`[^`\n]*`", "", "\n".join(split_code(text)[0]))
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", prose) if not re.match(r"https?:|mailto:", target)]


@cache
def help_of(*words: str) -> str:
    """What a command prints for --help; "" where there is no such command."""
    out = io.StringIO()
    code: object = 2
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        try:
            code = chipalign.main([*words, "--help"])
        except SystemExit as end:
            code = end.code
    return out.getvalue() if code == 0 else ""


def find_command(words: list[str]) -> tuple[str, ...]:
    """The command that a line begins with, `index build` for example; () where there is none."""
    names = list(words[:1])
    if not names or names[0] not in chipalign.COMMANDS:
        return ()
    if len(words) > 1 and re.fullmatch("[a-z]+", words[1]):
        usage = help_of(names[0], words[1])
        if not usage:
            return ()
        if usage.startswith(f"usage: chipalign {names[0]} {words[1]} "):
            return names[0], words[1]
    return (names[0],)


def options_of(command: tuple[str, ...]) -> set[str]:
    return {"--help", *re.findall(r"^ +(?:-\w, )?(--[\w-]+)", help_of(*command), re.MULTILINE)}


def words_of(line: str) -> list[str]:
    """A shell line's words up to a pipe, a redirection or a comment."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if re.fullmatch("[|&;<>()]+", word):
            break
        words.append(word)
    return words


def commands_in(path: Path) -> Iterator[list[str]]:
    """The words behind `chipalign` of each command that a page shows, and those that `make up` and `bench` hand on."""
    prose, code = split_code(read(path))
    for line in [*code, *spans(prose)]:
        if line.startswith("chipalign: ") or re.match(r"chipalign [\w ]+: ", line):
            continue  # what a command says, not what is typed
        if (found := COMMAND.search(line)) and (words := words_of(line[found.end() :])):
            yield words
        if handed := re.search(r"\bmake (up|bench) ARGS=(\"[^\"]*\"|\S+)", line):
            yield [handed[1], *words_of(handed[2].strip('"'))]


CURL_LINES = [line for line in split_code(read(ROOT / "docs/api.md"))[1] if line.startswith("curl ")]


def settings_rows() -> dict[str, str]:
    """Every variable with its row of the table; where packages share a variable the first one's words stand."""
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


def operation_of(line: str) -> tuple[str, str]:
    """The method and the path of a curl line, as the API's description has them."""
    words = shlex.split(line)
    method = words[words.index("-X") + 1] if "-X" in words else "POST" if {"-d", "-F"} & {*words} else "GET"
    (address,) = [word for word in words if word.startswith(ADDRESS)]
    path = address.removeprefix(ADDRESS).partition("?")[0]
    patterns = {key: re.sub(r"{\w+}", "[^/]+", key[1]) for key in OPERATIONS if key[0] == method}
    found = [key for key, pattern in patterns.items() if re.fullmatch(pattern, path)]
    return min(found, key=lambda key: key[1].count("{"))


def test_the_readme_can_be_read_in_one_sitting() -> None:
    assert len(README.splitlines()) <= 150


def test_the_readme_leads_to_every_guide() -> None:
    assert {named(path) for path in GUIDES[1:]} <= {target.partition("#")[0] for target in links(README)}


@for_each("path", [*GUIDES, *MEASUREMENTS])
def test_lines_of_prose_end_at_120(path: Path) -> None:
    prose = [line for line in split_code(read(path))[0] if not line.startswith(("|", "!["))]
    assert [line for line in prose if len(line) > LONGEST_LINE] == []


def test_the_table_of_settings_is_the_classes() -> None:
    (table,) = re.findall(r"\n## Settings\n(.+?)(?=\n## |\Z)", read(ROOT / "docs/operate.md"), re.DOTALL)
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    assert rows == [row for _, row in sorted(settings_rows().items())]


def test_every_command_is_in_the_guides() -> None:
    used = {tuple(words[:2]) for path in GUIDES for words in commands_in(path)}
    tables = {"eval": chipalign.EVALUATIONS, "adapt": chipalign.ADAPTATIONS}
    assert {words[0] for words in used} >= chipalign.COMMANDS.keys()
    assert used >= {(name, each) for name, table in tables.items() for each in table}


@for_each("path", WRITTEN)
def test_a_fence_opens_with_a_language_alone_and_is_closed(path: Path) -> None:
    marks = re.findall(r"^ *```(.*)", read(path), re.MULTILINE)
    assert [mark for mark in marks[::2] if not re.fullmatch("[a-z]*", mark)] == []
    assert set(marks[1::2]) <= {""}
    assert len(marks) % 2 == 0


@for_each("path", PAGES)
def test_an_example_on_a_page_is_of_its_language(path: Path) -> None:
    for language, text in re.findall(r"^```(\w+)\n(.+?)^```$", read(path), re.MULTILINE | re.DOTALL):
        match language:
            case "json":
                end = 0
                while text[end:].strip():  # one object, or one a line
                    end = json.JSONDecoder().raw_decode(text, end)[1] + 1
            case "toml":
                tomllib.loads(text)
            case "python":
                ast.parse(text)


@for_each("path", WRITTEN)
def test_no_list_and_no_table_on_a_page_is_joined(path: Path) -> None:
    prose = split_code(read(path))[0]
    assert [line for line in prose if re.search(r"[.:;,] ([-*]|\d+\.) (\*\*|`|[A-Z])", line)] == []
    assert [line for line in prose if "|--" in line and not re.fullmatch("[|: -]+", line)] == []
    for above, line in itertools.pairwise(prose):
        if above.startswith("|") and line:
            assert len(re.findall(r"(?<!\\)\|", line)) == len(re.findall(r"(?<!\\)\|", above)), line


@for_each("path", GUIDES)
def test_a_command_in_a_guide_exists_and_has_these_options(path: Path) -> None:
    for words in commands_in(path):
        command = find_command(words)
        assert command, f"chipalign {' '.join(words)}: there is no such command"
        given = {word.partition("=")[0] for word in words if word.startswith("--")} - {"--"}
        assert given <= options_of(command), f"chipalign {' '.join(words)}"


@for_each("path", GUIDES)
def test_a_module_that_a_guide_runs_exists(path: Path) -> None:
    for name in re.findall(r"python3? -m ([\w.]+)", read(path)):
        assert importlib.util.find_spec(name), name


@for_each("path", PAGES)
def test_the_make_targets_on_a_page_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", read(ROOT / "Makefile"), re.MULTILINE))
    prose, code = split_code(read(path))
    used = {found[1] for line in [*code, *spans(prose)] if (found := re.search(r"(?:^|\s)make ([a-z]+)", line))}
    assert used <= targets


def test_the_map_in_the_readme_names_every_room_and_no_other() -> None:
    lines = split_code(README.split("\n## The rooms\n")[1].split("\n## ")[0])[1]
    named_there: dict[str, set[str]] = {}
    package = ""
    for line in lines:
        name, *rest = line.split()
        if name.rstrip("/") in PACKAGES:
            package = name
        elif name in ("data/", "examples/", "tests/"):
            package = ""
        elif package:
            named_there[f"{package}{name}"] = {word for word in rest if word.endswith("/")}
    found: dict[str, set[str]] = {}
    for path in sorted(path.parent for name in PACKAGES for path in (ROOT / name).rglob("__init__.py")):
        package, *rooms = path.relative_to(ROOT).parts
        if len(rooms) == 1:
            found[f"{package}/{rooms[0]}/"] = set()
        elif rooms:
            found[f"{package}/{rooms[0]}/"].add(f"{rooms[1]}/")
    assert named_there == found


@for_each("path", PAGES)
def test_no_place_was_left_to_be_filled(path: Path) -> None:
    assert not re.search(r"@[A-Z]+@|TODO|TBD", read(path))


@for_each("path", PAGES)
def test_every_link_leads_to_a_file_and_to_a_heading_in_it(path: Path) -> None:
    for target in links(read(path)):
        name, _, anchor = target.partition("#")
        to = path.parent / name if name else path
        assert to.exists(), target
        if anchor and to.suffix == ".md":
            assert anchor in anchors(read(to)), target


def test_the_errors_in_the_guide_are_those_of_the_code() -> None:
    sources = [*(path for name in PACKAGES for path in (ROOT / name).rglob("*.py")), ROOT / "install.py"]
    nodes = (node for path in sources for node in ast.walk(tree_of(path)) if isinstance(node, ast.Constant))
    texts = (node.value for node in nodes if isinstance(node.value, str))
    said = {phrase.strip() for text in texts for phrase in re.split(r"\{\w+\}", text)}
    sections = read(ROOT / "docs/troubleshooting.md").split("\n## ")[1:]
    assert len(sections) == 10
    for section in sections:
        (message, *_) = re.findall(r"^```\n(.+?)\n```$", section, re.MULTILINE | re.DOTALL)
        left = " ".join(message.split())
        whole = len(left)
        for text in sorted(said, key=len, reverse=True):  # what the code has between the values that it puts in
            if len(text) >= SHORTEST_PHRASE:
                left = left.replace(text, "")
        assert len(left) <= 0.5 * whole, f"{message!r}: the code does not say {left!r}"


def test_every_route_is_described_and_no_other() -> None:
    routes = {(each.method, re.sub(r":\w+}", "}", each.path)): each.needs_key for each in ENDPOINTS}
    assert {key: each.needs_key for key, each in OPERATIONS.items()} == routes


def test_every_path_has_a_curl_line_in_the_guide() -> None:
    assert {operation_of(line) for line in CURL_LINES} == set(OPERATIONS)


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]
    declared = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    declared.remove("chipalign[rag]")
    names = {re.split(r"[\[<>=!; ]", requirement)[0].lower().replace("_", "-") for requirement in declared}
    pins = [line for line in read(ROOT / "constraints.txt").splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", pin) for pin in pins)
    assert names <= {pin.split("==")[0].lower().replace("_", "-") for pin in pins}


def test_the_handbook_has_at_least_forty_articles() -> None:
    assert len(HANDBOOK) >= 40


@for_each("path", HANDBOOK)
def test_an_article_has_its_form_and_its_links_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.match(r"# \S", text)
    assert text.count("\n## ") >= 3
    assert not re.search(r"[ \t]+$", text, re.MULTILINE)
    assert path.stem in ("glossary", "basic-terms") or 300 <= len(text.split()) <= 900
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
