"""`chipalign merge convert`: a configuration of mergekit's to a recipe. It merges nothing and opens no model.

merge.commands.mergekit translates; this file reads and writes.

    convert(["mergekit.yml", "--out", "my-recipe.toml"])  # the exit code
"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from merge.errors import OutputRefused, RecipeError, printable

MOST_BYTES = 1_000_000  # of a configuration; people's have a few thousand


def build_convert_parser() -> argparse.ArgumentParser:
    """The options of `chipalign merge convert`."""
    parser = argparse.ArgumentParser(
        prog="chipalign merge convert",
        description="Write a configuration of mergekit's as a recipe, or list what a recipe cannot say, with exit 2.",
    )
    parser.add_argument("config", type=Path, metavar="CONFIG.yml", help="mergekit's configuration")
    parser.add_argument("--out", type=Path, metavar="RECIPE.toml", help="the recipe to write (default: print it)")
    parser.add_argument("--chat", metavar="MODEL", help="the model that gives config, tokenizer and template")
    return parser


def convert(argv: list[str]) -> int:
    """Run `chipalign merge convert` and return 0.

    Raises:
        RecipeError: the file cannot be read, or it says what a recipe cannot.
        OutputRefused: the recipe cannot be written there.
    """
    from merge.commands.mergekit import convert_config

    args = build_convert_parser().parse_args(argv)
    folder = Path.cwd() if args.out is None else args.out.absolute().parent

    def move(ref: str) -> str:
        """A folder seen from here as seen from the recipe; anything else as it is."""
        return os.path.relpath(ref, folder) if not Path(ref).is_absolute() and Path(ref).exists() else ref

    converted = convert_config(read_yaml(args.config), args.chat, move, str(args.config))
    if args.out is None:
        sys.stdout.write(converted.text)
        return 0
    try:
        with args.out.open("x", encoding="utf-8") as file:
            file.write(converted.text)
    except OSError as error:
        if not isinstance(error, FileExistsError):
            with suppress(OSError):
                args.out.unlink()  # half a recipe would be in the next try's way
        raise OutputRefused(f"{args.out} cannot be written: {error.strerror}. Choose another place") from error
    for note in converted.notes:
        sys.stderr.write(f"{printable(note)}\n")
    sys.stdout.write(f"{args.out}\n")
    return 0


def read_yaml(path: Path) -> Any:
    """The values of a YAML file. Raises RecipeError: it is none, or too large."""
    import yaml

    try:
        if path.stat().st_size > MOST_BYTES:
            raise RecipeError(str(path), [f"is larger than any configuration ({MOST_BYTES} bytes are allowed)"])
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(str(path), ["no such file"]) from None
    except OSError as error:
        raise RecipeError(str(path), [f"cannot be read: {error.strerror}"]) from None
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        # What stands behind a tag such as !!int or !!bool is read without a check: the library raises all kinds
        raise RecipeError(str(path), [f"is not valid YAML: {' '.join(str(error).split())}"]) from None
