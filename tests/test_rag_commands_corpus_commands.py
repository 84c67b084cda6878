"""rag.commands.corpus_commands: `chipalign corpus` as a user calls it, in a home folder of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import chipalign
from rag.sources.corpus import load_sources

pytestmark = pytest.mark.usefixtures("home")


def corpus(argv: list[str]) -> int:
    """`chipalign corpus` as it is run."""
    return chipalign.main(["corpus", *argv])


def test_corpus_list_shows_every_pin(capsys: pytest.CaptureFixture[str]) -> None:
    assert corpus(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(load_sources())
    assert all("not fetched" in line for line in lines)
    assert corpus(["list", "--json"]) == 0
    assert {row["state"] for row in json.loads(capsys.readouterr().out)["corpora"]} == {"not fetched"}


def test_fetching_an_unknown_corpus_or_from_an_empty_mirror_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert corpus(["fetch", "vivado"]) == 2
    assert "known are openroad" in capsys.readouterr().err
    assert corpus(["fetch", "yosys", "--mirror", str(tmp_path / "nowhere"), "--if-available"]) == 2
    assert "is not a folder" in capsys.readouterr().err
    (tmp_path / "yosys.tar.gz").write_bytes(b"no archive")
    assert corpus(["fetch", "yosys", "--mirror", str(tmp_path), "--json"]) == 2
    captured = capsys.readouterr()
    assert json.loads(captured.out)["failed"][0]["name"] == "yosys"
    assert corpus(["fetch", "yosys", "--mirror", str(tmp_path), "--if-available"]) == 0


def test_help_imports_nothing_heavy() -> None:
    heavy = ("torch", "faiss", "numpy", "httpx", "rich", "matplotlib")
    code = (
        "import sys, rag.commands.corpus_commands, rag.commands.index_commands; "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    root = Path(__file__).parent.parent
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


def test_documents_are_written_as_plain_text_with_their_licences(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.rst").write_text(
        "Passes\n======\n\nOpt\n---\n\nThe ``opt`` pass [#]_ cleans.\n\n.. toctree::\n\n   other\n", encoding="utf-8"
    )
    (tmp_path / "docs" / "b.md").write_text(
        "# Routing\n\n## Guides\n\nSee the [guide](g.md).\n\n```tcl\nroute_all\n```\n", encoding="utf-8"
    )
    (tmp_path / "docs" / "c.md").write_bytes(b"\0binary")
    out = tmp_path / "texts.jsonl"
    assert corpus(["text", str(tmp_path / "docs"), "handbook", "--out", str(out)]) == 0
    captured = capsys.readouterr()
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert all(list(row) == ["text", "source", "licence"] for row in rows)
    by_source = {row["source"]: row for row in rows}
    assert by_source["docs/b.md"]["text"] == "# Routing\n\n## Guides\n\nSee the guide.\n\n```tcl\nroute_all\n```\n"
    assert by_source["docs/b.md"]["licence"] == "not stated"
    assert by_source["docs/a.rst"]["text"].startswith("# Passes\n\n## Opt\n\nThe `opt` pass")
    assert "toctree" not in by_source["docs/a.rst"]["text"]
    assert by_source["handbook/lvs.md"]["licence"] == "Apache-2.0"
    assert "skipped docs/c.md: binary, not text" in captured.err
    assert f"{out}: {len(rows)} documents" in captured.out
    assert not list(tmp_path.glob("*.part"))


def test_texts_are_counted_in_one_json_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.md").write_text("# A\n\nb\n", encoding="utf-8")
    assert corpus(["text", str(tmp_path / "a.md"), "--out", str(tmp_path / "t.jsonl"), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["documents"], summary["characters"], summary["licences"], summary["skipped"]) == (
        1,
        len("# A\n\nb\n"),
        {"not stated": 1},
        [],
    )


def test_texts_that_cannot_be_written_leave_the_old_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.md").write_text("# A\n\nb\n", encoding="utf-8")
    assert corpus(["text", str(tmp_path / "a.md"), "--out", str(tmp_path / "lost" / "t.jsonl")]) == 2
    assert "cannot be written" in capsys.readouterr().err
    (tmp_path / "t.jsonl").write_text("before\n", encoding="utf-8")
    assert corpus(["text", str(tmp_path / "nothing"), "--out", str(tmp_path / "t.jsonl")]) == 2
    assert (tmp_path / "t.jsonl").read_text(encoding="utf-8") == "before\n"
