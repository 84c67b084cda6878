"""A BERT's forward pass over texts end to end, without padding: in 8-bit integers or in float32.

The products of integers are rag.embedding.eight_bit's. Attention, normalisation and activation are in float32 either
way. In 8 bits a text's vectors do not depend on the other texts; in float32 they do only by the order of sums.

    bert = Bert(read_bert(folder, adapter), bits=8)
    vectors, tokens = bert([[101, 2907, 102], [101, 102]])
    # for a pair of texts: which of the two each token belongs to
    [states] = bert.states([[101, 2907, 102, 3145, 102]], [[0, 0, 0, 1, 1]])
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, linear, normalize

from rag.embedding.bert_files import BertFiles
from rag.embedding.compiled import exponentiate
from rag.embedding.eight_bit import EightBitLinear, Room

# Sums of exponentials that float32 holds with all its digits; beyond them softmax is shifted first, as is usual
# elsewhere.
SMALLEST_SUM, LARGEST_SUM = 1e-30, 1e30
ACTIVATED_AT_ONCE = 512  # tokens whose widened states stay in a core's cache


class FloatLinear:
    """A linear layer in float32."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self._weight = weight
        self._bias = bias

    def __call__(self, states: Tensor, _room: Room) -> Tensor:
        """Of `states`, shape (tokens, input): shape (tokens, output)."""
        return linear(states, self._weight, self._bias)


class Bert:
    """Tokens to vectors. Safe to call from many threads."""

    def __init__(self, files: BertFiles, bits: int) -> None:
        """bits: those of the multiplied numbers, 8 or 32."""
        tensors = files.tensors
        self._words = tensors["embeddings.word_embeddings.weight"]
        kinds = tensors["embeddings.token_type_embeddings.weight"]
        self._places = tensors["embeddings.position_embeddings.weight"] + kinds[0]
        self._kinds = kinds - kinds[0]  # added to that of a place: nothing for the first kind
        self._norm = _Norm(files, "embeddings.LayerNorm")
        self._layers = [_Layer(files, f"encoder.layer.{number}.", bits) for number in range(files.layers)]
        self._widest = max(3 * self._words.shape[1], len(tensors["encoder.layer.0.intermediate.dense.bias"]))
        self._takes_first = files.takes_first

    def __call__(self, ids: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
        """The vector of each text, shape (texts, hidden), and those of its tokens, shape (tokens, hidden).

        Each has length 1. `ids` are the tokens of the texts, marks among them.
        """
        with torch.inference_mode():
            states = self.states(ids)
            vectors = torch.stack([part[0] if self._takes_first else part.mean(dim=0) for part in states])
            return normalize(vectors, dim=1).numpy(), [normalize(part, dim=1).numpy() for part in states]

    def states(self, ids: Sequence[NDArray[np.int64]], kinds: Sequence[NDArray[np.int64]] = ()) -> list[Tensor]:
        """The states of each text's tokens after the last layer, shape (tokens, hidden) each.

        kinds: for each token, 0 or 1, which of two texts that are read together it belongs to; by default all belong to
        the first.
        """
        lengths = [len(own) for own in ids]
        starts = np.cumsum([0, *lengths]).tolist()
        with torch.inference_mode():
            places = torch.cat([torch.arange(length) for length in lengths])
            embedded = self._words[torch.from_numpy(np.concatenate(ids))] + self._places[places]
            if kinds:
                embedded += self._kinds[torch.from_numpy(np.concatenate(kinds))]
            states = self._norm(embedded)
            room = Room(len(states), self._widest)
            for layer in self._layers:
                states = layer(states, starts, room)
            return list(states.split(lengths))


class _Norm:
    def __init__(self, files: BertFiles, name: str) -> None:
        self._weight, self._bias = files.tensors[f"{name}.weight"], files.tensors[f"{name}.bias"]
        self._epsilon = files.epsilon

    def __call__(self, states: Tensor) -> Tensor:
        return layer_norm(states, self._weight.shape, self._weight, self._bias, self._epsilon)


class _Layer:
    """One layer of the encoder.

    Texts stand one after the other in its states; `starts` says where each begins, and where the last ends.
    """

    def __init__(self, files: BertFiles, prefix: str, bits: int) -> None:
        def join(*names: str, factors: Sequence[float] = (1,)) -> EightBitLinear | FloatLinear:
            """Linear layers that read the same input, as one; `factors` multiply the output of each."""
            weight, bias = (
                torch.cat(
                    [
                        files.tensors[f"{prefix}{name}.{kind}"] * factor
                        for name, factor in zip(names, factors, strict=True)
                    ]
                )
                for kind in ("weight", "bias")
            )
            return EightBitLinear(weight, bias) if bits == 8 else FloatLinear(weight, bias)

        self._heads = files.heads
        # Attention divides its scores by this
        root = (len(files.tensors[f"{prefix}attention.self.query.bias"]) / files.heads) ** 0.5
        self._queries_keys_values = join(
            *(f"attention.self.{name}" for name in ("query", "key", "value")), factors=(1 / root, 1, 1)
        )
        self._attended = join("attention.output.dense")
        self._attention_norm = _Norm(files, f"{prefix}attention.output.LayerNorm")
        self._widened = join("intermediate.dense")
        self._narrowed = join("output.dense")
        self._output_norm = _Norm(files, f"{prefix}output.LayerNorm")

    def __call__(self, states: Tensor, starts: Sequence[int], room: Room) -> Tensor:
        context = torch.empty_like(states)
        projected = self._queries_keys_values(states, room).view(len(states), 3, self._heads, -1)
        for start, end in pairwise(starts):
            queries, keys, values = projected[start:end].permute(1, 2, 0, 3)  # shape (heads, tokens, size) each
            context[start:end].view(end - start, self._heads, -1).copy_(attend(queries, keys, values).transpose(0, 1))
        states = self._attention_norm(self._attended(context, room).add_(states))
        widened = self._widened(states, room)
        for part in widened.split(ACTIVATED_AT_ONCE):
            part.copy_(gelu(part))
        return self._output_norm(self._narrowed(widened, room).add_(states))


def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Softmax of the products of queries and keys, times the values; shapes (heads, tokens, size).

    Exponentials are shifted by the largest score only where their sums require it, which saves two passes.
    """
    weights = torch.bmm(queries, keys.transpose(1, 2))
    exponentiate(weights.view(-1).numpy())
    sums = weights.sum(dim=-1, keepdim=True)
    smallest, largest = sums.aminmax()
    if not (smallest > SMALLEST_SUM and largest < LARGEST_SUM):
        return torch.bmm(torch.bmm(queries, keys.transpose(1, 2)).softmax(dim=-1), values)
    return torch.bmm(weights, values).div_(sums)
