"""The reference in an index: written by a build, kept right by the next, read again where a file is old, and believed
in nothing.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rag.documents import Document
from rag.errors import CollectionUnknown, IndexCorrupt
from rag.formats.parser import parse_document
from rag.index.building import build_index, remove_collections
from rag.index.generation import Index
from rag.index.manifest import MANIFEST, read_manifest, record_file
from rag.index.opening import open_index, verify_index
from rag.reference.cards import Reference
from rag.reference.storage import REFERENCE, VERSION
from rag.search.live import NoIndex
from rag.search.retriever import Retriever
from rag.settings import RagSettings
from tests.rows import for_each
from tests.tiny_embedder import TinyEmbedder

SETTINGS = RagSettings(home=Path("unused"))


def manual(name: str, option: str, collection: str = "router") -> Document:
    synopsis = f"# {name}\n\nThe `{name}` command routes.\n\n```tcl\n{name}\n    [{option} value]\n```\n"
    text = f"{synopsis}\n| Option | Description |\n|---|---|\n| `{option}` | Sets it. |\n"
    return parse_document(collection, f"{name}.md", name, text, None, "ISC")


def build(folder: Path, *documents: Document, add: bool = False) -> Index:
    build_index(documents, folder, SETTINGS, TinyEmbedder(), add=add)
    return open_index(folder)


def file_of(folder: Path) -> Path:
    return folder / read_manifest(folder).generation / REFERENCE


def put(folder: Path, content: str | None) -> None:
    """Put another reference into an index, or none, as somebody would who writes manifests too."""
    path, manifest = file_of(folder), json.loads((folder / MANIFEST).read_text())
    name = f"{manifest['generation']}/{REFERENCE}"
    if content is None:
        path.unlink()
        del manifest["files"][name]
    else:
        path.write_text(content)
        record = record_file(path)
        manifest["files"][name] = {"bytes": record.bytes, "sha256": record.sha256, "pieces_sha256": ""}
    (folder / MANIFEST).write_text(json.dumps(manifest))


def test_a_build_writes_the_reference_and_opening_reads_the_same(tmp_path: Path) -> None:
    index = build(tmp_path, manual("route_all", "-layer"), manual("route_one", "-net", "notes"))
    verify_index(tmp_path)
    assert index.reference.options_of("route_all") == {"-layer"}
    [card] = index.reference.lookup("route_one")
    assert index.chunks.find(card.place.chunk_id) is not None
    put(tmp_path, None)  # an index that an older program built
    assert open_index(tmp_path).reference == index.reference


def test_a_sync_keeps_the_reference_right(tmp_path: Path) -> None:
    build(tmp_path, manual("route_all", "-layer"), manual("route_one", "-net"))
    changed = build(tmp_path, manual("route_all", "-metal"))
    assert changed.reference.options_of("route_all") == {"-metal"}
    assert changed.reference.lookup("route_one") == []
    added = build(tmp_path, manual("place_all", "-seed", "placer"), add=True)
    assert {card.name for card in added.reference.commands} == {"route_all", "place_all"}
    remove_collections(["router"], tmp_path)
    assert {card.name for card in open_index(tmp_path).reference.commands} == {"place_all"}
    assert "route_all" not in file_of(tmp_path).read_text()


def test_a_sync_takes_over_the_cards_of_collections_that_are_as_they_were(tmp_path: Path) -> None:
    first = build(
        tmp_path,
        manual("route_all", "-layer"),
        manual("place_all", "-seed", "placer"),
        manual("check_all", "-deep", "checks"),
    )
    names = [card.name for card in first.reference.commands]
    cards = file_of(tmp_path).read_text().replace("Sets it.", "Taken over.")
    put(tmp_path, cards)
    second = build(
        tmp_path,
        manual("route_all", "-metal"),
        manual("place_all", "-seed", "placer"),
        manual("check_all", "-deep", "checks"),
    )
    descriptions = {card.name: card.options[0].description for card in second.reference.commands}
    assert descriptions == {"check_all": "Taken over.", "place_all": "Taken over.", "route_all": "Sets it."}
    assert [card.collection for card in second.reference.commands] == ["checks", "placer", "router"]
    assert [card.name for card in second.reference.commands] == names


def test_a_new_title_and_a_damaged_reference_are_read_anew(tmp_path: Path) -> None:
    build(tmp_path, manual("route_all", "-layer"), manual("place_all", "-seed", "placer"))
    renamed = replace(manual("place_all", "-seed", "placer"), title="Placing")
    again = build(tmp_path, manual("route_all", "-layer"), renamed)
    assert {card.place.title for card in again.reference.commands} == {"route_all", "Placing"}
    put(tmp_path, "[]")
    mended = build(tmp_path, manual("route_all", "-metal"), renamed)
    assert mended.reference.options_of("place_all") == {"-seed"}


def test_of_chosen_collections_the_others_cards_are_not_seen(tmp_path: Path) -> None:
    index = build(
        tmp_path,
        manual("route_all", "-layer", "router@1"),
        manual("route_all", "-metal", "router@2"),
        manual("note_all", "-x", "notes"),
    )
    assert index.select(["router@2"]).reference.options_of("route_all") == {"-metal"}
    assert index.select(["router"]).reference.options_of("route_all") == {"-layer", "-metal"}
    assert index.select(["router"]).reference.lookup("note_all") == []
    retriever = Retriever(index, TinyEmbedder(), SETTINGS)
    assert retriever.within(["notes"]).reference.options_of("note_all") == {"-x"}
    with pytest.raises(CollectionUnknown):
        retriever.within(["nothing"])
    assert NoIndex().reference == Reference()


def test_an_open_index_keeps_its_reference_when_a_build_replaces_the_files(tmp_path: Path) -> None:
    index = build(tmp_path, manual("route_all", "-layer"))
    build(tmp_path, manual("route_all", "-metal"))
    assert index.reference.options_of("route_all") == {"-layer"}


def test_a_reference_of_another_version_is_read_from_the_passages(tmp_path: Path) -> None:
    build(tmp_path, manual("route_all", "-layer"))
    put(tmp_path, json.dumps({"version": VERSION + 1, "cards": {}}))
    assert open_index(tmp_path).reference.options_of("route_all") == {"-layer"}


@for_each(
    "content",
    [
        *("", "{", "[]", "null", "[" * 100_000),
        json.dumps({"version": VERSION}),
        json.dumps({"version": VERSION, "commands": [7], "variables": [], "messages": []}),
        json.dumps({"version": VERSION, "commands": [], "variables": [], "messages": [{"number": 3, "text": ""}]}),
    ],
)
def test_a_file_that_is_not_a_reference_is_damage_and_never_believed(tmp_path: Path, content: str) -> None:
    build(tmp_path, manual("route_all", "-layer"))
    put(tmp_path, content)
    with pytest.raises(IndexCorrupt, match="is not a reference"):
        _ = open_index(tmp_path).reference


def test_a_changed_file_is_refused_when_the_index_opens(tmp_path: Path) -> None:
    build(tmp_path, manual("route_all", "-layer"))
    file_of(tmp_path).write_text(file_of(tmp_path).read_text().replace("-layer", "-lay3r"))
    with pytest.raises(IndexCorrupt, match="is not the file that was built"):
        open_index(tmp_path)
