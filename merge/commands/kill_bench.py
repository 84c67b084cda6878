"""A merge that is killed at random moments, again and again: each run takes up what the one before left.

It measures no time.

    kills = kill_repeatedly(Path("chip"), Path("chat"), Path("out"), kills=200)
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.process
import random
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from merge.errors import BenchFailed

SHARD_BYTES = 8_000_000  # two or three shards of a small pair, so that the end of a merge renames files


@dataclass(frozen=True)
class Kills:
    """The result for a merge that was killed again and again."""

    killed: int
    taken_up: int  # killed runs that left something to resume
    # Runs that ended before they were killed, and the undisturbed last one; all with the expected bytes
    finished: int


def kill_repeatedly(chip: Path, chat: Path, out: Path, kills: int, seed: int = 0) -> Kills:
    """Kill a merge at random moments, `kills` times, each run resuming the one before; then let it end.

    Raises BenchFailed: `out` exists at some time and is not what an undisturbed run makes, or the last run leaves
    anything else.
    """
    pause, partial = random.Random(seed), out.with_name(f".{out.name}.partial")
    whole_s = 0.0
    for _ in range(2):  # the first also starts the server, with all imports, that the others are forked from
        shutil.rmtree(out, ignore_errors=True)
        started = time.monotonic()
        _start_merge(chip, chat, out).join()
        whole_s = time.monotonic() - started

    expected = read_folder(out)
    shutil.rmtree(out)
    killed = taken_up = finished = 0

    while killed < kills:
        process = _start_merge(chip, chat, out)
        time.sleep(pause.uniform(0, whole_s))
        process.kill()
        process.join()
        killed += process.exitcode != 0
        taken_up += partial.exists()
        if out.exists():
            _compare(read_folder(out), expected, out)
            shutil.rmtree(out)
            finished += 1

    _start_merge(chip, chat, out).join()
    _compare(read_folder(out), expected, out)
    if partial.exists():
        raise BenchFailed(f"{partial} was left behind by a merge that ended well. Please report this")
    return Kills(killed, taken_up, finished + 1)


def read_folder(folder: Path) -> dict[str, bytes]:
    """All files of a folder by name; empty if it is missing."""
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def _compare(found: Mapping[str, bytes], expected: Mapping[str, bytes], out: Path) -> None:
    if wrong := sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name)):
        raise BenchFailed(
            f"{out}: {', '.join(wrong)} differ from those of a merge that was not disturbed. Please report this"
        )


def _start_merge(chip: Path, chat: Path, out: Path) -> multiprocessing.process.BaseProcess:
    """Start a merge in a process forked from one with all imports, so that it starts in a moment."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["merge.merging.merger", "merge.merging.card"])
    process = context.Process(target=_merge_quietly, args=(chip, chat, out))
    process.start()
    return process


def _merge_quietly(chip: Path, chat: Path, out: Path) -> None:
    from merge.merging.card import render_card
    from merge.merging.merger import merge_parents
    from merge.recipe import ParentRef, Recipe
    from merge.settings import MergeSettings

    recipe = Recipe(ParentRef(str(chip)), ParentRef(str(chat)), base=out.parent)
    merge_parents(recipe, out, MergeSettings(out.parent / "home"), render_card, shard_bytes=SHARD_BYTES)
