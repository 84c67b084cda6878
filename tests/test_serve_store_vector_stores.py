"""serve.store.vector_stores and files: what is kept comes back as it was, what is deleted is hidden at once."""

from __future__ import annotations

from dataclasses import replace

from serve.store import files, vector_stores
from serve.store.database import Database
from serve.store.files import AT_ONCE, StoredFile
from serve.store.transaction import Transaction
from serve.store.vector_stores import Batch, VectorStore

STORE = VectorStore("vs_1", 5, "Docs \u00b5 'quoted'", {"team": "cad; DROP TABLE files"}, 7, 3)


def add_stores(change: Transaction, *store_ids: str) -> None:
    for store_id in store_ids:
        vector_stores.add(change, VectorStore(store_id, 1))


def test_a_store_comes_back_as_it_was_and_is_changed_as_a_whole(database: Database) -> None:
    with database.transaction() as change:
        vector_stores.add(change, STORE)
        vector_stores.add(change, VectorStore("vs_0", 6))
    changed = replace(STORE, name="", metadata={}, active_us=9, expires_days=None)
    with database.transaction() as change:
        assert vector_stores.find(change, "vs_1") == STORE
        assert vector_stores.find(change, "vs_0") == VectorStore("vs_0", 6, active_us=6)  # in use since it was made
        assert vector_stores.find(change, "vs_2") is None
        vector_stores.update(change, changed)
    with database.transaction(writes=False) as read:
        assert [each.store_id for each in vector_stores.list_all(read)] == ["vs_1", "vs_0"]  # the oldest first
        assert vector_stores.find(read, "vs_1") == changed


def test_a_store_that_is_used_notes_when(database: Database) -> None:
    with database.transaction() as change:
        vector_stores.add(change, STORE)
        vector_stores.touch(change, "vs_1")
        found = vector_stores.find(change, "vs_1")
    assert found is not None
    assert found.active_us > STORE.active_us


def test_a_deleted_store_is_hidden_at_once_and_its_row_goes_when_its_text_is_gone(database: Database) -> None:
    with database.transaction() as change:
        vector_stores.add(change, STORE)
        assert vector_stores.mark_deleted(change, "vs_1")
        assert not vector_stores.mark_deleted(change, "vs_1")
        assert not vector_stores.mark_deleted(change, "vs_2")
        assert vector_stores.find(change, "vs_1") is None
        assert vector_stores.list_all(change) == []
        assert vector_stores.list_deleted(change) == ["vs_1"]
    with database.transaction() as change:
        vector_stores.add(change, VectorStore("vs_2", 6))
        vector_stores.purge(change, ["vs_1", "vs_2"])  # one that is not deleted stays
        assert vector_stores.list_deleted(change) == []
        assert [each.store_id for each in vector_stores.list_all(change)] == ["vs_2"]


def test_attributes_keep_their_types_and_are_written_anew(database: Database) -> None:
    given = {"team": "cad", "year": 2026, "share": 0.5, "open": True}
    with database.transaction() as change:
        add_stores(change, "vs_1")
        vector_stores.attach(change, "vs_1", "file-1", given)
        found = vector_stores.find_attachment(change, "vs_1", "file-1")
        assert found is not None
        assert found.attributes == given
        assert type(found.attributes["open"]) is bool
        vector_stores.set_attributes(change, "vs_1", "file-1", {"team": "dv"})
        found = vector_stores.find_attachment(change, "vs_1", "file-1")
    assert found is not None
    assert found.attributes == {"team": "dv"}


def test_a_batch_has_the_files_that_were_attached_with_it(database: Database) -> None:
    with database.transaction() as change:
        add_stores(change, "vs_1", "vs_2")
        vector_stores.add_batch(change, Batch("vsfb_1", "vs_1", 3, is_cancelled=False))
        vector_stores.attach(change, "vs_1", "file-1", batch_id="vsfb_1")
        vector_stores.attach(change, "vs_1", "file-2")
        vector_stores.attach(change, "vs_2", "file-1")
        of_batch, of_store = (vector_stores.list_attachments(change, "vs_1", batch) for batch in ("vsfb_1", None))
        assert [each.file_id for each in of_batch] == ["file-1"]
        assert sorted(each.file_id for each in of_store) == ["file-1", "file-2"]
        assert vector_stores.find_batch(change, "vs_1", "vsfb_1") == Batch("vsfb_1", "vs_1", 3, is_cancelled=False)
        assert vector_stores.find_batch(change, "vs_2", "vsfb_1") is None  # it is another store's
        vector_stores.cancel_batch(change, "vsfb_1")
        batch = vector_stores.find_batch(change, "vs_1", "vsfb_1")
        assert batch is not None
        assert batch.is_cancelled
        assert {each.file_id: each.status for each in vector_stores.list_attachments(change, "vs_1")} == {
            "file-1": "cancelled",
            "file-2": "in_progress",
        }


def test_files_are_counted_by_store_and_status_without_those_that_leave(database: Database) -> None:
    with database.transaction() as change:
        add_stores(change, "vs_1", "vs_2", "vs_3")
        for store_id, file_id in (("vs_1", "a"), ("vs_1", "b"), ("vs_2", "a"), ("vs_3", "c")):
            vector_stores.attach(change, store_id, file_id)
        change.run("UPDATE attachments SET status = 'completed', usage_bytes = 40 WHERE file_id = ?", ("a",))
        vector_stores.detach(change, "vs_3", "c")
        counts = vector_stores.count(change)
        assert counts.keys() == {"vs_1", "vs_2"}
        assert counts["vs_1"].by_status == {"completed": 1, "in_progress": 1}
        assert counts["vs_1"].usage_bytes == 40
        assert vector_stores.count(change, "vs_2") == {"vs_2": counts["vs_2"]}
        assert vector_stores.count(change, "vs_3") == {}


def test_a_file_leaves_every_store_that_has_it(database: Database) -> None:
    with database.transaction() as change:
        add_stores(change, "vs_1", "vs_2")
        for store_id, file_id in (("vs_1", "a"), ("vs_2", "a"), ("vs_2", "b")):
            vector_stores.attach(change, store_id, file_id)
        vector_stores.detach_everywhere(change, "a")
        assert sorted(vector_stores.list_leaving(change, "a")) == [("vs_1", "a"), ("vs_2", "a")]
        assert vector_stores.find_attachment(change, "vs_1", "a") is None
        assert [each.file_id for each in vector_stores.list_attachments(change, "vs_2")] == ["b"]


def test_files_are_found_by_the_thousand_and_summed(database: Database) -> None:
    many = [StoredFile(f"file-{number}", number, f"{number}.md", number, "assistants") for number in range(AT_ONCE + 2)]
    with database.transaction() as change:
        assert files.total_bytes(change) == 0
        for each in many:
            files.add(change, each)
    with database.transaction(writes=False) as read:
        found = files.find_many(read, [*(each.file_id for each in many), "file-none"])
        assert found == {each.file_id: each for each in many}
        assert files.find_many(read, []) == {}
        assert files.total_bytes(read) == sum(each.bytes for each in many)
        assert files.list_all(read) == many


def test_files_whose_time_is_over_are_listed_and_deleted_once(database: Database) -> None:
    with database.transaction() as change:
        for name, expires_us in (("a", 10), ("b", 11), ("c", None)):
            files.add(change, StoredFile(name, 1, name, 1, "assistants", expires_us))
        assert files.list_expired(change, 10) == []
        assert files.list_expired(change, 11) == ["a"]
        assert files.delete(change, "a")
        assert not files.delete(change, "a")
        assert files.find(change, "a") is None
        assert files.list_expired(change, 10**18) == ["b"]
