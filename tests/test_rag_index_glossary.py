"""rag.index.glossary: tables in several shapes, and words that must not be expanded.

`test_rag_search_retriever` has the expansion in a search.
"""

from __future__ import annotations

from rag.index.glossary import expand_abbreviations, find_definitions, read_glossary
from tests.rows import for_each

TABLE = (
    "| Abbreviation | Expansion | Note |\n|---|---|---|\n| WNS | Worst negative slack | worst |\n| `AT` | Arrival time;"
    " also a word | |"
)


def test_a_table_is_read_wherever_it_stands_and_ends_where_it_ends() -> None:
    glossary = read_glossary(
        ["Some text.\n\n" + TABLE + "\n\n| Option | Meaning |\n|---|---|\n| MX | not an abbreviation |"]
    )
    assert glossary == {"wns": "Worst negative slack", "at": "Arrival time"}


def test_the_first_meaning_of_the_first_text_counts() -> None:
    assert read_glossary([TABLE, TABLE.replace("Worst negative slack", "Other")])["wns"] == "Worst negative slack"
    assert read_glossary(["no table", ""]) == {}


@for_each(
    ("query", "expanded"),
    [
        ("What is WNS?", "What is WNS (Worst negative slack)?"),
        ("wns and tns", "wns (Worst negative slack) and tns"),
        ("look at it", "look at it"),
        ("the AT of a pin", "the AT (Arrival time) of a pin"),
        ("report_wns -wns", "report_wns -wns"),
    ],
)
def test_abbreviations_are_expanded_and_common_words_and_names_are_not(query: str, expanded: str) -> None:
    assert expand_abbreviations(query, read_glossary([TABLE])) == expanded


@for_each(
    ("text", "found"),
    [
        ("the worst negative slack (WNS) of", [("WNS", "worst negative slack")]),
        ("It reports total\nnegative slack (TNS).", [("TNS", "total\nnegative slack")]),
        (
            "a process design kit (PDK) and clock domain crossings (CDCs)",
            [("PDK", "process design kit"), ("CDC", "clock domain crossings")],
        ),
        ("a Hardware Description Language (HDL)", [("HDL", "Hardware Description Language")]),
        ("run on-chip variation (OCV)", [("OCV", "on-chip variation")]),
        ("set the layer (M3)", []),  # no capitals alone
        ("foo bar (BAZ)", []),  # letters that do not stand there
        ("worst slack (TNS)", []),  # the first one does not
        ("outlined area (LA)", []),  # it stands inside a word
        ("call(ABC) or x (AB)", []),  # code, and a single word
    ],
)
def test_abbreviations_are_found_beside_their_words(text: str, found: list[tuple[str, str]]) -> None:
    assert find_definitions(text) == [(abbreviation, expansion.replace("\n", " ")) for abbreviation, expansion in found]


def test_a_table_counts_before_prose_and_of_prose_the_usual_words() -> None:
    prose = [
        "worn nets saved (WNS)",
        "total negative slack (TNS)",
        "the tall narrow stack (TNS)",
        "total negative slack (TNS)",
    ]
    assert read_glossary([*prose, TABLE]) == {
        "wns": "Worst negative slack",
        "at": "Arrival time",
        "tns": "total negative slack",
    }
