"""rag.reference: cards of small documents in the forms of manuals, each with its place; and what is not a command."""

from __future__ import annotations

import pytest

from rag.documents import Chunk, Document
from rag.formats.parser import parse, parse_document
from rag.index.chunker import chunk_document
from rag.reference.cards import Command, Message, Option, Place, Reference, Variable
from rag.reference.extraction import is_read, read_reference
from tests.rows import for_each

ROUTER = """# Router

## Commands

### Route Clock Nets

The `route_clocks` command routes clock nets on wide tracks. It runs before `route_all`.

```tcl
route_clocks
    -layer layer
    [-halo_width width]
    [-mode fast|slow]
    [-report]
    nets
```

#### Options

| Switch Name | Description |
| ----- | ----- |
| `-layer` | Metal that clock nets are routed on. |
| `-halo_width` | Space around each net in microns. The default value is `4`. |
| `-modes` | Speed of the search. |
| `nets` | The nets to route. |

### Reset Router

This command forgets all routes.

```tcl
reset_router
```

| Command Name | Description |
| --- | --- |
| `route_debug` | Shows the search. |
"""


def chunks_of(text: str, path: str = "router.md", tokens: int = 400, collection: str = "router") -> list[Chunk]:
    """The passages of one document, cut by words."""
    document = parse_document(collection, path, parse(path, text).title or path, text, None, "ISC")
    return chunk_document(document, lambda piece: len(piece.split()), tokens)


def read(text: str, path: str = "router.md", tokens: int = 400) -> Reference:
    return read_reference(chunks_of(text, path, tokens))


def command(reference: Reference, name: str) -> Command:
    [card] = reference.lookup(name)
    assert isinstance(card, Command)
    return card


def said(place: Place | None, chunks: list[Chunk]) -> str:
    """What stands at a place."""
    assert place is not None
    [text] = [chunk.text for chunk in chunks if chunk.chunk_id == place.chunk_id]
    return text[place.start : place.end]


def options_of(card: Command) -> dict[str, tuple[str, str, bool]]:
    """Argument, default and whether it is described, by name."""
    return {option.name: (option.argument, option.default, option.is_described) for option in card.options}


@for_each("tokens", [400, 40, 25])
def test_a_synopsis_and_its_table_are_one_card_however_they_were_cut(tokens: int) -> None:
    chunks = chunks_of(ROUTER, tokens=tokens)
    card = command(read_reference(chunks), "route_clocks")
    assert options_of(card) == {
        "-layer": ("layer", "", True),
        "-halo_width": ("width", "4", True),
        "-mode": ("fast|slow", "", False),
        "-report": ("", "", False),
        "-modes": ("", "", True),
    }
    assert card.description.startswith("The `route_clocks` command routes clock nets on wide tracks.")
    assert [(item.name, item.is_required) for item in card.arguments] == [("nets", True)]
    by_name = {option.name: option for option in card.options}
    assert by_name["-layer"].is_required
    assert said(by_name["-halo_width"].synopsis_place, chunks) == "-halo_width width"
    assert said(by_name["-halo_width"].place, chunks).startswith("| `-halo_width` | Space around each net")
    assert said(card.place, chunks).startswith("route_clocks")


def test_where_synopsis_and_table_disagree_both_are_shown_with_their_places() -> None:
    chunks = chunks_of(ROUTER)
    found = {one.name: one for one in command(read_reference(chunks), "route_clocks").disagreements}
    assert set(found) == {"-mode", "-report", "-modes"}
    assert "the synopsis lacks it" in found["-modes"].statement
    assert "nothing describes it" in found["-mode"].statement
    assert said(found["-modes"].places[0], chunks) == "| `-modes` | Speed of the search. |"
    assert said(found["-mode"].places[0], chunks) == "-mode fast|slow"


def test_a_command_without_options_and_one_of_a_list_of_commands() -> None:
    reference = read(ROUTER)
    assert command(reference, "reset_router").description == "This command forgets all routes."
    assert command(reference, "route_debug").description == "Shows the search."
    assert [card.name for card in reference.commands] == ["route_clocks", "reset_router", "route_debug"]


def test_options_belong_to_the_synopsis_that_has_them_whatever_a_line_above_says() -> None:
    text = (
        "# Power\n\n```tcl\nset_activity\n    [-duty duty]\n```\n\n```tcl\nanalyze_grid\n    -net net\n    [-corner "
        "corner]\n```\n\nFor `set_activity`:\n\n| Option | Description |\n|---|---|\n| `-net` | Net to analyze. |\n| "
        "`-corner` | Corner to use. |\n"
    )
    reference = read(text)
    assert reference.options_of("analyze_grid") == {"-net", "-corner"}
    assert all(option.is_described for option in command(reference, "analyze_grid").options)
    assert reference.options_of("set_activity") == {"-duty"}


def test_a_table_of_something_else_gives_a_command_no_options() -> None:
    text = f"{ROUTER}\n| Key | Default | Description |\n|---|---|---|\n| `cells` | true | Show cells. |\n"
    assert [item.name for item in command(read(text), "route_clocks").arguments] == ["nets"]
    tagged = (
        "# A\n\n```tcl\nrun_all [-fast]\n```\n\n| Option | Meaning |\n|---|---|\n| `red` | The colour. |\n| `blue` | "
        "Another. |\n"
    )
    assert command(read(tagged), "run_all").arguments == ()


def test_a_table_whose_header_names_its_command_needs_no_synopsis() -> None:
    reference = read(
        "# Hold\n\n| Option of `fix_hold` | Meaning |\n|---|---|\n| `-margin` | Slack to gain, default is 0.1. |\n"
    )
    assert options_of(command(reference, "fix_hold")) == {"-margin": ("", "0.1", True)}


def test_options_of_a_rst_page_belong_to_the_program_that_its_title_names() -> None:
    text = (
        'mysim Arguments\n===============\n\nThese may be passed to the "mysim" executable.\n\n.. option:: --threads'
        " <n>\n\n   Threads to run with. Defaults to 1.\n\n.. option:: -q\n\n.. option:: --quiet\n\n   Print "
        "less.\n\n.. option:: +define+<name>=<value>\n\n   Set a macro.\n"
    )
    card = command(read(text, "mysim.rst"), "mysim")
    assert options_of(card) == {
        "--threads": ("<n>", "1", True),
        "-q": ("", "", True),
        "--quiet": ("", "", True),
        "+define+": ("<name>=<value>", "", True),
    }


def test_headings_are_commands_messages_and_variables_where_their_page_says_so() -> None:
    text = (
        'Control\n=======\n\n.. option:: lint_off [-rule <message>] [-file "<name>"]\n\n   Switch a warning off.\n\n'
        "List Of Warnings\n----------------\n\n.. option:: WIDTHTRUNC\n\n   A value is cut.\n\n"
        "Environment\n-----------\n\n.. option:: SIM_ROOT\n\n   Where it is installed.\n"
    )
    reference = read(text, "control.rst")
    assert reference.options_of("lint_off") == {"-rule", "-file"}
    assert [(card.number, card.text) for card in reference.messages] == [("WIDTHTRUNC", "A value is cut.")]
    assert [(card.name, card.description) for card in reference.variables] == [("SIM_ROOT", "Where it is installed.")]


YOSYS = """synth - generic synthesis script
================================

.. code-block:: none

    synth [options]

    This command runs the default synthesis script.

        -top <module>
            use the specified module as top module (default='top')

        -flatten
        -noflatten
            flatten the design, or not
"""


def test_a_help_text_gives_a_command_with_its_options() -> None:
    card = command(read(YOSYS, "synth.rst"), "synth")
    assert card.description == "This command runs the default synthesis script."
    assert options_of(card) == {
        "-top": ("<module>", "", True),
        "-flatten": ("", "", True),
        "-noflatten": ("", "", True),
    }


USAGE = """usage: runflow [-h] [--jobs N] design

options:
  -h, --help  show this help and exit
  --jobs N    how many jobs run at a time
              (default: 4)
"""


@pytest.mark.parametrize("path", ["runflow.txt", "runflow.md"])
def test_a_usage_text_gives_a_command_with_its_options(path: str) -> None:
    text = USAGE if path.endswith("txt") else f"# Flow\n\n```\n{USAGE}```\n"
    card = command(read(text, path), "runflow")
    assert {name: (argument, is_described) for name, (argument, _, is_described) in options_of(card).items()} == {
        "-h": ("", True),
        "--help": ("", True),
        "--jobs": ("N", True),
    }
    assert [item.name for item in card.arguments] == ["design"]


def test_a_manual_page_gives_its_command() -> None:
    page = (
        ".TH LOGCUT 1\n.SH NAME\nlogcut \\- cut logs\n.SH SYNOPSIS\n.B logcut\n[\\fIOPTION\\fR]... [\\fIFILE\\fR]...\n"
        ".SH OPTIONS\n.TP\n\\fB\\-n\\fR, \\fB\\-\\-lines\\fR=\\fINUM\\fR\nkeep NUM lines\n"
    )
    card = command(read(page, "logcut.1"), "logcut")
    assert card.description == "cut logs"
    assert options_of(card) == {"-n": ("NUM", "", True), "--lines": ("NUM", "", True)}


def test_items_of_a_list_are_options_of_the_command_above() -> None:
    text = (
        "# A\n\n```tcl\nplan_power [-net net] [-dry]\n```\n\n- `-net`: Net of the grid.\n- `-dry` - Only look.\n- Not "
        "an option: prose.\n"
    )
    assert all(option.is_described for option in command(read(text), "plan_power").options)


def test_a_paragraph_is_an_options_description_only_where_it_says_so() -> None:
    text = (
        "# NAME\n\nflow - runs it\n\n## SYNOPSIS\n\nflow [-help] [-threads count|max] [-exe]\n\n## OPTIONS\n\n"
        "`-threads  count|max`: Number of threads to\nuse.\n\n`-exe` needs a compiler, as\n`-help` says, too.\n"
    )
    card = command(read(text, "flow.md"), "flow")
    described = {option.name: option.description for option in card.options if option.is_described}
    assert described == {"-threads": "Number of threads to use."}


def test_items_that_are_synopses_are_commands() -> None:
    [card] = read("# TCL\n\n- read_tech [-lib] file\n  - Reads the technology.\n- Reads [-lib] too\n").commands
    assert (card.name, card.description, [option.name for option in card.options]) == (
        "read_tech",
        "Reads the technology.",
        ["-lib"],
    )


def test_below_a_heading_what_comes_after_code_describes_it() -> None:
    reference = read("# Warnings\n\n## MINDLY\n\n```sv\n#(3:5:8) clk = 1;\n```\n\nDelays are ignored.\n")
    assert [(card.number, card.text) for card in reference.messages] == [("MINDLY", "Delays are ignored.")]


def test_html_gives_the_same_as_markdown() -> None:
    page = (
        "<html><body><h1>Router</h1><h2>route_one</h2><p>Routes one net.</p><pre>route_one [-layer layer] net</pre>"
        "<dl><dt><code>-layer layer</code></dt><dd>Metal to use.</dd></dl></body></html>"
    )
    parsed = __import__("rag.formats.html_page", fromlist=["parse_html"]).parse_html(page.encode())
    document = Document("web", "router.html", parsed.title, None, None, "ISC", blocks=parsed.blocks)
    card = command(read_reference(chunk_document(document, lambda piece: len(piece.split()), 400)), "route_one")
    assert options_of(card) == {"-layer": ("layer", "", True)}


FLOW = """# Variables

| Variable | Description | Default |
| --- | --- | --- |
| <a name="CORE_UTILIZATION"></a>CORE_UTILIZATION| The core utilization percentage.| 30|
| FILL_CONFIG| Rules of the metal fill.| |
| PLACE_DENSITY| Density of the placement. Default is `0.6`.| |
| Not a name| Prose in the first column.| |

## floorplan variables

- [CORE_UTILIZATION](#CORE_UTILIZATION)

## Uncategorized variables

- [FILL_CONFIG](#FILL_CONFIG)

## place variables

- [CORE_UTILIZATION](#CORE_UTILIZATION)
- [PLACE_DENSITY](#PLACE_DENSITY)
"""


def test_variables_have_default_and_stages() -> None:
    reference = read(FLOW)
    assert [(card.name, card.default, card.stage) for card in reference.variables] == [
        ("CORE_UTILIZATION", "30", "floorplan, place"),
        ("FILL_CONFIG", "", ""),
        ("PLACE_DENSITY", "0.6", "place"),
    ]


def test_a_sentence_that_begins_with_a_command_describes_it_unless_it_is_gone() -> None:
    text = (
        "# Passes\n\nFirst of all (e.g. at the start) it runs. The `opt_expr` pass folds constants (e.g. `1 + 1`). More"
        " of it.\n\nThe `old_pass` command was removed.\n\nUse the `named_here` command to see more.\n"
    )
    chunks = chunks_of(text)
    [card] = read_reference(chunks).commands
    assert (card.name, card.synopsis) == ("opt_expr", "")
    assert card.description == said(card.place, chunks) == "The `opt_expr` pass folds constants (e.g. `1 + 1`)."


def test_an_example_gives_way_to_the_synopsis() -> None:
    text = (
        "# Cells\n\nUse `define_cell`:\n\n```tcl\ndefine_cell -name CELL -power vdd\n```\n\n"
        "```tcl\ndefine_cell\n    -name name\n    [-ground pin]\n```\n\n"
        "Then run `define_cell` again:\n\n```tcl\ndefine_cell -fast\n```\n"
    )
    card = command(read(text), "define_cell")
    assert card.synopsis == "define_cell\n    -name name\n    [-ground pin]"
    assert [(option.name, option.is_required) for option in card.options] == [("-name", True), ("-ground", False)]


RELEASES = "# Release notes\n\nThe `read_wave` command has a new option.\n\n```tcl\nread_wave [-scope scope]\n```\n"


def test_release_notes_show_a_part_of_a_command() -> None:
    reference = read(RELEASES, "doc/ChangeLog.md")
    assert command(reference, "read_wave").is_partial
    assert reference.options_of("read_wave") == frozenset()  # nobody reads that -gzip is wrong
    assert not command(read(RELEASES.replace("Release notes", "Waves"), "doc/waves.md"), "read_wave").is_partial


@for_each(
    ("call", "is_partial"),
    [
        ("run_all -fast $net", False),
        ("run_all -fa -depth 3 $net > out.rpt", False),
        ("run_all -depth 3 {a b} ;# why", False),
        ("run_all -slow $net", True),
        ("run_all $net $other", True),
        ("run_all \\\n    -slow \\\n    $net", True),
    ],
)
def test_where_examples_use_more_than_documents_say_of_a_command_it_is_shown_in_part(
    call: str, is_partial: bool
) -> None:
    text = (
        "# Run\n\nThe `run_all` command runs.\n\n```tcl\nrun_all [-fast] [-depth n] net\n```\n\n## "
        f"Example\n\n```tcl\n{call}\n```\n"
    )
    assert command(read(text), "run_all").is_partial is is_partial


PLAIN = """NAME
       report_paths
              Displays the paths of a design.

SYNTAX
       string report_paths
        [-to to_list]
        [-delay_type min | max]
        [-nosplit]
        design

ARGUMENTS
       -to to_list
              Shows the paths that end here.

       -delay_type min | max
              Which of the delays are shown.

       -nosplit
              Does not split lines.
"""


def test_a_manual_page_in_plain_text_gives_its_command() -> None:
    card = command(read(PLAIN, "report_paths.txt"), "report_paths")
    assert card.description == "Displays the paths of a design."
    assert options_of(card) == {
        "-to": ("to_list", "", True),
        "-delay_type": ("min | max", "", True),
        "-nosplit": ("", "", True),
    }
    assert [item.name for item in card.arguments] == ["design"]


def test_brackets_at_the_margin_and_options_in_paragraphs_of_their_own_are_read() -> None:
    text = (
        "# route_design\n\nRoutes the design.\n\n```\nroute_design\n[-global]\n[-net <net>]\n```\n\n## Parameters\n\n"
        "-global\n\nRuns both routers.\n\n-net <net>\n\nRoutes this net alone.\n\nThat is all.\n"
    )
    card = command(read(text, "route.md"), "route_design")
    assert {option.name: option.description for option in card.options} == {
        "-global": "Runs both routers.",
        "-net": "Routes this net alone.",
    }


def test_what_an_option_takes_is_kept_when_the_synopsis_comes_later() -> None:
    page = (
        "mytest - runs tests\n===================\n\n``mytest`` runs.\n\n.. option:: --until <n>\n\n   Repeat so "
        "often.\n\nUsage\n-----\n\n::\n\n   mytest [--build] <path>\n"
    )
    assert options_of(command(read(page, "mytest.rst"), "mytest")) == {
        "--until": ("<n>", "", True),
        "--build": ("", "", False),
    }


def test_what_is_not_a_name_of_a_command_or_message_in_a_manual_page() -> None:
    page = (
        ".TH DIGEST 1\n.SH NAME\ndigest \\- compute message digests\n.SH DESCRIPTION\nIt prints.\n.SH "
        "AUTHOR\nSomebody.\n.SH KEYS\n.TP\ni<space>\nshow more\n.TP\nexpr1 < expr2\nless\n.TP\naccess.get(spec, "
        "[opts])\ncall it\n.SH ENVIRONMENT\n.TP\nDIGEST_HOME <dir>\nwhere it lives\n"
    )
    reference = read(page, "digest.1")
    assert (reference.commands, reference.messages) == ((), ())
    assert [(card.name, card.description) for card in reference.variables] == [("DIGEST_HOME", "where it lives")]


LONG = (
    "lint_off [-rule <message>] [-file <file_name>] [-lines <first_line> <last_line>] "
    "[-contents <contents_wildcard>] [-match <wildcard>]"
)


def test_a_definition_too_long_for_a_heading_is_read_whole() -> None:
    text = (
        f"Control\n=======\n\n.. option:: {LONG}\n\n.. option:: lint_on [-rule <message>]\n\n   Switch a warning off.\n"
    )
    reference = read(text, "control.rst")
    card = command(reference, "lint_off")
    assert (card.synopsis, card.description, card.is_partial) == (LONG, "Switch a warning off.", False)
    assert [option.name for option in card.options] == ["-rule", "-file", "-lines", "-contents", "-match"]
    assert command(reference, "lint_on").description == "Switch a warning off."


def test_many_options_with_one_description_are_all_read() -> None:
    names = [f"-fno-optimisation-{number}" for number in range(12)]
    directives = "\n\n".join(f".. option:: {name}" for name in names)
    synopsis = "tool\n====\n\nSynopsis\n--------\n\n::\n\n   tool [options] file\n"
    text = f"{synopsis}\nOptions\n-------\n\n{directives}\n\n   Switch it off.\n"
    options = command(read(text, "tool.rst"), "tool").options
    assert [(option.name, option.description) for option in options] == [(name, "Switch it off.") for name in names]


def test_a_heading_that_was_cut_gives_what_comes_before_the_cut() -> None:
    documents = read(f"# Control\n\n## {LONG}\n\n```\nlint_off -rule WIDTH\n```\n", "control.md")
    card = command(documents, "lint_off")
    assert [option.name for option in card.options][:4] == ["-rule", "-file", "-lines", "-contents"]


@for_each("tokens", [30, 45, 60])
def test_a_row_that_was_cut_into_several_passages_is_one(tokens: int) -> None:
    long = " ".join(f"word{number}" for number in range(60))
    text = (
        f"# Flow\n\n| Variable | Description | Default |\n|---|---|---|\n| HOLD_MARGIN | {long} | 7 |\n| NEXT_ONE | "
        "Sets it. | 8 |\n"
    )
    chunks = chunks_of(text, tokens=tokens)
    assert len(chunks) > 1
    reference = read_reference(chunks)
    assert [(card.name, card.default) for card in reference.variables] == [("HOLD_MARGIN", "7"), ("NEXT_ONE", "8")]
    assert said(reference.variables[0].place, chunks).startswith("| HOLD_MARGIN | word0")


def test_options_of_the_section_beside_the_synopsis_are_its_own() -> None:
    text = (
        "# Swap\n\n## Modules\n\n### Requirements\n\nThe `swap_all` command swaps.\n\n```tcl\nswap_all\n    [-target "
        "area]\n    [-count n]\n```\n\n### Options\n\n| Option | Description |\n|---|---|\n| `[-target]`, `[-count]` | "
        "What and how often. |\n"
    )
    assert all(option.is_described for option in command(read(text, tokens=30), "swap_all").options)


@for_each(
    ("line", "number", "text"),
    [
        ("- **ERROR: (IMPSP-9022): Command failed.", "IMPSP-9022", "Command failed."),
        ("%Error-DIDNOTCONVERGE: a.v:7:25 Settle region.", "DIDNOTCONVERGE", "Settle region."),
        ("[ERROR GRT-0118] Routing congestion too high.", "GRT-0118", "Routing congestion too high."),
        ("Warning: Design has 3 unresolved references. (LINK-5)", "LINK-5", "Design has 3 unresolved references."),
        ("**ERROR: (IMPSP-9022): Command failed.", "IMPSP-9022", "Command failed."),
        ("ERROR: [Synth 8-439] module 'a' not found", "Synth 8-439", "module 'a' not found"),
        (
            "%Warning-WIDTHTRUNC: a.v:3:4: Operator ASSIGN expects 4 bits.",
            "WIDTHTRUNC",
            "Operator ASSIGN expects 4 bits.",
        ),
    ],
)
def test_messages_are_found_by_their_number(line: str, number: str, text: str) -> None:
    reference = read(f"# Log\n\nThe run ends with:\n\n```\n{line}\n```\n")
    assert [(card.number, card.text) for card in reference.messages] == [(number, text)]
    assert reference.find(f"[ERROR {number}]") == reference.find(number)


@for_each(
    "text",
    [
        "# Prose\n\nUse global_route [see below] to route the design.\n",
        "# Prose\n\n```\nnote [see the manual] for more\n```\n",
        "# Prose\n\n```\nThe command runs [-fast] now\n```\n",
        "# Shell\n\n```sh\ncd build\nmake install\n```\n",
        "# Script\n\n```tcl\nforeach cell [get_cells *] {\n    puts $cell\n}\n```\n",
        "# C\n\n```cpp\nmake_net(\n    name)\n```\n",
        "# Code\n\n```\nplace_cell -cell AND2_X1 -origin {10 20}\n```\n",
        "# Numbers\n\nThe SKY-130 process is ISO-26262 ready (RFC-2119).\n",
        (
            "# Table\n\n| Command | Purpose |\n|---|---|\n| the router | Routes the nets. |\n| Run it | Starts the "
            "tool. |\n"
        ),
        "# Tree\n\n```\nsrc\n    lib\n    bin\n```\n",
        "# Try\n\n```tcl\ntry {\n    new_command -option value\n}\n```\n",
    ],
)
def test_prose_scripts_and_data_are_neither_commands_nor_messages(text: str) -> None:
    assert read(text) == Reference()


@for_each("path", ["src/ReadmeFormat.md", "docs/test/router.md", "CODE_OF_CONDUCT.md", "router.tcl", "LICENSE.md"])
def test_forms_to_copy_tests_and_code_are_not_read(path: str) -> None:
    assert not is_read(path)
    assert is_read("docs/router.md")
    assert is_read("man/router.1.gz")


def test_equal_names_of_several_documents_have_a_card_each_the_fullest_first() -> None:
    chunks = [
        *chunks_of("# Notes\n\n```tcl\nroute_clocks [-layer layer]\n```\n", "a.md", collection="notes"),
        *chunks_of(ROUTER),
    ]
    reference = read_reference(chunks)
    assert [card.collection for card in reference.lookup("route_clocks")] == ["router", "notes"]
    assert [card.collection for card in reference.within(["notes"]).lookup("route_clocks")] == ["notes"]
    assert reference.options_of("route_clocks") == {"-layer", "-halo_width", "-mode", "-report", "-modes"}
    assert reference.options_of("unheard_of") == frozenset()


def test_a_name_is_looked_up_as_people_write_it_and_near_ones_are_offered() -> None:
    reference = read(ROUTER + FLOW)
    assert [card.name for card in reference.lookup("`route_clocks`")] == ["route_clocks"]
    assert [card.name for card in reference.lookup("core_utilization")] == ["CORE_UTILIZATION"]
    assert [card.name for card in reference.lookup("-halo_width")] == ["route_clocks"]
    assert reference.near("route_clock")[0] == "route_clocks"
    assert reference.near("-halo_with") == ["-halo_width"]
    assert reference.near("core_utilisation") == ["CORE_UTILIZATION"]
    assert reference.list_names("r", 2) == ["reset_router", "route_clocks"]
    assert reference.lookup("x" * 10_000) == []


def test_cards_are_values() -> None:
    place = Place("0" * 16, "a.md", "A", ("B",), 0, 4)
    assert place.line == "a.md: A > B"
    assert Message("A-1", "text", "notes", place).name == "A-1"
    assert Variable("A", "", "", "", "notes", place) == Variable("A", "", "", "", "notes", place)
    assert Option("-a", "", "", "", place).synopsis_place is None


def test_the_parts_of_a_row_are_read_as_one_description() -> None:
    sentences = " ".join(f"Sentence {number} says more." for number in range(30))
    table = f"| Option | Description |\n|---|---|\n| `-x` | {sentences} |\n| `-y` | Last. |\n"
    text = f"# Cut\n\n## Cut All\n\n```tcl\ncut_all\n    [-x value]\n```\n\n{table}"
    chunks = chunks_of(text, tokens=40)
    assert sum("`-x`" in chunk.text for chunk in chunks) > 2
    options = command(read_reference(chunks), "cut_all").options
    assert [(option.name, option.description) for option in options] == [
        ("-x", sentences[: len(options[0].description)]),
        ("-y", "Last."),
    ]
    assert len(options[0].description) > 300
