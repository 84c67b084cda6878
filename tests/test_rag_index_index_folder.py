"""rag.index.index_folder: one writer at a time; a build that is killed at any moment leaves a whole index behind."""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from rag.errors import IndexBusy
from rag.formats.parser import parse_document
from rag.index.building import build_index
from rag.index.index_folder import LOCK, clear_leftovers, locked
from rag.index.manifest import MANIFEST
from rag.index.opening import open_index, verify_index
from rag.settings import RagSettings
from tests.tiny_embedder import TinyEmbedder

ROOT = Path(__file__).parent.parent
SETTINGS = RagSettings(home=Path("unused"))
KILLS = 50
TOO_LONG_S = 2  # no build of thirty notes takes so long

# A process that has everything imported and forks a build for each line on its stdin, "STATE SECONDS"; it kills the
# build after so long.
BUILDER = """
    import os, signal, sys, time
    from pathlib import Path
    from tests.test_rag_index_index_folder import build_state

    for line in sys.stdin:
        state, seconds = line.split()
        child = os.fork()
        if child == 0:
            build_state(Path(sys.argv[1]), state)
            os._exit(0)
        time.sleep(float(seconds))
        os.kill(child, signal.SIGKILL)  # one that has ended is not waited for yet, so its number is still its own
        status = os.waitpid(child, 0)[1]
        sys.stdout.write("killed\\n" if os.WIFSIGNALED(status) else "done\\n")
        sys.stdout.flush()
"""


def build_state(folder: Path, state: str) -> None:
    """Build an index of thirty documents, of which every third says something else in every state."""
    documents = [
        parse_document(
            "notes",
            f"{number}.md",
            f"Note {number}",
            f"# Note {number}\n\nIn state {state if number % 3 else 'all'}.\n",
            None,
            "ISC",
        )
        for number in range(30)
    ]
    build_index(documents, folder, SETTINGS, TinyEmbedder())


def states_in(folder: Path) -> set[str]:
    """The states that the documents of a whole index speak of."""
    verify_index(folder)
    index = open_index(folder)
    assert len(index.chunks) == 30
    return {chunk.text.removeprefix("In state ").rstrip(".") for chunk in index.chunks} - {"all"}


def test_a_build_killed_at_fifty_random_moments_leaves_the_old_or_new_index_whole(tmp_path: Path) -> None:
    chance = random.Random(7)
    build_state(tmp_path, "0")
    started = time.monotonic()
    build_state(tmp_path, "1")
    duration = time.monotonic() - started
    current, outcomes = "1", {"killed": 0, "done": 0}
    command = [sys.executable, "-c", textwrap.dedent(BUILDER), str(tmp_path)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as builder:
        assert builder.stdin is not None
        assert builder.stdout is not None
        for number in range(2, KILLS + 2):
            builder.stdin.write(f"{number} {chance.uniform(0, duration)}\n")
            outcomes[builder.stdout.readline().strip()] += 1
            states = states_in(tmp_path)
            assert states in ({current}, {str(number)})
            current = states.pop()
        builder.stdin.close()
    assert outcomes["killed"] > KILLS // 5  # else the moments would not have been amid the builds
    build_state(tmp_path, "last")
    assert states_in(tmp_path) == {"last"}
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 1
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {MANIFEST, LOCK}


def test_a_reader_that_opens_again_and_again_beside_builds_always_sees_a_whole_index(tmp_path: Path) -> None:
    build_state(tmp_path, "0")
    command = [sys.executable, "-c", textwrap.dedent(BUILDER), str(tmp_path)]
    seen = set()
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as builder:
        assert builder.stdin is not None
        assert builder.stdout is not None
        builder.stdin.write("".join(f"{number} {TOO_LONG_S}\n" for number in range(1, 4)))
        builder.stdin.close()
        while builder.poll() is None:
            index = open_index(tmp_path)
            states = {chunk.text for chunk in index.chunks if int(chunk.path.removesuffix(".md")) % 3}
            assert len(states) == 1
            seen |= states
        assert builder.stdout.read().count("done") == 3
    assert len(seen) > 1


def test_the_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        raise ZeroDivisionError
    with locked(tmp_path), pytest.raises(IndexBusy, match="another process is building"), locked(tmp_path):
        pass


def test_leftovers_are_removed_even_where_nothing_has_to_be_built(tmp_path: Path) -> None:
    build_state(tmp_path, "0")
    dead = tmp_path / "generation-0123456789ab"
    dead.mkdir()
    (dead / "chunks.jsonl").write_text("half")
    (tmp_path / f"{MANIFEST}.new").write_text("{half")
    build_state(tmp_path, "0")
    assert not dead.exists()
    assert not (tmp_path / f"{MANIFEST}.new").exists()
    assert states_in(tmp_path) == {"0"}


def test_without_a_readable_manifest_no_generation_is_removed(tmp_path: Path) -> None:
    build_state(tmp_path, "0")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    (tmp_path / MANIFEST).write_text("{half")
    assert clear_leftovers(tmp_path) == []
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
