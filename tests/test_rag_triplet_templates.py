"""rag.triplet_tables and rag.triplet_templates: what is asked of a passage, and that the passage answers it."""

import random

import pytest

from rag.blocks import Block
from rag.documents import Chunk, Document, make_chunk
from rag.triplet_tables import ask_table, read_synopsis, read_usages
from rag.triplet_templates import MOST_PER_CHUNK, MOST_WORDS, Draft, drafts_of_chunks

SYNOPSIS = "```tcl\nroute_all\n    [-guide_file file]\n    [-steps count]\n    [-verbose]\n```"
OPTIONS = """| Switch Name | Description |
| --- | --- |
| `-guide_file` | Set the output guides file name (e.g., `route.guide`). |
| `[-steps]` | Number of steps that are made at most. The default value is `50`; the allowed values are integers `[0, MAX_INT]`. |
| `-lost` | Set an option that no synopsis has. |
| `-a`, `-b` | Two options in one row of the table. |
"""


def chunk_of(text: str, path: str = "route.md", headings: tuple[str, ...] = ("Commands", "Route All"), title: str = "Routing") -> Chunk:
    return make_chunk(Document("docs", path, title, "", None, "BSD-3-Clause"), headings, text, 0)


def asked(text: str, seeds: int = 12, headings: tuple[str, ...] = ("Commands", "Route All")) -> dict[str, set[str]]:
    """Every answer and the questions for it, over several seeds."""
    found: dict[str, set[str]] = {}
    for seed in range(seeds):
        for draft in drafts_of_chunks([chunk_of(text, headings=headings)], seed):
            found.setdefault(draft.answer, set()).add(draft.question)
    return found


def table(text: str, owner: str | None = None, usages: dict[str, frozenset[str]] | None = None) -> list[tuple[str, str]]:
    return [pair for seed in range(60) for pair in ask_table(Block("table", text, ()), owner, usages or {}, random.Random(seed))]


def test_an_option_is_asked_for_by_its_name_and_by_what_it_does() -> None:
    found = asked(f"{SYNOPSIS}\n\n#### Options\n\n{OPTIONS}")
    questions = {question for answer, questions in found.items() if answer.startswith(("`-guide_file` sets", "The")) for question in questions}
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
    pairs = table("| Option of `fix_it` | Meaning |\n|---|---|\n| `-hold` | repairs hold violations only |", "other_command")
    assert ("What does the `-hold` option of `fix_it` do?", "`-hold` repairs hold violations only.") in pairs
    assert not any("other_command" in question for question, _ in pairs)


def test_usages_go_over_indented_lines_and_know_scripts_of_several_commands() -> None:
    usages = read_usages(["```tcl\nfirst -a 1\n  [-b x]\nsecond -c\n```", "```\nfirst -d\n```"])
    assert usages["first"] >= {"-a", "-b", "-d"}
    assert usages["second"] == {"second", "-c"}


@pytest.mark.parametrize(
    "code",
    ["```tcl\nroute_all\nplace_all\n```", "```\nmake all\n```", "```tcl\nset_clock [get_ports clk]\n```", "```tcl\n```", "```tcl\nroute_all\n```"],
)
def test_a_script_is_no_synopsis(code: str) -> None:
    assert read_synopsis(code) is None


def test_a_command_is_asked_for_its_call_its_options_and_its_purpose() -> None:
    found = asked(f"This command routes all nets of the design.\n\n{SYNOPSIS}")
    call = "\n```tcl\nroute_all\n    [-guide_file file]\n    [-steps count]\n    [-verbose]\n```"
    assert f"`route_all` is called like this:{call}" in found
    assert "`route_all` takes the options `-guide_file`, `-steps` and `-verbose`." in found
    assert "`route_all` routes all nets of the design." in found
    assert f"Use the command `route_all`, which routes all nets of the design. It is called like this:{call}" in found


def test_a_command_that_only_repeats_its_name_is_not_explained() -> None:
    assert not any("sets the pin" in answer for answer in asked("Set the pin.\n\n```tcl\nset_pin\n    [-a x]\n    [-b y]\n```"))


def test_a_variable_has_its_default_in_a_column() -> None:
    pairs = table(
        "| Variable | Description | Default |\n|---|---|---|\n| CORE_UTIL| Sets the core utilization percentage.| 40|\n| EMPTY| Nothing much here.| |"
    )
    assert ("Which variable sets the core utilization percentage?", "`CORE_UTIL` sets the core utilization percentage.") in pairs
    assert {answer for _, answer in pairs if "default" in answer} == {"The default of `CORE_UTIL` is `40`."}


def test_abbreviations_are_asked_for_both_ways() -> None:
    pairs = table(
        "| Abbreviation | Expansion | Meaning |\n|---|---|---|\n| WNS | Worst negative slack; also other | Smallest slack if it is negative. |"
    )
    assert {answer for _, answer in pairs} == {
        "WNS stands for worst negative slack.",
        "WNS (worst negative slack): smallest slack if it is negative.",
        "The abbreviation of worst negative slack is WNS.",
    }


def test_symptoms_are_asked_for_their_cause_and_their_cure() -> None:
    pairs = table("| Symptom | Cause | Fix |\n|---|---|---|\n| Pins off the grid | wrong tracks | make the tracks again |\n| Area | x | y |")
    assert ("What causes pins off the grid?", "A likely cause of pins off the grid: wrong tracks.") in pairs
    assert ("How do I fix pins off the grid?", "What helps against pins off the grid: make the tracks again.") in pairs
    assert not any("rea" in question for question, _ in pairs if "grid" not in question)


def test_options_are_explained_together_in_a_list() -> None:
    rows = "\n".join(f"| `-opt{n}` | Sets the value number {n} of all. |" for n in "abcd")
    pairs = table(f"| Option | Description |\n|---|---|\n{rows}", "do_it", {"do_it": frozenset(f"-opt{n}" for n in "abcd")})
    lists = {answer for _, answer in pairs if answer.startswith("- ")}
    assert any("- `-opta`: Sets the value number a of all.\n- `-optb`:" in answer for answer in lists)


@pytest.mark.parametrize(
    ("sentence", "question"),
    [
        ("The `opt_dff` pass merges enables into flip-flops.", "What does the `opt_dff` pass do?"),
        ("The `opt_dff` pass merges enables into flip-flops.", "Which pass merges enables into flip-flops?"),
        ("`WNS_MARGIN` is the margin that repair leaves.", "What is `WNS_MARGIN`?"),
        ("Use the `remove_buffers` command to remove buffers of the synthesis.", "How do I remove buffers of the synthesis?"),
        ("To route the clock nets first, use `route_all -clock`.", "How do I route the clock nets first?"),
        ("If the bound is not met, the run stops with an error.", "What happens if the bound is not met?"),
        ("A halo is a keep-out around a macro.", "What is a halo?"),
        ("The warning `GRT-0243` appears where diodes do not help.", "What does GRT-0243 mean?"),
    ],
)
def test_a_sentence_that_stands_for_itself_answers(sentence: str, question: str) -> None:
    assert question in asked(f"Words.\n\n{sentence}", seeds=30)[sentence]


@pytest.mark.parametrize(
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
    found = asked("Metal two is made before metal three. A jumper helps at the gate alone.", 30, ("Why order of layers matters",))
    [(answer, questions)] = found.items()
    assert answer == "Metal two is made before metal three. A jumper helps at the gate alone."
    assert "Routing: why order of layers matters?" in questions
    assert "How do I add a new pin?" in set().union(*asked("Open the file of the pins and add one line.", 5, ("How to add a new pin",)).values())
    assert asked("Open the file of the pins and add one line.", 5, ("Overview",)) == {}


def test_lists_of_names_and_of_pitfalls_are_asked_for() -> None:
    found = asked("- `-ratio_margin`: makes the check stricter by so much.\n- Rerun timing, since a diode adds load.", 30, ("Pitfalls",))
    assert "What is `-ratio_margin`?" in found["`-ratio_margin` makes the check stricter by so much."]
    assert found["Rerun timing, since a diode adds load."] == {"Name a pitfall of routing.", "What is a common mistake with routing?"}


def test_drafts_are_few_of_each_chunk_short_and_asked_once() -> None:
    rows = "\n".join(f"| NAME_{n}| Sets the value of part {n} here and there.| {n}|" for n in range(40))
    text = f"| Variable | Description | Default |\n|---|---|---|\n{rows}"
    drafts = drafts_of_chunks([chunk_of(text), chunk_of(text, "again.md")])
    assert MOST_PER_CHUNK <= len(drafts) <= 2 * MOST_PER_CHUNK
    assert len({draft.question.casefold() for draft in drafts}) == len(drafts)
    assert all(len(draft.answer.split()) <= MOST_WORDS for draft in drafts)
    assert all(isinstance(draft, Draft) and draft.origin is None and len(draft.golden) == 1 for draft in drafts)


def test_drafts_depend_on_the_seed_and_the_chunk_alone() -> None:
    one, other = chunk_of(OPTIONS.replace("Switch", "Variable").replace(" Name", ""), "a.md"), chunk_of("If the bound is not met, all stops.", "b.md")
    assert drafts_of_chunks([one, other], 3)[-1] == drafts_of_chunks([other], 3)[-1]
    assert drafts_of_chunks([one, other], 3) == drafts_of_chunks([one, other], 3)


@pytest.mark.parametrize("path", ["docs/CODE_OF_CONDUCT.md", "LICENSE.md", "contrib/Contributing.md"])
def test_nothing_is_asked_about_a_projects_people(path: str) -> None:
    assert drafts_of_chunks([chunk_of("The `opt_dff` pass merges enables into flip-flops.", path)]) == []


def test_nothing_is_asked_of_source_code() -> None:
    assert drafts_of_chunks([chunk_of("The `opt_dff` pass merges enables into flip-flops.", "script.ys")]) == []
