"""Documents out of packages of Debian and PyPI: pinned in a TOML table, fetched by apt-get or pip, checked, unpacked.

It names no address: the clients ask the indexes that this machine is set up for, and a folder of archives is asked
before them. An archive is compared with its pinned checksum before anything in it is read or run.

    packages = load_packages(Path("data/eval/leftout/sets.toml"))
    fetch_package(packages["magic"], out=Path("leftout/documents/magic"), archives=Path("leftout/packages"))
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rag.counted import counted
from rag.errors import ChecksumMismatch, CorpusUnavailable
from rag.sources.archive import read_archive
from rag.sources.corpus import FETCHED_FILE, match_any, replace_folder, write_tree

DEBIAN, PYPI = "debian", "pypi"
DEBIAN_ROOT = "usr/share/"  # where Debian's packages have their documents; paths are those below it
_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Package:
    """One pinned package and the documents wanted of it.

    `index` is DEBIAN or PYPI, `file` the archive's name as the client saves it. `include` and `exclude` are globs over
    paths below DEBIAN_ROOT, or below the top folder of a source distribution.
    """

    name: str
    index: str
    package: str
    version: str
    file: str
    sha256: str
    licence: str
    include: tuple[str, ...]
    exclude: tuple[str, ...] = ()

    def selects(self, path: str) -> bool:
        """Whether a path is that of a wanted document."""
        return match_any(path, self.include) and not match_any(path, self.exclude)


def load_packages(path: Path) -> dict[str, Package]:
    """The packages of a TOML table by the name of their set, in the file's order."""
    with path.open("rb") as file:
        tables = tomllib.load(file)
    return {
        name: Package(name, **{**table, "include": tuple(table["include"]), "exclude": tuple(table.get("exclude", ()))})
        for name, table in tables.items()
    }


def fetch_package(
    package: Package,
    out: Path,
    archives: Path,
    mirror: Path | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> int:
    """Write a package's documents into `out`, and return how many they are.

    The archive is taken from the folders `archives` or `mirror`, or else fetched into `archives`. A folder that has
    the documents of this very pin stays as it is; a failure leaves the folder as it was.

    Raises:
        CorpusUnavailable: no folder and no client gives the archive, or it holds none of the documents.
        ChecksumMismatch: the archive is not the pinned one.
        ArchiveUnsafe: the archive is hostile or damaged.
    """
    record = {**asdict(package), "include": list(package.include), "exclude": list(package.exclude)}
    present = _read_record(out)
    count = present.pop("files", None)
    if present == record and isinstance(count, int):
        report(f"{package.name}: already fetched ({counted(count, 'file')})")
        return count

    archive = _find_archive(package, archives, mirror, report)
    files = _read_documents(package, archive)
    if not files:
        raise CorpusUnavailable(f"{package.name}: {archive} holds no path that `include` selects: mend the table")

    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{package.name}-", dir=out.parent) as work:
        write_tree(Path(work) / "tree", files, {**record, "files": len(files)})
        replace_folder(Path(work), out)
    report(f"{package.name}: {counted(len(files), 'file')} of {package.file}")
    return len(files)


def _read_record(out: Path) -> dict[str, Any]:
    """What is known of the documents in a folder; nothing where it has none, or the record is damaged."""
    try:
        record = json.loads((out / FETCHED_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _find_archive(package: Package, archives: Path, mirror: Path | None, report: Callable[[str], None]) -> Path:
    """The archive in one of the folders, or fetched into the first."""
    for folder in filter(None, (archives, mirror)):
        if (folder / package.file).is_file():
            _check(package, folder / package.file)
            return folder / package.file

    archives.mkdir(parents=True, exist_ok=True)
    report(f"{package.name}: fetching {package.package} {package.version}")
    with tempfile.TemporaryDirectory(prefix=f".{package.name}-", dir=archives) as work:
        _CLIENTS[package.index](package, Path(work))
        fetched = Path(work) / package.file
        if not fetched.is_file():
            found = ", ".join(sorted(path.name for path in Path(work).iterdir())) or "nothing"
            raise CorpusUnavailable(f"{package.name}: {package.file} was asked for, and {found} came: mend the table")
        _check(package, fetched)
        return fetched.rename(archives / package.file)


def _check(package: Package, archive: Path) -> None:
    with archive.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    if checksum != package.sha256:
        raise ChecksumMismatch(
            f"{package.name}: {archive} has the SHA-256 {checksum}, pinned is {package.sha256}: remove this file"
        )


def _download_debian(package: Package, folder: Path) -> None:
    _run(package, ["apt-get", "download", "--quiet", f"{package.package}={package.version}"], folder)


def _download_pypi(package: Package, folder: Path) -> None:
    """Pip reads a source distribution's metadata by running its build: of an archive with the pinned checksum alone."""
    pinned = folder / "pinned.txt"
    pinned.write_text(f"{package.package}=={package.version} --hash=sha256:{package.sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-binary", package.package, "--require-hashes", "--dest", ".", "--requirement", pinned.name]
    _run(package, command, folder)
    pinned.unlink()


_CLIENTS = MappingProxyType({DEBIAN: _download_debian, PYPI: _download_pypi})


def _run(package: Package, command: list[str], folder: Path) -> None:
    """Run a client in `folder`.

    Raises CorpusUnavailable: the client is missing, takes too long, or cannot give the package."""
    advice = f"put {package.file} into a folder and give it with --mirror DIR"
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CorpusUnavailable(f"{package.name}: {command[0]} does not run ({error}); {advice}") from error
    if done.returncode != 0:
        reason = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise CorpusUnavailable(
            f"{package.name}: {package.package} {package.version} cannot be fetched ({reason}); {advice}"
        )


def _read_documents(package: Package, archive: Path) -> Mapping[str, bytes]:
    """The wanted files of an archive by their paths in the set; links are not followed."""
    if package.index == PYPI:
        found = dict(read_archive(archive, lambda path: package.selects(path.partition("/")[2])))
        return {path.partition("/")[2]: content for path, content in found.items()}

    with tempfile.TemporaryDirectory(prefix="chipalign-deb-") as work:
        tree = Path(work) / "tree.tar"
        _unpack_debian(package, archive, tree)
        found = dict(read_archive(tree, lambda path: package.selects(path.removeprefix(DEBIAN_ROOT))))
    return {path.removeprefix(DEBIAN_ROOT): content for path, content in found.items()}


def _unpack_debian(package: Package, archive: Path, tree: Path) -> None:
    """Write the tree of files in a Debian package as a tar archive."""
    if shutil.which("dpkg-deb") is None:
        raise CorpusUnavailable(f"{package.name}: dpkg-deb, which opens {archive.name}, is missing: install dpkg")
    with tree.open("wb") as file:
        done = subprocess.run(
            ["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=file, stderr=subprocess.PIPE, check=False
        )
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip()
        raise CorpusUnavailable(f"{package.name}: {archive} cannot be opened ({reason}): get it again")
