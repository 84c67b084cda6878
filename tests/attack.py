"""The attack on our own parts: how often each kind is tried, and the account of tries and failures.

A test of an attack uses the fixture `attack` and has the mark of that name. `make test` tries each kind a few times,
`make attack` at length; both end with a table. An attack reaches only this machine, and all its loops end.

    def test_no_answer_shows_a_picture(attack: Attack) -> None:
        texts = [some_answer(seed) for seed in range(attack.times(500, full=100_000))]
        attack.report("answers with pictures", len(texts), [text for text in texts if shows_a_picture(text)])
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

SHOWN = 5  # failures that a failing test shows
Account = tuple[str, int, int]  # what was tried, how often, how often it failed


class Attack:
    """One test's attack; `record` keeps its account for the table at the end of the run."""

    def __init__(self, is_full: bool, record: Callable[[Account], None]) -> None:
        self.is_full = is_full
        self._record = record

    def times(self, quick: int, full: int) -> int:
        """How often to try: `quick` in `make test`, `full` in `make attack`."""
        return full if self.is_full else quick

    def report(self, what: str, tried: int, failures: Sequence[str]) -> None:
        """Keep the account; fail the test if a try failed or nothing was tried."""
        self._record((what, tried, len(failures)))
        assert tried, f"{what}: nothing was tried"
        assert not failures, f"{what}: {len(failures)} of {tried} failed:\n" + "\n".join(failures[:SHOWN])


def table(accounts: Sequence[Account]) -> list[str]:
    """The accounts as lines of a Markdown table: one row for what was tried, and one for the sums."""
    tried, failed = Counter[str](), Counter[str]()
    for what, times, failures in accounts:
        tried[what] += times
        failed[what] += failures

    rows = [*((what, tried[what], failed[what]) for what in sorted(tried)), ("all", tried.total(), failed.total())]
    return [
        "| what was tried | tries | failed |",
        "|---|---|---|",
        *(f"| {what} | {times:,} | {failures:,} |" for what, times, failures in rows),
    ]
