"""rag.index.milvus: a real Milvus Lite finds what FAISS finds, and a build that is killed, repeated or taken apart
leaves there what it promises.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from rag.documents import Document
from rag.embedding.embedder import Embedder
from rag.errors import CollectionUnknown, IndexCorrupt, MilvusUnavailable
from rag.formats.parser import parse_document
from rag.index import milvus as milvus_module
from rag.index.building import build_index, remove_collections
from rag.index.dense import TARGET_RECALL, DenseIndex, Vectors
from rag.index.index_stats import describe_stats, measure_index
from rag.index.manifest import DenseKind, read_manifest, spec_of
from rag.index.milvus import PLACE, Milvus, MilvusIndex, Place
from rag.index.opening import open_index, verify_index
from rag.index.vector_store import FILES, choose_store, find_holder, open_vectors
from rag.search.retriever import Retriever
from rag.settings import RagSettings
from tests.conftest import SIX_DOCUMENTS, free_port
from tests.rows import for_each
from tests.tiny_embedder import TinyEmbedder
from tests.unit_vectors import unit_vectors

pytest.importorskip("pymilvus", reason="the extra milvus is not installed")
TINY = RagSettings(home=Path("unused"), embedder="tiny", chunk_tokens=200)
QUERY = TinyEmbedder().embed(["hold buffers"])[0]


def of_collection(name: str, texts: Sequence[str]) -> list[Document]:
    return [
        parse_document(name, f"{number}.md", f"{name} {number}", f"{text}\n", None, "ISC")
        for number, text in enumerate(texts)
    ]


DOCUMENTS = [
    *of_collection('a"b', ["hold buffers are inserted", "power straps"]),
    *of_collection("timer", ["setup of a path", "hold of a path", "clock skew"]),
    *of_collection("übung", ["hold buffers once more"]),
]


@pytest.fixture
def settings(tmp_path: Path) -> RagSettings:
    return replace(TINY, milvus_uri=str(tmp_path / "vectors.db"))


def milvus_of(settings: RagSettings) -> Milvus:
    milvus = choose_store(settings)
    assert isinstance(milvus, Milvus)
    return milvus


def collections_in(settings: RagSettings) -> set[str]:
    return set(milvus_of(settings).connect().list_collections())


def named(folder: Path) -> str:
    """The Milvus collection that the manifest's generation names."""
    return Place.read(folder / read_manifest(folder).generation / PLACE).collection


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[MilvusIndex, Vectors, list[str]]:
    """A collection of 300 rows, 100 in each of three collections of documents."""
    folder, vectors = tmp_path_factory.mktemp("milvus"), unit_vectors(300)
    names = [("b", 'quo"te', "ä@2.0")[row // 100] for row in range(300)]
    milvus = Milvus(str(folder / "one.db"))
    assert milvus.write(folder, vectors, names) == DenseKind("milvus-flat")
    return milvus.open(folder, DenseKind("milvus-flat")), vectors, names


def test_rows_and_scores_are_those_of_faiss(filled: tuple[MilvusIndex, Vectors, list[str]]) -> None:
    dense, vectors, _ = filled
    assert (dense.count, dense.dimension) == (300, 16)
    faiss = DenseIndex.build(vectors)
    for query in unit_vectors(20, seed=8):
        (rows, scores), (expected, expected_scores) = dense.search(query, 50), faiss.search(query, 50)
        assert rows == expected
        assert scores == pytest.approx(expected_scores, abs=1e-5)
        assert dense.scores(query, [7, 299, 7]) == pytest.approx(faiss.scores(query, [7, 299, 7]), abs=1e-5)
    assert len(dense.search(vectors[0], 1000)[0]) == 300


@for_each("chosen", [["b"], ['quo"te'], ["ä@2.0", "b"], []])
def test_a_filter_finds_what_a_mask_finds(filled: tuple[MilvusIndex, Vectors, list[str]], chosen: list[str]) -> None:
    dense, vectors, names = filled
    mask = np.array([name in chosen for name in names])
    for query in unit_vectors(5, seed=9):
        assert (
            dense.within(mask, chosen).search(query, 150)[0]
            == DenseIndex.build(vectors).within(mask).search(query, 150)[0]
        )


@for_each("most_named", [1000, 10])
def test_a_part_of_a_collection_finds_its_own_rows_alone(
    filled: tuple[MilvusIndex, Vectors, list[str]], monkeypatch: pytest.MonkeyPatch, most_named: int
) -> None:
    monkeypatch.setattr(milvus_module, "_MOST_NAMED", most_named)
    dense, vectors, names = filled
    mask = np.array([name == "b" and row % 2 == 0 for row, name in enumerate(names)])
    for query in unit_vectors(5, seed=10):
        expected = DenseIndex.build(vectors).within(mask).search(query, 300)[0]
        assert dense.within(mask, ["b"]).search(query, 300)[0] == expected


def test_vectors_come_back_to_the_bit_in_the_order_that_is_asked_for(
    filled: tuple[MilvusIndex, Vectors, list[str]],
) -> None:
    dense, vectors, _ = filled
    rows = [299, 0, 5, 5, 150]
    assert np.array_equal(dense.vectors(rows), vectors[rows])
    assert dense.vectors([]).shape == (0, 16)
    with pytest.raises(IndexCorrupt, match="lacks the row 300: build the index again"):
        dense.vectors([1, 300])


def test_above_the_limit_it_is_a_graph_whose_recall_was_measured(tmp_path: Path) -> None:
    vectors, milvus = unit_vectors(1500, 24), Milvus(str(tmp_path / "graph.db"))
    kind = milvus.write(tmp_path, vectors, ["x"] * 1500, flat_limit=1000)
    assert kind.kind == "milvus-hnsw"
    assert kind.recall_at_10 >= TARGET_RECALL
    dense, faiss = milvus.open(tmp_path, kind), DenseIndex.build(vectors)
    found = [
        len(set(dense.search(query, 10)[0]) & set(faiss.search(query, 10)[0])) for query in unit_vectors(30, 24, seed=3)
    ]
    assert np.mean(found) >= 9.5


def test_an_index_in_milvus_finds_what_one_in_files_finds(tmp_path: Path, settings: RagSettings) -> None:
    real = Embedder.find(RagSettings().embedder)
    documents = [
        parse_document("notes", f"{title}.md", title, f"# {title}\n\n{text}\n", None, "ISC")
        for title, text in SIX_DOCUMENTS.items()
    ]
    documents += [parse_document("copy", one.path, one.title, one.text + "Twice.\n", None, "ISC") for one in documents]
    files = RagSettings(home=Path("unused"))
    milvus = replace(files, milvus_uri=settings.milvus_uri)
    for name, chosen in (("files", files), ("milvus", milvus)):
        build_index(documents, tmp_path / name, chosen, real)
    one, other = Retriever.open(tmp_path / "files", files), Retriever.open(tmp_path / "milvus", milvus)
    for query in (
        "Which command inserts diodes?",
        "hold violations after the clock tree",
        "read_liberty",
        "flip-flops in series",
        "vias",
    ):
        for part in ((), ("copy",), ("notes", "copy")):
            hits, expected = other.search(query, 5, part), one.search(query, 5, part)
            assert [hit.chunk.chunk_id for hit in hits] == [hit.chunk.chunk_id for hit in expected]
            assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in expected], abs=1e-5)
    with pytest.raises(CollectionUnknown):
        other.within(["elsewhere"])
    assert not (tmp_path / "milvus" / read_manifest(tmp_path / "milvus").generation / "dense.faiss").exists()


def test_a_build_in_milvus_is_shown_by_its_manifest_and_its_stats(tmp_path: Path, settings: RagSettings) -> None:
    folder = tmp_path / "index"
    assert build_index(DOCUMENTS, folder, settings, TinyEmbedder()).dense == "milvus-flat"
    assert collections_in(settings) == {named(folder)} == {read_manifest(folder).generation.replace("-", "_")}
    stats = measure_index(folder, store=milvus_of(settings))
    assert stats.vectors == settings.milvus_uri
    assert f"exact (flat) in Milvus at {settings.milvus_uri}" in describe_stats(stats)
    assert verify_index(folder, milvus_of(settings)).chunks == 6
    # The folder itself knows where its vectors are
    assert len(open_index(folder, spec_of(settings, TinyEmbedder())).chunks) == 6


def test_a_build_again_embeds_only_what_changed(tmp_path: Path, settings: RagSettings) -> None:
    folder, embedder = tmp_path / "index", TinyEmbedder()
    build_index(DOCUMENTS, folder, settings, embedder)
    assert build_index(DOCUMENTS, folder, settings, embedder).up_to_date
    embedder.texts.clear()
    changed = [*DOCUMENTS[1:], parse_document("timer", "new.md", "New", "antenna diodes\n", None, "ISC")]
    report = build_index(changed, folder, settings, embedder)
    assert (report.embedded, report.reused, len(embedder.texts)) == (1, 5, 1)
    build_index(changed, tmp_path / "fresh", TINY, TinyEmbedder())
    synced, fresh = open_index(folder, store=milvus_of(settings)), open_index(tmp_path / "fresh")
    assert np.array_equal(synced.dense.vectors(range(6)), fresh.dense.vectors(range(6)))
    assert synced.dense.search(QUERY, 6)[0] == fresh.dense.search(QUERY, 6)[0]


def test_a_reader_goes_on_after_a_build_and_the_next_build_drops_what_it_reads(
    tmp_path: Path, settings: RagSettings
) -> None:
    folder = tmp_path / "index"
    build_index(DOCUMENTS, folder, settings, TinyEmbedder())
    reader, first = open_index(folder, store=milvus_of(settings)), named(folder)
    build_index(DOCUMENTS[:4], folder, settings, TinyEmbedder())
    assert len(reader.dense.search(QUERY, 9)[0]) == 6
    assert collections_in(settings) == {first, named(folder)}
    build_index(DOCUMENTS[:4], folder, settings, TinyEmbedder())
    assert collections_in(settings) == {named(folder)}
    with pytest.raises(
        MilvusUnavailable, match=r"no longer in Milvus at .*: was the index built again\? open it again"
    ):
        reader.dense.search(QUERY, 9)


def test_an_index_moves_between_files_and_milvus_without_embedding(tmp_path: Path, settings: RagSettings) -> None:
    folder = tmp_path / "index"
    build_index(DOCUMENTS, folder, TINY, TinyEmbedder())
    before = open_index(folder).dense.vectors(range(6))
    for chosen, kind in (
        (settings, "milvus-flat"),
        (replace(TINY, milvus_uri=str(tmp_path / "other.db")), "milvus-flat"),
        (TINY, "flat"),
    ):
        report = build_index(DOCUMENTS, folder, chosen, TinyEmbedder())
        assert (report.embedded, report.up_to_date, report.dense) == (0, False, kind)
        assert np.array_equal(open_index(folder).dense.vectors(range(6)), before)
    build_index(DOCUMENTS, folder, TINY, TinyEmbedder())
    assert collections_in(settings) == collections_in(replace(TINY, milvus_uri=str(tmp_path / "other.db"))) == set()


def test_a_removed_collection_is_gone_with_its_vectors(tmp_path: Path, settings: RagSettings) -> None:
    folder = tmp_path / "index"
    build_index(DOCUMENTS, folder, settings, TinyEmbedder())
    report = remove_collections(['a"b'], folder)  # where its vectors are the folder itself knows
    assert report.collections == {"timer": 3, "übung": 1}
    assert collections_in(settings) == {named(folder)}
    index = open_index(folder, store=milvus_of(settings))
    assert sorted(index.dense.search(QUERY, 9)[0]) == [0, 1, 2, 3]
    assert index.select(["timer"]).dense.search(QUERY, 9)[0] != []
    remove_collections(["timer", "übung"], folder, milvus_of(settings))
    assert collections_in(settings) == set()


KILLED_BUILD = """
    import sys
    from dataclasses import replace
    from pathlib import Path
    from pymilvus import MilvusClient
    from rag.index.building import build_index
    from tests.test_rag_index_milvus import DOCUMENTS, TINY
    from tests.tiny_embedder import TinyEmbedder

    class Client(MilvusClient):
        def flush(self, *arguments, **options):  # the collection is there and full, the manifest not written
            sys.stdout.write("inserted\\n")
            sys.stdout.flush()
            sys.stdin.read()

    folder, settings = Path(sys.argv[1]), replace(TINY, milvus_uri=sys.argv[2])
    if sys.argv[3] == "first":
        build_index(DOCUMENTS, folder, settings, TinyEmbedder())
    import pymilvus
    pymilvus.MilvusClient = Client
    build_index(DOCUMENTS[:3], folder, settings, TinyEmbedder())
"""


@pytest.mark.parametrize("first", ["first", "none"])
def test_a_killed_build_leaves_the_old_index_and_the_next_one_clears_up(
    tmp_path: Path, settings: RagSettings, first: str
) -> None:
    folder = tmp_path / "index"
    command = [sys.executable, "-c", textwrap.dedent(KILLED_BUILD), str(folder), settings.milvus_uri, first]
    with subprocess.Popen(
        command, cwd=Path(__file__).parent.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "inserted\n"
        with pytest.raises(MilvusUnavailable, match=r"is another process using the file\?"):
            milvus_of(settings).connect()
        os.kill(process.pid, signal.SIGKILL)
    assert len(collections_in(settings)) == (2 if first == "first" else 1)
    if first == "first":
        assert len(open_index(folder, store=milvus_of(settings)).dense.search(QUERY, 9)[0]) == 6
    report = build_index(DOCUMENTS, folder, settings, TinyEmbedder())
    assert report.up_to_date == (first == "first")
    assert collections_in(settings) == {named(folder)}


def test_two_indexes_in_one_milvus_leave_each_other_alone(tmp_path: Path, settings: RagSettings) -> None:
    for name in ("one", "two"):
        build_index(DOCUMENTS, tmp_path / name, settings, TinyEmbedder())
    build_index(DOCUMENTS[:2], tmp_path / "one", settings, TinyEmbedder())
    remove_collections(['a"b'], tmp_path / "one", milvus_of(settings))
    assert collections_in(settings) == {named(tmp_path / "two")}
    assert open_index(tmp_path / "two", store=milvus_of(settings)).dense.count == 6


def test_a_server_that_is_not_there_is_reported_before_anything_is_embedded(tmp_path: Path) -> None:
    folder, embedder, down = (
        tmp_path / "index",
        TinyEmbedder(),
        replace(TINY, milvus_uri=f"http://127.0.0.1:{free_port()}"),
    )
    with pytest.raises(
        MilvusUnavailable,
        match=r"Milvus at http://[\d.:]+ does not answer or refuses .*: is it up, and is CHIPALIGN_MILVUS_URI",
    ):
        build_index(DOCUMENTS, folder, down, embedder)
    assert embedder.texts == []
    assert not folder.exists()


def test_an_index_whose_server_is_away_is_not_taken_for_a_broken_one(tmp_path: Path, settings: RagSettings) -> None:
    folder, embedder = tmp_path / "index", TinyEmbedder()
    build_index(DOCUMENTS, folder, settings, embedder)
    generation = folder / read_manifest(folder).generation
    (tmp_path / PLACE).write_text(
        json.dumps({**json.loads((generation / PLACE).read_text()), "uri": f"http://127.0.0.1:{free_port()}"})
    )
    with pytest.raises(MilvusUnavailable, match="is it up"):
        open_vectors(tmp_path, DenseKind("milvus-flat"), FILES)
    moved = Milvus(str(tmp_path / "nowhere.db"))
    # Found where it was written to
    assert open_vectors(generation, DenseKind("milvus-flat"), moved).place == settings.milvus_uri
    assert not (tmp_path / "nowhere.db").exists()


def test_a_collection_that_is_gone_is_reported_and_building_again_repairs_it(
    tmp_path: Path, settings: RagSettings
) -> None:
    folder = tmp_path / "index"
    build_index(DOCUMENTS, folder, settings, TinyEmbedder())
    milvus_of(settings).connect().drop_collection(named(folder))
    with pytest.raises(
        IndexCorrupt, match=r"there is no collection generation_\w+ in Milvus at .*vectors\.db: build the index again"
    ):
        open_index(folder, store=milvus_of(settings))
    assert build_index(DOCUMENTS, folder, settings, TinyEmbedder()).embedded == 6
    assert open_index(folder).dense.count == 6


def test_rows_that_are_gone_are_reported(tmp_path: Path, settings: RagSettings) -> None:
    folder = tmp_path / "index"
    build_index(DOCUMENTS, folder, settings, TinyEmbedder())
    milvus_of(settings).connect().delete(named(folder), ids=[2])
    with pytest.raises(IndexCorrupt, match="6 chunks, 5 vectors"):
        open_index(folder)


@pytest.mark.parametrize("text", ["", "[]", '{"uri": "x"}', '{"uri": "x", "collection": "y", "more": 1}'])
def test_a_file_that_names_no_collection_is_reported(tmp_path: Path, text: str) -> None:
    (tmp_path / PLACE).write_text(text)
    with pytest.raises(IndexCorrupt, match="does not say where the vectors are"):
        Place.read(tmp_path / PLACE)


def test_a_wrong_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MilvusUnavailable, match=r"is neither a URL nor a NAME\.db"):
        Milvus(str(tmp_path / "vectors")).connect()
    with pytest.raises(MilvusUnavailable, match=r"does not answer or refuses"):
        Milvus(str(tmp_path / "nowhere" / "vectors.db")).connect()


def test_a_key_is_neither_shown_nor_kept(tmp_path: Path, settings: RagSettings) -> None:
    secret = replace(settings, milvus_token="root:s3cret")
    assert "s3cret" not in repr(secret) + repr(milvus_of(secret))
    build_index(DOCUMENTS, tmp_path / "index", secret, TinyEmbedder())
    assert not any(b"s3cret" in path.read_bytes() for path in (tmp_path / "index").rglob("*") if path.is_file())
    assert choose_store(TINY) == FILES


@contextmanager
def listening() -> Iterator[tuple[str, list[str]]]:
    """A server of Milvus's protocol that answers nothing, and what its callers say of themselves."""
    heard: list[str] = []

    class Listener(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, call: Any) -> None:
            heard.extend(f"{name}: {value}" for name, value in call.invocation_metadata)

    server = grpc.server(ThreadPoolExecutor(1), handlers=(Listener(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}", heard
    finally:
        server.stop(None)


def test_the_key_goes_to_the_address_of_the_settings_alone(tmp_path: Path) -> None:
    """An index that somebody else made may name their server."""
    with listening() as (url, heard):
        place = Place(url, "generation_0123456789ab")
        place.write(tmp_path / PLACE)
        with pytest.raises(MilvusUnavailable):
            find_holder(tmp_path, place, Milvus(str(tmp_path / "own.db"), "root:s3cret"))
        assert heard
        assert not [line for line in heard if line.startswith("authorization")]
        with pytest.raises(MilvusUnavailable):
            find_holder(tmp_path, place, Milvus(url, "root:s3cret"))
        assert [line for line in heard if line.startswith("authorization")]


def test_a_leftover_that_names_another_index_s_vectors_does_not_drop_them(
    tmp_path: Path, settings: RagSettings
) -> None:
    build_index(DOCUMENTS, tmp_path / "theirs", settings, TinyEmbedder())
    build_index(DOCUMENTS, tmp_path / "ours", settings, TinyEmbedder())
    leftover = tmp_path / "ours" / "generation-0123456789ab"
    leftover.mkdir()
    Place(settings.milvus_uri, named(tmp_path / "theirs")).write(leftover / PLACE)
    build_index(DOCUMENTS[:2], tmp_path / "ours", settings, TinyEmbedder())
    assert not leftover.exists()
    assert open_index(tmp_path / "theirs").dense.count == 6
