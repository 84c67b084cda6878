"""`chipalign reference` as a user calls it: a card in the terminal, as JSON, near names, and a schema that tclint lints
scripts with.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import chipalign
from rag.formats.parser import parse_document
from rag.index.building import build_index
from rag.index.opening import open_index
from rag.reference.tclint_schema import as_tclint
from rag.settings import RagSettings
from tests.rows import for_each
from tests.test_rag_reference_extraction import FLOW, ROUTER
from tests.tiny_embedder import TinyEmbedder

CALLED = "# Cut\n\nThe `cut_rows` command cuts.\n\n```tcl\ncut_rows -width width\n    [-halo halo]\n    macro\n```\n"


@pytest.fixture(scope="module")
def manuals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("manuals")
    documents = [
        parse_document("router", "router.md", "Router", ROUTER, None, "ISC"),
        parse_document("router", "cut.md", "Cut", CALLED, None, "ISC"),
        parse_document("flow", "flow.md", "Variables", FLOW, None, "ISC"),
        parse_document(
            "notes", "notes.md", "Notes", "# Notes\n\n```tcl\nroute_clocks [-layer layer]\n```\n", None, "ISC"
        ),
    ]
    build_index(documents, folder, RagSettings(home=folder), TinyEmbedder())
    return folder


def reference(*argv: str) -> int:
    return chipalign.main(["reference", *argv])


def test_a_card_is_shown_with_its_places_and_what_the_document_contradicts(
    manuals: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reference("route_clocks", "--index", str(manuals), "--collection", "router") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("route_clocks  (command)\n    router/router.md: Router > Commands > Route Clock Nets [")
    assert "      -halo_width width  Space around each net in microns. The default value is `4`." in shown
    assert (
        "    The document disagrees with itself:\n      -mode stands in the synopsis, and nothing describes it ["
        in shown
    )
    assert max(map(len, shown.split("\n"))) <= 100


def test_of_an_option_that_is_asked_about_its_own_lines_are_shown(
    manuals: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reference("-halo_width", "--index", str(manuals)) == 0
    shown = capsys.readouterr().out
    assert "    option:\n      -halo_width width  Space around each net in microns." in shown
    assert "-layer" not in shown


def test_cards_as_json_say_what_each_is(manuals: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reference("CORE_UTILIZATION", "--index", str(manuals), "--json") == 0
    [card] = json.loads(capsys.readouterr().out)["cards"]
    assert (card["object"], card["default"], card["stage"], card["place"]["path"]) == (
        "variable",
        "30",
        "floorplan, place",
        "flow.md",
    )
    for asked in (
        ["-halo_width", "--index", str(manuals), "--json"],
        ["--index", str(manuals), "--json", "--", "-halo_width"],
        ["--", "-halo_width", "--index", str(manuals), "--json"],
    ):
        assert reference(*asked) == 0
        [card] = json.loads(capsys.readouterr().out)["cards"]
        assert card["name"] == "route_clocks"
    assert [one["name"] for one in card["disagreements"]] == ["-mode", "-report", "-modes"]
    assert all(one["told"] == one["statement"] for one in card["disagreements"])


def test_an_unknown_name_is_one_sentence_with_near_names(manuals: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reference("route_clock", "--index", str(manuals)) == 2
    problem = capsys.readouterr().err
    assert problem == "chipalign reference: the documents describe no 'route_clock'; near to it are route_clocks\n"
    assert reference("zzz\x1b[2J", "--index", str(manuals)) == 2
    assert "\x1b" not in capsys.readouterr().err


@for_each(
    "argv",
    [[], ["a", "--export", "tclint"], ["--export", "tclint"], ["a", "--out", "x"], ["--export", "other", "--out", "x"]],
)
def test_wrong_arguments_are_refused(argv: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        reference(*argv)


def test_an_export_that_cannot_be_written_is_one_sentence(manuals: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reference("--export", "tclint", "--out", str(manuals / "no" / "x.json"), "--index", str(manuals)) == 2
    assert "cannot be written (No such file or directory): name another file" in capsys.readouterr().err


def test_the_schema_knows_switches_arguments_and_what_is_required(manuals: Path, tmp_path: Path) -> None:
    out = tmp_path / "commands.json"
    assert reference("--export", "tclint", "--out", str(out), "--index", str(manuals)) == 0
    commands = json.loads(out.read_text())["commands"]
    cut = commands["cut_rows"]
    assert cut["positionals"] == [{"name": "macro", "required": True, "value": {"type": "any"}}]
    assert cut["switches"]["-width"] == {
        "required": True,
        "repeated": True,
        "value": {"type": "any"},
        "metavar": "width",
    }
    assert cut["switches"]["-halo"]["required"] is False
    route = commands["route_clocks"]["switches"]
    assert route["-report"]["value"] is None
    assert route["-layer"]["required"] is False  # the other document puts it in brackets
    assert "route_debug" not in commands  # nothing is known of how it is called


def test_tcls_own_commands_are_left_to_tclint(tmp_path: Path) -> None:
    text = "# Passes\n\n```\nproc [options] [selection]\n```\n\n## More\n\n```\nopt_all [-full]\n```\n"
    build_index(
        [parse_document("synth", "a.md", "Passes", text, None, "ISC")],
        tmp_path,
        RagSettings(home=tmp_path),
        TinyEmbedder(),
    )
    commands = open_index(tmp_path).reference.commands
    assert {card.name for card in commands} == {"proc", "opt_all"}
    assert list(as_tclint(commands)["commands"]) == ["opt_all"]


def test_tclint_takes_the_schema_and_finds_a_wrong_option(manuals: Path, tmp_path: Path) -> None:
    from tclint.commands.builtin import commands as own
    from tclint.commands.schema import schema
    from tclint.parser import Parser

    out = tmp_path / "commands.json"
    assert reference("--export", "tclint", "--out", str(out), "--index", str(manuals)) == 0
    commands = own | schema(json.loads(out.read_text()))["commands"]  # as tclint reads the file

    def lint(script: str) -> list[str]:
        parser = Parser(commands=commands)
        parser.parse(script)
        return [violation.message for violation in parser.violations]

    assert lint("cut_rows -width 2 $macro\nforeach net $nets {\n  route_clocks -layer met4 $net\n}\n") == []
    assert lint("cut_rows -width 2 -hallo 3 $macro\n") == [
        "unrecognized argument for cut_rows: -hallo; did you mean -halo?"
    ]
    assert lint("cut_rows $macro\n") == ["missing required argument for cut_rows: -width"]
    assert lint("foreach net $nets {\n  route_clocks -layers met4 $net\n}\n") == [
        "unrecognized argument for route_clocks: -layers; did you mean -layer?"
    ]
