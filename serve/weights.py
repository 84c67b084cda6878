"""Are the weights of a checkpoint directory whole? Their headers are read, their numbers are not: a moment, whatever the model's size.

An engine finds a copy that broke off only after it has loaded for minutes, and says so in a traceback. Here it is one sentence, before.

    check_weights(settings.checkpoint_dir)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from serve.errors import WeightsBroken

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
LENGTH_BYTES = 8  # a safetensors file opens with the length of its header, little-endian
MAX_HEADER_BYTES = 100_000_000  # what the safetensors library itself reads at most
ADVICE = "copy the model anew or merge it anew with --force, or set CHIPALIGN_CHECKPOINT (--checkpoint) to a whole one"


def check_weights(checkpoint_dir: Path) -> None:
    """Find every weight file that is missing, cut off or no safetensors.

    Raises:
        WeightsBroken: naming each such file with what is wrong with it.
    """
    problems = list(weight_problems(checkpoint_dir))
    if problems:
        raise WeightsBroken(f"the weights in {checkpoint_dir} cannot be served: {'; '.join(problems)}: {ADVICE}")


def weight_problems(checkpoint_dir: Path) -> Iterator[str]:
    """What is wrong with the weights, a phrase for each file; none where they are whole."""
    try:
        names = shard_names(checkpoint_dir)
    except (OSError, ValueError) as error:
        yield f"{INDEX} cannot be read ({error})"
        return
    for name in names:
        try:
            expected = expected_bytes(checkpoint_dir / name)
            actual = (checkpoint_dir / name).stat().st_size
        except FileNotFoundError:
            yield f"{name} is missing"
        except (OSError, ValueError) as error:
            yield f"{name} cannot be read ({error})"
        else:
            if actual != expected:
                yield f"{name} has {actual} bytes where its header tells of {expected}"


def shard_names(checkpoint_dir: Path) -> list[str]:
    """The files that hold the weights: those of the index, or the single file.

    Raises:
        OSError, ValueError: the index is not one.
    """
    if not (checkpoint_dir / INDEX).exists():
        return [SINGLE]
    index = json.loads((checkpoint_dir / INDEX).read_bytes())
    weight_map = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise ValueError("it has no weight_map")
    names = set(weight_map.values())
    for name in names:
        if not isinstance(name, str) or Path(name).name != name:
            raise ValueError(f"its weight_map names {name!r}, which is no file of this folder")
    return sorted(names)


def expected_bytes(path: Path) -> int:
    """How long a safetensors file has to be by its own header: the length, the header, and the tensors up to the last one's end.

    Raises:
        OSError: the file cannot be read.
        ValueError: its beginning is no safetensors header.
    """
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(LENGTH_BYTES), "little")
        if not 2 <= header_bytes <= MAX_HEADER_BYTES:  # 2: an empty JSON object
            raise ValueError("it is no safetensors file")
        text = file.read(header_bytes)
    if len(text) < header_bytes:
        raise ValueError("it ends inside its header")
    try:
        header = json.loads(text)
        ends = [_end(entry) for name, entry in header.items() if name != "__metadata__"]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ValueError("its header is no safetensors header") from None
    return LENGTH_BYTES + header_bytes + max(ends, default=0)


def _end(entry: dict[str, Any]) -> int:
    """Where a tensor ends, in bytes behind the header."""
    start, end = entry["data_offsets"]
    if not (type(start) is int and type(end) is int and 0 <= start <= end):
        raise ValueError
    return end
