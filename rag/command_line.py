"""What this package's commands share: argument types, the description of a file in a result, and JSON output.

The commands themselves are in `commands`, and those of other packages where they belong.

    parser.add_argument("--top-k", type=positive, default=5)
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

from rag.errors import OutputUnwritable, RagError
from rag.printable import printable, printable_json

MOST = 1000  # hits that a search may be asked for


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """The type of an argument that is a whole number in this range; argparse reports any other value in its own way."""

    def parse(text: str) -> int:
        """The number."""
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")
        return int(text)

    return parse


positive = whole_number(1, MOST)


def run_module(main: Callable[[list[str]], int]) -> NoReturn:
    """Run a module that `python -m` starts and end with its exit code; an error of ours is one line and exit 2."""
    try:
        code = main(sys.argv[1:])
    except RagError as error:
        sys.stderr.write(f"{Path(sys.argv[0]).stem}: {printable(str(error))}\n")
        code = error.exit_code
    sys.exit(code)


def add_docs(parser: argparse.ArgumentParser) -> None:
    """`--docs`: the documents that a training is about."""
    parser.add_argument(
        "--docs",
        nargs="+",
        required=True,
        metavar="SOURCE",
        help="what `index build` takes: folders, files, archives, corpora, `handbook`",
    )


def add_questions(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    """`--questions`: files of questions with what answers them."""
    parser.add_argument(
        "--questions",
        nargs="+",
        type=Path,
        required=required,
        default=[],
        metavar="FILE",
        help="JSON lines as those of data/training/questions.jsonl",
    )


def add_exclude(parser: argparse.ArgumentParser, dropped: str) -> None:
    """`--exclude`: questions to measure with; what comes near to them is dropped, and `dropped` says what."""
    parser.add_argument(
        "--exclude",
        nargs="+",
        type=Path,
        default=[],
        metavar="Q.jsonl",
        help=f"questions to measure with: {dropped}",
    )


def add_seed(parser: argparse.ArgumentParser) -> None:
    """`--seed`: what is drawn by chance depends on it."""
    parser.add_argument(
        "--seed",
        type=whole_number(0, 1_000_000),
        default=0,
        metavar="N",
        help="of all that is drawn (default: %(default)s)",
    )


def report_line(line: str) -> None:
    """One line on stderr, safe for a terminal."""
    sys.stderr.write(printable(line) + "\n")


def write_json(value: object) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(printable_json(json.dumps(value, ensure_ascii=False, indent=2)) + "\n")


def write_result(result: dict[str, Any], draw: Callable[[dict[str, Any]], Iterable[str]], as_json: bool) -> None:
    """Write the result of an evaluation to stdout: as one JSON document, or drawn as lines."""
    if as_json:
        write_json(result)
    else:
        sys.stdout.write("\n".join(draw(result)) + "\n")


def write_jsonl(path: Path, rows: Iterable[object]) -> None:
    """One JSON object a line; an interruption leaves the file as it was before.

    Raises OutputUnwritable: the file cannot be written.
    """
    work = path.with_name(f"{path.name}.part")
    try:
        with work.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        work.replace(path)
    except OSError as error:
        raise OutputUnwritable(f"{path} cannot be written ({error.strerror or error}): name another file") from error
    finally:
        work.unlink(missing_ok=True)


def describe_file(path: Path) -> dict[str, Any]:
    """A file's path, size and hash: how results name what they were measured on."""
    content = path.read_bytes()
    return {"path": str(path), "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
