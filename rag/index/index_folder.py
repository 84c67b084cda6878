"""Writes the folder of an index: one writer at a time, nothing foreign touched, nothing half-written left.

It does not know what is written. It puts the manifest in place in one step, which is the moment a build counts.

    with locked(index_dir): ...; write_manifest(index_dir, manifest); clear_leftovers(index_dir)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rag.errors import IndexBusy, IndexCorrupt, IndexMismatch, IndexNotFound, SourceUnusable
from rag.folder_lock import hold_lock
from rag.index.generation import remove_generation
from rag.index.manifest import MANIFEST, Manifest, flush, read_manifest
from rag.index.vector_store import FILES, VectorStore

LOCK = ".lock"


@contextmanager
def locked(index_dir: Path, store: VectorStore = FILES) -> Iterator[None]:
    """Hold the folder's build lock, and remove what a killed build left behind.

    The system frees the lock when the process ends, however it ends.
    """
    _refuse_foreign(index_dir)
    busy = IndexBusy(f"another process is building the index in {index_dir}: wait for it, or build into another folder")
    with hold_lock(index_dir / LOCK, lambda error: _unwritable(index_dir, error), busy):
        clear_leftovers(index_dir, store)
        yield


def _unwritable(index_dir: Path, error: OSError) -> SourceUnusable:
    return SourceUnusable(f"the index cannot be written to {index_dir} ({error.strerror}): name a folder you can write")


def _refuse_foreign(index_dir: Path) -> None:
    """Raise SourceUnusable for a folder with other things in it.

    An index is only written into a new or empty folder, or over an index.
    """
    try:
        names = {path.name for path in index_dir.iterdir()}
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unwritable(index_dir, error) from error
    if not names or LOCK in names:
        return
    try:
        read_manifest(index_dir)
    except IndexMismatch:
        return  # an index of another version of this program
    except (IndexNotFound, IndexCorrupt):
        raise SourceUnusable(
            f"{index_dir} is a folder with other files ({min(names)}) and no index: name a new or an empty folder"
        ) from None


def clear_leftovers(index_dir: Path, store: VectorStore = FILES, keep: str = "") -> list[str]:
    """Remove every generation but the current one and the one to `keep`, and a half-written manifest.

    Returns the folders that could not be removed. Where the manifest cannot be read it removes nothing: nobody knows
    which generation it names.
    """
    try:
        current = read_manifest(index_dir).generation
    except IndexNotFound:
        current = ""
    except (IndexCorrupt, IndexMismatch):
        return []
    (index_dir / f"{MANIFEST}.new").unlink(missing_ok=True)
    return [
        str(folder)
        for folder in index_dir.iterdir()
        if folder.name not in (current, keep) and not remove_generation(folder, store)
    ]


def write_manifest(index_dir: Path, manifest: Manifest) -> None:
    """Replace the old manifest in one step, on the disk.

    Raises OSError.
    """
    work = index_dir / f"{MANIFEST}.new"
    work.write_text(manifest.as_json(), encoding="utf-8")
    flush(work)
    work.replace(index_dir / MANIFEST)
    flush(index_dir)
