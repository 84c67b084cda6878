"""serve.uploads.jobs: a job and its outcome are the same on the other side of a process, or refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from serve.store.build_queue import Built
from serve.uploads.jobs import Addition, Job, Outcome, read_job, read_outcome
from tests.rows import for_each

WORDS = some.text(max_size=12)
JOBS = some.builds(
    Job,
    WORDS,
    some.lists(some.builds(Addition, WORDS, WORDS, WORDS), max_size=3).map(tuple),
    some.lists(some.tuples(WORDS, WORDS), max_size=3).map(tuple),
    some.lists(WORDS, max_size=3).map(tuple),
)
SIZES = some.integers(0, 2**62)
OUTCOMES = some.builds(
    Outcome,
    some.lists(some.builds(Built, WORDS, WORDS, SIZES, some.none() | WORDS, some.none() | WORDS), max_size=3).map(
        tuple
    ),
    some.none() | WORDS,
    some.booleans(),
)


@settings(max_examples=50)
@given(JOBS)
def test_any_job_is_read_as_it_was_written_on_one_line(job: Job) -> None:
    written = job.as_json()
    assert "\n" not in written
    assert read_job(written) == job


@settings(max_examples=50)
@given(OUTCOMES)
def test_any_outcome_is_read_as_it_was_written_on_one_line(outcome: Outcome) -> None:
    written = outcome.as_json()
    assert "\n" not in written
    assert read_outcome(written) == outcome


def test_what_a_job_leaves_out_is_nothing_to_do() -> None:
    assert read_job('{"index_dir": "/i"}') == Job("/i", (), (), ())
    assert read_outcome("{}") == Outcome((), None, is_busy=False)


@for_each(
    "changed",
    [
        {"index_dir": None},
        {"index_dir": 5},
        {"additions": {}},
        {"additions": [["vs_1", "file-1", "/a"]]},
        {"additions": [{"store_id": "vs_1", "file_id": "file-1"}]},
        {"additions": [{"store_id": "vs_1", "file_id": "file-1", "path": "/a", "run": "rm"}]},
        {"removals": [["vs_1"]]},
        {"removals": [["vs_1", "file-1", "x"]]},
        {"removals": [["vs_1", 1]]},
        {"dropped": "vs_1"},
        {"dropped": [None]},
        {"more": 1},
    ],
)
def test_a_job_of_another_form_is_refused(changed: dict[str, Any]) -> None:
    whole = {"index_dir": "/i", "additions": [], "removals": [], "dropped": []}
    assert read_job(json.dumps(whole)) == Job("/i")
    with pytest.raises(ValueError, match=r"is not|has not|missing"):
        read_job(json.dumps({**whole, **changed}))


@for_each(
    "text",
    [
        "",
        "Killed",
        "[]",
        "null",
        '{"is_busy": 1}',
        '{"error": 5}',
        '{"built": [{"store_id": "vs_1"}]}',
        '{"built": [{"store_id": "vs_1", "file_id": "f", "usage_bytes": "9"}]}',
        '{"built": [{"store_id": "vs_1", "file_id": "f", "usage_bytes": 1e400}]}',
        "[" * 100_000,
    ],
)
def test_what_a_child_that_died_wrote_is_not_an_outcome(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_outcome(text)
