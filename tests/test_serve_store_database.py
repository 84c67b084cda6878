"""serve.store.database, sqlite, postgres, migrations: what was acknowledged is there, on both databases."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from serve.errors import RequestError, StoreBusy, StoreFull, StoreUnavailable
from serve.settings import ServeSettings
from serve.store import sqlite as sqlite_store
from serve.store.database import Database, new_id, now_us, open_database
from serve.store.migrations import MIGRATIONS
from serve.store.responses import Responses
from serve.store.sqlite import FILE
from tests.attack import Attack
from tests.processes import running

ROOT = Path(__file__).parent.parent
CLOSED = (sqlite3.ProgrammingError, psycopg.OperationalError)  # what either database says of a closed connection
INSERT = "INSERT INTO responses (id, created_us, input, response) VALUES (?, ?, ?, ?)"
# Writes rows until it is killed, and prints each id once its transaction has ended
WRITER = """
import sys
from serve.settings import ServeSettings
from serve.store.database import open_database
from serve.store.responses import Responses, StoredResponse

responses = Responses(open_database(ServeSettings.from_env()))
for number in range(100_000):
    responses.add(StoredResponse(f"{sys.argv[1]}-{number}", None, [{"text": "x" * 3000}], {}))
    print(f"{sys.argv[1]}-{number}", flush=True)
"""


def add(database: Database, name: str, text: str = "{}") -> None:
    with database.transaction() as change:
        change.run(INSERT, (name, now_us(), "[]", text))


def names(database: Database) -> list[str]:
    with database.transaction(writes=False) as read:
        return sorted(name for (name,) in read.rows("SELECT id FROM responses"))


def test_what_was_written_is_there_for_another_process(database: Database, store_settings: ServeSettings) -> None:
    add(database, "a")
    other = open_database(store_settings)
    assert names(other) == ["a"]
    other.close()


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    def write_half() -> None:
        with database.transaction() as change:
            change.run(INSERT, ("half", now_us(), "[]", "{}"))
            raise ValueError("the other half is missing")

    add(database, "whole")
    with pytest.raises(ValueError, match="other half"):
        write_half()
    assert names(database) == ["whole"]


def test_two_rows_of_one_id_are_a_bug_and_not_a_broken_store(database: Database) -> None:
    add(database, "a")
    with pytest.raises(Exception, match=r"(?i)unique") as caught:
        add(database, "a")
    assert not isinstance(caught.value, StoreUnavailable)
    assert names(database) == ["a"]


def test_a_reader_that_writes_is_refused_by_postgres_and_sees_one_state(database: Database) -> None:
    add(database, "a")
    with database.transaction(writes=False) as read:
        before = read.rows("SELECT id FROM responses")
        add(database, "b")
        assert before == [("a",)]
    assert names(database) == ["a", "b"]


def test_an_id_that_no_text_can_be_is_unknown_or_refused(database: Database, store_settings: ServeSettings) -> None:
    if store_settings.store_url:
        with pytest.raises(RequestError, match=r"a character that is not text \(NUL\)"):
            Responses(database).find("resp_\x00")
    else:
        assert Responses(database).find("resp_\x00") is None
    assert names(database) == []


def test_many_threads_write_at_once(database: Database) -> None:
    def write(thread: int) -> None:
        for number in range(10):
            add(database, f"{thread}-{number}")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names(database)) == 120


def test_tables_are_made_once_whoever_comes_first(store_settings: ServeSettings) -> None:
    databases = [open_database(store_settings) for _ in range(4)]
    threads = [threading.Thread(target=add, args=(each, new_id("r"))) for each in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with databases[0].transaction(writes=False) as read:
        assert read.rows("SELECT COUNT(*) FROM migrations") == [(len(MIGRATIONS),)]
    assert len(names(databases[0])) == 4
    for each in databases:
        each.close()


def test_a_store_of_a_newer_version_is_left_alone(database: Database, store_settings: ServeSettings) -> None:
    with database.transaction() as change:
        change.run("INSERT INTO migrations VALUES (?, ?)", (len(MIGRATIONS) + 1, now_us()))
    with pytest.raises(StoreUnavailable, match=f"tables are number {len(MIGRATIONS) + 1}.*install that version"):
        names(open_database(store_settings))


@pytest.mark.attack
def test_what_was_acknowledged_survives_kills_at_any_moment(
    store_settings: ServeSettings, database: Database, attack: Attack
) -> None:
    dice, acknowledged = random.Random(18), list[str]()
    kills = attack.times(4, full=50)
    for round_number in range(kills):
        command = [sys.executable, "-c", WRITER, f"r{round_number}"]
        paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        env = {**store_settings.child_env(), "PYTHONPATH": paths}
        with running(subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)) as writer:
            assert writer.stdout
            first = writer.stdout.readline()  # it has begun; the moment of the kill is drawn from here on
            time.sleep(dice.random() * 0.15)
            writer.kill()
            acknowledged += [line.strip() for line in [first, *writer.stdout.readlines()] if line.endswith("\n")]
    assert len(acknowledged) > kills
    kept = set(names(database))
    attack.report("kills of who writes to the store", kills, [name for name in acknowledged if name not in kept])
    with database.transaction(writes=False) as read:
        assert not read.rows("SELECT id FROM responses WHERE LENGTH(input) < 3000")


def test_a_url_that_nobody_answers_is_one_clear_error_without_its_password(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    url = "postgresql://user:hunter2@127.0.0.1:1/none"
    with pytest.raises(StoreUnavailable, match=r"does not answer.*CHIPALIGN_STORE_URL") as caught:
        names(open_database(ServeSettings(home=tmp_path, store_url=url)))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("store_settings", ["postgres"], indirect=True)
def test_a_server_that_was_started_again_is_asked_again(postgres_server: str, store_settings: ServeSettings) -> None:
    import psycopg

    database = open_database(store_settings)
    add(database, "a")
    with psycopg.connect(postgres_server, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'chipalign' AND pid != "
            "pg_backend_pid()"
        )
    add(database, "b")
    assert names(database) == ["a", "b"]
    database.close()


def test_a_connection_in_use_when_the_store_closes_is_closed_with_its_transaction(database: Database) -> None:
    with database.transaction(writes=False) as read:
        database.close()
        assert read.rows("SELECT 1") == [(1,)]
    with pytest.raises(CLOSED, match="closed"):
        read.rows("SELECT 1")
    assert names(database) == []  # who asks a closed store is served, by a connection of its own


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def in_file(home: Path) -> Iterator[Database]:
    database = open_database(ServeSettings(home=home))
    add(database, "a")
    yield database
    database.close()


def test_the_file_is_for_its_owner_alone(in_file: Database, home: Path) -> None:
    assert {path.name for path in home.iterdir()} == {FILE, f"{FILE}-wal", f"{FILE}-shm"}
    assert {path.stat().st_mode & 0o777 for path in home.iterdir()} == {0o600}


def test_what_is_deleted_is_not_in_the_file(in_file: Database, home: Path) -> None:
    secret = "the tape-out slips to May"
    add(in_file, "b", secret)
    with in_file.transaction() as change:
        change.run("DELETE FROM responses WHERE id = 'b'")
    in_file.close()  # the last connection empties the log into the file
    assert not (home / f"{FILE}-wal").exists()
    assert secret.encode() not in (home / FILE).read_bytes()


def test_a_file_that_is_not_a_store_is_one_clear_error_and_stays(home: Path) -> None:
    home.mkdir()
    (home / FILE).write_text("not a database at all, but a letter of some length\n" * 50)
    with pytest.raises(StoreUnavailable, match=rf"{FILE}, is damaged, or is not a store.*restore it"):
        names(open_database(ServeSettings(home=home)))
    assert (home / FILE).read_text().startswith("not a database")


def test_a_home_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match=r"cannot be opened.*CHIPALIGN_HOME"):
        names(open_database(ServeSettings(home=tmp_path / "file" / "home")))


def test_a_store_that_others_hold_is_busy_and_then_goes_on(
    in_file: Database, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "BUSY_S", 0.2)
    holder = sqlite3.connect(home / FILE, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    patient = open_database(ServeSettings(home=home))
    with pytest.raises(StoreBusy, match="ask again"):
        add(patient, "b")
    holder.execute("ROLLBACK")
    holder.close()
    add(patient, "b")
    assert names(in_file) == ["a", "b"]
    patient.close()


def fill(database: Database) -> None:
    for number in range(100):
        add(database, f"filler-{number}", "x" * 50_000)


def test_a_full_disk_is_one_clear_error_and_what_was_there_stays(small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(bytes(300_000))
    database = open_database(ServeSettings(home=small_disk / "home"))
    add(database, "kept")
    with pytest.raises(StoreFull, match=r"no room left.*CHIPALIGN_HOME"):
        fill(database)
    before = names(database)
    with pytest.raises(StoreFull):
        add(database, "too much", "x" * 900_000)
    assert names(database) == before
    (small_disk / "ballast").unlink()
    add(database, "later")
    assert names(database) == sorted([*before, "later"])
    database.close()


def test_a_read_only_disk_is_one_clear_error(small_disk: Path) -> None:
    home = small_disk / "home"
    database = open_database(ServeSettings(home=home))
    add(database, "kept")
    database.close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StoreUnavailable, match=r"read-only|cannot be opened"):
        add(open_database(ServeSettings(home=home)), "b")
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    database = open_database(ServeSettings(home=home))
    assert names(database) == ["kept"]
    database.close()
