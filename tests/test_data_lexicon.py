"""data/lexicon.csv: enough groups, sorted, in ASCII, no phrase twice in a field, and what it says of some words."""

from __future__ import annotations

import csv
from collections import Counter

import pytest

from rag.index.bm25 import STOP_WORDS
from rag.words.lexicon import open_lexicon
from rag.words.lexicon_file import FIELDS, LEXICON_FILE, SEPARATOR, read_groups
from rag.words.phrases import phrase_key

GROUPS = read_groups(LEXICON_FILE)
PHRASES = [(group.field, phrase) for group in GROUPS for phrase in (*group.manual, *group.said)]


def test_there_are_at_least_six_hundred_groups_and_some_of_every_field() -> None:
    counted = Counter(group.field for group in GROUPS)
    assert len(GROUPS) >= 600
    assert counted.keys() == FIELDS.keys()
    assert min(counted.values()) >= 20


def test_the_file_is_sorted_and_in_plain_ascii() -> None:
    text = LEXICON_FILE.read_text(encoding="ascii")
    rows = list(csv.reader(text.splitlines()))[1:]
    assert rows == sorted(rows)
    assert all(
        cell == f"{SEPARATOR} ".join(part.strip() for part in cell.split(SEPARATOR)) for row in rows for cell in row
    )


def test_every_group_has_words_of_engineers_and_of_manuals() -> None:
    assert [group.manual for group in GROUPS if not group.said or not group.manual] == []


def test_no_phrase_stands_twice_in_a_field() -> None:
    counted = Counter((field, phrase_key(phrase)) for field, phrase in PHRASES)
    assert [one for one, times in counted.items() if times > 1] == []


def test_no_phrase_is_one_of_the_commonest_words_or_longer_than_a_clause() -> None:
    assert [phrase for _, phrase in PHRASES if phrase.lower() in STOP_WORDS] == []
    assert max(len(phrase.split()) for _, phrase in PHRASES) <= 8


def test_the_words_of_a_field_are_in_lower_case() -> None:
    assert [words for words in FIELDS.values() if words != words.lower()] == []


@pytest.mark.parametrize(
    ("question", "manual"),
    [
        ("there is a race after the clock tree", "hold violation"),
        ("how is the wiring done", "routing"),
        ("keep cells away from a hard block", "macro"),
        ("which hard IP is there", "macro"),
        ("where do I read the dotlib", "liberty"),
        ("squeeze the module", "area recovery"),
        ("netlist surgery by hand", "engineering change order"),
    ],
)
def test_words_of_engineers_lead_to_those_of_manuals(question: str, manual: str) -> None:
    uses = open_lexicon().find(question)
    assert manual in {group.manual[0] for use in uses for group in use.groups}
