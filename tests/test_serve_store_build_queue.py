"""serve.store.build_queue: after any order of wishes and builds, kills included, the index holds what is wanted."""

from __future__ import annotations

import random

from serve.store import files, vector_stores
from serve.store.build_queue import (
    Built,
    Waiting,
    build_again,
    list_built,
    list_removals,
    note_built,
    note_removed,
    take_additions,
)
from serve.store.database import Database
from serve.store.files import StoredFile
from serve.store.vector_stores import Batch, VectorStore

ALL = 10**9


def begin(database: Database, *sizes: int, store_id: str = "vs_1") -> list[str]:
    """A store, and files of these sizes that wait to be built into it."""
    names = [f"file-{number}" for number in range(len(sizes))]
    with database.transaction() as change:
        vector_stores.add(change, VectorStore(store_id, 1))
        for number, (name, size) in enumerate(zip(names, sizes, strict=True)):
            files.add(change, StoredFile(name, number, f"{name}.md", size, "assistants"))
            vector_stores.attach(change, store_id, name)
    return names


def take(database: Database, most: int = ALL, most_bytes: int = ALL) -> list[Waiting]:
    with database.transaction() as change:
        return take_additions(change, most, most_bytes)


def note(database: Database, *results: Built) -> None:
    with database.transaction() as change:
        note_built(change, results)


def statuses(database: Database, store_id: str = "vs_1") -> dict[str, str]:
    with database.transaction(writes=False) as read:
        return {each.file_id: each.status for each in vector_stores.list_attachments(read, store_id)}


def removals(database: Database) -> list[tuple[str, str]]:
    with database.transaction(writes=False) as read:
        return sorted(list_removals(read))


def test_the_first_files_are_taken_as_far_as_they_fit_and_one_always_is(database: Database) -> None:
    begin(database, 500, 30, 30, 30)
    assert [each.file_id for each in take(database, most_bytes=100)] == ["file-0"]  # too large, but it must be built
    assert [each.file_id for each in take(database, most_bytes=560)] == ["file-0", "file-1", "file-2"]
    assert [each.file_id for each in take(database, most=2)] == ["file-0", "file-1"]
    assert take(database)[3] == Waiting("vs_1", "file-3", "file-3.md", 30)


def test_what_was_taken_and_not_noted_is_taken_again(database: Database) -> None:
    begin(database, 1, 1)
    assert take(database) == take(database)  # as after a builder was killed
    note(database, Built("vs_1", "file-0", 7))
    assert [each.file_id for each in take(database)] == ["file-1"]
    with database.transaction(writes=False) as read:
        assert list_built(read) == [("vs_1", "file-0")]
        found = vector_stores.find_attachment(read, "vs_1", "file-0")
    assert found is not None
    assert (found.status, found.usage_bytes) == ("completed", 7)


def test_a_file_that_fails_says_why_and_is_built_again_where_it_is_attached_again(database: Database) -> None:
    begin(database, 1)
    take(database)
    note(database, Built("vs_1", "file-0", error_code="invalid_file", error_message="It is damaged."))
    assert (statuses(database), take(database), removals(database)) == ({"file-0": "failed"}, [], [])
    with database.transaction() as change:
        vector_stores.attach(change, "vs_1", "file-0")
        found = vector_stores.find_attachment(change, "vs_1", "file-0")
    assert found is not None
    assert (found.status, found.error_code, found.error_message) == ("in_progress", None, None)
    assert len(take(database)) == 1


def test_a_file_that_is_taken_out_while_it_is_built_leaves_the_index_again(database: Database) -> None:
    begin(database, 1)
    take(database)
    with database.transaction() as change:
        assert vector_stores.detach(change, "vs_1", "file-0")
        assert not vector_stores.detach(change, "vs_1", "file-0")
    note(database, Built("vs_1", "file-0", 7))
    assert statuses(database) == {}  # clients see it no more
    assert removals(database) == [("vs_1", "file-0")]
    with database.transaction() as change:
        note_removed(change, [("vs_1", "file-0")])
    assert removals(database) == []
    with database.transaction(writes=False) as read:
        assert vector_stores.list_leaving(read, "file-0") == []


def test_a_file_that_comes_back_before_its_text_is_gone_stays(database: Database) -> None:
    begin(database, 1)
    take(database)
    note(database, Built("vs_1", "file-0", 7))
    with database.transaction() as change:
        vector_stores.detach(change, "vs_1", "file-0")
        wanted_gone = list_removals(change)
        vector_stores.attach(change, "vs_1", "file-0")
        note_removed(change, wanted_gone)
    assert statuses(database) == {"file-0": "in_progress"}
    assert [each.file_id for each in take(database)] == ["file-0"]


def test_what_is_cancelled_while_it_is_built_leaves_the_index_and_stays_cancelled(database: Database) -> None:
    begin(database, 1)
    with database.transaction() as change:
        vector_stores.add_batch(change, Batch("vsfb_1", "vs_1", 1, is_cancelled=False))
        vector_stores.attach(change, "vs_1", "file-0", batch_id="vsfb_1")
    take(database)
    with database.transaction() as change:
        vector_stores.cancel_batch(change, "vsfb_1")
    note(database, Built("vs_1", "file-0", 7))
    assert (statuses(database), removals(database)) == ({"file-0": "cancelled"}, [("vs_1", "file-0")])
    with database.transaction() as change:
        note_removed(change, [("vs_1", "file-0")])
    assert (statuses(database), removals(database)) == ({"file-0": "cancelled"}, [])


def test_a_file_that_is_deleted_while_it_waits_waits_no_more(database: Database) -> None:
    begin(database, 1, 1)
    with database.transaction() as change:
        files.delete(change, "file-0")
    assert [each.file_id for each in take(database)] == ["file-1"]
    assert statuses(database) == {"file-1": "in_progress"}


def test_a_store_that_is_deleted_is_built_no_more(database: Database) -> None:
    begin(database, 1)
    with database.transaction() as change:
        vector_stores.mark_deleted(change, "vs_1")
        assert take_additions(change, ALL, ALL) == []
        assert list_built(change) == []


def test_a_text_that_the_index_lost_is_built_again(database: Database) -> None:
    begin(database, 1, 1)
    take(database)
    note(database, Built("vs_1", "file-0", 7), Built("vs_1", "file-1", error_code="invalid_file", error_message="x"))
    with database.transaction() as change:
        build_again(change, [("vs_1", "file-0"), ("vs_1", "file-1"), ("vs_9", "file-9")])
    assert statuses(database) == {"file-0": "in_progress", "file-1": "failed"}


def test_any_order_of_wishes_builds_and_kills_ends_with_what_is_wanted(database: Database) -> None:
    """The index is a set here: what a build adds and a removal takes away, though the note of it may be lost."""
    names = begin(database, *[1] * 4)
    dice = random.Random(18)
    index: set[str] = set()

    def build(is_killed: bool) -> None:
        gone = [file_id for _, file_id in removals(database)]
        taken = [each.file_id for each in take(database, most=dice.randint(1, 4))]
        wish()  # clients go on meanwhile
        index.difference_update(gone)
        index.update(taken)
        if is_killed:
            return
        with database.transaction() as change:
            note_removed(change, [("vs_1", file_id) for file_id in gone if file_id not in taken])
            note_built(change, [Built("vs_1", file_id, 1) for file_id in taken])

    def wish() -> None:
        file_id = dice.choice(names)
        with database.transaction() as change:
            if dice.random() < 0.5:
                vector_stores.attach(change, "vs_1", file_id)
            else:
                vector_stores.detach(change, "vs_1", file_id)

    for _ in range(60):
        wish()
        build(is_killed=dice.random() < 0.3)
    wanted = set(statuses(database))
    for _ in range(4):  # builds that nobody disturbs
        gone = [file_id for _, file_id in removals(database)]
        taken = [each.file_id for each in take(database)]
        index.difference_update(gone)
        index.update(taken)
        with database.transaction() as change:
            note_removed(change, [("vs_1", file_id) for file_id in gone])
            note_built(change, [Built("vs_1", file_id, 1) for file_id in taken])
    assert index == wanted
    assert statuses(database) == dict.fromkeys(wanted, "completed")
