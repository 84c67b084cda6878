"""The gateway beside the bare engine under load: throughput, and the first token beyond what retrieval takes.

The same prompts go through the gateway, which searches and grounds each question, and directly to the engine, which
gets what the gateway makes of it. So the difference is what the gateway itself costs.

    measured = await time_load(client, settings, pairs)
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from serve.errors import StepFailed
from serve.settings import ServeSettings
from serve.sse import DONE, read_events

IN_FLIGHT = 32
LOAD_OPTIONS: dict[str, Any] = {  # of both ways: answers of one length, which nothing cuts
    "stream": True,
    "stream_options": {"include_usage": True},
    "max_tokens": 32,
    "ignore_eos": True,
}
_RETRIEVAL = re.compile(r"^chipalign_retrieval_seconds_(sum|count) (\S+)$", re.MULTILINE)
Pair = tuple[dict[str, Any], dict[str, Any]]  # a request to the gateway, and the same to the engine


@dataclass(frozen=True)
class Answered:
    """When an answer's first token came, in milliseconds, and how many tokens it had."""

    first_ms: float
    tokens: int


async def time_load(
    client: httpx.AsyncClient, settings: ServeSettings, pairs: Sequence[Pair], in_flight: int = IN_FLIGHT
) -> dict[str, Any]:
    """Ask all both ways with so many in flight: engine, gateway, gateway, engine, so that a drift meets both alike.

    Raises StepFailed: an answer breaks off or has no text.
    """
    to_gateway, to_engine = ([pair[way] for pair in pairs] for way in (0, 1))
    gateway, engine = settings.gateway_base_url, settings.engine_base_url
    await _ask_all(client, gateway, to_gateway[:2], in_flight)  # a first question reads files and compiles
    await _ask_all(client, engine, to_engine[:2], in_flight)
    before = await _retrieval(client, gateway)
    rounds: dict[str, list[tuple[float, list[Answered]]]] = {engine: [], gateway: []}
    for url, bodies in ((engine, to_engine), (gateway, to_gateway), (gateway, to_gateway), (engine, to_engine)):
        rounds[url].append(await _ask_all(client, url, bodies, in_flight))

    sums, counts = (after - was for after, was in zip(await _retrieval(client, gateway), before, strict=True))
    retrieval_ms = 1000 * sums / counts if counts else 0.0
    through, bare = _summarize(rounds[gateway]), _summarize(rounds[engine])
    return {
        "in_flight": in_flight,
        "gateway": through,
        "engine": bare,
        "throughput_ratio": round(through["tokens_per_s"] / bare["tokens_per_s"], 3),
        "retrieval_ms_mean": round(retrieval_ms, 1),
        "first_token_beyond_retrieval_ms": round(through["first_ms_mean"] - bare["first_ms_mean"] - retrieval_ms, 1),
    }


async def _ask_all(
    client: httpx.AsyncClient, url: str, bodies: Sequence[dict[str, Any]], in_flight: int
) -> tuple[float, list[Answered]]:
    """The seconds that all took, and each answer."""
    places, started = asyncio.Semaphore(in_flight), time.perf_counter()

    async def ask(body: dict[str, Any]) -> Answered:
        """One answer, in its place."""
        async with places:
            return await _ask(client, url, body)

    answered = await asyncio.gather(*map(ask, bodies))
    return time.perf_counter() - started, list(answered)


async def _ask(client: httpx.AsyncClient, url: str, body: dict[str, Any]) -> Answered:
    started, first_ms, tokens = time.perf_counter(), 0.0, 0
    async with client.stream("POST", f"{url}/v1/chat/completions", json=body) as response:
        response.raise_for_status()
        async for data in read_events(response.aiter_bytes()):
            event = {} if data == DONE else json.loads(data)
            tokens = (event.get("usage") or {}).get("completion_tokens", tokens)
            if not first_ms and any(choice["delta"].get("content") for choice in event.get("choices") or ()):
                first_ms = 1000 * (time.perf_counter() - started)
    if not first_ms or not tokens:
        raise StepFailed(f"{url} gave an answer without text or without its number of tokens: is the model right?")
    return Answered(first_ms, tokens)


async def _retrieval(client: httpx.AsyncClient, url: str) -> tuple[float, float]:
    """The seconds that the gateway has spent on retrieval so far, and how often."""
    found = dict(_RETRIEVAL.findall((await client.get(f"{url}/metrics")).text))
    return float(found.get("sum", 0.0)), float(found.get("count", 0.0))


def _summarize(rounds: Sequence[tuple[float, Sequence[Answered]]]) -> dict[str, float]:
    firsts = [one.first_ms for _, answered in rounds for one in answered]
    tokens = sum(one.tokens for _, answered in rounds for one in answered)
    return {
        "asked": len(firsts),
        "tokens_per_s": round(tokens / sum(seconds for seconds, _ in rounds), 1),
        "first_ms_mean": round(statistics.fmean(firsts), 1),
        "first_ms_p50": round(statistics.median(firsts), 1),
    }
