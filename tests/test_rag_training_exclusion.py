"""rag.training.exclusion: what nearly asks, or quotes, what a model is measured with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import QuestionsUnusable
from rag.index.bm25 import tokenize
from rag.training.exclusion import NEAR_DUPLICATE, QUOTE_WORDS, LongQuotes, NearQuestions, read_measured
from tests.rows import for_each

WORDS = ("antenna", "hold", "setup", "diode", "buffer", "clock", "the", "of")


def test_a_question_in_other_words_of_the_same_stems_is_near() -> None:
    near = NearQuestions(["Which command repairs antenna violations?"])
    assert near("What command repairs the antenna violation?")
    assert near("which command is repairing antenna violations")
    assert not near("Which command repairs hold violations of a clock domain?")


def test_a_question_without_any_term_is_near_to_nothing() -> None:
    assert not NearQuestions(["What is it?", ""])("What is it?")
    assert not NearQuestions([])("Which command repairs antennas?")


@given(
    st.lists(st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join), max_size=6),
    st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join),
)
def test_only_pairs_with_a_common_term_need_be_compared(asked: list[str], question: str) -> None:
    terms = frozenset(tokenize(question))
    others = [other for text in asked if (other := frozenset(tokenize(text)))]
    expected = any(len(terms & other) / len(terms | other) >= NEAR_DUPLICATE for other in others)
    assert NearQuestions(asked)(question) == expected


def test_ten_thousand_questions_are_compared_with_a_thousand() -> None:
    asked = [f"Which option {number} of command_{number} sets value {number}?" for number in range(1000)]
    near = NearQuestions(asked)
    assert sum(near(f"What does `-x{number}` of tool_{number} do?") for number in range(10_000)) == 0
    assert all(near(question.replace("Which", "What")) for question in asked)


def test_thirteen_words_in_a_row_are_a_quote_whatever_their_case_and_signs() -> None:
    known = " ".join(f"word{number}" for number in range(QUOTE_WORDS + 3))
    quotes = LongQuotes([known])
    thirteen = known.split()[2 : 2 + QUOTE_WORDS]
    assert quotes(f"Before: {', '.join(thirteen).upper()}; after.")
    assert not quotes(" ".join(thirteen[:-1]))
    assert not quotes(" ".join(reversed(thirteen)))


def test_benchmarks_of_all_our_forms_are_read(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    rows = [
        {"question": "Which one?", "choices": ["this", "that one"], "answer": 1},
        {"question": "How?", "answer": "Like this.\\nAnd that."},
        {"question": "Why?", "references": []},
    ]
    path.write_text("\n\n".join(map(json.dumps, rows)), encoding="utf-8")
    measured = read_measured([path])
    assert measured.questions == ("Which one?", "How?", "Why?")
    assert measured.answers == ("that one", "Like this.\nAnd that.")


def test_the_questions_of_this_project_are_read() -> None:
    files = sorted((Path(__file__).parents[1] / "data" / "eval").glob("*.jsonl"))
    rows = [json.loads(line) for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(read_measured(files).questions) == sum(len(row.get("turns", "1")) for row in rows) > 500


def test_both_turns_of_a_conversation_are_measured_with(tmp_path: Path) -> None:
    path = tmp_path / "talks.jsonl"
    path.write_text(
        json.dumps({"turns": [{"user": "Which?", "reference": "That."}, {"user": "And how?", "reference": "So."}]}),
        encoding="utf-8",
    )
    measured = read_measured([path])
    assert (measured.questions, measured.answers) == (("Which?", "And how?"), ("That.", "So."))


def test_an_error_lists_some_lines_and_counts_the_others(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text("{}\n" * 9, encoding="utf-8")
    with pytest.raises(QuestionsUnusable, match=r"line 5 has no .*; and 4 more: give files"):
        read_measured([path])


@for_each(
    "line",
    ["{", "[1]", '{"text": "no question"}', '{"question": 3}', '{"question": "x", "choices": ["a"], "answer": 4}'],
)
def test_a_line_that_is_not_a_question_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(f'{{"question": "Good?"}}\n{line}\n', encoding="utf-8")
    with pytest.raises(QuestionsUnusable, match=r"q\.jsonl, line 2 has no"):
        read_measured([path, tmp_path / "lost.jsonl"])


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(QuestionsUnusable, match=r"lost\.jsonl cannot be read"):
        read_measured([tmp_path / "lost.jsonl"])


@pytest.mark.parametrize("answer", ["-1", "true", "false", "2"])
def test_an_answer_that_numbers_no_choice_is_refused_and_not_counted_from_the_end(tmp_path: Path, answer: str) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(f'{{"question": "Which?", "choices": ["first", "last"], "answer": {answer}}}\n', encoding="utf-8")
    with pytest.raises(QuestionsUnusable, match=r"line 1 has no"):
        read_measured([path])
