"""`chipalign bench`: times merges, indexing, searches, the first token and whole answers.

It merges the demo pair, and a synthetic pair beside plain copies; indexes the handbook; reads documents of each format
at three sizes; times searches; times the first token through the gateway and directly at the engine, asked in turn in
one run; measures both under load; and times answers in quotes and in auto beside plain searches. In full it also
compares the demo pair with its merges (`chipalign eval table --quick`). Everything lies in a temporary home; it touches
nothing of the user's. Figures depend on the machine, so the document names it. No test asserts them.

    asyncio.run(run_bench(settings, data_dir, questions=20, full=False, console=console))
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from rag.embedding.embedder_choice import open_embedder
from rag.measuring.embed_bench import compare_embedding
from rag.measuring.reading_bench import measure_reading
from rag.search.retriever import Retriever
from rag.settings import RagSettings
from serve.answers.chat import ground
from serve.errors import StepFailed
from serve.protocol import parse_chat_request
from serve.running.load_bench import IN_FLIGHT, LOAD_OPTIONS, Pair, time_load
from serve.running.machine import machine
from serve.running.step import CHIPALIGN
from serve.running.supervisor import Supervisor
from serve.running.up import engine_part, gateway_part, is_free, say
from serve.settings import ServeSettings
from serve.sse import DONE, read_events
from serve.tokens.counter import TokenCounter

SEARCH_ROUNDS = 3  # passes over the whole question set
ANSWER_TOKENS = 16  # only the first token is timed
READ_TIMEOUT_S = 900.0  # a slow machine is measured, and not refused
LOADED_QUESTIONS = 64  # asked of both under load, twice
QUOTED_QUESTIONS = 60  # answered in quotes
AUTO_QUESTIONS = 5  # answered in auto too, where a sentence is shown once it is complete and checked
AUTO_TOKENS = 64  # about three sentences


async def run_bench(settings: ServeSettings, data_dir: Path, questions: int, full: bool, console: Console) -> None:
    """Measure everything and write one JSON document as the last line of stdout.

    full: also merge 1.1 B parameters beside mergekit, and make the table.
    """
    with tempfile.TemporaryDirectory(prefix="chipalign-bench-") as folder:
        settings = bench_settings(settings, Path(folder))
        env = settings.child_env()

        say(console, "merging the demo pair, twice: the first run de-quantises the parents too")
        demo = ["merge", str(data_dir / "recipes" / "demo.toml"), "--out", str(settings.checkpoint_dir), "--force"]
        merge = [measure(demo, env) for _ in range(2)]
        bench = ["merge", "bench", *([] if full else ["--quick"])]
        beside = "mergekit and plain copies" if full else "plain copies"
        say(console, f"merging a synthetic pair beside {beside} (`chipalign {' '.join(bench)}`)")
        merge_bench = measure(bench, env)["summary"]

        say(console, "indexing the handbook")
        index = measure(["index", "build", "--out", str(settings.index_dir), str(data_dir / "handbook")], env)
        asked = read_questions(data_dir / "eval" / "starter.jsonl")
        retriever = Retriever.open(settings.index_dir, RagSettings.from_env(env))
        say(console, "reading and cutting documents of 1, 2 and 4 MB of each format")
        reading = measure_reading(open_embedder(RagSettings.from_env(env)), RagSettings.from_env(env))
        say(console, "embedding passages, beside sentence-transformers' own encode")
        embedding = compare_embedding(settings.index_dir, RagSettings.from_env(env))

        say(console, f"searching {len(asked)} questions {SEARCH_ROUNDS} times")
        search = time_searches(retriever, asked)
        found = [text for text in asked if retriever.search(text)]

        client = httpx.AsyncClient(timeout=settings.read_timeout_s, trust_env=False)
        async with Supervisor(lambda state: None, settings.start_timeout_s) as supervisor, client:
            say(console, f"starting engine and gateway, then asking {questions} questions of each in turn")
            ready_s = await start_both(settings, supervisor)
            ttft = {"ready_s": ready_s, **await time_first_tokens(client, settings, retriever, found[:questions])}
            say(
                console,
                f"asking {LOADED_QUESTIONS} questions with {IN_FLIGHT} in flight, of gateway and engine in turn",
            )
            load = await time_load(client, settings, await pair_up(client, settings, retriever, found))
            quoted = found[:QUOTED_QUESTIONS]
            say(console, f"asking {len(quoted)} questions in quotes and {AUTO_QUESTIONS} in auto, each beside a search")
            answers = await time_answers(client, settings, retriever, quoted)
        table = compare_models(settings, data_dir, env, console) if full else None
    document = {
        **machine(),
        "merge": merge[-1],
        "merge_first": merge[0],
        "merge_bench": merge_bench,
        "index": index,
        "reading": reading,
        "embedding": embedding,
        "search": search,
        "ttft": ttft,
        "load": load,
        "answers": answers,
        "table": table,
    }
    sys.stdout.write(json.dumps(document) + "\n")


def bench_settings(settings: ServeSettings, home: Path) -> ServeSettings:
    """The settings with the benchmark's own home, ports, engine and documents."""
    gateway_port, engine_port = free_ports(2)
    return dataclasses.replace(
        settings,
        home=home,
        host="127.0.0.1",
        gateway_port=gateway_port,
        engine_port=engine_port,
        engine_url="",
        engine_key="",
        public_url="",
        api_key="",
        checkpoint="",
        index="",
        engine_args="--no-enable-prefix-caching",  # computes every prompt, whoever asks first
        answer="model",
        read_timeout_s=READ_TIMEOUT_S,
    )


def compare_models(settings: ServeSettings, data_dir: Path, env: dict[str, str], console: Console) -> dict[str, Any]:
    """Compare the demo's parents and merges on a few questions about the handbook's index and by multiple choice."""
    recipe, table = data_dir / "recipes" / "demo.toml", settings.home / "table"
    say(console, "comparing chat, chip, linear and geodesic on a few questions")
    command = ["eval", "table", str(recipe), "--quick", "--index", str(settings.index_dir), "--out", str(table)]
    measured = measure(command, env)
    summary = {name: measured["summary"][name] for name in ("rows", "differences", "answers", "theta_degrees")}
    return {**measured, "summary": summary}


def free_ports(count: int) -> list[int]:
    """Ports that are currently free."""
    ports = [port for port in random.sample(range(20000, 60000), 50) if is_free("127.0.0.1", port)]
    return ports[:count]


def measure(arguments: Sequence[str], env: dict[str, str]) -> dict[str, Any]:
    """Run one of our commands; returns its summary with wall time and peak resident memory of the whole process.

    Raises StepFailed: the command failed.
    """
    started = time.perf_counter()
    with (
        tempfile.TemporaryFile("w+") as output,
        subprocess.Popen([*CHIPALIGN, *arguments, "--json"], env=env, stdout=output) as process,
    ):
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise StepFailed(f"`chipalign {' '.join(arguments)}` failed, for the reason above")
        output.seek(0)
        summary = json.load(output)
    wall_s, peak_mb = round(time.perf_counter() - started, 2), round(used.ru_maxrss / 1024)
    return {"wall_s": wall_s, "peak_mb": peak_mb, "summary": summary}


def read_questions(path: Path) -> list[str]:
    """The questions of an evaluation file that have an answer, in an order independent of the file's."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    questions = [row["question"] for row in rows if row.get("answerable", True)]
    random.Random(0).shuffle(questions)
    return questions


def time_searches(retriever: Retriever, questions: Sequence[str]) -> dict[str, float]:
    """p50 and p95 of a search in milliseconds, with the model loaded and warm."""
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


async def start_both(settings: ServeSettings, supervisor: Supervisor) -> float:
    """Start engine and gateway; returns the seconds until both are ready.

    The gateway gets the tokenizer alone: with the weights it would answer in quotes, since the model is small.
    """
    tokenizer_dir = settings.home / "tokenizer"
    shutil.copytree(settings.checkpoint_dir, tokenizer_dir, ignore=shutil.ignore_patterns("*.safetensors"))
    answering = dataclasses.replace(settings, checkpoint=str(tokenizer_dir), answer="auto")
    started = time.monotonic()
    for part in (engine_part(settings, settings.child_env()), gateway_part(answering, answering.child_env())):
        supervisor.start(part)
    await supervisor.wait_ready()
    return round(time.monotonic() - started, 1)


def request_body(settings: ServeSettings, question: str, answer: str, **options: Any) -> dict[str, Any]:
    """The body of a question with the answer mode `answer`: quote, model or auto."""
    messages = [{"role": "user", "content": question}]
    return {"model": settings.model_id, "messages": messages, "retrieval": {"answer": answer}, **options}


async def time_first_tokens(
    client: httpx.AsyncClient, settings: ServeSettings, retriever: Retriever, questions: Sequence[str]
) -> dict[str, Any]:
    """Ask each question through the gateway and, with the gateway's own prompt, directly at the engine, in turn."""
    counter = TokenCounter.load(settings.checkpoint_dir)
    window = await context_window(client, settings)
    gateway: list[float] = []
    direct: list[float] = []
    prompt_tokens: list[int] = []
    for number, question in enumerate([questions[0], *questions]):
        body = request_body(settings, question, "model", stream=True, max_tokens=ANSWER_TOKENS)
        grounded = ground(parse_chat_request(json.dumps(body).encode()), retriever, counter, settings, window)
        pairs = [(gateway, settings.gateway_base_url, body), (direct, settings.engine_base_url, grounded.body)]
        for times, url, each in pairs if number % 2 else pairs[::-1]:
            times.append(await first_token_ms(client, url, each))
        prompt_tokens.append(grounded.prompt_tokens)

    through, at_engine = quantiles(gateway[1:]), quantiles(direct[1:])  # the first question warms both up
    return {
        "prompt_tokens_median": statistics.median(prompt_tokens[1:]),
        "gateway": through,
        "direct": at_engine,
        "gateway_minus_direct_ms_p50": round(
            statistics.median(a - b for a, b in zip(gateway[1:], direct[1:], strict=True)), 2
        ),
        "ratio_p50": round(through["p50_ms"] / at_engine["p50_ms"], 3),
    }


async def pair_up(
    client: httpx.AsyncClient, settings: ServeSettings, retriever: Retriever, questions: Sequence[str]
) -> list[Pair]:
    """Requests to the gateway, each with the same to the engine: one passage, and no grammar that only one way has."""
    counter, window = TokenCounter.load(settings.checkpoint_dir), await context_window(client, settings)
    pairs: list[Pair] = []
    for question in islice(cycle(questions), LOADED_QUESTIONS):
        body = request_body(settings, question, "model", **LOAD_OPTIONS)
        body["retrieval"] |= {"top_k": 1, "grammar": False}
        grounded = ground(parse_chat_request(json.dumps(body).encode()), retriever, counter, settings, window)
        pairs.append((body, grounded.body))
    return pairs


async def time_answers(
    client: httpx.AsyncClient, settings: ServeSettings, retriever: Retriever, questions: Sequence[str]
) -> dict[str, Any]:
    """Search each question here, and have the gateway answer it in quotes; the first few also in auto. All in turn.

    Raises StepFailed: the gateway does not answer in auto when a request leaves the mode open.
    """
    ready = (await client.get(f"{settings.gateway_base_url}/ready")).json()
    if ready["answers"] != "auto":
        raise StepFailed(
            f"{settings.gateway_base_url} answers in mode {ready['answers']}: start it with CHIPALIGN_ANSWER=auto"
        )
    search: list[float] = []
    quotes: list[float] = []
    auto: list[float] = []
    for number, question in enumerate([questions[0], *questions]):
        started = time.perf_counter()
        retriever.search(question)
        search.append(1000 * (time.perf_counter() - started))
        quotes.append(await answer_ms(client, settings, request_body(settings, question, "quote")))
        if number <= AUTO_QUESTIONS:
            body = request_body(settings, question, "auto", stream=True, max_tokens=AUTO_TOKENS)
            auto.append(await first_token_ms(client, settings.gateway_base_url, body))

    searched, quoted, first = quantiles(search[1:]), quantiles(quotes[1:]), quantiles(auto[1:])
    return {
        "search": searched,
        "quotes": quoted,
        "quotes_to_search_p50": round(quoted["p50_ms"] / searched["p50_ms"], 2),
        "auto_first_token": first,
        "auto_to_search_p50": round(first["p50_ms"] / searched["p50_ms"], 2),
    }


async def answer_ms(client: httpx.AsyncClient, settings: ServeSettings, body: dict[str, Any]) -> float:
    """Milliseconds from the request to the end of a whole answer."""
    started = time.perf_counter()
    answer = await client.post(f"{settings.gateway_base_url}/v1/chat/completions", json=body)
    took_ms = 1000 * (time.perf_counter() - started)
    answer.raise_for_status()
    return took_ms


async def context_window(client: httpx.AsyncClient, settings: ServeSettings) -> int:
    """The engine's context window in tokens."""
    models = (await client.get(f"{settings.engine_base_url}/v1/models")).json()
    return int(models["data"][0]["max_model_len"])


async def first_token_ms(client: httpx.AsyncClient, url: str, body: dict[str, Any]) -> float:
    """Milliseconds from the request to the first delta with text; the rest of the answer is read and dropped.

    Raises StepFailed: the answer holds no text.
    """
    started, first = time.perf_counter(), 0.0
    async with client.stream("POST", f"{url}/v1/chat/completions", json=body) as response:
        response.raise_for_status()
        async for data in read_events(response.aiter_bytes()):
            if (
                not first
                and data != DONE
                and any(choice["delta"].get("content") for choice in json.loads(data)["choices"])
            ):
                first = time.perf_counter()
    if not first:
        raise StepFailed(f"{url} gave an answer without text: is the model right?")
    return 1000 * (first - started)
