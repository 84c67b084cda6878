"""Python files as trees, for tests that read our own source or that of a package.

for node in ast.walk(tree_of(path)):
    ...
"""

from __future__ import annotations

import ast
import gc
from functools import cache
from pathlib import Path


@cache
def tree_of(path: Path) -> ast.Module:
    """A file's tree, read once.

    The collector rests meanwhile: a finalizer that it calls lets other threads run, and before Python 3.11.9
    `ast.parse` fails with a SystemError if one of them parses too, as printing a traceback does (CPython's
    issue 106905).
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    finally:
        if collecting:
            gc.enable()
