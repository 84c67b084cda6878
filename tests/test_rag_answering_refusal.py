"""rag.answering.refusal: what is said where no passage answers."""

from __future__ import annotations

from rag.answering.refusal import MOST_WORDS, NOTHING_FOUND, refuse
from rag.documents import Chunk, make_chunk
from rag.formats.parser import parse_document
from rag.search.missing import Misnamed, Missing

TEXT = """`pll_calc` computes the dividers of a PLL.

- `-out_file`: writes the settings of `pll_calc` to a file.
"""


def make(text: str) -> Chunk:
    return make_chunk(parse_document("tools", "clocks.md", "Clocks", text, None, "ISC"), ("Options",), text, 0)


def test_it_names_what_was_searched() -> None:
    refusal = refuse(["yosys", "handbook"])
    assert refusal.answer.text.startswith(f"{NOTHING_FOUND} (handbook, yosys), so")
    assert (refusal.answer.citations, refusal.hits) == ((), ())
    assert "(none)" in refuse([]).answer.text


def test_it_asks_whether_a_name_was_misspelled() -> None:
    text = refuse(["tools"], Misnamed("pll_clac", ("pll_calc", "pll_cal"))).answer.text
    assert "No passage holds `pll_clac`; is it `pll_calc` or `pll_cal` that you mean? Ask" in text


def test_it_quotes_what_names_the_name_with_most_of_what_is_asked() -> None:
    chunk = make(TEXT)
    refusal = refuse(["tools"], Missing("pll_calc", chunk, ("password",), frozenset({"file", "password"})))
    text, [citation] = refusal.answer.text, refusal.answer.citations

    assert "memory. `pll_calc` is named here; no passage that names it speaks of password:" in text
    assert "> - `-out_file`: writes the settings of `pll_calc` to a file.\n\nAsk with" in text
    assert "computes the dividers" not in text
    assert text[citation.start : citation.end].startswith("**tools › Clocks › Options** [1]")
    assert [hit.chunk for hit in refusal.hits] == [chunk]


def test_sentences_that_go_on_are_quoted_while_there_is_room() -> None:
    more = "Use `pll_set` instead."
    gone = "The `ns::pll_calc` command is no longer supported."
    text = f"All is old. {gone} {more} {'And on ' * MOST_WORDS}.\n\nAnother matter.\n"
    quoted = refuse(["tools"], Missing("ns::pll_calc", make(text), (), frozenset())).answer.text
    assert f"> {gone} {more}\n\nAsk" in quoted


def test_what_is_too_long_is_named_by_its_place_alone() -> None:
    chunk = make(f"`pll_calc` {'computes and ' * MOST_WORDS} ends.")
    text = refuse(["tools"], Missing("pll_calc", chunk, (), frozenset())).answer.text
    assert "`pll_calc` is named here:\n\n**tools › Clocks › Options** [1]\n\nAsk with" in text
