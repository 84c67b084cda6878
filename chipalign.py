"""The `chipalign` command: one table of subcommands, each imported only when it is called.

It knows no subcommand's options (each parses its own) and imports no heavy library, so `chipalign --help` answers at once.

    chipalign ask "Which option of global_route fixes antenna violations?"
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from importlib import import_module

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # an error may quote a document or a server: it must not steer the terminal
COMMANDS = {  # name: (module, function, what it does)
    "up": ("serve.commands", "up", "prepare models and index, then run engine, gateway and page until Ctrl-C"),
    "ask": ("ui.commands", "ask", "ask a question in the terminal"),
    "page": ("ui.commands", "page", "run the Streamlit chat page"),
    "serve": ("serve.commands", "serve", "run the OpenAI-compatible gateway"),
    "merge": ("merge.commands", "merge", "merge a chip model and a chat model into one checkpoint"),
    "corpus": ("rag.commands", "corpus", "list or fetch the pinned documentation"),
    "index": ("rag.index_commands", "index", "build, search, look into or take apart an index of documents"),
    "bench": ("serve.commands", "bench", "measure merge, index, retrieval and time to first token"),
    "doctor": ("serve.commands", "doctor", "tell what is installed, what would run, what is missing and how to get it"),
}


def usage() -> str:
    """The help text: every command with its one line."""
    lines = [f"  {name:<8} {purpose}" for name, (_, _, purpose) in COMMANDS.items()]
    return "usage: chipalign COMMAND ...\n\ncommands:\n" + "\n".join(lines) + "\n\n`chipalign COMMAND --help` tells a command's options.\n"


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand. Exit code 0: done; 2: the input is wrong, said in one line; 130: interrupted; 1 (a traceback): a bug."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(usage())
        return 0 if arguments else 2
    name, *rest = arguments
    if name not in COMMANDS:
        sys.stderr.write(f"chipalign: there is no command {name!r}; the commands are {', '.join(COMMANDS)}.\n")
        return 2
    module, function, _ = COMMANDS[name]
    command: Callable[[list[str]], int] = getattr(import_module(module), function)
    try:
        return command(rest)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
    except BrokenPipeError:  # `chipalign ask ... | head`: nobody reads on, which is no fault
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # 128 + SIGPIPE, as shells report it
    except Exception as error:
        exit_code = getattr(error, "exit_code", None)  # the packages' own errors carry one: their message is the whole story
        if exit_code is None:
            raise
        sys.stderr.write(f"chipalign {name}: {CONTROL.sub('', str(error))}\n")
        return int(exit_code)


if __name__ == "__main__":
    sys.exit(main())
