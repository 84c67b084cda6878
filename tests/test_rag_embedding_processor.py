"""What the processor multiplies in hardware is what the kernel says of it."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

from rag.embedding.processor import multiplies_bfloat16, multiplies_eight_bits

CPUINFO = Path("/proc/cpuinfo")


def flags() -> set[str]:
    """The kernel's names of what the first core can do."""
    line = next(line for line in CPUINFO.read_text().splitlines() if line.startswith("flags"))
    return set(line.partition(":")[2].split())


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="the kernel's flags are those of x86"
)
def test_the_processor_multiplies_what_the_kernel_says() -> None:
    known = flags()
    assert multiplies_eight_bits() is ("avx512_vnni" in known)
    if multiplies_bfloat16():
        assert known & {"avx512_bf16", "amx_tile"}
    elif "avx512_bf16" in known:
        pytest.fail("AVX512_BF16 is there and not used")
