"""The command `chipalign reference`: what the indexed documents say of a name; and a schema to lint scripts with.

A name is that of a command, option, variable or message. It reads an index and embeds nothing. Libraries are imported
inside the functions, so that `--help` answers at once.

    chipalign reference repair_timing
    chipalign reference --export tclint --collection openroad --out commands.json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rag.command_line import write_json
from rag.errors import NameUnknown, OutputUnwritable
from rag.printable import printable
from rag.settings import RagSettings

if TYPE_CHECKING:
    from rag.reference.cards import Reference


_OWN = ("-h", "--help", "--index", "--collection", "--export", "--out", "--json", "--")  # this command's options


def reference(argv: list[str]) -> int:
    """`chipalign reference NAME [--json]` or `--export tclint --out FILE`.

    Raises RagError: the input is wrong.
    """
    description = "What the documents say of a command, an option, a variable or a message."
    parser = argparse.ArgumentParser(prog="chipalign reference", description=description)
    parser.add_argument("name", nargs="?", metavar="NAME", help="as documents write it: repair_timing, -hold, GRT-0118")
    parser.add_argument(
        "--index", type=Path, metavar="DIR", help="the index directory (default: indexes/starter in the home folder)"
    )
    parser.add_argument(
        "--collection",
        action="append",
        default=[],
        metavar="NAME",
        dest="collections",
        help="only this collection, or all versions of this tool; may be given again",
    )
    parser.add_argument(
        "--export", choices=("tclint",), help="write all commands as a command schema for tclint, to --out"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="the file that --export writes")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    args = parser.parse_args(_put_option_last(argv))
    if bool(args.export) == bool(args.name):
        parser.error("give a NAME, or --export tclint with --out FILE")
    if bool(args.export) != bool(args.out):
        parser.error("--export and --out go together")

    settings = RagSettings.from_env()
    found = _open(args.index or settings.home / "indexes" / "starter", args.collections, settings)
    if args.export:
        _export(found, args.out, args.json)
    else:
        _show(found, args.name, args.json)
    return 0


def _put_option_last(argv: list[str]) -> list[str]:
    """The arguments, with a NAME that is an option, such as `-hold`, moved behind `--`: argparse takes it for a name.

    It is what follows a `--` that stands there already, or else the one option that is not this command's.
    """
    if "--" in argv:
        at = argv.index("--")
        return [*argv[:at], *argv[at + 2 :], *argv[at : at + 2]]
    asked = [argument for argument in argv if argument.startswith("-") and argument.partition("=")[0] not in _OWN]
    if len(asked) != 1:
        return argv
    return [*(argument for argument in argv if argument not in asked), "--", *asked]


def _open(index_dir: Path, collections: list[str], settings: RagSettings) -> Reference:
    from rag.index.opening import open_index
    from rag.index.vector_store import choose_store

    index = open_index(index_dir, store=choose_store(settings))
    return (index.select(collections) if collections else index).reference


def _show(found: Reference, name: str, as_json: bool) -> None:
    from rag.reference.card_view import card_object, draw_card

    cards = found.lookup(name)
    if not cards:
        near = found.near(name)
        raise NameUnknown(
            f"the documents describe no {name!r}"
            + (f"; near to it are {', '.join(near)}" if near else ": look how they write it")
        )
    if as_json:
        write_json({"name": name, "cards": [card_object(card) for card in cards]})
        return
    sys.stdout.write("\n\n".join("\n".join(draw_card(card, name)) for card in cards) + "\n")


def _export(found: Reference, out: Path, as_json: bool) -> None:
    from rag.reference.tclint_schema import as_tclint

    schema = as_tclint(found.commands)
    try:
        out.write_text(json.dumps(schema, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputUnwritable(f"{out} cannot be written ({error.strerror or error}): name another file") from error
    commands = schema["commands"]
    if as_json:
        write_json({"schema": str(out), "commands": len(commands)})
    else:
        sys.stdout.write(
            printable(
                f'{out}: {len(commands)} commands; put commands = ["{out.name}"] into tclint.toml beside your scripts'
            )
            + "\n"
        )
