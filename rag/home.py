"""The home folder: what is made at run time (documents that were read, indexes, models, logs) is for its owner alone.

It reads nothing in there.

    make_home(settings.home)
"""

from contextlib import suppress
from pathlib import Path

OURS = frozenset({"corpora", "indexes", "logs", "models", "parsed", "up.lock"})  # all that lies in a home folder
OTHERS = 0o007  # what everybody on the machine may do


def make_home(home: Path) -> None:
    """Make the folder for its owner alone. One that holds nothing but ours, and that everybody can read, is closed too.

    Any other folder stays as it is: who names one of his own (`/srv`, with other things in it) or opens it to a group
    decides himself. What cannot be made or changed is told by whoever writes into it.
    """
    with suppress(OSError):
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = {path.name for path in home.iterdir()}
        if names and names <= OURS and home.stat().st_mode & OTHERS:
            home.chmod(0o700)
