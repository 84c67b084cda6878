"""Files to `Document`s: a folder, one file or an archive is read, and what cannot be read is named with its reason.

Archives that lie in a folder are read too, one level deep; what reST includes is put in its place. It does not fetch corpora and does not cut
documents. An unreadable file never stops the others.

    skipped: list[Skipped] = []
    documents = list(read_source(Path("docs"), collection="docs", skipped=skipped))
"""

import errno
import gzip
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path, PurePosixPath

from rag.archive import ArchiveLimits, is_archive, read_archive, strip_top_folder
from rag.blocks import Parsed
from rag.corpus import FETCHED_FILE
from rag.documents import Document, Skipped
from rag.errors import ArchiveUnsafe, ParseFailed, SourceUnusable
from rag.includes import expand_includes
from rag.parsed_cache import ParsedCache
from rag.parser import Format, decode, document_text, format_of, parse
from rag.sandbox import Sandbox
from rag.settings import RagSettings

# Licence texts are kept beside the documents that they cover; they answer no engineering question and are not a failure either.
_LEGAL_NAMES = ("LICENSE", "LICENCE", "COPYING", "NOTICE")
_INCLUDING = (".rst", ".rest")  # files whose directives name others
NOT_STATED = "not stated"
Files = dict[str, Callable[[int], bytes]]  # posix path in the source: reads at most so many bytes of it


def read_source(
    path: Path,
    collection: str,
    skipped: list[Skipped],
    licence: str = NOT_STATED,
    url_of: Callable[[str], str | None] = lambda _: None,
    settings: RagSettings | None = None,
) -> Iterator[Document]:
    """Yield the documents of a folder (recursively), a file or an archive, ordered by path; append the others to `skipped`.

    There also stands what of a document was not read. Raises SourceUnusable where `path` is none of these or its name is not UTF-8,
    ArchiveUnsafe where `path` is a hostile archive. The limits are those of `settings`; with them, what takes long to parse is kept in their home.
    """
    if not _is_utf8(collection):
        raise SourceUnusable(f"the name {printable(collection)} is not UTF-8, so nothing in it can be cited: rename it")
    cache = ParsedCache(settings.home / "parsed" if settings else None)
    settings = settings or RagSettings()
    files = _list_files(path, settings)
    with Sandbox(settings.parse_timeout_s, settings.parse_memory_mb * 2**20) as sandbox:
        reader = _Reader(files, settings, sandbox, cache)
        for name in files:
            if not _is_utf8(name):
                skipped.append(Skipped(f"{collection}/{printable(name)}", "its name is not UTF-8"))
            elif PurePosixPath(name).name != FETCHED_FILE and not name.upper().startswith(_LEGAL_NAMES):
                try:
                    title, text, note = reader.read(name)
                except ParseFailed as error:
                    skipped.append(Skipped(f"{collection}/{name}", str(error)))
                    continue
                if note:
                    skipped.append(Skipped(f"{collection}/{name}", f"read in part: {note}"))
                yield Document(collection, name, title, text, url_of(name), licence)
    cache.remove_old()


class _Reader:
    """Reads single files of a source."""

    def __init__(self, files: Files, settings: RagSettings, sandbox: Sandbox, cache: ParsedCache) -> None:
        self._files = files
        self._settings = settings
        self._sandbox = sandbox
        self._cache = cache

    def read(self, name: str) -> tuple[str, str, str]:
        """Title, text (see `Document.text`) and note of one file. Raises ParseFailed with the reason why it has none."""
        found = None if name.endswith("/") else format_of(name)
        if found is None and not name.endswith("/"):
            raise ParseFailed(_refuse_name(name))
        content, note = self._load(name, found or Format())
        if found and found.in_sandbox:
            text, parsed = "", self._parse(name, content, found)
        else:
            text = decode(content)
            if name.lower().endswith(_INCLUDING):
                text = expand_includes(name, text, self._read_included)
            parsed = parse(name, text)
        if not parsed.blocks:
            raise ParseFailed("no text besides its markup")
        return parsed.title, document_text(name, text, parsed), "; ".join(filter(None, (note, parsed.note)))

    def _parse(self, name: str, content: bytes, found: Format) -> Parsed:
        """In the sandbox, unless it is known from before; the other formats take less time to parse than to look up."""
        parsed = self._cache.read(name, content) if found.parse_bytes else None
        if parsed is None:
            parsed = self._sandbox.parse(name, content)
            if found.parse_bytes:
                self._cache.write(name, content, parsed)
        return parsed

    def _load(self, name: str, found: Format) -> tuple[bytes, str]:
        """The content of one file, unpacked where it is a .gz, and a note where it is cut. Raises ParseFailed."""
        limit = (self._settings.max_file_mb if found.parse_bytes else self._settings.max_text_mb) * 2**20
        try:
            content = self._files[name](limit + 1)
            if name.lower().endswith(".gz"):
                content = _unpack(content, limit + 1)
        except OSError as error:
            raise ParseFailed(f"cannot be read ({error.strerror or error})") from error
        except ArchiveUnsafe as error:
            raise ParseFailed(str(error)) from error
        if len(content) <= limit:
            return content, ""
        if not found.head_only:
            raise ParseFailed(f"larger than {limit} bytes")
        return content[: content.rfind(b"\n", 0, limit) + 1], f"the first {limit} bytes of it"

    def _read_included(self, name: str) -> str | None:
        """The text of another file of the same source, for a directive that names it; None where there is none."""
        if name not in self._files or not _is_utf8(name):
            return None
        try:
            return decode(self._load(name, Format())[0])
        except ParseFailed:
            return None


def printable(name: str) -> str:
    """A file name as text that can be shown and written: bytes that are not UTF-8 as `\\udcff`."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _is_utf8(name: str) -> bool:
    """False for a name that the system gave with bytes that are not UTF-8: Python reads those as lone surrogates."""
    return printable(name) == name


def _refuse_name(name: str) -> str:
    if is_archive(Path(name)):
        return "an archive inside an archive: unpack it"
    return f"not a type of document that is read ({PurePosixPath(name).suffix.lower() or 'no suffix'})"


def _unpack(content: bytes, at_most: int) -> bytes:
    """The first bytes of a gzip file's content; its beginning is enough, the rest may be missing. Raises ParseFailed."""
    unpacked = b""
    try:
        with gzip.GzipFile(fileobj=BytesIO(content)) as handle:
            while len(unpacked) < at_most and (part := handle.read1(at_most - len(unpacked))):
                unpacked += part
    except EOFError:
        return unpacked
    except (OSError, zlib.error) as error:
        raise ParseFailed(f"no gzip file that can be unpacked ({error})") from error
    return unpacked


def _list_files(path: Path, settings: RagSettings) -> Files:
    """The read function of each file by its relative posix path; hidden ones, and links that lead out of the folder, are left out.

    A folder below `path` that cannot be read, or a hostile archive in it, comes as a name whose read function raises.
    """
    if path.is_dir():
        return _list_folder(path, settings)
    if path.is_file() and is_archive(path):
        return _list_archive(path, settings)
    if path.is_file():
        return {path.name: partial(_read_limited, path)}
    if path.exists():
        raise SourceUnusable(f"{path} is a pipe, socket or device: name a folder, a file, an archive (.tar.gz, .zip) or a fetched corpus")
    raise SourceUnusable(f"{path} is not there: name a folder, a file, an archive (.tar.gz, .zip) or a fetched corpus")


def _list_archive(archive: Path, settings: RagSettings) -> Files:
    """An archive's files that are nowhere hidden; those of a type that is not read are listed, and never unpacked."""
    found: dict[str, bytes] = {}

    def wanted(name: str) -> bool:
        """Whether to unpack a member; the names of the others are noted."""
        if any(part.startswith(".") for part in PurePosixPath(name).parts):
            return False
        if format_of(name) is None:
            found[name] = b""
        return format_of(name) is not None

    limits = ArchiveLimits(settings.archive_files, settings.archive_file_mb * 2**20, settings.archive_total_mb * 2**20)
    found |= dict(read_archive(archive, wanted, limits, cut_large=True))
    files = strip_top_folder(found)
    return {name: partial(_cut, files[name]) for name in sorted(files)}


def _cut(content: bytes, at_most: int) -> bytes:
    return content[:at_most]


def _list_folder(path: Path, settings: RagSettings) -> Files:
    root = path.resolve()
    refused: list[OSError] = []
    found: Files = {}
    for folder, names, files in os.walk(path, onerror=refused.append):
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in sorted(files):
            file = Path(folder) / name
            if not name.startswith(".") and not _leads_out(file, root):
                found |= _list_entry(file, file.relative_to(path).as_posix(), settings)
    for error in refused:
        if Path(error.filename) == path:
            raise SourceUnusable(f"the folder {path} cannot be read ({error.strerror}): make it readable, or name the folders that are") from error
        found[f"{Path(error.filename).relative_to(path).as_posix()}/"] = partial(_fail, error)
    return found


def _list_entry(file: Path, name: str, settings: RagSettings) -> Files:
    """One file of a folder, or the files of an archive that lies there, below its name; an archive that cannot be read as one that fails."""
    if not is_archive(file) or not file.is_file():
        return {name: partial(_read_limited, file)}
    try:
        return {f"{name}/{inner}": read for inner, read in _list_archive(file, settings).items()}
    except ArchiveUnsafe as error:
        return {f"{name}/": partial(_fail, error)}


def _leads_out(file: Path, root: Path) -> bool:
    """Whether a link leads out of the folder. One that leads in a circle does not: reading it says so."""
    try:
        return not file.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # until Python 3.13 a circle is a RuntimeError
        return False


def _fail(error: Exception, _: int) -> bytes:
    raise error


def _read_limited(path: Path, at_most: int) -> bytes:
    """The content, up to so many bytes. A pipe is never opened: that would wait for a writer."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "a pipe, socket or device, not a regular file")
    with path.open("rb") as handle:
        return handle.read(at_most)
