"""rag.answering.spelled_names: a name that a question spells in words is known in a text."""

from __future__ import annotations

from rag.answering.spelled_names import asks_for_name, holds_spelled_name
from tests.rows import for_each


@for_each(
    ("question", "asks"),
    [
        ("which variable sets the placement density?", True),
        ("what command reports the worst slack", True),
        ("is there an option for the hold margin", True),
        ("why is the placement density too low", False),
        ("which corner has the worst slack", False),
    ],
)
def test_who_asks_for_a_name_is_known(question: str, asks: bool) -> None:
    assert asks_for_name(question) is asks


@for_each(
    ("question", "text", "holds"),
    [
        ("the placement density", "| `PLACE_DENSITY` | target density |", True),
        ("which command does clock tree synthesis", "Run `clock_tree_synthesis -balance_levels`.", True),
        ("which option sets the hold margin", "-hold_margin: extra slack", True),
        ("which command repairs antennas", "repair_antennas DIODE_X1", True),
        ("the placement density", "| `PLACE_DENSITY_LB_ADDON` | bound plus this |", False),  # another name
        ("the placement density", "The density of the placement.", False),
        ("what is place_density for, the placement density", "`PLACE_DENSITY`", False),  # the question has it itself
        ("which option sets the area", "`-area`", False),  # one word is in many names
        ("", "`PLACE_DENSITY`", False),
        ("placement density", "", False),
    ],
)
def test_a_name_is_spelled_where_each_of_its_parts_is_a_word_of_the_question(
    question: str, text: str, holds: bool
) -> None:
    assert holds_spelled_name(question, text) is holds
