"""The origin of figures: date, commit, processor, versions. Every report of a measurement carries it.

It measures nothing.

    machine()["cpu"]
"""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from serve.running.engine import cpu_field, engine_kind


def machine() -> dict[str, Any]:
    """The machine and software that produced the figures."""
    engine = engine_kind()
    return {
        "date": datetime.date.today().isoformat(),
        "commit": commit(),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": importlib.metadata.version("torch"),
        "engine": f"{engine} {importlib.metadata.version(engine)}" if engine else "",
    }


def cpu_name() -> str:
    """The processor's name as Linux reports it."""
    return cpu_field("model name") or platform.machine()


def commit() -> str:
    """The short hash of the running checkout, or an empty string outside of one."""
    root = Path(__file__).resolve().parent
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()
