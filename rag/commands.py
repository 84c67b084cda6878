"""The command `chipalign corpus`: arguments in, text or one JSON document out.

It fetches nothing by itself (`corpus` does). Libraries are imported inside the functions, so that `--help` answers at once.

    chipalign corpus fetch openroad yosys --mirror DIR
"""

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from rag.command_line import write_json
from rag.errors import CorpusUnavailable, RagError, SourceUnusable
from rag.settings import RagSettings


def corpus(argv: list[str]) -> int:
    """`chipalign corpus list | fetch NAME... [--mirror DIR] [--json]`. Raises RagError for wrong input."""
    parser = argparse.ArgumentParser(prog="chipalign corpus", description="The pinned documentation corpora: list them, or fetch some.")
    actions = parser.add_subparsers(dest="action", required=True)
    listing = actions.add_parser("list", help="the pinned corpora, and which are fetched")
    fetching = actions.add_parser("fetch", help="fetch corpora from a mirror folder or the public host")
    fetching.add_argument("names", nargs="+", metavar="NAME", help="a name that `corpus list` shows, or `all`")
    fetching.add_argument("--mirror", type=Path, help="folder of archives NAME.tar.gz, asked before the public host")
    fetching.add_argument("--if-available", action="store_true", help="say what cannot be had, and end well all the same")
    for sub in (listing, fetching):
        sub.add_argument("--json", action="store_true", help="one JSON document on stdout")
    args = parser.parse_args(argv)
    settings = RagSettings.from_env()
    if args.action == "list":
        _list_corpora(settings, args.json)
    else:
        _fetch_corpora(args.names, args.mirror, args.if_available, settings, args.json)
    return 0


def _list_corpora(settings: RagSettings, as_json: bool) -> None:
    from rag.corpus import load_sources, read_fetched

    rows = []
    for source in load_sources().values():
        fetched = read_fetched(settings.home, source.name)
        current = fetched is not None and (fetched.revision, fetched.checksum) == (source.revision, source.checksum)
        state = "fetched" if current else "another revision fetched" if fetched else "not fetched"
        rows.append({
            "name": source.name, "repository": source.repository, "revision": source.revision, "licence": source.licence,
            "state": state, "files": fetched.files if fetched else None,
        })  # fmt: skip
    if as_json:
        write_json({"corpora": rows})
        return
    for row in rows:
        sys.stdout.write(f"{row['name']:<10} {row['state']:<12} {row['licence']:<30} {row['repository']} @ {str(row['revision'])[:12]}\n")


def _fetch_corpora(names: list[str], mirror: Path | None, if_available: bool, settings: RagSettings, as_json: bool) -> None:
    """Fetch all at once, so that an unreachable host costs one time-out; one that fails does not stop the others."""
    from rag.corpus import fetch_corpus, find_source, load_sources

    sources = load_sources()
    chosen = [find_source(name, sources) for name in (sources if names == ["all"] else dict.fromkeys(names))]
    if (mirror := mirror or settings.mirror) and not mirror.is_dir():
        raise SourceUnusable(f"the mirror {mirror} is not a folder: name the folder that holds NAME.tar.gz")
    fetched, failed = [], []
    with ThreadPoolExecutor(max_workers=len(chosen)) as pool:
        running = [pool.submit(fetch_corpus, source, settings.home, mirror, report=_report_line) for source in chosen]
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
        _report_line(failure["error"])


def _report_line(line: str) -> None:
    sys.stderr.write(line + "\n")
