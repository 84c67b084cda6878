"""rag.search.copies: one text takes one place among the hits, whatever number of documents hold it."""

from __future__ import annotations

from pathlib import Path

from rag.documents import Chunk, Hit, make_chunk
from rag.formats.parser import parse_document
from rag.index.building import build_index
from rag.search.copies import describe_copies, fold_copies
from rag.search.retriever import Retriever
from rag.settings import RagSettings
from tests.rows import for_each
from tests.tiny_embedder import TinyEmbedder

MARGIN = "`repair_antennas` inserts a diode at each violating gate; with `-ratio_margin` until so many per cent."
SETTINGS = RagSettings(home=Path("unused"), min_relevance=0.0, min_hit_score=-1.0)


def chunk(text: str, collection: str, path: str = "antenna.md", heading: str = "Repair", version: str = "") -> Chunk:
    document = parse_document(collection, path, "Antennas", text, None, "ISC", version=version)
    return make_chunk(document, ("Antennas", heading), text, 0)


def found(*chunks: Chunk) -> list[Hit]:
    """Copies score alike; others less, each than the one before."""
    texts = list(dict.fromkeys(each.text for each in chunks))
    return [Hit(each, 1 - texts.index(each.text) / 10, 0.5, None) for each in chunks]


def named(hits: list[Hit]) -> list[str]:
    return [f"{hit.chunk.collection}/{hit.chunk.path}" for hit in hits]


def test_the_newest_version_stands_for_all_and_names_the_others() -> None:
    hits = found(
        chunk(MARGIN, "router@2.9"),
        chunk(MARGIN, "router@2.10"),
        chunk(MARGIN, "router@2.2"),
        chunk(MARGIN, "notes", "copy.txt"),
        chunk("Leave 2 % of free area before routing.", "notes", "density.md"),
    )
    folded = fold_copies(hits, 2)
    assert named(folded) == ["router@2.10/antenna.md", "notes/density.md"]
    assert describe_copies(folded[0]) == "the same in router@2.9, router@2.2, notes"
    assert folded[0].score == hits[0].score
    assert describe_copies(folded[1]) == ""


def test_a_copy_in_the_same_collection_is_named_by_its_path() -> None:
    [hit] = fold_copies(found(chunk(MARGIN, "notes", "a.md"), chunk(MARGIN.upper(), "notes", "b.md")), 1)
    assert named([hit]) == ["notes/a.md"]
    [hit] = fold_copies(found(chunk(MARGIN, "notes", "a.md"), chunk(MARGIN, "notes", "b.md")), 1)
    assert describe_copies(hit) == "the same in b.md"


@for_each(
    ("text", "heading", "places"),
    [
        ("None.", "set_layer", 2),
        ("None.", "repair", 1),
        (MARGIN, "Another heading", 1),
        (MARGIN + " The default is 0.", "Repair", 2),
    ],
)
def test_what_says_something_else_has_its_own_place(text: str, heading: str, places: int) -> None:
    first = chunk("None." if text == "None." else MARGIN, "router@2.0", heading="repair")
    assert len(fold_copies(found(first, chunk(text, "router@2.1", heading=heading)), 5)) == places


OTHERS = " Fill cells close the gaps of a row, and are placed once routing is done; they take no power and no signal."


@for_each(
    ("more", "terms", "places"),
    [
        (" The list is sorted.", {"-ratio_margin"}, 1),
        (" The list is sorted.", {"sort"}, 2),
        (" `-ratio_margin` is 0 by default.", {"-ratio_margin"}, 2),
        (" The list is sorted.", set(), 2),
        (" The list is sorted.", {"word"}, 2),
        (" The list is sorted. " + " ".join(f"Item {number} differs." for number in range(60)), {"-ratio_margin"}, 2),
    ],
)
def test_nearly_equal_texts_are_one_if_they_differ_in_what_is_not_asked(
    more: str, terms: set[str], places: int
) -> None:
    hits = found(chunk(MARGIN + OTHERS, "router@2.0"), chunk(MARGIN + OTHERS + more, "router@2.1"))
    folded = fold_copies(hits, 5, terms)
    assert len(folded) == places
    assert folded[0].chunk.collection == ("router@2.1" if places == 1 else "router@2.0")


def test_a_heading_in_plain_text_is_not_a_difference() -> None:
    markdown, text = (f"{MARGIN}\n\n{mark}Fill\n\n{OTHERS.strip()}" for mark in ("## ", ""))
    [hit] = fold_copies(found(chunk(text, "notes"), chunk(markdown, "router@2.1")), 5, {"fill"})
    assert hit.chunk.collection == "router@2.1"


def test_a_newer_copy_behind_the_last_place_stands_for_the_older() -> None:
    fillers = [chunk(f"Note {number} is about something else.", "notes", f"{number}.md") for number in range(3)]
    hits = found(chunk(MARGIN + OTHERS, "router@2.0"), *fillers, chunk(MARGIN + OTHERS + " So it is.", "router@2.1"))
    folded = fold_copies(hits, 3, {"-ratio_margin"})
    assert [hit.chunk.collection for hit in folded] == ["router@2.1", "notes", "notes"]


def test_a_version_of_the_document_itself_counts_too() -> None:
    hits = found(chunk(MARGIN, "a", version="1.4"), chunk(MARGIN, "b", version="1.12"), chunk(MARGIN, "c"))
    assert named(fold_copies(hits, 5)) == ["b/antenna.md"]


def test_a_search_shows_three_texts_where_four_versions_hold_them(tmp_path: Path) -> None:
    fills = {
        "2.0": "a list of cells",
        "2.1": "a list, largest first",
        "2.2": "a list, largest first",
        "2.3": "a pattern",
    }
    documents = [
        parse_document(
            f"router@{version}",
            "fill.md",
            "Fill",
            f"# Fill\n\n`insert_fill` places fill cells between the rows of a placed design, and takes {what}.\n",
            None,
            "ISC",
        )
        for version, what in fills.items()
    ]
    build_index(documents, tmp_path, SETTINGS, TinyEmbedder())
    hits = Retriever.open_with(TinyEmbedder(), tmp_path, SETTINGS).search("what does insert_fill take", top_k=3)
    assert sorted(hit.chunk.collection for hit in hits) == ["router@2.0", "router@2.2", "router@2.3"]
    assert [describe_copies(hit) for hit in hits if hit.copies] == ["the same in router@2.1"]
