"""`chipalign store`: what is stored is counted, written out and forgotten."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rag.errors import OutputUnwritable
from serve.errors import ServeError
from serve.running.store_commands import store
from serve.settings import ServeSettings
from serve.store.database import now_us, open_database
from serve.store.feedback import Feedback, Rating
from serve.store.responses import Responses, StoredResponse
from serve.store.retention import DAY_US


@pytest.fixture
def filled(home: Path) -> Path:
    """A home with two responses and two ratings, one of each old."""
    database = open_database(ServeSettings(home=home))
    old = now_us() - 10 * DAY_US
    responses, feedback = Responses(database), Feedback(database)
    responses.add(StoredResponse("resp_1", None, [], {}, old))
    responses.add(StoredResponse("resp_2", None, [], {}))
    feedback.add(Rating("resp_1", "up", question="Wie groß?", answer="Klein.", created_us=old))
    feedback.add(Rating("resp_2", "down", "wrong", "Right."))
    database.close()
    return home


def test_what_is_stored_is_counted(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert store(["show", "--json"]) == 0
    today = datetime.now(UTC).date().isoformat()
    assert json.loads(capsys.readouterr().out) == {
        "files": 0,
        "bytes": 0,
        "vector_stores": 0,
        "responses": 2,
        "conversations": 0,
        "feedback": 2,
        "ratings": {today: {"down": 1, "up": 1}},
    }
    store(["show"])
    assert f"ratings: {today} 1 down, 1 up\n" in capsys.readouterr().out


def test_feedback_is_written_out_with_its_words(
    filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "feedback.jsonl"
    assert store(["feedback", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"feedback: {out}\ncount: 2\n"
    first, second = map(json.loads, out.read_text(encoding="utf-8").splitlines())
    assert (first["question"], first["answer"], first["rating"]) == ("Wie groß?", "Klein.", "up")
    assert (second["answer_id"], second["reason"], second["correction"]) == ("resp_2", "wrong", "Right.")
    with pytest.raises(OutputUnwritable):
        store(["feedback", "--out", str(tmp_path / "nowhere" / "feedback.jsonl")])


def test_what_is_old_is_forgotten_and_then_everything(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert store(["purge", "--days", "5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"responses": 1, "conversations": 0, "feedback": 1}
    assert store(["purge", "--days", "0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"responses": 1, "conversations": 0, "feedback": 1}
    store(["show", "--json"])
    assert json.loads(capsys.readouterr().out)["ratings"]


def test_a_store_that_cannot_be_read_is_one_line(home: Path) -> None:
    home.mkdir()
    (home / "store.db").mkdir()
    with pytest.raises(ServeError, match="cannot be opened"):
        store(["show"])
