"""The SOURCE arguments of `index build`: what each names, the collection and version it becomes, and its documents.

A source is a folder (also a git checkout), a file, an archive, a fetched corpus, or the handbook. `NAME=SOURCE` names
its collection, `NAME@VERSION=SOURCE` also its version; the collection is then called NAME@VERSION, so that versions of
one tool lie side by side. Formats are for `reader`.

    source = find_named_source("openroad@2.0=docs/", settings)
    documents = list(read_named_source(source, skipped, settings))
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from rag.documents import Document, Skipped
from rag.errors import SourceUnusable
from rag.settings import RagSettings
from rag.sources.archive import archive_stem
from rag.sources.checkout import VERSION_DIGITS, read_revision
from rag.sources.corpus import corpus_dir, load_sources, read_fetched, sources_path
from rag.sources.named import NamedSource
from rag.sources.reader import read_source
from rag.sources.sandbox import Sandbox

HANDBOOK = "handbook"
HANDBOOK_LICENCE = "Apache-2.0"
_NAMED = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)(?:@(?P<version>[\w.+-]+))?=(?P<source>.+)", re.DOTALL)


def find_named_source(argument: str, settings: RagSettings) -> NamedSource:
    """What a SOURCE argument means.

    An existing path takes precedence over a name, whether that of a corpus or the one before a `=`.

    Raises SourceUnusable: the argument names no source.
    """
    if not Path(argument).expanduser().exists() and (named := _NAMED.fullmatch(argument)):
        found = _find_source(named["source"], settings)
        name, version = named["name"], named["version"] or ""
        return replace(found, collection=f"{name}@{version}" if version else name, version=version or found.version)
    return _find_source(argument, settings)


def _find_source(source: str, settings: RagSettings) -> NamedSource:
    path = Path(source).expanduser()
    sources = load_sources()
    handbook = sources_path().parent / HANDBOOK
    if path.resolve() == handbook or (source == HANDBOOK and not path.exists()):
        return NamedSource(handbook, HANDBOOK, "", HANDBOOK_LICENCE, is_pinned=True)
    if path.exists():
        checkout = read_revision(path)
        name = path.resolve().name if path.is_dir() else archive_stem(path)
        if not checkout.revision:
            return NamedSource(path, name, "")
        return NamedSource(path, name, checkout.version, url_of=checkout.url_of)
    if source in sources:
        pinned = sources[source]
        if read_fetched(settings.home, source) is None:
            raise SourceUnusable(f"the corpus {source!r} has not been fetched: `chipalign corpus fetch {source}`")
        folder = corpus_dir(settings.home, source)
        return NamedSource(folder, source, pinned.revision[:VERSION_DIGITS], pinned.licence, pinned.url, is_pinned=True)
    known = ", ".join((HANDBOOK, *sources))
    raise SourceUnusable(f"{source!r} is not a folder, file or archive here, and no corpus; corpora are {known}")


def read_named_source(
    source: NamedSource, skipped: list[Skipped], settings: RagSettings, sandbox: Sandbox | None = None
) -> Iterator[Document]:
    """The documents of a source with their version and the day of their last change.

    `skipped` receives the files that cannot be read. It raises what `read_source` raises.
    """
    for document in read_source(
        source.path, source.collection, skipped, source.licence, source.url_of, settings, sandbox
    ):
        yield replace(
            document, version=source.version, date="" if source.is_pinned else _date_of(source.path, document.path)
        )


def _date_of(source: Path, document_path: str) -> str:
    """The day (UTC) of the file's last change; for a document in an archive, the archive's; "" where it is gone."""
    file = source / document_path if source.is_dir() else source
    try:
        return datetime.fromtimestamp(file.stat().st_mtime, UTC).date().isoformat()
    except OSError:
        return ""
