"""rag.reference.usages: options of usage texts, paragraphs and lists, with what they do and their lines."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from rag.reference.usages import LONGEST_LINE, Usage, read_definition, read_items, read_usage
from tests.rows import for_each


def plain(*names: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, "") for name in names)


@for_each(
    ("lines", "found"),
    [
        ([], []),
        ([""], []),
        (["-a"], []),
        (["word", "-a  Does a."], [Usage(plain("-a"), "Does a.", 1, 1)]),
        (["-a\tDoes a."], [Usage(plain("-a"), "Does a.", 0, 0)]),
        (
            ["  -t, --top <module>", "        use it"],
            [Usage((("-t", "<module>"), ("--top", "<module>")), "use it", 0, 1)],
        ),
        (["-a", "-b  Does both."], [Usage(plain("-a", "-b"), "Does both.", 0, 1)]),
        (["-a", "other", "-b  Does b."], [Usage(plain("-b"), "Does b.", 2, 2)]),
        (["-a  First", "", "   and more.", "", "end"], [Usage(plain("-a"), "First and more.", 0, 2)]),
        (["-a  One.", "-b  Two."], [Usage(plain("-a"), "One.", 0, 0), Usage(plain("-b"), "Two.", 1, 1)]),
        (["`--x=<n>`  Sets x."], [Usage((("--x", "<n>"),), "Sets x.", 0, 0)]),
        (["-1  is a number", "- a  is an item"], []),
    ],
)
def test_an_option_begins_a_line_and_its_description_stands_beside_or_below(
    lines: list[str], found: list[Usage]
) -> None:
    assert read_usage(lines) == found


def test_a_very_long_line_begins_no_option() -> None:
    line = f"-a  {'x' * (LONGEST_LINE - 4)}"
    assert read_usage([line])
    assert read_usage([f"{line}x"]) == []


@for_each(
    ("item", "names", "description"),
    [
        ("- `-hold`: Repairs.", (("-hold", ""),), "Repairs."),
        ("* `-hold` Repairs.", (("-hold", ""),), "Repairs."),
        ("1. `-hold N` - Repairs.", (("-hold", "N"),), "Repairs."),
        ("2) -hold: Repairs.", (("-hold", ""),), "Repairs."),
        ("- **-hold** - Repairs.", (("-hold", ""),), "Repairs."),
        ("- **-hold**: Repairs.", (("-hold", ""),), "Repairs."),
        ("- **`-hold`** \u2014 Repairs.", (("-hold", ""),), "Repairs."),
        ("\u2022 +incdir: Adds.", (("+incdir", ""),), "Adds."),
        ("- -width=<n>: Sets.", (("-width", "<n>"),), "Sets."),
        ("- `-t`, `--top <cell>`: Names it.", (("-t", "<cell>"), ("--top", "<cell>")), "Names it."),
        ("- **`-a`**, **`--all`** - Repairs all.", (("-a", ""), ("--all", "")), "Repairs all."),
        ("- `-a` or `-b` repairs.", (("-a", ""), ("-b", "")), "repairs."),
    ],
)
def test_an_item_begins_with_its_option_in_any_form(
    item: str, names: tuple[tuple[str, str], ...], description: str
) -> None:
    assert read_items([item]) == [Usage(names, description, 0, 0)]


@for_each("item", ["- words", "- `-hold`", "- `hold`: Repairs.", "- -hold repairs it", "-hold: Repairs.", ""])
def test_an_item_of_another_kind_is_skipped(item: str) -> None:
    assert read_items([item]) == []


def test_each_item_knows_its_lines_and_words_before_the_first_belong_to_none() -> None:
    lines = ["Lead.", "- `-a`: One", "  and more.", "- words", "- `-b`: Two."]
    assert read_items(lines) == [Usage(plain("-a"), "One and more.", 1, 2), Usage(plain("-b"), "Two.", 4, 4)]


@for_each(
    ("lines", "found"),
    [
        (["`-hold`: Repairs."], [Usage(plain("-hold"), "Repairs.", 0, 0)]),
        (["`-hold` - Repairs", "  hold."], [Usage(plain("-hold"), "Repairs hold.", 0, 1)]),
        (["**`-a`**: Does a."], [Usage(plain("-a"), "Does a.", 0, 0)]),
        (["`-hold` repairs it."], []),  # a sentence that begins with an option
        (["`hold`: Repairs."], []),
        ([f"`-hold`: {'x' * 4 * LONGEST_LINE}"], []),
        ([], []),
    ],
)
def test_a_paragraph_defines_an_option_where_it_says_so(lines: list[str], found: list[Usage]) -> None:
    assert read_definition(lines) == found


OPTION = st.from_regex(r"-{1,2}[a-z][a-z_]{0,8}", fullmatch=True)
WORDS = st.lists(st.sampled_from(["routes", "the", "net", "`x`", "at 5 um"]), min_size=1, max_size=4).map(" ".join)


@settings(max_examples=50)
@given(st.lists(st.tuples(OPTION, WORDS, st.integers(0, 2)), min_size=1, max_size=5))
def test_a_usage_text_and_a_list_of_the_same_options_say_the_same(options: list[tuple[str, str, int]]) -> None:
    usage, items = list[str](), list[str]()
    for name, words, more in options:
        usage += [f"  {name}  {words.replace('`', '')}", *["      more"] * more]
        items += [f"- `{name}`: {words.replace('`', '')}", *["  more"] * more]
    assert read_usage(usage) == read_items(items)
    assert [(found.names[0][0], found.last - found.first) for found in read_usage(usage)] == [
        (name, more) for name, _, more in options
    ]
