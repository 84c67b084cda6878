"""rag.search.live: what is built, removed, moved or damaged while a program runs is what it searches a moment later."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

import rag.search.live
from rag.embedding.embedder import Embedder
from rag.errors import CollectionUnknown, IndexUnusable
from rag.formats.parser import parse_document
from rag.index.building import build_index, remove_collections
from rag.index.manifest import MANIFEST, read_manifest
from rag.search.live import LiveRetriever
from rag.search.retriever import Retriever
from rag.settings import RagSettings
from tests.tiny_embedder import TinyEmbedder

TINY = RagSettings(home=Path("unused"), min_relevance=0.0, min_hit_score=-1.0)
PATIENCE_S = 30.0


def build(folder: Path, *collections: str, settings: RagSettings = TINY, edition: int = 1) -> None:
    documents = [
        parse_document(name, "a.md", name, f"# {name}\n\nIt says {name}, edition {edition}.\n", None, "ISC")
        for name in collections
    ]
    build_index(documents, folder, settings, TinyEmbedder())


def watch(folder: Path) -> LiveRetriever:
    """The folder's live index, not watched by a thread: a test looks by itself."""
    live = LiveRetriever(folder, TINY, Retriever.open_with(TinyEmbedder(), folder, TINY))
    live.look()
    return live


def collections(live: LiveRetriever) -> list[str]:
    return list(live.current().collections)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    build(tmp_path / "index", "router", "timer")
    return tmp_path / "index"


@pytest.fixture
def live(folder: Path) -> LiveRetriever:
    return watch(folder)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that a test sets."""
    clock = [1000.0]
    monkeypatch.setattr(rag.search.live, "monotonic", lambda: clock[0])
    return clock


def test_what_a_build_adds_is_found_and_what_it_removes_is_not(live: LiveRetriever, folder: Path) -> None:
    chunk_id = live.current().search("It says router")[0].chunk.chunk_id
    build(folder, "timer", "power")
    live.look()
    assert collections(live) == ["power", "timer"]
    assert live.current().chunk_count == 2
    assert live.current().chunk(chunk_id) is None
    assert {hit.chunk.collection for hit in live.current().search("It says router")} == {"power", "timer"}


def test_a_question_keeps_the_index_that_it_began_with(live: LiveRetriever, folder: Path) -> None:
    began = live.current()
    remove_collections(["router"], folder)
    live.look()
    assert {hit.chunk.collection for hit in began.search("It says router")} == {"router", "timer"}
    assert collections(live) == ["timer"]


def test_where_nothing_changed_nothing_is_opened(live: LiveRetriever, folder: Path) -> None:
    before = live.current()
    build(folder, "router", "timer")
    live.look()
    assert live.current() is before


def test_files_and_memory_of_the_old_index_are_let_go(live: LiveRetriever, folder: Path) -> None:
    def mapped() -> set[str]:
        """The generations whose files this process has mapped or open."""
        gc.collect()
        process = psutil.Process()
        paths = [item.path for item in process.memory_maps(grouped=True)] + [item.path for item in process.open_files()]
        return {path.partition("generation-")[2][:12] for path in paths if str(folder) in path}

    old, began = read_manifest(folder).generation.removeprefix("generation-"), live.current()
    assert began.search("It says router")
    build(folder, "power")
    live.look()
    new = read_manifest(folder).generation.removeprefix("generation-")
    assert mapped() == {old, new}
    del began
    assert mapped() == {new}


def test_with_the_last_collection_nothing_is_found_any_more(live: LiveRetriever, folder: Path) -> None:
    remove_collections(["router", "timer"], folder)
    live.look()
    live.look()
    nothing = live.current()
    assert (nothing.chunk_count, nothing.collections, nothing.search("It says router"), nothing.chunk("0" * 16)) == (
        0,
        {},
        [],
        None,
    )
    with pytest.raises(CollectionUnknown, match="'router'"):
        nothing.within(["router"])
    build(folder, "power")
    live.look()
    assert collections(live) == ["power"]


def test_a_folder_that_is_exchanged_is_never_taken_for_an_empty_one(live: LiveRetriever, folder: Path) -> None:
    build(folder.with_name("new"), "power")
    folder.rename(folder.with_name("old"))
    live.look()
    assert collections(live) == ["router", "timer"]
    folder.with_name("new").rename(folder)
    live.look()
    assert collections(live) == ["power"]


def test_a_folder_that_is_gone_is_reported_and_found_again(live: LiveRetriever, folder: Path) -> None:
    folder.rename(folder.with_name("moved"))
    live.look()
    live.look()
    with pytest.raises(IndexUnusable, match=f"no index in {folder}"):
        live.current()
    folder.with_name("moved").rename(folder)
    live.look()
    assert collections(live) == ["router", "timer"]


def test_a_link_that_leads_to_another_index_is_followed(tmp_path: Path, folder: Path) -> None:
    build(tmp_path / "other", "power")
    link = tmp_path / "link"
    link.symlink_to(folder)
    live = watch(link)
    (tmp_path / "next").symlink_to(tmp_path / "other")
    (tmp_path / "next").replace(link)
    live.look()
    assert collections(live) == ["power"]


def test_a_manifest_of_an_earlier_time_and_the_same_size_is_another_one(live: LiveRetriever, folder: Path) -> None:
    build(folder, "router", "power")  # of five letters each
    os.utime(folder / MANIFEST, (1, 1))
    live.look()
    assert collections(live) == ["power", "router"]


def test_a_new_index_that_is_damaged_ends_the_old_one_until_it_is_repaired(
    live: LiveRetriever, folder: Path, now: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    build(folder, "power")
    chunks = next(folder.rglob("chunks.jsonl"))
    good = chunks.read_bytes()
    chunks.write_bytes(b"?" * len(good))
    with caplog.at_level(logging.ERROR, "chipalign.index"):
        for _ in range(3):
            live.look()
            now[0] += 10
    with pytest.raises(
        IndexUnusable,
        match=r"is gone, and what is there now cannot be searched: .*chunks\.jsonl is not the file that was built",
    ):
        live.current()
    assert len(caplog.records) == 1, "it is reported once"
    chunks.write_bytes(good)
    live.look()
    assert collections(live) == ["power"]


def test_a_manifest_that_cannot_be_read_ends_the_old_index(live: LiveRetriever, folder: Path) -> None:
    (folder / MANIFEST).write_text("{half")
    live.look()
    with pytest.raises(IndexUnusable, match="is not a manifest"):
        live.current()


def test_an_index_of_other_settings_says_to_start_again(live: LiveRetriever, folder: Path) -> None:
    build(folder, "power", settings=replace(TINY, chunk_tokens=100))
    live.look()
    with pytest.raises(
        IndexUnusable, match=r"chunk_tokens: 100 in the index, 220 now.*, and start this program again$"
    ):
        live.current()


def test_an_embedder_that_was_trained_again_is_opened_again(live: LiveRetriever, folder: Path) -> None:
    documents = [parse_document("power", "a.md", "Power", "# Power\n\nThe grid is made by `pdngen`.\n", None, "ISC")]
    build_index(documents, folder, TINY, Embedder.find(TINY.embedder))
    live.look()
    assert [hit.chunk.path for hit in live.current().search("How is the grid made?")] == ["a.md"]


def test_while_the_new_index_is_opened_the_old_one_is_searched_for_a_short_time(
    live: LiveRetriever, folder: Path, now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    opening, go_on = threading.Event(), threading.Event()

    def open_slowly(*args: object) -> Retriever:
        opening.set()
        assert go_on.wait(20)
        return original(*args)  # type: ignore[arg-type]

    original = Retriever.open_with
    monkeypatch.setattr(Retriever, "open_with", open_slowly)
    build(folder, "power")
    looking = threading.Thread(target=live.look)
    looking.start()
    assert opening.wait(20)
    assert collections(live) == ["router", "timer"]
    now[0] += 4
    with pytest.raises(IndexUnusable, match="still being opened"):
        live.current()
    go_on.set()
    looking.join(20)
    assert collections(live) == ["power"]


def test_a_bug_in_opening_ends_the_old_index_too(
    live: LiveRetriever, folder: Path, now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    build(folder, "power")
    with monkeypatch.context() as patch:
        patch.setattr(Retriever, "open_with", lambda *_: 1 / 0)
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                live.look()
            now[0] += 4
        with pytest.raises(IndexUnusable):
            live.current()
    live.look()
    assert collections(live) == ["power"]


def test_the_thread_looks_by_itself_and_at_once_when_asked_to(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live = watch(folder)
    monkeypatch.setattr(rag.search.live, "LOOK_EVERY_S", 60.0)
    with live.watched():
        build(folder, "power")
        live.look_soon()
        wait_until(live, ["power"])
    assert not [thread for thread in threading.enumerate() if thread.name == "index"]
    monkeypatch.setattr(rag.search.live, "LOOK_EVERY_S", 0.05)
    with live.watched():
        shutil.rmtree(folder)
        build(folder, "timer")
        wait_until(live, ["timer"])


def wait_until(live: LiveRetriever, expected: list[str]) -> None:
    deadline = threading.Event()
    for _ in range(int(PATIENCE_S / 0.02)):
        if collections(live) == expected:
            return
        deadline.wait(0.02)
    raise AssertionError(f"after {PATIENCE_S} s it is still {collections(live)}")


UPLOADED = "vs_0123456789abcdef01234567"


def test_what_clients_uploaded_is_searched_where_it_is_named_alone(live: LiveRetriever, folder: Path) -> None:
    build(folder, "router", "timer", UPLOADED)
    live.look()
    assert collections(live) == ["router", "timer"]
    assert live.current().chunk_count == 2
    assert {hit.chunk.collection for hit in live.current().search(f"It says {UPLOADED}")} == {"router", "timer"}
    [hit] = live.current().within([UPLOADED]).search(f"It says {UPLOADED}")
    assert live.current().chunk(hit.chunk.chunk_id) == hit.chunk
    assert list(live.current().within([UPLOADED, "timer"]).collections) == ["timer", UPLOADED]
    with pytest.raises(CollectionUnknown) as caught:
        live.current().within(["route", UPLOADED.replace("0", "1")])
    assert "holds router, timer" in str(caught.value)


def test_an_index_of_uploads_alone_shares_nothing(live: LiveRetriever, folder: Path) -> None:
    remove_collections(["router", "timer"], folder)
    build(folder, UPLOADED)
    live.look()
    assert (collections(live), live.current().chunk_count) == ([], 0)
    assert live.current().search("It says router") == []
