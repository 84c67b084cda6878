"""Files, stretches of files and lists of hashes have the hashes that b3sum and sha256sum print."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from merge.errors import CheckpointCorrupt, CheckpointNotFound
from merge.models.hashing import HASHED_BYTES, HASHES, find_hash, hash_content, hash_file, hash_span
from tests.rows import for_each


def test_a_hash_is_blake3_as_its_specification_gives_it(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "abc").write_bytes(b"abc")
    assert hash_file(tmp_path / "empty") == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    assert hash_file(tmp_path / "abc") == "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"


def test_a_hash_of_an_older_report_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert hash_file(tmp_path / "abc", HASHES["sha256"]) == expected


def test_what_is_not_a_file_has_no_hash(tmp_path: Path) -> None:
    with pytest.raises(CheckpointNotFound, match="does not exist"):
        hash_file(tmp_path / "none")
    with pytest.raises(CheckpointCorrupt, match="is not a plain file"):
        hash_file(tmp_path)


@for_each(
    ("entry", "key", "new_hash"),
    [
        ({"bytes": 1, "blake3": "x"}, "blake3", blake3),
        ({"bytes": 1, "header_blake3": "x"}, "header_blake3", blake3),
        ({"name": "t", "sha256": "x"}, "sha256", hashlib.sha256),
        ({"header_sha256": "x"}, "header_sha256", hashlib.sha256),
        ({"sha256": "x", "blake3": "y"}, "blake3", blake3),
    ],
)
def test_an_entry_of_a_report_says_which_hash_it_has(entry: dict[str, object], key: str, new_hash: object) -> None:
    assert find_hash(entry) == (key, new_hash)


def test_an_entry_without_a_hash_that_is_known_is_refused() -> None:
    with pytest.raises(KeyError, match="blake3 or sha256"):
        find_hash({"bytes": 1, "md5": "x"})


@for_each(
    ("offset", "count", "covered"),
    [(0, 0, b""), (0, 4, b"0123"), (3, 4, b"3456"), (8, 99, b"89"), (10, 5, b""), (99, 5, b"")],
)
def test_a_span_is_hashed_as_far_as_the_file_goes(tmp_path: Path, offset: int, count: int, covered: bytes) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")
    with (tmp_path / "f").open("rb") as file:
        assert hash_span(file.fileno(), offset, count) == blake3(covered).hexdigest()
        assert file.tell() == 0  # threads share the file, and none moves its place


def test_a_span_longer_than_one_read_is_hashed_whole(tmp_path: Path) -> None:
    raw = bytes(range(256)) * (HASHED_BYTES // 256) + b"end"
    (tmp_path / "f").write_bytes(raw)
    with (tmp_path / "f").open("rb") as file:
        assert hash_span(file.fileno(), 1, len(raw) - 1) == blake3(raw[1:]).hexdigest()


@settings(max_examples=50)
@given(st.dictionaries(st.text("ab./é", min_size=1, max_size=6), st.text("0123456789abcdef", min_size=4, max_size=4)))
def test_a_content_hash_does_not_depend_on_the_order_of_the_files(files: dict[str, str]) -> None:
    turned = dict(reversed(files.items()))
    assert hash_content(files) == hash_content(turned)
    listed = "".join(f"{digest}  {name}\n" for name, digest in sorted(files.items()))  # as b3sum prints it
    assert hash_content(files) == blake3(listed.encode()).hexdigest()
    for name in files:
        assert hash_content({**files, name: "xxxx"}) != hash_content(files)
        assert hash_content({**files, name + "x": files[name]}) != hash_content(files)


def test_a_file_beyond_one_read_is_hashed_whole(tmp_path: Path) -> None:
    raw = bytes(range(256)) * (HASHED_BYTES // 256) + b"more"
    (tmp_path / "w").write_bytes(raw)
    assert hash_file(tmp_path / "w") == blake3(raw).hexdigest()
    assert hash_file(tmp_path / "w", is_cancelled=lambda: True) != blake3(raw).hexdigest()  # it was cancelled
