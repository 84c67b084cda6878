"""Attack on builds: a process that builds, or removes, is killed at many moments; the index is then the old or the new
one, and whole.

The processes are forked from a server that has everything imported, so that a kill takes a fraction of a second.
"""

from __future__ import annotations

import multiprocessing
import shutil
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from rag.documents import Document
from rag.formats.parser import parse_document
from rag.index.building import build_index, remove_collections
from rag.index.index_folder import LOCK
from rag.index.manifest import MANIFEST, Manifest
from rag.index.opening import verify_index
from rag.settings import RagSettings
from tests.attack import Attack
from tests.tiny_embedder import TinyEmbedder

TINY = RagSettings(home=Path("unused"))
PATIENCE_S = 60.0


def documents(*collections: str) -> list[Document]:
    return [
        parse_document(name, f"{number}.md", f"{name} {number}", f"# {name} {number}\n\nIt says {name}.\n", None, "ISC")
        for name in collections
        for number in range(8)
    ]


def build_new(folder: Path) -> None:
    build_index(documents("router", "power"), folder, TINY, TinyEmbedder())


def remove_timer(folder: Path) -> None:
    remove_collections(["timer"], folder)


def remove_all(folder: Path) -> None:
    remove_collections(["router", "timer"], folder)


OLD = {"router": 8, "timer": 8}
WORK: list[tuple[str, Callable[[Path], None], dict[str, int]]] = [
    ("builds of an index", build_new, {"router": 8, "power": 8}),
    ("removals of a collection", remove_timer, {"router": 8}),
    ("removals of the last collections", remove_all, {}),
]


@pytest.fixture(scope="module")
def forked() -> ForkServerContext:
    """Processes with everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", __name__])
    return context


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("old") / "index"
    build_index(documents("router", "timer"), folder, TINY, TinyEmbedder())
    return folder


def begin(begun: Event, work: Callable[[Path], None], folder: Path) -> None:
    begun.set()
    work(folder)


def run(
    context: ForkServerContext, work: Callable[[Path], None], folder: Path, kill_after_s: float = PATIENCE_S
) -> tuple[int | None, float]:
    """The exit status of a process that does the work, -9 where it was killed, and the seconds from its beginning to
    its end.
    """
    begun = context.Event()
    process = context.Process(target=begin, args=(begun, work, folder))
    process.start()
    assert begun.wait(PATIENCE_S)
    started = time.monotonic()
    process.join(kill_after_s)
    process.kill()
    process.join()
    return process.exitcode, time.monotonic() - started


def what_is_wrong(folder: Path, new: dict[str, int]) -> str:
    """Why the folder is neither the old index nor the new one, or not one that the next build cleans; empty where all
    is well.
    """
    found = collections(verify_index(folder)) if (folder / MANIFEST).exists() else {}
    if found not in (OLD, new):
        return f"it holds {found}"
    build_index(documents("router", "timer"), folder, TINY, TinyEmbedder())
    manifest = verify_index(folder)
    if collections(manifest) != OLD:
        return f"after the next build it holds {collections(manifest)}"
    left = {path.name for path in folder.iterdir()} - {MANIFEST, LOCK, manifest.generation}
    return f"the next build left {left}" if left else ""


def collections(manifest: Manifest) -> dict[str, int]:
    return {name: entry.documents for name, entry in manifest.collections.items()}


@pytest.mark.attack
@pytest.mark.parametrize(("what", "work", "new"), WORK, ids=[what for what, _, _ in WORK])
def test_whenever_it_is_killed_the_index_is_the_old_or_the_new_one(
    attack: Attack,
    forked: ForkServerContext,
    old: Path,
    tmp_path: Path,
    what: str,
    work: Callable[[Path], None],
    new: dict[str, int],
) -> None:
    tries, failures, killed = attack.times(20, full=60), [], 0
    shutil.copytree(old, tmp_path / "undisturbed")
    status, whole_s = run(forked, work, tmp_path / "undisturbed")
    assert status == 0

    for number in range(tries):
        folder = tmp_path / str(number)
        shutil.copytree(old, folder)
        killed += run(forked, work, folder, whole_s * (number + 0.5) / tries)[0] == -9
        if wrong := what_is_wrong(folder, new):
            failures.append(f"killed after {number + 0.5} of {tries} parts of {whole_s:.3f} s: {wrong}")
        shutil.rmtree(folder)
    assert killed, "all had ended by themselves"
    attack.report(f"kills of {what}", tries, failures)
