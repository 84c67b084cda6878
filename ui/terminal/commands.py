"""The commands of this package: `ask` (a question in the terminal), `page` (the chat page), `slack` (the Slack bot).

They parse arguments and write; `ui.client` asks, `ui.page.chat_app` draws, `ui.slack.slack_bot` answers in Slack. Each
returns the exit code or raises UiError.

    ask(["What is hold slack?", "--json"])
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import socket
import sys
import threading
from contextlib import closing
from dataclasses import asdict, replace
from typing import Any, NoReturn

from chipalign_settings import redact
from ui.conversation import Turn, begin, take_event, to_messages
from ui.errors import EmptyQuestion, PortTaken, SlackTokensWrong
from ui.events import Finished, Source, Wanted
from ui.pasted import join_question
from ui.settings import UiSettings, parse_port, parse_top_k, parse_url
from ui.terminal.standard_input import read_pasted

NOTHING_HELD = 3  # exit code: the documents hold nothing about the question


def ask(argv: list[str]) -> int:
    """`chipalign ask "QUESTION"`: the answer as it comes, then the passages it stands on.

    With --json, one document at the end.
    """
    parser = argparse.ArgumentParser(
        prog="chipalign ask",
        description=(
            "Ask a question; the answer and its sources are printed. "
            'What is piped in, such as a log, goes with the question: chipalign ask "why?" < run.log'
        ),
        epilog=(
            "exit codes: 0 answered; 3 the documents hold nothing about it; "
            "2 the input is wrong, or the gateway gave no whole answer"
        ),
    )

    option = parser.add_argument
    option("question", nargs="*", help="the question; quotes may be left out, and all of it where a log is piped in")
    option("--url", help="address of the gateway (default: CHIPALIGN_URL, or http://127.0.0.1:8000)")
    option(
        "--answer",
        choices=("quote", "model", "auto"),
        default="auto",
        help="who words it (default: the gateway's choice)",
    )
    option("--top-k", metavar="N", help="passages to find, from 1 to 50")
    option("--collection", action="append", default=[], metavar="NAME", help="search this one alone; may be repeated")
    option(
        "-n", "--no-input", action="store_true", help="leave standard input alone, as in a loop that reads questions"
    )
    option("--sources", action="store_true", help="print the passages too, what the answer quotes marked")
    option("--json", action="store_true", help="print one JSON document: answer, refused, sources, citations and more")
    args = parser.parse_args(argv)

    top_k = parse_top_k("--top-k", args.top_k) if args.top_k is not None else None
    settings = _settings(args.url)
    pasted = "" if args.no_input else read_pasted(sys.stdin)
    question = join_question(" ".join(args.question), pasted)
    if not question:
        raise EmptyQuestion

    wanted = Wanted(args.answer, top_k, tuple(args.collection))
    turn, finished = _ask(Turn(question, answer_by=args.answer), settings, wanted, args.json)
    if args.json:
        sys.stdout.write(_as_json(turn, finished))
    else:
        _show_below(turn, args.sources)
    return NOTHING_HELD if turn.is_refused else 0


def _become_server(settings: UiSettings) -> NoReturn:
    """Replace this process rather than wrap one.

    Ctrl-C and `kill` reach the page's server itself, and nothing is left behind.
    """
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-m", "ui.page.page_server"], settings.to_env())


def page(argv: list[str]) -> int:
    """`chipalign page`: become the server of the chat page. Returns only where it cannot start."""
    parser = argparse.ArgumentParser(prog="chipalign page", description="Serve the chat page.")
    parser.add_argument("--port", help="port to listen on (default: CHIPALIGN_PAGE_PORT, or 8501)")
    parser.add_argument("--url", help="address of the gateway (default: CHIPALIGN_URL, or http://127.0.0.1:8000)")
    args = parser.parse_args(argv)
    settings = _settings(args.url, args.port)
    _check_port(settings.host, settings.page_port)
    _become_server(settings)


def slack(argv: list[str]) -> int:
    """`chipalign slack`: answer in Slack until Ctrl-C or SIGTERM.

    The log goes to stderr and holds no word of what is asked.
    """
    parser = argparse.ArgumentParser(
        prog="chipalign slack", description="Run the Slack bot, over Socket Mode: it needs no public address."
    )
    parser.add_argument("--url", help="address of the gateway (default: CHIPALIGN_URL, or http://127.0.0.1:8000)")
    args = parser.parse_args(argv)
    settings = _settings(args.url)
    check_slack_tokens(settings)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a script starts its background with SIGINT ignored
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for noisy in ("httpx", "httpx2", "slack_bolt", "slack_sdk"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    from ui.client import Gateway  # imports that take seconds, which `--help` does without
    from ui.slack.slack_bot import SlackBot

    stop = threading.Event()
    with closing(Gateway(settings)) as gateway, closing(SlackBot(settings, gateway)) as bot:
        bot.start()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        logging.getLogger("chipalign.slack").info(
            "answering in Slack as user %s, asking %s; Ctrl-C stops", bot.bot_user_id, redact(settings.url)
        )
        stop.wait()
    return 0


def check_slack_tokens(settings: UiSettings) -> None:
    """Raise SlackTokensWrong for each token that is missing or of another kind; shows no token."""
    problems = []
    for variable, token, prefix, kind in (
        ("CHIPALIGN_SLACK_BOT_TOKEN", settings.slack_bot_token, "xoxb-", 'the bot token, from "OAuth & Permissions"'),
        (
            "CHIPALIGN_SLACK_APP_TOKEN",
            settings.slack_app_token,
            "xapp-",
            'the app-level token with connections:write, from "Basic Information"',
        ),
    ):
        if not token.startswith(prefix):
            problems.append(
                f"{variable} {'begins with something else' if token else 'is missing'}: it must be {kind}, which begins"
                f" with {prefix}"
            )
    if problems:
        raise SlackTokensWrong(problems)


def _settings(url: str | None, port: str | None = None) -> UiSettings:
    """The environment's settings with the options' values put over them."""
    settings = UiSettings.from_env()
    if url is not None:
        settings = replace(settings, url=parse_url("--url", url))
    if port is not None:
        settings = replace(settings, page_port=parse_port("--port", port))
    return settings


def _check_port(host: str, port: int) -> None:
    """Raise PortTaken where the port cannot be listened on; Streamlit itself would only say so in its log."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
            )  # as the server does: a port in TIME_WAIT is free
            probe.bind(address)
    except OSError as error:
        raise PortTaken(host, port, error.strerror or str(error)) from error


def _ask(turn: Turn, settings: UiSettings, wanted: Wanted, is_silent: bool) -> tuple[Turn, Finished]:
    """Ask, and show the answer unless `is_silent`.

    Raises UiError: the text that came before it stays shown.
    """
    from ui.client import Gateway  # imports that take half a second, which `--help` does without
    from ui.terminal.terminal import Drawing, Lines, Silence, make_console

    turn, finished, console = begin(turn), Finished("", (), ""), make_console()
    voice = Silence() if is_silent else Drawing(console) if console.is_terminal else Lines(sys.stdout)
    with closing(Gateway(settings)) as gateway, voice:
        for event in gateway.ask(to_messages((turn,)), wanted):
            turn = take_event(turn, event)
            voice.hear(turn)
            if isinstance(event, Finished):
                finished = event
    return turn, finished


def _show_below(turn: Turn, with_passages: bool) -> None:
    """What stands below an answer: in a pipe what the checks say, then the passages or their places."""
    from ui.terminal.terminal import list_sources, make_console, print_sources, write_checks, write_sources

    console = make_console()
    if not console.is_terminal:
        sys.stdout.write(write_checks(turn) + (write_sources(turn) if with_passages else list_sources(turn)))
    elif with_passages:
        print_sources(turn, console)
    else:
        console.print(list_sources(turn), style="dim", markup=False, soft_wrap=True, end="")


def _source_as_json(source: Source) -> dict[str, Any]:
    """A passage with all that can be shown of it."""
    return {name: value for name, value in asdict(source).items() if name != "sent"}


def _as_json(turn: Turn, finished: Finished) -> str:
    document = {
        "question": turn.question,
        "answer": turn.answer,
        "refused": turn.is_refused,
        "sources": [_source_as_json(source) for source in turn.sources],
        "citations": [asdict(citation) for citation in finished.citations],
        "verification": asdict(turn.verification) if turn.verification else None,
        "model": finished.model,
    }
    return json.dumps(document) + "\n"
