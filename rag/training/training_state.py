"""Keeps how far a training is, beside what it makes: weights, the optimizer's moments and notes, whole or not at all.

It trains nothing; whoever trains writes its own weights.

    with new_state(Path("ours.training"), optimizer, {"key": key, "losses": losses}) as folder:
        save_file(weights, folder / "reader.safetensors")
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

MOMENTS, NOTES = "optimizer.safetensors", "notes.json"


@contextmanager
def new_state(state: Path, optimizer: torch.optim.Optimizer, notes: dict[str, Any]) -> Iterator[Path]:
    """A folder to write the weights into; it replaces `state` once they are written.

    Moments and notes go with them.
    """
    new = state.with_name(state.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    yield new
    entries = optimizer.state_dict()["state"].items()
    save_file({f"{number}.{name}": value for number, entry in entries for name, value in entry.items()}, new / MOMENTS)
    (new / NOTES).write_text(json.dumps(notes), encoding="utf-8")
    shutil.rmtree(state, ignore_errors=True)
    new.rename(state)


def restore_moments(state: Path, optimizer: torch.optim.Optimizer) -> None:
    """Give the optimizer the moments that were kept."""
    saved: dict[int, dict[str, Tensor]] = {}
    for key, value in load_file(state / MOMENTS).items():
        number, _, name = key.partition(".")
        saved.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": saved})


def read_notes(state: Path, key: dict[str, Any]) -> dict[str, Any] | None:
    """The notes of a training with this key; None where there are none, or only another training's."""
    try:
        notes = json.loads((state / NOTES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return notes if isinstance(notes, dict) and notes.pop("key", None) == key else None
