"""rag.training.triplet_tables and rag.training.triplet_templates: what is asked of a passage, and that the passage
answers it.
"""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from merge.training.triplets import names_in
from rag.blocks import Block
from rag.documents import Chunk, Document, make_chunk, searchable_text
from rag.formats.parser import parse, parse_document
from rag.index.bm25 import find_tokens
from rag.index.chunker import chunk_document
from rag.training.triplet_phrases import has_marker
from rag.training.triplet_tables import ask_table, read_synopsis, read_usages
from rag.training.triplet_templates import MOST_PER_CHUNK, MOST_WORDS, Draft, drafts_of_chunks
from tests.rows import for_each

SYNOPSIS = "```tcl\nroute_all\n    [-guide_file file]\n    [-steps count]\n    [-verbose]\n```"
OPTIONS = """| Switch Name | Description |
| --- | --- |
| `-guide_file` | Set the output guides file name (e.g., `route.guide`). |
| `[-steps]` | Number of steps that are made at most. The default value is `50`; \
the allowed values are integers `[0, MAX_INT]`. |
| `-lost` | Set an option that no synopsis has. |
| `-a`, `-b` | Two options in one row of the table. |
"""


def chunk_of(
    text: str, path: str = "route.md", headings: tuple[str, ...] = ("Commands", "Route All"), title: str = "Routing"
) -> Chunk:
    return make_chunk(Document("docs", path, title, "", None, "BSD-3-Clause"), headings, text, 0)


def asked(text: str, seeds: int = 12, headings: tuple[str, ...] = ("Commands", "Route All")) -> dict[str, set[str]]:
    """Every answer and the questions for it, over several seeds."""
    found: dict[str, set[str]] = {}
    for seed in range(seeds):
        for draft in drafts_of_chunks([chunk_of(text, headings=headings)], seed):
            found.setdefault(draft.answer, set()).add(draft.question)
    return found


def table(
    text: str, owner: str | None = None, usages: dict[str, frozenset[str]] | None = None
) -> list[tuple[str, str]]:
    return [
        pair
        for seed in range(60)
        for pair in ask_table(Block("table", text, ()), owner, usages or {}, random.Random(seed))
    ]


def test_an_option_is_asked_for_by_its_name_and_by_what_it_does() -> None:
    found = asked(f"{SYNOPSIS}\n\n#### Options\n\n{OPTIONS}")
    questions = {
        question
        for answer, questions in found.items()
        if answer.startswith(("`-guide_file` sets", "The"))
        for question in questions
    }
    assert "What does the `-guide_file` option of `route_all` do?" in questions
    assert "Which option of `route_all` sets the output guides file name?" in questions
    assert all("route.guide" not in question for question in questions)


def test_defaults_and_allowed_values_are_asked_for() -> None:
    answers = asked(f"{SYNOPSIS}\n\n#### Options\n\n{OPTIONS}")
    assert "The default of `-steps` is `50`." in answers
    assert "The allowed values of `-steps` are integers `[0, MAX_INT]`." in answers


def test_an_option_that_the_document_never_calls_the_command_with_is_left_out() -> None:
    answers = asked(f"{SYNOPSIS}\n\n#### Options\n\n{OPTIONS}")
    assert not any("-lost" in answer or "`-a`" in answer for answer in answers)
    assert table(OPTIONS, "route_all", {}) == []
    assert table(OPTIONS, None, {"route_all": frozenset({"-guide_file"})}) == []


def test_a_header_may_say_whose_options_a_table_has() -> None:
    pairs = table(
        "| Option of `fix_it` | Meaning |\n|---|---|\n| `-hold` | repairs hold violations only |", "other_command"
    )
    assert ("What does the `-hold` option of `fix_it` do?", "`-hold` repairs hold violations only.") in pairs
    assert not any("other_command" in question for question, _ in pairs)


def test_usages_go_over_indented_lines_and_know_scripts_of_several_commands() -> None:
    usages = read_usages(["```tcl\nfirst -a 1\n  [-b x]\nsecond -c\n```", "```\nfirst -d\n```"])
    assert usages["first"] >= {"-a", "-b", "-d"}
    assert usages["second"] == {"second", "-c"}


@for_each(
    "code",
    [
        "```tcl\nroute_all\nplace_all\n```",
        "```\nmake all\n```",
        "```tcl\nset_clock [get_ports clk]\n```",
        "```tcl\n```",
        "```tcl\nroute_all\n```",
    ],
)
def test_a_script_is_not_a_synopsis(code: str) -> None:
    assert read_synopsis(code) is None


def test_a_command_is_asked_for_its_call_its_options_and_its_purpose() -> None:
    found = asked(f"This command routes all nets of the design.\n\n{SYNOPSIS}")
    call = "\n```tcl\nroute_all\n    [-guide_file file]\n    [-steps count]\n    [-verbose]\n```"
    assert f"`route_all` is called like this:{call}" in found
    assert "`route_all` takes the options `-guide_file`, `-steps` and `-verbose`." in found
    assert "`route_all` routes all nets of the design." in found
    assert f"Use the command `route_all`, which routes all nets of the design. It is called like this:{call}" in found


def test_a_command_that_only_repeats_its_name_is_not_explained() -> None:
    assert not any(
        "sets the pin" in answer for answer in asked("Set the pin.\n\n```tcl\nset_pin\n    [-a x]\n    [-b y]\n```")
    )


def test_a_variable_has_its_default_in_a_column() -> None:
    pairs = table(
        "| Variable | Description | Default |\n|---|---|---|\n| CORE_UTIL| Sets the core utilization percentage.| "
        "40|\n| EMPTY| Nothing much here.| |"
    )
    assert (
        "Which variable sets the core utilization percentage?",
        "`CORE_UTIL` sets the core utilization percentage.",
    ) in pairs
    assert {answer for _, answer in pairs if "default" in answer} == {"The default of `CORE_UTIL` is `40`."}


def test_abbreviations_are_asked_for_both_ways() -> None:
    pairs = table(
        "| Abbreviation | Expansion | Meaning |\n|---|---|---|\n| WNS | Worst negative slack; also other | Smallest "
        "slack if it is negative. |"
    )
    assert {answer for _, answer in pairs} == {
        "WNS stands for worst negative slack.",
        "WNS (worst negative slack): smallest slack if it is negative.",
        "The abbreviation of worst negative slack is WNS.",
    }


def test_symptoms_are_asked_for_their_cause_and_their_cure() -> None:
    pairs = table(
        "| Symptom | Cause | Fix |\n|---|---|---|\n| Pins off the grid | wrong tracks | make the tracks again |\n| Area"
        " | x | y |"
    )
    assert ("What causes pins off the grid?", "A likely cause of pins off the grid: wrong tracks.") in pairs
    assert ("How do I fix pins off the grid?", "What helps against pins off the grid: make the tracks again.") in pairs
    assert not any("rea" in question for question, _ in pairs if "grid" not in question)


def test_options_are_explained_together_in_a_list() -> None:
    rows = "\n".join(f"| `-opt{n}` | Sets the value number {n} of all. |" for n in "abcd")
    pairs = table(
        f"| Option | Description |\n|---|---|\n{rows}", "do_it", {"do_it": frozenset(f"-opt{n}" for n in "abcd")}
    )
    lists = {answer for _, answer in pairs if answer.startswith("- ")}
    assert any("- `-opta`: Sets the value number a of all.\n- `-optb`:" in answer for answer in lists)


@for_each(
    ("sentence", "question"),
    [
        ("The `opt_dff` pass merges enables into flip-flops.", "What does the `opt_dff` pass do?"),
        ("The `opt_dff` pass merges enables into flip-flops.", "Which pass merges enables into flip-flops?"),
        ("`WNS_MARGIN` is the margin that repair leaves.", "What is `WNS_MARGIN`?"),
        (
            "Use the `remove_buffers` command to remove buffers of the synthesis.",
            "How do I remove buffers of the synthesis?",
        ),
        ("To route the clock nets first, use `route_all -clock`.", "How do I route the clock nets first?"),
        ("If the bound is not met, the run stops with an error.", "What happens if the bound is not met?"),
        ("A halo is a keep-out around a macro.", "What is a halo?"),
        ("The warning `GRT-0243` appears where diodes do not help.", "What does GRT-0243 mean?"),
    ],
)
def test_a_sentence_that_stands_for_itself_answers(sentence: str, question: str) -> None:
    assert question in asked(f"Words.\n\n{sentence}", seeds=30)[sentence]


@for_each(
    "sentence",
    [
        "This makes `route_all` sets nets of all kinds.",
        "If this is not met, the run stops with an error.",
        "`route_all` sets the nets that are shown in the figure.",
        "The `route_all` command sets the nets of http://a.b as well.",
        "`route_all` is described in the following list of nets.",
    ],
)
def test_a_sentence_that_leans_on_others_is_not_asked_for(sentence: str) -> None:
    assert sentence not in asked(f"Words.\n\n{sentence}", seeds=20)


def test_headings_ask_for_what_stands_below_them() -> None:
    found = asked(
        "Metal two is made before metal three. A jumper helps at the gate alone.", 30, ("Why order of layers matters",)
    )
    [(answer, questions)] = found.items()
    assert answer == "Metal two is made before metal three. A jumper helps at the gate alone."
    assert "Routing: why order of layers matters?" in questions
    assert "How do I add a new pin?" in set().union(
        *asked("Open the file of the pins and add one line.", 5, ("How to add a new pin",)).values()
    )
    assert asked("Open the file of the pins and add one line.", 5, ("Overview",)) == {}


def test_lists_of_names_and_of_pitfalls_are_asked_for() -> None:
    found = asked(
        "- `-ratio_margin`: makes the check stricter by so much.\n- Rerun timing, since a diode adds load.",
        30,
        ("Pitfalls",),
    )
    assert "What is `-ratio_margin`?" in found["`-ratio_margin` makes the check stricter by so much."]
    assert found["Rerun timing, since a diode adds load."] == {
        "Name a pitfall of routing.",
        "What is a common mistake with routing?",
    }


def test_drafts_are_few_of_each_chunk_short_and_asked_once() -> None:
    rows = "\n".join(f"| NAME_{n}| Sets the value of part {n} here and there.| {n}|" for n in range(40))
    text = f"| Variable | Description | Default |\n|---|---|---|\n{rows}"
    drafts = drafts_of_chunks([chunk_of(text), chunk_of(text, "again.md")])
    assert MOST_PER_CHUNK <= len(drafts) <= 2 * MOST_PER_CHUNK
    assert len({draft.question.casefold() for draft in drafts}) == len(drafts)
    assert all(len(draft.answer.split()) <= MOST_WORDS for draft in drafts)
    assert all(isinstance(draft, Draft) and draft.origin is None and len(draft.golden) == 1 for draft in drafts)


def test_drafts_depend_on_the_seed_and_the_chunk_alone() -> None:
    one, other = (
        chunk_of(OPTIONS.replace("Switch", "Variable").replace(" Name", ""), "a.md"),
        chunk_of("If the bound is not met, all stops.", "b.md"),
    )
    assert drafts_of_chunks([one, other], 3)[-1] == drafts_of_chunks([other], 3)[-1]
    assert drafts_of_chunks([one, other], 3) == drafts_of_chunks([one, other], 3)


@for_each("path", ["docs/CODE_OF_CONDUCT.md", "LICENSE.md", "contrib/Contributing.md"])
def test_nothing_is_asked_about_a_projects_people(path: str) -> None:
    assert drafts_of_chunks([chunk_of("The `opt_dff` pass merges enables into flip-flops.", path)]) == []


def test_nothing_is_asked_of_source_code() -> None:
    assert drafts_of_chunks([chunk_of("The `opt_dff` pass merges enables into flip-flops.", "script.ys")]) == []


# --- what a sentence, a list, a section must not give ---------------------------------------------------------------


@for_each(
    ("sentence", "question"),
    [
        (
            "If the range `[0, 1]` is left, placement stops with an error.",
            "What happens if the range `[0, 1]` is left?",
        ),
        ("If the layer (metal one, say) is full, nets go up.", "What happens if the layer (metal one, say) is full?"),
        ("When all nets are routed, then the guides are written.", "What happens when all nets are routed?"),
        ("Use the `set_bits` command to set `f(a)` of the bus (if any).", "How do I set `f(a)` of the bus?"),
    ],
)
def test_a_question_is_never_cut_in_code_or_brackets(sentence: str, question: str) -> None:
    found = asked(f"Words.\n\n{sentence}", seeds=30)
    assert question in found[sentence]
    assert all(asked_for.count("`") % 2 == 0 for asked_for in found[sentence])


@for_each("start", ["When", "If", "Unless", "Before", "Without", "In", "Not"])
def test_a_name_in_what_leads_up_to_a_sentence_is_not_its_subject(start: str) -> None:
    assert asked(f"Words.\n\n{start} `set_density` sets rows apart the flow goes on alone.", seeds=20) == {}
    assert asked("Words.\n\nThe `set_density` command sets how many cells share a row.", seeds=20) != {}


def test_a_list_inside_an_item_is_not_part_of_its_answer() -> None:
    found = asked(
        "- `-mode`: selects how nets are routed.\n  - `fast`: in one step.\n  - `slow`: in ten steps.\n- `-halo`: adds "
        "room beside macros.",
        30,
    )
    assert "`-mode` selects how nets are routed." in found
    assert "`-halo` adds room beside macros." in found
    assert not any("fast" in answer or "slow" in answer for answer in found)


def test_an_item_of_several_names_is_not_said_of_the_first() -> None:
    assert asked("- `-a`, `-b`: select how nets are routed.\n- `two words`: selects how nets are routed.") == {}


def section(text: str, collection: str, path: str, position: int) -> Chunk:
    return make_chunk(Document(collection, path, "Routing", "", None, "ISC"), ("Why order matters",), text, position)


def test_a_section_begins_in_each_document_though_the_headings_are_alike() -> None:
    """Two collections often have a README.md with the same headings."""
    first = section("Metal two is made before metal three at times.", "one", "README.md", 0)
    second = section("Poly is made before all of the metals.", "two", "README.md", 0)
    answers = {draft.answer for seed in range(20) for draft in drafts_of_chunks([first, second], seed)}
    assert answers == {first.text, second.text}


def test_what_goes_on_under_a_heading_does_not_answer_for_it() -> None:
    first, more = (
        section(text, "one", "a.md", position)
        for position, text in enumerate(("Metal two is made before metal three.", "More of it is told in words."))
    )
    for chunks in (
        [first, more],
        [more, first],
        [more, section("Other text of other people here.", "one", "b.md", 0), first],
    ):
        assert more.text not in {draft.answer for seed in range(20) for draft in drafts_of_chunks(chunks, seed)}


# --- golden drafts of six documents ---------------------------------------------------------------------------------

ROUTER = """# Global routing

## Route Nets

This command routes all signal nets of the design in two steps.

```tcl
route_nets
    [-guide_file file]
    [-iterations count]
```

#### Options

| Switch Name | Description |
| ----- | ----- |
| `-guide_file` | Set the output guides file name (e.g., `route.guide`). |
| `-iterations` | Specify how often congested nets are routed again. \
The default value is `50`, and the allowed values are integers `[0, MAX_INT]`. |
"""
FLOW = """# Flow variables

| Variable | Description | Default |
| --- | --- | --- |
| <a name="CORE_MARGIN"></a>CORE_MARGIN| The distance between the core area and the die edge.| 1.0 um|
| <a name="SKIP_REPAIR"></a>SKIP_REPAIR| Skips the repair of antennas after routing.| |
"""
PASS = """opt_share
=========

The ``opt_share`` pass merges shareable resources into one cell.

.. option:: -fast

   If the number of cells is large, only the first thousand are compared.

.. code-block:: yoscrypt

   opt_share -fast
"""
GLOSSARY = """# Glossary

| Abbreviation | Expansion | Meaning |
| --- | --- | --- |
| TNS | Total negative slack | Sum of the slack of all endpoints that fail. |
| CRPR | Clock reconvergence pessimism removal | |
"""
FAULTS = """# Antenna repair

A diode is a cell that leads charge away from a gate. It costs area.

| Symptom | Cause | Fix |
| --- | --- | --- |
| Violations after filler insertion | no room for diodes | repair before fillers are placed |

## Pitfalls

- Run timing again, since diodes add load.
- `ANT_MARGIN`: makes the check stricter by so many percent.
  - 30 is a good start.
"""
MESSAGES = """# Placement messages

If the range `[0, 1]` is left, placement stops with an error.
The warning `GPL-0302` tells that the density is too high for the cells.
Use the `set_density` command to adjust the spread of cells.
When `set_density` fails the run goes on.
"""
CALL = "\n```tcl\nroute_nets\n    [-guide_file file]\n    [-iterations count]\n```"
REPEATED = (
    "how often congested nets are routed again. The default value is `50`, and the allowed values are integers `[0, "
    "MAX_INT]`."
)
PURPOSE = "routes all signal nets of the design in two steps"
GUIDES = "sets the output guides file name (e.g., `route.guide`)."
# Each document with all its answers, written by hand, and for each answer one of its questions.
GOLDEN = {
    ("router.md", ROUTER): {
        f"The command `route_nets` {PURPOSE}.": f"Which command {PURPOSE}?",
        f"`route_nets` {PURPOSE}.": "What does `route_nets` do?",
        f"`route_nets` is called like this:{CALL}": "What is the syntax of `route_nets`?",
        "`route_nets` takes the options `-guide_file` and `-iterations`.": "What options does `route_nets` have?",
        f"Use the command `route_nets`, which {PURPOSE}. It is called like this:{CALL}": (
            "Show me how to route all signal nets of the design in two steps."
        ),
        f"`-guide_file` {GUIDES}": "What is `-guide_file` of `route_nets` for?",
        f"The option `-guide_file` {GUIDES}": "How do I set the output guides file name with `route_nets`?",
        f"The option `-guide_file` of `route_nets` {GUIDES}": "Explain the option `-guide_file` of `route_nets`.",
        f"The `-guide_file` option {GUIDES}": "When would I use `-guide_file` of `route_nets`?",
        f"`-iterations` specifies {REPEATED}": "Explain the option `-iterations` of `route_nets`.",
        f"The option `-iterations` specifies {REPEATED}": (
            "Which option of `route_nets` specifies how often congested nets are routed again?"
        ),
        f"The option `-iterations` of `route_nets` specifies {REPEATED}": (
            "What does `-iterations` of `route_nets` mean?"
        ),
        f"The `-iterations` option specifies {REPEATED}": "route_nets -iterations",
        "The default of `-iterations` is `50`.": "What is the default of `-iterations` of `route_nets`?",
        "The allowed values of `-iterations` are integers `[0, MAX_INT]`.": (
            "Which values does `-iterations` of `route_nets` accept?"
        ),
        "- `-guide_file`: Set the output guides file name (e.g., `route.guide`).\n"
        f"- `-iterations`: Specify {REPEATED}": (
            "Explain the options `-guide_file` and `-iterations` of `route_nets`."
        ),
    },
    ("flow.md", FLOW): {
        "`CORE_MARGIN` is the distance between the core area and the die edge.": "What is `CORE_MARGIN` for?",
        "`CORE_MARGIN`: the distance between the core area and the die edge.": (
            "Which variable gives the distance between the core area and the die edge?"
        ),
        "The default of `CORE_MARGIN` is `1.0 um`.": "CORE_MARGIN default",
        "`SKIP_REPAIR` skips the repair of antennas after routing.": (
            "How do I skip the repair of antennas after routing?"
        ),
        "The variable `SKIP_REPAIR` skips the repair of antennas after routing.": (
            "Which variable skips the repair of antennas after routing?"
        ),
        "The `SKIP_REPAIR` variable skips the repair of antennas after routing.": "What does `SKIP_REPAIR` mean?",
        "- `CORE_MARGIN`: The distance between the core area and the die edge.\n"
        "- `SKIP_REPAIR`: Skips the repair of antennas after routing.": (
            "What do the variables `CORE_MARGIN` and `SKIP_REPAIR` do?"
        ),
    },
    ("opt_share.rst", PASS): {
        "The `opt_share` pass merges shareable resources into one cell.": (
            "Which pass merges shareable resources into one cell?"
        ),
        "If the number of cells is large, only the first thousand are compared.": (
            "What happens if the number of cells is large?"
        ),
    },
    ("glossary.md", GLOSSARY): {
        "TNS stands for total negative slack.": "What does TNS stand for?",
        "TNS (total negative slack): sum of the slack of all endpoints that fail.": "What is TNS?",
        "The abbreviation of total negative slack is TNS.": "How is total negative slack abbreviated?",
        "CRPR stands for clock reconvergence pessimism removal.": "CRPR stands for what?",
        "The abbreviation of clock reconvergence pessimism removal is CRPR.": (
            "What is the abbreviation of clock reconvergence pessimism removal?"
        ),
    },
    ("antennas.md", FAULTS): {
        "A diode is a cell that leads charge away from a gate.": "What is a diode?",
        "A likely cause of violations after filler insertion: no room for diodes.": (
            "What causes violations after filler insertion?"
        ),
        "What helps against violations after filler insertion: repair before fillers are placed.": (
            "How do I fix violations after filler insertion?"
        ),
        "Run timing again, since diodes add load.": "Name a pitfall of antenna repair.",
        "`ANT_MARGIN` makes the check stricter by so many percent.": "What is `ANT_MARGIN`?",
        "`ANT_MARGIN`: makes the check stricter by so many percent.": "What is a common mistake with antenna repair?",
    },
    ("messages.md", MESSAGES): {
        "If the range `[0, 1]` is left, placement stops with an error.": "What happens if the range `[0, 1]` is left?",
        "The warning `GPL-0302` tells that the density is too high for the cells.": "I get GPL-0302. What is it?",
        "Use the `set_density` command to adjust the spread of cells.": "How can I adjust the spread of cells?",
    },
}


def chunks_of(path: str, text: str, collection: str = "docs") -> list[Chunk]:
    return chunk_document(
        parse_document(collection, path, parse(path, text).title, text, None, "ISC"),
        lambda part: len(part.split()),
        400,
    )


@for_each(("path", "text"), GOLDEN)
def test_a_document_gives_the_drafts_that_were_written_by_hand(path: str, text: str) -> None:
    found: dict[str, set[str]] = {}
    for seed in range(300):
        for draft in drafts_of_chunks(chunks_of(path, text), seed):
            found.setdefault(draft.answer, set()).add(draft.question)
    golden = GOLDEN[path, text]
    assert set(found) == set(golden)
    for answer, question in golden.items():
        assert question in found[answer]


# --- properties -----------------------------------------------------------------------------------------------------

LONG = "# Metals\n\n## Order\n\n" + "\n\n".join(
    f"Part {number} of the order is told in this paragraph of some words." for number in range(60)
)
ALL_CHUNKS = [chunk for path, text in (*GOLDEN, ("long.md", LONG)) for chunk in chunks_of(path, text)]


@given(st.permutations(ALL_CHUNKS), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_drafts_do_not_depend_on_the_order_of_the_chunks(chunks: list[Chunk], seed: int) -> None:
    def by_question(drafts: list[Draft]) -> list[Draft]:
        """In an order that is not the chunks'."""
        return sorted(drafts, key=lambda draft: draft.question)

    assert by_question(drafts_of_chunks(chunks, seed)) == by_question(drafts_of_chunks(ALL_CHUNKS, seed))


NAMES = st.sampled_from(["-guide_file", "set_wire_rc", "CORE_AREA", "opt_dff", "$paramod", "-halo"])
VALUES = st.sampled_from(
    ["`[1]`", "``[0, 1]``", "`a[3]`", "`f(x). Y`", "`[1, 2]` (see `[2]`)", "all of it", "`<name>`", "`x, y`"]
)
ROW = "| {name} | Sets how {value} is read. The default is {value}. Allowed values are {value}. | {value} |"
TABLE = f"| Variable | Description | Default |\n|---|---|---|\n{ROW}"
FORMS = st.sampled_from(
    [
        "If {value} of the net is set, then `{name}` runs on all nets.",
        "The `{name}` command sets {value} of all nets.",
        "- `{name}`: sets {value} of nets.",
        "Use `{name}` to set {value} of a net.",
        "`{name}` is the value of {value} in nets.",
        TABLE,
        "```tcl\n{name} [-a x]\n```",
        "| Abbreviation | Expansion |\n|---|---|\n| {name} | the name of {value} |",
    ]
)


@given(st.lists(st.tuples(FORMS, NAMES, VALUES), min_size=1, max_size=4), st.integers(0, 20))
@settings(max_examples=150, deadline=None)
def test_an_answer_has_no_name_and_no_citation_that_its_chunk_has_not(
    parts: list[tuple[str, str, str]], seed: int
) -> None:
    chunk = chunk_of("\n\n".join(form.format(name=name, value=value) for form, name, value in parts))
    tokens = {token.lower() for token in find_tokens(searchable_text(chunk))}
    for draft in drafts_of_chunks([chunk], seed):
        assert names_in(draft.answer) <= tokens
        assert not has_marker(draft.answer)  # all brackets of the chunk stand in code
        assert draft.answer.count("`") % 2 == draft.question.count("`") % 2 == 0
        assert draft.golden == (chunk,)
