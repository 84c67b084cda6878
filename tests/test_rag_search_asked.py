"""rag.search.asked: what a turn asks, without wrappers of agents and without the form that the answer should have."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.search.asked import asks_for_machine_form, find_asked, unwrap

ANTENNA = "Which command repairs antenna violations?"


@pytest.mark.parametrize(
    ("turn", "asked"),
    [
        (f"{ANTENNA} Reply as JSON with the key command.", ANTENNA),
        (f'{ANTENNA} Return JSON only: {{"command": "..."}}', ANTENNA),
        (f"{ANTENNA}\n\nAnswer in at most two sentences, please.", ANTENNA),
        (f"Be brief. No preamble. {ANTENNA}", ANTENNA),
        (f"Answer in German. {ANTENNA}", ANTENNA),
        (f"{ANTENNA} Only the command.", ANTENNA),
        (f"{ANTENNA} Think step by step and cite your sources.", ANTENNA),
        ("In one sentence, what is hold slack?", "what is hold slack?"),
        ("what is hold slack, in simple terms?", "what is hold slack?"),
        ("What is hold slack in two sentences?", "What is hold slack?"),
        ("list the units of set_units as a markdown table, no prose", "list the units of set_units"),
        ("Was ist Hold-Slack? Antworte auf Deutsch in einem Satz.", "Was ist Hold-Slack?"),
        ("如何修复天线违例？请用中文回答。", "如何修复天线违例？"),
    ],
)
def test_what_says_only_the_form_of_the_answer_is_not_asked(turn: str, asked: str) -> None:
    assert find_asked(turn) == asked


@pytest.mark.parametrize(
    "turn",
    [
        "Can OpenSTA write its report as JSON?",
        "Does yosys export a netlist in JSON format?",
        "Which output format has the parasitics file?",
        "Write the timing report as a table of ten paths with report_checks.",
        "What is the key of the die area in the JSON metrics?",
        "how do I print only the names of the cells",
        "answer in German",
        "shorter please",
        "as JSON",
        "",
    ],
)
def test_a_question_about_forms_and_a_wish_for_another_form_stay_as_they_are(turn: str) -> None:
    assert find_asked(turn) == turn


SCHEMA = '{"properties": {"command": {"type": "string"}}, "required": ["command"]}'


@pytest.mark.parametrize(
    "turn",
    [
        f"{ANTENNA}\n\nThe output should be a JSON instance that conforms to the JSON schema below.\n\n{SCHEMA}",
        f"Answer the user query.\nHere is the output schema:\n```\n{SCHEMA}\n```\n{ANTENNA}",
        f"{ANTENNA}\n\nReturn the correct JSON response within a ```json codeblock, not the JSON schema.",
    ],
)
def test_instructions_of_parsers_are_left_out_with_their_schema(turn: str) -> None:
    assert find_asked(turn).replace("```", "").strip() == ANTENNA


@pytest.mark.parametrize(
    "turn",
    [
        f"<task>\n{ANTENNA}\n</task>\n\n<environment_details>\n# Open tabs\nflow/config.mk\n</environment_details>",
        f"<user_query>{ANTENNA}</user_query>",
        f"<attachments>a.tcl</attachments><context>It is Sunday.</context><userRequest>{ANTENNA}</userRequest>",
        f"<system-reminder>Use the tools.</system-reminder>\n{ANTENNA}",
    ],
)
def test_what_an_agent_wraps_around_a_question_is_not_asked(turn: str) -> None:
    assert unwrap(turn) == ANTENNA


@pytest.mark.parametrize(
    "turn",
    ["What does the <task> element mean?", "<query>a</query> and <query>b</query>, which is right?", "<task></task>"],
)
def test_tags_that_a_person_writes_about_stay(turn: str) -> None:
    assert unwrap(turn) == turn


def test_surroundings_alone_ask_nothing() -> None:
    assert unwrap("<environment_context>\n<cwd>/w</cwd>\n</environment_context>") == ""


@pytest.mark.parametrize(
    ("turn", "wanted"),
    [
        (f"{ANTENNA} Reply as JSON with the key command.", True),
        (f"{ANTENNA} Use YAML.", True),
        (f"{ANTENNA} Answer in one sentence.", False),
        ("Can OpenSTA write its report as JSON?", False),
    ],
)
def test_a_form_that_a_program_reads_is_told_from_one_for_people(turn: str, wanted: bool) -> None:
    assert asks_for_machine_form(turn) is wanted


@given(
    st.lists(
        st.sampled_from([ANTENNA, "Be brief.", "as JSON", "in one sentence", "\n", "{}", "`a`", ",", "x_y"]), max_size=6
    )
)
def test_what_is_asked_is_found_in_the_turn_and_asks_the_same_again(pieces: list[str]) -> None:
    turn = " ".join(pieces)
    asked = find_asked(turn)
    assert (asked == turn) or all(word in turn.split() or word.rstrip("?") in turn for word in asked.split())
    assert (ANTENNA in asked) or (ANTENNA not in turn)
    assert find_asked(asked) == asked


@pytest.mark.parametrize("piece", ["in one ", "as json ", ", in one sentence", "<task>", "。", "{", "in a "])
def test_a_turn_of_instructions_alone_costs_no_time(piece: str) -> None:
    started = time.perf_counter()
    find_asked(piece * (200_000 // len(piece)))
    assert time.perf_counter() - started < 5
