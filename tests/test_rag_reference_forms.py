"""rag.reference on odd and hostile text: synopses, tables, usage texts and messages that are none, and text that is
built to take long.
"""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from rag.documents import Document, make_chunk
from rag.reference.cards import Reference
from rag.reference.extraction import read_reference
from rag.reference.messages import read_message
from rag.reference.synopses import read_option_names, read_synopses, read_synopsis
from rag.reference.tables import read_default, read_table
from rag.reference.usages import read_items, read_usage
from tests.counting import count_calls
from tests.rows import for_each

SIGNS = st.sampled_from(
    [
        "|",
        "\n",
        " ",
        "    ",
        "[",
        "]",
        "[-",
        "<",
        ">",
        "(",
        ")",
        "{",
        "}",
        "`",
        "```\n",
        "\n\n",
        "# ",
        "## ",
        "- ",
        "-a",
        "--",
        "+x+",
        "...",
        "usage: ",
        "| Option | Description |\n| --- | --- |\n",
        "route_all",
        "default ",
        "[ERROR GRT-0118] ",
        "For `x`:\n\n",
        "\\",
        "#",
        "%Warning-A: ",
        "é",
        "\t",
        "or\n",
    ]
)


def read(text: str, heading_path: tuple[str, ...] = ()) -> Reference:
    document = Document("notes", "a.md", "A", "", None, "ISC")
    return read_reference([make_chunk(document, heading_path, text, 0)])


@settings(max_examples=300)
@given(st.lists(SIGNS, max_size=60), st.lists(SIGNS, max_size=6))
def test_whatever_stands_in_a_passage_the_places_are_in_it(pieces: list[str], heading: list[str]) -> None:
    text = "".join(pieces)
    reference = read(text, ("".join(heading),) if heading else ())
    for card in reference.commands:
        for place in (card.place, *(option.place for option in (*card.options, *card.arguments))):
            assert 0 <= place.start <= place.end <= len(text)
    for place in (*(card.place for card in reference.variables), *(card.place for card in reference.messages)):
        assert 0 <= place.start <= place.end <= len(text)


@for_each(
    "piece",
    [
        "[",
        "[-a ",
        "<a",
        "<",
        "`",
        "(",
        "- `",
        "-a\n",
        "route_all [-b]\n",
        "a | ",
        "default `",
        "Error: ",
        "-a, ",
        "x, ",
        '"',
        "## -a\n\nx\n\n",
    ],
)
def test_the_time_grows_with_the_text_and_no_faster(piece: str) -> None:
    def text(count: int) -> str:
        long = piece * count
        return (
            f"# A\n\n```\nroute_all {long}\n```\n\n{long}\n\n| Option | Description |\n|---|---|\n| {long} | {long} |\n"
        )

    assert calls_of([text(600)]) < 3 * calls_of([text(300)]) + 500


@for_each(
    "passage",
    [
        (
            "The `run_{0}` command runs.\n\n```tcl\nrun_{0} [-a{0} x]\n```\n\n| Option | Description |\n|---|---|\n| "
            "`-a{0}` | Sets. |"
        ),
        "```tcl\nrun_all [-a{0} x]\n```\n\n| Option | Description |\n|---|---|\n| `-a{0}` | Sets. |",
        "```tcl\nrun_all [-a]\n```\n\n```tcl\nrun_all -a{0} x\n```",
        "| Variable | Description | Default |\n|---|---|---|\nword word {0}",
        "[ERROR ABC-{0}] text\n\n## -b{0} <x>\n\nmore",
    ],
)
def test_the_time_grows_with_the_number_of_passages_and_no_faster(passage: str) -> None:
    few, many = ([passage.format(number) for number in range(count)] for count in (60, 120))
    assert calls_of(many) < 3 * calls_of(few) + 500


def calls_of(texts: list[str]) -> int:
    """The calls that reading a document of these passages takes: they are counted, as time is not to be trusted."""
    document = Document("notes", "a.md", "A", "", None, "ISC")
    chunks = [make_chunk(document, ("S",), text, number) for number, text in enumerate(texts)]
    return count_calls(lambda: read_reference(chunks), events=("call", "return", "c_call", "c_return", "c_exception"))


@for_each(
    ("text", "options", "arguments"),
    [
        (
            "place_all -start|-add|-end\n    [-area {x0 y0 x1 y1}]\n    [file]",
            ["-start", "-add", "-end", "-area"],
            ["file"],
        ),
        ("place_all [-region {llx lly urx ury} | *]", ["-region"], []),
        ("place_all [-from list|-to list] margin", ["-from", "-to"], ["margin"]),
        ("place_all [-gain value] (deprecated)", ["-gain"], []),
        ("place_all [-a] (as with -bram, see above)", ["-a"], []),
        ("place_all (-file name | -var name) command", ["-file", "-var"], ["command"]),
        ("place_all [-a] > filename", ["-a"], []),
        ("place_all\n    {low_x low_y}\n    -layer layer", ["-layer"], ["low_x", "low_y"]),
        ('lint_off [-file "<name>" [-lines <line> [ - <line>]]]', ["-file", "-lines"], []),
        ("    abc [options] [selection]", [], ["selection"]),
        ("usage: flow [-h] [--jobs N] design", ["-h", "--jobs"], ["design"]),
    ],
)
def test_a_synopsis_is_read(text: str, options: list[str], arguments: list[str]) -> None:
    [(_, synopsis)] = read_synopses(text.split("\n"))
    assert synopsis.is_strong
    assert [part.name for part in synopsis.options] == options
    assert [part.name for part in synopsis.arguments] == arguments


def test_ways_to_call_a_command_may_stand_one_below_the_other() -> None:
    found = read_synopses(["set_rc", "    [-layer name]", "", "or", "set_rc", "    [-via name]"])
    assert [(number, synopsis.options[0].name) for number, synopsis in found] == [(0, "-layer"), (4, "-via")]
    assert read_synopses(["read_lib a", "read_def b"]) == []


def test_only_what_is_outside_of_brackets_and_without_alternative_is_required() -> None:
    synopsis = read_synopsis(["define_scene -mode name", "    -lib file | -min file -max file", "    [-spef file]"])
    assert synopsis is not None
    assert not any(part.is_required for part in synopsis.options)
    synopsis = read_synopsis(["place_one -net net", "    [-layer layer]", "    pin"])
    assert synopsis is not None
    assert [part.is_required for part in (*synopsis.options, *synopsis.arguments)] == [True, False, True]


@for_each(
    "text",
    [
        'place_all -origin "200 200"',
        "read_verilog foo.v",
        "place_all [get_cells u1]",
        "while [ -f x ]",
        "set x [-a]",
        "place_all -density 0.6",
        "report_all\nreport_one",
        "place_all $nets",
        "place_all -net the net of this",
        "place_all -a \\\n    -b 3",
        "",
    ],
)
def test_an_example_is_not_a_synopsis(text: str) -> None:
    assert read_synopses(text.split("\n")) == []


@for_each(
    ("cell", "names"),
    [
        ("-t N or --threads N", [("-t", "N"), ("--threads", "N")]),
        ("-x_step, -y_step", [("-x_step", ""), ("-y_step", "")]),
        ("[-layers list]", [("-layers", "list")]),
        ("-j [<value>]", [("-j", "[<value>]")]),
        ("-h, --help", [("-h", ""), ("--help", "")]),
        ("-n, --lines=NUM", [("-n", "NUM"), ("--lines", "NUM")]),
        ("-v file (default)", [("-v", "file")]),
        ("+define+<name>=<value>", [("+define+", "<name>=<value>")]),
        ("--threads: the number", []),
        ("-sub text and more", []),
        ("-", []),
        ("", []),
        ("- a list", []),
        ("-5", []),
        ("-a" * 400, []),
    ],
)
def test_the_names_of_options_are_read_from_a_cell(cell: str, names: list[tuple[str, str]]) -> None:
    assert read_option_names(cell) == names


def test_odd_tables_have_no_rows() -> None:
    for text in (
        "",
        "| a |\n|---|\n| b |",
        "| Option | Description |",
        "| Option | Description |\n|---|---|",
        "|" * 5000,
    ):
        assert read_table(text).rows == ()
    ragged = read_table(
        "| Option | Description |\n|---|---|\n| `-a` |\n| `-b` | Sets b. | 3 |\n| | Sets c. |\n| `-d` | Sets d. |"
    )
    assert [row.cells[0] for row in ragged.rows] == ["`-d`"]
    assert ragged.rows[0].line == 5


def test_a_default_is_given_whole_or_not_at_all() -> None:
    assert read_default("Margin. The default value is `4`.") == ("4", "")
    assert read_default("Length, default is 20 microns.") == ("20", " microns")
    assert read_default("Default is 2 * pitch.") == ("", "")
    assert read_default("Columns (Default:10)") == ("10", "")
    assert read_default("Anything", "`7`") == ("7", "")
    assert read_default("Anything", "n/a") == ("", "")


def test_an_option_line_ends_where_the_next_one_begins() -> None:
    lines = ["  -a, --all  do all", "  -b", "  --bee <n>", "        do b", "", "        and more", "prose", "  -x"]
    found = read_usage(lines)
    assert [(usage.names, usage.description, usage.first, usage.last) for usage in found] == [
        ((("-a", ""), ("--all", "")), "do all", 0, 0),
        ((("-b", ""), ("--bee", "<n>")), "do b and more", 1, 5),
    ]
    assert read_items(["- `-a`: does a", "- prose", "  `-b`: none"]) == read_items(["- `-a`: does a"])


@for_each(
    "line",
    [
        "ERROR: it broke",
        "[INFO] text",
        "see SKY-130",
        "Error: bad thing (see above)",
        "[ERROR GRT-0118]",
        "%Warning: text",
        "x" * 5000,
    ],
)
def test_other_lines_are_not_messages(line: str) -> None:
    assert read_message(line) is None


def test_the_options_of_a_command_are_bounded() -> None:
    document = Document("notes", "a.md", "A", "", None, "ISC")
    head = make_chunk(document, (), "```tcl\nroute_all [-a]\n```", 0)
    table = "For `route_all`:\n\n| Option | Description |\n|---|---|\n| `-a` | Number"
    rows = ["\n".join(f"| `-o{n}_{number}` | Sets it. |" for number in range(380)) for n in range(8)]
    chunks = [make_chunk(document, (), f"{table} {n}. |\n{some}", n + 1) for n, some in enumerate(rows)]
    [card] = read_reference([head, *chunks]).commands
    assert len(card.options) == 1000
    assert len(json.dumps([option.description for option in card.options])) < 10**6
