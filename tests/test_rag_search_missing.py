"""rag.search.missing: what a refusal says of a name that is known and of words that no passage beside it has."""

from __future__ import annotations

from rag.answering.prompt import nothing_found
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


def missing(query: str) -> Missing | None:
    return find_missing(query, BM25, CHUNKS)


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


@for_each("query", ["jitter of a PLL", "which dividers does pll_calc compute", "pll_calc", "other_tool jitter", ""])
def test_without_a_known_name_or_such_a_word_nothing_is_missing(query: str) -> None:
    assert missing(query) is None


def test_a_refusal_says_where_the_name_stands_and_what_is_missing() -> None:
    refusal = nothing_found(["tools"], missing("jitter of pll_calc"))
    assert '`pll_calc` stands in "tools > Clocks", but no passage that names it speaks of jitter. Ask' in refusal


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
    assert f"No passage holds `{name}`; is it `{near[0]}` that you mean? Ask" in nothing_found(["tools"], found)


@for_each("query", ["", "pll_calc", "other_tool", "pll calc", "pll_generate_all", "aa_x bb_x cc_x dd_x pll_clac"])
def test_known_names_and_those_of_something_else_are_not_misspelled(query: str) -> None:
    assert find_misnamed(query, BM25, REFERENCE) is None


def test_of_a_pasted_log_or_a_question_about_something_else_nothing_is_said() -> None:
    assert missing("pll_calc with password, licence and colours") is not None
    assert missing("pll_calc with password, licence, colours, bread and butter") is None
    assert missing("jitter of pll_calc " + "the " * 30) is None
