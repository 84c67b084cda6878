"""The command `chipalign lexicon`: shows groups of words, and proposes some from a company's documents.

It embeds nothing. Libraries are imported inside the functions, so that `--help` answers at once.

    chipalign lexicon suggest manuals/ > ours.csv
    chipalign lexicon show dotlib
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from rag.command_line import write_json
from rag.commands.build_commands import read_sources, report_skipped
from rag.documents import Skipped, describe_place
from rag.errors import NameUnknown
from rag.printable import printable
from rag.settings import RagSettings

if TYPE_CHECKING:
    from rag.words.lexicon_file import Group


def lexicon(argv: list[str]) -> int:
    """`chipalign lexicon suggest SOURCE... | --index DIR` or `show WORD`, each with `--json`.

    Raises RagError: the input is wrong.
    """
    parser = argparse.ArgumentParser(
        prog="chipalign lexicon", description="What engineers say and what manuals say: look it up, propose more."
    )
    actions = parser.add_subparsers(dest="action", required=True)
    suggesting = actions.add_parser("suggest", help="propose groups from documents, as CSV to review")
    suggesting.add_argument("sources", nargs="*", metavar="SOURCE", help="what `index build` takes")
    suggesting.add_argument("--index", type=Path, metavar="DIR", help="the passages of this index instead")
    showing = actions.add_parser("show", help="the groups that hold a word")
    showing.add_argument("word", metavar="WORD", help="a word or phrase: dotlib, 'hard block'")
    for sub in (suggesting, showing):
        sub.add_argument("--json", action="store_true", help="one JSON document on stdout")
    args = parser.parse_args(argv)
    if args.action == "suggest" and bool(args.sources) == bool(args.index):
        suggesting.error("give SOURCEs or --index DIR")

    settings = RagSettings.from_env()
    if args.action == "suggest":
        _suggest(args.sources, args.index, settings, args.json)
    else:
        _show(args.word, settings, args.json)
    return 0


def _suggest(sources: list[str], index_dir: Path | None, settings: RagSettings, as_json: bool) -> None:
    from rag.words.lexicon import open_lexicon
    from rag.words.lexicon_file import COLUMNS, SEPARATOR
    from rag.words.lexicon_suggestions import suggest_groups

    known = open_lexicon(settings.lexicon)
    passages = _passages_of_index(index_dir, settings) if index_dir else _passages_of_sources(sources, settings)
    found = suggest_groups(passages, known)
    if as_json:
        write_json({"groups": [asdict(one) for one in found]})
        return
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*COLUMNS, "place"))
    joint = f"{SEPARATOR} "
    writer.writerows((one.field, joint.join(one.manual), joint.join(one.said), one.place) for one in found)
    sys.stdout.write(printable(text.getvalue(), keep="\n"))


def _passages_of_sources(sources: list[str], settings: RagSettings) -> Iterator[tuple[str, str]]:
    skipped: list[Skipped] = []
    documents = read_sources(sources, settings, skipped)
    report_skipped(skipped)
    for document in documents:
        for block in document.blocks:
            yield f"{document.name}: {describe_place(document.title, block.heading_path)}", block.text


def _passages_of_index(index_dir: Path, settings: RagSettings) -> Iterator[tuple[str, str]]:
    from rag.index.opening import open_index
    from rag.index.vector_store import choose_store

    for chunk in open_index(index_dir, store=choose_store(settings)).chunks:
        yield f"{chunk.collection}/{chunk.path}: {describe_place(chunk.title, chunk.heading_path)}", chunk.text


def _show(word: str, settings: RagSettings, as_json: bool) -> None:
    from rag.words.lexicon import open_lexicon

    groups = open_lexicon(settings.lexicon).groups_of(word)
    if not groups:
        raise NameUnknown(f"the lexicon has no {word!r}: add it to a CSV file that CHIPALIGN_LEXICON names")
    if as_json:
        write_json({"word": word, "groups": [{**asdict(group), "vague": sorted(group.vague)} for group in groups]})
        return
    sys.stdout.write(printable("\n\n".join(map(_draw, groups)), keep="\n") + "\n")


def _draw(group: Group) -> str:
    lines = [f"{group.field}", f"    manuals say  {', '.join(group.manual)}"]
    lines += [f"    is said      {', '.join(group.said)}"] if group.said else []
    lines += [f"    beside another word of the field: {', '.join(sorted(group.vague))}"] if group.vague else []
    return "\n".join(lines)
