"""The subcommands `serve`, `up`, `doctor` and `bench`: options in, exit code out.

They parse and hand on; `app`, `up`, `doctor` and `bench` do the work.

    chipalign up --mirror /srv/mirror --page-port 8600
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import logging
import signal
import sys
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rag.data_folder import DATA
from serve.errors import PortTaken, ServeError
from serve.settings import ServeSettings

LOOPBACK = ("127.0.0.1", "localhost", "::1")
UP_OPTIONS = (
    *("home", "host", "gateway_port", "engine_port", "page_port", "public_url"),
    *("engine_url", "model_id", "checkpoint", "index", "corpora", "sources", "mirror"),
)
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def with_options(
    parser: argparse.ArgumentParser, argv: list[str], names: tuple[str, ...]
) -> tuple[ServeSettings, argparse.Namespace]:
    """Settings from the environment; options named after their fields override them (`--page-port`, `page_port`)."""
    for item in dataclasses.fields(ServeSettings):
        if item.name in names:
            help_text = f"{item.metadata['help']} ({item.metadata['env']})"
            parser.add_argument("--" + item.name.replace("_", "-"), metavar="VALUE", help=help_text)
    options = parser.parse_args(argv)
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    return ServeSettings.from_env(options=given), options


def serve(argv: list[str]) -> int:
    """`chipalign serve`: run the gateway until it is stopped."""
    parser = argparse.ArgumentParser(
        prog="chipalign serve", description="Run the OpenAI-compatible gateway in front of a vLLM engine."
    )
    settings, _ = with_options(
        parser, argv, ("host", "gateway_port", "engine_url", "public_url", "model_id", "checkpoint", "index", "top_k")
    )
    from rag.search.live import LiveRetriever
    from rag.settings import RagSettings
    from serve.gateway.app import create_app
    from serve.gateway.connections import make_server, raise_open_files
    from serve.log_lines import LineFormatter
    from serve.running.up import is_free
    from serve.running.weights import AnswerChoice
    from serve.tokens.counter import TokenCounter

    if not is_free(settings.host, settings.gateway_port):
        raise PortTaken(f"port {settings.gateway_port} (gateway) is taken: choose another with --gateway-port")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # scripts start background jobs with SIGINT ignored
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # with an index it means: look for a newer one
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for library in ("httpx", "mcp"):
        logging.getLogger(library).setLevel(logging.WARNING)
    if settings.host not in LOOPBACK and not settings.api_key:
        logging.getLogger("chipalign.gateway").warning(
            "listening on %s without an API key: set CHIPALIGN_API_KEY", settings.host
        )
    with ThreadPoolExecutor(1) as beside:
        reading = beside.submit(TokenCounter.load, settings.checkpoint_dir)
        try:
            retriever = LiveRetriever.open(settings.index_dir, RagSettings.from_env())
        finally:  # where both fail, the tokenizer's error is the one that is said
            counter = reading.result()
    choice = AnswerChoice(settings.answer, settings.checkpoint_dir)
    settings = dataclasses.replace(settings, answer=choice.mode())
    app = create_app(settings, retriever.current, counter, choose_answer=choice.mode, reopen=retriever.look)
    signal.signal(signal.SIGHUP, lambda *_: retriever.look_soon())
    raise_open_files()
    with retriever.watched():
        make_server(app, settings).run()
    return 0


def up(argv: list[str]) -> int:
    """`chipalign up`: prepare and run everything, and stop it on Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="chipalign up", description="Merge, index, then run engine, gateway and page until Ctrl-C."
    )
    parser.add_argument(
        "--recipe",
        type=Path,
        default=DATA / "recipes" / "demo.toml",
        help="what to merge (default: the demo pair)",
    )
    settings, options = with_options(parser, argv, UP_OPTIONS)
    if not options.recipe.is_file():
        raise ServeError(
            f"there is no recipe {options.recipe}: give --recipe a TOML file such as data/recipes/demo.toml"
        )
    from rich.console import Console

    from serve.running.up import run_up

    console = Console()
    if not asyncio.run(until_signal(run_up(settings, options.recipe, DATA, console))):
        console.print("stopped; nothing is left running", highlight=False)
    return 0


async def until_signal(work: Coroutine[Any, Any, None]) -> bool:
    """Run the work; the first SIGINT, SIGTERM or SIGHUP cancels it and lets it clean up.

    Returns whether it ended by itself.
    """
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()

    def stop_once() -> None:
        """Cancel the work at the first signal and ignore the others."""
        for number in STOPPING:
            # An impatient second Ctrl-C must not interrupt the cleanup
            loop.add_signal_handler(number, lambda: None)
        task.cancel()

    for number in STOPPING:
        loop.add_signal_handler(number, stop_once)
    with contextlib.suppress(asyncio.CancelledError):
        await task
        return True
    return False


def doctor(argv: list[str]) -> int:
    """`chipalign doctor`: 0 if `up` would run, 2 if something that it needs is missing."""
    parser = argparse.ArgumentParser(
        prog="chipalign doctor", description="Report what is there, what would run, and how to get what is missing."
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    settings, options = with_options(parser, argv, ())
    from serve.running.doctor import examine, report_json, report_text, would_run

    findings = examine(settings)
    sys.stdout.write(report_json(findings) if options.json else report_text(findings))
    return 0 if would_run(findings) else 2


def bench(argv: list[str]) -> int:
    """`chipalign bench`: measure; the last line on stdout is one JSON document."""
    parser = argparse.ArgumentParser(
        prog="chipalign bench", description="Measure merge, index, retrieval, time to first token and answers."
    )
    parser.add_argument(
        "--questions",
        type=int,
        default=20,
        metavar="N",
        help="questions asked for the time to first token (2 or more; default 20)",
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help=(
            "merge 1.1 B parameters beside mergekit, which is installed for it, and compare the demo's merges: 25 "
            "minutes more, 26 GB of disk"
        ),
    )
    settings, options = with_options(parser, argv, ())
    if options.questions < 2:
        raise ServeError(f"--questions is {options.questions}: give 2 or more, one figure has no median")
    from rich.console import Console

    from serve.running.bench import run_bench

    return (
        0
        if asyncio.run(until_signal(run_bench(settings, DATA, options.questions, options.full, Console(stderr=True))))
        else 130
    )
