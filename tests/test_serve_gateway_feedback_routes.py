"""POST /v1/feedback: counted always, kept with words only where the operator says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from serve.answers.recent import RecentAnswers
from serve.settings import ServeSettings
from serve.store.database import open_database
from serve.store.feedback import Feedback, Rating
from tests.conftest import Gateway
from tests.fake_engine import FakeEngine

QUESTION = "Which command repairs antenna violations?"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def keeping(gateway_at: Gateway, engine: FakeEngine, home: Path) -> Iterator[str]:
    """A gateway that keeps the words of feedback."""
    with gateway_at(engine.url, home=home, feedback="words") as url:
        yield url


def give(url: str, **feedback: Any) -> httpx.Response:
    return httpx.post(f"{url}/v1/feedback", json=feedback, trust_env=False, timeout=30)


def ask(url: str, path: str = "/v1/chat/completions", **fields: Any) -> httpx.Response:
    body = {"messages": [{"role": "user", "content": QUESTION}], **fields}
    answer = httpx.post(url + path, json=body, trust_env=False, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer


def kept(home: Path) -> list[Rating]:
    database = open_database(ServeSettings(home=home))
    try:
        return Feedback(database).ratings()
    finally:
        database.close()


def counted(home: Path) -> dict[str, int]:
    database = open_database(ServeSettings(home=home))
    try:
        [day] = Feedback(database).counts().values()
        return day
    finally:
        database.close()


def test_by_default_a_rating_is_counted_and_no_word_is_kept(
    gateway_at: Gateway, engine: FakeEngine, home: Path
) -> None:
    with gateway_at(engine.url, home=home) as url:
        answer = ask(url).json()
        said = give(url, answer_id=answer["id"], rating="down", reason="SECRET-REASON", question="SECRET-QUESTION")
        assert said.status_code == 200
        assert (said.json()["object"], said.json()["kept"], said.json()["question_known"]) == (
            "feedback",
            "counts",
            False,
        )
        give(url, answer_id="chatcmpl-other", rating="up")
        metrics = httpx.get(f"{url}/metrics", trust_env=False).text
    assert 'chipalign_feedback_total{rating="down"} 1.0' in metrics
    assert (kept(home), counted(home)) == ([], {"down": 1, "up": 1})
    for path in home.glob("store.db*"):
        content = path.read_bytes()
        assert not [word for word in (b"SECRET", b"antenna", answer["id"].encode()) if word in content]


@pytest.mark.parametrize("stream", [False, True])
def test_where_words_are_kept_the_gateway_knows_what_was_asked(keeping: str, home: Path, stream: bool) -> None:
    answer = ask(keeping, stream=stream)
    answer_id = answer.text.partition('"id":"')[2].partition('"')[0]
    text = "Use `repair_antennas`."
    said = give(keeping, answer_id=answer_id, rating="down", reason="too short", correction=text).json()
    assert (said["kept"], said["question_known"]) == ("words", True)
    [rating] = kept(home)
    assert (rating.question, rating.answer) == (QUESTION, "Run `repair_antennas` [1].")
    assert (rating.answer_id, rating.rating, rating.reason, rating.correction) == (answer_id, "down", "too short", text)


def test_the_words_of_a_stored_response_are_known_too(keeping: str, home: Path) -> None:
    response = httpx.post(f"{keeping}/v1/responses", json={"input": QUESTION}, trust_env=False, timeout=30).json()
    give(keeping, answer_id=response["id"], rating="up")
    [rating] = kept(home)
    assert (rating.question, rating.answer) == (QUESTION, "Run `repair_antennas` [1].")


def test_the_clients_own_words_come_first_and_an_unknown_answer_is_only_rated(keeping: str, home: Path) -> None:
    give(keeping, answer_id="chatcmpl-elsewhere", rating="up", question="Asked elsewhere?", answer="Yes.")
    assert not give(keeping, answer_id="chatcmpl-unknown", rating="down").json()["question_known"]
    give(keeping, answer_id="chatcmpl-unknown", rating="up")
    assert [(each.answer_id, each.rating, each.question) for each in kept(home)] == [
        ("chatcmpl-elsewhere", "up", "Asked elsewhere?"),
        ("chatcmpl-unknown", "up", None),
    ]
    assert counted(home) == {"up": 2, "down": 1}


@pytest.mark.parametrize(
    ("feedback", "param"),
    [
        ({"rating": "up"}, "answer_id"),
        ({"answer_id": "chatcmpl-1"}, "rating"),
        ({"answer_id": "chatcmpl-1", "rating": 5}, "rating"),
        ({"answer_id": "chatcmpl-1", "rating": "meh"}, "rating"),
        ({"answer_id": "", "rating": "up"}, "answer_id"),
        ({"answer_id": "a b", "rating": "up"}, "answer_id"),
        ({"answer_id": "chatcmpl-1", "rating": "up", "reason": "x" * 2001}, "reason"),
        ({"answer_id": "chatcmpl-1", "rating": "up", "correction": "a\u0000b"}, "correction"),
        ({"answer_id": "chatcmpl-1", "rating": "up", "question": ["a"]}, "question"),
    ],
)
def test_a_wrong_field_is_named(gateway: str, feedback: dict[str, Any], param: str) -> None:
    answer = give(gateway, **feedback)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


def test_a_store_that_is_broken_says_so(gateway_at: Gateway, engine: FakeEngine, home: Path) -> None:
    home.mkdir()
    (home / "store.db").mkdir()
    with gateway_at(engine.url, home=home) as url:
        answer = give(url, answer_id="chatcmpl-1", rating="up")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store_unavailable")
        assert ask(url).status_code == 200


def test_the_oldest_answers_make_room() -> None:
    recent = RecentAnswers(most=3)
    for number in range(5):
        recent.note(f"a{number}", "q", "a")
        recent.note(f"a{number}", "q", "b")
    assert [number for number in range(5) if recent.find(f"a{number}")] == [2, 3, 4]
    assert recent.find("a4") == ("q", "b")
    small = RecentAnswers(most_characters=100)
    for number in range(5):
        small.note(f"a{number}", "q" * 20, "a" * 20)
    assert [number for number in range(5) if small.find(f"a{number}")] == [3, 4]
