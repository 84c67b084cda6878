"""serve.uploads: files and vector stores of a gateway without an index, in a real SQLite file and a real folder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from rag.errors import IndexCorrupt, IndexUnusable
from rag.search.live import NoIndex
from serve.errors import (
    CollectionNotFound,
    FileNotKept,
    RequestError,
    RetrievalUnavailable,
    StoreFull,
    UploadsOff,
    VectorStoreNotFound,
)
from serve.filters import read_filter
from serve.settings import ServeSettings
from serve.store import build_queue, files, vector_stores
from serve.store.build_queue import Built
from serve.store.contents import Contents
from serve.store.database import Database
from serve.store.sqlite import SqliteEngine
from serve.store.vector_stores import VectorStore
from serve.uploads.attachments import (
    attach_file,
    cancel_batch,
    create_batch,
    list_attached,
    list_batch,
    show_attached,
    show_batch,
    show_text,
    update_attached,
)
from serve.uploads.built import built_stores
from serve.uploads.files import (
    GIB,
    begin_upload,
    check_room,
    check_space,
    discard_file,
    find_content,
    keep_upload,
    list_files,
    show_file,
)
from serve.uploads.jobs import Job, Outcome
from serve.uploads.library import Library, is_built
from serve.uploads.narrowing import ACTIVE_EVERY_US, narrow
from serve.uploads.pages import Page
from serve.uploads.requests import AttachFile, CreateBatch, Search
from serve.uploads.searching import search_store
from serve.uploads.shelf import Shelf, open_shelf
from tests.rows import for_each

STORE, OTHER = f"vs_{'a' * 24}", f"vs_{'b' * 24}"
ALL = Page(limit=100, order="asc")


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    """A library with two empty stores, which counts how often it woke the builder in `woken`."""
    database = Database(SqliteEngine(tmp_path / "home"))
    made = Library(ServeSettings(home=tmp_path / "home"), database, Contents(tmp_path / "home"), NoIndex)
    with database.transaction() as change:
        for number, store_id in enumerate((STORE, OTHER), start=1):
            vector_stores.add(change, VectorStore(store_id, number, f"store {number}"))
    yield made
    database.close()


def closed(library: Library) -> Library:
    return Library(
        ServeSettings(home=library.settings.home, uploads="off"), library.database, library.contents, NoIndex
    )


def upload(library: Library, name: str = "manual.md", content: bytes = b"# Hold\n", **options: Any) -> str:
    arriving = begin_upload(library, name)
    arriving.incoming.write(content)
    return str(keep_upload(library, arriving, options.get("purpose", "assistants"), options.get("expires_s"))["id"])


def attach(library: Library, file_id: str, **attributes: Any) -> dict[str, Any]:
    return attach_file(library, STORE, AttachFile(file_id=file_id, attributes=attributes or None))


def note_built(library: Library, *built: Built) -> None:
    with library.database.transaction() as change:
        build_queue.note_built(change, built)


# Files


@for_each(
    ("name", "kept"),
    [
        ("manual.md", "manual.md"),
        ("../../etc/passwd", "passwd"),
        ("C:\\docs\\Handbuch ü.pdf", "Handbuch ü.pdf"),
        ("", "file"),
        ("..", "file"),
        ("a\x00b\n.md", "ab.md"),
        ("x" * 300 + ".md", "x" * 197 + ".md"),
    ],
)
def test_a_file_is_kept_with_its_bytes_under_a_name_that_stays_in_its_folder(
    name: str, kept: str, tmp_path: Path
) -> None:
    library = Library(ServeSettings(home=tmp_path), Database(SqliteEngine(tmp_path)), Contents(tmp_path), NoIndex)
    content = b"\x00\r\n\xff" * 5
    file_id = upload(library, name, content)
    found, path = find_content(library, file_id)
    assert (found.name, found.bytes, path.read_bytes()) == (kept, len(content), content)
    assert path == tmp_path / "files" / file_id / kept
    assert show_file(library, file_id)["filename"] == kept


def test_an_empty_file_is_a_file(library: Library) -> None:
    file_id = upload(library, content=b"")
    assert show_file(library, file_id)["bytes"] == 0
    assert find_content(library, file_id)[1].read_bytes() == b""


def test_files_are_listed_by_purpose_and_page(library: Library) -> None:
    ids = [upload(library, purpose=purpose) for purpose in ("assistants", "batch", "assistants")]
    listed = list_files(library, ALL, None)
    assert [each["id"] for each in listed["data"]] == ids
    assert [each["id"] for each in list_files(library, ALL, "assistants")["data"]] == [ids[0], ids[2]]
    assert list_files(library, ALL, "vision")["data"] == []
    newest = list_files(library, Page(limit=1), None)
    assert (newest["data"][0]["id"], newest["has_more"]) == (ids[2], True)


def test_a_file_expires_so_many_seconds_after_it_was_made(library: Library) -> None:
    shown = show_file(library, upload(library, expires_s=3600))
    assert shown["expires_at"] - shown["created_at"] == 3600
    assert show_file(library, upload(library))["expires_at"] is None


def test_a_file_that_is_discarded_is_gone_from_the_disk_and_from_every_store(library: Library) -> None:
    file_id, other = upload(library), upload(library)
    attach(library, file_id)
    attach(library, other)
    discard_file(library, file_id)
    discard_file(library, file_id)  # whoever was killed halfway does it again
    assert [path.name for path in library.contents.folder.iterdir()] == [other]
    assert [each["id"] for each in list_attached(library, STORE, ALL, None)["data"]] == [other]
    with pytest.raises(FileNotKept, match=rf"No file has the id '{file_id}': GET /v1/files lists all\."):
        show_file(library, file_id)


def test_room_ends_at_the_limit_and_not_before_it(library: Library) -> None:
    check_room(50 * GIB, 50)
    with pytest.raises(StoreFull, match=r"more than 50 GiB: delete some, or ask .* \(CHIPALIGN_UPLOADS_GB\)") as caught:
        check_room(50 * GIB + 1, 50)
    assert caught.value.status == 507
    upload(library, content=b"1234567")
    check_space(library, 50 * GIB - 7)
    with pytest.raises(StoreFull):
        check_space(library, 50 * GIB - 6)


def test_a_file_beyond_the_room_leaves_no_row(library: Library) -> None:
    with library.database.transaction() as change:
        files.add(change, files.StoredFile("file-large", 1, "large.pdf", 50 * GIB, "assistants"))
    arriving = begin_upload(library, "one.md")
    arriving.incoming.write(b"1")
    with pytest.raises(StoreFull):
        keep_upload(library, arriving, "assistants", None)
    arriving.incoming.abort()
    assert [each["id"] for each in list_files(library, ALL, None)["data"]] == ["file-large"]
    assert [*library.contents.folder.iterdir()] == []


# Files of a store


def test_a_file_that_is_attached_waits_for_its_build_and_wakes_the_builder(library: Library) -> None:
    woken: list[int] = []
    library.wake = lambda: woken.append(1)
    file_id = upload(library)
    made = attach(library, file_id, version="2.0", draft=False, pages=7, share=0.5)
    assert (made["id"], made["status"], made["last_error"]) == (file_id, "in_progress", None)
    assert made["attributes"] == {"version": "2.0", "draft": False, "pages": 7, "share": 0.5}
    assert show_attached(library, STORE, file_id) == made
    assert woken == [1]


def test_attaching_again_changes_attributes_and_builds_anew_only_what_failed(library: Library) -> None:
    whole, broken = upload(library), upload(library)
    for file_id in (whole, broken):
        attach(library, file_id, edition=1)
    note_built(library, Built(STORE, whole, 70), Built(STORE, broken, 0, "unsupported_file", "It is encrypted."))
    assert show_attached(library, STORE, whole)["usage_bytes"] == 70
    failed = show_attached(library, STORE, broken)
    assert (failed["status"], failed["last_error"]) == (
        "failed",
        {"code": "unsupported_file", "message": "It is encrypted."},
    )
    assert [attach(library, each, edition=2)["status"] for each in (whole, broken)] == ["completed", "in_progress"]
    assert show_attached(library, STORE, broken)["last_error"] is None
    assert show_attached(library, STORE, whole)["attributes"] == {"edition": 2}


def test_attributes_are_replaced_as_a_whole_and_null_leaves_none(library: Library) -> None:
    file_id = upload(library)
    attach(library, file_id, a="1", b="2")
    assert update_attached(library, STORE, file_id, {"c": "ü"})["attributes"] == {"c": "ü"}
    assert update_attached(library, STORE, file_id, None)["attributes"] == {}


def test_files_are_listed_by_status_and_an_unknown_status_names_those_that_there_are(library: Library) -> None:
    done, waiting = upload(library), upload(library)
    for file_id in (done, waiting):
        attach(library, file_id)
    note_built(library, Built(STORE, done, 5))
    for status, expected in (
        (None, [done, waiting]),
        ("completed", [done]),
        ("in_progress", [waiting]),
        ("failed", []),
    ):
        assert [each["id"] for each in list_attached(library, STORE, ALL, status)["data"]] == expected
    with pytest.raises(
        RequestError, match="'filter' is 'removing': give one of in_progress, completed, fail"
    ) as caught:
        list_attached(library, STORE, ALL, "removing")
    assert caught.value.param == "filter"


@for_each(
    "do",
    [
        lambda library: list_attached(library, "vs_9", ALL, None),
        lambda library: show_attached(library, "vs_9", "file-1"),
        lambda library: show_text(library, "vs_9", "file-1"),
        lambda library: update_attached(library, "vs_9", "file-1", {}),
        lambda library: attach_file(library, "vs_9", AttachFile(file_id="file-1")),
        lambda library: create_batch(library, "vs_9", CreateBatch(file_ids=["file-1"])),
        lambda library: show_batch(library, "vs_9", "vsfb_1"),
        lambda library: cancel_batch(library, "vs_9", "vsfb_1"),
        lambda library: search_store(library, "vs_9", Search(query="hold")),
    ],
)
def test_a_store_that_there_is_not_is_named_by_every_operation(do: Callable[[Library], Any], library: Library) -> None:
    with pytest.raises(VectorStoreNotFound) as caught:
        do(library)
    assert str(caught.value) == "No vector store has the id 'vs_9': GET /v1/vector_stores lists all."


@for_each(
    "do",
    [
        lambda library: show_attached(library, STORE, "file-9"),
        lambda library: show_text(library, STORE, "file-9"),
        lambda library: update_attached(library, STORE, "file-9", {}),
        lambda library: show_batch(library, STORE, "vsfb_9"),
        lambda library: list_batch(library, STORE, "vsfb_9", ALL, None),
        lambda library: cancel_batch(library, STORE, "vsfb_9"),
    ],
)
def test_a_file_or_batch_of_no_store_is_named_with_the_store(do: Callable[[Library], Any], library: Library) -> None:
    with pytest.raises(
        FileNotKept, match=rf"The vector store '{STORE}' has no (file|batch) with the id '(file-|vsfb_)9'\."
    ):
        do(library)


def test_where_uploads_are_off_nothing_changes_and_everything_is_read(library: Library) -> None:
    file_id = upload(library)
    attach(library, file_id)
    reading = closed(library)
    for do in (
        lambda: attach_file(reading, STORE, AttachFile(file_id=file_id)),
        lambda: update_attached(reading, STORE, file_id, {"a": "b"}),
        lambda: create_batch(reading, STORE, CreateBatch(file_ids=[file_id])),
        lambda: cancel_batch(reading, STORE, "vsfb_1"),
        reading.check_uploads,
    ):
        with pytest.raises(UploadsOff, match="CHIPALIGN_UPLOADS is off") as caught:
            do()
        assert caught.value.status == 403
    assert show_attached(reading, STORE, file_id)["attributes"] == {}
    assert show_file(reading, file_id)["id"] == file_id


# Batches


def test_a_batch_is_built_together_and_counts_its_own_files(library: Library) -> None:
    alone, first, second = upload(library), upload(library), upload(library)
    attach(library, alone)
    batch = create_batch(library, STORE, CreateBatch(file_ids=[first, second], attributes={"team": "cts"}))
    assert (batch["status"], batch["file_counts"]["total"]) == ("in_progress", 2)
    assert {each["attributes"]["team"] for each in list_batch(library, STORE, batch["id"], ALL, None)["data"]} == {
        "cts"
    }
    note_built(library, Built(STORE, first, 5), Built(STORE, second, 0, "server_error", "It broke."))
    done = show_batch(library, STORE, batch["id"])
    assert (done["status"], done["file_counts"]["completed"], done["file_counts"]["failed"]) == ("completed", 1, 1)
    assert [each["id"] for each in list_batch(library, STORE, batch["id"], ALL, "failed")["data"]] == [second]


def test_files_of_a_batch_may_have_attributes_of_their_own(library: Library) -> None:
    first, second = upload(library), upload(library)
    wanted = [AttachFile(file_id=first, attributes={"n": 1}), AttachFile(file_id=second)]
    batch = create_batch(library, STORE, CreateBatch(files=wanted))
    found = list_batch(library, STORE, batch["id"], ALL, None)["data"]
    assert {each["id"]: each["attributes"] for each in found} == {first: {"n": 1}, second: {}}


def test_a_file_that_a_batch_names_twice_is_one_file(library: Library) -> None:
    file_id = upload(library)
    assert create_batch(library, STORE, CreateBatch(file_ids=[file_id, file_id]))["file_counts"]["total"] == 1


def test_of_a_batch_with_an_unknown_file_nothing_is_attached(library: Library) -> None:
    file_id = upload(library)
    with pytest.raises(FileNotKept, match="No file has the id 'file-9'") as caught:
        create_batch(library, STORE, CreateBatch(file_ids=[file_id, "file-9"]))
    assert caught.value.param == "file_ids"
    assert list_attached(library, STORE, ALL, None)["data"] == []


@for_each("body", [CreateBatch(), CreateBatch(file_ids=["a"], files=[AttachFile(file_id="a")])])
def test_a_batch_names_its_files_in_one_of_two_ways(body: CreateBatch, library: Library) -> None:
    with pytest.raises(RequestError, match="in 'file_ids' or in 'files', in one of them"):
        create_batch(library, STORE, body)


def test_a_cancelled_batch_leaves_built_files_and_those_of_others(library: Library) -> None:
    alone, built, waiting = upload(library), upload(library), upload(library)
    attach(library, alone)
    batch = create_batch(library, STORE, CreateBatch(file_ids=[built, waiting]))
    note_built(library, Built(STORE, built, 5))
    cancelled = cancel_batch(library, STORE, batch["id"])
    assert (cancelled["status"], cancelled["file_counts"]["cancelled"]) == ("cancelled", 1)
    assert cancel_batch(library, STORE, batch["id"]) == cancelled
    statuses = {each["id"]: each["status"] for each in list_attached(library, STORE, ALL, None)["data"]}
    assert statuses == {alone: "in_progress", built: "completed", waiting: "cancelled"}
    with pytest.raises(FileNotKept):
        show_batch(library, OTHER, batch["id"])  # it is not of that store


# What is searched where there is no index yet


def test_without_an_index_stores_are_empty_and_not_unknown(library: Library) -> None:
    file_id = upload(library)
    attach(library, file_id)
    assert show_text(library, STORE, file_id)["data"] == []
    found = search_store(library, STORE, Search(query="antenna repair"))
    assert (found["search_query"], found["data"], found["has_more"]) == (["antenna repair"], [], False)
    assert built_stores(None) == {}
    assert not is_built(None, "router")


def test_a_search_of_stores_is_under_the_names_that_people_gave_them(library: Library) -> None:
    part = narrow(library, NoIndex(), [STORE, OTHER, STORE], None, "collections")
    assert part.names == ("store 1", "store 2")
    nameless = f"vs_{'c' * 24}"
    with library.database.transaction() as change:
        vector_stores.add(change, VectorStore(nameless, 3))
    assert narrow(library, NoIndex(), [nameless], None, "collections").names == (nameless,)
    assert narrow(library, NoIndex(), [], read_filter({"type": "eq", "key": "a", "value": 1}, "f"), "x").names == ()


@for_each("name", [f"vs_{'9' * 24}", "router"])
def test_a_collection_that_is_nowhere_is_named_where_it_stands(name: str, library: Library) -> None:
    with pytest.raises(CollectionNotFound, match=name) as caught:
        narrow(library, NoIndex(), [STORE, name], None, "tools[0].vector_store_ids")
    assert caught.value.param == "tools[0].vector_store_ids"
    assert not str(caught.value).endswith("..")


def test_a_search_notes_that_a_store_is_in_use_but_not_each_time(library: Library) -> None:
    def active_us() -> list[int]:
        with library.database.transaction(writes=False) as read:
            return [each.active_us for each in vector_stores.list_all(read)]

    assert active_us() == [1, 2]
    narrow(library, NoIndex(), [STORE], None, "x")
    [first, second] = active_us()
    assert (first > ACTIVE_EVERY_US, second) == (True, 2)
    narrow(library, NoIndex(), [STORE], None, "x")
    assert active_us() == [first, 2]


def test_an_index_that_cannot_be_searched_is_not_a_bug_of_the_library(library: Library) -> None:
    def broken() -> NoReturn:
        raise IndexUnusable("the index in /x cannot be used: build it again")

    library.newest = broken
    for do in (library.searched, library.index, lambda: list_attached(library, STORE, ALL, None)):
        with pytest.raises(RetrievalUnavailable, match="build it again") as caught:
            do()
        assert caught.value.status == 503


# The shelf


def never(job: Job) -> Outcome:
    raise AssertionError(f"{job} is not to be built")


def test_without_a_way_to_search_what_is_built_nothing_can_be_uploaded(library: Library) -> None:
    async def try_it() -> None:
        async with open_shelf(library.settings, library.database, NoIndex, None, never) as shelf:
            assert shelf.library.settings.uploads == "off"
            with pytest.raises(UploadsOff):
                await shelf.do(attach_file, STORE, AttachFile(file_id="file-1"))
            assert await shelf.do(list_attached, STORE, ALL, status=None) == list_attached(library, STORE, ALL, None)

    asyncio.run(try_it())


def test_a_damaged_index_is_said_by_whatever_reads_it(library: Library) -> None:
    def damaged(_: Library, why: str) -> NoReturn:
        raise IndexCorrupt(why)

    async def try_it() -> None:
        async with open_shelf(library.settings, library.database, NoIndex, None, never) as shelf:
            await ask(shelf)

    async def ask(shelf: Shelf) -> None:
        with pytest.raises(RetrievalUnavailable, match="chunks are cut off"):
            await shelf.do(damaged, "chunks are cut off")

    asyncio.run(try_it())
