"""What this package's commands share: argument types, the description of a file in a result, and JSON output.

The commands themselves are in `commands`, and those of other packages where they belong.

    parser.add_argument("--top-k", type=positive, default=5)
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rag.errors import OutputUnwritable
from rag.printable import printable_json

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
