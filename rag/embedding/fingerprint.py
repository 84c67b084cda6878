"""Whether two embedders give the same vectors, judged by their fingerprints alone.

A model in a folder is known by the hash of its files, one behind a server by the signs of its vector of one short text.
Servers of one model differ in the last digits, with the processor, the number format and the rest of the batch, so a
few signs may differ. It embeds nothing.

    fingerprint = describe_served("bge-small", "estimate", vector); alike(fingerprint, other)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIGNS = 256  # of the vector's first numbers; more say nothing more
# Of MiniLM's 256 signs, one or two differ in bfloat16 or float16 from those in float32 (three texts), 12 to 28 with our
# adapter, and half of them between two models.
_TOLERATED = 1 / 32
_KIND = "served"


def describe_served(model: str, counter: str, vector: NDArray[np.float32]) -> str:
    """The fingerprint of a served model by its vector of `PROBE`.

    `counter` names what counts its tokens, which decides where texts are cut.
    """
    signs = np.packbits(vector[:SIGNS] >= 0).tobytes().hex()
    return " ".join((_KIND, str(len(vector)), counter, signs, model))


def alike(one: str, other: str) -> bool:
    """Whether vectors of both may stand in one index: equal, or served under one name with nearly the same signs."""
    if one == other:
        return True
    parts = [fingerprint.split(" ", 4) for fingerprint in (one, other)]
    if any(len(part) != 5 or part[0] != _KIND for part in parts):
        return False
    (_, *first, first_signs, first_model), (_, *second, second_signs, second_model) = parts
    if (first, first_model, len(first_signs)) != (second, second_model, len(second_signs)):
        return False
    differing = int.from_bytes(bytes.fromhex(first_signs)) ^ int.from_bytes(bytes.fromhex(second_signs))
    return differing.bit_count() <= min(SIGNS, int(first[0])) * _TOLERATED
