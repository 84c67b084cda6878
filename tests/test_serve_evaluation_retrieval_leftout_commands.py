"""serve.evaluation.retrieval.leftout_commands: `chipalign eval leftout` from packed archives to the table."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

import chipalign
from rag.command_line import write_jsonl

pytestmark = pytest.mark.usefixtures("home")

DOCUMENTS = {
    "router": {
        "docs/antenna.md": "# Antennas\n\n`fix_antennas` puts diodes at the gates that a long wire would harm.\n",
        "docs/grid.md": "# Grid\n\n`make_grid` draws straps and vias, so that the supply does not sag.\n",
    },
    "viewer": {"docs/viewer.rst": "Viewer\n======\n\nThe ``--dark`` option gives a black background.\n"},
}
QUESTIONS = [
    {
        "id": "router-1",
        "question": "fix_antennas",
        "kind": "name",
        "answerable": True,
        "references": [{"collection": "router", "path": "docs/antenna.md"}],
        "answers": ["diodes at the gates"],
    },
    {
        "id": "viewer-1",
        "question": "Which option makes the window black?",
        "kind": "meaning",
        "answerable": True,
        "references": [{"collection": "viewer", "path": "docs/viewer.rst"}],
        "answers": ["the --dark option"],
    },
    {"id": "far-1", "question": "Who won the football match yesterday?", "kind": "far", "answerable": False},
]


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    write_jsonl(path, rows)
    return path


@pytest.fixture
def given(tmp_path: Path) -> list[str]:
    """The arguments of a run over two packed sets in a mirror, with three questions."""
    tables = []
    (tmp_path / "mirror").mkdir()
    for name, files in DOCUMENTS.items():
        archive = tmp_path / f"mirror/{name}-1.0.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            for path, text in files.items():
                info = tarfile.TarInfo(f"{name}-1.0/{path}")
                info.size = len(text)
                tar.addfile(info, io.BytesIO(text.encode()))
        checksum = hashlib.sha256(archive.read_bytes()).hexdigest()
        tables.append(
            f'[{name}]\nindex = "pypi"\npackage = "{name}"\nversion = "1.0"\nfile = "{archive.name}"\n'
            f'sha256 = "{checksum}"\nlicence = "ISC"\ninclude = ["docs/**"]\n'
        )
    (tmp_path / "sets.toml").write_text("\n".join(tables))
    questions = write_lines(tmp_path / "questions.jsonl", QUESTIONS)
    return [
        *("--out", str(tmp_path / "out"), "--mirror", str(tmp_path / "mirror")),
        *("--sets", str(tmp_path / "sets.toml"), "--questions", str(questions)),
    ]


def evaluate(*arguments: str) -> int:
    """`chipalign eval leftout` as it is run."""
    return chipalign.main(["eval", "leftout", *arguments])


def test_one_command_fetches_builds_asks_and_compares(
    given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(*given, "--json") == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert "router: 2 files of router-1.0.tar.gz" in captured.err
    assert result["searched"]["collections"] == {"router": 2, "viewer": 1}
    assert {kind: row["questions"] for kind, row in result["measures"].items()} == {
        "overall": 2,
        "meaning": 1,
        "name": 1,
    }
    assert result["collections"]["router"]["recall@1"]["mean"] == 1.0
    assert result["decision"]["kinds"]["far"]["questions"] == 1
    (tmp_path / "before.json").write_text(json.dumps(result))

    assert evaluate(*given, "--compare", str(tmp_path / "before.json")) == 0
    shown, said = capsys.readouterr()
    assert "router: already fetched (2 files)" in said
    assert "difference from" in shown
    assert any(line.startswith("refused     +0.000 [+0.000, +0.000]") for line in shown.splitlines())
    assert any(line.split()[:2] == ["router", "1"] for line in shown.splitlines())
    assert any(line.startswith("wrongly refused") for line in shown.splitlines())
    assert len(list((tmp_path / "out/indexes").iterdir())) == 1


def test_settings_that_change_the_index_have_an_index_of_their_own(
    given: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(*given, "--json") == 0
    monkeypatch.setenv("CHIPALIGN_BM25_WEIGHT", "0.25")  # of the search alone
    assert evaluate(*given, "--json") == 0
    assert len(list((tmp_path / "out/indexes").iterdir())) == 1
    monkeypatch.setenv("CHIPALIGN_CHUNK_TOKENS", "120")
    assert evaluate(*given, "--json") == 0
    assert len(list((tmp_path / "out/indexes").iterdir())) == 2
    capsys.readouterr()


def test_fetch_only_measures_nothing(given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(*given, "--fetch-only", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "documents": str(tmp_path / "out/documents"),
        "files": {"router": 2, "viewer": 1},
    }
    assert (tmp_path / "out/documents/viewer/docs/viewer.rst").is_file()
    assert not (tmp_path / "out/indexes").exists()


def test_an_answer_that_its_document_lacks_is_named_before_anything_is_built(
    given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_lines(tmp_path / "questions.jsonl", [{**QUESTIONS[0], "answers": ["tie cells"]}, QUESTIONS[1]])
    assert evaluate(*given) == 2
    said = capsys.readouterr().err
    assert "the answers do not stand in the documents: router-1 (router/docs/antenna.md)" in said
    assert not (tmp_path / "out/indexes").exists()


def test_a_package_that_cannot_be_had_is_one_sentence_and_exit_2(
    given: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mirror/viewer-1.0.tar.gz").unlink()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    assert evaluate(*given) == 2
    assert "viewer: viewer 1.0 cannot be fetched" in capsys.readouterr().err
