"""How likely a merge finds answers, with its weights set in place: no checkpoint is written and no model loaded anew.

The weights are those that `chipalign merge` would write, to the last bit: the same passes fill the memory of one model.
Models whose tensors have other names in memory than on disk are refused. The same machine gives the same numbers.

    scorer = Scorer(recipe, pair, examples=encode(questions, tokenizer), arithmetic=arithmetic)
    scorer.set_weights(recipe); scores = scorer.score()  # by question
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from merge.arithmetic.dtypes import Array
from merge.arithmetic.geodesic import Arithmetic
from merge.errors import QuestionsUnusable, SearchImpossible
from merge.merging.companions import prepare_companions
from merge.merging.pairing import Pair
from merge.merging.passes import merge_tensor
from merge.merging.plan import TensorPlan, make_plan
from merge.models.checkpoint import view_bytes
from merge.models.folded import single_threaded_blas
from merge.recipe import Recipe
from merge.training.training import multiplies_bfloat16
from merge.training.training_data import Example, plan_epoch
from merge.tuning.questions import Question

BATCH_TOKENS = 2048


@dataclass(frozen=True)
class InPlace:
    """A writer whose tensors are a model's own memory."""

    weights: Mapping[str, Tensor]

    def write(self, name: str, start: int, piece: Array) -> memoryview:
        """Put a flat piece where it belongs, in the model's dtype."""
        flat = torch.from_numpy(piece.view(np.uint8)).view(getattr(torch, piece.dtype.name))
        self.weights[name].view(-1)[start : start + piece.size].copy_(flat)
        return view_bytes(piece)


class Scorer:
    """One model in memory, and questions for it."""

    def __init__(self, recipe: Recipe, pair: Pair, arithmetic: Arithmetic, threads: int) -> None:
        """Make the model that the recipe's merge is, still without weights of its own.

        Raises SearchImpossible: transformers does not know it, or names its tensors otherwise.
        """
        self._pair, self._arithmetic, self._threads = pair, arithmetic, threads
        self._model, self.tokenizer = _make_model(recipe, pair)
        self._core = self._model.get_decoder()
        self._head = self._model.get_output_embeddings()
        self._weights = _find_weights(self._model, make_plan(recipe, pair))

    def set_weights(self, recipe: Recipe) -> None:
        """Merge as a recipe says into the model. Raises what merge_tensor raises."""
        writer = InPlace(self._weights)

        def merge_one(plan: TensorPlan) -> None:
            """One tensor, by one thread."""
            merge_tensor([(plan, writer)], self._pair, recipe.parameters, self._arithmetic)

        plans = sorted(make_plan(recipe, self._pair), key=lambda plan: (-plan.n_bytes, plan.name))
        with single_threaded_blas(), ThreadPoolExecutor(self._threads, thread_name_prefix="trial") as pool:
            list(pool.map(merge_one, plans))

    def score(self, questions: Sequence[Question]) -> list[float]:
        """The score of each question, as score_answers gives it."""
        examples = encode_all(questions, self.tokenizer)
        return score_answers(questions, examples, self._measure(examples))

    def _measure(self, examples: Sequence[Example]) -> list[float]:
        """The log-likelihood of the learnt tokens of each example."""
        found = [0.0] * len(examples)
        batches = plan_epoch([len(example.ids) for example in examples], BATCH_TOKENS, 0, 0)
        with torch.inference_mode():
            for batch in batches:
                for number, value in zip(batch, self._measure_batch([examples[n] for n in batch]), strict=True):
                    found[number] = value
        return found

    def _measure_batch(self, examples: Sequence[Example]) -> list[float]:
        ids = torch.zeros((len(examples), max(len(example.ids) for example in examples)), dtype=torch.long)
        learnt = torch.zeros_like(ids, dtype=torch.bool)
        for row, example in enumerate(examples):
            ids[row, : len(example.ids)] = torch.tensor(example.ids)
            learnt[row, len(example.ids) - example.learnt : len(example.ids)] = True
        # Padding is at the end, where a causal model does not look: no mask
        states = self._core(input_ids=ids, use_cache=False).last_hidden_state[:, :-1][learnt[:, 1:]]
        losses = cross_entropy(self._head(states).float(), ids[:, 1:][learnt[:, 1:]], reduction="none")
        return [-float(part.double().sum()) for part in losses.split([example.learnt for example in examples])]


def _make_model(recipe: Recipe, pair: Pair) -> tuple[Any, Any]:
    """The model and the tokenizer that the merge's own files describe."""
    with tempfile.TemporaryDirectory() as folder:
        for name, raw in prepare_companions(recipe, pair).files.items():
            (Path(folder) / name).parent.mkdir(exist_ok=True)
            (Path(folder) / name).write_bytes(raw)
        try:
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
            dtype = torch.bfloat16 if multiplies_bfloat16() else torch.float32
            model = AutoModelForCausalLM.from_config(config, dtype=dtype, trust_remote_code=False)
            return model.eval(), AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        except Exception as error:  # the libraries raise all kinds on unexpected content
            reason = (str(error).splitlines() or [""])[0] or type(error).__name__
            raise SearchImpossible(
                f"the merge cannot be loaded here ({reason}). Search on an engine instead: chipalign eval search"
            ) from error


def _find_weights(model: Any, plans: Sequence[TensorPlan]) -> dict[str, Tensor]:
    """The model's memory behind each planned tensor, all of it and no other. Raises SearchImpossible."""
    state: dict[str, Tensor] = model.state_dict()
    names = {plan.name for plan in plans}
    covered = {state[name].data_ptr() for name in names & state.keys()}
    strangers = sorted(names - state.keys()) + sorted(n for n, t in state.items() if t.data_ptr() not in covered)
    if strangers:
        raise SearchImpossible(
            f"{len(strangers)} tensors have other names in memory than on disk, {strangers[0]} for example. Search "
            "on an engine instead: chipalign eval search"
        )
    return {name: state[name] for name in names}


def encode_all(questions: Sequence[Question], tokenizer: Any) -> list[Example]:
    """Each question with each of its answers, one after the other. Raises what encode raises."""
    return [encode(question, n, tokenizer) for question in questions for n in range(len(question.answers))]


def score_answers(
    questions: Sequence[Question], examples: Sequence[Example], likelihoods: Sequence[float]
) -> list[float]:
    """The score of each question; larger is better, 0 the best.

    With several answers: the logarithm of the right one's part of their likelihoods. With one: the mean log-likelihood
    of its tokens. examples, likelihoods: as encode_all gives them, and of the learnt tokens of each.

    Raises SearchImpossible: a likelihood is not finite.
    """
    rest = iter(zip(likelihoods, examples, strict=True))
    scores = []
    for question in questions:
        of_answers = list(islice(rest, len(question.answers)))
        values = np.array([value for value, _ in of_answers])
        if len(values) == 1:
            scores.append(float(values[0]) / of_answers[0][1].learnt)
        else:
            with np.errstate(invalid="ignore"):  # what is not finite is refused below
                scores.append(float(values[question.right] - np.logaddexp.reduce(values)))
    if not all(map(math.isfinite, scores)):
        raise SearchImpossible("a merge finds an answer impossible: its logits are not finite. Look at the parents")
    return scores


def encode(question: Question, number: int, tokenizer: Any) -> Example:
    """A question with one of its answers as tokens, of which the answer's are learnt.

    Raises QuestionsUnusable: there is no chat template for its messages, or the answer changes the prompt's tokens.
    """
    prompt, answer = question.prompt, question.answers[number]
    if not isinstance(prompt, str):
        if not tokenizer.chat_template:
            raise QuestionsUnusable(
                f"question {question.key} has messages, and the merge no chat template. Give it a question instead"
            )
        prompt = str(tokenizer.apply_chat_template(list(prompt), tokenize=False, add_generation_prompt=True))
    ids = tokenizer(prompt, add_special_tokens=isinstance(question.prompt, str))["input_ids"]
    learnt = tokenizer(answer, add_special_tokens=False)["input_ids"]
    if not ids or not learnt:
        raise QuestionsUnusable(f"question {question.key} has no token before its answer, or none in it")
    return Example((*ids, *learnt), len(learnt))
