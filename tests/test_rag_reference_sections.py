"""rag.reference.sections: a document's passages as blocks under their headings, what was cut joined, with places."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from rag.documents import Chunk
from rag.reference.sections import MOST_LINES, SectionBlock, has_header, read_blocks
from tests.rows import for_each

CHUNK = Chunk("0" * 16, "manual", "a.md", "Manual", ("Use",), "", None, "ISC", 0)
HEADER = "| Option | Meaning |\n| --- | --- |"


def passages(*texts: str, path: tuple[str, ...] = ("Use",)) -> list[Chunk]:
    return [
        replace(CHUNK, chunk_id=f"{number:016x}", text=text, position=number, heading_path=path)
        for number, text in enumerate(texts)
    ]


def blocks(*texts: str) -> list[SectionBlock]:
    return list(read_blocks(passages(*texts)))


@for_each(
    ("text", "found"),
    [
        ("", []),
        ("\n\n", []),
        ("Words.", [("prose", "Words.")]),
        ("- a\n- b", [("list", "- a\n- b")]),
        ("```tcl\nset x\n```", [("code", "set x")]),
        ("~~~\na\n~~~", [("code", "a")]),
        ("```\nnever closed", [("code", "never closed")]),
        ("```\n```", []),
        (f"{HEADER}\n| a | b |", [("table", f"{HEADER}\n| a | b |")]),
        ("Lead:\n- a", [("prose", "Lead:"), ("list", "- a")]),
        ("\n".join(["x"] * (MOST_LINES + 1)), []),  # data
        ("```\n" + "x\n" * (MOST_LINES + 1) + "```", []),
    ],
)
def test_each_block_has_its_kind(text: str, found: list[tuple[str, str]]) -> None:
    assert [(block.kind, block.text) for block in blocks(text)] == found


def test_headings_in_a_passage_extend_its_path_by_their_levels() -> None:
    text = "Top.\n\n### Calls\n\nOne.\n\n#### Deep\n\nTwo.\n\n### Rules\n\nThree.\n\n## Other\n\nFour."
    assert [(block.text, block.path) for block in blocks(text)] == [
        ("Top.", ("Use",)),
        ("One.", ("Use", "Calls")),
        ("Two.", ("Use", "Calls", "Deep")),
        ("Three.", ("Use", "Rules")),
        ("Four.", ("Other",)),
    ]


def test_code_has_its_language() -> None:
    assert [block.language for block in blocks("```Tcl\nx\n```\n\n```\ny\n```")] == ["tcl", ""]


def test_code_that_goes_on_with_an_indented_line_is_one_block() -> None:
    cut = ("```tcl\na_b \\\n```", "```tcl\n    [-x]\n```\n\nWords.")
    assert [block.text for block in blocks(*cut)] == ["a_b \\\n    [-x]", "Words."]
    apart = ("```tcl\na_b\n```", "```tcl\nc_d\n```")
    assert [block.text for block in blocks(*apart)] == ["a_b", "c_d"]
    other = ("```tcl\na_b\n```", "```sh\n    x\n```")
    assert [block.text for block in blocks(*other)] == ["a_b", "    x"]


def test_under_other_headings_nothing_is_joined() -> None:
    one, two = passages("```\na_b\n```", "```\n    [-x]\n```")
    assert [block.text for block in read_blocks([one, replace(two, heading_path=("Else",))])] == ["a_b", "    [-x]"]


def test_a_table_without_a_header_gets_that_of_the_table_before() -> None:
    first, second = blocks(f"{HEADER}\n| a | b |", "| c | d |\n| e | f |")
    assert has_header(first)
    assert second.text == f"{HEADER}\n| c | d |\n| e | f |"


def test_the_rest_of_a_row_that_repeats_its_first_cell_is_joined_to_it() -> None:
    def cells(*texts: str) -> list[list[str]]:
        rows = [line for block in blocks(*texts) for line in block.text.split("\n")[2:]]
        return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]

    assert cells(f"{HEADER}\n| -x | One. |", f"{HEADER}\n| -x | Two. |\n| -y | Three. |") == [
        ["-x", "One. Two."],
        ["-y", "Three."],
    ]
    assert cells(f"{HEADER}\n| -x | One. |", f"{HEADER}\n| -x | Two. |", f"{HEADER}\n| -x | Three. |") == [
        ["-x", "One. Two. Three."]
    ]
    assert cells(f"{HEADER}\n| -x | One. |", f"{HEADER}\n| -y | Two. |") == [["-x", "One."], ["-y", "Two."]]


@for_each(
    ("text", "has_one"),
    [
        (f"{HEADER}\n| a | b |", True),
        (HEADER, True),
        ("| a | b |\n| c | d |", False),
        ("| a | b |", False),
        ("Words.\n| --- |", False),
    ],
)
def test_a_header_has_a_rule_below_it(text: str, has_one: bool) -> None:
    assert has_header(blocks(text)[0]) is has_one


def test_a_place_is_that_of_its_lines_and_of_one_passage() -> None:
    one, two = passages("Words.\n\n```tcl\na_b \\\n```", "```tcl\n    [-x]\n```")
    _, code = read_blocks([one, two])
    place = code.place()
    assert (place.chunk_id, one.text[place.start : place.end]) == (one.chunk_id, "a_b \\")
    place = code.place(1)
    assert (place.chunk_id, two.text[place.start : place.end]) == (two.chunk_id, "    [-x]")
    place = code.span(1, 5, 7)
    assert two.text[place.start : place.end] == "-x"
    assert (place.title, place.path, place.heading_path) == ("Manual", "a.md", ("Use",))


PART = st.sampled_from(
    [
        "Words of it.",
        "- a\n  b\n- c",
        "```tcl\nset x\n  y\n```",
        f"{HEADER}\n| -a | b |",
        "### Deep",
        "1. one",
        "| a | b |",
    ]
)


@settings(max_examples=50)
@given(st.lists(st.lists(PART, min_size=1, max_size=4), min_size=1, max_size=3))
def test_every_line_stands_in_its_passage_where_it_says(pages: list[list[str]]) -> None:
    for block in read_blocks(passages(*("\n\n".join(page) for page in pages))):
        for line in block.lines:
            assert line.text.startswith(line.chunk.text[line.start : line.end].rstrip(" |"))
        place = block.place()
        assert 0 <= place.start < place.end


def test_a_synopsis_that_goes_on_below_its_name_is_one_block() -> None:
    texts = ("```tcl\nroute_nets\n  [-a]\n```", "For `route_nets`:\n\n```tcl\n  [-b]\n```\n\nIt routes.")
    code, prose = blocks(*texts)
    assert (code.text, prose.text) == ("route_nets\n  [-a]\n  [-b]", "It routes.")


def test_the_name_of_another_command_above_code_stays() -> None:
    found = blocks("```tcl\nroute_nets\n  [-a]\n```", "For `fill_rows`:\n\n```tcl\n  [-b]\n```")
    assert [block.text for block in found] == ["route_nets\n  [-a]", "For `fill_rows`:", "  [-b]"]
