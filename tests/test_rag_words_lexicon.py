"""rag.words.lexicon, phrases, lexicon_file and widening: what counts in a question, and what a search makes of it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rag.errors import LexiconUnusable
from rag.formats.parser import parse_document
from rag.index.bm25 import Bm25Index
from rag.index.building import build_index
from rag.search.retriever import Retriever
from rag.settings import RagSettings
from rag.words.lexicon import Lexicon, open_lexicon
from rag.words.lexicon_file import parse_groups, read_groups, read_lexicon_files
from rag.words.phrases import phrase_key, split_words
from rag.words.widening import NO_LEXICON, Widening
from tests.tiny_embedder import TinyEmbedder

HEAD = "field,manual,said\n"
GROUPS = """\
timing,hold violation; hold check,race?; min-delay failure
timing,slack,margin
floorplan,macro; hard macro,hard block; big hard block; margin
fpga,primitive,big hard block
routing,routing,wiring; wiring plan
synthesis,area recovery,squeeze the area
pdk,nitride fill,FIN
general,disable,turn it off
"""


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return Lexicon(parse_groups(HEAD + GROUPS, "ours.csv"))


def found(lexicon: Lexicon, text: str) -> list[tuple[str, str]]:
    """The phrases of a text as they stand there, each with the manual's usual words."""
    return [(text[use.start : use.end], use.groups[0].manual[0]) for use in lexicon.find(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Wiring of the chip", [("Wiring", "routing")]),
        ("rewiring, wirings", [("wirings", "routing")]),
        ("where are my big hard blocks?", [("big hard blocks", "macro")]),
        ("hard, block", []),
        ("squeezing area", [("squeezing area", "area recovery")]),
        ("a min delay failure", [("min delay failure", "hold violation")]),
        ("`wiring` and -wiring, wiring_plan, wiring.tcl, a/wiring.v, $wiring, wiring[3]", []),
        ("MSG-0012 wiring", [("wiring", "routing")]),
        ("FIN fin Fin", [("FIN", "nitride fill")]),
        ("turn it off", [("turn it off", "disable")]),
        ("turning the hard block off", [("turning the hard block off", "disable")]),
        ("turn off; turn one two three four five off; turn, it off; turn `x` off", []),
        ("", []),
    ],
)
def test_whole_phrases_are_found_the_longest_first_and_names_never(
    lexicon: Lexicon, text: str, expected: list[tuple[str, str]]
) -> None:
    assert found(lexicon, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("who wins the race?", []),
        ("a race at the flop", [("race", "hold violation")]),
        ("a race, and slack", [("race", "hold violation"), ("slack", "slack")]),
        ("a race and a race", []),  # it cannot speak for itself
        ("how much margin", []),
        ("margin of the clock", [("margin", "slack")]),
        ("margin around a hard block", [("margin", "macro"), ("hard block", "macro")]),
    ],
)
def test_what_may_mean_several_things_needs_a_word_of_its_field(
    lexicon: Lexicon, text: str, expected: list[tuple[str, str]]
) -> None:
    assert found(lexicon, text) == expected


def test_several_words_of_two_fields_keep_both_where_no_word_decides(lexicon: Lexicon) -> None:
    [use] = lexicon.find("a big hard block")
    assert [group.field for group in use.groups] == ["floorplan", "fpga"]
    [use] = lexicon.find("a big hard block of the lattice")
    assert [group.field for group in use.groups] == ["fpga"]


def test_a_phrase_of_two_fields_that_are_both_asked_about_keeps_both(lexicon: Lexicon) -> None:
    [use] = [use for use in lexicon.find("margin at the clock pin of a macro") if use.key == ("margin",)]
    assert [group.field for group in use.groups] == ["timing", "floorplan"]


def test_plurals_articles_and_hyphens_do_not_part_phrases() -> None:
    assert phrase_key("the hard blocks") == phrase_key("hard-block") == phrase_key("Hard block")
    assert phrase_key("timing") != phrase_key("time")  # of one word a stem would join too much
    assert phrase_key("libraries") == phrase_key("library")
    assert phrase_key("bus") == ("bus",)
    assert phrase_key("SRAM") != phrase_key("sram")


def test_of_a_long_text_the_beginning_is_read() -> None:
    assert len(split_words("word " * 100_000)) == 200


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("field;manual\n", "line 1: a lexicon is CSV and begins with the columns field,manual,said"),
        ("", "line 1: a lexicon is CSV"),
        (f'{HEAD}timing,"a,b\n', "line 2: not CSV (unexpected end of data)"),
        (f"{HEAD}timing,race\n", "line 2: 2 columns instead of field,manual,said"),
        (f"{HEAD}timing,race,\n", "line 2: a group needs a phrase of the manual's and another one, and here is 'race'"),
        (f"{HEAD}timing,,race; racing\n", "line 2: a group needs a phrase of the manual's"),
        (f"{HEAD}\ntimeing,slack,margin\n", "line 3: 'timeing' is not a field; the fields are analog, computing"),
        (
            f"{HEAD}timing,slack,margin\ntiming,hold,margins\n",
            "line 3: 'margins' stands in line 2 too, in the same field",
        ),
        (f"{HEAD}timing,slack,!\n", "line 2: the phrase '!' has neither letters nor digits"),
    ],
)
def test_a_bad_file_is_one_sentence_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(LexiconUnusable) as caught:
        read_groups(tmp_path / "bad.csv")
    assert str(caught.value).startswith(f"{tmp_path}/bad.csv, {said}")
    assert "\n" not in str(caught.value)


def test_of_many_bad_lines_three_are_shown_and_the_others_counted() -> None:
    with pytest.raises(LexiconUnusable) as caught:
        parse_groups(HEAD + "odd,a,b\n" * 9, "x.csv")
    assert str(caught.value).count("is not a field") == 3
    assert str(caught.value).endswith("; and 6 more")


def test_a_file_that_is_missing_or_binary_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    for name, why in (("a.csv", "No such file or directory"), ("b.csv", "it is not UTF-8 text")):
        with pytest.raises(LexiconUnusable, match=rf"{name} cannot be read \({why}\): name CSV files"):
            read_groups(tmp_path / name)


def test_files_of_a_company_stand_beside_ours_and_may_repeat_it(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"{number}.csv").write_text(
            f"\ufefffield,manual,said,place\ntiming,hold violation,zorch{number},guide.md\n", encoding="utf-8"
        )
    ours = read_lexicon_files("")
    both = read_lexicon_files(os.pathsep.join(map(str, (tmp_path / "1.csv", tmp_path / "2.csv"))))
    assert both[: len(ours)] == ours
    assert [group.said for group in both[len(ours) :]] == [("zorch1",), ("zorch2",)]
    assert [group.manual[0] for group in Lexicon(both).groups_of("Zorch2")] == ["hold violation"]


def test_a_lexicon_is_read_once() -> None:
    assert open_lexicon() is open_lexicon("")


TEXTS = [
    "a hold violation is a path that is too short",
    "routing of the nets by the router",
    "the race of the squirrels",
    "wiring",
    "each violation is listed, and all of them are kept on hold",
]


def widening(lexicon: Lexicon, weight: float = 0.5, share: float = 0.5) -> Widening:
    return Widening(lexicon, Bm25Index.build(TEXTS), weight, share)


def test_the_second_wording_has_the_words_of_the_manual(lexicon: Lexicon) -> None:
    text = "A race at the flop, after wiring?"
    assert widening(lexicon).wordings(text) == [text, "A hold violation at the flop, after routing?"]


def test_what_it_stands_for_stays_in_the_second_wording(lexicon: Lexicon) -> None:
    one = Widening(lexicon, Bm25Index.build(["disable wiring"]), 0.5, 0.5)
    assert one.wordings("turn the fill off now?")[1] == "disable fill now?"
    assert one.wordings("turn it off?")[1] == "disable?"


@pytest.mark.parametrize(
    "text",
    [
        "routing",  # a manual's own word, which a passage holds
        "hard block",  # what no passage holds is not added
        "no word of the lexicon",
    ],
)
def test_without_engineers_words_nothing_is_widened(lexicon: Lexicon, text: str) -> None:
    one = widening(lexicon)
    assert one.wordings(text) == [text]
    assert (one.scores(text) == Bm25Index.build(TEXTS).scores(text)).all()


def test_a_manuals_word_that_no_passage_holds_is_worded_as_the_passages_do(lexicon: Lexicon) -> None:
    assert widening(lexicon).wordings("hold check") == ["hold check", "hold violation"]


def test_rows_with_the_manuals_whole_phrase_gain_and_never_outweigh(lexicon: Lexicon) -> None:
    typed = Bm25Index.build(TEXTS).scores("race of a flop")
    wide = widening(lexicon).scores("race of a flop")
    gained = wide - typed
    assert list(np.flatnonzero(gained)) == [0, 4]  # both hold "hold" and "violation"
    assert wide.argmax() == typed.argmax() == 2
    assert 0 < gained.max() <= 0.5 * typed.max()


def test_what_the_lexicon_adds_is_bounded_by_what_was_typed(lexicon: Lexicon) -> None:
    typed = Bm25Index.build(TEXTS).scores("each min-delay failure")
    gained = widening(lexicon).scores("each min-delay failure") - typed
    assert gained.max() == pytest.approx(0.5 * typed.max())


def test_terms_that_were_typed_add_nothing_again(lexicon: Lexicon) -> None:
    once = widening(lexicon).scores("race flop") - Bm25Index.build(TEXTS).scores("race flop")
    again = widening(lexicon).scores("race flop hold") - Bm25Index.build(TEXTS).scores("race flop hold")
    assert 0 < again[0] < once[0]


def test_where_no_typed_word_is_known_the_manuals_words_find(lexicon: Lexicon) -> None:
    assert Bm25Index.build(TEXTS).scores("min-delay failure").max() == 0
    assert widening(lexicon).scores("min-delay failure").argmax() == 0


def test_weights_of_zero_leave_their_part_out(lexicon: Lexicon) -> None:
    assert widening(lexicon, share=0).wordings("wiring") == ["wiring"]
    typed = Bm25Index.build(TEXTS).scores("wiring")
    assert (widening(lexicon, weight=0).scores("wiring") == typed).all()
    assert (widening(NO_LEXICON).scores("wiring") == typed).all()


@pytest.fixture(scope="module")
def index_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    texts = {
        "Hold": "A hold violation is repaired by delay buffers.",
        "Squirrels": "Race reports of the squirrels, and what they eat in winter.",
        "Power": "Straps carry the supply.",
    }
    documents = [
        parse_document("notes", f"{title}.md", title, f"# {title}\n\n{text}\n", None, "ISC")
        for title, text in texts.items()
    ]
    build_index(documents, folder, RagSettings(home=folder), TinyEmbedder())
    return folder


def ranked(index_dir: Path, settings: RagSettings, query: str) -> list[str]:
    return [hit.chunk.title for hit in Retriever.open_with(TinyEmbedder(), index_dir, settings).rank(query)]


def test_a_search_finds_by_the_manuals_words_where_the_settings_say_so(index_dir: Path) -> None:
    off = RagSettings(home=index_dir)
    query = "min-delay failure in reports"
    assert ranked(index_dir, off, query)[0] == "Squirrels"
    assert ranked(index_dir, replace(off, lexicon_weight=1.0, lexicon_share=1.0), query)[0] == "Hold"


def test_without_a_word_of_the_lexicon_the_search_is_as_before(index_dir: Path) -> None:
    off = RagSettings(home=index_dir)
    on = replace(off, lexicon_weight=1.0, lexicon_share=1.0)
    [before, after] = [
        list(Retriever.open_with(TinyEmbedder(), index_dir, one).rank("squirrels in winter")) for one in (off, on)
    ]
    assert before == after


def test_an_index_does_not_open_with_a_bad_lexicon_that_is_used(index_dir: Path, tmp_path: Path) -> None:
    settings = RagSettings(home=index_dir, lexicon=str(tmp_path / "missing.csv"))
    Retriever.open_with(TinyEmbedder(), index_dir, settings)  # it is not used
    with pytest.raises(LexiconUnusable, match=r"missing\.csv cannot be read"):
        Retriever.open_with(TinyEmbedder(), index_dir, replace(settings, lexicon_weight=0.5))
