"""`chipalign bench`: the demo pair merged, a synthetic pair merged beside plain copies, the handbook indexed, searches timed, and the time to
first token through the gateway and directly at the engine, asked in turn in one run; in full also the demo pair beside its merges
(`chipalign eval table --quick`). Everything is made in a temporary home; nothing of the
user's is touched.

Figures depend on the machine, so the document names it. No test asserts them.

    asyncio.run(run_bench(settings, data_dir, questions=20, full=False, console=console))
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from rag.embed_bench import compare_embedding
from rag.retriever import Retriever
from rag.settings import RagSettings
from serve.chat import ground
from serve.errors import StepFailed
from serve.machine import machine
from serve.protocol import parse_chat_request
from serve.settings import ServeSettings
from serve.sse import DONE, read_events
from serve.step import CHIPALIGN
from serve.supervisor import Supervisor
from serve.tokens import TokenCounter
from serve.up import engine_part, gateway_part, is_free, say

SEARCH_ROUNDS = 3  # every question of the set is searched this often
ANSWER_TOKENS = 16  # only the first token is timed


async def run_bench(settings: ServeSettings, data_dir: Path, questions: int, full: bool, console: Console) -> None:
    """Measure everything and write one JSON document as the last line of stdout. full: 1.1 B parameters merged beside mergekit and the table too."""
    with tempfile.TemporaryDirectory(prefix="chipalign-bench-") as folder:
        gateway_port, engine_port = free_ports(2)
        settings = dataclasses.replace(
            settings, home=Path(folder), host="127.0.0.1", gateway_port=gateway_port, engine_port=engine_port,
            engine_url="", engine_key="", public_url="", api_key="", checkpoint="", index="",
            engine_args="--no-enable-prefix-caching",  # every prompt is computed, whoever asks first
            answer="model",
        )  # fmt: skip
        env = settings.child_env()
        say(console, "merging the demo pair, twice: the first run de-quantises the parents too")
        merge = [measure(["merge", str(data_dir / "recipes" / "demo.toml"), "--out", str(settings.checkpoint_dir), "--force"], env) for _ in range(2)]
        bench = ["merge", "bench", *([] if full else ["--quick"])]
        say(console, f"merging a synthetic pair beside {'mergekit and ' if full else ''}plain copies (`chipalign {' '.join(bench)}`)")
        merge_bench = measure(bench, env)["summary"]
        say(console, "indexing the handbook")
        index = measure(["index", "build", "--out", str(settings.index_dir), str(data_dir / "handbook")], env)
        asked = read_questions(data_dir / "eval" / "starter.jsonl")
        retriever = Retriever.open(settings.index_dir, RagSettings.from_env(env))
        say(console, "embedding passages, beside sentence-transformers' own encode")
        embedding = compare_embedding(settings.index_dir, RagSettings.from_env(env))
        say(console, f"searching {len(asked)} questions {SEARCH_ROUNDS} times")
        search = time_searches(retriever, asked)
        say(console, f"starting engine and gateway, then asking {questions} questions of each in turn")
        ttft = await time_first_tokens(settings, env, retriever, [text for text in asked if retriever.search(text)][:questions])
        table = compare_models(settings, data_dir, env, console) if full else None
    document = {
        **machine(),
        "merge": merge[-1],
        "merge_first": merge[0],
        "merge_bench": merge_bench,
        "index": index,
        "embedding": embedding,
        "search": search,
        "ttft": ttft,
        "table": table,
    }
    sys.stdout.write(json.dumps(document) + "\n")


def compare_models(settings: ServeSettings, data_dir: Path, env: dict[str, str], console: Console) -> dict[str, Any]:
    """The demo's parents and merges measured on a few questions each, about the handbook's index and by multiple choice."""
    arguments = ["eval", "table", str(data_dir / "recipes" / "demo.toml"), "--quick", "--index", str(settings.index_dir)]
    say(console, "comparing chat, chip, linear and geodesic on a few questions")
    measured = measure([*arguments, "--out", str(settings.home / "table")], env)
    return {**measured, "summary": {name: measured["summary"][name] for name in ("rows", "differences", "answers", "theta_degrees")}}


def free_ports(count: int) -> list[int]:
    """Ports that are free now."""
    ports = [port for port in random.sample(range(20000, 60000), 50) if is_free("127.0.0.1", port)]
    return ports[:count]


def measure(arguments: Sequence[str], env: dict[str, str]) -> dict[str, Any]:
    """Run one of our commands; its own summary, with wall time and peak resident memory of the whole process.

    Raises:
        StepFailed: the command failed.
    """
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output, subprocess.Popen([*CHIPALIGN, *arguments, "--json"], env=env, stdout=output) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise StepFailed(f"`chipalign {' '.join(arguments)}` failed, for the reason above")
        output.seek(0)
        summary = json.load(output)
    return {"wall_s": round(time.perf_counter() - started, 2), "peak_mb": round(used.ru_maxrss / 1024), "summary": summary}


def read_questions(path: Path) -> list[str]:
    """The questions of an evaluation file that have an answer, in an order that does not follow the file."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    questions = [row["question"] for row in rows if row.get("answerable", True)]
    random.Random(0).shuffle(questions)
    return questions


def time_searches(retriever: Retriever, questions: Sequence[str]) -> dict[str, float]:
    """p50 and p95 of a search in milliseconds, the model loaded and warm."""
    retriever.search(questions[0])
    times_ms = []
    for question in [*questions] * SEARCH_ROUNDS:
        started = time.perf_counter()
        retriever.search(question)
        times_ms.append(1000 * (time.perf_counter() - started))
    return {"chunks": retriever.chunk_count, **quantiles(times_ms)}


def quantiles(times_ms: Sequence[float]) -> dict[str, float]:
    """p50 and p95, in milliseconds."""
    cuts = statistics.quantiles(times_ms, n=20, method="inclusive")
    return {"n": len(times_ms), "p50_ms": round(statistics.median(times_ms), 2), "p95_ms": round(cuts[18], 2)}


async def time_first_tokens(settings: ServeSettings, env: dict[str, str], retriever: Retriever, questions: Sequence[str]) -> dict[str, Any]:
    """Ask each question through the gateway and, with the very prompt that the gateway makes of it, directly at the engine, in turn."""
    counter = TokenCounter.load(settings.checkpoint_dir)
    started = time.monotonic()
    client = httpx.AsyncClient(timeout=settings.read_timeout_s, trust_env=False)
    async with Supervisor(lambda state: None, settings.start_timeout_s) as supervisor, client:
        for part in (engine_part(settings, env), gateway_part(settings, env)):
            supervisor.start(part)
        await supervisor.wait_ready()
        ready_s = time.monotonic() - started
        gateway: list[float] = []
        direct: list[float] = []
        prompt_tokens: list[int] = []
        for number, question in enumerate([questions[0], *questions]):
            body = {"model": settings.model_id, "messages": [{"role": "user", "content": question}], "stream": True, "max_tokens": ANSWER_TOKENS}
            grounded = ground(parse_chat_request(json.dumps(body).encode()), retriever, counter, settings, await context_window(client, settings))
            pairs = [(gateway, settings.gateway_base_url, body), (direct, settings.engine_base_url, grounded.body)]
            for times, url, each in pairs if number % 2 else pairs[::-1]:
                times.append(await first_token_ms(client, url, each))
            prompt_tokens.append(grounded.prompt_tokens)
    through, at_engine = quantiles(gateway[1:]), quantiles(direct[1:])  # the first question warms both up
    return {
        "ready_s": round(ready_s, 1),
        "prompt_tokens_median": statistics.median(prompt_tokens[1:]),
        "gateway": through,
        "direct": at_engine,
        "gateway_minus_direct_ms_p50": round(statistics.median(a - b for a, b in zip(gateway[1:], direct[1:], strict=True)), 2),
        "ratio_p50": round(through["p50_ms"] / at_engine["p50_ms"], 3),
    }


async def context_window(client: httpx.AsyncClient, settings: ServeSettings) -> int:
    """The engine's context window in tokens."""
    models = (await client.get(f"{settings.engine_base_url}/v1/models")).json()
    return int(models["data"][0]["max_model_len"])


async def first_token_ms(client: httpx.AsyncClient, url: str, body: dict[str, Any]) -> float:
    """Milliseconds from the request to the first delta with text; the rest of the answer is read and dropped.

    Raises:
        StepFailed: the answer holds no text.
    """
    started, first = time.perf_counter(), 0.0
    async with client.stream("POST", f"{url}/v1/chat/completions", json=body) as response:
        response.raise_for_status()
        async for data in read_events(response.aiter_bytes()):
            if not first and data != DONE and any(choice["delta"].get("content") for choice in json.loads(data)["choices"]):
                first = time.perf_counter()
    if not first:
        raise StepFailed(f"{url} gave an answer without text: is the model right?")
    return 1000 * (first - started)
