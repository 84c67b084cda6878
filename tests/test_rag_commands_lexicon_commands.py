"""`chipalign lexicon` as a user calls it, and what rag.words.lexicon_suggestions reads in texts."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import chipalign
from rag.formats.parser import parse_document
from rag.index.building import build_index
from rag.settings import RagSettings
from rag.words.lexicon import Lexicon, open_lexicon
from rag.words.lexicon_file import parse_groups
from rag.words.lexicon_suggestions import find_pairs, suggest_groups
from tests.tiny_embedder import TinyEmbedder

GUIDE = """\
# Zorch flow

## Clocks

The clock braid weaver (CBW) runs after placement. A keepout zorch, also called moat, stands around each macro.

## Names

| Term | Also called |
|---|---|
| zorch run | nightly, big run |

| Acronym | Meaning |
|---|---|
| ZRC | Zorch rule checker; an old program |
"""


@pytest.fixture
def guide(tmp_path: Path) -> Path:
    (tmp_path / "guides").mkdir()
    (tmp_path / "guides" / "zorch.md").write_text(GUIDE)
    return tmp_path / "guides"


def run(*argv: str) -> int:
    return chipalign.main(["lexicon", *argv])


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("The net delay calculator (NDC) is", [("net delay calculator", "NDC")]),
        ("Use a keepout margin (also called halo).", [("keepout margin", "halo")]),
        ("The `moat`, also known as the keepout ring, is wide.", [("moat", "keepout ring")]),
        ("A spare gate (a.k.a. bonus cell) helps.", [("spare gate", "bonus cell")]),
        ("The fusion server, formerly known as Zorch in the labs, runs.", [("fusion server", "Zorch")]),
        ("Supply bars are sometimes referred to as straps.", [("Supply bars", "straps")]),
        ("| Name | Synonyms |\n|---|---|\n| run | job, batch |", [("run", "job"), ("run", "batch")]),
        ("| Term | Definition |\n|---|---|\n| run | a long explanation of what it does here |", []),
        ("It is called twice, and known by all.", []),
        ("x (also called x)", []),
    ],
)
def test_names_with_other_names_are_read_from_prose_and_tables(text: str, pairs: list[tuple[str, str]]) -> None:
    assert find_pairs(text) == pairs


def test_proposed_rows_are_a_lexicon_with_their_places(guide: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("suggest", str(guide)) == 0
    text = capsys.readouterr().out
    rows = list(csv.DictReader(text.splitlines()))
    assert {(row["manual"], row["said"], row["place"]) for row in rows} == {
        ("clock braid weaver", "CBW", "guides/zorch.md: Zorch flow > Clocks"),
        ("keepout zorch", "moat", "guides/zorch.md: Zorch flow > Clocks"),
        ("zorch run", "nightly; big run", "guides/zorch.md: Zorch flow > Names"),
        ("Zorch rule checker", "ZRC", "guides/zorch.md: Zorch flow > Names"),
    }
    assert {row["manual"]: row["field"] for row in rows}["keepout zorch"] == "floorplan"
    assert len(parse_groups(text, "ours.csv")) == 4


def test_an_index_gives_the_same_and_json_one_document(
    guide: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = parse_document("guides", "zorch.md", "Zorch flow", GUIDE, None, "ISC")
    build_index([document], tmp_path / "index", RagSettings(home=tmp_path), TinyEmbedder())
    assert run("suggest", "--index", str(tmp_path / "index"), "--json") == 0
    groups = json.loads(capsys.readouterr().out)["groups"]
    assert ["zorch run"] in [group["manual"] for group in groups]
    assert all(group["place"].startswith("guides/zorch.md: Zorch flow") for group in groups)


def test_what_the_lexicon_holds_is_not_proposed_again() -> None:
    known = Lexicon(parse_groups("field,manual,said\ncts,clock braid weaver,CBW\n", "ours.csv"))
    assert suggest_groups([("here", "the clock braid weaver (CBW)")], known) == []
    assert len(suggest_groups([("here", "the clock braid weaver (CBW)")], Lexicon([]))) == 1


def test_pairs_with_a_phrase_in_common_are_one_group() -> None:
    texts = ["a moat (also called zorch)", "a moat, also known as rampart", "a castle wall (also called rampart)"]
    [found] = suggest_groups([(f"page {number}", text) for number, text in enumerate(texts)], Lexicon([]))
    assert (found.place, found.manual, found.said) == ("page 0", ["moat", "castle wall"], ["zorch", "rampart"])


def test_a_word_is_shown_with_its_groups(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "hard blocks") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("floorplan\n    manuals say  macro, ")
    assert "hard block" in shown.split("is said")[1]
    assert run("show", "race", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert [group["field"] for group in shown["groups"]] == ["timing"]


def test_a_word_of_a_companys_own_file_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.csv").write_text("field,manual,said\nflow,nightly run,zorch\n")
    monkeypatch.setenv("CHIPALIGN_LEXICON", str(tmp_path / "own.csv"))
    assert run("show", "zorch") == 0
    assert "nightly run" in capsys.readouterr().out


def test_an_unknown_word_or_a_bad_file_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("show", "zorch") == 2
    assert capsys.readouterr().err == (
        "chipalign lexicon: the lexicon has no 'zorch': add it to a CSV file that CHIPALIGN_LEXICON names\n"
    )
    monkeypatch.setenv("CHIPALIGN_LEXICON", str(tmp_path / "none.csv"))
    assert run("show", "zorch") == 2
    assert "none.csv cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [[], ["suggest"], ["suggest", "a", "--index", "b"], ["show"]])
def test_wrong_arguments_are_refused(argv: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(*argv)


def test_our_own_handbook_can_be_asked_for_groups(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("suggest", "handbook") == 0
    text = capsys.readouterr().out
    assert len(parse_groups(text, "handbook.csv")) > 5
    assert open_lexicon().groups_of("wns")
