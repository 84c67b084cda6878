"""Multiple choice by likelihood: the choice that the model finds most likely after the question is its answer.

The rules are those of lm-eval, EleutherAI's evaluation harness, for ARC: the prompt "Question: ...\\nAnswer:" without
examples or chat template, and after it a space and the choice's text. `collect` asks a server in bulk.

    questions = read_questions(Path("mcq.jsonl")); summarize(questions, {"cts-1": [-4.2, -3.9, -7.0, -5.5], ...})
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from serve.evaluation.asking.answers import Row
from serve.evaluation.asking.client import Endpoint, Model
from serve.evaluation.asking.question_file import field_of, read_lines
from serve.evaluation.errors import EndpointRefused

COMPLETIONS_PATH = "/v1/completions"


@dataclass(frozen=True, slots=True)
class Question:
    """A question, its choices, and the index of the right one."""

    key: int | str
    domain: str
    question: str
    choices: list[str]
    answer: int


def read_questions(path: Path) -> dict[int | str, Question]:
    """The questions of a file, by id. Raises QuestionsUnusable: it lists every bad line."""
    return read_lines(path, _parse_question, key=lambda question: question.key)


def _parse_question(row: dict[str, Any]) -> Question:
    choices = field_of(row, "choices", list)
    if len(choices) < 2 or not all(isinstance(choice, str) and choice.strip() for choice in choices):
        raise ValueError('"choices" is not a list of two or more texts')
    if len(set(choices)) < len(choices):
        raise ValueError('"choices" holds the same text twice')
    answer = field_of(row, "answer", int)
    if not 0 <= answer < len(choices):
        raise ValueError(
            f'"answer" is {answer}, which is the index of none of the {len(choices)} choices: they count from 0'
        )
    return Question(
        field_of(row, "id", int, str),
        field_of(row, "domain", str),
        field_of(row, "question", str).strip(),
        choices,
        answer,
    )


async def ask_question(endpoint: Endpoint, model: Model, question: Question) -> Row:
    """The log-likelihood of each choice, and its length in tokens.

    vLLM gives the log-probability of each prompt token (its option prompt_logprobs), so one request with the context
    alone and the context with each choice is enough. A choice's tokens are those beyond the context's, as in lm-eval.

    Raises what `Endpoint.post` raises.
    """
    context = f"Question: {question.question}\nAnswer:"
    texts = [context, *(f"{context} {choice}" for choice in question.choices)]
    body = {
        "model": model.model_id,
        "prompt": texts,
        "max_tokens": 1,
        "temperature": 0,
        "prompt_logprobs": 0,
        "return_token_ids": True,
    }

    reply = await endpoint.post(COMPLETIONS_PATH, body)
    try:
        alone, *wholes = sorted(reply["choices"], key=lambda choice: int(choice["index"]))
        start = len(alone["prompt_token_ids"])
        sums = [add_logprobs(whole["prompt_token_ids"], whole["prompt_logprobs"], start) for whole in wholes]
        if len(sums) != len(question.choices):
            raise ValueError("an answer for each choice is missing")
    except (KeyError, IndexError, TypeError, ValueError):
        reason = "gives no prompt_logprobs with token ids, which vLLM does"
        raise EndpointRefused(
            f"what answers at {endpoint.url} {reason}: give the URL of a vLLM server, not of a gateway"
        ) from None

    return {"loglikelihoods": sums, "tokens": [len(whole["prompt_token_ids"]) - start for whole in wholes]}


def add_logprobs(token_ids: Sequence[int], logprobs: Sequence[Mapping[str, Any] | None], start: int) -> float:
    """The log-likelihood of the tokens from `start` on.

    logprobs: vLLM's entry for each prompt token, None for the first.

    Raises:
        ValueError: there is no token from `start` on.
        KeyError: the prompt's own token is not among those listed.
    """
    pairs = list(zip(token_ids, logprobs, strict=True))[start:]
    if not pairs:
        raise ValueError("no token is left")
    return sum(float((entry or {})[str(token_id)]["logprob"]) for token_id, entry in pairs)


def choose(loglikelihoods: Sequence[float], choices: Sequence[str], *, normalised: bool) -> int:
    """The index of the likeliest choice; the first of equals.

    normalised: per character of the choice, as in lm-eval's acc_norm.
    """
    scores = [
        value / len(choice) if normalised else value for value, choice in zip(loglikelihoods, choices, strict=True)
    ]
    return scores.index(max(scores))


def summarize(
    questions: Mapping[int | str, Question], loglikelihoods: Mapping[int | str, Sequence[float]]
) -> dict[str, Any]:
    """acc and acc_norm with intervals, overall and per domain, the guessing rate, and every question's results."""
    values: list[dict[str, Any]] = []
    for key, question in questions.items():
        picked = {
            name: choose(loglikelihoods[key], question.choices, normalised=name == "acc_norm")
            for name in ("acc", "acc_norm")
        }
        right = {name: int(choice == question.answer) for name, choice in picked.items()}
        values.append({"key": key, "domain": question.domain, **right, "guess": 1 / len(question.choices)})
    domains = sorted({question.domain for question in questions.values()})
    measures = {"all": _estimate(values)} | {
        domain: _estimate([value for value in values if value["domain"] == domain]) for domain in domains
    }
    return {
        "measures": measures,
        "values": [{name: item for name, item in value.items() if name != "guess"} for value in values],
    }


def _estimate(values: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    import numpy as np

    from serve.evaluation.asking.intervals import estimate_ratios

    table = np.array([[value["acc"], value["acc_norm"]] for value in values], dtype=np.float64)
    acc, acc_norm = estimate_ratios(table, np.ones_like(table))
    guess = sum(value["guess"] for value in values) / len(values)
    return {"questions": len(values), "acc": asdict(acc), "acc_norm": asdict(acc_norm), "guessing": guess}
