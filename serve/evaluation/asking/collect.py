"""Collects an evaluation's answers: takes those in the answers file, asks for the rest concurrently, and keeps them.

It knows neither the questions nor which answers are good; `ifeval` and `mcq` do.

    collected = collect(job, {prompt.key: prompt for prompt in prompts}, ask, settings.home)
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

from rag.progress import show_count
from serve.evaluation.asking.answers import AnswersFile, Row
from serve.evaluation.asking.client import Endpoint, Model, ask_all
from serve.evaluation.errors import EndpointRefused

Item = TypeVar("Item")
Key = int | str


@dataclass(frozen=True, slots=True)
class Job:
    """The server to ask, the questions and their settings.

    parameters: all else that an answer depends on, such as its maximum length; fields: the fields of each answer.
    """

    evaluation: str
    questions: Path
    url: str
    model_id: str | None
    api_key: str
    concurrency: int
    answers: Path | None
    parameters: Mapping[str, Any]
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Collected:
    """All answers by key, in the order of the questions.

    resumed: how many of them the file held already; seconds: the time for the others.
    """

    rows: dict[Key, Row]
    model: Model
    settings: Row
    answers: Path
    resumed: int
    seconds: float


def collect(
    job: Job, items: Mapping[Key, Item], ask: Callable[[Endpoint, Model, Item], Awaitable[Row]], home: Path
) -> Collected:
    """Every item's answer. ask: gives an answer's fields, to which the key and the milliseconds are added.

    Without a file the answers go to HOME/evaluations, under a name made from the settings, so that the same command
    finds them again.

    Raises what `Endpoint` and `AnswersFile` raise: the answers so far are in the file.
    """
    return asyncio.run(_collect(job, items, ask, home))


async def _collect(
    job: Job, items: Mapping[Key, Item], ask: Callable[[Endpoint, Model, Item], Awaitable[Row]], home: Path
) -> Collected:
    async with Endpoint(job.url, job.api_key) as endpoint:
        model = await endpoint.find_model(job.model_id)
        settings = describe_job(job, model)
        path = job.answers or home / "evaluations" / name_answers(settings)
        with AnswersFile.open(path, settings, key="key", check=itemgetter(*job.fields, "ms")) as answers:
            rows = {key: answers.rows[key] for key in items if key in answers.rows}
            resumed = len(rows)
            sys.stderr.write(
                f"model {model.model_id} at {endpoint.url}; answers in {path}"
                + (f", {resumed} there already\n" if resumed else "\n")
            )
            started = time.monotonic()
            with show_count("answered") as show:

                def keep(key: Key, row: Row, ms: float) -> None:
                    """Keep an answer and show the progress."""
                    rows[key] = {"key": key, **row, "ms": round(ms, 1)}
                    answers.keep(rows[key])
                    show(len(rows), len(items))

                missing = [key for key in items if key not in rows]
                await _ask_missing(missing, lambda key: ask(endpoint, model, items[key]), keep, job.concurrency)
    return Collected({key: rows[key] for key in items}, model, settings, path, resumed, time.monotonic() - started)


async def _ask_missing(
    missing: list[Key], ask: Callable[[Key], Awaitable[Row]], keep: Callable[[Key, Row, float], None], concurrency: int
) -> None:
    """Ask for the missing answers; a refusal names its question."""

    async def ask_named(key: Key) -> Row:
        """One question's answer."""
        try:
            return await ask(key)
        except EndpointRefused as error:
            raise type(error)(f"question {key}: {error}") from None

    await ask_all(missing, ask_named, keep, concurrency)


def describe_job(job: Job, model: Model) -> Row:
    """The settings of an answers file. The URL is not part of them: the model may be served elsewhere tomorrow."""
    content = job.questions.read_bytes()
    return {
        "evaluation": job.evaluation,
        "questions_sha256": hashlib.sha256(content).hexdigest(),
        "model": model.describe(),
        **job.parameters,
    }


def name_answers(settings: Row) -> str:
    """A file name for answers of these settings: readable, and different for other settings."""
    model = re.sub(r"[^A-Za-z0-9._-]+", "-", settings["model"]["model_id"]).strip("-.") or "model"
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    return f"{settings['evaluation']}-{model[:60]}-{digest[:12]}.jsonl"
