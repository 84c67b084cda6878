"""rag.reference.cards, drafts and card_view: names as people write them, what documents contradict, how it is drawn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rag.reference.card_view import WIDTH, card_object, draw_card
from rag.reference.cards import LONGEST_NAME, Card, Command, Message, Option, Place, Reference, Variable
from rag.reference.drafts import MOST_OPTIONS, CommandDraft
from tests.rows import for_each

HERE, BELOW, ELSEWHERE = (Place("1a2b", "a.md", "Repair", (heading,), 3, 40) for heading in ("Use", "Options", "Notes"))


def option(name: str, *, argument: str = "", text: str = "", default: str = "", **more: Any) -> Option:
    more = {"place": HERE, "is_described": bool(text), **more}
    return Option(name, argument, default, text, **more)


def command(name: str, *options: Option, collection: str = "openroad", **more: Any) -> Command:
    more = {"synopsis": f"{name} [options]", "description": "", "place": HERE, **more}
    return Command(name, collection, options=options, **more)


HOLD = option("-hold", text="Repair hold.", synopsis_place=HERE)
TIMING = command("repair_timing", HOLD, option("-setup", synopsis_place=HERE))
MESSAGE = Message("GRT-0118", "Routing congestion too high.", "openroad", HERE)
VARIABLE = Variable("CORE_MARGIN", "2", "floorplan", "Space around the core.", "orfs", HERE)
REFERENCE = Reference((TIMING, command("opt", option("-full"), collection="yosys")), (VARIABLE,), (MESSAGE,))


@for_each(
    ("name", "found"),
    [
        ("repair_timing", ["repair_timing"]),
        ("`repair_timing`", ["repair_timing"]),
        ("repair_timing:", ["repair_timing"]),
        ("REPAIR_TIMING", ["repair_timing"]),  # case counts only where a name is spelled so
        ("core_margin", ["CORE_MARGIN"]),
        ("$CORE_MARGIN", ["CORE_MARGIN"]),
        ("${CORE_MARGIN}", ["CORE_MARGIN"]),
        ("[ERROR GRT-0118]", ["GRT-0118"]),
        ("[WARNING GRT-0118]", ["GRT-0118"]),
        ("GRT-0118.", ["GRT-0118"]),
        ("-hold", ["repair_timing"]),  # whose option it is
        ("-full", ["opt"]),
        ("repair", []),
        ("", []),
        ("x" * (LONGEST_NAME + 1), []),
    ],
)
def test_a_name_is_looked_up_as_people_write_it(name: str, found: list[str]) -> None:
    assert [card.name for card in REFERENCE.lookup(name)] == found
    assert (REFERENCE.find(name) is None) is (not found)


def test_where_a_name_is_spelled_in_two_ways_its_case_counts() -> None:
    both = Reference((command("opt"), command("OPT", collection="yosys")))
    assert [card.name for card in both.lookup("opt")] == ["opt"]
    assert [card.name for card in both.lookup("OPT")] == ["OPT"]
    assert {card.name for card in both.lookup("Opt")} == {"opt", "OPT"}


def test_of_several_cards_of_a_name_the_fullest_is_first() -> None:
    bare = command("opt", synopsis="")
    listed = command("opt", option("-a"), option("-b"), collection="b")
    described = command("opt", option("-a", text="What it does."), collection="c")
    found = Reference((bare, listed, described)).lookup("opt")
    assert [card.collection for card in found] == ["c", "b", "openroad"]


def test_near_names_are_offered_commands_for_words_and_options_for_dashes() -> None:
    assert REFERENCE.near("repair_timming")[0] == "repair_timing"
    assert REFERENCE.near("core_margins") == ["CORE_MARGIN"]
    assert REFERENCE.near("-holt") == ["-hold"]
    assert REFERENCE.near("holt") == []
    assert REFERENCE.near("qx" * 2000) == []


def test_options_are_known_only_where_a_document_shows_the_command_whole() -> None:
    assert REFERENCE.options_of("repair_timing") == {"-hold", "-setup"}
    part = replace(TIMING, is_partial=True)
    assert Reference((part,)).options_of("repair_timing") == frozenset()
    assert Reference((part,)).describe("repair_timing") is None
    assert REFERENCE.describe("repair_timing") == REFERENCE.find("repair_timing")
    assert Reference((part, command("repair_timing", option("-all")))).options_of("repair_timing") == {
        "-hold",
        "-setup",
        "-all",
    }
    assert REFERENCE.options_of("GRT-0118") == REFERENCE.options_of("none") == frozenset()


def test_a_part_and_the_rest_joined_are_the_whole() -> None:
    openroad = REFERENCE.within(["openroad"])
    rest = REFERENCE.within(["orfs", "yosys", "none"])
    assert openroad.names == ("GRT-0118", "repair_timing")
    assert openroad.joined(rest) == rest.joined(openroad) == REFERENCE
    assert REFERENCE.list_names("repair", 5) == ["repair_timing"]
    assert REFERENCE.list_names("", 2) == ["CORE_MARGIN", "GRT-0118"]


def test_what_synopsis_and_descriptions_do_not_share_is_a_contradiction() -> None:
    lacking = option("-extra", text="Does more.", place=BELOW)
    silent = option("-quiet", place=BELOW, synopsis_place=HERE)
    card = command("route", HOLD, lacking, silent)
    assert [(one.name, one.statement.partition(",")[0]) for one in card.disagreements] == [
        ("-extra", "is described"),
        ("-quiet", "stands in the synopsis"),
    ]
    assert card.disagreements[0].places == (BELOW, HERE)
    assert replace(card, synopsis="").disagreements == ()  # there is nothing to disagree with
    assert command("route", silent).disagreements == ()


NAMES = st.sampled_from(["-a", "-b", "net"])
OPTIONS = st.builds(
    lambda name, argument, text, is_required, in_synopsis: option(
        name, argument=argument, text=text, is_required=is_required, synopsis_place=HERE if in_synopsis else None
    ),
    NAMES,
    st.sampled_from(["", "value"]),
    st.sampled_from(["", "Short.", "A longer description."]),
    st.booleans(),
    st.booleans(),
)


@given(st.lists(OPTIONS, max_size=8))
def test_a_draft_keeps_the_fullest_of_all_that_was_read_in_any_order(read: list[Option]) -> None:
    draft = CommandDraft("route", HERE)
    for one in read:
        draft.add(one)
    kept = {**draft.options, **draft.arguments}
    assert kept.keys() == {one.name for one in read}
    assert all(name.startswith("-") for name in draft.options)
    for name, one in kept.items():
        alike = [each for each in read if each.name == name]
        assert one.description == max((each.description for each in alike), key=len)
        assert one.is_described is any(each.is_described for each in alike)
        assert one.is_required is any(each.is_required for each in alike)
        assert bool(one.argument) is any(each.argument for each in alike)
        assert (one.synopsis_place is None) is all(each.synopsis_place is None for each in alike)


def test_the_options_of_a_draft_are_bounded_and_what_is_known_still_grows() -> None:
    draft = CommandDraft("route", HERE)
    for number in range(MOST_OPTIONS + 5):
        draft.add(option(f"-o{number}"))
    assert len(draft.options) == MOST_OPTIONS
    draft.add(option("-o1", text="It is described."))
    assert draft.options["-o1"].is_described


def test_what_an_example_said_is_forgotten_and_what_was_described_stays() -> None:
    draft = CommandDraft("route", HERE)
    draft.synopses.append("route -a 5")
    draft.add(option("-a", argument="5", synopsis_place=HERE))
    draft.add(option("-b", argument="6", text="What it does.", synopsis_place=HERE))
    draft.add(option("-c", text="Never in an example."))
    draft.forget_examples()
    assert draft.synopses == []
    assert draft.options.keys() == {"-b", "-c"}
    assert (draft.options["-b"].argument, draft.options["-b"].synopsis_place) == ("", None)


@for_each(
    ("card", "kind", "lines"),
    [
        (MESSAGE, "message", ["Routing congestion too high."]),
        (VARIABLE, "variable", ["Space around the core.", "default: 2", "stages: floorplan"]),
        (replace(VARIABLE, default="", stage=""), "variable", ["Space around the core."]),
    ],
)
def test_messages_and_variables_are_drawn_with_their_place(card: Card, kind: str, lines: list[str]) -> None:
    drawn = [line.strip() for line in draw_card(card)]
    assert drawn[:2] == [f"{card.name}  ({kind})", f"{card.collection}/a.md: Repair > Use [1a2b:3-40]"]
    assert drawn[2:] == lines
    assert card_object(card)["object"] == kind


def test_a_command_is_drawn_with_its_options_defaults_and_contradictions() -> None:
    net = option("net", is_required=True, synopsis_place=HERE)
    card = command(
        "route",
        option("-layer", argument="name", text="Which layer.", default="met1", synopsis_place=HERE),
        option("-quiet", place=ELSEWHERE, synopsis_place=HERE),
        synopsis="route\n    [-layer name]",
        description="Routes nets.",
        arguments=(net,),
        is_partial=True,
    )
    drawn = "\n".join(draw_card(card))
    for words in (
        "    Routes nets.",
        "    route\n        [-layer name]",
        "The document shows a part of it",
        "    options:\n      -layer name  Which layer. (default met1)\n      -quiet  [1a2b:3-40]",
        "    arguments:\n      net  required",
        "-quiet stands in the synopsis, and nothing describes it [1a2b:3-40 and 1a2b:3-40]",
    ):
        assert words in drawn
    told = card_object(card)["disagreements"]
    assert [(one["name"], one["told"] == one["statement"]) for one in told] == [("-quiet", True), ("net", True)]


def test_of_a_command_whose_option_is_asked_for_that_option_alone_is_drawn() -> None:
    drawn = list(draw_card(TIMING, "-hold"))
    assert [line.strip() for line in drawn[2:]] == ["", "option:", "-hold  Repair hold."]
    assert any("-setup" in line for line in draw_card(TIMING, "-none"))  # not one of its: the whole card


def test_nothing_in_a_document_steers_the_terminal_or_overruns_its_lines() -> None:
    text = f"\x1b[2J{'word ' * 80}\u202e"
    card = command("route\x07", option("-a", text=text), synopsis="route\t\x1b]0;x\x07", description=text)
    for line in draw_card(card):
        assert line.isprintable()
        assert len(line) <= WIDTH
