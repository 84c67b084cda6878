"""rag.commands: `chipalign corpus` as a user calls it, in a home folder of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import chipalign
from rag.corpus import load_sources

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


def test_fetching_an_unknown_corpus_or_from_an_empty_mirror_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    code = f"import sys, rag.commands, rag.index_commands; print([name for name in {heavy} if name in sys.modules])"
    root = Path(__file__).parent.parent
    assert subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout == "[]\n"
