"""An embedding model of any architecture that sentence-transformers reads, with any adapter that peft reads.

Importing the libraries takes seconds; for the models that it knows, rag.embedding.bert does without, and is faster.

    model = LibraryModel(folder, adapter, bits=32)
    vectors, tokens = model([[101, 2907, 102], [101, 102]])
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from transformers.utils import logging as transformers_logging

from rag.errors import EmbedderUnavailable


class LibraryModel:
    """Tokens to vectors. Safe to call from many threads."""

    def __init__(self, folder: Path, adapter: Path | None, bits: int) -> None:
        """bits: those of the multiplied numbers, 16 (bfloat16) or 32.

        Raises EmbedderUnavailable: the model cannot be loaded.
        """
        # Our own bar shows how far the build is; a bar for loading weights would only get in its way
        transformers_logging.disable_progress_bar()
        try:
            self._model = SentenceTransformer(str(folder), device="cpu", local_files_only=True, trust_remote_code=False)
            if adapter:
                from peft import PeftModel

                # Into the model's own layers
                PeftModel.from_pretrained(self._model[0].auto_model, str(adapter)).merge_and_unload()
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise EmbedderUnavailable(
                f"the embedding model in {folder} cannot be loaded ({error}): is the folder complete?"
            ) from error
        if bits == 16:
            self._model.to(torch.bfloat16)

    def __call__(self, ids: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
        """The vector of each text, shape (texts, dimension), and those of its tokens, shape (tokens, dimension).

        Each has length 1.
        """
        padded = np.full((len(ids), max(map(len, ids))), self._model[0].config.pad_token_id or 0)
        mask = np.zeros_like(padded)
        for row, own in enumerate(ids):
            padded[row, : len(own)], mask[row, : len(own)] = own, 1
        features = {"input_ids": padded, "attention_mask": mask, "token_type_ids": np.zeros_like(padded)}
        with torch.inference_mode():
            output = self._model({name: torch.from_numpy(values) for name, values in features.items()})
            vectors, tokens = (
                torch.nn.functional.normalize(output[name].float(), dim=-1)
                for name in ("sentence_embedding", "token_embeddings")
            )
            return vectors.numpy(), [own[: len(one)].numpy() for own, one in zip(tokens, ids, strict=True)]
