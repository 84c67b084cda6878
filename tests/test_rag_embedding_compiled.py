"""rag.embedding.compiled: exponentials beside those in double precision."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rag.embedding.compiled import LARGEST_POWER, exponentiate
from tests.rows import for_each

LARGEST = float(LARGEST_POWER) * np.log(2)  # beyond it, on either side, all exponentials are the same


@given(arrays(np.float32, st.integers(0, 70), elements=st.floats(-85, 85, width=32)))
def test_exponentials_are_those_of_double_precision(values: np.ndarray) -> None:
    found = values.copy()
    exponentiate(found)
    # A float32 of 85 is known to 4e-6, and so is its exponential
    assert np.allclose(found, np.exp(values.astype(np.float64)), rtol=1e-5, atol=0)


def test_near_zero_they_are_exact_to_the_last_bits() -> None:
    values = np.linspace(-1, 1, 10_001, dtype=np.float32)
    found = values.copy()
    exponentiate(found)
    assert np.allclose(found, np.exp(values.astype(np.float64)), rtol=3e-7, atol=0)
    assert found[5_000] == 1


@for_each(
    ("value", "exponential"),
    [(1e4, 2.0**126), (np.inf, 2.0**126), (-1e4, 2.0**-126), (-np.inf, 2.0**-126), (LARGEST + 1, 2.0**126)],
)
def test_beyond_the_largest_power_they_stay_at_it(value: float, exponential: float) -> None:
    found = np.array([value], dtype=np.float32)
    exponentiate(found)
    assert found[0] == exponential


@for_each("place", [0, 33, 69])
def test_what_is_no_number_stays_none(place: int) -> None:
    found = np.zeros(70, dtype=np.float32)
    found[place] = np.nan
    exponentiate(found)
    assert np.flatnonzero(np.isnan(found)).tolist() == [place]
