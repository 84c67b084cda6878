"""Judges an evaluation's collected answers concurrently, and keeps each judgement in the file of the answers.

A judgement belongs to its answer's row, under the judge's name, so that several judges can grade the same answers.
`judge` defines a single judgement.

    judge = find_judge(JudgeJob("http://gpu:8000", None, "", 16))
    judged = judge_all(judge, collected, {"grid-01": [case, case]})
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from chipalign_settings import redact
from rag.progress import show_count
from serve.evaluation.asking.answers import AnswersFile, Row
from serve.evaluation.asking.client import Endpoint, Model, ask_all
from serve.evaluation.asking.collect import Collected, Key
from serve.evaluation.errors import EndpointRefused
from serve.evaluation.model.judge import RUBRIC, STEPS, Case, ask_judge

OPTION = "--judge-url"


@dataclass(frozen=True, slots=True)
class JudgeJob:
    """The judge's server and settings. model_id: None means the first that the server lists."""

    url: str
    model_id: str | None
    api_key: str
    concurrency: int


@dataclass(frozen=True, slots=True)
class Judge:
    """A judge that answers at its URL.

    name: the model with a hash of its weights' folder and of the rubric; a judge of another name judges anew.
    """

    job: JudgeJob
    model: Model
    name: str


def find_judge(job: JudgeJob) -> Judge:
    """Find the judge, before the judged model is asked anything.

    If the server lists no models, `model_id` is taken as given.

    Raises EndpointUnreachable, EndpointRefused, ModelUnknown.
    """
    model = asyncio.run(_find_model(job))
    identity = json.dumps([model.model_id, model.root, RUBRIC])
    return Judge(job, model, f"{model.model_id} {hashlib.sha256(identity.encode()).hexdigest()[:12]}")


async def _find_model(job: JudgeJob) -> Model:
    async with Endpoint(job.url, job.api_key, OPTION) as endpoint:
        try:
            return await endpoint.find_model(job.model_id)
        except EndpointRefused:
            if job.model_id is None:
                raise
            return Model(job.model_id, None, None)


def judge_all(
    judge: Judge, collected: Collected, cases: Mapping[Key, Sequence[Case]], fields: tuple[str, ...]
) -> dict[Key, list[Row]]:
    """Each item's verdicts, one per case.

    Verdicts of this judge in the file count, except failed ones: those are asked anew. fields: as in the collection of
    the answers.

    Raises what `Endpoint` and `AnswersFile` raise: the verdicts so far are in the file.
    """
    with AnswersFile.open(collected.answers, collected.settings, key="key", check=itemgetter(*fields, "ms")) as answers:
        return asyncio.run(_judge_all(judge, answers, cases))


async def _judge_all(judge: Judge, answers: AnswersFile, cases: Mapping[Key, Sequence[Case]]) -> dict[Key, list[Row]]:
    units = [(key, turn) for key, of_key in cases.items() for turn in range(len(of_key))]
    missing = [
        (key, turn) for key, turn in units if not _has_score(read_judgement(answers.rows[key], judge.name, turn))
    ]
    there = len(units) - len(missing)
    sys.stderr.write(
        f"judge {judge.model.model_id} at {redact(judge.job.url)}"
        + (f", {there} judgements there already\n" if there else "\n")
    )
    async with Endpoint(judge.job.url, judge.job.api_key, OPTION) as endpoint:
        with show_count("judged") as show:
            done = [there]

            async def ask(unit: tuple[Key, int]) -> Row:
                """One verdict; a refusal names its question."""
                key, turn = unit
                try:
                    return await ask_judge(endpoint, judge.model, cases[key][turn])
                except EndpointRefused as error:
                    raise type(error)(f"the judge, question {key}, turn {turn + 1}: {error}") from None

            def keep(unit: tuple[Key, int], verdict: Row, ms: float) -> None:
                """Keep a verdict with its answer, and show the progress."""
                key, turn = unit
                answers.keep(add_judgement(answers.rows[key], judge.name, turn, verdict))
                done[0] += 1
                show(done[0], len(units))

            await ask_all(missing, ask, keep, judge.job.concurrency)
    return {
        key: [read_judgement(answers.rows[key], judge.name, turn) for turn in range(len(of_key))]
        for key, of_key in cases.items()
    }


def add_judgement(row: Row, name: str, turn: int, verdict: Row) -> Row:
    """A copy of the row of answers with one more verdict."""
    judgements = row.get("judgements", {})
    return {**row, "judgements": {**judgements, name: {**judgements.get(name, {}), str(turn + 1): verdict}}}


def read_judgement(row: Row, name: str, turn: int) -> Row:
    """A judge's verdict on a turn's answer, turns counted from 0; without a score if there is none."""
    found: Any = row
    for step in ("judgements", name, str(turn + 1)):
        found = found.get(step) if isinstance(found, dict) else None
    return found if isinstance(found, dict) and "score" in found else {"score": None, "reason": ""}


def _has_score(verdict: Row) -> bool:
    return verdict["score"] in STEPS
