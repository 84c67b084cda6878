"""JSON of strangers: read as the standard has it, in bounded time and memory, and only what can be written again."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.strict_json import MAX_DEPTH, read_json, write_json
from tests.rows import for_each

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
)


@given(JSON, st.booleans())
def test_what_is_json_is_read_as_it_is(value: object, ascii_only: bool) -> None:
    assert read_json(json.dumps(value, ensure_ascii=ascii_only), most_values=10_000) == value
    assert read_json(write_json(value).decode(), most_values=10_000) == value


@for_each(
    "text",
    ["NaN", "[Infinity]", '{"a": -Infinity}', "1e999", "[-1e999]", "9" * 5000, "", "{", "[1,]", "'a'", '"\\ud800"'],
)
def test_what_is_not_json_or_cannot_be_written_again_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_json(text, most_values=10)


def test_half_an_emoji_is_named() -> None:
    with pytest.raises(ValueError, match=r"^it holds \\ud83d, half of a character"):
        read_json('{"a": "cut \\ud83d"}', most_values=10)


def test_half_an_emoji_becomes_a_question_mark_where_that_is_asked_for() -> None:
    assert read_json('{"a": "\\ud83d", "b": "\\ud83d\\ude00"}', most_values=10, surrogates="replace") == {
        "a": "?",
        "b": "😀",
    }


def test_depth_and_number_of_values_are_counted_outside_of_strings_alone() -> None:
    text = '"' + '[{,\\"' * 1000 + '"'
    assert read_json(f"[{text}]", most_values=10) == [json.loads(text)]
    assert read_json("[" * MAX_DEPTH + "]" * MAX_DEPTH, most_values=MAX_DEPTH)
    with pytest.raises(ValueError, match="nested too deeply"):
        read_json("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), most_values=1000)
    with pytest.raises(ValueError, match="more than 99 values"):
        read_json("[" + "0," * 100 + "0]", most_values=99)


@for_each("piece", ['\\"', "\\", '"', '","', "[", "{},[[],", "9", "\\ud800"])
def test_a_text_of_eight_mebibytes_costs_time_in_proportion(piece: str) -> None:
    text = "[" + "0," * MAX_DEPTH + '"' + piece * (2**23 // len(piece))
    with pytest.raises(ValueError, match=r"."):
        read_json(text, most_values=1000)
