"""Where the files lie that come with the code: data/ of this checkout.

It reads none of them.

    DATA / "sources.toml"
"""

from __future__ import annotations

from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "data"
