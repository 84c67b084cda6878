"""Follows a company's own sources while `up` runs: whenever a file changes, the index is built again in the background.

It does not know how an index is built. The list of sources is followed too: what it names anew is watched from then on.

    await follow_sources(Path("sources.toml"), ignored=settings.home, build=build, say=print)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from rag.counted import counted
from rag.errors import SourceUnusable
from rag.sources.own_sources import read_own_sources
from rag.sources.watching import Watcher
from serve.errors import ServeError


async def follow_sources(
    own: Path, ignored: Path, build: Callable[[], Awaitable[str]], say: Callable[[str], None]
) -> None:
    """Build after each change until cancelled; a build that fails is only reported, and the index stays as it was."""
    watched = [own]
    while True:
        try:
            watched = [*(source.path for source in read_own_sources(own)), own]
        except SourceUnusable as error:
            say(f"{error}; until then the sources of before are followed")

        with await asyncio.to_thread(Watcher, watched, ignored) as watcher:
            changed: set[Path] = set()
            while own.resolve() not in changed:
                changed = await asyncio.to_thread(watcher.wait)
                if not changed:
                    return
                try:
                    say(f"{counted(len(changed), 'file')} changed; {await build()}")
                except ServeError as error:
                    say(f"{counted(len(changed), 'file')} changed, and the index stays as it was: {error}")
