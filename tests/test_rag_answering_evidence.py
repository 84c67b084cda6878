"""Which pieces of found passages are quoted: literal, within their room, code whole, the same text once, each half of a
question.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from rag.answering.evidence import LONGEST_WORDS, MOST_WORDS, OVERRUN, select_quotes
from rag.documents import Chunk, Hit
from rag.embedding.embedder import Embedded
from rag.embedding.passage_reader import Reading
from rag.reference.cards import Command, Place, Reference
from rag.search.judging import HITS_READ
from rag.search.retriever import Comparison, Retriever
from tests.given_reading import GivenReading


class BlindComparer:
    """An index that keeps no vectors of tokens: words alone decide."""

    def __init__(self, *commands: Command, readings: Sequence[Reading] = ()) -> None:
        self.reference = Reference(commands)
        self.readings = list(readings)

    def compare(self, queries: Sequence[str], hits: Sequence[Hit]) -> list[list[Comparison]]:
        none = np.zeros((0, 4), dtype=np.float32)
        question = Embedded(0, np.zeros(4, dtype=np.float32), np.zeros(0, dtype=np.int64), none)
        return [
            [Comparison(question, none[:, 0], np.zeros((0, 2), dtype=np.int64), none) for _ in hits] for _ in queries
        ]

    def idf(self, terms: Iterable[str]) -> dict[str, float]:
        return dict.fromkeys(terms, 1.0)

    def read(self, query: str, hits: Sequence[Hit]) -> list[Reading]:
        return self.readings


def hit(text: str, name: str = "a.md", score: float = 0.9) -> Hit:
    return Hit(
        Chunk(f"id-{name}", "docs", name, "Guide", ("Commands",), text, None, "Apache-2.0", 0), score, score, None
    )


def quoted(question: str, *texts: str) -> list[str]:
    hits = [hit(text, f"{number}.md") for number, text in enumerate(texts)]
    return [quote.text for quote in select_quotes(question, hits, BlindComparer())]


def ask(question: str, retriever: Retriever) -> list[str]:
    hits = list(islice(retriever.rank(question), HITS_READ))
    quotes = select_quotes(question, hits, retriever)
    for quote in quotes:
        assert quote.text == hits[quote.number - 1].chunk.text[quote.start : quote.end]
    return [quote.text for quote in quotes]


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("Which command fixes antenna violations?", "`repair_antennas`"),
        ("How is a hold violation repaired?", "`repair_timing -hold`"),
        ("What reads the timing library of a corner?", "`read_liberty`"),
    ],
)
def test_the_sentence_that_answers_is_quoted_letter_by_letter(
    small_retriever: Retriever, question: str, name: str
) -> None:
    assert name in ask(question, small_retriever)[0]


def test_both_halves_of_a_question_are_quoted(small_retriever: Retriever) -> None:
    found = " ".join(
        ask("Which command makes the power grid, and which one repairs antenna violations?", small_retriever)
    )
    assert "`pdngen`" in found
    assert "`repair_antennas`" in found


def test_what_a_reader_finds_likely_is_quoted_first() -> None:
    texts = ["The router reads guides. It stops at overflow.", "The router writes guides. It goes on."]
    hits = [hit(text, f"{number}.md") for number, text in enumerate(texts)]
    likely = texts[1].index("It goes")
    readings = [
        GivenReading(-3.0, lambda start: -5.0),
        GivenReading(2.0, lambda start: 6.0 if start == likely else -5.0),
    ]

    unread = select_quotes("when does the router stop at overflow", hits, BlindComparer())
    read = select_quotes("when does the router stop at overflow", hits, BlindComparer(readings=readings))
    assert unread[0].number == 1
    assert read[0].number == 2
    assert "It goes on." in [quote.text for quote in read if quote.number == 2]


def test_a_name_that_the_question_spells_is_quoted_however_far_behind_it_is_read() -> None:
    sentence = "The placement density is what the placer reaches."
    table = "| Variable | Text |\n| --- | --- |\n| `PLACE_DENSITY` | target |\n| `OTHER_THING` | target |"
    reading = GivenReading(2.0, lambda start: 9.0 if start == 0 else -9.0)
    for question, is_quoted in (("which variable sets the placement density", True), ("placement density", False)):
        comparer = BlindComparer(readings=[reading])
        quotes = [one.text for one in select_quotes(question, [hit(f"{sentence}\n\n{table}")], comparer)]
        assert quotes[0] == sentence
        assert any("PLACE_DENSITY" in quote for quote in quotes) == is_quoted


def test_the_same_question_has_the_same_quotes(small_retriever: Retriever) -> None:
    question = "What does a reset synchronizer do?"
    assert ask(question, small_retriever) == ask(question, small_retriever)


def test_quotes_stop_where_there_is_enough_to_read() -> None:
    sentences = [
        f"The router option number {number} changes how the global router treats congestion." for number in range(40)
    ]
    found = quoted("Which option of the global router changes congestion?", " ".join(sentences))
    assert MOST_WORDS <= sum(len(text.split()) for text in found) <= MOST_WORDS * OVERRUN


def test_code_stays_whole_even_if_it_is_longer() -> None:
    code = "```tcl\n" + "\n".join(f"place_pin -pin_name clk{number}" for number in range(50)) + "\n```"
    assert code in quoted("Show me an example script that places the pins clk", f"Pins are placed so:\n\n{code}")


def test_a_file_of_code_is_not_quoted() -> None:
    code = "```tcl\n" + "place_pin -pin_name clk\n" * LONGEST_WORDS + "```"
    assert quoted("Show me an example that places a pin clk", f"{code}\n\nUse `place_pin` for one pin.") == [
        "Use `place_pin` for one pin."
    ]


def test_the_same_text_of_two_documents_is_quoted_once() -> None:
    text = "The option `-hold` repairs hold violations."
    assert quoted("Which option repairs hold violations?", text, text.replace(" repairs", "  repairs")) == [text]


def test_a_lead_in_is_not_a_quote_without_what_it_leads_to() -> None:
    found = quoted("How do I repair timing?", "To repair timing, run this:\n\n```tcl\nrepair_timing\n```")
    assert found == ["```tcl\nrepair_timing\n```"]


def test_passages_without_text_give_no_quotes() -> None:
    assert quoted("How do I repair timing?") == []
    assert quoted("How do I repair timing?", "## Only a heading") == []


def test_a_sentence_brings_the_short_code_beside_it_and_code_the_sentence_above() -> None:
    sentence = "This command puts a handful of gates down as one cluster."
    synopsis = "```tcl\nplacement_cluster\n    insts\n```"
    far = "Something else is said here about other things entirely."
    assert quoted("put gates down as one cluster", f"{sentence}\n\n{synopsis}\n\n{far}")[:2] == [sentence, synopsis]
    assert quoted("placement_cluster insts", f"Do so.\n\n{sentence}\n\n{synopsis}")[-2:] == [sentence, synopsis]


def test_a_short_table_is_quoted_whole_and_a_long_one_by_its_rows() -> None:
    header = "| Value | Formula |\n|---|---|\n"
    short = [f"| output delay, {kind} | wire {kind} and {kind} time |" for kind in ("max", "min")]
    assert quoted("output delay max", header + "\n".join(short)) == short
    long = [f"| option {number} | {'other words ' * 20}|" for number in range(30)]
    assert len(quoted("option 7 words", header + "\n".join(long))) < len(long)


def test_what_is_left_of_the_room_goes_to_the_neighbours() -> None:
    sentences = [
        "Antenna violations are repaired by diodes.",
        "They are inserted near the gate.",
        "Then routing is done.",
    ]
    assert quoted("antenna violations", " ".join(sentences))[:2] == sentences[:2]


def test_beside_what_a_word_means_only_its_own_paragraph_is_quoted() -> None:
    text = "Jitter is noise of an edge.\n\nSkew is a difference of arrivals. A tree lowers it.\n\nSlew is a time."
    assert quoted("what is skew?", text) == ["Skew is a difference of arrivals.", "A tree lowers it."]
    assert "Slew is a time." in quoted("which difference of arrivals is there", text)


def test_a_name_alone_is_answered_by_what_the_reference_says_of_it() -> None:
    code, said = "```tcl\npll_calc [-fast]\n```", "It computes the dividers of a PLL."
    other = "`pll_calc` is slow. Many scripts call pll_calc, and pll_calc again."
    hits = [hit(other, "a.md"), hit(f"{code}\n\n{said}\n\nAnother matter.", "b.md")]
    place = Place("id-b.md", "b.md", "Guide", ("Commands",), 7, 23)
    card = Command("pll_calc", "docs", "pll_calc [-fast]", said, (), place)

    quotes = select_quotes("pll_calc", hits, BlindComparer(card))
    assert [quote.text for quote in quotes][:2] == [code, said]
    assert select_quotes("pll_calc", hits, BlindComparer())[0].number == 1
    assert select_quotes("pll_calc", hits, BlindComparer(replace(card, is_partial=True)))[0].number == 1


def test_the_passage_of_the_best_quote_comes_first_and_steps_are_quoted_whole() -> None:
    other = hit("Cells are placed in rows of sites.", "other.md", 0.9)
    steps = (
        "1. Reduce the skew of related registers.\n2. Insert delay buffers near the hold endpoint.\n3. Reorder the scan"
        " chain."
    )
    best = hit(f"Repair hold so:\n\n{steps}", "best.md", 0.9)
    quotes = select_quotes("insert delay buffers near the hold endpoint", [other, best], BlindComparer())
    assert [quote.number for quote in quotes][:3] == [2, 2, 2]
    assert "\n".join(quote.text for quote in quotes[:3]) == steps
