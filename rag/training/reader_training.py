"""Trains a passage reader, which says which of a question's passages answer it, and which of their units do.

It trains all weights of the layers, but not the word embeddings: a reader is kept as its difference from its base
(rag.embedding.passage_reader). Sequences stand end to end, so that no padding is computed but that to the next multiple
of `GRAIN`. It makes no questions and searches none.

    bert = read_bert(folder, adapter)
    tensors, report = train_reader(bert, lessons, held_out, Options(epochs=3), Path("state"), show)
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, gelu, layer_norm, linear

from rag.embedding.bert_files import BertFiles
from rag.embedding.passage_reader import Pair
from rag.embedding.processor import multiplies_bfloat16
from rag.progress import Show
from rag.training.training_state import new_state, read_notes, restore_moments

GRAIN = (
    32  # a sequence's length is brought to a multiple of it: few shapes, for each of which the library makes a kernel
)
TOKENS_GRAIN = 512  # the same for the tokens of a step
HEADS = ("passage.", "piece.")
HEAD_WIDTH = 192
HEAD_RATE = 10.0  # the new layers learn so many times faster
ANSWER_WEIGHT = 2.0  # of a unit that answers: ten times as many units do not
UNSURE_WEIGHT = 0.5  # of the units of a passage that was only found: it may hold answers that were not written down
WARM_UP, LEAST_RATE = 0.06, 0.02  # shares of the steps, and of the rate at the end
STATE = ".training"
CHECK_STEPS = 100
WORDS = "embeddings.word_embeddings.weight"


@dataclass(frozen=True, slots=True)
class Options:
    """How to train."""

    epochs: int = 3
    questions: int = 8  # of a step
    passages: int = 4  # of a question
    learning_rate: float = 1e-4
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage as it is read with a question: the unit of each of its tokens (-1: none), and which units answer."""

    pair: Pair
    unit_of: np.ndarray[Any, np.dtype[np.int64]]
    answers: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Lesson:
    """A question with its passages. is_sure: nothing answers it, so that its passages do not either."""

    question: str
    candidates: tuple[Candidate, ...]
    is_sure: bool


@dataclass(slots=True)
class Report:
    """What came of it: the losses of each step, of units and of passages, and each look at the held-out lessons.

    A look is (step, loss).
    """

    losses: list[tuple[float, float]] = field(default_factory=list)
    looks: list[tuple[int, float]] = field(default_factory=list)


class TrainedReader:
    """A BERT with two heads. Its tensors have the names under which a reader is kept."""

    def __init__(self, base: BertFiles) -> None:
        self._layers, self._heads, self._epsilon = base.layers, base.heads, base.epsilon
        self._words = base.tensors[WORDS]
        self.tensors = {name: tensor.clone() for name, tensor in base.tensors.items() if name != WORDS}
        hidden = self._words.shape[1]
        for name, width in (("passage", hidden), ("piece", 2 * hidden)):
            for part, layer in (("wide", nn.Linear(width, HEAD_WIDTH)), ("narrow", nn.Linear(HEAD_WIDTH, 1))):
                self.tensors[f"{name}.{part}.weight"] = layer.weight.detach()
                self.tensors[f"{name}.{part}.bias"] = layer.bias.detach()
        for tensor in self.tensors.values():
            tensor.requires_grad_()

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the values of a reader's tensors."""
        with torch.no_grad():
            for name, tensor in tensors.items():
                self.tensors[name].copy_(tensor)

    def __call__(self, candidates: Sequence[Candidate]) -> tuple[Tensor, Tensor, Tensor]:
        """Log odds of units, shape (units,), and of passages, shape (passages,); and which units were read at all."""
        states, starts = self._encode([candidate.pair for candidate in candidates])
        counts = [len(candidate.answers) for candidate in candidates]
        firsts = states[torch.tensor(starts)]

        owners = torch.full((len(states),), sum(counts))  # the unit that a token is of; the last number: none
        for candidate, start, before in zip(candidates, starts, np.cumsum([0, *counts]).tolist(), strict=False):
            units = torch.from_numpy(candidate.unit_of)
            owners[start : start + len(units)] = torch.where(units >= 0, units + before, sum(counts))
        sums = torch.zeros(sum(counts) + 1, states.shape[1]).index_add_(0, owners, states)[:-1]
        tokens = torch.bincount(owners, minlength=sum(counts) + 1)[:-1]
        means = sums / tokens.clamp(min=1)[:, None]

        passages = torch.repeat_interleave(torch.arange(len(candidates)), torch.tensor(counts))
        pieces = self._head("piece", torch.cat([means, firsts[passages]], dim=1))
        return pieces, self._head("passage", firsts), tokens > 0

    def _encode(self, pairs: Sequence[Pair]) -> tuple[Tensor, list[int]]:
        """States of all tokens, shape (tokens, hidden), and where each pair's begin."""
        number = torch.bfloat16 if multiplies_bfloat16() else torch.float32
        lengths = [-(-len(pair.ids) // GRAIN) * GRAIN for pair in pairs]
        total = -(-sum(lengths) // TOKENS_GRAIN) * TOKENS_GRAIN
        starts = np.cumsum([0, *lengths[:-1]]).tolist()
        ids, kinds, places = (torch.zeros(total, dtype=torch.int64) for _ in range(3))
        for pair, start in zip(pairs, starts, strict=True):
            ids[start : start + len(pair.ids)] = torch.from_numpy(pair.ids)
            kinds[start : start + len(pair.ids)] = torch.from_numpy(pair.kinds)
            places[start : start + len(pair.ids)] = torch.arange(len(pair.ids))

        embedded = (
            self._words[ids]
            + self.tensors["embeddings.position_embeddings.weight"][places]
            + self.tensors["embeddings.token_type_embeddings.weight"][kinds]
        )
        states = self._normalise("embeddings.LayerNorm", embedded).to(number)
        masks = [
            torch.where(torch.arange(length) < len(pair.ids), 0.0, -1e4).to(number)
            for pair, length in zip(pairs, lengths, strict=True)
        ]
        for layer in range(self._layers):
            prefix = f"encoder.layer.{layer}"
            attended = self._attend(f"{prefix}.attention.self", states, lengths, masks)
            states = self._normalise(
                f"{prefix}.attention.output.LayerNorm",
                self._linear(f"{prefix}.attention.output.dense", attended) + states,
            )
            widened = gelu(self._linear(f"{prefix}.intermediate.dense", states))
            states = self._normalise(
                f"{prefix}.output.LayerNorm", self._linear(f"{prefix}.output.dense", widened) + states
            )
        return states.float(), starts

    def _attend(self, prefix: str, states: Tensor, lengths: list[int], masks: list[Tensor]) -> Tensor:
        queries, keys, values = (
            self._linear(f"{prefix}.{name}", states).view(len(states), self._heads, -1)
            for name in ("query", "key", "value")
        )
        root = queries.shape[-1] ** 0.5
        attended, start = [], 0
        for length, mask in zip(lengths, masks, strict=True):
            query, key, value = (part[start : start + length].transpose(0, 1) for part in (queries, keys, values))
            weights = torch.softmax(torch.bmm(query, key.transpose(1, 2)) / root + mask, dim=-1)
            attended.append(torch.bmm(weights, value).transpose(0, 1).reshape(length, -1))
            start += length
        return torch.cat([*attended, torch.zeros(len(states) - start, states.shape[1], dtype=states.dtype)])

    def _linear(self, name: str, states: Tensor) -> Tensor:
        return linear(
            states, self.tensors[f"{name}.weight"].to(states.dtype), self.tensors[f"{name}.bias"].to(states.dtype)
        )

    def _normalise(self, name: str, states: Tensor) -> Tensor:
        weight, bias = (self.tensors[f"{name}.{part}"].to(states.dtype) for part in ("weight", "bias"))
        return layer_norm(states, weight.shape, weight, bias, self._epsilon)

    def _head(self, name: str, states: Tensor) -> Tensor:
        return self._linear(f"{name}.narrow", gelu(self._linear(f"{name}.wide", states))).squeeze(1)


class Trainer:
    """A reader, its optimizer, and how far they are."""

    def __init__(
        self, base: BertFiles, options: Options, steps: int, start: Mapping[str, Tensor] | None = None
    ) -> None:
        """start: the tensors of a reader to go on from."""
        torch.manual_seed(options.seed)
        self.reader = TrainedReader(base)
        if start:
            self.reader.load(start)
        self._options = options
        self._steps = steps
        groups = []
        for rate, is_head in ((options.learning_rate, False), (HEAD_RATE * options.learning_rate, True)):
            own = [tensor for name, tensor in self.reader.tensors.items() if name.startswith(HEADS) == is_head]
            groups.append({"params": own, "lr": rate, "rate": rate})
        self._optimizer = torch.optim.AdamW(groups, weight_decay=0.01)

    def step(self, lessons: Sequence[Lesson], number: int) -> tuple[float, float]:
        """One step, the `number`-th; returns the losses of units and of passages."""
        share = min(1.0, (number + 1) / (WARM_UP * self._steps + 1)) * max(LEAST_RATE, 1 - number / self._steps)
        for group in self._optimizer.param_groups:
            group["lr"] = group["rate"] * share
        dice = random.Random(f"{self._options.seed}/{number}/passages")
        losses = self.losses(lessons, [_draw_passages(lesson, self._options.passages, dice) for lesson in lessons])

        self._optimizer.zero_grad()
        sum(losses).backward()
        nn.utils.clip_grad_norm_(self.reader.tensors.values(), 1.0)
        self._optimizer.step()
        return float(losses[0].detach()), float(losses[1].detach())

    def losses(self, lessons: Sequence[Lesson], drawn: Sequence[Sequence[Candidate]]) -> tuple[Tensor, Tensor]:
        """The losses of units and of passages, of the passages drawn for each lesson."""
        candidates = [candidate for own in drawn for candidate in own]
        units, passages, is_read = self.reader(candidates)
        answers = torch.tensor(
            [answer for candidate in candidates for answer in candidate.answers], dtype=torch.float32
        )
        trusted = [
            1.0 if lesson.is_sure or any(candidate.answers) else UNSURE_WEIGHT
            for lesson, own in zip(lessons, drawn, strict=True)
            for candidate in own
            for _ in candidate.answers
        ]
        weights = torch.tensor(trusted) * torch.where(answers > 0, ANSWER_WEIGHT, 1.0) * is_read
        of_units = (binary_cross_entropy_with_logits(units, answers, reduction="none") * weights).sum() / len(
            candidates
        )
        answering = torch.tensor([float(any(candidate.answers)) for candidate in candidates])
        return of_units, binary_cross_entropy_with_logits(passages, answering)

    def look(self, lessons: Sequence[Lesson]) -> float:
        """The loss over the held-out lessons; learns nothing."""
        losses = []
        with torch.inference_mode():
            for start in range(0, len(lessons), self._options.questions):
                part = lessons[start : start + self._options.questions]
                losses.append(
                    float(sum(self.losses(part, [lesson.candidates[: self._options.passages] for lesson in part])))
                )
        return float(np.mean(losses))

    def save(self, state: Path, notes: dict[str, Any]) -> None:
        """Keep how far training is, whole or not at all."""
        with new_state(state, self._optimizer, notes) as folder:
            tensors = {name: tensor.detach() for name, tensor in self.reader.tensors.items()}
            save_file(tensors, folder / "reader.safetensors")

    def restore(self, state: Path) -> None:
        """Go on from what `save` kept."""
        self.reader.load(load_file(state / "reader.safetensors"))
        restore_moments(state, self._optimizer)


def train_reader(
    base: BertFiles,
    lessons: Sequence[Lesson],
    held_out: Sequence[Lesson],
    options: Options,
    state: Path,
    show: Show,
    start: Mapping[str, Tensor] | None = None,
) -> tuple[dict[str, Tensor], Report]:
    """The tensors of a reader that learnt the lessons, float32, and what came of each step.

    It goes on from the reader whose tensors are `start`, or begins with the base's.

    Training that is kept in `state`, of as many lessons and the same options, is taken up.
    """
    steps = max(1, options.epochs * len(lessons) // options.questions)
    trainer = Trainer(base, options, steps, start)
    key = {**asdict(options), "lessons": len(lessons), "held_out": len(held_out), "start": start is not None}
    report = _read_report(state, key) or Report()
    if report.losses:
        trainer.restore(state)
    order = _order(len(lessons), options, steps)
    for number in range(len(report.losses), steps):
        rows = order[number * options.questions : (number + 1) * options.questions]
        report.losses.append(trainer.step([lessons[row] for row in rows], number))
        show("train", number + 1, steps)
        if (number + 1) % CHECK_STEPS == 0 or number + 1 == steps:
            report.looks.append((number + 1, trainer.look(held_out)))
            trainer.save(state, {"key": key, "losses": report.losses, "looks": report.looks})
    return {name: tensor.detach() for name, tensor in trainer.reader.tensors.items()}, report


def _order(count: int, options: Options, steps: int) -> list[int]:
    """The rows of the lessons as they are read: all of them, mixed anew, as often as the steps need."""
    rows: list[int] = []
    epoch = 0
    while len(rows) < steps * options.questions:
        rows += random.Random(f"{options.seed}/{epoch}").sample(range(count), count)
        epoch += 1
    return rows


def _draw_passages(lesson: Lesson, count: int, dice: random.Random) -> list[Candidate]:
    """Up to two passages that answer, and others, `count` in all."""
    answering = [candidate for candidate in lesson.candidates if any(candidate.answers)]
    others = [candidate for candidate in lesson.candidates if not any(candidate.answers)]
    taken = dice.sample(answering, min(2, len(answering)))
    return taken + dice.sample(others, min(count - len(taken), len(others)))


def _read_report(state: Path, key: dict[str, Any]) -> Report | None:
    """How far training of the same lessons and options is; None where there is none."""
    notes = read_notes(state, key)
    if notes is None:
        return None
    return Report(
        [(float(units), float(passages)) for units, passages in notes["losses"]],
        [(int(step), float(loss)) for step, loss in notes["looks"]],
    )
