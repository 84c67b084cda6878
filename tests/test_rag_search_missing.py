"""rag.search.missing: a misspelled name of a question, or a known one and the words that no passage beside it has."""

from __future__ import annotations

from rag.documents import make_chunk
from rag.formats.parser import parse_document
from rag.index.bm25 import Bm25Index
from rag.reference.cards import Command, Message, Place, Reference
from rag.search.missing import Misnamed, Missing, find_misnamed, find_missing
from tests.rows import for_each

TEXTS = {
    "Clocks": "`pll_calc` computes the dividers of a PLL for a frequency.",
    "Options": "`pll_calc` `-out_file` writes the settings to a file.",
    "Noise": "Jitter is the deviation of an edge from where it should be.",
}
CHUNKS = [
    make_chunk(parse_document("tools", f"{title.lower()}.md", title, text, None, "ISC"), (), text, 0)
    for title, text in TEXTS.items()
]
PLACE = Place("id", "clocks.md", "Clocks", (), 0, 1)
REFERENCE = Reference(
    (Command("pll_calc", "tools", "pll_calc", "", (), PLACE),),
    messages=(Message("PLL-0018", "No divider fits.", "tools", PLACE),),
)
BM25 = Bm25Index.build(f"{chunk.title}\n{chunk.text}" for chunk in CHUNKS)


def missing(query: str, most_with_name: int = 3) -> Missing | None:
    return find_missing(query, BM25, CHUNKS, most_with_name)


@for_each(
    ("query", "name", "words", "title"),
    [
        ("What is the jitter of pll_calc in ps?", "pll_calc", ("jitter", "ps"), "Clocks"),
        ("pll_calc with a password for the settings", "pll_calc", ("password",), "Options"),
        ("may -out_file encrypt what pll_calc writes", "-out_file", ("may", "encrypt"), "Options"),
    ],
)
def test_the_words_are_those_of_no_passage_with_the_name(
    query: str, name: str, words: tuple[str, ...], title: str
) -> None:
    found = missing(query)
    assert found is not None
    assert (found.name, found.words, found.chunk.title) == (name, words, title)


@for_each("query", ["jitter of a PLL", "other_tool jitter", "OpenRoad", ""])
def test_without_a_known_name_nothing_is_missing(query: str) -> None:
    assert missing(query) is None


def test_a_rare_name_is_named_even_where_no_word_is_missing_or_many_are() -> None:
    asked = missing("which dividers does pll_calc compute")
    assert asked is not None
    assert (asked.name, asked.words, asked.terms) == ("pll_calc", (), frozenset({"divid", "comput"}))
    many = missing("pll_calc with password, licence, colours, bread and butter")
    assert many is not None
    assert (many.name, many.words) == ("pll_calc", ())


def test_a_name_that_many_passages_hold_is_named_only_for_what_they_lack() -> None:
    assert missing("which dividers does pll_calc compute", most_with_name=1) is None
    assert missing("jitter of pll_calc", most_with_name=1) is not None


def test_a_name_in_camel_case_is_a_name_too() -> None:
    chunks = [make_chunk(parse_document("tools", "a.md", "Api", "Use setDelayTolerance.", None, "ISC"), (), "", 0)]
    found = find_missing("default of setDelayTolerance", Bm25Index.build(["Use setDelayTolerance."]), chunks, 3)
    assert found is not None
    assert (found.name, found.words) == ("setDelayTolerance", ("default",))


@for_each(
    ("query", "name", "near"),
    [
        ("what does pll_clac do", "pll_clac", ("pll_calc",)),
        ("PLL-18: why?", "PLL-18", ("PLL-0018",)),
        ("other_tool, then pll_cal and pll_clac", "pll_cal", ("pll_calc",)),
    ],
)
def test_a_misspelled_name_leads_to_the_ones_that_are_described(query: str, name: str, near: tuple[str, ...]) -> None:
    found = find_misnamed(query, BM25, REFERENCE)
    assert found == Misnamed(name, near)


@for_each(
    "query",
    [
        "",
        "PLL-0019: why?",
        "pll_calc2",
        "pll_calc",
        "other_tool",
        "pll calc",
        "pll_generate_all",
        "aa_x bb_x cc_x dd_x pll_clac",
    ],
)
def test_known_names_and_those_of_something_else_are_not_misspelled(query: str) -> None:
    assert find_misnamed(query, BM25, REFERENCE) is None
