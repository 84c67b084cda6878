"""IFEval (Zhou et al., arXiv 2311.07911): prompts whose instructions a program can check, asked of a chat model.

`collect` asks a server in bulk; the checks are lm-eval's.

    prompts = read_prompts(Path("dev.jsonl")); summarize(prompts, {1000: "the answer", ...}, load_checker())
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rag.errors import QuestionsUnusable
from rag.printable import printable
from serve.evaluation.asking.answers import Row
from serve.evaluation.asking.client import Endpoint, Model
from serve.evaluation.asking.question_file import field_of, list_problems, read_lines
from serve.evaluation.model.chat import ask_chat
from serve.evaluation.model.ifeval_checker import Check

MAX_TOKENS = 1280  # lm-eval's limit for this task, so that figures compare
# lm-eval's names
LEVELS = ("prompt_level_strict_acc", "inst_level_strict_acc", "prompt_level_loose_acc", "inst_level_loose_acc")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt with its instructions, and for each of them the values that its check needs."""

    key: int | str
    prompt: str
    instruction_id_list: list[str]
    kwargs: list[dict[str, Any]]


def read_prompts(path: Path) -> dict[int | str, Prompt]:
    """The prompts of a file in IFEval's own format, by key. Raises QuestionsUnusable: it lists every bad line."""
    return read_lines(path, _parse_prompt, key=lambda prompt: prompt.key)


def _parse_prompt(row: dict[str, Any]) -> Prompt:
    instructions = field_of(row, "instruction_id_list", list)
    kwargs = field_of(row, "kwargs", list)
    if not instructions or not all(isinstance(instruction, str) for instruction in instructions):
        raise ValueError('"instruction_id_list" is not a list of names')
    if len(kwargs) != len(instructions) or not all(isinstance(values, dict) for values in kwargs):
        raise ValueError(f'"kwargs" does not hold an object for each of the {len(instructions)} instructions')
    return Prompt(field_of(row, "key", int, str), field_of(row, "prompt", str), instructions, kwargs)


def try_checks(prompts: Mapping[int | str, Prompt], check: Check, source: str) -> None:
    """Run every check once on a made-up answer, to find prompts that cannot be checked before hours of asking.

    Raises QuestionsUnusable: it names the keys.
    """
    problems = []
    for prompt in prompts.values():
        try:
            check(asdict(prompt), ["A made-up answer."])
        except KeyError as error:
            problems.append(f"prompt {prompt.key}: there is no check for {error}")
        # The checks are another project's and raise anything for unexpected values
        except Exception as error:
            reason = f"{type(error).__name__}: {printable(str(error))}"
            problems.append(f"prompt {prompt.key}: its checks refuse their values ({reason})")
    if problems:
        raise QuestionsUnusable(f"{source}: {list_problems(problems)}")


async def ask_prompt(endpoint: Endpoint, model: Model, prompt: Prompt, max_tokens: int) -> Row:
    """The model's answer at temperature 0: text, finish reason, and its length in tokens.

    Raises what `Endpoint.post` raises.
    """
    return await ask_chat(endpoint, model, [{"role": "user", "content": prompt.prompt}], max_tokens)


def summarize(prompts: Mapping[int | str, Prompt], responses: Mapping[int | str, str], check: Check) -> dict[str, Any]:
    """The four accuracies with intervals, the share of followed instructions per kind, and every prompt's results.

    A prompt counts as followed if all its instructions are. Loose: as strict, but an answer's first and last line and
    its asterisks may be left out.
    """
    import numpy as np

    from serve.evaluation.asking.intervals import estimate_ratios

    results = {key: check(asdict(prompt), [responses[key]]) for key, prompt in prompts.items()}
    sums = np.array([[float(np.sum(result[level])) for level in LEVELS] for result in results.values()])
    counts = np.array([[float(np.size(result[level])) for level in LEVELS] for result in results.values()])
    estimates = estimate_ratios(sums, counts)
    return {
        "measures": {level: asdict(estimate) for level, estimate in zip(LEVELS, estimates, strict=True)},
        "kinds": _count_kinds(prompts, results),
        "values": [
            {"key": key, "strict": result[LEVELS[1]], "loose": result[LEVELS[3]]} for key, result in results.items()
        ],
    }


def _count_kinds(
    prompts: Mapping[int | str, Prompt], results: Mapping[int | str, dict[str, Any]]
) -> dict[str, dict[str, int]]:
    """Per kind of instruction (its name before the colon): how many there are, and how many were followed."""
    kinds: dict[str, dict[str, int]] = {}
    for key, prompt in prompts.items():
        for name, strict, loose in zip(
            prompt.instruction_id_list, results[key][LEVELS[1]], results[key][LEVELS[3]], strict=True
        ):
            kind = kinds.setdefault(name.split(":")[0], {"instructions": 0, "strict": 0, "loose": 0})
            kind["instructions"] += 1
            kind["strict"] += strict
            kind["loose"] += loose
    return dict(sorted(kinds.items()))
