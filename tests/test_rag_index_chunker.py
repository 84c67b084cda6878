"""rag.index.chunker: structure decides the cuts, the limit holds, nothing is lost."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.blocks import Block, BlockKind, Parsed
from rag.documents import Chunk, Document, describe_place
from rag.errors import CuttingFailed
from rag.formats.parser import parse_document
from rag.index.block_splitting import CHARACTERS_PER_TOKEN, longest_prefix, outermost_line, split_block
from rag.index.chunker import (
    Part,
    build_sections,
    chunk_document,
    find_owner,
    introduce,
    read_calls,
    render,
)
from tests.rows import for_each

COMMAND = """# Router

Intro.

## Global Route

This command routes.

```tcl
global_route [-guide_file file]
```

| Switch | Description |
| --- | --- |
| `-guide_file` | The guides. |

## Other

Text of the other section.
"""


def count_words(text: str) -> int:
    return len(text.split())


def chunks_of(text: str, target: int, overlap: int = 0, path: str = "a.md") -> list[Chunk]:
    document = parse_document("docs", path, "Router", text, None, "ISC")
    return chunk_document(document, count_words, target, overlap)


def test_a_document_that_fits_is_one_chunk() -> None:
    chunks = chunks_of(COMMAND, 500)
    assert len(chunks) == 1
    assert chunks[0].heading_path == ()
    assert "## Global Route" in chunks[0].text
    assert chunks[0].text.endswith("## Other\n\nText of the other section.")


def test_synopsis_options_and_prose_stay_together_while_they_fit() -> None:
    command = next(chunk for chunk in chunks_of(COMMAND, 40) if "global_route" in chunk.text)
    assert "This command routes." in command.text
    assert "| `-guide_file` | The guides. |" in command.text


def test_small_neighbours_are_joined_under_their_common_heading() -> None:
    text = "# T\n\n## A\n\n" + "word " * 60 + "\n\n## B\n\nsmall one\n\n## C\n\nsmall two\n"
    last = chunks_of(text, 64)[-1]
    assert (last.heading_path, last.text) == ((), "## B\n\nsmall one\n\n## C\n\nsmall two")


def test_a_long_table_is_cut_between_rows_and_keeps_its_header() -> None:
    rows = [f"| `-option_{number}` | sets the value {number} |" for number in range(30)]
    chunks = chunks_of("# T\n\n## Options\n\n| Switch | Description |\n| --- | --- |\n" + "\n".join(rows), 60)
    assert len(chunks) > 3
    for chunk in chunks:
        header, rule, *body = chunk.text.split("\n")
        assert (header, rule) == ("| Switch | Description |", "| --- | --- |")
        assert all(line in rows for line in body)
    assert [line for chunk in chunks for line in chunk.text.split("\n")[2:]] == rows


def test_long_code_is_cut_between_lines_and_fenced_again() -> None:
    lines = [f"set_layer_rc -layer M{number} -resistance 1.5" for number in range(40)]
    chunks = chunks_of("# T\n\n```tcl\n" + "\n".join(lines) + "\n```\n", 50)
    assert len(chunks) > 2
    for chunk in chunks:
        assert chunk.text.startswith("```tcl\n")
        assert chunk.text.endswith("\n```")
    assert [line for chunk in chunks for line in chunk.text.split("\n")[1:-1]] == lines


def test_overlap_repeats_a_short_last_sentence_where_prose_is_cut() -> None:
    text = " ".join(f"Sentence {number} has these five words." for number in range(30))
    chunks = chunks_of(text, 50, overlap=8)
    for before, after in pairwise(chunks):
        assert after.text.startswith(before.text[before.text.rindex("Sentence") :])


def test_a_word_longer_than_the_limit_is_cut_by_characters() -> None:
    block = Block("prose", "x" * 100, ())
    parts = split_block(block, 30, len)
    assert "".join(part.text for part in parts) == block.text
    assert all(len(part.text) <= 30 for part in parts)


def count_word_pieces(text: str) -> int:
    """Tokens as a word-piece tokenizer counts them: pieces of four characters, and one for a whole "word" of more than
    100.
    """
    return sum(1 if len(word) > 100 else (len(word) + 3) // 4 for word in text.split())


LINE = st.text('ab{}":, |`x', min_size=1, max_size=3000) | st.integers(1, 20_000).map(lambda size: "x" * size)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(LINE, min_size=1, max_size=4),
    st.sampled_from(["{}", "```json\n{}\n```", "- {}", "| a | b |\n| --- | --- |\n| {} | c |", "<p>{}</p>"]),
    st.sampled_from(["a.md", "a.rst", "a.txt", "a.v"]),
    st.integers(20, 120),
)
def test_no_line_however_long_makes_a_chunk_above_the_limit(
    lines: list[str], form: str, path: str, target: int
) -> None:
    text = "\n\n".join(form.replace("{}", line) for line in lines)
    document = parse_document("docs", path, "Router", text, None, "ISC")
    for chunk in chunk_document(document, count_word_pieces, target):
        assert count_word_pieces(chunk.text) <= target
        assert len(chunk.text) < (target + 1) * CHARACTERS_PER_TOKEN


def test_two_megabytes_in_one_line_are_cut_and_lose_nothing() -> None:
    chunks = chunks_of("x" * 2_000_000, 220, path="a.txt")
    assert max(len(chunk.text) for chunk in chunks) < 221 * CHARACTERS_PER_TOKEN
    parts = split_block(
        Block("prose", "".join(f"{number:08d}" for number in range(250_000)), ()), 220, lambda text: len(text) // 4
    )
    assert "".join(part.text for part in parts) == "".join(f"{number:08d}" for number in range(250_000))


def test_a_fence_longer_than_its_room_is_left_out() -> None:
    chunks = chunks_of("~~~\n" + "`" * 5000 + "\n~~~\n", 40)
    assert all(len(chunk.text) < 41 * CHARACTERS_PER_TOKEN for chunk in chunks)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.md", "# Commands\n\n## write_sdf\n\n## write_spef\n"),
        ("a.rst", "Commands\n========\n\nwrite_sdf\n---------\n\nwrite_spef\n----------\n"),
    ],
)
def test_a_document_of_headings_alone_is_found_by_them(path: str, text: str) -> None:
    assert [chunk.text for chunk in chunks_of(text, 100, path=path)] == ["- Commands\n- write_sdf\n- write_spef"]


def test_equal_passages_under_equal_headings_are_kept_once() -> None:
    text = (
        "# T\n\n"
        + "## Note\n\n"
        + "same words here " * 30
        + "\n\n## Other\n\n"
        + "more words " * 40
        + "\n\n## Note\n\n"
        + "same words here " * 30
    )
    chunks = chunks_of(text, 110)
    assert len({chunk.chunk_id for chunk in chunks}) == len(chunks)
    assert [chunk.position for chunk in chunks] == list(range(len(chunks)))
    assert sum("same words" in chunk.text for chunk in chunks) == 1


def test_a_heading_that_comes_back_keeps_the_order() -> None:
    blocks = [
        Part("prose", text, path)
        for text, path in [("1", ("A",)), ("2", ("B",)), ("3", ("A",)), ("4", ("A", "C")), ("5", ("A",))]
    ]
    assert [block.text for block in build_sections(blocks).all_blocks()] == ["1", "2", "3", "4", "5"]


def test_render_writes_headings_where_they_change() -> None:
    blocks = (Block("prose", "1", ("A", "B")), Block("prose", "2", ("A", "B")), Block("prose", "3", ("A", "C")))
    assert render(blocks, ("A",)) == "### B\n\n1\n\n2\n\n### C\n\n3"


WORD = st.text("abcdefgh", min_size=2, max_size=9)
SENTENCES = st.lists(
    st.lists(WORD, min_size=1, max_size=12).map(lambda words: " ".join(words).capitalize() + "."),
    min_size=1,
    max_size=12,
)
SECTION = st.tuples(st.integers(1, 4), WORD, SENTENCES.map(" ".join), st.lists(WORD, max_size=12))


def build_markdown(sections: list[tuple[int, str, str, list[str]]]) -> str:
    parts: list[str] = []
    for level, heading, prose, items in sections:
        parts += ["#" * level + " " + heading, prose, "\n".join(f"- {item}" for item in items)]
    return "\n\n".join(part for part in parts if part)


@settings(max_examples=50, deadline=None)
@given(st.lists(SECTION, min_size=1, max_size=8), st.integers(20, 120))
def test_no_text_is_lost_and_order_is_kept(sections: list[tuple[int, str, str, list[str]]], target: int) -> None:
    # headings and words of their own: equal passages under equal headings are kept once, by design
    sections = [
        (
            level,
            f"{heading}{number}",
            " ".join(f"{word[0]}{number}x{at}{word[1:]}" for at, word in enumerate(prose.split())),
            items,
        )
        for number, (level, heading, prose, items) in enumerate(sections)
    ]
    chunks = chunks_of(build_markdown(sections), target)
    wanted = [
        word
        for _, _, prose, items in sections
        for word in [*prose.split(), *(item for name in items for item in ("-", name))]
    ]
    body = [line for chunk in chunks for line in chunk.text.split("\n") if not line.startswith("#")]
    assert [word for line in body for word in line.split()] == wanted


@settings(max_examples=50, deadline=None)
@given(st.lists(SECTION, min_size=1, max_size=8), st.integers(20, 120), st.integers(0, 20))
def test_the_limit_holds(sections: list[tuple[int, str, str, list[str]]], target: int, overlap: int) -> None:
    for chunk in chunks_of(build_markdown(sections), target, overlap):
        place = count_words(describe_place(chunk.title, chunk.heading_path))
        assert count_words(chunk.text) <= max(target - place, target // 2)
        assert re.search(r"\S", chunk.text)


SYNOPSIS = (
    "# Router\n\n## Global Route\n\nRoutes.\n\n```tcl\nglobal_route\n    [-guide_file file]\n```\n\n### Options\n\n"
)


def test_every_piece_of_an_option_table_names_its_command() -> None:
    rows = [f"| `-option_{number}` | sets the value {number} of the route |" for number in range(30)]
    chunks = [
        chunk
        for chunk in chunks_of(f"{SYNOPSIS}| Switch | What |\n| --- | --- |\n" + "\n".join(rows), 60)
        if "option_" in chunk.text
    ]
    assert len(chunks) > 3
    assert chunks[0].text.startswith("Routes.\n\n```tcl\nglobal_route\n")
    for chunk in chunks[1:]:
        assert chunk.text.startswith("For `global_route`:\n\n| Switch | What |\n| --- | --- |\n| `-option_")
        assert count_words(f"{describe_place(chunk.title, chunk.heading_path)} {chunk.text}") <= 60
    assert [line for chunk in chunks for line in chunk.text.split("\n") if "-option_" in line] == rows


def test_a_table_that_stands_with_its_synopsis_is_left_as_it_is() -> None:
    (chunk,) = chunks_of(f"{SYNOPSIS}| Switch | What |\n| --- | --- |\n| -a | b |\n", 200)
    assert "For `" not in chunk.text


def test_prose_and_other_commands_sections_are_not_marked() -> None:
    text = (
        f"{SYNOPSIS}| Switch | What |\n| --- | --- |\n| -a | b |\n\n## Other\n\n"
        + "word " * 100
        + "\n\n| X | Y |\n| --- | --- |\n| 1 | 2 |\n"
    )
    assert not any("For `" in chunk.text for chunk in chunks_of(text, 60) if chunk.heading_path[:1] == ("Other",))


@for_each(
    ("code", "command"),
    [
        ("```tcl\nglobal_route\n    [-guide_file file]\n```", "global_route"),
        ("```\nproc [options]\n    -noopt\n```", "proc"),
        ("```tcl\nread_lef\n```", "read_lef"),
        ("```tcl\nset_rc\n    [-clock]\n\nor\nset_rc\n    [-layer layer]\n```", "set_rc"),
        ("```\narea_core = area / 2\nwidth = 3\n```", None),
        ("```shell\nmake all\n```", None),
        ("```\n# a comment\n```", None),
        ("```verilog\nmodule a;\n```", None),
    ],
)
def test_a_synopsis_is_known_by_its_name_or_options(code: str, command: str | None) -> None:
    assert read_calls(code) == ({command: frozenset()} if command else {})


def test_pieces_of_rest_tables_have_their_header_again() -> None:
    simple = "=== ===\na b\n=== ===\n" + "\n".join(f"{number} value" for number in range(60)) + "\n=== ==="
    grid = (
        "+---+---+\n| a | b |\n+===+===+\n"
        + "\n+---+---+\n".join(f"| {number} | value |" for number in range(60))
        + "\n+---+---+"
    )
    for table, header in ((simple, "=== ===\na b\n=== ===\n"), (grid, "+---+---+\n| a | b |\n+===+===+\n")):
        pieces = split_block(Block("table", table, ()), 40, count_words)
        assert len(pieces) > 3
        assert all(piece.text.startswith(header) for piece in pieces)
    headless = split_block(Block("table", "=== ===\n" + "1 2\n" * 60 + "=== ===", ()), 40, count_words)
    assert all(not piece.text.startswith("=== ===\n1 2\n=== ===") for piece in headless)


def test_a_chunk_has_the_page_of_its_first_block_and_the_documents_version_and_date() -> None:
    parsed = Parsed(
        "Manual", tuple(Block("prose", f"word {number} " * 20, (f"Page {number}",), number) for number in range(1, 4))
    )
    document = Document(
        "docs", "a.pdf", "Manual", None, None, "ISC", version="2.0", date="2026-01-01", blocks=parsed.blocks
    )
    chunks = chunk_document(document, count_words, 50)
    assert [(chunk.page, chunk.version, chunk.date) for chunk in chunks] == [
        (number, "2.0", "2026-01-01") for number in range(1, 4)
    ]
    assert [chunk.page for chunk in chunk_document(document, count_words, 500)] == [1]


def test_the_characters_that_are_counted_grow_with_the_text_and_no_faster() -> None:
    """Measured in what the tokenizer is given: a growing piece is not counted again for each word that joins it."""
    given = 0

    def count_letters(text: str) -> int:
        nonlocal given
        given += len(text)
        return len(text) - text.count(" ") - text.count("\n")

    texts = {
        "words.txt": " ".join(f"w{number}" for number in range(20_000)),
        "lines.txt": "\n".join(f"w{number}" for number in range(20_000)),
        "paragraphs.txt": "\n\n".join(f"w{number}" for number in range(20_000)),
        "signs.txt": "".join(chr(0x4E00 + number % 9000) for number in range(50_000)),
        "list.rst": "\n".join(f"- w{number}" for number in range(20_000)),
    }
    for path, text in texts.items():
        given = 0
        chunk_document(parse_document("docs", path, "T", text, None, "ISC"), count_letters, 220, 32)
        assert given < 40 * len(text), path


def test_a_cut_that_takes_too_long_is_given_up() -> None:
    document = parse_document("docs", "a.txt", "T", "word " * 100_000, None, "ISC")
    with pytest.raises(CuttingFailed, match="cutting it takes longer than 0 s"):
        chunk_document(document, count_words, 40, timeout_s=0)


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 400))
def test_the_longest_prefix_is_found_wherever_it_is_looked_for(count: int, fitting: int, guess: int) -> None:
    assert longest_prefix(range(count), lambda some: len(some) <= fitting, guess) == min(count, fitting)


def test_a_command_with_a_name_of_a_page_does_not_hang_the_cut() -> None:
    text = f"# T\n\n```\n{'a_' * 4000} -x\n```\n\n" + "| a | b |\n|---|---|\n" + "| c | d |\n" * 200
    chunks = chunk_document(parse_document("docs", "a.md", "T", text, None, "ISC"), lambda part: len(part) // 3, 60)
    assert chunks


SCRIPT = """```tcl
set_activity -global 0.1
report_power

analyze_grid -net VDD \\
    -source STRAPS
analyze_grid -net VSS
```"""


def test_a_table_below_a_script_is_of_the_command_that_has_its_options() -> None:
    calls = read_calls(SCRIPT)
    assert calls == {"set_activity": {"-global"}, "analyze_grid": {"-net", "-source"}}
    assert (
        find_owner(calls, "| Item | Meaning |\n| --- | --- |\n| `-source` | not -global |\n| `-corner` | corner |")
        == "analyze_grid"
    )
    assert find_owner(calls, "| Item | Meaning |\n| --- | --- |\n| `-corner` | corner |") == ""
    assert find_owner(calls, "| Item | Meaning |\n| --- | --- |\n| `-net` | net |\n| `-global` | all |") == ""


def test_a_synopsis_names_no_table_below_another_example() -> None:
    table = Block("table", "| Finding | Fix |\n| --- | --- |\n| short | move |", ("A",))
    synopsis, script = Block("code", "```\nroute_all [-x]\n```", ("A",)), Block("code", SCRIPT, ("A",))
    assert [part.command for part in introduce([synopsis, table, script, table])] == ["", "route_all", "", ""]
    inner = replace(table, heading_path=("A", "Options"))
    assert introduce([synopsis, inner])[1].command == "route_all"


@for_each(
    ("above", "kind", "lead"),
    [
        (("prose", "It has a graph. Its nodes are:"), "list", "Its nodes are:"),
        (("prose", "It has a graph. Its nodes are:"), "prose", ""),
        (("prose", "It has a graph."), "code", ""),
        (("prose", "What the columns mean."), "table", "What the columns mean."),
        (("prose", "The corners are listed below."), "table", "The corners are listed below."),
        (
            ("prose", "Cells of the pad ring with their supplies."),
            "table",
            "Cells of the pad ring with their supplies.",
        ),
        (("prose", "Do note that weights are not normalized."), "table", ""),
        (("prose", "`old_call` has been removed. Use `new_call`."), "table", ""),
        (("prose", "The rows above hold at 25 °C."), "table", ""),
        (("prose", "See Table 4 of the data sheet."), "table", ""),
        (("prose", "Figure 3: The clock tree"), "table", ""),
        (("prose", "Warning: for experts"), "code", ""),
        (("prose", "© 2026 Example Devices"), "table", ""),
        (("prose", "**Example**"), "code", "**Example**"),
        (("prose", "**Example**"), "list", ""),
        (("list", "- First do this.\n- Then run e.g. so:"), "code", "Then run e.g. so:"),
        (("code", "```\nx:\n```"), "table", ""),
    ],
)
def test_what_introduces_a_block_is_the_end_of_the_one_above(
    above: tuple[BlockKind, str], kind: BlockKind, lead: str
) -> None:
    parts = introduce([Block(*above, ("A",)), Block(kind, "text", ("A",)), Block(kind, "text", ("B",))])
    assert [part.lead for part in parts] == ["", lead, ""]


def test_a_caption_below_its_table_does_not_introduce_the_next_one() -> None:
    rows = "| A | B |\n| --- | --- |\n| 1 | 2 |"
    captions = [Block("prose", f"Table {number}: limits", ()) for number in (1, 2)]
    table = Block("table", rows, ())
    below = introduce(
        [Block("prose", "Limits hold at 25 °C and were seen.", ()), table, captions[0], table, captions[1]]
    )
    assert [part.lead for part in below] == [""] * 5
    above = introduce([captions[0], table, captions[1], table])
    assert [part.lead for part in above] == ["", "Table 1: limits", "", "Table 2: limits"]


def test_a_remark_above_a_long_table_stands_once_and_stays_with_its_first_part() -> None:
    rows = [f"| `weight_{number}` | weighs what the mode {number} does |" for number in range(20)]
    table = "| Name | Meaning |\n| --- | --- |\n" + "\n".join(rows)
    remark = "Do note that weights are not normalized."
    chunks = chunks_of(f"# T\n\n## Weights\n\n{remark}\n\n{table}\n", 60)
    assert chunks[0].text.startswith(f"{remark}\n\n| Name | Meaning |")
    assert len(chunks) > 3
    assert sum(remark in chunk.text for chunk in chunks) == 1
    assert all(chunk.text.startswith("| Name | Meaning |") for chunk in chunks[1:])


def test_items_of_one_list_have_the_same_lead_in_and_those_below_an_inner_one_none() -> None:
    blocks = [Block("prose", "Either of:", ())] + [
        Block("list", text, ()) for text in ("- one", "- two:", "- inner", "- three")
    ]
    assert [part.lead for part in introduce(blocks)] == ["", "Either of:", "Either of:", "two:", ""]


def test_code_is_not_parted_from_the_sentence_that_introduces_it() -> None:
    code = "```tcl\n" + "\n".join(f"set_delay {number}" for number in range(15)) + "\n```"
    text = "# T\n\n" + "Some words here. " * 10 + f"\n\nSet all delays as follows:\n\n{code}\n"
    chunks = chunks_of(text, 40)
    assert chunks[1].text == f"Set all delays as follows:\n\n{code}"
    assert "as follows" not in chunks[0].text


def test_a_paragraph_that_says_more_stays_and_its_last_sentence_stands_again() -> None:
    items = "\n".join(f"- `mode_{number}`, which does something" for number in range(8))
    chunks = chunks_of(f"# T\n\n{'Many words stand here. ' * 6}The modes are:\n\n{items}\n", 50)
    assert chunks[0].text.endswith("Many words stand here. The modes are:")
    assert chunks[1].text == f"The modes are:\n\n{items}"


def test_a_long_table_has_its_caption_and_header_above_each_part() -> None:
    rows = [f"| `mode_{number}` | what the mode {number} does |" for number in range(30)]
    table = "| Mode | What |\n| --- | --- |\n" + "\n".join(rows)
    chunks = chunks_of(f"# T\n\n## Modes\n\nThere are many. Modes of the router:\n\n{table}\n", 60)
    assert chunks[0].text.startswith("There are many. Modes of the router:\n\n| Mode | What |")
    for chunk in chunks[1:]:
        assert chunk.text.startswith("Modes of the router:\n\n| Mode | What |\n| --- | --- |\n| `mode_")
        assert chunk.text.count("mode_") > 2
    assert [line for chunk in chunks for line in chunk.text.split("\n") if "mode_" in line] == rows


def test_a_table_that_fits_alone_is_not_cut_for_its_lead_in() -> None:
    rows = "\n".join(f"| `mode_{number}` | what it does |" for number in range(6))
    chunks = chunks_of(
        "# T\n\n" + "word " * 45 + f"\n\nThese are all the modes:\n\n| Mode | What |\n| --- | --- |\n{rows}\n", 54
    )
    assert [chunk.text.count("mode_") for chunk in chunks] == [0, 6]


def test_a_table_whose_header_fills_a_chunk_is_cut_between_columns() -> None:
    names = [f"Column number {number}" for number in range(30)]
    rows = [[f"dev{number}", *(f"{number}.{column}" for column in range(1, 30))] for number in range(9)]
    lines = [names, ["---"] * 30, *rows]
    text = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    parts = [part.text.split("\n") for part in split_block(Block("table", text, ()), 150, count_words)]
    shown = set()
    for header, _, *body in parts:
        assert count_words("\n".join((header, *body))) <= 150
        columns = [cell.strip() for cell in header.strip("|").split("|")]
        assert columns[0] == names[0]
        for row in body:
            cells = [cell.strip() for cell in row.strip("|").split("|")]
            shown |= {(cells[0], column, cell) for column, cell in zip(columns[1:], cells[1:], strict=True)}
    assert shown == {(row[0], name, cell) for row in rows for name, cell in zip(names[1:], row[1:], strict=True)}


def test_a_long_lead_in_is_not_repeated() -> None:
    rows = "\n".join(f"| `mode_{number}` | what it does |" for number in range(20))
    lead = "these words " * 10 + "are:"
    chunks = chunks_of(f"# T\n\n{lead}\n\n| Mode | What |\n| --- | --- |\n{rows}\n", 60)
    assert sum("these words" in chunk.text for chunk in chunks) == 1


def test_a_row_too_long_for_a_chunk_has_its_name_in_each_part() -> None:
    sentences = [f"Sentence {number} says one thing more." for number in range(12)]
    rows = [f"| MARGIN | {' '.join(sentences)} | 7 |", "| NEXT | Last. | 8 |"]
    chunks = chunks_of("\n".join(["# T\n", "| Variable | What | Default |", "| --- | --- | --- |", *rows]), 50)
    rows = [line for chunk in chunks for line in chunk.text.split("\n") if "Sentence" in line]
    assert len(rows) > 2
    assert all(row.startswith("| MARGIN | Sentence ") and row.count("|") == 4 for row in rows)
    assert [row.endswith("| 7 |") for row in rows] == [True, *[False] * (len(rows) - 1)]
    assert re.findall(r"Sentence [^.]*\.", " ".join(rows)) == sentences


def test_a_piece_of_code_begins_below_a_blank_line_or_far_out() -> None:
    assert outermost_line(["a", "b", "", "c", "d"]) == 3
    assert outermost_line(["a", " b", " c", "d", " e", " f"]) == 3
    assert outermost_line(["a", "b"]) == 1
    lines = [
        line
        for number in range(12)
        for line in (f"create_region r{number} -core \\", "    -area 1 2 3 4 \\", "    -layer m1")
    ]
    for chunk in chunks_of("# T\n\n```tcl\n" + "\n".join(lines) + "\n```\n", 50):
        assert chunk.text.startswith("```tcl\ncreate_region")
        assert chunk.text.endswith("-layer m1\n```")


def test_the_last_part_of_a_table_does_not_hold_one_row_alone() -> None:
    rows = [f"| `mode_{number}` | what it does |" for number in range(8)]
    for count in range(3, 8):
        pieces = split_block(
            Block("table", "\n".join(["| a | b |", "| --- | --- |", *rows[:count]]), ()), 32, count_words
        )
        assert len(pieces) < 2 or pieces[-1].text.count("mode_") > 1
        assert all(count_words(piece.text) <= 32 for piece in pieces)


def test_rows_of_grid_tables_keep_their_lines_together() -> None:
    row = "| {0} | value |\n| | more |\n+---+---+"
    grid = "+---+---+\n| a | b |\n+===+===+\n" + "\n".join(row.format(number) for number in range(20))
    for piece in split_block(Block("table", grid, ()), 40, count_words):
        body = piece.text.split("\n")[3:]
        assert body[-1] == "+---+---+"
        assert len(body) % 3 == 0


LINES = st.lists(st.lists(WORD, min_size=1, max_size=6).map(" ".join), min_size=1, max_size=25)
INTRODUCED = st.tuples(LINES, st.sampled_from(["| {} | {} |", "- {} {}", "set_{} -{} 1", "Word {} {}."]))


def write_block(number: int, lines: list[str], form: str) -> str:
    """A paragraph that introduces, and what it introduces; the lines' numbers are found nowhere else."""
    written = [form.replace("{}", f"n{number}x{at}", 1).replace("{}", line) for at, line in enumerate(lines)]
    if form.startswith("|"):
        written = ["| Name | What |", "| --- | --- |", *written]
    if form.startswith("set_"):
        written = ["```tcl", *written, "```"]
    return f"Here is one. Those of the kind {number} are:\n\n" + "\n".join(written)


@settings(max_examples=60, deadline=None)
@given(st.lists(INTRODUCED, min_size=1, max_size=6), st.integers(20, 120), st.booleans())
def test_the_limit_holds_and_nothing_is_lost_below_lead_ins(
    blocks: list[tuple[list[str], str]], target: int, with_headings: bool
) -> None:
    parts = [write_block(number, lines, form) for number, (lines, form) in enumerate(blocks)]
    between = "\n\n### Part\n\n" if with_headings else "\n\n"
    chunks = chunks_of(f"# T\n\n## Kinds\n\n{between.join(parts)}\n", target)
    for chunk in chunks:
        place = count_words(describe_place(chunk.title, chunk.heading_path))
        assert count_words(chunk.text) <= max(target - place, target // 2)
    found = re.findall(r"n\d+x\d+", " ".join(chunk.text for chunk in chunks))
    assert list(dict.fromkeys(found)) == re.findall(r"n\d+x\d+", " ".join(parts))


def test_every_piece_of_a_synopsis_names_its_command() -> None:
    options = "".join(f"    [-option_{number} value_{number}]\n" for number in range(40))
    for heading, named in (("Repair Timing", "For `repair_timing`:\n\n"), ("repair_timing", "")):
        found = chunks_of(f"# Commands\n\n## {heading}\n\n```tcl\nrepair_timing\n{options}```\n", 60)
        first, *others = [chunk.text for chunk in found]
        assert first.startswith("```tcl\nrepair_timing\n")
        assert others
        assert all(text.startswith(f"{named}```tcl\n    [-option_") for text in others)


def test_pieces_of_a_script_name_no_command() -> None:
    script = "".join(f"route_nets -layer M{number}\nfill_rows -cell F{number}\n" for number in range(40))
    assert not any("For `" in chunk.text for chunk in chunks_of(f"# A\n\n```tcl\n{script}```\n", 60))
