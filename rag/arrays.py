"""Arrays of an index as numpy's own files, mapped into memory once their headers are checked.

It compares a file's header with the one that numpy writes and never evaluates it, so that no file can ask for pickle or
for memory that the machine lacks.

    offsets = map_array(folder / "chunk_offsets.npy", np.dtype(np.int64))
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LONGEST_HEADER = 256  # bytes; numpy writes 128


def map_array(path: Path, dtype: np.dtype[Any], width: int | None = None) -> NDArray[Any]:
    """The array of that type in the file, shape (n,) or with a width (n, width).

    Raises:
        ValueError: the file is not such an array.
        OSError: there is no such file.
    """
    with path.open("rb") as handle:
        found = _header(dtype, width).match(handle.read(_LONGEST_HEADER))
    if not found:
        raise ValueError(f"{path.name} does not begin as an array of {dtype.name} that was built")
    shape = (int(found[1]),) if width is None else (int(found[1]), width)
    size, expected = path.stat().st_size, found.end() + dtype.itemsize * shape[0] * (width or 1)
    if size != expected:
        raise ValueError(f"{path.name} has {size} bytes, its header speaks of {expected}")
    if not shape[0]:  # an empty file cannot be mapped
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, mode="r", offset=found.end(), shape=shape)


def _header(dtype: np.dtype[Any], width: int | None) -> re.Pattern[bytes]:
    """The header of version 1.0 of numpy's format, with the number of rows open."""
    second = "" if width is None else f" {width}"
    text = re.escape(f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': (ROWS,{second}), }}").replace(
        "ROWS", "([0-9]{1,15})"
    )
    return re.compile(rb"\x93NUMPY\x01\x00..%s *\n" % text.encode(), re.DOTALL)


def is_rising(starts: NDArray[Any], last: int) -> bool:
    """Whether the numbers cut `last` items into parts: they begin at 0, never fall, and end at `last`."""
    return (
        len(starts) > 0 and int(starts[0]) == 0 and int(starts[-1]) == last and bool((starts[1:] >= starts[:-1]).all())
    )
