"""The command `chipalign index`: build, search, stats, inspect, remove, verify.

Arguments in, text or one JSON document out. It holds no retrieval of its own. Heavy libraries are imported inside the
functions, so that `--help` answers at once.

    chipalign index build --out DIR docs/ openroad@2.0=manuals/
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.command_line import positive, write_json
from rag.commands.build_commands import Building, build, build_on_changes
from rag.printable import printable
from rag.settings import RagSettings

if TYPE_CHECKING:
    from rag.documents import Chunk, Document, Hit
    from rag.progress import Show
    from rag.search.retriever import Retriever


def index(argv: list[str]) -> int:
    """`chipalign index build | search | stats | inspect | remove | verify`, each with `--json`.

    Raises RagError: the input is wrong.
    """
    parser = _parser()
    args = parser.parse_args(argv)
    settings = RagSettings.from_env()
    if args.action == "build":
        if not (args.sources or args.own):
            parser.error("name a SOURCE, or a list of sources with --sources")
        if args.watch and args.json:
            parser.error("--watch builds again and again, and --json gives one document: leave out one of them")
        building = Building(args.index, args.sources, args.own, args.add)
        if args.watch:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a script starts its background with it ignored
            build_on_changes(building, settings)
        else:
            build(building, settings, args.json)
        return 0
    if args.action == "inspect":
        if args.account:
            _account(args.file, settings, args.json)
        else:
            _inspect(args.file, args.source, settings, args.json)
        return 0
    index_dir = args.index or settings.home / "indexes" / "starter"
    if args.action == "search":
        _search(args.query, index_dir, args.top_k, args.collections, settings, args.json)
    elif args.action == "stats":
        _stats(index_dir, args.plot, settings, args.json)
    elif args.action == "remove":
        _remove(args.names, index_dir, settings, args.json)
    else:
        _verify(index_dir, settings, args.json)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="chipalign index", description="Build an index of documents, search it, look into it, take it apart."
    )
    actions = parser.add_subparsers(dest="action", required=True)

    building = actions.add_parser("build", help="make DIR the index of the sources; again brings it up to date")
    _add_build(building)
    searching = actions.add_parser("search", help="the passages that answer a question best")
    searching.add_argument("query", metavar="QUERY")
    searching.add_argument(
        "--top-k", type=positive, default=5, metavar="N", help="how many passages at most (default: 5)"
    )
    searching.add_argument(
        "--collection",
        action="append",
        default=[],
        metavar="NAME",
        dest="collections",
        help="search only this collection, or all versions of this tool; may be given again",
    )

    counting = actions.add_parser("stats", help="documents, chunks, sizes, types, failures, age, chunk lengths")
    counting.add_argument("--plot", type=Path, metavar="FILE", help="write the chunk lengths as a picture (PNG)")
    inspecting = actions.add_parser("inspect", help="what one file becomes, block by block and chunk by chunk")
    inspecting.add_argument(
        "--account", action="store_true", help="of FILE, also a folder: what became of every byte, and what is lost"
    )
    inspecting.add_argument("file", type=Path, metavar="FILE")
    inspecting.add_argument(
        "--source", type=Path, metavar="DIR", help="the folder or archive that it is indexed from, for what it includes"
    )
    removing = actions.add_parser("remove", help="take collections out of the index, texts and vectors included")
    removing.add_argument(
        "names", nargs="+", metavar="NAME", help="a collection's whole name, as `index stats` shows it"
    )
    verifying = actions.add_parser("verify", help="read every byte of the index and compare it with what was built")

    for sub in (searching, counting, removing, verifying):
        sub.add_argument(
            "--index",
            type=Path,
            metavar="DIR",
            help="the index directory (default: indexes/starter in the home folder)",
        )
    for sub in (building, searching, counting, inspecting, removing, verifying):
        sub.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


def _add_build(building: argparse.ArgumentParser) -> None:
    """The options of `index build`."""
    building.add_argument("--out", type=Path, required=True, metavar="DIR", dest="index", help="the index directory")
    building.add_argument(
        "--add", action="store_true", help="build or refresh only these sources' collections and keep the others"
    )
    building.add_argument(
        "--sources",
        type=Path,
        metavar="FILE",
        dest="own",
        help="a TOML file of your own that lists sources with their owners and licences",
    )
    building.add_argument(
        "--watch", action="store_true", help="stay, and build again whenever a file of the sources changes"
    )
    building.add_argument(
        "sources",
        nargs="*",
        metavar="SOURCE",
        help=(
            "a folder, file, archive (zip, tar), fetched corpus, or `handbook`; NAME=SOURCE or NAME@VERSION=SOURCE "
            "names its collection"
        ),
    )


def index_apart(
    documents: Sequence[Document], folder: Path, settings: RagSettings, progress: Show
) -> tuple[Retriever, Sequence[Chunk]]:
    """A retriever over an index of these documents alone, and all its chunks.

    Its vectors are FAISS's whatever the settings say, since the folder is often temporary.
    """
    from rag.embedding.embedder_choice import open_embedder
    from rag.index.building import build_index
    from rag.index.opening import open_index
    from rag.search.retriever import Retriever

    settings = replace(settings, milvus_uri="")
    build_index(documents, folder, settings, open_embedder(settings, settings.embed_threads), progress)
    return Retriever.open(folder, settings), open_index(folder).chunks


def _search(
    query: str, index_dir: Path, top_k: int, collections: list[str], settings: RagSettings, as_json: bool
) -> None:
    from rich.console import Console

    from rag.answering.refusal import refuse
    from rag.commands.hit_view import print_hits
    from rag.search.retriever import Retriever

    retriever = Retriever.open(index_dir, settings)
    if collections:
        retriever = retriever.within(collections)
    hits = retriever.search(query, top_k)
    if as_json:
        searched = {"query": query, "index": str(index_dir), "collections": list(retriever.collections)}
        write_json({**searched, "hits": [_hit_as_dict(hit) for hit in hits]})
    elif hits:
        print_hits(query, hits, Console(file=sys.stdout))
    else:
        sys.stdout.write(printable(refuse(retriever.collections, retriever.missing(query)).answer.text) + "\n")


def _hit_as_dict(hit: Hit) -> dict[str, Any]:
    """The scores, then the chunk's own fields, on one level."""
    fields = asdict(hit)
    chunk = fields.pop("chunk")
    return {**fields, **chunk}


def _stats(index_dir: Path, plot: Path | None, settings: RagSettings, as_json: bool) -> None:
    from rag.index.index_stats import describe_stats, draw_lengths, measure_index
    from rag.index.vector_store import choose_store

    stats = measure_index(index_dir, store=choose_store(settings))
    if plot:
        draw_lengths(stats, plot)
    if as_json:
        write_json(asdict(stats))
    else:
        sys.stdout.write(describe_stats(stats))


def _account(path: Path, settings: RagSettings, as_json: bool) -> None:
    from rag.measuring.byte_account import account_for, describe_accounts

    accounts = account_for(path, settings)
    if as_json:
        write_json({name: asdict(account) for name, account in accounts.items()})
    else:
        sys.stdout.write(describe_accounts(accounts))


def _inspect(file: Path, source: Path | None, settings: RagSettings, as_json: bool) -> None:
    from rag.embedding.embedder_choice import open_embedder
    from rag.index.inspection import describe_inspection, inspect_files

    found = inspect_files(file, settings, open_embedder(settings), source)
    if as_json:
        write_json([asdict(one) for one in found])
    else:
        sys.stdout.write("\n".join(map(describe_inspection, found)))


def _remove(names: list[str], index_dir: Path, settings: RagSettings, as_json: bool) -> None:
    from rag.index.building import remove_collections
    from rag.index.vector_store import choose_store

    report = remove_collections(names, index_dir, choose_store(settings))
    if as_json:
        write_json(asdict(report))
        return
    left = ", ".join(report.collections) if report.collections else "no collection is left, the index is gone"
    removed = f"{index_dir}: removed {', '.join(report.removed)} ({report.chunks_removed} chunks); {left}"
    sys.stdout.write(printable(removed) + "\n")


def _verify(index_dir: Path, settings: RagSettings, as_json: bool) -> None:
    from rag.index.opening import verify_index
    from rag.index.vector_store import choose_store

    manifest = verify_index(index_dir, choose_store(settings))
    total = sum(record.bytes for record in manifest.files.values())
    if as_json:
        write_json(
            {
                "index": str(index_dir),
                "whole": True,
                "files": len(manifest.files),
                "bytes": total,
                "chunks": manifest.chunks,
            }
        )
    else:
        sys.stdout.write(
            f"{printable(str(index_dir))}: whole ({len(manifest.files)} files, {total} bytes, {manifest.chunks} "
            "chunks)\n"
        )
