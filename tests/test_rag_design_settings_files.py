"""rag.design.settings_files: sections under their names, with their comments, as they are written."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from rag.design.settings_files import parse_json, parse_settings
from tests.rows import for_each


@for_each(
    ("language", "text", "heading"),
    [
        ("yaml", "# About a.\na b:\n  x: 1\n  y: 2\n", "a b"),
        ("yaml", '# About a.\n"GRT-1":\n  - 1\n  - 2\n', "GRT-1"),
        ("toml", "# About a.\n[a.b]\nx = 1\ny = 2\n", "a.b"),
        ("toml", "; About a.\n[[a]]  # list\nx = 1\ny = 2\n", "a"),
        ("make", "# About a.\na b: c d\n\techo x\n\techo y\n", "a b"),
        ("make", "# About a.\ndefine run\necho x\nendef\n", "run"),
    ],
)
def test_a_section_has_its_name_and_the_comment_above_it(language: str, text: str, heading: str) -> None:
    blocks = parse_settings(text, language).blocks
    assert [(block.kind, block.heading_path) for block in blocks] == [("prose", (heading,)), ("code", (heading,))]
    assert blocks[0].text == "About a."
    assert blocks[1].text.split("\n")[1:-1] == [line.expandtabs(8) for line in text.splitlines()[1:]]


def test_short_settings_stay_together_with_their_comments() -> None:
    text = "# First.\na: 1\n# Second.\nb: 2\n"
    assert [block.text for block in parse_settings(text, "yaml").blocks] == [f"```yaml\n{text.strip()}\n```"]


@for_each("line", ["A := b:c", "A ::= b", "A = b: c", "# a: b", "x: A = 1"])
def test_an_assignment_in_a_makefile_is_not_a_target(line: str) -> None:
    assert [block.heading_path for block in parse_settings(f"{line}\n\techo\n\techo\n", "make").blocks] == [()]


def test_json_shows_numbers_as_they_are_written() -> None:
    [block] = parse_json('{"a": 0.10, "b": 1e-9, "c": 12345678901234567890, "d": "x"}').blocks
    assert block.text.split("\n")[1:-1] == [
        "{",
        '  "a": 0.10,',
        '  "b": 1e-9,',
        '  "c": 12345678901234567890,',
        '  "d": "x"',
        "}",
    ]


def test_json_records_become_a_table_and_what_is_not_json_stays_lines() -> None:
    assert parse_json('[{"a": 1.50, "b": "x"}, {"b": null, "c": true}]').blocks[0].text == (
        "| a | b | c |\n| --- | --- | --- |\n| 1.50 | x |  |\n|  |  | true |"
    )
    assert parse_json('// remark\n{"a": 1}').blocks[0].text == '```json\n// remark\n{"a": 1}\n```'
    assert parse_json("[" * 100_000 + "a").blocks[0].text.endswith("a\n```")


@given(st.text(alphabet="ab:#[]=\n\t ", max_size=200), st.sampled_from(["yaml", "toml", "make"]))
def test_no_word_is_lost(text: str, language: str) -> None:
    shown = "".join(block.text + " ".join(block.heading_path) for block in parse_settings(text, language).blocks)
    assert set("ab") & set(text) <= set(shown)


def test_json_of_very_deep_parts_stays_as_it_is_written() -> None:
    deep = '{"a": ' * 900 + '["' + '", "'.join(["x" * 50] * 200) + '"]' + "}" * 900
    text = "\n".join(block.text for block in parse_json(deep).blocks)
    assert len(text) < 2 * len(deep)
    assert deep in text
    shallow = parse_json(json.dumps({"a": {"b": [{"c": [1, 2, 3]}], "d": {"e": "long " * 20}}})).blocks[0].text
    assert '\n  "d": {\n' in shallow


@for_each(
    "text",
    ['{"flow": "a", "flow": "b"}', '{"a": {"x": 1, "x": 2}}', '[{"a": 1, "a": 2}, {"a": 3}]'],
)
def test_json_with_a_name_twice_keeps_both_values(text: str) -> None:
    [block] = parse_json(text).blocks
    assert block.text == f"```json\n{text}\n```"


LARGE = {f"key{number}": "long " * 5 for number in range(6)}


@for_each(
    ("name", "path"),
    [("flow", ("flow",)), ("two\n  lines", ("two lines",)), ("", ()), ("  ", ()), ("größe", ("größe",))],
)
def test_a_large_part_of_json_stands_under_its_name(name: str, path: tuple[str, ...]) -> None:
    [block] = parse_json(json.dumps({name: LARGE})).blocks
    assert block.heading_path == path
    assert json.loads("\n".join(block.text.split("\n")[1:-1])) == LARGE


def test_small_parts_of_json_stay_together_above_the_large_ones() -> None:
    first, second = parse_json(json.dumps({"large": LARGE, "a": 1, "b": [1, 2], "c": None})).blocks
    assert (first.heading_path, second.heading_path) == ((), ("large",))
    assert json.loads("\n".join(first.text.split("\n")[1:-1])) == {"a": 1, "b": [1, 2], "c": None}


@for_each("text", ["null", "3", '"words"', "[]", "[1, 2]", "true", '{"a": NaN}', "[1, 2"])
def test_json_that_is_not_an_object_is_shown_as_it_is(text: str) -> None:
    [block] = parse_json(text).blocks
    assert "".join(block.text.split()[1:-1]).replace(",", "") == "".join(text.split()).replace(",", "")


@for_each(
    ("records", "kind"),
    [
        ([{"a": 1}, {"b": 2}], "table"),
        ([{"a": 1}], "code"),  # one record is no list of them
        ([{"a": 1}, {}], "code"),
        ([{"a": 1}, {"a": [2]}], "code"),
        ([{f"c{number}": 1 for number in range(51)}] * 2, "code"),
    ],
)
def test_only_equal_flat_records_are_a_table(records: list[dict[str, object]], kind: str) -> None:
    assert [block.kind for block in parse_json(json.dumps(records)).blocks] == [kind]


VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text('aä"\\ |', max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab ", max_size=3), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from(["flow", "top", "x"]), VALUE, min_size=1))
def test_code_of_json_is_json_again(value: dict[str, object]) -> None:
    found: dict[str, object] = {}
    for block in parse_json(json.dumps(value)).blocks:
        if block.kind == "table":
            return
        part = json.loads("\n".join(block.text.split("\n")[1:-1]))
        found |= {block.heading_path[0]: part} if block.heading_path else part
    assert found == value


@for_each(
    ("language", "text", "paths"),
    [
        ("yaml", "a:\n  b: 1\n  c: 2\nd: 3\n", [("a",), ()]),
        ("yaml", "# Loose.\n\na:\n  b: 1\n  c: 2\n", [(), ("a",)]),
        ("yaml", "größe:\n  b: 1\n  c: 2\n", [("größe",)]),
        ("toml", "x = 1\n[a]\nb = 1\nc = 2\n[b]\nd = 1\ne = 2\n# end\n", [(), ("a",), ("b",)]),
        ("toml", '["a.b"]\nx = 1\ny = 2\n', [("a.b",)]),
        ("make", "all: a\n\tx\n\ty\nclean::\n\trm x\n\trm y\n", [("all",), ("clean",)]),
        ("make", ".PHONY: all\nall: a\n\tx\n\ty\n", [(), ("all",)]),
        ("make", "%.o: %.c\n\tcc\n\tld\n", [("%.o",)]),
        ("yaml", "", []),
        ("toml", "\n\n# ---\n", []),
    ],
)
def test_sections_are_parted_where_they_begin(language: str, text: str, paths: list[tuple[str, ...]]) -> None:
    assert [block.heading_path for block in parse_settings(text, language).blocks] == paths


@for_each("end", ["\r\n", "\r"])
def test_ends_of_lines_of_other_systems_part_settings_too(end: str) -> None:
    text = "# About a.\na:\n  b: 1\n  c: 2\n"
    assert parse_settings(text.replace("\n", end), "yaml") == parse_settings(text, "yaml")
