"""Which arithmetic is chosen: by the device that is asked for, and by what is installed."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from merge.arithmetic.choice import find_arithmetic
from merge.arithmetic.cuda import TorchArithmetic
from merge.arithmetic.dtypes import FLOAT16, FLOAT32, Array
from merge.arithmetic.plain import NumpyArithmetic
from merge.errors import DeviceNotFound, MergeError


@pytest.mark.parametrize("device", ["cuda:99", "nonsense"])
def test_a_device_that_is_not_there_is_an_error_that_says_so(device: str) -> None:
    with pytest.raises(DeviceNotFound, match=f"device '{device}' cannot be used: .*Use cpu") as caught:
        find_arithmetic(device)
    assert isinstance(caught.value, MergeError)
    assert "\n" not in str(caught.value)


def test_the_word_cpu_means_this_machines_own_loops() -> None:
    kernels = pytest.importorskip("merge.arithmetic.kernels")
    assert type(find_arithmetic("cpu")) is kernels.CompiledArithmetic
    assert type(find_arithmetic("cpu:0")) is TorchArithmetic


def test_a_machine_without_numba_computes_with_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "merge.arithmetic.kernels", raising=False)
    monkeypatch.setitem(sys.modules, "numba", None)  # importing it fails as if it were not installed
    assert type(find_arithmetic("cpu")) is NumpyArithmetic


def test_a_machine_without_torch_says_what_a_device_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "merge.arithmetic.cuda", None)
    with pytest.raises(DeviceNotFound, match=r"device 'cuda' needs torch, which is not installed\. Use cpu"):
        find_arithmetic("cuda")


def test_a_device_leaves_widening_and_rounding_to_this_machine() -> None:
    class Counting(NumpyArithmetic):
        calls = 0

        def widen(self, piece: Array) -> Array:
            self.calls += 1
            return super().widen(piece)

    host = Counting()
    wide = TorchArithmetic("cpu:0", host).widen(np.ones(3, FLOAT16))
    assert (wide.dtype, wide.tolist(), host.calls) == (FLOAT32, [1.0, 1.0, 1.0], 1)
    assert TorchArithmetic("cpu:0", host).narrow(wide, FLOAT16).dtype == FLOAT16
