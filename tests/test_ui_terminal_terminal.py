"""Answers and passages in a terminal and as plain lines: what is quoted or unsupported is marked, and nothing else."""

from __future__ import annotations

import io
import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.fake_gateway import HITS, judged, quote
from tests.rows import for_each
from ui.conversation import Turn
from ui.events import Source, read_source
from ui.terminal.terminal import (
    THEME,
    Drawing,
    Lines,
    list_sources,
    print_answer,
    print_sources,
    write_checks,
    write_sources,
)
from ui.verification import read_verification

ANSWER = "Run **`repair_antennas`** [1]. It fixes all.\n\n```tcl\nrepair_antennas\n```\n\n- one\n- two\n"
QUOTED, UNSUPPORTED = "\x1b[1;30;103m", "\x1b[4;31m"
STYLES = re.compile(r"\x1b\[[\d;]*m")


def turn_of(answer: str = ANSWER, *sources: Source) -> Turn:
    found = read_verification(judged(answer, "It fixes all.")) if "It fixes all." in answer else None
    return Turn("q", "answered", answer, sources or (read_source(HITS[0]),), "q", (1,), verification=found)


def drawn(turn: Turn, width: int = 80) -> str:
    """Answer and passages as a terminal gets them."""
    file = io.StringIO()
    console = Console(
        file=file, force_terminal=True, width=width, color_system="standard", theme=THEME, highlight=False, _environ={}
    )
    print_answer(turn, console)
    print_sources(turn, console)
    return file.getvalue()


def marked(text: str, style: str) -> str:
    """What stands in this style."""
    return " ".join("".join(re.findall(rf"{re.escape(style)}([^\x1b]*)", text)).split())


def test_answer_is_drawn_and_what_no_passage_supports_is_marked() -> None:
    text = drawn(turn_of())
    assert marked(text, UNSUPPORTED) == "It fixes all."
    shown = STYLES.sub("", text)
    assert "**" not in shown
    assert "```" not in shown
    assert "Run repair_antennas [1]. It fixes all." in shown
    assert " • one" in shown
    assert "The passages do not support 1 sentence (marked)." in shown


def test_quotes_are_marked_in_their_passages() -> None:
    code = {**HITS[0], "text": "See:\n\n```tcl\nputs 1\n```\n\n| a | b |\n|---|---|\n| c | d |\n\nMore of it here."}
    source = read_source(code, [quote(code, "puts 1"), quote(code, "| c | d |"), quote(code, "More of it")])
    text = drawn(turn_of("Yes.", source))
    assert marked(text, QUOTED) == "quoted:cdMore of it"
    assert "*[1] Global Routing > Commands > Repair Antennas" in STYLES.sub("", text)


@for_each(
    "hostile",
    ["\x1b[31mred", "[bold red]x[/]", "[link=http://e]x[/link]", "\x1b]8;;http://e\x07x", ":smile:", "\x9b31m"],
)
def test_no_document_colours_or_links_a_terminal(hostile: str) -> None:
    hit = {**HITS[0], "text": hostile, "title": hostile, "path": hostile, "heading_path": [hostile]}
    text = drawn(turn_of(hostile, read_source(hit)))
    assert "\x1b]" not in text
    assert "\x9b" not in text
    assert "\x1b[31m" not in text
    assert STYLES.sub("", text).count(hostile.replace("\x1b", "").replace("\x07", "").replace("\x9b", "")) >= 4


@given(st.text(alphabet="ab `*|#>[]-\n\x1b", max_size=60), st.integers(0, 60), st.integers(0, 60))
def test_marks_change_no_letter_in_a_terminal(text: str, start: int, end: int) -> None:
    source = read_source({**HITS[0], "text": text})
    plain, with_mark = (drawn(turn_of("Yes.", one), 400) for one in (source, replace(source, quoted=((start, end),))))
    assert "".join(STYLES.sub("", plain).split()) == "".join(
        STYLES.sub("", with_mark).replace("quoted:", "").split()
    ).replace(f"?quote={start}-{end}#quote", "")


def test_plain_passages_have_their_quotes_in_the_margin() -> None:
    hit = {**HITS[0], "text": "one\ntwo. three\n> four\n\nfive", "version": "2", "page": 3}
    text = write_sources(turn_of("Yes.", read_source(hit, [quote(hit, "three\n> four")])))
    assert text.splitlines() == [
        "",
        "*[1] Global Routing > Commands > Repair Antennas, page 3, version 2",
        f"     {HITS[0]['url']}",
        "     openroad/src/grt/README.md",
        "",
        "    one",
        "  > two. three",
        "  > > four",
        "",
        "    five",
    ]


def test_plain_answer_names_the_sentences_that_no_passage_supports() -> None:
    assert write_checks(turn_of()).splitlines() == [
        "",
        "The passages do not support 1 sentence (listed below).",
        "  - not supported: It fixes all.",
    ]
    assert write_checks(turn_of("Yes.")) == ""


def test_places_alone_name_each_passage() -> None:
    assert list_sources(turn_of("Yes.")).splitlines()[:3] == [
        "",
        "Sources (* cited)",
        "*[1] Global Routing > Commands > Repair Antennas",
    ]
    assert list_sources(Turn("q", "answered", "No.")) == ""


def test_growing_answer_shows_its_end_and_is_drawn_whole_when_it_is_there() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=40, height=10, theme=THEME, _environ={})
    with Drawing(console) as drawing:
        drawing.hear(turn_of("\n\n".join(f"line {number}" for number in range(50))))
        while_it_grew = file.getvalue()
    assert "line 40" not in while_it_grew
    assert file.getvalue().count("line 40") == 1
    assert file.getvalue().rstrip().endswith("line 49")


def test_plain_answer_comes_piece_by_piece_and_ends_its_line() -> None:
    file = io.StringIO()
    with Lines(file) as lines:
        for answer in ("", "Run", "Run it.\x1b[31m", "Run it.\x1b[31m\n"):
            lines.hear(turn_of(answer))
    assert file.getvalue() == "Run it.[31m\n"
    with Lines(file) as lines:
        lines.hear(turn_of("No"))
    assert file.getvalue().endswith("\nNo\n")
