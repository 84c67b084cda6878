"""rag.training.training_pairs: what is asked for a passage, and which pairs make a step."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.documents import Chunk, Document, make_chunk
from rag.errors import QuestionsUnusable
from rag.training.examples import Example
from rag.training.training_pairs import (
    ANSWER,
    HEADING,
    HIDDEN_SENTENCE,
    NEAR_MISS,
    NEAR_MISSES,
    QUESTION,
    SENTENCE,
    Pair,
    draw_batch,
    drop_known,
    find_near_misses,
    find_sentences,
    pairs_of_answers,
    pairs_of_documents,
    pairs_of_questions,
    read_answers,
    read_feedback,
)

TEXT = (
    "Hold buffers are placed close to the endpoint of the path. They cost area and power in every corner.\n\n| option |"
    " meaning |"
)


def a_chunk(path: str, position: int, text: str = TEXT, headings: tuple[str, ...] = ("Timing", "Hold repair")) -> Chunk:
    return make_chunk(Document("notes", path, "Timing", "", None, "ISC"), headings, text, position)


def chunks_of(documents: int, each: int) -> list[Chunk]:
    texts = (
        (name, number, f"Passage {number} of document {name} is about cells. {TEXT}")
        for name in range(documents)
        for number in range(each)
    )
    return [a_chunk(f"{name}.md", number, text) for name, number, text in texts]


def test_sentences_are_prose_of_six_to_forty_words() -> None:
    assert find_sentences(TEXT) == [
        "Hold buffers are placed close to the endpoint of the path.",
        "They cost area and power in every corner.",
    ]
    assert find_sentences("Too short here. - a list item of more than six words. " + "word " * 41) == []


def test_a_chunk_is_asked_for_by_its_heading_and_by_two_of_its_sentences() -> None:
    pairs = pairs_of_documents([a_chunk("a.md", 0), a_chunk("b.md", 0, "Only code.", ())])
    assert {pair.row for pair in pairs} == {0}
    assert Counter(pair.kind for pair in pairs) == {HEADING: 1, SENTENCE: 2}
    assert next(pair.question for pair in pairs if pair.kind == HEADING) in ("Hold repair", "Hold repair Timing")


def test_most_passages_do_not_hold_the_sentence_that_asks_for_them() -> None:
    chunk = a_chunk("a.md", 0)
    pair = Pair("They cost area and power in every corner.", chunk, 0, SENTENCE)
    passages = [pair.passage(random.Random(seed)) for seed in range(400)]
    assert sum(pair.question not in passage for passage in passages) / 400 == pytest.approx(HIDDEN_SENTENCE, abs=0.06)
    assert all(passage.startswith("Timing > Hold repair\n") and "Hold buffers" in passage for passage in passages)


def test_a_heading_that_asks_is_mostly_not_above_its_passage() -> None:
    passages = [Pair("Hold repair", a_chunk("a.md", 0), 0, HEADING).passage(random.Random(seed)) for seed in range(400)]
    assert 0.6 < sum(passage.startswith("Timing\n") for passage in passages) / 400 < 0.8


def test_a_question_goes_with_the_passage_that_holds_its_answer() -> None:
    chunks = [
        a_chunk("a.md", 0),
        a_chunk("b.md", 0, "Antenna diodes are inserted by repair_antennas after global routing of the nets."),
    ]
    answers = [
        ("How do I get rid of antenna violations?", "The command repair_antennas inserts diodes after global routing."),
        ("How do I bake a cake?", "Flour, sugar, butter and eggs are mixed and baked."),
        ("Which command?", "repair_antennas"),  # too few terms to decide
    ]
    [pair] = pairs_of_answers(answers, chunks)
    assert (pair.question, pair.row, pair.kind) == (answers[0][0], 1, ANSWER)


def test_answers_are_read_from_tables_lines_and_folders(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        '\ufeffPrompts,Answers\n"Why, though?","Because of\ntwo lines"\nempty,\n', encoding="utf-8"
    )
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "b.jsonl").write_text(
        json.dumps({"question": "q", "answer": "a"}) + "\n\n", encoding="utf-8"
    )
    (tmp_path / "notes.txt").write_text("no answers", encoding="utf-8")
    assert read_answers(tmp_path) == [("Why, though?", "Because of\ntwo lines"), ("q", "a")]


@pytest.mark.parametrize(
    ("name", "text"), [("a.jsonl", '{"question": "q"}'), ("b.jsonl", "no JSON"), ("c.jsonl", "[]")]
)
def test_files_without_answers_are_named(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(QuestionsUnusable, match=f"{name} holds no questions with answers"):
        read_answers(tmp_path / name)
    with pytest.raises(QuestionsUnusable, match=r"missing\.csv"):
        read_answers(tmp_path / "missing.csv")


def test_pairs_that_nearly_ask_what_is_measured_are_dropped() -> None:
    chunk = a_chunk("a.md", 0)
    pairs = [
        Pair(text, chunk, 0, ANSWER)
        for text in ("How do I repair hold violations after CTS?", "How do I draw a power grid?")
    ]
    assert [
        pair.question for pair in drop_known(pairs, ["How can I repair the hold violations after CTS?", "..."])
    ] == [pairs[1].question]
    assert drop_known(pairs, []) == pairs


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 60))
def test_the_pairs_of_a_step_are_of_different_passages_and_follow_from_its_number(step: int, size: int) -> None:
    pairs = pairs_of_documents(chunks_of(6, 5))
    batch = draw_batch(pairs, step, size, seed=3)
    assert len({pair.row for pair in batch}) == len(batch) == min(size, 30)
    assert draw_batch(pairs, step, size, seed=3) == batch


def test_every_second_pair_is_of_the_document_of_the_one_before() -> None:
    batch = draw_batch(pairs_of_documents(chunks_of(40, 5)), 0, 20, seed=0)
    beside = [left.chunk.path == right.chunk.path for left, right in zip(batch[::2], batch[1::2], strict=True)]
    assert sum(beside) >= 8
    assert draw_batch(pairs_of_documents(chunks_of(40, 5)), 1, 20, seed=0) != batch


def test_most_pairs_of_a_step_are_questions_that_people_ask() -> None:
    chunks = chunks_of(10, 5)
    asked = [Pair(f"What costs area in {row}?", chunks[row], row, QUESTION) for row in range(30)]
    batch = draw_batch([*pairs_of_documents(chunks), *asked], 0, 20, seed=0)
    assert Counter(pair.kind == QUESTION for pair in batch) == {True: 14, False: 6}
    assert {pair.kind for pair in draw_batch(asked, 0, 20, seed=0)} == {QUESTION}
    few = draw_batch([*pairs_of_documents(chunks), *asked[:3]], 0, 20, seed=0)
    assert len({pair.row for pair in few}) == 20


def test_near_misses_share_the_words_of_a_question_and_do_not_answer_it() -> None:
    chunks = [a_chunk(f"{row}.md", 0, f"Hold buffers cost area, says report {row}.") for row in range(9)]
    chunks.append(a_chunk("far.md", 0, "Antennas are another matter.", ("Routing",)))
    pairs = [Pair("What do hold buffers cost?", chunks[row], row, QUESTION) for row in (2, 5)]
    near = find_near_misses([*pairs, Pair("Routing", chunks[9], 9, HEADING)], chunks)
    assert list(near) == ["What do hold buffers cost?"]
    found = near["What do hold buffers cost?"]
    assert len(found) == NEAR_MISSES
    assert not {2, 5, 9}.intersection(pair.row for pair in found)
    assert {pair.kind for pair in found} == {NEAR_MISS}
    assert "says report" in found[0].passage(random.Random(0))


def test_a_question_goes_with_every_chunk_that_holds_what_answers_it() -> None:
    chunks = [a_chunk("a.md", 0), a_chunk("b.md", 0), a_chunk("b.md", 1, "They cost area. Nothing else is said of it.")]
    asked = Example(
        "What do hold buffers cost?",
        begins={("notes", "b.md"): ("They cost area",)},
        also={("notes", "c.md"): ("They",)},
    )
    pairs = pairs_of_questions([asked, Example("What colour are they?")], chunks)
    assert [(pair.question, pair.row, pair.kind) for pair in pairs] == [
        (asked.question, row, QUESTION) for row in (1, 2)
    ]


def test_of_feedback_corrections_and_answers_that_were_right_are_read(tmp_path: Path) -> None:
    path = tmp_path / "feedback.jsonl"
    rows = [
        {"answer_id": "a", "rating": "down", "question": "Q1", "answer": "wrong", "correction": "Right."},
        {
            "answer_id": "b",
            "rating": "up",
            "question": "Q2",
            "answer": "Right [1], in `a[2]` too [2, 3].",
            "said": "now",
        },
        {"answer_id": "c", "rating": "up", "question": "Q3", "answer": "meant", "correction": "Better [4]."},
        {"answer_id": "d", "rating": "down", "question": "Q4", "answer": "wrong"},
        {"answer_id": "e", "rating": "up", "answer": "to what?"},
        {"answer_id": "f", "rating": "up", "question": None, "answer": None, "correction": None, "reason": None},
    ]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n", encoding="utf-8")
    assert read_feedback(path) == [("Q1", "Right."), ("Q2", "Right, in `a[2]` too."), ("Q3", "Better.")]


@pytest.mark.parametrize("line", ["{", "[]", '{"rating": "up"}', '{"answer_id": 1, "rating": "up"}', "\ud800"])
def test_what_is_not_feedback_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "feedback.jsonl"
    path.write_text(line, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(QuestionsUnusable, match=r"feedback\.jsonl holds no feedback.*chipalign store feedback"):
        read_feedback(path)
