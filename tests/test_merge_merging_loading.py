"""A merge whose config or tokenizer does not load is no success, unless the chat parent's do not load either."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from merge.errors import OutputUnloadable
from merge.merging.card import render_card
from merge.merging.loading import ROOT, LoadingCheck, compare_loading, make_command, try_loading
from merge.merging.merger import merge_parents
from merge.settings import MergeSettings
from tests.rows import for_each
from tests.tiny_models import make_recipe, rewrite_config, write_llama

DAMAGE = [
    ("config.json", '{"model_type": "llama", "num_attention_heads": "many"}', "config"),
    ("tokenizer.json", '{"model": {"type": "WordLevel", "vocab": {"a": "b"}}}', "tokenizer"),
]


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chat model."""
    return write_llama(tmp_path_factory.mktemp("loading") / "chat", seed=1, num_hidden_layers=1)


def copy(chat: Path, folder: Path) -> Path:
    folder.mkdir()
    for path in chat.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_what_loads_is_not_complained_of(chat: Path, tmp_path: Path) -> None:
    assert try_loading(chat) == {}
    with LoadingCheck(copy(chat, tmp_path / "out"), chat) as check:
        assert check.wait() == []


@for_each(("name", "content", "what"), DAMAGE)
def test_what_only_the_merge_fails_to_load_is_named(
    chat: Path, tmp_path: Path, name: str, content: str, what: str
) -> None:
    out = copy(chat, tmp_path / "out")
    (out / name).write_text(content)
    assert what in compare_loading(out, chat)
    with LoadingCheck(out, chat) as check, pytest.raises(OutputUnloadable, match=f"not those of the merge .*{what}: "):
        check.wait()
    assert compare_loading(out, copy(out, tmp_path / "as-bad")) == {}


def test_a_process_of_its_own_finds_the_same_from_any_folder(
    chat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = copy(chat, tmp_path / "out")
    (out / "tokenizer.json").write_text(DAMAGE[1][1])
    monkeypatch.chdir(tmp_path)
    done = subprocess.run(make_command(Path("out"), chat), cwd=ROOT, capture_output=True, check=True)
    assert json.loads(done.stdout).keys() == {"tokenizer"}


def test_a_merge_that_does_not_load_leaves_nothing(chat: Path, tmp_path: Path) -> None:
    chip = copy(chat, tmp_path / "chip")
    rewrite_config(chip, rope_parameters={"rope_type": "llama3", "rope_theta": 1e4})  # it lacks its factors
    recipe = make_recipe(chip, chat, config="chip")
    with pytest.raises(OutputUnloadable, match="config: "):
        merge_parents(recipe, tmp_path / "out", MergeSettings(tmp_path / "home"), render_card, try_loading=True)
    assert not (tmp_path / "out").exists()
