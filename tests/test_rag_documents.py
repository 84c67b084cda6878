"""rag.documents: identity is content."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from rag.blocks import Block
from rag.documents import Document, describe_place, hash_document, hash_text, make_chunk, searchable_text

DOCUMENT = Document("docs", "a/b.md", "Routing", "text", "https://example.org/b", "ISC")


def test_chunk_id_depends_on_place_and_text_only() -> None:
    chunk = make_chunk(DOCUMENT, ("Options",), "one", 0)
    assert make_chunk(DOCUMENT, ("Options",), "one", 7).chunk_id == chunk.chunk_id
    others = [
        make_chunk(DOCUMENT, ("Options",), "two", 0),
        make_chunk(DOCUMENT, ("Usage",), "one", 0),
        make_chunk(replace(DOCUMENT, path="c.md"), ("Options",), "one", 0),
        make_chunk(replace(DOCUMENT, collection="other"), ("Options",), "one", 0),
    ]
    assert len({chunk.chunk_id, *(other.chunk_id for other in others)}) == 5


@given(st.lists(st.text(), min_size=1), st.lists(st.text(), min_size=1))
def test_hash_separates_its_parts(left: list[str], right: list[str]) -> None:
    assert (hash_text(*left) == hash_text(*right)) == (left == right)


def test_document_hash_changes_with_everything_that_reaches_a_chunk() -> None:
    changed = [
        replace(DOCUMENT, own_text="x"),
        replace(DOCUMENT, title="x"),
        replace(DOCUMENT, url=None),
        replace(DOCUMENT, licence="MIT"),
    ]
    changed += [replace(DOCUMENT, version="2.0"), replace(DOCUMENT, date="2026-11-24")]
    assert len({hash_document(document) for document in [DOCUMENT, *changed]}) == 7


def test_documents_are_hashed_as_in_the_indexes_that_are_there() -> None:
    block = Block("prose", "W\u00f6rds.", ("Page 1",), 1)
    manual = Document("docs", "a.pdf", "Manual", None, None, "ISC", blocks=(block,), note="page 2 is empty")
    assert hash_document(manual) == "65671ca19815af1af2337ca282cdc3eef8f8b708319213610694d1cd228d9b33"
    assert hash_document(DOCUMENT) == "7d710c63b975049c6f8dabae99c1c3a879eed6dd10ed0dafb4573eb9520b9ed0"
    assert hash_document(replace(DOCUMENT, blocks=(block,), note="x")) == hash_document(DOCUMENT)


def test_place_does_not_repeat_the_title() -> None:
    assert describe_place("Routing", ("Routing", "Options")) == "Routing > Options"
    assert describe_place("Routing", ()) == "Routing"


def test_searchable_text_begins_with_the_place() -> None:
    assert searchable_text(make_chunk(DOCUMENT, ("Options",), "-hold", 0)) == "Routing > Options\n-hold"


def test_a_chunk_has_its_documents_version_and_date() -> None:
    chunk = make_chunk(replace(DOCUMENT, version="2.0", date="2026-11-24"), (), "one", 0)
    assert (chunk.version, chunk.date, chunk.page) == ("2.0", "2026-11-24", None)
    assert chunk.chunk_id == make_chunk(DOCUMENT, (), "one", 0).chunk_id


def test_a_document_is_named_by_collection_and_path() -> None:
    assert DOCUMENT.name == "docs/a/b.md"
