"""Counts how much of an index its reference covers, and draws facts of it at random for a person to check.

It judges nothing: a person reads the sample against the passages. It lists names that prose calls commands and that
have no card.

    python -m serve.evaluation.answers.reference_check my-index/ --sample 60 --seed 1
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from rag.command_line import run_module
from rag.documents import Chunk
from rag.index.generation import Index
from rag.index.opening import open_index
from rag.printable import printable
from rag.reference.cards import Place, Reference
from rag.reference.extraction import is_read

# "The `repair_design` command", "use the command `pdngen`": how prose names a command, whatever surrounds it.
_CALLED = re.compile(
    r"`([a-z][a-z0-9]*(?:(?:_|::)[a-z0-9]+)+)` commands?\b|\bcommand `([a-z][a-z0-9]*(?:(?:_|::)[a-z0-9]+)+)`"
)


def count_cards(reference: Reference) -> dict[str, Counter[str]]:
    """Commands, options, described options, arguments, variables, messages and disagreements per collection."""
    counts: dict[str, Counter[str]] = {}
    for command in reference.commands:
        counted = counts.setdefault(command.collection, Counter())
        counted["commands"] += 1
        counted["options"] += len(command.options)
        counted["described"] += sum(option.is_described for option in command.options)
        counted["arguments"] += len(command.arguments)
        counted["disagreements"] += len(command.disagreements)
        counted["shown in part"] += command.is_partial
    for variable in reference.variables:
        counts.setdefault(variable.collection, Counter())["variables"] += 1
    for message in reference.messages:
        counts.setdefault(message.collection, Counter())["messages"] += 1
    return counts


def called_commands(chunks: Iterable[Chunk]) -> dict[str, set[str]]:
    """The names that prose calls commands, by collection."""
    called: dict[str, set[str]] = {}
    for chunk in chunks:
        if is_read(chunk.path):
            for names in _CALLED.findall(chunk.text):
                called.setdefault(chunk.collection, set()).update(filter(None, names))
    return called


def facts_of(reference: Reference) -> Iterator[tuple[str, Place]]:
    """Everything that the reference states, one line each, with its place."""
    for command in reference.commands:
        yield f"command {command.name}: {command.description} | {command.synopsis}", command.place
        for option in (*command.options, *command.arguments):
            statement = (
                f"takes {option.argument!r}, default {option.default!r}, required {option.is_required}: "
                f"{option.description}"
            )
            yield f"{command.name} {option.name} {statement}", option.place
    for variable in reference.variables:
        yield (
            (
                f"variable {variable.name}, default {variable.default!r}, stages {variable.stage!r}: "
                f"{variable.description}"
            ),
            variable.place,
        )
    for message in reference.messages:
        yield f"message {message.number}: {message.text}", message.place


def main(argv: list[str] | None = None) -> int:
    """Print counts, missing names and the sample."""
    parser = argparse.ArgumentParser(
        prog="python -m serve.evaluation.answers.reference_check",
        description="What the reference of an index holds, and a sample of it.",
    )
    parser.add_argument("index", type=Path, metavar="DIR", help="the index directory")
    parser.add_argument("--sample", type=int, default=60, metavar="N", help="how many facts are drawn (default: 60)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="by which they are drawn (default: 1)")
    args = parser.parse_args(argv)
    index = open_index(args.index)
    for line in report(index, args.sample, args.seed):
        sys.stdout.write(printable(line) + "\n")
    return 0


def report(index: Index, sample: int, seed: int) -> Iterator[str]:
    """The lines that `main` prints."""
    reference = index.reference
    known = {(command.collection, command.name) for command in reference.commands}
    anywhere = {command.name for command in reference.commands}
    for collection, counts in sorted(count_cards(reference).items()):
        yield f"{collection}: {', '.join(f'{count} {label}' for label, count in counts.items())}"
    for collection, called in sorted(called_commands(index.chunks).items()):
        own = sorted(name for name in called if (collection, name) in known)
        lacking = sorted(called - anywhere)
        yield (
            f"{collection}: prose calls {len(called)} names commands; {len(own)} have a card here, {len(lacking)} "
            f"nowhere: {', '.join(lacking)}"
        )

    facts = sorted(facts_of(reference), key=lambda fact: (fact[1].path, fact[1].start, fact[0]))
    for number, (statement, place) in enumerate(random.Random(seed).sample(facts, min(sample, len(facts))), start=1):
        row = index.chunks.find(place.chunk_id)
        text = index.chunks[row].text[place.start : place.end] if row is not None else "(the passage is missing)"
        yield f"[{number}] {place.line}"
        yield f"    says   {' '.join(statement.split())}"
        yield f"    stands {' '.join(text.split())}"


if __name__ == "__main__":
    run_module(main)
