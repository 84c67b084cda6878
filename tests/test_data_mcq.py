"""data/eval/mcq.jsonl: multiple-choice chip questions are well-formed, proved by their source, and not to be guessed
from their form.

The words that prove an answer are looked up in the handbook. The pinned corpora are not in the repository, so of
evidence from them only the form is checked: a corpus with a permissive licence, and a path that it selects.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from rag.blocks import MAX_HEADING_CHARACTERS, Parsed
from rag.formats.parser import parse
from rag.sources.corpus import load_sources
from tests.rows import for_each

ROOT = Path(__file__).parent.parent
ROWS: list[dict[str, Any]] = [
    json.loads(line) for line in (ROOT / "data" / "eval" / "mcq.jsonl").read_text(encoding="utf-8").splitlines()
]
DOMAINS = ("scripts", "bugs", "circuits", "flow")
PERMISSIVE = ("BSD-3-Clause", "ISC")  # text from which a shipped adapter may be trained
GUESSED = 0.35  # most that a guess by the form of the choices may reach; chance is 0.25
SAME_QUESTION = 0.8  # Jaccard similarity of words above which two questions count as one
COPIED_WORDS = 7  # a run of so many words that stands in the source as well is not a wording of ours

Pick = Callable[[dict[str, Any]], list[int]]  # the choices among which a baseline guesses evenly


def fold(text: str) -> str:
    """One line, with single spaces."""
    return " ".join(text.split())


def plain(text: str) -> str:
    """Folded, without the backticks and table bars that a parser may leave out."""
    return fold(re.sub(r"[`|]", " ", text))


def words(text: str) -> list[str]:
    """Words in lower case, in order."""
    return re.findall(r"[a-z0-9_]+", text.lower())


def overlap(left: str, right: str) -> float:
    """Jaccard similarity of two texts' sets of words, 0 to 1."""
    a, b = set(words(left)), set(words(right))
    return len(a & b) / len(a | b)


def runs(text: str, length: int) -> set[tuple[str, ...]]:
    """All runs of `length` words in a text."""
    listed = words(text)
    return {tuple(listed[start : start + length]) for start in range(len(listed) - length + 1)}


def by_length(choose: Callable[[list[int]], int]) -> Pick:
    """The baseline that picks a longest (`choose` = max) or shortest (min) choice, counted in characters."""

    def pick(row: dict[str, Any]) -> list[int]:
        """Positions of the choices with the chosen length."""
        lengths = [len(choice) for choice in row["choices"]]
        return [position for position, length in enumerate(lengths) if length == choose(lengths)]

    return pick


def by_shared_words(row: dict[str, Any]) -> list[int]:
    """The baseline that picks a choice with most words of the question in it."""
    shared = [len(set(words(choice)) & set(words(row["question"]))) for choice in row["choices"]]
    return [position for position, count in enumerate(shared) if count == max(shared)]


def accuracy(rows: list[dict[str, Any]], pick: Pick) -> float:
    """Expected share of right answers of a baseline that guesses evenly among what it picks."""
    return sum((row["answer"] in pick(row)) / len(pick(row)) for row in rows) / len(rows)


def of_domain(domain: str) -> list[dict[str, Any]]:
    """The questions of one domain."""
    return [row for row in ROWS if row["domain"] == domain]


def in_handbook() -> list[dict[str, Any]]:
    """The questions whose source is an article of the handbook."""
    return [row for row in ROWS if row["source"]["document"].startswith("handbook/")]


def handbook_text(document: str) -> str:
    """An article of the handbook as it stands in the file."""
    return (ROOT / "data" / document).read_text(encoding="utf-8")


@cache
def read_article(document: str) -> Parsed:
    """An article of the handbook as the real parser sees it."""
    return parse(document.removeprefix("handbook/"), handbook_text(document))


def section_text(document: str, heading: str) -> str:
    """The text under a heading, with the sections in it; under the title, what stands before the first heading."""
    article = read_article(document)
    blocks = [block for block in article.blocks if heading in (block.heading_path or (article.title,))]
    return "\n".join(block.text for block in blocks)


def test_rows_have_exactly_the_keys_in_order() -> None:
    for row in ROWS:
        assert list(row) == ["id", "domain", "question", "choices", "answer", "source"], row
        assert list(row["source"]) == ["document", "heading", "evidence"], row
        assert row["domain"] in DOMAINS
        assert row["answer"] in range(4)


def test_ids_count_the_questions() -> None:
    assert [row["id"] for row in ROWS] == [f"mcq-{number:03d}" for number in range(1, len(ROWS) + 1)]


def test_each_domain_has_enough_questions() -> None:
    counts = Counter(row["domain"] for row in ROWS)
    assert {domain: counts[domain] >= 52 for domain in DOMAINS} == dict.fromkeys(DOMAINS, True)


def test_questions_and_choices_are_one_trimmed_line_of_readable_length() -> None:
    for row in ROWS:
        assert row["question"] == fold(row["question"])
        assert 20 <= len(row["question"]) <= 250
        assert row["question"].endswith("?")
        for choice in row["choices"]:
            assert choice == fold(choice)
            assert 1 <= len(choice) <= 90


def test_four_distinct_choices_none_of_which_names_the_others() -> None:
    for row in ROWS:
        assert len({choice.lower() for choice in row["choices"]}) == len(row["choices"]) == 4, row["question"]
        assert not [
            choice
            for choice in row["choices"]
            if re.search(r"\b(all|none|both|any) of the (above|others)\b", choice.lower())
        ]


def test_choices_of_a_question_end_alike() -> None:
    for row in ROWS:
        assert {choice.endswith(".") for choice in row["choices"]} == {False}, row["question"]


@for_each("domain", DOMAINS)
def test_right_answers_are_spread_over_the_positions(domain: str) -> None:
    for rows in (ROWS, of_domain(domain)):
        shares = [sum(row["answer"] == position for row in rows) / len(rows) for position in range(4)]
        assert min(shares) >= 0.22
        assert max(shares) <= 0.28


@for_each("domain", DOMAINS)
@for_each("pick", [by_length(max), by_length(min), by_shared_words])
def test_the_form_of_the_choices_does_not_reveal_the_answer(domain: str, pick: Pick) -> None:
    assert accuracy(ROWS, pick) < GUESSED
    assert accuracy(of_domain(domain), pick) < GUESSED


def test_the_right_choice_is_rarely_the_longest_even_where_ties_count() -> None:
    assert sum(row["answer"] in by_length(max)(row) for row in ROWS) / len(ROWS) <= 0.30


def test_baselines_share_a_tie_evenly() -> None:
    rows = [
        {"question": "Which one?", "choices": ["one", "two", "ten", "seven"], "answer": answer} for answer in range(4)
    ]
    assert by_length(min)(rows[0]) == [0, 1, 2]
    assert by_shared_words(rows[0]) == [0]
    assert accuracy(rows[:1], by_length(min)) == pytest.approx(1 / 3)
    assert accuracy(rows, by_length(max)) == 0.25


def test_few_questions_are_put_in_the_negative() -> None:
    negative = [row["question"] for row in ROWS if re.search(r"\bnot\b[^.?]*\?$", row["question"])]
    assert len(negative) <= 0.05 * len(ROWS)


def test_no_question_is_asked_twice() -> None:
    assert len({row["question"] for row in ROWS}) == len(ROWS)
    pairs = combinations([row["question"] for row in ROWS], 2)
    assert [(left, right) for left, right in pairs if overlap(left, right) > SAME_QUESTION] == []


def test_a_reworded_copy_counts_as_the_same_question() -> None:
    assert (
        overlap(
            "In which unit is the delay target of `abc -D 2000` in Yosys?",
            "In which unit is the delay target of Yosys' `abc -D 900`?",
        )
        < 1
    )
    # Short questions differ in a word soon
    assert overlap("What does an IDDQ test measure?", "what does the IDDQ test measure") < SAME_QUESTION
    assert (
        overlap("What does a plain IDDQ test measure on a chip?", "what does plain IDDQ test measure on a chip")
        > SAME_QUESTION
    )


def test_subjects_are_spread_over_the_documents() -> None:
    sections = Counter((row["source"]["document"], row["source"]["heading"]) for row in ROWS)
    documents = Counter(row["source"]["document"] for row in ROWS)
    assert len(sections) >= 0.5 * len(ROWS)
    assert max(sections.values()) <= 6
    assert len(documents) >= 50
    assert max(documents.values()) <= 0.06 * len(ROWS)


def test_evidence_is_short_and_one_line() -> None:
    for row in ROWS:
        evidence = row["source"]["evidence"]
        assert evidence == fold(evidence)
        assert 1 <= len(evidence.split()) <= 12, evidence


def test_evidence_proves_one_question_only() -> None:
    used = Counter((row["source"]["document"], row["source"]["evidence"]) for row in ROWS)
    assert [key for key, count in used.items() if count > 1] == []


def test_handbook_evidence_stands_in_the_section_word_for_word() -> None:
    for row in in_handbook():
        document, heading, evidence = row["source"].values()
        assert evidence in fold(handbook_text(document)), row["id"]
        article = read_article(document)
        assert heading in {article.title, *(part for block in article.blocks for part in block.heading_path)}, row["id"]
        assert plain(evidence) in plain(section_text(document, heading)), row["id"]


def test_most_questions_can_be_checked_in_the_handbook() -> None:
    assert len(in_handbook()) >= 0.8 * len(ROWS)


def test_other_sources_are_permissive_corpora_and_paths_that_they_select() -> None:
    sources = load_sources()
    for source in (row["source"] for row in ROWS if row not in in_handbook()):
        corpus, path = source["document"].split("/", 1)
        assert sources[corpus].licence in PERMISSIVE, source
        assert sources[corpus].selects(path), source
        assert source["heading"] == fold(source["heading"])
        assert 0 < len(source["heading"]) <= MAX_HEADING_CHARACTERS


def test_questions_and_answers_are_worded_anew() -> None:
    for row in in_handbook():
        text = runs(handbook_text(row["source"]["document"]), COPIED_WORDS)
        for ours in (row["question"], *row["choices"]):
            assert not runs(ours, COPIED_WORDS) & text, row["id"]


def test_a_copied_sentence_is_found() -> None:
    sentence = "This article lists the commands in the order you use them and the mistakes that show up most"
    assert runs(sentence, COPIED_WORDS) & runs(handbook_text("handbook/openroad-commands.md"), COPIED_WORDS)
    assert not runs("in the order you use", COPIED_WORDS)
