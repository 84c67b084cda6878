"""A company's own list of sources: a TOML file that says of each where it lies, who owns it, and how it ranks.

It reads no documents and asks no network. Addresses of documents are made by a template, which fits a git host, a web
folder that wget mirrored (`https://{path}`) and a Confluence export (`.../viewpage.action?pageId={page_id}`).

    [router]
    path = "manuals/router-2.1"  # a folder, file or archive, relative to the TOML file
    version = "2.1"
    owner = "CAD team"
    licence = "LicenseRef-Router"
    rank_lower = true
    url = "https://git.example/cad/router/blob/{revision}/{path}#L{line}"

    for source in read_own_sources(Path("sources.toml")): ...
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath
from string import Formatter
from urllib.parse import quote

from rag.errors import SourceUnusable, reason_of
from rag.sources.checkout import read_revision
from rag.sources.line_numbers import LINE
from rag.sources.named import NOT_STATED, NamedSource
from rag.typed_json import convert

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_VERSION = re.compile(r"[\w.+-]*")
_PLACES = ("path", "revision", "page_id", "line")
_PAGE_ID = re.compile(r"(?:^|_)(\d{4,})$")  # at the end of a page's name in a Confluence export


@dataclass(frozen=True, slots=True)
class OwnSource:
    """One table of the file."""

    path: str
    version: str = ""
    owner: str = ""
    licence: str = NOT_STATED
    rank_lower: bool = False
    url: str = ""


def read_own_sources(file: Path) -> list[NamedSource]:
    """The sources of the file, in its order.

    Raises SourceUnusable: it cannot be read, or says something else than sources; the message names the table.
    """
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceUnusable(f"{file} is not a list of sources ({reason_of(error)}): see docs/documents.md") from error
    if not tables:
        raise SourceUnusable(f"{file} names no source: write a table such as [router] with path = ... for each")
    return [_find(name, table, file) for name, table in tables.items()]


def _find(name: str, table: object, file: Path) -> NamedSource:
    known = [item.name for item in fields(OwnSource)]
    try:
        if isinstance(table, dict) and not {"path"} <= table.keys() <= set(known):
            strange = ", ".join(sorted(table.keys() - set(known)))
            raise ValueError(f"it has {strange}" if strange else "it has no path")
        own: OwnSource = convert(OwnSource, table)
        if not _NAME.fullmatch(name) or not _VERSION.fullmatch(own.version):
            raise ValueError("a name has letters, digits, dots, dashes and underscores")
        places = {place for _, place, _, _ in Formatter().parse(own.url) if place is not None}
        if unknown := places - set(_PLACES):
            raise ValueError(f"url holds {{{sorted(unknown)[0]}}}, which is none of {', '.join(_PLACES)}")
    except ValueError as error:
        raise SourceUnusable(f"[{name}] in {file} is not a source ({error}): it may have {', '.join(known)}") from error

    path = (file.parent / Path(own.path).expanduser()).resolve()
    if not path.exists():
        raise SourceUnusable(f"[{name}] in {file} names {path}, which is not there: correct its path")
    checkout = read_revision(path)
    version = own.version or checkout.version
    return NamedSource(
        path,
        f"{name}@{own.version}" if own.version else name,
        version,
        own.licence,
        make_url(own.url, checkout.revision) if own.url else checkout.url_of,  # None for each file of no checkout
        owner=own.owner,
        ranks_lower=own.rank_lower,
    )


def make_url(template: str, revision: str) -> Callable[[str], str | None]:
    """The address of a document by its path; None for one that lacks what the template needs."""

    def url_of(path: str) -> str | None:
        """The address of one document."""
        page = _PAGE_ID.search(PurePosixPath(path).stem)
        if "{page_id}" in template and page is None:
            return None
        return template.format(path=quote(path), revision=revision, page_id=page[1] if page else "", line=LINE)

    return url_of
