"""rag.commands.hit_view: hits on a terminal and in a pipe."""

from __future__ import annotations

import io

from rich.console import Console

from rag.commands.hit_view import describe_age, describe_scores, describe_source, mark, print_hits
from rag.documents import Chunk, Hit
from rag.index.bm25 import content_terms

CHUNK = Chunk(
    "0" * 16,
    "tool@2.0",
    "grt.pdf",
    "Routing",
    ("Options",),
    "Repairs antennas:\n`repair_antennas` -hold",
    None,
    "ISC",
    0,
    3,
    "2.0",
    "2026-11-24",
)
HIT = Hit(CHUNK, 0.03251, 0.614, None)


def shown(query: str, terminal: bool, chunk: Chunk = CHUNK) -> str:
    stream = io.StringIO()
    console = (
        Console(file=stream, force_terminal=True, width=30, color_system="standard")
        if terminal
        else Console(file=stream, width=30)
    )
    print_hits(query, [Hit(chunk, 0.03251, 0.614, 7.25)], console)
    return stream.getvalue()


def test_a_hit_says_where_it_is_from_and_why_it_was_found() -> None:
    assert describe_source(CHUNK) == "tool@2.0/grt.pdf, page 3"
    assert describe_age(CHUNK) == ", version 2.0, 2026-11-24"
    assert describe_scores(HIT) == "score 0.0325, cosine 0.61"


def test_without_a_terminal_there_are_no_marks_and_lines_stay_whole() -> None:
    assert (
        shown("antenna repair", terminal=False)
        == "[1] Routing > Options\n    tool@2.0/grt.pdf, page 3 (score 0.0325, cosine 0.61, BM25 7.2), version 2.0,"
        " 2026-11-24\n    Repairs antennas:\n    `repair_antennas` -hold\n\n"
    )


def test_on_a_terminal_the_words_of_the_question_are_bold_in_any_form() -> None:
    text = shown("how do I repair an antenna?", terminal=True)
    assert "\x1b[1mRepairs\x1b[0m \x1b[1mantennas\x1b[0m:" in text
    assert "`\x1b[1mrepair_antennas\x1b[0m` -hold" in text


def test_names_and_options_are_marked_whole_and_nothing_else_is() -> None:
    marked = mark("use -hold_margin or -hold, see hold", content_terms("-hold"))
    assert [marked.plain[span.start : span.end] for span in marked.spans] == ["-hold_margin", "-hold", "hold"]
    assert mark("nothing here", content_terms("antenna")).spans == []


def test_a_passage_cannot_steer_the_terminal() -> None:
    hostile = Chunk("0" * 16, "c", "p", "T\x1b]0;title\x07", (), "a\x1b[2Jb [red]c[/red]", None, "ISC", 0)
    text = shown("x", terminal=True, chunk=hostile)
    assert "\x1b[2J" not in text
    assert "\x1b]" not in text
    assert "[red]c[/red]" in text
