"""rag.training.triplet_phrases: English for made questions and answers."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from rag.answering.citations import cite_markers
from rag.documents import Document, Hit, make_chunk
from rag.reference.tables import clean
from rag.training.triplet_phrases import (
    as_predicate,
    as_question_part,
    as_task,
    cite_at_end,
    first_sentences,
    has_marker,
    infinitive,
    lower_first,
    split_sentences,
    strip_labels,
    third_person,
    with_stop,
)
from tests.rows import for_each

HITS = [
    Hit(make_chunk(Document("d", f"{n}.md", "T", "", None, "ISC"), (), f"text {n}", n), 1.0, 1.0, None)
    for n in range(4)
]


@for_each(
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
def test_a_description_becomes_a_predicate_where_a_known_verb_begins_it(
    description: str, predicate: str | None
) -> None:
    assert as_predicate(description) == predicate


def test_a_task_is_the_predicate_as_one_wants_it() -> None:
    assert as_task("This option specifies the layer of the pins.") == "specify the layer of the pins."
    assert as_task("Path of the pins") is None


def test_verbs_are_known_in_both_forms() -> None:
    assert [infinitive(word) for word in ("Sets", "set", "copies", "Fixes,", "density")] == [
        "set",
        "set",
        "copy",
        "fix",
        None,
    ]
    assert [third_person(verb) for verb in ("copy", "display", "match", "do", "set")] == [
        "copies",
        "displays",
        "matches",
        "does",
        "sets",
    ]


def test_text_of_cells_is_cleaned() -> None:
    assert clean("**Bold**  ``code``<br/>next \\| pipe &amp; more .Next") == "Bold `code` next | pipe & more. Next"
    assert clean("keep `<name>` here") == "keep `<name>` here"


def test_abbreviations_end_no_sentence() -> None:
    assert split_sentences("Give a name, e.g. `A`. Then run it. See No. 4.") == [
        "Give a name, e.g. `A`.",
        "Then run it.",
        "See No. 4.",
    ]


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


@for_each(
    ("text", "lowered"),
    [
        ("The die area", "the die area"),
        ("DRC rules", "DRC rules"),
        ("Global Routing flow", "Global Routing flow"),
        ("", ""),
    ],
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
        assert [citation.number for citation in cite_markers(cited, len(HITS))] == numbers


def test_an_interval_reads_as_a_citation_outside_of_code_alone() -> None:
    assert has_marker("values in [1, 3]")
    assert not has_marker("values in `[1, 3]`")
    assert not has_marker("clk[3] and [0, MAX]")


@for_each(
    ("description", "predicate", "task"),
    [
        (
            "Enable or disable the check of pins.",
            "enables or disables the check of pins.",
            "enable or disable the check of pins.",
        ),
        ("Reads and writes the file.", "reads and writes the file.", "read and write the file."),
        ("Show and/or hide the rows.", "shows and/or hides the rows.", "show and/or hide the rows."),
        ("Set the file and the mode.", "sets the file and the mode.", "set the file and the mode."),
    ],
)
def test_two_verbs_that_begin_a_description_are_bent_alike(description: str, predicate: str, task: str) -> None:
    assert as_predicate(description) == predicate
    assert as_task(description) == task


@for_each(
    "description",
    [
        "Scale factor for resistance.",
        "Guide file name.",
        "Log file of the run.",
        "Name prefix for the bump array.",
        "List or pattern of vias.",
        "Search engine of the timer.",
        "Report for the layer.",
        "Limit of the length.",
    ],
)
def test_a_thing_whose_name_begins_like_a_verb_is_not_a_predicate(description: str) -> None:
    assert as_predicate(description) is None
    assert as_task(description) is None


@for_each(
    ("description", "predicate"),
    [
        ("Set file names.", "sets file names."),
        ("Lists files of nets.", "lists files of nets."),
        ("Route clock nets first.", "routes clock nets first."),
    ],
)
def test_a_verb_before_a_noun_stays_one_where_it_is_nothing_else(description: str, predicate: str) -> None:
    assert as_predicate(description) == predicate


@for_each(
    ("text", "cleaned"),
    [
        ("Set the <file> of pins.", "Set the <file> of pins."),
        ("Set the <file> with `x`.", "Set the <file> with `x`."),
        ("A <b>bold</b> and <SPAN class='x'>plain</SPAN> word<br/>here", "A bold and plain word here"),
        ("Use `a<b>c` and <i>this</i>.", "Use `a<b>c` and this."),
        ("Where a < b and c > d.", "Where a < b and c > d."),
        ("Width in &micro;m", "Width in µm"),
    ],
)
def test_only_tags_of_html_outside_of_code_are_taken_out(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@for_each(
    ("text", "sentences"),
    [
        ("It stops (see the log.) Then it goes on.", ["It stops (see the log.)", "Then it goes on."]),
        ('It says "stop." Then it goes on.', ['It says "stop."', "Then it goes on."]),
        ('Run `puts "Hi. There"` now. Then stop.', ['Run `puts "Hi. There"` now.', "Then stop."]),
        ("Metals (M1, M2, etc.) Then vias.", ["Metals (M1, M2, etc.) Then vias."]),
        ("Use `a`. `b` follows.", ["Use `a`.", "`b` follows."]),
        ("See Fig. A vs. B.", ["See Fig. A vs. B."]),
        ("1. Run it. Then stop.", ["1. Run it.", "Then stop."]),
    ],
)
def test_sentences_keep_their_signs_and_their_code(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences


PARTS = st.sampled_from(
    ["Run it.", "`puts A. B`", "(see x.)", "e.g.", "Then", "`a`.", 'Say "no."', "stop!", "Why?", "`x? Y`", "1."]
)


@given(st.lists(PARTS, max_size=8).map(" ".join))
def test_sentences_are_all_of_a_text_and_none_ends_in_code(text: str) -> None:
    sentences = split_sentences(text)
    assert " ".join(sentences) == text
    assert all(sentence.count("`") % 2 == 0 for sentence in sentences)


@given(st.lists(PARTS, min_size=1, max_size=8).map(" ".join), st.integers(1, 12))
def test_what_is_taken_first_begins_the_text(text: str, most_words: int) -> None:
    kept = first_sentences(text, most_words)
    assert text.startswith(kept.removesuffix("."))
    assert kept.endswith((".", "!", "?"))
    assert len(kept.split()) <= max(most_words, len(split_sentences(text)[0].split()))


def test_code_that_ends_an_answer_gets_no_stop() -> None:
    assert with_stop("Do:\n```tcl\nx\n```\n") == "Do:\n```tcl\nx\n```"
    assert cite_at_end(with_stop("Do:\n```tcl\nx\n```"), [2]) == "Do [2]:\n```tcl\nx\n```"


def test_an_answer_that_begins_with_code_is_cited_outside_of_it() -> None:
    cited = cite_at_end("```tcl\nx [1]\n```", [2, 3])
    assert cited == "```tcl\nx [1]\n```\n[2][3]"
    assert [citation.number for citation in cite_markers(cited, len(HITS))] == [2, 3]


WORDS = st.text("ab c.:,?!", min_size=1, max_size=12).filter(str.strip)
CODE = st.sampled_from(["", "\n```tcl\nx [1]\n```", "\n```\ny[0]\n```\nThen go on."])


@given(WORDS, CODE, st.lists(st.integers(1, 4), min_size=1, max_size=3, unique=True))
def test_a_citation_is_outside_of_code_and_the_only_one(words: str, code: str, numbers: list[int]) -> None:
    answer = f"{words}{code}"
    assert not has_marker(answer)
    assert [citation.number for citation in cite_markers(cite_at_end(answer, numbers), len(HITS))] == numbers


def test_brackets_in_code_are_part_of_what_is_asked_for() -> None:
    assert as_question_part("Uses `$clog2(WIDTH)` bits (at least (about) one).") == "Uses `$clog2(WIDTH)` bits"
    assert as_question_part("Sets `f(x)` (see `g`). Then more.") == "Sets `f(x)`"


@for_each("name", ["Yosys", "Verilog", "Tcl", "Liberty", "Steiner"])
def test_proper_names_keep_their_capital_at_the_start(name: str) -> None:
    assert lower_first(f"{name} trees are kept") == f"{name} trees are kept"
    assert lower_first(f"{name}, trees and more") == f"{name}, trees and more"


@given(st.sampled_from(["set", "copy", "fix", "do", "place", "display", "pass", "match", "undo"]))
def test_every_verb_is_found_again_from_its_third_person(verb: str) -> None:
    assert infinitive(third_person(verb)) == infinitive(verb) == infinitive(third_person(verb).capitalize()) == verb


@given(st.text("ab `.:,-?", max_size=16).filter(lambda text: re.search("[ab]", text) is not None))
def test_a_stop_is_set_once(text: str) -> None:
    stopped = with_stop(text)
    assert stopped.endswith((".", "!", "?"))
    assert with_stop(stopped) == stopped
