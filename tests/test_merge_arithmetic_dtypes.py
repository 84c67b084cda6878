"""The dtypes of checkpoints: their names, their widths, and rounding to the nearest as IEEE 754 defines it."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from merge.arithmetic.dtypes import BFLOAT16, DTYPE_NAMES, DTYPES, FLOAT16, FLOAT32, FLOATS, WHOLE
from tests.rows import for_each

BITS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "BOOL": 8}
BITS |= {f"{sign}{bits}": bits for sign in "IU" for bits in (64, 32, 16, 8)}


def test_each_name_has_a_dtype_of_its_own_and_back() -> None:
    assert len(DTYPE_NAMES) == len(DTYPES)
    assert all(DTYPE_NAMES[dtype] == name for name, dtype in DTYPES.items())


def test_a_width_is_the_one_that_the_name_says() -> None:
    widths = {**BITS, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8}
    assert {name: dtype.itemsize * 8 for name, dtype in DTYPES.items()} == widths


def test_what_is_interpolated_and_what_is_copied_share_nothing() -> None:
    assert set(FLOATS).isdisjoint(WHOLE)
    rest = DTYPES.keys() - {*FLOATS, *WHOLE}
    assert rest == {"F8_E4M3", "F8_E5M2", "F8_E8M0"}  # those need their scales first


@for_each("name", sorted(BITS.keys() - {"BF16"}))
def test_names_and_bytes_are_those_of_the_format(name: str) -> None:
    array = np.array([0, 1, 1, 0], DTYPES[name])
    raw = save({"t": array})
    header = raw[8 : 8 + int.from_bytes(raw[:8], "little")]
    assert f'"dtype":"{name}"'.encode() in header
    assert load(raw)["t"].dtype == DTYPES[name]


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_bfloat16_is_the_upper_half_of_float32_rounded_to_even(bits: int) -> None:
    value = np.array([bits], np.uint32).view(np.float32)
    if np.isnan(value[0]):
        return
    upper, lower = bits >> 16, bits & 0xFFFF
    upper += lower > 0x8000 or (lower == 0x8000 and upper % 2 == 1)
    assert int(value.astype(BFLOAT16).view(np.uint16)[0]) == upper


@for_each(
    ("value", "bfloat16", "float16"),
    [
        (1.0, 1.0, 1.0),
        (1 + 2**-8, 1.0, 1 + 2**-8),  # halfway between two bfloat16: the even one
        (1 + 3 * 2**-8, 1 + 2**-6, 1 + 3 * 2**-8),
        (65504.0, 65536.0, 65504.0),
        (65519.0, 65536.0, 65504.0),
        (2.0**-25, 2.0**-25, 0.0),
        (2.0**-24, 2.0**-24, 2.0**-24),
    ],
)
def test_rounding_takes_the_nearest_and_of_two_the_even(value: float, bfloat16: float, float16: float) -> None:
    wide = np.array([value, -value], FLOAT32)
    assert wide.astype(BFLOAT16).astype(float).tolist() == [bfloat16, -bfloat16]
    assert wide.astype(FLOAT16).astype(float).tolist() == [float16, -float16]


@for_each("name", ["F16", "BF16", "F8_E4M3", "F8_E5M2"])
def test_float32_holds_every_number_of_a_narrower_float(name: str) -> None:
    dtype = DTYPES[name]
    bits = np.arange(2 ** (8 * dtype.itemsize), dtype=np.uint16 if dtype.itemsize == 2 else np.uint8)
    values = bits.view(dtype)
    with np.errstate(invalid="ignore"):
        again = values.astype(FLOAT32).astype(dtype)
    same = again.view(bits.dtype) == bits
    assert np.all(same | np.isnan(values.astype(FLOAT32)))
