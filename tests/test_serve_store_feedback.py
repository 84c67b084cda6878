"""serve.store.feedback and retention: counts that stay, words that go, in a real SQLite file."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given, settings
from hypothesis import strategies as some

from serve.store import conversations
from serve.store.conversations import Conversation
from serve.store.database import Database, now_us
from serve.store.feedback import Feedback, Rating, delete_old_feedback
from serve.store.responses import Responses, StoredResponse
from serve.store.retention import DAY_US, Deleted, delete_before, delete_old

RATINGS = some.lists(some.tuples(some.sampled_from("abc"), some.sampled_from(["up", "down"])), max_size=8)


@settings(max_examples=15)
@given(RATINGS)
def test_every_rating_is_counted_and_the_last_of_each_answer_is_kept(
    shared_database: Database, rated: list[tuple[str, str]]
) -> None:
    feedback = Feedback(shared_database)
    for moment, (answer_id, rating) in enumerate(rated):
        feedback.add(Rating(answer_id, rating, created_us=moment))
    assert {each.answer_id: each.rating for each in feedback.ratings()} == dict(rated)
    counted = {rating: count for day in feedback.counts().values() for rating, count in day.items()}
    said = [rating for _, rating in rated]
    assert counted == {rating: said.count(rating) for rating in set(said)}
    with shared_database.transaction() as change:
        change.run("DELETE FROM feedback")
        change.run("DELETE FROM feedback_counts")


def test_a_rating_comes_back_with_every_word(database: Database) -> None:
    rating = Rating("chatcmpl-1", "down", "falsch: \U0001f600", "it's -hold;\r\n", "", "\t", "fb_1", 5)
    Feedback(database).add(rating)
    assert Feedback(database).ratings() == [rating]
    assert Rating("a", "up").feedback_id.startswith("fb_")
    assert Rating("a", "up").feedback_id != Rating("a", "up").feedback_id


def test_who_rates_an_answer_at_the_same_moment_is_counted_too(database: Database) -> None:
    feedback = Feedback(database)
    together = threading.Barrier(2, timeout=60)

    def rate(rating: str) -> None:
        for number in range(20):
            together.wait()
            feedback.add(Rating(f"answer-{number}", rating))

    with ThreadPoolExecutor(2) as threads:
        [*threads.map(rate, ("up", "down"))]
    assert len(feedback.ratings()) == 20
    assert sum(count for day in feedback.counts().values() for count in day.values()) == 40


def test_ratings_are_listed_the_oldest_first_and_those_of_one_moment_by_id(database: Database) -> None:
    feedback = Feedback(database)
    for name, moment in (("c", 5), ("a", 9), ("b", 5), ("d", 1)):
        feedback.add(Rating(f"answer-{name}", "up", feedback_id=f"fb_{name}", created_us=moment))
    assert [each.feedback_id for each in feedback.ratings()] == ["fb_d", "fb_b", "fb_c", "fb_a"]


def test_nothing_said_is_nothing_counted(database: Database) -> None:
    assert Feedback(database).counts() == {}
    assert Feedback(database).ratings() == []
    assert delete_before(database, now_us()) == Deleted()


def test_what_was_said_at_the_moment_itself_is_not_before_it(database: Database) -> None:
    feedback = Feedback(database)
    for moment in (99, 100, 101):
        feedback.add(Rating(f"answer-{moment}", "up", created_us=moment))
    with database.transaction() as change:
        assert delete_old_feedback(change, 100) == 1
    assert [each.created_us for each in feedback.ratings()] == [100, 101]
    assert [sum(day.values()) for day in feedback.counts().values()] == [3]  # counts stay


def keep_one_of_each(database: Database, name: str, created_us: int) -> None:
    Responses(database).add(StoredResponse(f"resp_{name}", None, [], {"id": f"resp_{name}"}, created_us))
    Feedback(database).add(Rating(name, "up", created_us=created_us))
    with database.transaction() as change:
        conversations.add(change, Conversation(f"conv_{name}", created_us=created_us))


def test_each_kind_of_what_is_old_is_counted_by_itself(database: Database) -> None:
    for number, age_days in enumerate((1, 6, 8, 400)):
        keep_one_of_each(database, str(number), now_us() - age_days * DAY_US)
    assert delete_old(database, 7) == Deleted(responses=2, conversations=2, feedback=2)
    assert delete_old(database, 7) == Deleted()
    assert [each.answer_id for each in Feedback(database).ratings()] == ["1", "0"]


def test_zero_days_keep_everything_and_so_do_more_than_there_were(database: Database) -> None:
    keep_one_of_each(database, "first", 0)
    assert delete_old(database, 0) == Deleted()
    assert delete_old(database, 36_500) == Deleted()
    assert delete_old(database, 30) == Deleted(1, 1, 1)
