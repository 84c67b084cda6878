"""Files to `Document`s: reads a folder, a file or an archive, and names what it cannot read, with the reason.

It also reads archives that lie in a folder, one level deep, and expands the includes of reST. The sandbox parses the
contents. It does not fetch corpora and does not cut documents. An unreadable file never stops the others.

    skipped: list[Skipped] = []
    documents = list(read_source(Path("docs"), collection="docs", skipped=skipped))
"""

from __future__ import annotations

import errno
import gzip
import os
import re
import stat
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path, PurePosixPath

from rag.ahead import map_in_threads
from rag.blocks import Parsed
from rag.documents import Document, Skipped
from rag.encodings import read_text
from rag.errors import ArchiveUnsafe, ParseFailed, SourceUnusable, reason_of
from rag.formats.parser import Format, format_of
from rag.settings import RagSettings
from rag.sources.account import HELD, describe_unread, find_held, join_types
from rag.sources.archive import ArchiveLimits, is_archive, read_archive, strip_top_folder
from rag.sources.corpus import FETCHED_FILE, match_any
from rag.sources.line_numbers import LINE, without_line
from rag.sources.named import NOT_STATED
from rag.sources.parsed_cache import ParsedCache
from rag.sources.sandbox import Sandbox
from rag.sources.spool import Spool
from rag.sources.titles import part_titles

# Licence texts lie beside the documents that they cover; they answer no engineering question and are not a failure.
# A guide to a licence server, licence-server.md, is none of them.
_LEGAL = re.compile(
    r"LICENSES/.+|(?:LICEN[CS]E|COPYING|NOTICE)S?(?:[-_.][^/]*)?|(?:[Ll]icen[cs]e|[Cc]opying)(?:\.[a-z]+)?",
)
IGNORE_FILE = ".chipalignignore"  # in a folder: lists what is not read
MAX_NAME_CHARACTERS = 1000  # each chunk carries its document's name; a path of a documentation tree has a hundred


@dataclass(frozen=True, slots=True)
class _File:
    """One file of a source: `read` gives at most so many bytes of it."""

    read: Callable[[int], bytes]
    size: Callable[[], int | None] = lambda: None  # in bytes, where it is known
    is_cut: bool = False  # `read` does not reach its end


Files = dict[str, _File]  # by posix path in the source

# Text, where the document keeps it; what the parser made of it; and what was not read
Found = tuple[str | None, Parsed, str]


def read_source(
    path: Path,
    collection: str,
    skipped: list[Skipped],
    licence: str = NOT_STATED,
    url_of: Callable[[str], str | None] = lambda _: None,
    settings: RagSettings | None = None,
    sandbox: Sandbox | None = None,
    *,
    caches: bool = True,
    wanted: Callable[[str], bool] = lambda _: True,
) -> Iterator[Document]:
    """Yield the documents of a folder (recursively), a file or an archive, ordered by path: those that are `wanted`.

    `skipped` receives the other files, and what was not read of a document. The limits are those of `settings`; with
    settings, files that are slow to parse are cached in their home, unless `caches` is false. Without a `sandbox` it
    starts one of its own.

    Raises:
        SourceUnusable: `path` is not a folder, file or archive, or its name is not UTF-8.
        ArchiveUnsafe: `path` is a hostile archive.
    """
    if not _is_utf8(collection):
        raise SourceUnusable(f"the name {encodable(collection)} is not UTF-8, so nothing in it can be cited: rename it")

    cache = ParsedCache(settings.home / "parsed" if settings and caches else None)
    settings = settings or RagSettings()

    with ExitStack() as stack:
        files = _list_files(path, settings, stack.enter_context(Spool()))
        reader = _Reader(files, settings, sandbox or stack.enter_context(Sandbox(settings)), cache)
        held = find_held(files, reader.read_text)
        names = [name for name in files if wanted(name) and not _is_passed_over(name)]
        results = stack.enter_context(closing(map_in_threads(partial(reader.try_read, held), names, settings.workers)))
        documents: list[Document] = []
        for name, found in zip(names, results, strict=True):
            if isinstance(found, ParseFailed):
                skipped.append(Skipped(f"{collection}/{_short(name)}", str(found)))
                continue

            _, parsed, unread = found
            notes = (unread and f"read in part: {unread}", parsed.encoding and f"read as {parsed.encoding}")
            skipped += [Skipped(f"{collection}/{name}", note) for note in notes if note]
            documents.append(_make_document(collection, name, found, reader.find_address(name, url_of(name)), licence))

    skipped[:] = join_types(skipped, collection)
    cache.remove_old()
    yield from part_titles(documents)


def _make_document(collection: str, name: str, found: Found, address: tuple[str | None, str], licence: str) -> Document:
    """The document of a file that was read."""
    own_text, parsed, _ = found
    url, source_text = address
    return Document(
        collection,
        name,
        parsed.title,
        own_text,
        url,
        licence,
        blocks=parsed.blocks,
        note=parsed.note,
        source_text=source_text,
    )


def read_content(path: Path, settings: RagSettings) -> Iterator[tuple[str, bytes]]:
    """The files of a source with their bytes, also those of no format that is read; none that cannot be opened."""
    with Spool() as spool:
        for name, file in _list_files(path, settings, spool).items():
            with suppress(OSError, ArchiveUnsafe):
                yield name, file.read(settings.max_file_mb * 2**20)


def _is_passed_over(name: str) -> bool:
    """Whether a file is neither a document nor a failure: our own record, or a licence."""
    return PurePosixPath(name).name == FETCHED_FILE or _LEGAL.fullmatch(name) is not None


def _short(name: str) -> str:
    """A name as it can be written and read."""
    return encodable(name) if len(name) <= MAX_NAME_CHARACTERS else f"{encodable(name[:MAX_NAME_CHARACTERS])}..."


class _Reader:
    """Reads single files of a source. Safe to call from many threads."""

    def __init__(self, files: Files, settings: RagSettings, sandbox: Sandbox, cache: ParsedCache) -> None:
        self._files = files
        self._settings = settings
        self._sandbox = sandbox
        self._cache = cache

    def try_read(self, held: Mapping[str, str], name: str) -> Found | ParseFailed:
        """What `read` gives, or why it gives nothing, as for a file that is `held` by another."""
        if holder := held.get(name):
            return ParseFailed(f"{HELD}{holder}, which includes it")
        try:
            return self.read(name)
        except ParseFailed as error:
            return error

    def read(self, name: str) -> Found:
        """One file's own text (see `Document.own_text`), its blocks, and what of it was not read.

        Raises ParseFailed: it has no blocks; the message is the reason.
        """
        if not _is_utf8(name):
            raise ParseFailed("its name is not UTF-8")
        if len(name) > MAX_NAME_CHARACTERS:
            raise ParseFailed(f"its name has {len(name)} characters")
        found = None if name.endswith("/") else format_of(name)
        if found is None and not name.endswith("/"):
            raise ParseFailed(_refuse_name(name))
        content, note = self._load(name, found or Format())
        own_text, parsed = self._parse(name, content, found or Format(), is_whole=not note)
        if not parsed.blocks:
            raise ParseFailed("no text besides its markup")
        return own_text, parsed, "; ".join(filter(None, (note, parsed.note)))

    def find_address(self, name: str, url: str | None) -> tuple[str | None, str]:
        """The address of a file, and its text where the address names a line of it."""
        if url is None or LINE not in url:
            return url, ""
        found = format_of(name)
        text = self.read_text(name) if found and not found.parse_bytes and not name.lower().endswith(".gz") else None
        return (url, text) if text else (without_line(url), "")

    def _parse(self, name: str, content: bytes, found: Format, is_whole: bool) -> tuple[str | None, Parsed]:
        """Parse in the sandbox or take the cached result; other formats parse faster than a look-up takes."""
        key = f"{name}\0{self._settings.ocr}" if self._settings.ocr else name
        known = self._cache.read(key, content) if found.parse_bytes else None
        if known is not None:
            return None, known
        own_text, parsed = self._sandbox.read(name, content, is_whole, self.read_text)
        if found.parse_bytes:
            self._cache.write(key, content, parsed)
        return own_text, parsed

    def _load(self, name: str, found: Format) -> tuple[bytes, str]:
        """The content of one file, unpacked where it is a .gz, and a note where its end is missing.

        Raises ParseFailed: it cannot be read, is too large, or lacks its end.
        """
        file = self._files[name]
        is_text = not (found.parse_bytes or found.parse_head)
        limit = (self._settings.max_text_mb if is_text else self._settings.max_file_mb) * 2**20
        variable = "CHIPALIGN_MAX_TEXT_MB" if is_text else "CHIPALIGN_MAX_FILE_MB"

        size, is_damaged = None, False
        try:
            content = file.read(limit + 1)
            if name.lower().endswith(".gz"):
                content, is_damaged = _unpack(content, limit + 1)
            elif len(content) > limit:
                size = file.size()
        except OSError as error:
            raise ParseFailed(f"cannot be read ({error.strerror or error})") from error
        except ArchiveUnsafe as error:
            raise ParseFailed(str(error)) from error

        is_large = len(content) > limit or file.is_cut
        if not is_large and not is_damaged:
            return content, ""
        if not found.parse_head:
            raise ParseFailed(
                f"larger than {limit} bytes ({variable})"
                if is_large
                else f"its end is missing after {len(content)} bytes"
            )

        content = content[: content.rfind(b"\n", 0, limit) + 1]
        because = f" ({variable})" if is_large else ""
        return content, f"the first {len(content)} bytes of {size or 'it'}{because}"

    def read_text(self, name: str) -> str | None:
        """The text of another file of the same source, for a directive that names it; None where it is missing."""
        if name not in self._files or not _is_utf8(name):
            return None
        try:
            return read_text(self._load(name, Format())[0]).text
        except ParseFailed:
            return None


def encodable(name: str) -> str:
    """A file name as text that can be written: bytes that are not UTF-8 as `\\udcff`."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _is_utf8(name: str) -> bool:
    """False for a name with bytes that are not UTF-8, which Python reads as lone surrogates."""
    return encodable(name) == name


def _refuse_name(name: str) -> str:
    if is_archive(Path(name)):
        return "an archive inside an archive: unpack it"
    return describe_unread(name)


def _unpack(content: bytes, at_most: int) -> tuple[bytes, bool]:
    """The first bytes of a gzip file's content, and whether its end is missing before those.

    Raises ParseFailed: the file cannot be unpacked.
    """
    parts: list[bytes] = []
    room = at_most
    try:
        with gzip.GzipFile(fileobj=BytesIO(content)) as handle:
            while room > 0 and (part := handle.read1(room)):
                parts.append(part)
                room -= len(part)
    except EOFError:
        return b"".join(parts), True
    except (OSError, zlib.error) as error:
        raise ParseFailed(f"no gzip file that can be unpacked ({error})") from error
    return b"".join(parts), False


def _list_files(path: Path, settings: RagSettings, spool: Spool) -> Files:
    """The files by their relative posix paths, without hidden ones and links that lead out of the folder.

    A folder below `path` that cannot be read, or a hostile archive in it, appears as a name whose read function raises.
    """
    if path.is_dir():
        return _list_folder(path, settings, spool)
    if path.is_file() and is_archive(path):
        return _list_archive(path, settings, spool)
    if path.is_file():
        return {path.name: _file_at(path)}
    if path.exists():
        raise SourceUnusable(
            f"{path} is a pipe, socket or device: name a folder, a file, an archive (.tar.gz, .zip) or a fetched corpus"
        )
    raise SourceUnusable(f"{path} is not there: name a folder, a file, an archive (.tar.gz, .zip) or a fetched corpus")


def _list_archive(archive: Path, settings: RagSettings, spool: Spool) -> Files:
    """An archive's files on paths without a hidden part; files of types that are not read are listed, not unpacked.

    They are unpacked onto the disk, so that an archive takes the memory of one of its files.
    """
    found: dict[str, _File] = {}

    def wanted(name: str) -> bool:
        """Whether to unpack a member; the names of the others are noted."""
        if any(part.startswith(".") for part in PurePosixPath(name).parts):
            return False
        if format_of(name) is None:
            found[name] = _File(_empty)
        return format_of(name) is not None

    limits = ArchiveLimits(
        settings.archive_files,
        settings.archive_file_mb * 2**20,
        settings.archive_total_mb * 2**20,
        settings.parse_timeout_s,
    )
    for name, content in read_archive(archive, wanted, limits, cut_large=True):
        try:
            found[name] = _file_of(content, limits.file_bytes, spool)
        except OSError as error:
            raise ArchiveUnsafe(
                f"{archive} cannot be unpacked ({error.strerror or error}): make room for temporary files, or name "
                "another folder for them in TMPDIR"
            ) from error
    files = strip_top_folder(found)
    return {name: files[name] for name in sorted(files)}


def _file_of(content: bytes, most: int, spool: Spool) -> _File:
    """A file of an archive; where it is larger than `most`, one byte more than that was read."""
    is_cut, size = len(content) > most, min(len(content), most)
    return _File(partial(spool.read, spool.write(content[:most]), size), lambda: None if is_cut else size, is_cut)


def _empty(_: int) -> bytes:
    return b""


def _file_at(path: Path) -> _File:
    return _File(partial(_read_limited, path), lambda: path.stat().st_size)


def _list_folder(path: Path, settings: RagSettings, spool: Spool) -> Files:
    root = path.resolve()
    refused: list[OSError] = []
    found: Files = {}
    for folder, names, files in os.walk(path, onerror=refused.append):
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in sorted(files):
            file = Path(folder) / name
            if not name.startswith(".") and not _leads_out(file, root):
                found |= _list_entry(file, file.relative_to(path).as_posix(), settings, spool)
    for error in refused:
        if Path(error.filename) == path:
            raise SourceUnusable(
                f"the folder {path} cannot be read ({error.strerror}): make it readable, or name the folders that are"
            ) from error
        found[f"{Path(error.filename).relative_to(path).as_posix()}/"] = _File(partial(_fail, error))
    ignored = _read_ignored(path)
    return {name: file for name, file in found.items() if not match_any(name, ignored)}


def _read_ignored(folder: Path) -> list[str]:
    """The globs of the folder's ignore file, one a line; a folder's name alone means everything in it.

    Raises SourceUnusable: the ignore file cannot be read.
    """
    file = folder / IGNORE_FILE
    try:
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    except (OSError, UnicodeError) as error:
        raise SourceUnusable(
            f"{file} cannot be read ({reason_of(error)}): write one glob a line in it, as UTF-8 text, or remove it"
        ) from error
    patterns = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return [one for pattern in patterns for one in (pattern.rstrip("/"), f"{pattern.rstrip('/')}/**")]


def _list_entry(file: Path, name: str, settings: RagSettings, spool: Spool) -> Files:
    """One file of a folder, or, below its name, the files of an archive that lies there.

    An archive that cannot be read becomes a file that fails.
    """
    if not is_archive(file) or not file.is_file():
        return {name: _file_at(file)}
    try:
        return {f"{name}/{inner}": found for inner, found in _list_archive(file, settings, spool).items()}
    except ArchiveUnsafe as error:
        return {f"{name}/": _File(partial(_fail, error))}


def _leads_out(file: Path, root: Path) -> bool:
    """Whether a link leads out of the folder. A circular link does not: reading it reports the circle."""
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
