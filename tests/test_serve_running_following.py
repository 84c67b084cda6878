"""serve.running.following: what `up` does when a file of a company's own sources changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rag.sources import watching
from serve.errors import StepFailed
from serve.running.following import follow_sources


def test_changes_are_built_and_a_failure_or_a_broken_list_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "QUIET_MS", 100)
    monkeypatch.setattr(watching, "LOOK_MS", 50)
    (tmp_path / "docs").mkdir()
    own = tmp_path / "sources.toml"
    own.write_text('[tool]\npath = "docs"\n')
    said: asyncio.Queue[str] = asyncio.Queue()
    outcomes: Iterator[str | StepFailed] = iter(["2 passages", StepFailed("the disk is full"), "3 passages"])

    async def build() -> str:
        """What the next build comes to."""
        outcome = next(outcomes)
        if isinstance(outcome, StepFailed):
            raise outcome
        return outcome

    async def follow() -> list[str]:
        following = asyncio.create_task(follow_sources(own, tmp_path / "home", build, said.put_nowait))
        heard = []

        async def hear_after(change: Callable[[], object], count: int = 1) -> None:
            """Note what is said of a change."""
            await asyncio.sleep(0.5)  # until it is watched
            change()
            for _ in range(count):
                heard.append(await asyncio.wait_for(said.get(), 20))

        await hear_after(lambda: (tmp_path / "docs" / "a.md").write_text("# A"))
        await hear_after(lambda: own.write_text("[tool]\n"), 2)
        await hear_after(lambda: (tmp_path / "docs" / "b.md").write_text("# B"))
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        return heard

    first, second, third, fourth = asyncio.run(follow())
    assert first == "1 file changed; 2 passages"
    assert second == "1 file changed, and the index stays as it was: the disk is full"
    assert "is not a source" in third
    assert third.endswith("until then the sources of before are followed")
    assert fourth == "1 file changed; 3 passages"
