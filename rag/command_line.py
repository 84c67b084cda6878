"""What this package's commands share: a type of argument, how a file is named in a result, and JSON as they print it.

The commands themselves are in commands, index_commands, eval_commands and qa_commands.

    parser.add_argument("--top-k", type=positive, default=5)
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

MOST = 1000  # hits that a search may be asked for


def positive(text: str) -> int:
    """An argument that is a whole number from 1 to `MOST`; argparse tells in its own way where it is none."""
    value = int(text) if text.isdecimal() else 0
    if not 1 <= value <= MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {MOST}")
    return value


def write_json(value: object) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def describe_file(path: Path) -> dict[str, Any]:
    """A file by its path, size and hash, as results name what they were measured on."""
    content = path.read_bytes()
    return {"path": str(path), "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
