"""Where the files lie that come with the code: data/ of this checkout.

It reads none of them.

    DATA / "sources.toml"
"""

from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "data"
