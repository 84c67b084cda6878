"""`chipalign index build`: reads the sources, builds, reports; with `--watch` again whenever a file changes.

Other commands read their sources here too.

    build(Building(Path("my-index"), ["docs/"]), settings, as_json=False)
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rag.command_line import report_line, write_json
from rag.counted import counted
from rag.errors import RagError, SourceUnusable
from rag.printable import printable
from rag.settings import RagSettings

if TYPE_CHECKING:
    from rag.documents import Document, Skipped
    from rag.index.building import BuildReport
    from rag.sources.named import NamedSource


@dataclass(frozen=True)
class Building:
    """What is built of what: `sources` as they are typed, and those that the file `own` lists."""

    out: Path
    sources: Sequence[str]
    own: Path | None = None
    add: bool = False

    def find(self, settings: RagSettings) -> list[NamedSource]:
        """All sources, each looked up before the first file is read.

        Raises SourceUnusable.
        """
        return find_sources(self.sources, settings, self.own)

    def watched(self, sources: Sequence[NamedSource]) -> list[Path]:
        """The paths whose changes ask for another build."""
        own = [self.own] if self.own else []
        return [source.path for source in sources if not source.is_pinned] + own


def build(building: Building, settings: RagSettings, as_json: bool) -> None:
    """Build once and report. Raises RagError."""
    from rag.embedding.embedder_choice import open_embedder
    from rag.index.building import build_index
    from rag.index.manifest import About
    from rag.progress import show_progress

    skipped: list[Skipped] = []
    found = building.find(settings)
    documents = read_documents(found, settings, skipped)
    embedder = open_embedder(settings, settings.embed_threads)
    about = {source.collection: About(source.owner, source.ranks_lower) for source in found}
    with show_progress() as progress:
        report = build_index(
            documents, building.out, settings, embedder, progress, add=building.add, skipped=skipped, about=about
        )
    report_skipped(skipped)
    if as_json:
        rate = round(report.chunks_per_s, 1)
        write_json({**asdict(report), "chunks_per_s": rate, "skipped": [asdict(item) for item in skipped]})
    else:
        _describe(building.out, report, skipped)


def build_on_changes(building: Building, settings: RagSettings) -> None:
    """Build, and again after each change of a file, until Ctrl-C or the watcher is stopped.

    Raises RagError: the first build fails. Later failures are reported, and the index stays as it was.
    """
    from rag.sources.watching import Watcher

    sources = building.find(settings)
    build_once: Callable[[Building, RagSettings, bool], None] = build
    while True:
        with Watcher(building.watched(sources), ignored=building.out) as watcher:
            build_once(building, settings, False)
            if build_once is build:
                report_line("waiting for changes; Ctrl-C ends it")
            build_once = _try_build
            own = building.own.resolve() if building.own else None
            while changed := watcher.wait():
                if own in changed:
                    break
                _try_build(building, settings, False)
            else:
                return
        with contextlib.suppress(SourceUnusable):  # the next build says what is wrong with the list
            sources = building.find(settings)


def _try_build(building: Building, settings: RagSettings, as_json: bool) -> None:
    try:
        build(building, settings, as_json)
    except RagError as error:
        report_line(f"chipalign index: {error}; the index is as it was")
    sys.stdout.flush()


def _describe(out: Path, report: BuildReport, skipped: Sequence[Skipped]) -> None:
    counts = f"{counted(report.documents, 'document')}, {counted(report.chunks, 'chunk')}"
    if report.up_to_date:
        sys.stdout.write(f"{printable(str(out))}: up to date ({counts})\n")
    else:
        speed = f", {report.chunks_per_s:.0f} chunks/s" if report.embedded else ""
        sys.stdout.write(
            f"{printable(str(out))}: {counts} ({report.embedded} embedded, {report.reused} reused) "
            f"in {report.seconds:.1f} s{speed}\n"
        )
    if unread := _tally(item for item in skipped if not item.is_read):
        sys.stdout.write(f"skipped {counted(sum(unread.values()), 'file')}: {_list_counts(unread)}\n")
    if noted := _tally(item for item in skipped if item.is_read):
        sys.stdout.write(f"of those that were read: {_list_counts(noted)}\n")


def _tally(items: Iterable[Skipped]) -> Counter[str]:
    """How many files each kind of reason has."""
    from rag.sources.account import kind_of

    tally = Counter[str]()
    for item in items:
        kind, files = kind_of(item.reason)
        tally[kind] += files
    return tally


def _list_counts(tally: Counter[str]) -> str:
    return ", ".join(f"{count} {printable(kind)}" for kind, count in tally.most_common())


def report_skipped(skipped: list[Skipped]) -> None:
    """Name each file that was not read, or only in part, with the reason."""
    for item in skipped:
        report_line(f"{'' if item.is_read else 'skipped '}{item.path}: {item.reason}")


def find_sources(arguments: Sequence[str], settings: RagSettings, own: Path | None = None) -> list[NamedSource]:
    """The sources that SOURCE arguments mean, and those that the file `own` lists.

    Raises SourceUnusable.
    """
    from rag.sources.own_sources import read_own_sources
    from rag.sources.sources import find_named_source

    found = [find_named_source(argument, settings) for argument in dict.fromkeys(arguments)]
    return found + (read_own_sources(own) if own else [])


def read_documents(sources: Sequence[NamedSource], settings: RagSettings, skipped: list[Skipped]) -> list[Document]:
    """The documents of all sources.

    Raises SourceUnusable: a source cannot be read, or there are no documents.
    """
    from rag.sources.sandbox import Sandbox
    from rag.sources.sources import read_named_source

    with Sandbox(settings) as sandbox:
        documents = [
            document for source in sources for document in read_named_source(source, skipped, settings, sandbox)
        ]
    if not documents:
        reasons = "; ".join(f"{printable(item.path)}: {printable(item.reason)}" for item in skipped[:3])
        named = printable(", ".join(str(source.path) for source in sources))
        raise SourceUnusable(f"no document can be read in {named} ({reasons or 'no files'}): name other sources")
    return documents


def read_sources(arguments: list[str], settings: RagSettings, skipped: list[Skipped]) -> list[Document]:
    """The documents of all SOURCE arguments; every argument is looked up before the first file is read.

    Raises SourceUnusable: a source cannot be read, or there are no documents.
    """
    return read_documents(find_sources(arguments, settings), settings, skipped)
