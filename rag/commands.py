"""The commands `chipalign corpus` and `chipalign index`: arguments in, text or one JSON document out.

They hold no retrieval of their own. Heavy libraries are imported inside the functions, so that `--help` answers at once.

    chipalign corpus fetch openroad yosys --mirror DIR
    chipalign index build --out DIR docs/ openroad
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.errors import CorpusUnavailable, RagError, SourceUnusable
from rag.progress import show_progress
from rag.settings import RagSettings

if TYPE_CHECKING:
    from rag.documents import Document, Hit, Skipped

HANDBOOK = "handbook"
HANDBOOK_LICENCE = "Apache-2.0"


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


def index(argv: list[str]) -> int:
    """`chipalign index build --out DIR SOURCE...` and `index search "QUERY" [--index DIR] [--top-k N] [--json]`. Raises RagError."""
    parser = argparse.ArgumentParser(prog="chipalign index", description="Build an index of documents, or search one.")
    actions = parser.add_subparsers(dest="action", required=True)
    building = actions.add_parser("build", help="make DIR the index of the sources; again brings it up to date")
    building.add_argument("--out", type=Path, required=True, metavar="DIR", help="the index directory")
    building.add_argument("sources", nargs="+", metavar="SOURCE", help="a folder, file, archive (.tar.gz, .zip), fetched corpus, or `handbook`")
    searching = actions.add_parser("search", help="the passages that answer a question best")
    searching.add_argument("query", metavar="QUERY")
    searching.add_argument("--index", type=Path, metavar="DIR", help="the index directory (default: indexes/starter in the home folder)")
    searching.add_argument("--top-k", type=_positive, default=5, metavar="N", help="how many passages at most (default: 5)")
    for sub in (building, searching):
        sub.add_argument("--json", action="store_true", help="one JSON document on stdout")
    args = parser.parse_args(argv)
    settings = RagSettings.from_env()
    if args.action == "build":
        _build(args.out, args.sources, settings, args.json)
    else:
        _search(args.query, args.index or settings.home / "indexes" / "starter", args.top_k, settings, args.json)
    return 0


def _positive(text: str) -> int:
    value = int(text) if text.isdigit() else 0
    if not 1 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 1000")
    return value


def _write_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


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
        _write_json({"corpora": rows})
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
        _write_json({"fetched": [asdict(record) for record in fetched], "failed": failed})
    if failed and not if_available:
        raise CorpusUnavailable("; ".join(failure["error"] for failure in failed))
    for failure in failed:
        _report_line(failure["error"])


def _report_line(line: str) -> None:
    sys.stderr.write(line + "\n")


def _build(out: Path, sources: list[str], settings: RagSettings, as_json: bool) -> None:
    from rag.embedder import Embedder
    from rag.index import build_index

    skipped: list[Skipped] = []
    documents = [document for source in dict.fromkeys(sources) for document in _read_named_source(source, settings, skipped)]
    if not documents:
        reasons = "; ".join(f"{item.path}: {item.reason}" for item in skipped[:3])
        raise SourceUnusable(f"no document can be read in {', '.join(sources)} ({reasons or 'no files'}): name other sources")
    embedder = Embedder.find(settings.embedder, settings.embed_batch, settings.embed_threads)
    with show_progress() as progress:
        report = build_index(documents, out, settings, embedder, progress)
    for item in skipped:
        sys.stderr.write(f"skipped {item.path}: {item.reason}\n")
    if as_json:
        rate = round(report.chunks_per_s, 1)
        _write_json({**asdict(report), "chunks_per_s": rate, "skipped": [asdict(item) for item in skipped]})
        return
    counts = f"{report.documents} documents, {report.chunks} chunks"
    if report.up_to_date:
        sys.stdout.write(f"{out}: up to date ({counts})\n")
    else:
        sys.stdout.write(
            f"{out}: {counts} ({report.embedded} embedded, {report.reused} reused) in {report.seconds:.1f} s, {report.chunks_per_s:.0f} chunks/s\n"
        )
    if skipped:
        tally = Counter(item.reason for item in skipped).most_common()
        sys.stdout.write(f"skipped {len(skipped)} files: {', '.join(f'{count} {reason}' for reason, count in tally)}\n")


def _read_named_source(source: str, settings: RagSettings, skipped: "list[Skipped]") -> "Iterator[Document]":
    """Documents of one SOURCE argument. A path that exists is meant before a corpus of the same name."""
    from rag.archive import archive_stem
    from rag.corpus import corpus_dir, load_sources, read_fetched, sources_path
    from rag.reader import read_source

    path = Path(source).expanduser()
    sources = load_sources()
    handbook = sources_path().parent / HANDBOOK
    if path.resolve() == handbook or (source == HANDBOOK and not path.exists()):
        return read_source(handbook, HANDBOOK, skipped, HANDBOOK_LICENCE)
    if path.exists():
        name = path.resolve().name if path.is_dir() else archive_stem(path)
        return read_source(path, name, skipped)
    if source in sources:
        if read_fetched(settings.home, source) is None:
            raise SourceUnusable(f"the corpus {source!r} has not been fetched: `chipalign corpus fetch {source}`")
        return read_source(corpus_dir(settings.home, source), source, skipped, sources[source].licence, sources[source].url)
    known = ", ".join((HANDBOOK, *sources))
    raise SourceUnusable(f"{source!r} is no folder, file or archive here, and no corpus; corpora are {known}")


def _search(query: str, index_dir: Path, top_k: int, settings: RagSettings, as_json: bool) -> None:
    from rag.prompt import nothing_found
    from rag.retriever import Retriever

    retriever = Retriever.open(index_dir, settings)
    hits = retriever.search(query, top_k)
    if as_json:
        _write_json({"query": query, "index": str(index_dir), "hits": [_hit_as_dict(hit) for hit in hits]})
        return
    if not hits:
        sys.stdout.write(nothing_found(retriever.collections) + "\n")
    for number, hit in enumerate(hits, start=1):
        sys.stdout.write(_describe_hit(number, hit))


def _hit_as_dict(hit: "Hit") -> dict[str, Any]:
    return {"score": hit.score, "dense_score": hit.dense_score, "bm25_score": hit.bm25_score, **asdict(hit.chunk)}


def _describe_hit(number: int, hit: "Hit") -> str:
    from rag.documents import describe_place

    chunk = hit.chunk
    scores = f"score {hit.score:.4f}, cosine {hit.dense_score or 0:.2f}, BM25 {hit.bm25_score or 0:.1f}"
    body = "\n".join(f"    {line}" for line in chunk.text.splitlines())
    return f"[{number}] {describe_place(chunk.title, chunk.heading_path)}\n    {chunk.collection}/{chunk.path} ({scores})\n{body}\n\n"
