"""Which files go with a model's weights is decided by their names, and none is opened for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from merge.models import beside
from merge.models.beside import find_companions, find_left, find_model_files, is_tokenizer_file

COPIED = (
    "LICENSE",
    "additional_chat_templates/rag.jinja",
    "config.json",
    "merges.txt",
    "preprocessor_config.json",
    "qwen.tiktoken",
    "source.spm",
    "vocab.txt",
)
LEFT = ("2_Dense/pytorch_model.bin", "configuration_own.py", "spk2info.pt", "tokens.pickle", "checkpoint-500/")
MODULES = ("1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors")
IDLE = ("README.md", "model.h5", "optimizer.pt", "loss.png", "train_results.json", "adapter_config.json", ".cache")
WEIGHTS = ("model-00001-of-00002.safetensors", "model.safetensors.index.json")


def fill(folder: Path) -> Path:
    for name in (*COPIED, *LEFT, *IDLE, *WEIGHTS, *MODULES, "pictures/", "adapter_model.safetensors"):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        if name.endswith("/"):
            (folder / name).mkdir()
        else:
            (folder / name).write_text("{}")
    return folder


def test_files_are_copied_named_or_passed_over(tmp_path: Path) -> None:
    fill(tmp_path)
    assert find_companions(tmp_path) == sorted([*COPIED, *MODULES])
    assert find_companions(tmp_path, code=True) == sorted([*COPIED, *MODULES, LEFT[1]])
    assert find_left(tmp_path) == list(LEFT)
    assert find_model_files(tmp_path) == sorted([*COPIED, *MODULES, *WEIGHTS])


def test_links_count_as_files_and_large_ones_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "blob").write_text("x" * 100)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "tekken.json").symlink_to(tmp_path / "blob")
    assert find_companions(tmp_path / "model") == ["tekken.json"]
    monkeypatch.setattr(beside, "COMPANION_BYTES", 99)
    assert (find_companions(tmp_path / "model"), find_left(tmp_path / "model")) == ([], ["tekken.json"])


def test_tokenizer_files_are_known_in_all_their_forms() -> None:
    assert all(
        map(
            is_tokenizer_file,
            ("encoder.json", "dict.txt", "tokenizer.json", "spiece.model", "tekken.json", "vocab.bpe", "q.tiktoken"),
        )
    )
    assert not any(map(is_tokenizer_file, ("config.json", "chat_template.jinja", "preprocessor_config.json")))
