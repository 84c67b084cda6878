"""rag.design.settings_files: sections under their names, with their comments, as they are written."""

from __future__ import annotations

import json

from hypothesis import given
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
def test_an_assignment_in_a_makefile_is_no_target(line: str) -> None:
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


def test_json_records_become_a_table_and_what_is_no_json_stays_lines() -> None:
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
