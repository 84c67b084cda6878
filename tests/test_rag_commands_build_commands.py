"""rag.commands.build_commands: building from a list of sources, and again after each change."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import chipalign
from rag.commands import build_commands
from rag.commands.build_commands import Building, build_on_changes
from rag.embedding import embedder_choice
from rag.index.manifest import read_manifest
from rag.settings import RagSettings
from rag.sources import watching
from tests.processes import in_the_background, running
from tests.rows import for_each
from tests.tiny_embedder import TinyEmbedder

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedder_choice, "open_embedder", lambda *_: TinyEmbedder())


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# Antenna\n\nDiodes are inserted.\n")
    file = tmp_path / "sources.toml"
    file.write_text('[tool]\npath = "docs"\nowner = "CAD team"\nrank_lower = true\n')
    return file


def test_a_list_of_sources_is_built_and_its_owners_are_kept(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "index")
    assert chipalign.main(["index", "build", "--out", out, "--sources", str(own)]) == 0
    entry = read_manifest(tmp_path / "index").collections["tool"]
    assert (entry.owner, entry.ranks_lower, entry.documents) == ("CAD team", True, 1)
    own.write_text(own.read_text().replace("CAD team", "Flow team"))
    assert chipalign.main(["index", "build", "--out", out, "--sources", str(own)]) == 0
    assert "up to date" in capsys.readouterr().out
    assert read_manifest(tmp_path / "index").collections["tool"].owner == "Flow team"
    assert chipalign.main(["index", "stats", "--index", out]) == 0
    assert "owner Flow team, ranks lower" in capsys.readouterr().out


def test_one_file_is_inspected_as_text_and_as_json(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = own.parent / "docs" / "a.md"
    assert chipalign.main(["index", "inspect", str(file)]) == 0
    assert "a.md: Markdown, 1 block, 1 chunk, title 'Antenna'" in capsys.readouterr().out
    assert chipalign.main(["index", "inspect", str(file), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["blocks"][0]["text"] == found["chunks"][0]["text"] == "Diodes are inserted."


@for_each("arguments", [[], ["--watch", "--json", "docs"]])
def test_a_build_of_nothing_and_a_watch_with_one_document_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        chipalign.main(["index", "build", "--out", "x", *arguments])
    assert caught.value.code == 2


def test_a_change_of_a_file_or_of_the_list_is_built_and_a_failure_changes_nothing(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watching, "QUIET_MS", 100)
    monkeypatch.setattr(watching, "LOOK_MS", 50)
    watchers: list[watching.Watcher] = []

    class Known(watching.Watcher):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            watchers.append(self)

    monkeypatch.setattr(watching, "Watcher", Known)
    built = threading.Semaphore(0)
    before = build_commands.build

    def build(*arguments: Any) -> None:
        try:
            before(*arguments)
        finally:
            built.release()

    monkeypatch.setattr(build_commands, "build", build)
    index = tmp_path / "index"
    following = threading.Thread(target=build_on_changes, args=(Building(index, [], own), RagSettings.from_env()))
    following.start()

    def built_after(change: Callable[[], object]) -> dict[str, int]:
        change()
        assert built.acquire(timeout=20)
        return {name: entry.documents for name, entry in read_manifest(index).collections.items()}

    assert built_after(lambda: None) == {"tool": 1}
    assert built_after(lambda: (tmp_path / "docs" / "b.md").write_text("# B\n\nText.\n")) == {"tool": 2}
    assert built_after(lambda: own.write_text("[tool]\n")) == {"tool": 2}
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "c.md").write_text("# C\n\nText.\n")
    listed = '[tool]\npath = "docs"\n[more]\npath = "more"\n'
    assert built_after(lambda: own.write_text(listed)) == {"more": 1, "tool": 2}
    assert built_after(lambda: (tmp_path / "more" / "d.md").write_text("# D\n\nText.\n")) == {"more": 2, "tool": 2}
    watchers[-1].stop()
    following.join(timeout=20)
    assert not following.is_alive()
    assert "it may have path, version, owner" in capsys.readouterr().err


def test_a_watch_in_the_background_of_a_script_ends_with_ctrl_c(own: Path, tmp_path: Path) -> None:
    build = ["index", "build", "--watch", "--out", str(tmp_path / "index"), str(own.parent / "docs")]
    command = in_the_background([sys.executable, "-m", "chipalign", *build])
    process = subprocess.Popen(command, env=dict(os.environ), stderr=subprocess.PIPE, text=True)
    with running(process):
        assert process.stderr is not None
        assert any("waiting for changes; Ctrl-C ends it" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "interrupted"
    assert read_manifest(tmp_path / "index").collections.keys() == {"docs"}
