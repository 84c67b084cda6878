"""Hashes of files and of stretches of them, and which hash an entry of a report has. It knows nothing of tensors.

Parents are hashed whole before every merge and its output while it is written, so the hash is BLAKE3: as safe as
SHA-256 and four times as fast (6.5 against 1.6 GB/s on one core with both in hardware). `b3sum` prints the same. Older
reports have SHA-256.

    key, new_hash = find_hash({"bytes": 3, "header_sha256": "..."})  # "header_sha256", hashlib.sha256
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from blake3 import blake3

from merge.errors import CheckpointCorrupt
from merge.files import open_stream

# Read at a time: 1 ms of work; smaller pieces would need the interpreter lock more often than imports release it.
HASHED_BYTES = 1 << 22
HEADER = "header_"  # before a hash's name: of a weight file's bytes before the first tensor


class Hash(Protocol):
    """What hashlib's and blake3's objects have in common."""

    def update(self, data: Any, /) -> Any:
        """Take more bytes."""
        ...

    def hexdigest(self) -> str:
        """The hash of all bytes so far."""
        ...


NewHash = Callable[[], Hash]
HASHES: Mapping[str, NewHash] = {"blake3": blake3, "sha256": hashlib.sha256}  # by their keys in reports


def find_hash(entry: Mapping[str, Any]) -> tuple[str, NewHash]:
    """(the key of the hash that an entry of a report has, what computes it). Raises KeyError: it has none."""
    for name, new_hash in HASHES.items():
        for key in (name, HEADER + name):
            if key in entry:
                return key, new_hash
    raise KeyError(" or ".join(HASHES))


def hash_file(path: Path, new_hash: NewHash = blake3, is_cancelled: Callable[[], bool] = lambda: False) -> str:
    """The hash of a file, as b3sum or sha256sum prints it; meaningless if it was cancelled.

    Raises CheckpointNotFound, CheckpointCorrupt.
    """
    try:
        with open_stream(path) as file:
            return hash_span(file.fileno(), 0, os.fstat(file.fileno()).st_size, new_hash, is_cancelled)
    except OSError as error:
        raise CheckpointCorrupt(f"{path} cannot be read: {error.strerror}. Copy the file anew") from error


def hash_span(
    fd: int,
    offset: int,
    n_bytes: int,
    new_hash: NewHash = blake3,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> str:
    """The hash of a span of an open file; of fewer bytes where the file ends before, or if it was cancelled.

    Raises OSError.
    """
    digest = new_hash()
    buffer = memoryview(bytearray(min(n_bytes, HASHED_BYTES)))
    end = offset + n_bytes
    while not is_cancelled() and (n_read := os.preadv(fd, [buffer[: end - offset]], offset)):
        digest.update(buffer[:n_read])
        offset += n_read
    return digest.hexdigest()


def hash_content(files: Mapping[str, str]) -> str:
    """One BLAKE3 over names and hashes, in the form of b3sum, so that a shell can check it."""
    return blake3("".join(f"{digest}  {name}\n" for name, digest in sorted(files.items())).encode()).hexdigest()
