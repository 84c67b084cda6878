"""`chipalign adapt model` as it is used: files in, an adapter with its card and curve out, and one sentence for what is
wrong.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from merge.training.training_data import is_held_out
from rag.command_line import write_jsonl
from tests.commands import run_command
from tests.tiny_models import write_llama

MESSAGES = [{"role": "user", "content": "fix hold"}]
pytestmark = pytest.mark.usefixtures("one_thread")


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_command("adapt", "model", *arguments, folder=folder, CHIPALIGN_HOME=str(folder / "home"))


def rows(count: int = 40) -> list[dict[str, Any]]:
    return [
        {
            "kind": "answer",
            "messages": MESSAGES,
            "answer": "with repair_timing",
            "source": {"document": f"d{number}", "licence": "ISC"},
        }
        for number in range(count)
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_llama(tmp_path / "base", seed=1)
    write_jsonl(tmp_path / "triplets.jsonl", rows())
    return tmp_path


def test_an_adapter_comes_with_its_card_and_its_curve(folder: Path) -> None:
    done = run(
        folder,
        "--base",
        "base",
        "--triplets",
        "triplets.jsonl",
        "--out",
        "ours",
        "--epochs",
        "2",
        "--batch-tokens",
        "64",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    held_out = sum(is_held_out(f"d{number}") for number in range(40))
    assert (summary["triplets"], summary["trained"], summary["held_out"]) == (40, [40 - held_out], [held_out])
    assert summary["kinds"] == {"answer": 40}
    assert summary["loss"] < summary["loss_before"]
    assert sorted(path.name for path in (folder / "ours").iterdir()) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "losses.png",
    ]
    card = (folder / "ours" / "README.md").read_text(encoding="utf-8")
    assert summary["command"] in card
    assert "40 ISC" in card
    assert json.loads((folder / "ours" / "adapter_config.json").read_text())["base_model_name_or_path"] == "base"
    assert "trained: " in done.stderr
    assert "held-out" in done.stderr


def test_documents_are_read_on_before_the_triplets(folder: Path) -> None:
    manuals = folder / "manuals"
    manuals.mkdir()
    for number in range(30):
        (manuals / f"{number}.md").write_text(
            f"# fix hold\n\nslack with repair_timing fix {number}\n", encoding="utf-8"
        )
    done = run(
        folder,
        "--base",
        "base",
        "--documents",
        "manuals",
        "--triplets",
        "triplets.jsonl",
        "--out",
        "ours",
        "--batch-tokens",
        "64",
        "--max-length",
        "32",
        "--weights",
        "full",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["texts"] == 30
    assert len(summary["trained"]) == 2
    assert (folder / "ours" / "model.safetensors").is_file()
    assert (folder / "ours" / "tokenizer.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--triplets", "nowhere.jsonl", "--out", "ours"], "nowhere.jsonl cannot be read"),
        (["--triplets", "triplets.jsonl", "--out", "ours", "--base", "nowhere"], "no such folder"),
        (
            ["--triplets", "triplets.jsonl", "--out", "ours", "--base", "base", "--max-length", "3"],
            "40 were longer than 3 tokens",
        ),
        (
            ["--triplets", "triplets.jsonl", "--out", "taken", "--base", "base"],
            "taken is there and is neither adapter nor checkpoint",
        ),
        (["--out", "ours"], "there is nothing to train on"),
        (["--triplets", "triplets.jsonl", "--out", "ours", "--rank", "0"], "'0' is not a whole number from 1"),
        (["--triplets", "triplets.jsonl", "--out", "ours", "--epochs", "nan"], "'nan' is not a number above 0"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(folder: Path, arguments: list[str], said: str) -> None:
    (folder / "taken").mkdir()
    done = run(folder, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "ours").exists()
    assert list((folder / "taken").iterdir()) == []


def test_documents_that_cannot_be_read_end_it(folder: Path) -> None:
    done = run(folder, "--base", "base", "--documents", "nowhere", "--out", "ours")
    assert done.returncode == 2
    assert "'nowhere' is not a folder, file or archive here" in done.stderr
