"""One tensor from its parents to its writer: pieces, rows of one parent only, and DELLA's ranks where a vector lies in
many stretches.
"""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from merge.arithmetic.baselines import combine_base, find_key, prepare
from merge.arithmetic.choice import find_arithmetic
from merge.arithmetic.dtypes import FLOAT32, Array
from merge.arithmetic.geodesic import CHUNK, interpolate
from merge.arithmetic.sparse import draw_uniforms, find_chances
from merge.merging.pairing import Pair, check_pair
from merge.merging.passes import cut, merge_tensor, open_inputs
from merge.merging.plan import Segment, TensorPlan, make_plan
from merge.models.checkpoint import Checkpoint, view_bytes
from merge.recipe import Parameters, Recipe
from tests.rows import for_each
from tests.tiny_models import WORDS, make_recipe, read_arrays, rewrite_tensors, write_llama, write_tokenizer

ARITHMETIC = find_arithmetic("cpu")
BIAS = "lm_head.bias"
SHARES = {"chip": 0.6, "chat": 0.4}
CHIP_WORDS = ("net", *WORDS[:4], "via", *WORDS[4:])  # so that the shared rows lie in several stretches


class Keeper:
    """A writer that keeps what it is given."""

    def __init__(self) -> None:
        self.pieces: list[tuple[int, Array]] = []

    def write(self, name: str, start: int, piece: Array) -> memoryview:
        self.pieces.append((start, piece.copy()))
        return view_bytes(piece)

    @property
    def whole(self) -> Array:
        assert [start for start, _ in self.pieces] == list(
            np.cumsum([0, *(piece.size for _, piece in self.pieces[:-1])])
        )
        return np.concatenate([piece for _, piece in self.pieces])


@pytest.fixture
def biased(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Chip, chat and base with an output bias of vocabulary length; the chip parent has two tokens more, in other
    places.
    """
    folders = []
    for seed, name in enumerate(("chip", "chat", "base")):
        folder = write_llama(tmp_path / name, seed, vocab_size=70 if name == "chip" else 64, tie_word_embeddings=False)
        write_tokenizer(folder, CHIP_WORDS if name == "chip" else WORDS)
        bias = torch.randn(70 if name == "chip" else 64, generator=torch.Generator().manual_seed(seed))
        rewrite_tensors(folder, {BIAS: bias})
        folders.append(folder)
    return folders[0], folders[1], folders[2]


def plan_of(
    name: str, chip: Path, chat: Path, base: Path | None = None, **values: Any
) -> tuple[TensorPlan, Pair, Recipe]:
    recipe = make_recipe(chip, chat, **values)
    pair = check_pair(
        Checkpoint.open(chip), Checkpoint.open(chat), recipe, None if base is None else Checkpoint.open(base)
    )
    [plan] = [plan for plan in make_plan(recipe, pair) if plan.name == name]
    return plan, pair, recipe


@pytest.mark.parametrize("method", ["geodesic", "task_arithmetic", "ties", "dare", "della"])
def test_a_bias_of_vocabulary_length_is_merged_by_token(biased: tuple[Path, Path, Path], method: str) -> None:
    chip, chat, base = biased
    plan, pair, recipe = plan_of(
        BIAS, chip, chat, None if method == "geodesic" else base, method=method, vocab="union", base_model=None
    )
    assert plan.rows is not None
    shared = [run for run in plan.rows.runs if run.chip is not None and run.chat is not None]
    assert len(shared) > 1
    keeper = Keeper()
    merge_tensor([(plan, keeper)], pair, recipe.parameters, ARITHMETIC)
    merged = keeper.whole
    ours, theirs, origin = (read_arrays(folder)[BIAS] for folder in (chip, chat, base))
    for run in plan.rows.runs:  # what one parent has alone is copied to the last bit
        if run.chip is None or run.chat is None:
            parent, at = (ours, run.chip) if run.chat is None else (theirs, run.chat)
            assert at is not None
            assert np.array_equal(merged[run.out : run.out + run.count], parent[at : at + run.count])
    out = np.concatenate([np.arange(run.out, run.out + run.count) for run in shared])
    chip_at = np.concatenate([np.arange(run.count) + int(run.chip or 0) for run in shared])
    chat_at = np.concatenate([np.arange(run.count) + int(run.chat or 0) for run in shared])
    expected = mix_by_hand(method, ours[chip_at], theirs[chat_at], origin[chat_at], out)
    np.testing.assert_allclose(merged[out], expected, rtol=2e-6, atol=2e-6)


def mix_by_hand(method: str, chip: Array, chat: Array, base: Array, out: Array) -> Array:
    """The shared elements as one vector; `out` are their places in the output, where random numbers are drawn."""
    if method == "geodesic":
        return interpolate(chip, chat, 0.6, FLOAT32, ARITHMETIC)[0]
    parameters = Parameters()
    pieces = {"chip": chip, "chat": chat, "base": base}
    if method in ("task_arithmetic", "ties"):  # nothing is drawn: where the elements stand does not matter
        mix = prepare(
            method,
            SHARES,
            {},
            BIAS,
            chip.shape,
            parameters,
            lambda function: iter([function(0, pieces)]),
            ARITHMETIC.sparse,
        )
        return combine_base(pieces, mix, 0, FLOAT32, ARITHMETIC.sparse)
    density = parameters.find_density(method)
    kept = {}
    for side, parent in (("chip", chip), ("chat", chat)):
        d = parent - base
        chances = (
            find_chances(d[None], density, parameters.epsilon)[0] if method == "della" else np.full(d.size, density)
        )
        kept[side] = np.where(
            draw_uniforms(find_key(parameters.seed, side, BIAS), 0, 70)[out] < chances, d / chances, 0.0
        )
    total = 0.6 * kept["chip"] + 0.4 * kept["chat"]
    if method == "dare":
        return np.asarray(base + total)
    sign = np.where(total >= 0, 1.0, -1.0)
    weights = {side: share * (np.sign(kept[side]) == sign) for side, share in (("chip", 0.6), ("chat", 0.4))}
    weight = weights["chip"] + weights["chat"]
    average = (weights["chip"] * kept["chip"] + weights["chat"] * kept["chat"]) / np.where(weight > 0, weight, 1.0)
    return np.asarray(base + average)


def test_pieces_of_one_parent_share_one_buffer(tmp_path: Path) -> None:
    chip, chat = (
        write_llama(tmp_path / name, seed, hidden_size=64, vocab_size=9000)
        for seed, name in enumerate(("chip", "chat"))
    )
    plan, pair, _ = plan_of("model.embed_tokens.weight", chip, chat)
    inputs = open_inputs(plan, pair, ARITHMETIC)
    assert len(inputs.pieces) == math.ceil(9000 * 64 / CHUNK)
    first, second = (inputs.read(piece) for piece in inputs.pieces[:2])
    assert np.shares_memory(first["chip"], second["chip"])
    assert not np.shares_memory(second["chip"], second["chat"])
    expected = read_arrays(chip)["model.embed_tokens.weight"].reshape(-1)
    assert np.array_equal(second["chip"], expected[CHUNK : 2 * CHUNK])


@for_each("row", [1, 7, 1000, CHUNK + 3])
def test_a_segment_is_cut_at_whole_rows_without_gap_or_overlap(row: int) -> None:
    segment = Segment(row * 2, row * (CHUNK // row + 5), 3 * row, None, 0)
    pieces = list(cut(segment, row))
    assert sum(piece.count for piece in pieces) == segment.count
    for before, after in pairwise(pieces):
        assert (after.out, after.chip, after.base) == (
            before.out + before.count,
            (before.chip or 0) + before.count,
            (before.base or 0) + before.count,
        )
    assert all(piece.count % row == 0 and piece.chat is None and piece.count <= max(CHUNK, row) for piece in pieces)
