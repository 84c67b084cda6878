"""serve.store.migrations: a store of any earlier version becomes one of today, with what was in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serve.errors import StoreUnavailable
from serve.store.migrations import MIGRATIONS, migrate
from serve.store.sqlite import SqliteConnection, SqliteEngine

ROWS = (  # a row that each step's version could have written, and how it is read
    ("INSERT INTO files VALUES ('file-1', 1, 'a.md', 5, 'assistants', NULL)", "SELECT id, name FROM files"),
    ("INSERT INTO responses VALUES ('resp_1', 1, NULL, '[]', '{}')", "SELECT id, response FROM responses"),
    ("INSERT INTO feedback_counts VALUES ('2026-01-01', 'up', 3)", "SELECT rating, count FROM feedback_counts"),
    ("INSERT INTO conversations VALUES ('conv_1', 1, 1, '{}')", "SELECT id, metadata FROM conversations"),
)


def do_first(connection: SqliteConnection, steps: int) -> None:
    """The first steps, as a version that knew no more of them has done them."""
    connection.run("CREATE TABLE migrations (number BIGINT PRIMARY KEY, applied_us BIGINT NOT NULL)")
    for number, statements in enumerate(MIGRATIONS[:steps], start=1):
        for statement in statements:
            connection.run(statement)
        connection.run("INSERT INTO migrations VALUES (?, ?)", (number, 77))


def schema_of(connection: SqliteConnection) -> list[tuple[Any, ...]]:
    return connection.rows("SELECT type, name, sql FROM sqlite_master ORDER BY type, name")


@pytest.fixture
def fresh(tmp_path: Path) -> list[tuple[Any, ...]]:
    """The tables of a new store."""
    connection = SqliteEngine(tmp_path / "fresh").connect()
    migrate(connection)
    found = schema_of(connection)
    connection.close()
    return [(kind, name) for kind, name, _ in found]


@pytest.mark.parametrize("steps", range(len(MIGRATIONS) + 1))
def test_a_store_of_each_earlier_version_gets_the_tables_of_a_new_one_and_keeps_its_rows(
    steps: int, tmp_path: Path, fresh: list[tuple[Any, ...]]
) -> None:
    connection = SqliteEngine(tmp_path / "home").connect()
    do_first(connection, steps)
    for written, _ in ROWS[:steps]:
        connection.run(written)
    before = [connection.rows(read) for _, read in ROWS[:steps]]

    migrate(connection)
    assert [(kind, name) for kind, name, _ in schema_of(connection)] == fresh
    assert [connection.rows(read) for _, read in ROWS[:steps]] == before
    applied = connection.rows("SELECT number, applied_us = 77 FROM migrations ORDER BY number")
    assert applied == [(number, int(number <= steps)) for number in range(1, len(MIGRATIONS) + 1)]
    connection.close()


def test_every_version_of_the_store_has_a_row_in_these_tests() -> None:
    assert len(ROWS) == len(MIGRATIONS)


def test_a_store_of_today_is_not_changed_again(tmp_path: Path) -> None:
    connection = SqliteEngine(tmp_path).connect()
    migrate(connection)
    before = schema_of(connection), connection.rows("SELECT * FROM migrations")
    migrate(connection)
    assert (schema_of(connection), connection.rows("SELECT * FROM migrations")) == before
    connection.close()


def test_a_store_of_a_newer_version_says_both_numbers_and_what_to_install(tmp_path: Path) -> None:
    connection = SqliteEngine(tmp_path).connect()
    migrate(connection)
    newer = len(MIGRATIONS) + 1
    connection.run("INSERT INTO migrations VALUES (?, 1)", (newer,))
    before = schema_of(connection)
    with pytest.raises(StoreUnavailable) as caught:
        migrate(connection)
    assert f"its tables are number {newer}, this one knows {len(MIGRATIONS)}" in str(caught.value)
    assert "install that version" in str(caught.value)
    assert schema_of(connection) == before
    connection.close()


def test_steps_that_break_off_are_done_from_the_beginning_next_time(tmp_path: Path) -> None:
    engine = SqliteEngine(tmp_path)
    connection = engine.connect()
    connection.run("CREATE TABLE responses (id TEXT)")  # in the way of the second step
    connection.begin(writes=True)
    with pytest.raises(Exception, match="already exists"):
        migrate(connection)
    connection.roll_back()
    connection.close()

    again = engine.connect()
    assert [name for kind, name, _ in schema_of(again) if kind == "table"] == ["responses"]
    again.run("DROP TABLE responses")
    migrate(again)
    assert again.rows("SELECT COUNT(*) FROM migrations") == [(len(MIGRATIONS),)]
    again.close()


@pytest.mark.parametrize(
    ("made", "deleted", "left"),
    [
        ("INSERT INTO batches (id, store_id, created_us) VALUES ('b', 'vs_1', 1)", "vector_stores", "batches"),
        (
            "INSERT INTO attachments (store_id, file_id, created_us, status, attributes) "
            "VALUES ('vs_1', 'f', 1, 'completed', '{}')",
            "vector_stores",
            "attachments",
        ),
    ],
)
def test_what_belongs_to_a_vector_store_goes_with_it(made: str, deleted: str, left: str, tmp_path: Path) -> None:
    connection = SqliteEngine(tmp_path).connect()
    migrate(connection)
    connection.run("INSERT INTO vector_stores VALUES ('vs_1', 1, '', '{}', 1, NULL, 0)")
    connection.run(made)
    connection.run(f"DELETE FROM {deleted}")
    assert connection.rows(f"SELECT COUNT(*) FROM {left}") == [(0,)]
    connection.close()
