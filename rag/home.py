"""The home folder: files made at run time (parsed documents, indexes, models, logs) are for its owner alone.

It reads nothing in it.

    make_home(settings.home)
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

OURS = frozenset(  # all that lies in a home folder
    {"corpora", "files", "indexes", "logs", "models", "parsed", "store.db", "store.db-shm", "store.db-wal", "up.lock"}
)
OTHERS = 0o007  # what everybody on the machine may do


def make_home(home: Path) -> None:
    """Make the folder for its owner alone. A folder of our files alone that everybody can read is closed too.

    Any other folder stays as it is: whoever names an existing one (`/srv`, with other things in it) or opens it to a
    group decides that. Whoever writes into the folder reports what cannot be made or changed.
    """
    with suppress(OSError):
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = {path.name for path in home.iterdir()}
        if names and names <= OURS and home.stat().st_mode & OTHERS:
            home.chmod(0o700)
