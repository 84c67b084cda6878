"""Threads that share a tensor's pieces: in order, not far ahead, and with the same bytes as one thread."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from merge.merging import passes
from merge.merging.card import render_card
from merge.merging.merger import merge_parents
from merge.merging.piece_threads import AHEAD, PieceThreads
from merge.recipe import ParentRef
from merge.settings import MergeSettings
from tests.rows import for_each
from tests.tiny_models import make_recipe, read_tensors, write_llama


def test_results_come_in_order_and_only_a_few_ahead() -> None:
    begun: list[int] = []

    def compute(item: int) -> int:
        """The first of each pair takes longer."""
        begun.append(item)
        time.sleep(0.002 if item % 2 == 0 else 0)
        return item * item

    with PieceThreads(2) as threads:
        for number, result in enumerate(threads.map(compute, range(40))):
            assert result == number * number
            assert len(begun) <= number + 1 + 2 * AHEAD + 1


def test_a_failure_reaches_whoever_takes_the_results() -> None:
    def compute(item: int) -> int:
        """The fifth fails."""
        if item == 5:
            raise ValueError("the fifth")
        return item

    with PieceThreads(2) as threads:
        results = threads.map(compute, range(1000))
        assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
        with pytest.raises(ValueError, match="the fifth"):
            list(results)


@for_each(
    "values",
    [
        {"method": "geodesic"},
        {"method": "slerp"},
        {"method": "ties"},
        {"method": "della"},
        {"exclude": ("*mlp*",)},
        {"lam": 1.0},
    ],
)
def test_many_threads_in_one_tensor_write_the_bytes_of_one(
    tmp_path: Path, values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "CHUNK", 96)
    monkeypatch.setattr(passes, "SHARED_PIECES", 4)
    seen: set[str] = set()
    plain = passes.check_merged

    def watch(*arguments: Any) -> float:
        """Notes the thread."""
        seen.add(threading.current_thread().name.partition("_")[0])
        return plain(*arguments)

    monkeypatch.setattr(passes, "check_merged", watch)
    sides = {side: write_llama(tmp_path / side, seed) for seed, side in enumerate(("chip", "chat", "base"))}
    base = ParentRef(str(sides.pop("base")))
    recipe = make_recipe(**sides, base_model=base, **values)
    outs = []
    for pieces in (1 << 30, 4):
        monkeypatch.setattr(passes, "SHARED_PIECES", pieces)
        seen.clear()
        merge_parents(recipe, out := tmp_path / str(pieces), MergeSettings(tmp_path / "home"), render_card, threads=3)
        outs.append(read_tensors(out))
        assert ("pieces" in seen) == (pieces == 4)
    assert outs[0].keys() == outs[1].keys()
    assert all(bool((outs[0][name] == tensor).all()) for name, tensor in outs[1].items())
