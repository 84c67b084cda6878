"""The command `chipalign corpus`: lists and fetches pinned documentation, and writes any documents as plain text.

It fetches and reads nothing itself (`corpus` and `sources` do). Libraries are imported inside the functions, so that
`--help` answers at once.

    chipalign corpus fetch openroad yosys --mirror DIR
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.command_line import report_line, write_json, write_jsonl
from rag.commands.build_commands import read_sources, report_skipped
from rag.errors import CorpusUnavailable, RagError, SourceUnusable
from rag.printable import printable
from rag.settings import RagSettings

if TYPE_CHECKING:
    from rag.documents import Skipped


def corpus(argv: list[str]) -> int:
    """`chipalign corpus list | fetch NAME... [--mirror DIR] | text SOURCE... --out FILE [--json]`.

    Raises RagError: the input is wrong.
    """
    parser = argparse.ArgumentParser(
        prog="chipalign corpus", description="The pinned documentation: list it, fetch some, write it as plain text."
    )
    actions = parser.add_subparsers(dest="action", required=True)

    listing = actions.add_parser("list", help="the pinned corpora, and which are fetched")
    fetching = actions.add_parser("fetch", help="fetch corpora from a mirror folder or the public host")
    fetching.add_argument("names", nargs="+", metavar="NAME", help="a name that `corpus list` shows, or `all`")
    fetching.add_argument("--mirror", type=Path, help="folder of archives NAME.tar.gz, asked before the public host")
    fetching.add_argument(
        "--if-available", action="store_true", help="say what cannot be had, and end well all the same"
    )

    writing = actions.add_parser(
        "text", help="write documents as plain text, one JSON object a line, to train a model on"
    )
    writing.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="what `index build` takes: folders, files, archives, corpora, `handbook`",
    )
    writing.add_argument("--out", type=Path, required=True, metavar="FILE.jsonl", help="the file to write")
    for sub in (listing, fetching, writing):
        sub.add_argument("--json", action="store_true", help="one JSON document on stdout")

    args = parser.parse_args(argv)
    settings = RagSettings.from_env()

    if args.action == "list":
        _list_corpora(settings, args.json)
    elif args.action == "text":
        _write_texts(args.sources, args.out, settings, args.json)
    else:
        _fetch_corpora(args.names, args.mirror, args.if_available, settings, args.json)
    return 0


def _list_corpora(settings: RagSettings, as_json: bool) -> None:
    from rag.sources.corpus import load_sources, read_fetched

    rows = []
    for source in load_sources().values():
        fetched = read_fetched(settings.home, source.name)
        current = fetched is not None and (fetched.revision, fetched.checksum) == (source.revision, source.checksum)
        state = "fetched" if current else "another revision fetched" if fetched else "not fetched"
        rows.append(
            {
                "name": source.name,
                "repository": source.repository,
                "revision": source.revision,
                "licence": source.licence,
                "state": state,
                "files": fetched.files if fetched else None,
            }
        )
    if as_json:
        write_json({"corpora": rows})
        return
    for row in rows:
        sys.stdout.write(
            f"{row['name']:<10} {row['state']:<12} {row['licence']:<30} {row['repository']} @ "
            f"{str(row['revision'])[:12]}\n"
        )


def _fetch_corpora(
    names: list[str], mirror: Path | None, if_available: bool, settings: RagSettings, as_json: bool
) -> None:
    """Fetch all at once, so that an unreachable host costs one time-out; a failure does not stop the others."""
    from rag.sources.corpus import fetch_corpus, find_source, load_sources

    sources = load_sources()
    chosen = [find_source(name, sources) for name in (sources if names == ["all"] else dict.fromkeys(names))]
    if (mirror := mirror or settings.mirror) and not mirror.is_dir():
        raise SourceUnusable(f"the mirror {mirror} is not a folder: name the folder that holds NAME.tar.gz")
    fetched, failed = [], []
    with ThreadPoolExecutor(max_workers=len(chosen)) as pool:
        running = [pool.submit(fetch_corpus, source, settings.home, mirror, report=report_line) for source in chosen]
        for source, future in zip(chosen, running, strict=True):
            try:
                fetched.append(future.result())
            except RagError as error:
                failed.append({"name": source.name, "error": str(error)})
    if as_json:
        write_json({"fetched": [asdict(record) for record in fetched], "failed": failed})
    if failed and not if_available:
        raise CorpusUnavailable("; ".join(failure["error"] for failure in failed))
    for failure in failed:
        report_line(failure["error"])


def _write_texts(arguments: list[str], out: Path, settings: RagSettings, as_json: bool) -> None:
    rows, skipped = read_texts(arguments, settings)
    write_jsonl(out, rows)
    if as_json:
        write_json({"texts": str(out), **_count_texts(rows), "skipped": [asdict(item) for item in skipped]})
    else:
        sys.stdout.write(f"{printable(str(out))}: {describe_texts(rows)}\n")


def read_texts(arguments: list[str], settings: RagSettings) -> tuple[list[dict[str, str]], list[Skipped]]:
    """Each document of these sources as "text", its "source" and "licence"; and what was not read.

    A text is the title and the blocks with their headings: what passages are cut from, in one piece. What was not read
    is also named on stderr.

    Raises SourceUnusable: a source cannot be read, or holds no document.
    """
    from rag.index.chunker import render

    skipped: list[Skipped] = []
    documents = read_sources(arguments, settings, skipped)
    report_skipped(skipped)
    rows = []
    for document in documents:
        text = f"# {document.title}\n\n{render(document.blocks, ())}\n"
        rows.append({"text": text, "source": document.name, "licence": document.licence})
    return rows, skipped


def describe_texts(rows: list[dict[str, str]]) -> str:
    """For people: how many texts there are, how long and under which licences."""
    counts = _count_texts(rows)
    listed = ", ".join(f"{count} {licence}" for licence, count in counts["licences"].items())
    return printable(f"{counts['documents']} documents, {counts['characters']} characters ({listed})")


def _count_texts(rows: list[dict[str, str]]) -> dict[str, Any]:
    licences = dict(Counter(row["licence"] for row in rows).most_common())
    return {"documents": len(rows), "characters": sum(len(row["text"]) for row in rows), "licences": licences}
