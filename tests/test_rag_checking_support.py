"""What supports a sentence: exact names and numbers always, and on the labelled sentences as often as was measured."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.answering.quotes import Quote
from rag.answering.units import cut_units
from rag.checking.facts import find_facts
from rag.checking.sentences import split_answer
from rag.checking.support import (
    _CLAUSE_BREAK,
    Sentence,
    check_part,
    denies_context,
    is_claim,
    split_claims,
)
from rag.checking.windows import Source, TokenReader, read_sources
from rag.search.retriever import NO_TOKENS, NoTokens, Retriever
from rag.settings import RagSettings
from rag.training.support_fit import Labelled, read_labelled
from tests.rows import for_each

ROOT = Path(__file__).parent.parent
# Lower bounds of what docs/measurements/checks.md reports, of coefficients that have seen the sentences.
SUPPORTED_PRECISION, SUPPORTED_RECALL = 0.68, 0.78
UNSUPPORTED_PRECISION, UNSUPPORTED_RECALL = 0.79, 0.70
LABELLED = ROOT / "data/training/support.jsonl"


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Labelled], Retriever]:
    home = tmp_path_factory.mktemp("support")
    return read_labelled(LABELLED, home, RagSettings(home=home))


@pytest.fixture(scope="module")
def verdicts(labelled: tuple[list[Labelled], Retriever]) -> list[tuple[Labelled, Sentence]]:
    found = []
    for one in labelled[0]:
        [part] = split_answer(one.text)
        found.append((one, check_part(one.text, part, one.sources, (), labelled[1])))
    return found


def test_the_labelled_set_is_half_wrong_in_every_way_and_quotes_the_handbook() -> None:
    lines = [json.loads(line) for line in LABELLED.read_text(encoding="utf-8").splitlines()]
    right = [one for line in lines for one in line["right"]]
    wrong = [one for line in lines for one in line["wrong"]]
    assert min(len(right), len(wrong)) >= 100
    assert {one["kind"] for one in wrong} == {
        "option",
        "number",
        "unit",
        "negation",
        "default",
        "reason",
        "relation",
        "denial",
    }
    assert {one["kind"] for one in right} == {"paraphrase", "partial", "merge"}
    assert len({one["text"] for one in (*right, *wrong)}) == len(right) + len(wrong)
    for passage in (passage for line in lines for passage in line["passages"]):
        if passage["source"].startswith("data/handbook/"):
            assert passage["text"] in (ROOT / passage["source"]).read_text(encoding="utf-8")


def test_verdicts_on_the_labelled_sentences_are_as_good_as_measured(verdicts: list[tuple[Labelled, Sentence]]) -> None:
    said_right = [one.is_right for one, found in verdicts if found.supported]
    said_wrong = [not one.is_right for one, found in verdicts if not found.supported]
    assert sum(said_right) / len(said_right) >= SUPPORTED_PRECISION
    assert sum(said_right) / sum(one.is_right for one, _ in verdicts) >= SUPPORTED_RECALL
    assert sum(said_wrong) / len(said_wrong) >= UNSUPPORTED_PRECISION
    assert sum(said_wrong) / sum(not one.is_right for one, _ in verdicts) >= UNSUPPORTED_RECALL


def test_no_passage_is_credited_with_names_or_numbers_that_it_lacks(verdicts: list[tuple[Labelled, Sentence]]) -> None:
    for one, found in verdicts:
        for number in found.passages:
            source = next(source for source in one.sources if source.number == number)
            clauses = [one.text[start:end] for start, end in split_claims(one.text)]
            assert any(source.holds(find_facts(clause)) for clause in clauses), one.text


def test_a_name_that_no_passage_holds_is_never_supported(labelled: tuple[list[Labelled], Retriever]) -> None:
    sentences, retriever = labelled
    for one in [one for one in sentences if one.is_right][:40]:
        text = one.text.rstrip(".") + " with `-invented_option`."
        [part] = split_answer(text)
        assert check_part(text, part, one.sources, (), retriever) == Sentence(part.start, part.end, 0.0)


def check_sentences(
    answer: str, sources: Sequence[Source], quotes: Sequence[Quote], reader: TokenReader
) -> list[Sentence]:
    """The parts of an answer that say something, each checked."""
    texts = [(answer[part.start : part.end], part) for part in split_answer(answer)]
    return [check_part(text, part, sources, quotes, reader) for text, part in texts if is_claim(text, part)]


@pytest.fixture(scope="module")
def six(small_retriever: Retriever) -> tuple[list[Source], Retriever]:
    hits = list(small_retriever.rank("Which command fixes antenna violations?"))
    return read_sources(hits, small_retriever), small_retriever


Six = tuple[list[Source], Retriever]


def test_a_sentence_names_its_passages_and_the_quotes_in_them(six: Six) -> None:
    sources, retriever = six
    quotes = [
        Quote(source.number, "sentence", source.text[unit.start : unit.end], unit.start, unit.end)
        for source in sources
        for unit in cut_units(source.text)
    ]
    answer = (
        "## Fix\n\nAntenna violations are fixed by `repair_antennas`. The weather is nice in Paris "
        "today.\n\n```tcl\nrepair_antennas\n```\n"
    )
    first, second = check_sentences(answer, sources, quotes, retriever)
    assert answer[first.start : first.end] == "Antenna violations are fixed by `repair_antennas`."
    assert first.supported
    assert first.passages == (1,)
    assert {quotes[index].number for index in first.quotes} == {1}
    assert all(place.number == 1 for place in first.evidence)
    assert all("repair_antennas" in sources[0].text[place.start : place.end] for place in first.evidence)
    assert not second.supported
    assert first.evidence
    assert (second.passages, second.quotes, second.evidence) == ((), (), ())


@for_each(
    "sentence",
    [
        "The context does not say which command to use.",
        "This is not mentioned in the provided passages.",
        "The documents don't mention a default.",
        "There is no information about it in the context.",
        "I could not find the answer.",
        "The provided context provides no details on this.",
    ],
)
def test_what_says_that_the_passages_are_silent_is_supported_by_none(six: Six, sentence: str) -> None:
    assert denies_context(sentence)
    [found] = check_sentences(sentence, six[0], (), six[1])
    assert not found.supported


@for_each(
    "sentence", ["The tool does not read the file.", "Documents are read once.", "It is not found in the database."]
)
def test_an_ordinary_denial_is_not_taken_for_that(sentence: str) -> None:
    assert not denies_context(sentence)


@for_each(
    ("text", "is_one"),
    [
        ("Here is how:", False),
        ("Yes.", False),
        ("## The command `pdngen`", False),
        ("Use `pdngen` as follows:", True),
        ("The power grid is built.", True),
        ("5", True),
    ],
)
def test_what_has_to_be_supported_says_something(text: str, is_one: bool) -> None:
    [part] = split_answer(text)
    assert is_claim(text, part) == is_one


PIECES = [
    "Use `pdngen`. ",
    "Hold is repaired with `repair_timing -hold`.\n",
    "- The power grid",
    "\n\n",
    "| a | b |\n",
    "```tcl\nx\n```\n",
    "## H\n",
    "é",
    " [1] ",
]


@given(st.lists(st.sampled_from(PIECES), max_size=6).map("".join))
def test_spans_lie_in_the_answer_and_in_order(answer: str) -> None:
    source = Source(1, "The power grid is made by `pdngen`.", "Grid", NO_TOKENS)
    found = check_sentences(answer, [source], (), NoTokens())
    at = 0
    for sentence in found:
        assert at <= sentence.start < sentence.end <= len(answer)
        assert answer[sentence.start : sentence.end].strip() == answer[sentence.start : sentence.end]
        at = sentence.end


def test_without_vectors_of_tokens_words_and_names_decide() -> None:
    text = (
        "The power grid is made by `pdngen`: it adds straps and vias between the metal layers.\n\nHold is repaired with"
        " `repair_timing -hold`."
    )
    source = Source(1, text, "Grid", NO_TOKENS)
    right, wrong = check_sentences(
        "The power grid is made by `pdngen`.\nThe sky is made of `pdngen` and clouds.", [source], (), NoTokens()
    )
    assert right.supported
    assert not wrong.supported


# The same breaks as in support, written down plainly: each look at a row of blanks reads it to its end.
PLAIN_BREAK = re.compile(
    r"\s*;\s+|,\s+(?:(?:and|but|so|which|while|whereas|then|because|since|as)\s+)?|\s+(?:because|since|so that|in order"
    r" to|while|whereas)\s+"
)
WORDS = [
    " ",
    "  ",
    ";",
    ",",
    "\n",
    "because",
    "and ",
    "so that",
    "while",
    "run global_route",
    "set the layer width",
    "fix hold slack",
]


@given(st.lists(st.sampled_from(WORDS), max_size=14).map("".join))
def test_clauses_break_where_the_plain_pattern_breaks(text: str) -> None:
    assert [found.span() for found in _CLAUSE_BREAK.finditer(text)] == [
        found.span() for found in PLAIN_BREAK.finditer(text)
    ]


def test_a_long_row_of_blanks_is_read_once() -> None:
    text = (
        "Run the global router" + " " * 1_000_000 + "because the detailed router needs guides"
    )  # read again at each blank, this takes hours
    assert [found.span() for found in _CLAUSE_BREAK.finditer(text)] == [(21, 1_000_029)]
