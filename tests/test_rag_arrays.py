"""rag.arrays: what numpy wrote is mapped as it is; a header that says anything else is refused unread."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rag.arrays import is_rising, map_array

I64 = np.dtype(np.int64)


@pytest.mark.parametrize("array", [np.arange(5), np.arange(0), np.arange(100_000)])
def test_a_row_of_numbers_comes_back(tmp_path: Path, array: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
    np.save(tmp_path / "a.npy", array)
    assert np.array_equal(map_array(tmp_path / "a.npy", I64), array)


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_a_table_comes_back_with_its_width_alone(tmp_path: Path, rows: int) -> None:
    array = np.arange(rows * 4, dtype=np.uint8).reshape(rows, 4)
    np.save(tmp_path / "a.npy", array)
    assert np.array_equal(map_array(tmp_path / "a.npy", np.dtype(np.uint8), 4), array)
    with pytest.raises(ValueError, match="does not begin as an array of uint8"):
        map_array(tmp_path / "a.npy", np.dtype(np.uint8), 5)


def test_another_type_another_length_and_another_order_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    for array in (np.arange(3, dtype=np.int32), np.arange(3.0), np.array(3), np.ones((3, 2), dtype=np.int64)):
        np.save(path, array)
        with pytest.raises(ValueError, match="does not begin"):
            map_array(path, I64)
    np.save(path, np.asfortranarray(np.ones((3, 2), dtype=np.int64)))
    with pytest.raises(ValueError, match="does not begin"):
        map_array(path, I64, 2)
    np.save(path, np.arange(3))
    for content in (path.read_bytes()[:-1], path.read_bytes() + b"\0"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="its header speaks of 152"):
            map_array(path, I64)


def test_numbers_that_rise_cut_a_whole_into_parts() -> None:
    assert is_rising(np.array([0, 2, 2, 5]), 5)
    assert is_rising(np.array([0]), 0)
    assert not any(is_rising(np.array(starts), 5) for starts in ([], [1, 5], [0, 4], [0, 6], [0, 3, 2, 5], [0, -1, 5]))
