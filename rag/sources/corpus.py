"""Pinned documentation corpora: those of data/sources.toml, fetched from a mirror or the public host, and checked.

It does not parse documents. A corpus lies whole and verified in <home>/corpora/<name>/ or not at all: files go to a
temporary folder first, which is renamed when their checksum is the pinned one.

    fetch_corpus(load_sources()["openroad"], home=settings.home, mirror=Path("mirror"))
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import httpx

from rag.data_folder import DATA
from rag.errors import ChecksumMismatch, CorpusUnavailable, CorpusUnknown
from rag.home import make_home
from rag.sources.archive import read_archive, strip_top_folder

PUBLIC_HOST = "https://github.com"
FETCHED_FILE = "fetched.json"
MAX_DOWNLOAD_BYTES = 2 * 2**30
_TIMEOUT = httpx.Timeout(60.0, connect=5.0)  # an air-gapped machine should learn quickly that the host is unreachable


@dataclass(frozen=True, slots=True)
class Source:
    """One pinned corpus.

    `include` and `exclude` are glob patterns over paths in the repository; for `checksum` see `tree_checksum`.
    """

    name: str
    repository: str
    revision: str
    licence: str
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    checksum: str
    url_template: str

    def selects(self, path: str) -> bool:
        """Whether a path of the repository belongs to this corpus."""
        return match_any(path, self.include) and not match_any(path, self.exclude)

    def url(self, path: str) -> str:
        """The public address of one file at the pinned revision."""
        return self.url_template.format(repository=self.repository, revision=self.revision, path=path)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a corpus's fetched.json records. `fetched_at` is an ISO date with time zone."""

    name: str
    repository: str
    revision: str
    licence: str
    checksum: str
    files: int
    origin: str
    fetched_at: str


def sources_path() -> Path:
    """data/sources.toml of this checkout."""
    return DATA / "sources.toml"


def load_sources(path: Path | None = None) -> dict[str, Source]:
    """The pinned corpora by name, in the file's order."""
    with (path or sources_path()).open("rb") as handle:
        tables = tomllib.load(handle)
    return {
        name: Source(
            name=name,
            repository=table["repository"],
            revision=table["revision"],
            licence=table["licence"],
            include=tuple(table["include"]),
            exclude=tuple(table.get("exclude", ())),
            checksum=table["checksum"],
            url_template=table["url_template"],
        )
        for name, table in tables.items()
    }


def find_source(name: str, sources: dict[str, Source]) -> Source:
    """The source called `name`.

    Raises CorpusUnknown: there is no such source; the message lists the known names.
    """
    if name not in sources:
        raise CorpusUnknown(f"no corpus is called {name!r}; known are {', '.join(sources)}")
    return sources[name]


def match_any(path: str, patterns: Iterable[str]) -> bool:
    """Whether one of these patterns is that of a path; for a pattern see `match_path`."""
    return any(match_path(path, pattern) for pattern in patterns)


def match_path(path: str, pattern: str) -> bool:
    """Glob over whole path segments: `*` stays inside one, `**` stands for any number of them, including none."""
    return _match_parts(path.split("/"), pattern.split("/"))


def _match_parts(parts: list[str], patterns: list[str]) -> bool:
    if not patterns:
        return not parts
    if patterns[0] == "**":
        return any(_match_parts(parts[skip:], patterns[1:]) for skip in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], patterns[0]) and _match_parts(parts[1:], patterns[1:])


def tree_checksum(files: dict[str, bytes]) -> str:
    """SHA-256 in hex over the sorted files: path, NUL, content's length, NUL, content.

    The archive's form does not matter.
    """
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.encode() + b"\0" + str(len(files[path])).encode() + b"\0" + files[path])
    return digest.hexdigest()


def corpus_dir(home: Path, name: str) -> Path:
    """Where a fetched corpus lies."""
    return home / "corpora" / name


def read_fetched(home: Path, name: str) -> Fetched | None:
    """The record of a fetched corpus, or None where it is not fetched (or its record is damaged: fetch again)."""
    try:
        return Fetched(**json.loads((corpus_dir(home, name) / FETCHED_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def fetch_corpus(
    source: Source,
    home: Path,
    mirror: Path | None = None,
    host: str = PUBLIC_HOST,
    report: Callable[[str], None] = lambda _: None,
) -> Fetched:
    """Bring one corpus into `home`: from `mirror`/<name>.tar.gz (or .zip) if that exists, else from the public host.

    A corpus that is present in the pinned revision and checksum stays as it is. A failure leaves no files.

    Raises:
        CorpusUnavailable: neither source gave the archive, or its folder cannot be made.
        ChecksumMismatch: the files are not the pinned ones.
        ArchiveUnsafe: the archive is hostile or damaged.
    """
    make_home(home)
    present = read_fetched(home, source.name)
    if present and (present.revision, present.checksum) == (source.revision, source.checksum):
        report(f"{source.name}: already fetched ({present.files} files)")
        return present

    target = corpus_dir(home, source.name)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CorpusUnavailable(
            f"{target.parent} cannot be made ({error.strerror}): set CHIPALIGN_HOME to a folder you can write"
        ) from error

    with tempfile.TemporaryDirectory(prefix=f".{source.name}-", dir=target.parent) as work_name:
        work = Path(work_name)
        archive = _find_in_mirror(source.name, mirror)
        origin = str(archive) if archive else f"{host}/{source.repository}/archive/{source.revision}.tar.gz"
        report(f"{source.name}: taking {origin}")
        if archive is None:
            archive = work / f"{source.name}.tar.gz"
            _download(source.name, origin, archive)

        files = _select_files(source, archive)
        checksum = tree_checksum(files)
        if checksum != source.checksum:
            raise ChecksumMismatch(
                f"{source.name}: the {len(files)} selected files of {origin} have the checksum {checksum}, "
                f"pinned is {source.checksum}: the archive is not revision {source.revision}, get that one"
            )

        record = Fetched(
            source.name, source.repository, source.revision, source.licence, checksum, len(files), origin, _now()
        )
        write_tree(work / "tree", files, asdict(record))
        replace_folder(work, target)
    report(f"{source.name}: {len(files)} files, checksum as pinned")
    return record


def _find_in_mirror(name: str, mirror: Path | None) -> Path | None:
    if mirror is None:
        return None
    if not mirror.is_dir():
        raise CorpusUnavailable(f"the mirror {mirror} is not a folder: name the folder that holds {name}.tar.gz")
    return next(
        (path for path in (mirror / f"{name}{suffix}" for suffix in (".tar.gz", ".tgz", ".zip")) if path.is_file()),
        None,
    )


def _download(name: str, url: str, path: Path) -> None:
    """Stream `url` to `path`; every network failure becomes a CorpusUnavailable that names the way around it."""
    advice = (
        f"on a machine without internet put {name}.tar.gz into a folder and give it with --mirror DIR or "
        "CHIPALIGN_MIRROR"
    )
    try:
        with httpx.stream("GET", url, timeout=_TIMEOUT, follow_redirects=True) as response, path.open("wb") as handle:
            response.raise_for_status()
            for block in response.iter_bytes():
                handle.write(block)
                if handle.tell() > MAX_DOWNLOAD_BYTES:
                    raise CorpusUnavailable(f"{name}: {url} is larger than {MAX_DOWNLOAD_BYTES} bytes; {advice}")
    except httpx.HTTPStatusError as error:
        raise CorpusUnavailable(f"{name}: {url} answers {error.response.status_code}; {advice}") from error
    except OSError as error:
        raise CorpusUnavailable(f"{name}: {path.parent} cannot be written ({error.strerror or error})") from error
    except httpx.HTTPError as error:
        raise CorpusUnavailable(
            f"{name}: {url} cannot be reached ({str(error) or type(error).__name__}); {advice}"
        ) from error


def _select_files(source: Source, archive: Path) -> dict[str, bytes]:
    """The corpus's files in an archive, with or without the one top folder that the public host adds."""

    def wanted(path: str) -> bool:
        """Whether the corpus has this path, with or without the top folder."""
        return source.selects(path) or source.selects(path.partition("/")[2])

    files = dict(read_archive(archive, wanted))
    as_they_are = {path: content for path, content in files.items() if source.selects(path)}
    return as_they_are or {path: content for path, content in strip_top_folder(files).items() if source.selects(path)}


def write_tree(root: Path, files: Mapping[str, bytes], record: Mapping[str, Any]) -> None:
    """Write files below `root`, and what is known of them into its FETCHED_FILE."""
    for path, content in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    (root / FETCHED_FILE).write_text(json.dumps(dict(record), indent=2) + "\n", encoding="utf-8")


def replace_folder(work: Path, target: Path) -> None:
    """Put work/tree in the place of `target`; the old folder moves aside first: a full one cannot be renamed over."""
    if target.exists():
        target.rename(work / "old")
    (work / "tree").rename(target)
    shutil.rmtree(work / "old", ignore_errors=True)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
