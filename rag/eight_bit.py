"""A BERT whose layers multiply integers of 8 bits, on processors that do so in hardware (AVX512-VNNI): several times as fast as with floats.

Every column of a weight matrix and every token has a scale of its own: its largest number becomes 127 and the others are rounded (Dettmers et
al., "LLM.int8()", NeurIPS 2022, sections 2 and 3: vector-wise quantisation). A product of integers is exact, so a text's vectors do not depend on
the texts beside it, and nothing has to be calibrated. Attention, normalisation and activation stay in float32, and texts are computed end to end
without padding.

    model[0].model = EightBitBert(model[0].model)  # in a SentenceTransformer

The same products compare a question's tokens with the signs that are kept of a passage's (rag.late).
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray

LARGEST = np.float32(127)
# Added to a float32 of less than 2^22 it leaves no bits for a fraction: the sum's last bits are the number, rounded to the nearest, ties to even.
ROUNDING = np.float32(1.5 * 2**23)
SIGNLESS = np.int32(0x7FFFFFFF)
SMALLEST_SCALE = np.finfo(np.float32).tiny  # below it a scale has no inverse: such a row counts as zeros
# Sums of exponentials that float32 holds with all its digits; beyond them softmax is shifted first, as it always is elsewhere.
SMALLEST_SUM, LARGEST_SUM = 1e-30, 1e30
ACTIVATED_AT_ONCE = 512  # tokens whose widened states stay in a core's cache


def _compile(function: Callable[..., None]) -> Callable[..., None]:
    """Compiled when first called, without the GIL; kept on disk unless no place for that can be written."""
    try:
        compiled: Callable[..., None] = numba.njit(nogil=True, cache=True, error_model="numpy")(function)
    except RuntimeError:  # "no locator available": neither this folder nor the user's cache can be written
        compiled = numba.njit(nogil=True, error_model="numpy")(function)
    return compiled


@_compile
def _quantise(values: Any, rounded: Any, scales: Any) -> None:
    """Each row of `values`, float32, as whole numbers up to 127 in `rounded`, int8, times its entry of `scales`, float32."""
    bits = values.view(np.int32)  # without their sign they compare as the numbers do, and compilers vectorise the largest of integers
    for row in range(values.shape[0]):
        largest = np.int32(0)
        for column in range(values.shape[1]):
            largest = max(largest, bits[row, column] & SIGNLESS)
        scales[row] = np.int32(largest).view(np.float32) / LARGEST
        factor = np.float32(1) / scales[row] if scales[row] >= SMALLEST_SCALE else np.float32(0)
        for column in range(values.shape[1]):
            rounded[row, column] = np.int8(np.float32(values[row, column] * factor + ROUNDING).view(np.int32))


@_compile
def _restore(products: Any, scales: Any, column_scales: Any, bias: Any) -> None:
    """Products of whole numbers, int32, become in their own place the float32 that they stand for."""
    for row in range(products.shape[0]):
        scale = scales[row]
        for column in range(products.shape[1]):
            value = np.float32(products[row, column]) * scale * column_scales[column] + bias[column]
            products[row, column] = np.float32(value).view(np.int32)


class _Room:
    """What all products of one pass are computed in, so that memory is asked for once."""

    def __init__(self, tokens: int, widest: int) -> None:
        self.rounded = torch.empty(tokens * widest, dtype=torch.int8)
        self.products = torch.empty(tokens * widest, dtype=torch.int32)
        self.scales = np.empty(tokens, dtype=np.float32)


class _Linear:
    """Linear layers that read the same input, as one; `factors` multiply what each gives."""

    def __init__(self, layers: list[Any], factors: list[float]) -> None:
        weight = torch.cat([layer.weight.detach().float() * factor for layer, factor in zip(layers, factors, strict=True)])
        bias = torch.cat([layer.bias.detach().float() * factor for layer, factor in zip(layers, factors, strict=True)])
        rounded = np.empty(weight.shape, dtype=np.int8)
        self._column_scales = np.empty(len(weight), dtype=np.float32)
        _quantise(weight.numpy(), rounded, self._column_scales)
        self._weight = torch.from_numpy(rounded).t()  # shape (input, output)
        self._bias = bias.numpy()

    def __call__(self, states: Any, room: _Room) -> Any:
        """Of `states`, shape (tokens, input): shape (tokens, output), in `room` until its next use."""
        rounded = room.rounded[: states.numel()].view(states.shape)
        products = room.products[: len(states) * len(self._bias)].view(len(states), len(self._bias))
        _quantise(states.numpy(), rounded.numpy(), room.scales)
        torch._int_mm(rounded, self._weight, out=products)
        _restore(products.numpy(), room.scales, self._column_scales, self._bias)
        return products.view(torch.float32)


class _Layer:
    """One layer of the encoder; texts stand one after the other in its states, and `ends` says where each ends."""

    def __init__(self, layer: Any, heads: int) -> None:
        attention = layer.attention.self
        self._heads = heads
        root = (attention.query.out_features / heads) ** 0.5  # by which attention divides its scores
        self._queries_keys_values = _Linear([attention.query, attention.key, attention.value], [1 / root, 1, 1])
        self._attended = _Linear([layer.attention.output.dense], [1])
        self._attention_norm = layer.attention.output.LayerNorm
        self._widened = _Linear([layer.intermediate.dense], [1])
        self._activation = layer.intermediate.intermediate_act_fn
        self._narrowed = _Linear([layer.output.dense], [1])
        self._norm = layer.output.LayerNorm

    def __call__(self, states: Any, ends: list[int], room: _Room) -> Any:
        context = torch.empty_like(states)
        projected = self._queries_keys_values(states, room).view(len(states), 3, self._heads, -1)
        for start, end in zip([0, *ends], ends, strict=False):
            queries, keys, values = projected[start:end].permute(1, 2, 0, 3)  # shape (heads, tokens, size) each
            context[start:end].view(end - start, self._heads, -1).copy_(attend(queries, keys, values).transpose(0, 1))
        states = self._attention_norm(self._attended(context, room).add_(states))
        widened = self._widened(states, room)
        for part in widened.split(ACTIVATED_AT_ONCE):
            part.copy_(self._activation(part))
        return self._norm(self._narrowed(widened, room).add_(states))


def attend(queries: Any, keys: Any, values: Any) -> Any:
    """Softmax of the products of queries and keys, times the values; shapes (heads, tokens, size).

    Exponentials are not shifted by the largest score, which saves two passes, unless their sums say that they had to be.
    """
    weights = torch.bmm(queries, keys.transpose(1, 2)).exp_()
    sums = weights.sum(dim=-1, keepdim=True)
    smallest, largest = sums.aminmax()
    if not (smallest > SMALLEST_SUM and largest < LARGEST_SUM):
        return torch.bmm(torch.bmm(queries, keys.transpose(1, 2)).softmax(dim=-1), values)
    return torch.bmm(weights, values).div_(sums)


class EightBitBert(torch.nn.Module):  # type: ignore[misc]  # torch comes without types here
    """Stands in for transformers' BertModel: the same input, and its `last_hidden_state`."""

    def __init__(self, bert: Any) -> None:
        super().__init__()
        self.config = bert.config
        self._embeddings = bert.embeddings
        self._layers = [_Layer(layer, bert.config.num_attention_heads) for layer in bert.encoder.layer]
        self._widest = max(3 * bert.config.hidden_size, bert.config.intermediate_size)

    def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any = None, **_others: Any) -> dict[str, Any]:
        """Of texts padded to the same length, shape (texts, tokens); `last_hidden_state` has shape (texts, tokens, hidden) and is 0 at padding."""
        mask = attention_mask.bool()
        types = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        rows = {"input_ids": input_ids, "token_type_ids": types, "position_ids": mask.cumsum(dim=1) - 1}
        states = self._embeddings(**{name: row[mask][None] for name, row in rows.items()})[0]
        room, ends = _Room(len(states), self._widest), mask.sum(dim=1).cumsum(dim=0).tolist()
        for layer in self._layers:
            states = layer(states, ends, room)
        padded = torch.zeros(*mask.shape, states.shape[-1])
        padded[mask] = states
        return {"last_hidden_state": padded}


def multiply_bits(numbers: NDArray[np.float32], bits: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Products of rows of numbers, shape (rows, size), with rows of zeros and ones, shape (others, size): shape (rows, others).

    The numbers are rounded to 8 bits where the processor multiplies those: seven times as fast as to make floats of all the bits.
    """
    if not multiplies_eight_bits():
        return numbers @ bits.astype(np.float32).T
    rounded, scales = np.empty(numbers.shape, dtype=np.int8), np.empty((len(numbers), 1), dtype=np.float32)
    _quantise(numbers, rounded, scales[:, 0])
    products: NDArray[np.int32] = torch._int_mm(torch.from_numpy(rounded), torch.from_numpy(bits.view(np.int8)).t()).numpy()
    return products * scales


def multiplies_eight_bits() -> bool:
    """Whether this processor multiplies integers of 8 bits into sums of 32 by itself."""
    return bool(torch.cpu.get_capabilities().get("avx512_vnni"))
