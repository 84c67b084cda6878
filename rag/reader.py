"""Files to `Document`s: a folder, one file or an archive is read, and what cannot be read is named with its reason.

It does not fetch corpora and does not cut documents. An unreadable file never stops the others.

    skipped: list[Skipped] = []
    documents = list(read_source(Path("docs"), collection="docs", skipped=skipped))
"""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from rag.archive import is_archive, read_archive, strip_top_folder
from rag.corpus import FETCHED_FILE
from rag.documents import Document, Skipped
from rag.errors import SourceUnusable
from rag.parser import SUPPORTED_SUFFIXES, parse

MAX_DOCUMENT_BYTES = 8 * 2**20  # a manual of some thousand pages; more is a log or a netlist, which would drown the rest
# Licence texts are kept beside the documents that they cover; they answer no engineering question and are not a failure either.
_LEGAL_NAMES = ("LICENSE", "LICENCE", "COPYING", "NOTICE")
NOT_STATED = "not stated"


def read_source(
    path: Path,
    collection: str,
    skipped: list[Skipped],
    licence: str = NOT_STATED,
    url_of: Callable[[str], str | None] = lambda _: None,
) -> Iterator[Document]:
    """Yield the documents of a folder (recursively), a file or an archive, ordered by path; append the others to `skipped`.

    Raises SourceUnusable where `path` is none of these, ArchiveUnsafe for a hostile archive.
    """
    for name, read in _list_files(path):
        if name == FETCHED_FILE or name.upper().startswith(_LEGAL_NAMES):
            continue
        content = _check_name(name) or _read_text(read)
        if isinstance(content, Skipped):
            skipped.append(Skipped(f"{collection}/{name}", content.reason))
            continue
        title = parse(name, content).title
        yield Document(collection, name, title, content, url_of(name), licence)


def _check_name(name: str) -> Skipped | None:
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in SUPPORTED_SUFFIXES:
        return None
    return Skipped(name, f"not a type of document that is read ({suffix or 'no suffix'})")


def _list_files(path: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """(relative posix path, read function) of each file; hidden ones, and links that lead out of the folder, are left out."""
    if path.is_dir():
        root = path.resolve()
        for folder, names, files in os.walk(path, onerror=_refuse_folder):
            names[:] = sorted(name for name in names if not name.startswith("."))
            for name in sorted(files):
                file = Path(folder) / name
                if not name.startswith(".") and file.resolve().is_relative_to(root):
                    yield file.relative_to(path).as_posix(), partial(_read_limited, file)
    elif path.is_file() and is_archive(path):
        files_by_name = strip_top_folder(_read_documents(path))
        for name in sorted(files_by_name):
            yield name, partial(files_by_name.__getitem__, name)
    elif path.is_file():
        yield path.name, partial(_read_limited, path)
    else:
        raise SourceUnusable(f"{path} is not there: name a folder, a file, an archive (.tar.gz, .zip) or a fetched corpus")


def _read_documents(archive: Path) -> dict[str, bytes]:
    """An archive's files that are nowhere hidden; those of a type that is not read are named, and never unpacked."""
    others: dict[str, bytes] = {}

    def wanted(name: str) -> bool:
        """Whether to unpack a member; the names of the others are noted."""
        if any(part.startswith(".") for part in PurePosixPath(name).parts):
            return False
        if refused := _check_name(name):
            others[refused.path] = b""
        return not refused

    documents = dict(read_archive(archive, wanted))
    return {**others, **documents}


def _refuse_folder(error: OSError) -> None:
    raise SourceUnusable(f"the folder {error.filename} cannot be read ({error.strerror}): make it readable, or name the folders that are")


def _read_limited(path: Path) -> bytes:
    with path.open("rb") as handle:
        return handle.read(MAX_DOCUMENT_BYTES + 1)


def _read_text(read: Callable[[], bytes]) -> str | Skipped:
    """The text of one file, or why it has none: unreadable, too large, binary, not UTF-8, empty."""
    try:
        content = read()
    except OSError as error:
        return Skipped("", f"cannot be read ({error.strerror or error})")
    if len(content) > MAX_DOCUMENT_BYTES:
        return Skipped("", f"larger than {MAX_DOCUMENT_BYTES} bytes")
    if b"\0" in content:
        return Skipped("", "binary, not text")
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        return Skipped("", f"not UTF-8 (byte {error.start})")
    return text if text.strip() else Skipped("", "empty")
