"""merge.models.gguf_header: what a whole file claims is read, and a claim that cannot hold is refused."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from merge.errors import CheckpointCorrupt, CheckpointNotFound, MergeError
from merge.models.gguf_header import ENTRIES_LIMIT, ITEMS_LIMIT, read_gguf
from tests.rows import for_each

F32, Q8_0 = 0, 8  # GGML's numbers of two types: blocks of 1 element in 4 bytes, of 32 in 34
Tensor = tuple[str, tuple[int, ...], int, int]  # name, shape, type, offset


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def entry(key: str, value: Any) -> bytes:
    """A key of the metadata with a text, a whole number, or bytes that stand for themselves."""
    if isinstance(value, bytes):
        return text(key) + value
    return text(key) + (struct.pack("<I", 8) + text(value) if isinstance(value, str) else struct.pack("<IQ", 10, value))


def listed(inner: int, length: int, items: bytes = b"") -> bytes:
    return struct.pack("<IIQ", 9, inner, length) + items


NAMED = entry("general.architecture", "llama")
TENSORS: list[Tensor] = [("a.weight", (4, 2), F32, 0), ("b.weight", (64,), Q8_0, 32)]
DATA = bytes(32 + 2 * 34)


def file_of(
    entries: list[bytes] | None = None,
    tensors: list[Tensor] | None = None,
    data: bytes = DATA,
    start: bytes = b"GGUF\x03\0\0\0",
    counts: tuple[int, int] | None = None,
    alignment: int = 32,
) -> bytes:
    entries = [NAMED] if entries is None else entries
    tensors = TENSORS if tensors is None else tensors
    head = start + struct.pack("<QQ", *(counts or (len(tensors), len(entries)))) + b"".join(entries)
    for name, shape, kind, offset in tensors:
        head += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)
    return head + bytes(-len(head) % alignment) + data


def write(folder: Path, raw: bytes) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(raw)
    return path


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    entries = [
        NAMED,
        entry("llama.block_count", struct.pack("<II", 4, 2)),
        entry("llama.rope", struct.pack("<If", 6, 0.5)),
        entry("ok", struct.pack("<IB", 7, 1)),
        entry("tokens", listed(8, 2, text("<s>") + text("\u00b5"))),
        entry("scores", listed(6, 3, bytes(12))),
    ]
    header = read_gguf(write(tmp_path, file_of(entries)))
    assert header.tensors == {"a.weight": (4, 2), "b.weight": (64,)}
    assert header.elements == 72
    assert header.metadata == {
        "general.architecture": "llama",
        "llama.block_count": 2,
        "llama.rope": 0.5,
        "ok": True,
        "tokens": 2,  # an array is its length
        "scores": 3,
    }


def test_the_second_version_another_alignment_and_a_file_without_tensors_are_read(tmp_path: Path) -> None:
    assert read_gguf(write(tmp_path, file_of(start=b"GGUF\x02\0\0\0"))).elements == 72
    wide = [NAMED, entry("general.alignment", struct.pack("<II", 4, 128))]
    tensors = [TENSORS[0], ("b.weight", (64,), Q8_0, 128)]
    assert read_gguf(write(tmp_path, file_of(wide, tensors, bytes(128 + 68), alignment=128))).elements == 72
    assert read_gguf(write(tmp_path, file_of(tensors=[], data=b""))).elements == 0


@for_each(
    ("raw", "said"),
    [
        (b"", "ends inside its header"),
        (b"GGML" + bytes(60), "is not a GGUF file of version 2 or 3"),
        (file_of(start=b"GGUF\x01\0\0\0"), "is not a GGUF file of version 2 or 3"),
        (file_of(start=b"GGUF\0\0\0\x03"), "is not a GGUF file"),  # of the other byte order
        (file_of()[:40], "ends inside its header"),
        (file_of(counts=(2, ENTRIES_LIMIT + 1)), "announces 100001 things where 100000 are allowed"),
        (file_of(counts=(2**63, 1)), "are allowed"),
        (file_of([NAMED, NAMED]), "the key general.architecture stands twice"),
        (file_of([entry("general.architecture", "")]), "general.architecture is '', which is not a name"),
        (file_of([]), "general.architecture is None"),
        (file_of([entry("general.architecture", 7)]), "general.architecture is 7"),
        (file_of([entry("a\x1b[2J", "x")]), "cannot be printed"),
        (file_of([NAMED, entry("x", struct.pack("<I", 13))]), "a value of the unknown type 13"),
        (file_of([NAMED, entry("x", listed(9, 1))]), "an array of the type 9, which no model has"),
        (file_of([NAMED, entry("x", listed(8, ITEMS_LIMIT + 1))]), "are allowed"),
        (file_of([NAMED, entry("x", listed(10, ITEMS_LIMIT))]), "ends inside its header"),
        (file_of([entry("general.architecture", struct.pack("<I", 8) + text(b"\xff"))]), "is not UTF-8"),
        (file_of([NAMED, entry("llama.block_count", 3)]), "block_count is 3, and its tensors allow 2 at most"),
        (file_of([NAMED, entry("llama.block_count", "2")]), "block_count is '2'"),
        (file_of([NAMED, entry("llama.expert_count", 65)]), "expert_count is 65, and its tensors allow 64"),
        (file_of([NAMED, entry("general.alignment", 48)]), "general.alignment is 48, which is not a power of two"),
        (file_of([NAMED, entry("general.alignment", 0)]), "general.alignment is 0"),
        (file_of([NAMED, entry("general.alignment", "32")]), "general.alignment is '32'"),
        (file_of(tensors=[TENSORS[0], TENSORS[0]]), "a tensor's name stands twice"),
        (file_of(tensors=[("a", (4, 0), F32, 0)]), "has shape [4, 0], which no file holds"),
        (file_of(tensors=[("a", (2**39, 4), F32, 0)]), "which no file holds"),
        (file_of(tensors=[("a", (1, 1, 1, 1, 1), F32, 0)]), "announces 5 things where 4 are allowed"),
        (file_of(tensors=[("a" * 501, (4,), F32, 0)]), "names a tensor of 501 characters"),
        (file_of(tensors=[("a", (4,), 99, 0)]), "tensor a is of the unknown type 99"),
        (file_of(tensors=[("a", (33,), Q8_0, 0)]), "has rows of 33 elements, its type blocks of 32"),
        (file_of(tensors=[TENSORS[0], ("b", (4,), F32, 28)]), "tensor b lies in another"),
        (file_of(tensors=[("a", (26,), F32, 0)]), "ends at byte"),
        (file_of(data=DATA[:-1]), "tensor b.weight ends at byte"),
        (file_of(tensors=[("a", (1,), F32, 2**63)]), "ends at byte"),
    ],
)
def test_a_claim_that_cannot_hold_is_refused_in_one_sentence(raw: bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointCorrupt) as caught:
        read_gguf(write(tmp_path, raw))
    assert said in str(caught.value)
    assert "model.gguf" in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_file_that_is_missing_or_a_folder_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(CheckpointNotFound, match="does not exist"):
        read_gguf(tmp_path / "none.gguf")
    with pytest.raises(CheckpointCorrupt, match="is not a plain file"):
        read_gguf(tmp_path)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, len(file_of()) - 1), more=st.binary(min_size=1, max_size=12))
def test_changed_bytes_are_read_or_refused_and_nothing_else(tmp_path: Path, place: int, more: bytes) -> None:
    raw = file_of()
    changed = raw[:place] + more + raw[place + len(more) :]
    with suppress(MergeError):
        header = read_gguf(write(tmp_path, changed))
        assert all(len(shape) <= 4 for shape in header.tensors.values())
