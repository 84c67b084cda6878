"""rag.triplet_phrases: English for made questions and answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.citations import cite
from rag.documents import Document, Hit, make_chunk
from rag.triplet_phrases import (
    as_predicate,
    as_question_part,
    as_task,
    cite_at_end,
    clean,
    first_sentences,
    has_marker,
    infinitive,
    lower_first,
    split_sentences,
    strip_labels,
    third_person,
    with_stop,
)

HITS = [Hit(make_chunk(Document("d", f"{n}.md", "T", "", None, "ISC"), (), f"text {n}", n), 1.0, 1.0, None) for n in range(4)]


@pytest.mark.parametrize(
    ("description", "predicate"),
    [
        ("Set the output file (e.g., `a.guide`).", "sets the output file (e.g., `a.guide`)."),
        ("This flag is used to specify the layer.", "specifies the layer."),
        ("This command performs global routing.", "performs global routing."),
        ("Optional. Skips nets.", "skips nets."),
        ("(optional) Add a name", "adds a name"),
        ("Used to fix hold.", "fixes hold."),
        ("Apply the mask", "applies the mask"),
        ("Target density.", None),
        ("Name of the net.", None),
        ("Enables", None),
        ("", None),
    ],
)
def test_a_description_becomes_a_predicate_where_a_known_verb_begins_it(description: str, predicate: str | None) -> None:
    assert as_predicate(description) == predicate


def test_a_task_is_the_predicate_as_one_wants_it() -> None:
    assert as_task("This option specifies the layer of the pins.") == "specify the layer of the pins."
    assert as_task("Path of the pins") is None


def test_verbs_are_known_in_both_forms() -> None:
    assert [infinitive(word) for word in ("Sets", "set", "copies", "Fixes,", "density")] == ["set", "set", "copy", "fix", None]
    assert [third_person(verb) for verb in ("copy", "display", "match", "do", "set")] == ["copies", "displays", "matches", "does", "sets"]


def test_text_of_cells_is_cleaned() -> None:
    assert clean("**Bold**  ``code``<br/>next \\| pipe &amp; more .Next") == "Bold `code` next | pipe & more. Next"
    assert clean("keep `<name>` here") == "keep `<name>` here"


def test_abbreviations_end_no_sentence() -> None:
    assert split_sentences("Give a name, e.g. `A`. Then run it. See No. 4.") == ["Give a name, e.g. `A`.", "Then run it.", "See No. 4."]


def test_as_many_sentences_as_fit_are_taken_and_none_that_leads_on() -> None:
    text = "One two three. Four five six. Seven eight nine."
    assert first_sentences(text, 6) == "One two three. Four five six."
    assert first_sentences(text, 2) == "One two three."
    assert first_sentences("It has parts. They are:") == "It has parts."
    assert first_sentences("They are:") == ""
    assert first_sentences("no stop") == "no stop."
    assert with_stop("really?") == "really?"


def test_what_is_asked_for_has_no_brackets_and_no_end() -> None:
    assert as_question_part("sets the file (e.g. `a` (or b)). Default 0.") == "sets the file"
    assert strip_labels("Optional. The file") == "The file"


@pytest.mark.parametrize(
    ("text", "lowered"), [("The die area", "the die area"), ("DRC rules", "DRC rules"), ("Global Routing flow", "Global Routing flow"), ("", "")]
)
def test_names_keep_their_capital(text: str, lowered: str) -> None:
    assert lower_first(text) == lowered


def test_the_citation_stands_before_the_sign_that_ends_the_answer() -> None:
    assert cite_at_end("`x` sets it.", [2]) == "`x` sets it [2]."
    assert cite_at_end("No stop", [1, 3]) == "No stop [1][3]."
    assert cite_at_end("Called like this:\n```tcl\nx [-y]\n```", [1]) == "Called like this [1]:\n```tcl\nx [-y]\n```"


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=2, unique=True),
    st.text("ab .:`?", min_size=1).filter(lambda text: text.strip() and text.count("`") % 2 == 0),
)
def test_what_was_cited_is_read_back_by_the_gateway(numbers: list[int], answer: str) -> None:
    cited = cite_at_end(answer, numbers)
    if "`" not in answer:
        assert [citation.number for citation in cite(cited, HITS)] == numbers


def test_an_interval_reads_as_a_citation_outside_of_code_alone() -> None:
    assert has_marker("values in [1, 3]")
    assert not has_marker("values in `[1, 3]`")
    assert not has_marker("clk[3] and [0, MAX]")
