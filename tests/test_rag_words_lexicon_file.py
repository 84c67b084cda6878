"""rag.words.lexicon_file: groups of a CSV file as they are written, and every mistake as a sentence with its line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.errors import LexiconUnusable
from rag.words.lexicon_file import FIELDS, LEXICON_FILE, Group, parse_groups, read_groups, read_lexicon_files
from tests.rows import for_each

HEAD = "field,manual,said\n"


@for_each(
    ("row", "group"),
    [
        ("timing,hold check,race", Group("timing", ("hold check",), ("race",))),
        (
            "timing, hold check ; hold ,race?;x",
            Group("timing", ("hold check", "hold"), ("race", "x"), frozenset({"race"})),
        ),
        ("timing,a;;b;,", Group("timing", ("a", "b"), ())),
        ("timing,hold check,race,a note,and more", Group("timing", ("hold check",), ("race",))),
        ('timing,"hold, check",race', Group("timing", ("hold, check",), ("race",))),
        ("timing,größe,µ-Weite", Group("timing", ("größe",), ("µ-Weite",))),
        ("timing,a?,b ?", Group("timing", ("a",), ("b",), frozenset({"a", "b"}))),
    ],
)
def test_a_row_is_a_group(row: str, group: Group) -> None:
    assert parse_groups(HEAD + row, "own.csv") == [group]


@for_each("end", ["\n", "\r\n", "\r"])
def test_ends_of_lines_blank_rows_and_the_case_of_the_header_do_not_matter(end: str) -> None:
    text = f"Field, MANUAL,said,note{end}{end},,{end}timing,a,b{end}"
    assert parse_groups(text, "own.csv") == [Group("timing", ("a",), ("b",))]
    assert parse_groups(HEAD, "own.csv") == []


@for_each(
    ("text", "said"),
    [
        ("", "own.csv, line 1: a lexicon is CSV and begins with the columns field,manual,said; write them there"),
        ("field;manual;said\n", "line 1: a lexicon is CSV and begins with the columns"),
        ("manual,field,said\n", "line 1: a lexicon is CSV and begins with the columns"),
        (HEAD + "timing,a", "line 2: 2 columns instead of field,manual,said; add what is missing"),
        (HEAD + "\ntimes,a,b", "line 3: 'times' is not a field; the fields are analog, computing"),
        (HEAD + "Timing,a,b", "line 2: 'Timing' is not a field"),
        (HEAD + "timing,,b", "needs a phrase of the manual's and another one, and here is 'b'"),
        (HEAD + "timing,a,", "needs a phrase of the manual's and another one, and here is 'a'"),
        (HEAD + "timing,;,?", "the manual's and another one, and here is ''"),
        (HEAD + "timing,a,---", "the phrase '---' has neither letters nor digits; remove it"),
        (
            HEAD + "timing,a,b\ntiming,c,the b",
            "line 3: 'the b' stands in line 2 too, in the same field; make one group",
        ),
        (HEAD + 'timing,"a,b\n', "not CSV"),
        (HEAD + 'timing,"a"x,b\n', "line 2: not CSV"),
    ],
)
def test_a_mistake_is_said_with_its_line_and_what_to_do(text: str, said: str) -> None:
    with pytest.raises(LexiconUnusable) as caught:
        parse_groups(text, "own.csv")
    assert said in str(caught.value)
    assert str(caught.value).startswith("own.csv, ")


@for_each(("count", "tail"), [(1, "verification"), (3, "verification"), (4, "; and 1 more"), (10, "; and 7 more")])
def test_of_many_mistakes_three_are_shown(count: int, tail: str) -> None:
    with pytest.raises(LexiconUnusable) as caught:
        parse_groups(HEAD + "".join(f"times,a{number},b\n" for number in range(count)), "own.csv")
    assert str(caught.value).endswith(tail)
    assert str(caught.value).count("is not a field") == min(count, 3)


def test_one_phrase_may_stand_in_two_fields_and_twice_in_its_group() -> None:
    groups = parse_groups(f"{HEAD}timing,margin,slack\nrouting,space,margin; margins\n", "own.csv")
    assert [group.field for group in groups] == ["timing", "routing"]


def test_our_own_file_is_right_and_a_companys_comes_behind_it(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("\ufeff" + HEAD + "timing,a,b\n", encoding="utf-8")
    (tmp_path / "two.csv").write_text(HEAD + "general,c,d\n", encoding="utf-8")
    names = os.pathsep.join(["", f" {tmp_path / 'one.csv'} ", str(tmp_path / "two.csv"), " "])
    ours = read_lexicon_files("")
    assert ours == read_groups(LEXICON_FILE)
    assert read_lexicon_files(names)[-2:] == [Group("timing", ("a",), ("b",)), Group("general", ("c",), ("d",))]
    assert {group.field for group in ours} <= FIELDS.keys()


@for_each(("content", "reason"), [(b"\xff\xfeabc", "it is not UTF-8 text"), (None, "No such file or directory")])
def test_a_file_that_cannot_be_read_names_the_setting(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "own.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LexiconUnusable) as caught:
        read_groups(path)
    assert str(caught.value).startswith(
        f"the lexicon {path} cannot be read ({reason}): name CSV files in CHIPALIGN_LEX"
    )


PHRASE = st.sampled_from(["hold", "race", "setup check", "late data", "vague?", "µm", "turn it off", "clk_gate", "R&D"])


@settings(max_examples=50)
@given(st.lists(PHRASE, min_size=1, max_size=3, unique=True), st.lists(PHRASE, min_size=1, max_size=3, unique=True))
def test_what_is_written_is_read(manual: list[str], said: list[str]) -> None:
    [group] = parse_groups(f"{HEAD}general,{';'.join(manual)},{' ; '.join(said)}\n", "own.csv")
    assert list(group.manual) == [phrase.rstrip("?") for phrase in manual]
    assert list(group.said) == [phrase.rstrip("?") for phrase in said]
    assert group.vague == ({"vague"} if "vague?" in (*manual, *said) else set())
