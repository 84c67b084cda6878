"""rag.index.block_splitting: pieces fit, lose nothing, and stand by themselves."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from rag.blocks import Block, BlockKind, pipe_table
from rag.index.block_splitting import (
    CHARACTERS_PER_TOKEN,
    list_items,
    longest_prefix,
    outermost_line,
    split_block,
)
from tests.rows import for_each


def count(text: str) -> int:
    """Tokens: words, and one more for each `CHARACTERS_PER_TOKEN` characters of a word."""
    return sum(1 + len(word) // CHARACTERS_PER_TOKEN for word in text.split())


def split(kind: BlockKind, text: str, budget: int, overlap: int = 0) -> list[str]:
    return [block.text for block in split_block(Block(kind, text, ("A",), 3), budget, count, overlap)]


@for_each("kind", ["prose", "list", "table", "code"])
def test_a_block_that_fits_is_the_same_block(kind: BlockKind) -> None:
    block = Block(kind, "- one two", ("A",), 3)
    [same] = split_block(block, 3, count)
    assert same is block


def test_pieces_keep_the_headings_and_the_page() -> None:
    pieces = split_block(Block("prose", "One two. Three four. Five six.", ("A", "B"), 7), 2, count)
    assert [piece.text for piece in pieces] == ["One two.", "Three four.", "Five six."]
    assert {(piece.kind, piece.heading_path, piece.page) for piece in pieces} == {("prose", ("A", "B"), 7)}


@for_each(
    ("text", "budget", "overlap", "pieces"),
    [
        ("A b. C d. E f.", 4, 0, ["A b. C d.", "E f."]),
        ("A b. C d. E f.", 4, 2, ["A b. C d.", "C d. E f."]),
        ("A b. C d. E f.", 4, 1, ["A b. C d.", "E f."]),  # the last sentence is longer than the overlap
        ("See e.g. this one here", 3, 0, ["See e.g. this", "one here"]),  # no sentence ends there
        ("a b c d e", 2, 0, ["a b", "c d", "e"]),
        ("One\ntwo three\nfour", 3, 0, ["One\ntwo three", "four"]),
    ],
)
def test_prose_is_cut_between_sentences_else_between_words(
    text: str, budget: int, overlap: int, pieces: list[str]
) -> None:
    assert split("prose", text, budget, overlap) == pieces


def test_a_list_is_cut_between_items_with_the_lines_below_them() -> None:
    text = "- a b\n  c\n  - d e\n- f g\n- h i"
    assert split("list", text, 8) == ["- a b\n  c\n  - d e", "- f g\n- h i"]


def test_each_piece_of_a_table_has_its_header() -> None:
    rows = [["layer", "width"], *([f"M{number}", "wide one"] for number in range(9))]
    pieces = split("table", pipe_table(rows), 30)
    assert len(pieces) > 1
    assert all(piece.startswith("| layer | width |\n| --- | --- |\n| M") for piece in pieces)
    assert [line for piece in pieces for line in piece.split("\n")[2:]] == pipe_table(rows).split("\n")[2:]


def test_parts_of_a_long_row_have_its_first_cell() -> None:
    row = ["`-hold`", " ".join(f"Sentence {number} ends." for number in range(12))]
    pieces = split("table", pipe_table([["Option", "Meaning"], row]), 24)
    assert len(pieces) > 2
    assert all("| `-hold` |" in piece for piece in pieces)
    for number in range(12):
        assert sum(f"Sentence {number} ends." in piece for piece in pieces) == 1


def test_a_wide_table_is_cut_between_columns_each_part_with_the_first() -> None:
    rows = [["name", *(f"column number {number}" for number in range(8))], ["pin", *"12345678"]]
    pieces = split("table", pipe_table(rows), 30)
    assert len(pieces) > 1
    assert all(piece.startswith("| name |") and "\n| pin |" in piece for piece in pieces)
    shown = "\n".join(pieces)
    assert all(f"column number {number}" in shown for number in range(8))


def test_each_piece_of_code_has_its_fence_unless_there_is_no_room() -> None:
    text = "```tcl\nproc a {} {\n  x y\n}\n\nproc b {} {\n  z w\n}\n```"
    assert split("code", text, 10) == ["```tcl\nproc a {} {\n  x y\n}\n```", "```tcl\nproc b {} {\n  z w\n}\n```"]
    assert not any("```" in piece for piece in split("code", text, 5))


@for_each(
    ("lines", "number"),
    [
        (["a", "  b", "", "c", "  d"], 3),
        (["a", "  b", "  c", "d"], 3),
        (["a", "b", "  c", "  d"], 3),  # both later ones are indented alike: the last
        (["a"], 0),
        (["a", "b"], 1),
    ],
)
def test_code_is_cut_where_the_least_is_open(lines: list[str], number: int) -> None:
    assert outermost_line(lines) == number


@for_each(
    ("text", "items"),
    [
        ("- a\n  b\n- c", ["- a\n  b", "- c"]),
        ("1. a\n2) b\n#. c\n* d\n+ e", ["1. a", "2) b", "#. c", "* d", "+ e"]),
        ("  lead\n- a", ["  lead", "- a"]),
        ("- a\n  - inner\n-no item", ["- a\n  - inner\n-no item"]),
        ("", [""]),
    ],
)
def test_items_begin_at_the_margin(text: str, items: list[str]) -> None:
    assert list_items(text) == items


@settings(max_examples=50)
@given(st.integers(0, 30), st.integers(0, 35), st.integers(-2, 40))
def test_the_longest_prefix_is_found_from_any_guess(length: int, room: int, guess: int) -> None:
    assert longest_prefix(range(length), lambda items: len(items) <= room, guess) == min(length, room)


WORD = st.sampled_from(["a", "net", "End.", "`x`", "Über", "y" * 50, "- z", "|"])
TEXT = st.lists(st.tuples(WORD, st.sampled_from([" ", " ", "\n", "\n\n", "  "])), min_size=1, max_size=40).map(
    lambda parts: "".join(word + gap for word, gap in parts)
)


@settings(max_examples=50)
@given(st.sampled_from(["prose", "list"]), TEXT, st.integers(1, 20))
def test_pieces_fit_and_all_words_stay_in_order(kind: BlockKind, text: str, budget: int) -> None:
    pieces = split(kind, text, budget)
    assert all(count(piece) <= budget for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())


@settings(max_examples=50)
@given(
    st.lists(st.sampled_from(["", "set x 1", "  inner", "}", "a" * 40]), min_size=1, max_size=25), st.integers(3, 20)
)
def test_pieces_of_code_fit_and_keep_each_line(lines: list[str], budget: int) -> None:
    pieces = split("code", "\n".join(["```", *lines, "```"]), budget)
    assert all(count(piece) <= budget for piece in pieces)
    kept = "".join(line for piece in pieces for line in piece.split("\n") if line != "```")
    assert "".join(kept.split()) == "".join("".join(lines).split())


@settings(max_examples=50)
@given(st.integers(1, 5), st.integers(1, 8), st.integers(2, 40), st.lists(st.integers(0, 5), min_size=8, max_size=8))
def test_pieces_of_a_table_fit_and_keep_each_word(width: int, height: int, budget: int, sizes: list[int]) -> None:
    rows = [[f"head{column}" for column in range(width)]]
    rows += [
        [" ".join(f"w{row}x{column}x{at}" for at in range(sizes[(row + column) % 8])) or "-" for column in range(width)]
        for row in range(height)
    ]
    pieces = split("table", pipe_table(rows), budget)
    assert all(count(piece) <= budget for piece in pieces)
    shown = {word for piece in pieces for word in piece.split()}
    assert all(word in shown for row in rows for cell in row for word in cell.split())
