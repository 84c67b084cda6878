"""Files to `Document`s: a folder, one file or an archive is read, and what cannot be read is named with its reason.

It does not fetch corpora and does not cut documents. An unreadable file never stops the others.

    skipped: list[Skipped] = []
    documents = list(read_source(Path("docs"), collection="docs", skipped=skipped))
"""

import errno
import os
import stat
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

    Raises SourceUnusable where `path` is none of these or its name is not UTF-8, ArchiveUnsafe for a hostile archive.
    """
    if not _is_utf8(collection):
        raise SourceUnusable(f"the name {printable(collection)} is not UTF-8, so nothing in it can be cited: rename it")
    for name, read in _list_files(path):
        if not _is_utf8(name):
            skipped.append(Skipped(f"{collection}/{printable(name)}", "its name is not UTF-8"))
            continue
        if name == FETCHED_FILE or name.upper().startswith(_LEGAL_NAMES):
            continue
        content = (None if name.endswith("/") else _check_name(name)) or _read_text(read)
        if isinstance(content, Skipped):
            skipped.append(Skipped(f"{collection}/{name}", content.reason))
            continue
        parsed = parse(name, content)
        if not parsed.blocks:
            skipped.append(Skipped(f"{collection}/{name}", "no text besides its markup"))
            continue
        yield Document(collection, name, parsed.title, content, url_of(name), licence)


def printable(name: str) -> str:
    """A file name as text that can be shown and written: bytes that are not UTF-8 as `\\udcff`."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _is_utf8(name: str) -> bool:
    """False for a name that the system gave with bytes that are not UTF-8: Python reads those as lone surrogates."""
    return printable(name) == name


def _check_name(name: str) -> Skipped | None:
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in SUPPORTED_SUFFIXES:
        return None
    return Skipped(name, f"not a type of document that is read ({suffix or 'no suffix'})")


def _list_files(path: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """(relative posix path, read function) of each file; hidden ones, and links that lead out of the folder, are left out.

    A folder below `path` that cannot be read comes as a name whose read function raises that OSError.
    """
    if path.is_dir():
        yield from _list_folder(path)
    elif path.is_file() and is_archive(path):
        files_by_name = strip_top_folder(_read_documents(path))
        for name in sorted(files_by_name):
            yield name, partial(files_by_name.__getitem__, name)
    elif path.is_file():
        yield path.name, partial(_read_limited, path)
    elif path.exists():
        raise SourceUnusable(f"{path} is a pipe, socket or device: name a folder, a file, an archive (.tar.gz, .zip) or a fetched corpus")
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


def _list_folder(path: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    root = path.resolve()
    refused: list[OSError] = []
    for folder, names, files in os.walk(path, onerror=refused.append):
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in sorted(files):
            file = Path(folder) / name
            if not name.startswith(".") and not _leads_out(file, root):
                yield file.relative_to(path).as_posix(), partial(_read_limited, file)
    for error in refused:
        if Path(error.filename) == path:
            raise SourceUnusable(f"the folder {path} cannot be read ({error.strerror}): make it readable, or name the folders that are") from error
        yield f"{Path(error.filename).relative_to(path).as_posix()}/", partial(_fail, error)


def _leads_out(file: Path, root: Path) -> bool:
    """Whether a link leads out of the folder. One that leads in a circle does not: reading it says so."""
    try:
        return not file.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # until Python 3.13 a circle is a RuntimeError
        return False


def _fail(error: OSError) -> bytes:
    raise error


def _read_limited(path: Path) -> bytes:
    """The content, up to a byte more than allowed. A pipe is never opened: that would wait for a writer."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "a pipe, socket or device, not a regular file")
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
