"""Checks that the weights of a checkpoint directory are complete.

It reads their headers and not their numbers, which takes a moment at any model size. An engine finds a truncated copy
only after minutes of loading, and reports it in a traceback; here it is one sentence, earlier. Index and headers come
from somebody else: it trusts no length or name in them, and waits for no pipe.

    check_weights(settings.checkpoint_dir)
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from serve.errors import WeightsBroken
from serve.evaluation.answers.calibration import FILE as CALIBRATION
from serve.evaluation.answers.calibration import identify_checkpoint, read_calibration

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
LENGTH_BYTES = 8  # a safetensors file opens with the length of its header, little-endian
# The format allows four times that, which takes gigabytes to parse; 90,000 tensors in one file take 12 MB
MAX_HEADER_BYTES = 25_000_000
MAX_OFFSET = 2**63  # bytes
MAX_INDEX_BYTES = 64_000_000  # 90,000 tensors take 10 MB
SHOWN = 10  # files with problems in a message; the others are counted
MAX_NAME = 255  # characters; no file system has longer names
QUOTED = 100  # characters of a name that is not a file's
SMALL_BYTES = 14_000_000_000  # 7 billion weights of 16 bits: smaller models are weaker than the passages that they read
ADVICE = "copy the model anew or merge it anew with --force, or set CHIPALIGN_CHECKPOINT (--checkpoint) to a whole one"


def check_weights(checkpoint_dir: Path) -> None:
    """Find every weight file that is missing, cut off or not safetensors.

    Raises WeightsBroken: names each such file with its fault.
    """
    problems = list(weight_problems(checkpoint_dir))
    if problems:
        more = [f"{len(problems) - SHOWN} more files are not whole"] if len(problems) > SHOWN else []
        raise WeightsBroken(
            f"the weights in {checkpoint_dir} cannot be served: {'; '.join(problems[:SHOWN] + more)}: {ADVICE}"
        )


def choose_answer(answer: str, checkpoint_dir: Path) -> str:
    """The answer mode of a gateway.

    For `auto` it is the one measured on this checkpoint, else quotes if its weights lie here and are small.
    """
    return AnswerChoice(answer, checkpoint_dir).mode()


class AnswerChoice:
    """The answer mode of a gateway, updated when a calibration appears beside the checkpoint.

    See `serve.evaluation.answers.calibration`.
    """

    def __init__(self, answer: str, checkpoint_dir: Path) -> None:
        self._answer = answer
        self._folder = checkpoint_dir
        self._seen: tuple[int, int] | None = None  # the file's modification time and length
        self._found: tuple[str, str] | None = None

    def mode(self) -> str:
        """`quote`, `model`, or `auto`: the quotes, with the model's supported words above them.

        It costs a look at one file's date.
        """
        return self.explain()[0]

    def explain(self) -> tuple[str, str]:
        """The mode and the reason for it."""
        seen = self._look()
        if self._found is None or seen != self._seen:
            self._seen, self._found = seen, self._choose()
        return self._found

    def _look(self) -> tuple[int, int] | None:
        try:
            status = (self._folder / CALIBRATION).stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size

    def _choose(self) -> tuple[str, str]:
        if self._answer != "auto":
            return self._answer, f"{self._answer}, as CHIPALIGN_ANSWER says"
        calibration = read_calibration(self._folder)
        with contextlib.suppress(OSError):
            if calibration and calibration.checkpoint == identify_checkpoint(self._folder):
                return calibration.mode, calibration.line
        size = sum(path.stat().st_size for path in self._folder.glob("*.safetensors"))
        if not size:
            return "auto", "auto: its weights do not lie here, and nobody has measured it"
        mode = "quote" if size < SMALL_BYTES else "auto"
        return (
            mode,
            (
                f"{mode}: the weights take {size / 1e9:.1f} GB, and nobody has measured it (`chipalign eval answers "
                "--calibrate`)"
            ),
        )


def weight_problems(checkpoint_dir: Path) -> Iterator[str]:
    """The faults of the weights, a phrase for each file; empty if they are complete."""
    try:
        names = shard_names(checkpoint_dir)
    except (OSError, ValueError, RecursionError) as error:
        yield f"{INDEX} cannot be read ({_reason(error)})"
        return
    for name in names:
        try:
            expected = expected_bytes(checkpoint_dir / name)
            actual = (checkpoint_dir / name).stat().st_size
        except FileNotFoundError:
            yield f"{name} is missing"
        except (OSError, ValueError) as error:
            yield f"{name} cannot be read ({_reason(error)})"
        else:
            if actual != expected:
                yield f"{name} has {actual} bytes where its header declares {expected}"


def shard_names(checkpoint_dir: Path) -> list[str]:
    """The files that hold the weights: those of the index, or the single file.

    Raises OSError, ValueError, RecursionError: the index cannot be read.
    """
    if not (checkpoint_dir / INDEX).exists():
        return [SINGLE]
    with open_plain(checkpoint_dir / INDEX) as file:
        if (n_bytes := os.fstat(file.fileno()).st_size) > MAX_INDEX_BYTES:
            raise ValueError(f"it has {n_bytes} bytes, more than any index")
        index = json.loads(file.read(MAX_INDEX_BYTES))
    weight_map = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise ValueError("it has no weight_map")
    for name in weight_map.values():
        if not isinstance(name, str) or Path(name).name != name or not name.isprintable() or len(name) > MAX_NAME:
            raise ValueError(f"its weight_map names {repr(name)[:QUOTED]}, which is not a file of this folder")
    return sorted(set(weight_map.values()))


def expected_bytes(path: Path) -> int:
    """The length of a safetensors file by its own header: length field, header, and tensors to the last one's end.

    Raises:
        OSError: the file cannot be read.
        ValueError: it does not begin with a safetensors header.
    """
    with open_plain(path) as file:
        header_bytes = int.from_bytes(file.read(LENGTH_BYTES), "little")
        if not 2 <= header_bytes <= MAX_HEADER_BYTES:  # 2: an empty JSON object
            raise ValueError("it is not a safetensors file")
        if header_bytes > os.fstat(file.fileno()).st_size - LENGTH_BYTES:
            raise ValueError("it ends inside its header")
        text = file.read(header_bytes)
    try:
        header = json.loads(text)
        ends = [_end(entry) for name, entry in header.items() if name != "__metadata__"]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ValueError("its header is not a safetensors header") from None
    return LENGTH_BYTES + header_bytes + max(ends, default=0)


def open_plain(path: Path) -> BinaryIO:
    """Open a file to read.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is a pipe, which would block, or another thing without an end.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return open(fd, "rb")  # noqa: PTH123 - a descriptor, which Path does not open
    is_folder = stat.S_ISDIR(os.fstat(fd).st_mode)
    os.close(fd)
    if is_folder:
        raise IsADirectoryError("Is a directory")
    raise ValueError("it is not a plain file")


def _reason(error: Exception) -> str:
    """An error's message, without characters that steer a terminal."""
    text = str(error) or type(error).__name__
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _end(entry: dict[str, Any]) -> int:
    """Where a tensor ends, in bytes after the header."""
    start, end = entry["data_offsets"]
    if not (type(start) is int and type(end) is int and 0 <= start <= end < MAX_OFFSET):
        raise ValueError
    return end
