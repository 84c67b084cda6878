"""Work counted in function calls, as time is not to be trusted in tests.

count_calls(lambda: leans_on_earlier("and for hold?"))
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Collection


def count_calls(work: Callable[[], object], events: Collection[str] = ("call", "c_call")) -> int:
    """Function calls, Python's and C's by default, that some work takes."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in events

    gc.disable()  # what libraries have run at a collection would be counted too
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
        gc.enable()
    return calls
