"""rag.index.building: building, building again, and what happens to damaged, foreign, locked and killed indexes."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rag.documents import Document, Skipped, searchable_text
from rag.embedding.embedder import Embedded, Embedder, Progress, TokenPlaces, Vectors
from rag.errors import (
    CollectionUnknown,
    IndexBusy,
    IndexCorrupt,
    IndexMismatch,
    IndexNotFound,
    IndexUnwritable,
    SettingsError,
    SourceUnusable,
)
from rag.formats.parser import parse_document
from rag.index.building import BuildReport, build_index, change_documents, remove_collections, remove_documents
from rag.index.document_list import DocumentRecord, read_documents
from rag.index.manifest import MANIFEST, read_manifest, spec_of
from rag.index.opening import open_index, verify_index
from rag.settings import RagSettings
from tests.tiny_embedder import TinyEmbedder

SETTINGS = RagSettings(home=Path("unused"))
TOPICS = ("antenna diodes", "hold buffers", "power straps", "scan chains", "reset synchronizers", "clock gating")
DOCUMENTS = [
    parse_document(
        "notes",
        f"{number}.md",
        topic.title(),
        f"# {topic.title()}\n\nThis note is about {topic} and how engineers use them.\n",
        None,
        "ISC",
    )
    for number, topic in enumerate(TOPICS)
]


class CountingEmbedder:
    """The real embedder, with a list of the texts that it was given."""

    counter = None

    def __init__(self, real: Embedder) -> None:
        self.real = real
        self.texts: list[str] = []
        self.name, self.fingerprint, self.dimension, self.max_tokens = (
            real.name,
            real.fingerprint,
            real.dimension,
            real.max_tokens,
        )

    def count_tokens(self, text: str) -> int:
        return self.real.count_tokens(text)

    def token_places(self, text: str) -> TokenPlaces:
        return self.real.token_places(text)

    def embed(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        self.texts += texts
        return self.real.embed(texts, progress)

    def embed_tokens(self, texts: Sequence[str], progress: Progress | None = None) -> Iterator[Embedded]:
        self.texts += texts
        return self.real.embed_tokens(texts, progress)


@pytest.fixture(scope="module")
def real() -> Embedder:
    return Embedder.find(SETTINGS.embedder)


@pytest.fixture
def embedder(real: Embedder) -> CountingEmbedder:
    return CountingEmbedder(real)


def build(folder: Path, embedder: CountingEmbedder, documents: Sequence[Document] = DOCUMENTS) -> BuildReport:
    return build_index(documents, folder, SETTINGS, embedder)


def rewritten(document: Document, text: str) -> Document:
    """The same document with another text."""
    return parse_document(
        document.collection, document.path, document.title, text, document.url, document.licence, document.version
    )


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_built_index_opens_with_row_for_row_agreement(tmp_path: Path, embedder: CountingEmbedder) -> None:
    stages: list[tuple[str, int, int]] = []
    report = build_index(DOCUMENTS, tmp_path, SETTINGS, embedder, lambda *stage: stages.append(stage))
    index = open_index(tmp_path, spec_of(SETTINGS, embedder))
    assert (report.documents, report.chunks, report.embedded, report.reused, report.up_to_date) == (6, 6, 6, 0, False)
    assert report.collections == index.collections == {"notes": 6}
    assert stages[5] == ("chunk", 6, 6)
    assert stages[-1] == ("embed", 6, 6)
    for row, chunk in enumerate(index.chunks):
        text = searchable_text(chunk)
        assert index.dense.scores(embedder.real.embed([text])[0], [row])[0] == pytest.approx(1, abs=1e-5)
        assert index.bm25.search(text, 1)[0] == [row]


def test_the_manifest_says_what_the_index_is(tmp_path: Path, embedder: CountingEmbedder) -> None:
    build(tmp_path, embedder)
    manifest = read_manifest(tmp_path)
    assert manifest.spec.embedder == "adapter:minilm-l6-technical"
    assert (manifest.spec.dimension, manifest.spec.chunk_tokens, manifest.chunks, manifest.documents) == (
        384,
        220,
        6,
        6,
    )
    assert (manifest.dense.kind, manifest.dense.recall_at_10) == ("flat", 1.0)
    notes = manifest.collections["notes"]
    assert (notes.documents, notes.chunks, notes.rows, notes.licences, notes.skipped) == (6, 6, (0, 6), ("ISC",), ())
    assert {Path(name).name for name in manifest.files} >= {
        "chunks.jsonl",
        "chunk_offsets.npy",
        "documents.jsonl",
        "dense.faiss",
        "glossary.json",
    }
    assert {Path(name).parent.name for name in manifest.files} == {manifest.generation}


def test_building_again_on_the_same_documents_does_nothing(tmp_path: Path, embedder: CountingEmbedder) -> None:
    build(tmp_path, embedder)
    before, embedder.texts = files_of(tmp_path), []
    report = build(tmp_path, embedder, DOCUMENTS[::-1])
    assert (report.up_to_date, report.embedded, report.chunks) == (True, 0, 6)
    assert embedder.texts == []
    assert files_of(tmp_path) == before


def test_only_changed_text_is_embedded_again(tmp_path: Path, embedder: CountingEmbedder) -> None:
    build(tmp_path, embedder)
    embedder.texts = []
    changed = rewritten(DOCUMENTS[0], "# Antenna Diodes\n\nNow it speaks of jumpers.\n")
    report = build(tmp_path, embedder, [changed, *DOCUMENTS[2:]])
    assert (report.documents, report.chunks, report.embedded, report.reused) == (5, 5, 1, 4)
    assert embedder.texts == ["Antenna Diodes\nNow it speaks of jumpers."]
    index = open_index(tmp_path)
    assert [chunk.path for chunk in index.chunks] == ["0.md", "2.md", "3.md", "4.md", "5.md"]
    assert index.dense.scores(embedder.real.embed([searchable_text(index.chunks[3])])[0], [3])[0] == pytest.approx(
        1, abs=1e-5
    )


def test_another_chunk_size_builds_anew_and_reuses_equal_texts(tmp_path: Path, embedder: CountingEmbedder) -> None:
    build(tmp_path, embedder)
    report = build_index(DOCUMENTS, tmp_path, replace(SETTINGS, chunk_tokens=200), embedder)
    assert (report.up_to_date, report.embedded, report.reused) == (False, 0, 6)


def test_a_reader_that_has_the_old_index_open_goes_on(tmp_path: Path, embedder: CountingEmbedder) -> None:
    build(tmp_path, embedder)
    old = open_index(tmp_path)
    expected = old.bm25.search("hold buffers", 3)
    build(tmp_path, embedder, DOCUMENTS[3:])
    assert old.bm25.search("hold buffers", 3) == expected
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 1


def test_no_index_says_how_to_build_one(tmp_path: Path) -> None:
    with pytest.raises(IndexNotFound, match="chipalign index build --out"):
        open_index(tmp_path / "nowhere")


def test_a_mismatch_lists_every_difference_with_both_values(tmp_path: Path, embedder: CountingEmbedder) -> None:
    build(tmp_path, embedder)
    other = replace(spec_of(SETTINGS, embedder), embedder="other-model", embedder_fingerprint="ffff", chunk_tokens=100)
    with pytest.raises(IndexMismatch) as caught:
        open_index(tmp_path, other)
    message = str(caught.value)
    assert "embedder: 'adapter:minilm-l6-technical' in the index, 'other-model' now" in message
    assert "chunk_tokens: 220 in the index, 100 now" in message


def test_the_same_model_under_another_name_is_not_a_mismatch(tmp_path: Path, embedder: CountingEmbedder) -> None:
    build(tmp_path, embedder)
    assert open_index(tmp_path, replace(spec_of(SETTINGS, embedder), embedder="a/folder")).chunks


def test_chunks_that_the_embedder_would_cut_are_refused(embedder: CountingEmbedder) -> None:
    with pytest.raises(SettingsError, match="CHIPALIGN_CHUNK_TOKENS=300 is more than the 254 tokens"):
        spec_of(replace(SETTINGS, chunk_tokens=300), embedder)


@pytest.mark.parametrize("name", ["chunks.jsonl", "dense.faiss", "bm25_rows.npy"])
@pytest.mark.parametrize("damage", ["cut", "gone", "other"])
def test_damage_is_reported_and_building_again_repairs_it(
    tmp_path: Path, embedder: CountingEmbedder, name: str, damage: str
) -> None:
    build(tmp_path, embedder)
    path = next(tmp_path.rglob(name))
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:-10] if damage == "cut" else b"?" * len(content))
    with pytest.raises(IndexCorrupt, match="build"):
        open_index(tmp_path)
    assert build(tmp_path, embedder).embedded == 6
    assert len(open_index(tmp_path).chunks) == 6


@pytest.mark.parametrize("text", ["{half", "[]", '{"spec": {}}'])
def test_a_damaged_manifest_is_reported(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(IndexCorrupt):
        open_index(tmp_path)


def test_a_manifest_cannot_point_outside_its_folder(tmp_path: Path, embedder: CountingEmbedder) -> None:
    build(tmp_path, embedder)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    record = next(iter(manifest["files"].values()))
    for name in ("../outside/chunks.jsonl", "/etc/hostname", f"{manifest['generation']}/..", "chunks.jsonl"):
        (tmp_path / MANIFEST).write_text(json.dumps({**manifest, "files": {name: record}}))
        with pytest.raises(IndexCorrupt, match="outside its folder"):
            open_index(tmp_path)
    (tmp_path / MANIFEST).write_text(json.dumps({**manifest, "generation": "..", "files": {"../chunks.jsonl": record}}))
    with pytest.raises(IndexCorrupt, match="outside its folder"):
        open_index(tmp_path)


def test_a_pickled_array_in_an_index_is_refused(tmp_path: Path, embedder: CountingEmbedder) -> None:
    build(tmp_path, embedder)
    path = next(tmp_path.rglob("bm25_weights.npy"))
    np.save(path, np.array([{"code": "runs"}], dtype=object), allow_pickle=True)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    content = path.read_bytes()
    manifest["files"][path.relative_to(tmp_path).as_posix()].update(
        sha256=hashlib.sha256(content).hexdigest(), bytes=len(content)
    )
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(IndexCorrupt, match="cannot be read"):
        open_index(tmp_path)


def test_a_second_build_at_once_is_refused(tmp_path: Path, embedder: CountingEmbedder) -> None:
    build(tmp_path, embedder)
    with (tmp_path / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(IndexBusy, match="another process is building"):
            build(tmp_path, embedder)
    assert build(tmp_path, embedder).up_to_date


def test_nothing_to_index_and_two_documents_of_one_name_are_reported(
    tmp_path: Path, embedder: CountingEmbedder
) -> None:
    with pytest.raises(SourceUnusable, match="no document that can be read"):
        build(tmp_path, embedder, [])
    with pytest.raises(SourceUnusable, match=r"two sources both hold a document notes/0\.md"):
        build(tmp_path, embedder, [*DOCUMENTS, DOCUMENTS[0]])
    with pytest.raises(SourceUnusable, match="no text to index"):
        build(tmp_path, embedder, [rewritten(DOCUMENTS[0], "<!-- only a remark -->\n")])
    assert not (tmp_path / MANIFEST).exists()


KILLED_BUILD = """
    import sys
    from pathlib import Path
    from rag.formats.parser import parse_document
    from rag.embedding.embedder import Embedded, Embedder
    from rag.index.building import build_index
    from rag.settings import RagSettings

    def wait_to_be_killed(stage, done, total):
        if stage == "embed":
            sys.stdout.write("embedding\\n")
            sys.stdout.flush()
            sys.stdin.read()

    document = parse_document("notes", "new.md", "New", "# New\\n\\nAnother text.\\n", None, "ISC")
    settings = RagSettings(home=Path("unused"))
    build_index([document], Path(sys.argv[1]), settings, Embedder.find(settings.embedder), wait_to_be_killed)
"""


def test_a_killed_build_leaves_the_old_index_whole(tmp_path: Path, embedder: CountingEmbedder) -> None:
    build(tmp_path, embedder)
    before = files_of(tmp_path)
    command = [sys.executable, "-c", textwrap.dedent(KILLED_BUILD), str(tmp_path)]
    root = Path(__file__).parent.parent
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "embedding\n"
        with pytest.raises(IndexBusy):
            build(tmp_path, embedder)
        os.kill(process.pid, signal.SIGKILL)
    assert files_of(tmp_path) == before
    assert len(open_index(tmp_path, spec_of(SETTINGS, embedder)).chunks) == 6
    assert build(tmp_path, embedder).up_to_date


def test_remains_of_a_killed_build_are_cleared_by_the_next_one(tmp_path: Path, embedder: CountingEmbedder) -> None:
    build(tmp_path, embedder)
    dead = tmp_path / "generation-0123456789ab"
    dead.mkdir()
    (dead / "chunks.jsonl").write_text("half")
    build(tmp_path, embedder, DOCUMENTS[:2])
    assert not dead.exists()


@pytest.mark.parametrize("name", ["generation-2024", "generation-0123456789ab", "generation-0123456789ab.bak", "notes"])
def test_a_folder_that_is_not_of_our_making_is_never_removed(
    tmp_path: Path, embedder: CountingEmbedder, name: str
) -> None:
    build(tmp_path, embedder)
    (tmp_path / name / "chunks.jsonl").mkdir(parents=True)  # a name of ours, but a folder
    (tmp_path / name / "thesis.md").write_text("years of work")
    build(tmp_path, embedder, DOCUMENTS[:2])
    assert (tmp_path / name / "thesis.md").read_text() == "years of work"


def test_a_link_with_a_generations_name_is_left_alone(tmp_path: Path, embedder: CountingEmbedder) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "chunks.jsonl").write_text("theirs")
    build(tmp_path / "index", embedder)
    (tmp_path / "index" / "generation-0123456789ab").symlink_to(tmp_path / "elsewhere")
    build(tmp_path / "index", embedder, DOCUMENTS[:2])
    assert (tmp_path / "elsewhere" / "chunks.jsonl").read_text() == "theirs"


@pytest.mark.parametrize("name", ["README.md", "manifest.json", "generation-0123456789ab"])
def test_a_folder_with_other_files_is_refused_and_left_as_it_is(
    tmp_path: Path, embedder: CountingEmbedder, name: str
) -> None:
    (tmp_path / name).write_text('{"name": "a web page"}')
    with pytest.raises(
        SourceUnusable, match=rf"other files \({re.escape(name)}\) and no index: name a new or an empty folder"
    ):
        build(tmp_path, embedder)
    assert files_of(tmp_path) == {name: b'{"name": "a web page"}'}
    assert embedder.texts == []


def test_a_file_as_the_index_folder_is_refused(tmp_path: Path, embedder: CountingEmbedder) -> None:
    (tmp_path / "file").write_text("text")
    with pytest.raises(SourceUnusable, match="cannot be written to"):
        build(tmp_path / "file", embedder)


def test_a_full_disk_is_one_sentence_and_the_old_index_stays(tmp_path: Path, embedder: CountingEmbedder) -> None:
    build(tmp_path, embedder, DOCUMENTS[:2])
    before = files_of(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A write above 5000 bytes into any file fails, as on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    try:
        with pytest.raises(
            IndexUnwritable,
            match=r"cannot be written \(File too large; the index that was there is unchanged\): make room",
        ):
            build(tmp_path, embedder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files_of(tmp_path) == before
    assert len(open_index(tmp_path).chunks) == 2
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 1


def test_a_changed_byte_is_found_in_every_file(tmp_path: Path, embedder: CountingEmbedder) -> None:
    build(tmp_path, embedder)
    for path in [path for path in tmp_path.rglob("*") if path.parent != tmp_path]:
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(IndexCorrupt, match=rf"{re.escape(str(path))} is not the file that was built"):
            open_index(tmp_path)
        path.write_bytes(content)
    assert open_index(tmp_path).chunks


def test_an_index_that_cannot_be_read_is_reported(tmp_path: Path, embedder: CountingEmbedder) -> None:
    build(tmp_path, embedder)
    path = next(tmp_path.rglob("chunks.jsonl"))
    path.unlink()
    path.mkdir()
    with pytest.raises(IndexCorrupt, match="is not the file that was built"):
        open_index(tmp_path)
    (tmp_path / MANIFEST).unlink()
    (tmp_path / MANIFEST).mkdir()
    with pytest.raises(IndexCorrupt, match="cannot be read"):
        open_index(tmp_path)


def of_collection(name: str, texts: Sequence[str], version: str = "") -> list[Document]:
    return [
        parse_document(
            name,
            f"{number}.md",
            f"{name} {number}",
            f"# {name} {number}\n\nIt says {text}.\n",
            None,
            "ISC",
            version=version,
        )
        for number, text in enumerate(texts)
    ]


TINY = RagSettings(home=Path("unused"), min_relevance=0.0, min_hit_score=-1)
TOOLS = [
    *of_collection("router", ["zebracorn wires", "vias"]),
    *of_collection("timer@2.0", ["slack"], "2.0"),
    *of_collection("timer@3.0", ["skew"], "3.0"),
]


def test_adding_builds_one_collection_and_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    embedder = TinyEmbedder()
    build_index(TOOLS, tmp_path, TINY, embedder)
    before = read_manifest(tmp_path).collections
    embedder.texts = []
    report = build_index(of_collection("router", ["vias", "tracks", "pins"]), tmp_path, TINY, embedder, add=True)
    assert report.collections == {"router": 3, "timer@2.0": 1, "timer@3.0": 1}
    assert len(embedder.texts) == 3
    after = open_index(tmp_path).manifest.collections
    assert after["timer@2.0"] == replace(before["timer@2.0"], first_row=3)
    assert [chunk.text for chunk in open_index(tmp_path).chunks[:4]] == [
        "It says vias.",
        "It says tracks.",
        "It says pins.",
        "It says slack.",
    ]
    assert build_index(
        of_collection("router", ["vias", "tracks", "pins"]), tmp_path, TINY, embedder, add=True
    ).up_to_date


def test_adding_begins_an_index_where_there_is_none(tmp_path: Path) -> None:
    assert build_index(TOOLS[:2], tmp_path, TINY, TinyEmbedder(), add=True).collections == {"router": 2}


def test_without_adding_the_other_collections_are_gone(tmp_path: Path) -> None:
    build_index(TOOLS, tmp_path, TINY, TinyEmbedder())
    assert build_index(TOOLS[:2], tmp_path, TINY, TinyEmbedder()).collections == {"router": 2}


def test_adding_to_an_index_that_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    build_index(TOOLS, tmp_path, TINY, TinyEmbedder())
    with pytest.raises(IndexMismatch, match="chunk_tokens: 220 in the index, 100 now"):
        build_index(TOOLS[:2], tmp_path, replace(TINY, chunk_tokens=100), TinyEmbedder(), add=True)
    next(tmp_path.rglob("dense.faiss")).write_bytes(b"damaged")
    with pytest.raises(IndexCorrupt, match="build"):
        build_index(TOOLS[:2], tmp_path, TINY, TinyEmbedder(), add=True)
    assert read_manifest(tmp_path).documents == 4


def test_a_removed_collection_is_in_no_byte_of_the_folder(tmp_path: Path) -> None:
    embedder = TinyEmbedder()
    build_index(TOOLS, tmp_path, TINY, embedder)
    vector = open_index(tmp_path).dense.vectors([0])[0].tobytes()
    traces = (b"zebracorn", b"router", vector)
    assert all(any(trace in content for content in files_of(tmp_path).values()) for trace in traces)
    report = remove_collections(["router"], tmp_path)
    assert (report.removed, report.chunks_removed, report.collections) == (
        {"router": 2},
        2,
        {"timer@2.0": 1, "timer@3.0": 1},
    )
    assert not any(trace in content for content in files_of(tmp_path).values() for trace in traces)
    assert not any("router" in path.name for path in tmp_path.rglob("*"))
    index = open_index(tmp_path)
    assert [chunk.text for chunk in index.chunks] == ["It says slack.", "It says skew."]
    assert index.dense.search(embedder.embed(["timer@2.0 0\nIt says slack."])[0], 1)[0] == [0]
    assert index.bm25.search("zebracorn router", 5) == ([], [])


def test_a_removed_collection_is_gone_from_the_glossary(tmp_path: Path) -> None:
    table = "| Abbreviation | Expansion |\n|---|---|\n| QZX | quasi zone crossing |"
    glossary = parse_document("words", "g.md", "Glossary", f"# Glossary\n\n{table}\n", None, "ISC")
    build_index([*TOOLS, glossary], tmp_path, TINY, TinyEmbedder())
    assert open_index(tmp_path).glossary == {"qzx": "quasi zone crossing"}
    remove_collections(["words"], tmp_path)
    assert open_index(tmp_path).glossary == {}


def test_with_the_last_collection_the_index_is_gone(tmp_path: Path) -> None:
    build_index(TOOLS[:2], tmp_path, TINY, TinyEmbedder())
    assert remove_collections(["router"], tmp_path).collections == {}
    assert set(files_of(tmp_path)) == {".lock"}
    with pytest.raises(IndexNotFound):
        open_index(tmp_path)
    assert build_index(TOOLS, tmp_path, TINY, TinyEmbedder()).documents == 4


def test_removing_what_is_not_there_removes_nothing(tmp_path: Path) -> None:
    build_index(TOOLS, tmp_path, TINY, TinyEmbedder())
    before = files_of(tmp_path)
    with pytest.raises(
        CollectionUnknown, match=r"no collection 'timer', 'vivado'; it holds router, timer@2\.0, timer@3\.0"
    ):
        remove_collections(["router", "timer", "vivado"], tmp_path)
    assert files_of(tmp_path) == before
    with pytest.raises(IndexNotFound):
        remove_collections(["router"], tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_reader_goes_on_with_a_removed_collection_until_it_opens_again(tmp_path: Path) -> None:
    build_index(TOOLS, tmp_path, TINY, TinyEmbedder())
    old = open_index(tmp_path)
    remove_collections(["router"], tmp_path)
    assert old.chunks[0].text == "It says zebracorn wires."
    assert old.dense.search(old.dense.vectors([0])[0], 1)[0] == [0]
    assert old.bm25.search("zebracorn", 1)[0] == [0]
    assert len(open_index(tmp_path).chunks) == 2


def test_skipped_files_are_kept_in_the_manifest_by_collection(tmp_path: Path) -> None:
    skipped = [
        Skipped("router/a.png", "not a type"),
        Skipped("router/b.png", "not a type"),
        Skipped("elsewhere/c.png", "not a type"),
    ]
    build_index(TOOLS, tmp_path, TINY, TinyEmbedder(), skipped=skipped)
    entry = read_manifest(tmp_path).collections["router"]
    assert (entry.skipped_count, entry.skipped) == (2, (("router/a.png", "not a type"), ("router/b.png", "not a type")))
    generation = read_manifest(tmp_path).generation
    assert build_index(TOOLS[:2], tmp_path, TINY, TinyEmbedder(), skipped=skipped[:1], add=True).up_to_date
    manifest = read_manifest(tmp_path)
    assert (manifest.collections["router"].skipped_count, manifest.generation) == (1, generation)
    build_index(TOOLS[2:3], tmp_path, TINY, TinyEmbedder(), add=True)
    remove_collections(["timer@3.0"], tmp_path)
    assert read_manifest(tmp_path).collections["router"].skipped_count == 1


def test_very_many_skipped_files_are_counted_and_not_all_named(tmp_path: Path) -> None:
    build_index(
        TOOLS,
        tmp_path,
        TINY,
        TinyEmbedder(),
        skipped=[Skipped(f"router/{number}.png", "not a type") for number in range(1500)],
    )
    entry = read_manifest(tmp_path).collections["router"]
    assert (entry.skipped_count, len(entry.skipped)) == (1500, 1000)


def test_a_collection_that_did_not_change_keeps_its_date(tmp_path: Path) -> None:
    build_index(TOOLS, tmp_path, TINY, TinyEmbedder())
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    for entry in manifest["collections"].values():
        entry["updated"] = "2020-01-01T00:00:00+00:00"
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    build_index([*of_collection("router", ["other words"]), *TOOLS[2:]], tmp_path, TINY, TinyEmbedder())
    updated = {name: entry.updated[:4] for name, entry in read_manifest(tmp_path).collections.items()}
    assert updated["timer@2.0"] == updated["timer@3.0"] == "2020"
    assert updated["router"] > "2020"


def test_verifying_reads_every_byte(tmp_path: Path) -> None:
    build_index(TOOLS, tmp_path, TINY, TinyEmbedder())
    assert verify_index(tmp_path).documents == 4
    path = next(tmp_path.rglob("chunks.jsonl"))
    path.write_bytes(path.read_bytes().replace(b"vias", b"viaS"))
    with pytest.raises(IndexCorrupt, match=r"chunks\.jsonl is not the file that was built"):
        verify_index(tmp_path)


def test_a_selection_is_an_index_of_its_collections_alone(tmp_path: Path) -> None:
    embedder = TinyEmbedder()
    build_index(TOOLS, tmp_path, TINY, embedder)
    timer = open_index(tmp_path).select(["timer"])
    assert (timer.collections, timer.chunk_count) == ({"timer@2.0": 1, "timer@3.0": 1}, 2)
    assert sorted(timer.dense.search(embedder.embed(["zebracorn wires"])[0], 9)[0]) == [2, 3]
    assert timer.bm25.search("zebracorn slack", 9)[0] == [2]
    assert timer.select(["timer@3.0"]).collections == {"timer@3.0": 1}
    with pytest.raises(CollectionUnknown, match="'router'; it holds timer"):
        timer.select(["router"])


def test_an_index_of_another_format_is_a_mismatch_and_is_built_anew(tmp_path: Path) -> None:
    build_index(TOOLS, tmp_path, TINY, TinyEmbedder())
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    manifest["spec"]["format"] = 2
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(IndexMismatch, match="has format 2, this program reads 4: build it again"):
        open_index(tmp_path)
    assert build_index(TOOLS, tmp_path, TINY, TinyEmbedder()).embedded == 4
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 1


UPLOADED = "vs_0123456789abcdef01234567"


def uploaded(name: str, text: str, collection: str = UPLOADED) -> Document:
    return parse_document(collection, f"file-{name}/{name}.md", name, f"# {name}\n\n{text}\n", None, "not stated")


def change(index_dir: Path, *documents: Document, gone: str = "") -> list[Skipped]:
    def is_gone(record: DocumentRecord) -> bool:
        return record.collection == UPLOADED and record.path.partition("/")[0] == f"file-{gone}"

    return change_documents(documents, is_gone, index_dir, SETTINGS, TinyEmbedder())


def names_in(index_dir: Path) -> list[str]:
    folder = index_dir / read_manifest(index_dir).generation
    return [record.name for record in read_documents(folder)]


def bytes_in(index_dir: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(index_dir.rglob("*")) if path.is_file())


def test_documents_come_and_go_and_no_other_is_embedded_again(tmp_path: Path) -> None:
    index_dir, embedder = tmp_path / "index", TinyEmbedder()
    build_index(DOCUMENTS, index_dir, SETTINGS, embedder)
    embedder.texts.clear()
    change_documents(
        [uploaded("a", "Apples."), uploaded("b", "Pears.")], lambda _: False, index_dir, SETTINGS, embedder
    )
    assert len(embedder.texts) == 2
    change(index_dir, uploaded("c", "Plums."), uploaded("b", "Quinces."), gone="a")
    assert names_in(index_dir) == [
        *(f"notes/{number}.md" for number in range(6)),
        *(f"{UPLOADED}/file-{name}/{name}.md" for name in "bc"),
    ]
    assert b"Quinces" in bytes_in(index_dir)
    assert not {b"Apples", b"Pears"} & set(re.findall(rb"Apples|Pears", bytes_in(index_dir)))
    verify_index(index_dir)


def test_removed_documents_leave_no_byte(tmp_path: Path) -> None:
    index_dir = tmp_path / "index"
    change(index_dir, uploaded("a", "Apples."), uploaded("b", "Pears."))
    assert remove_documents(lambda record: record.path.startswith("file-a/"), index_dir) == {UPLOADED: 1}
    assert b"Apples" not in bytes_in(index_dir)
    before = read_manifest(index_dir)
    assert remove_documents(lambda _: False, index_dir) == {UPLOADED: 1}
    assert read_manifest(index_dir) == before
    assert remove_documents(lambda _: True, index_dir) == {}
    assert b"Pears" not in bytes_in(index_dir)
    with pytest.raises(IndexNotFound):
        remove_documents(lambda _: True, index_dir)


def test_a_build_from_sources_keeps_what_was_uploaded(tmp_path: Path) -> None:
    index_dir = tmp_path / "index"
    build_index(DOCUMENTS, index_dir, SETTINGS, TinyEmbedder())
    change(index_dir, uploaded("a", "Apples."))
    report = build_index(DOCUMENTS[:2], index_dir, SETTINGS, TinyEmbedder())
    assert report.collections == {"notes": 2, UPLOADED: 1}
    assert build_index(DOCUMENTS[:2], index_dir, SETTINGS, TinyEmbedder()).up_to_date
    other = replace(SETTINGS, chunk_tokens=60)
    assert build_index(DOCUMENTS[:2], index_dir, other, TinyEmbedder()).collections == {"notes": 2}


def test_an_index_of_another_version_is_refused_with_the_one_thing_that_helps(tmp_path: Path) -> None:
    build_index(DOCUMENTS, tmp_path / "index", SETTINGS, TinyEmbedder())
    other = replace(spec_of(SETTINGS, TinyEmbedder()), chunker_version=99)
    with pytest.raises(
        IndexMismatch, match=r"another version of this program .*99 now\): build it again from its sour"
    ):
        open_index(tmp_path / "index", other)


def test_documents_that_cannot_join_an_index_leave_it_as_it_is(tmp_path: Path) -> None:
    index_dir = tmp_path / "index"
    build_index(DOCUMENTS, index_dir, SETTINGS, TinyEmbedder())
    before = bytes_in(index_dir)
    with pytest.raises(IndexMismatch):
        change_documents([uploaded("a", "A.")], lambda _: False, index_dir, SETTINGS, TinyEmbedder("another"))
    with pytest.raises(SourceUnusable):
        change(index_dir)
    assert bytes_in(index_dir) == before
