"""Pairs of a question and the passage that answers it, made from documents alone and from questions with known answers.

Nobody writes them: a heading asks for its section, a sentence for the passage that it was taken from (the inverse cloze
task; Lee, Chang, Toutanova, "Latent retrieval for weakly supervised open domain question answering", ACL 2019), and a
question goes with the passage that holds the words of its answer. It trains nothing.

    pairs = [*pairs_of_documents(chunks), *pairs_of_answers(read_answers(path), chunks)]
    near = find_near_misses(pairs, chunks)
    batch = draw_batch(pairs, step=0, size=32, seed=0)
"""

from __future__ import annotations

import csv
import json
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import chain
from pathlib import Path

import numpy as np

from rag.answering.citations import keep_markers
from rag.documents import Chunk, describe_place, searchable_text
from rag.errors import QuestionsUnusable, reason_of
from rag.index.bm25 import Bm25Index, best_rows, content_terms, tokenize
from rag.training.examples import AnswerFinder, Example
from rag.training.exclusion import NearQuestions
from rag.typed_json import parse_as

HEADING, SENTENCE, ANSWER, QUESTION, NEAR_MISS = "heading", "sentence", "answer", "question", "near miss"
ASKED = (QUESTION, ANSWER)  # as people ask; headings and sentences are made of the documents
ASKED_SHARE = 0.7  # of a batch, where both kinds are there
NEAR_MISSES = 6  # for each question that people ask
# How often the passage lacks the sentence: otherwise training would only learn to find the same words again
HIDDEN_SENTENCE = 0.9
HIDDEN_HEADING = 0.7  # and the heading
LEAST_TERMS = 4  # of an answer, to find where it stands
LEAST_HELD = 0.5  # of the answer's terms, by the passage that it is ascribed to
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n\n+")
_MARKUP = ("|", "```", "#", "-", "*", "~", ":")  # how tables, code, lists and directives begin


@dataclass(frozen=True, slots=True)
class Pair:
    """A question and the passage to find for it.

    `row` is the chunk's, so that no pair of the same passage counts as a wrong one.
    """

    question: str
    chunk: Chunk
    row: int
    kind: str

    def passage(self, dice: random.Random) -> str:
        """The passage as it is to be found, mostly without the words that were taken from it."""
        place, text = describe_place(self.chunk.title, self.chunk.heading_path), self.chunk.text
        if self.kind == SENTENCE and dice.random() < HIDDEN_SENTENCE:
            text = text.replace(self.question, " ")
        if self.kind == HEADING and dice.random() < HIDDEN_HEADING:
            place = self.chunk.title
        return f"{place}\n{text}"


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A line of kept feedback: an answer, how it was rated, and what it should have been."""

    answer_id: str
    rating: str
    question: str | None = None
    answer: str | None = None
    correction: str | None = None
    reason: str | None = None
    said: str = ""  # when


def pairs_of_documents(chunks: Sequence[Chunk], seed: int = 0) -> list[Pair]:
    """For each chunk its last heading, half the time with the document's title, and two of its sentences."""
    dice, pairs = random.Random(seed), []
    for row, chunk in enumerate(chunks):
        if chunk.heading_path:
            heading = chunk.heading_path[-1]
            with_title = heading != chunk.title and dice.random() < 0.5
            pairs.append(Pair(f"{heading} {chunk.title}" if with_title else heading, chunk, row, HEADING))
        sentences = find_sentences(chunk.text)
        pairs += [Pair(sentence, chunk, row, SENTENCE) for sentence in dice.sample(sentences, min(2, len(sentences)))]
    return pairs


def find_sentences(text: str) -> list[str]:
    """Sentences of prose, of 6 to 40 words."""
    parts = (part.strip() for part in _SENTENCE_END.split(text))
    return [part for part in parts if 6 <= len(part.split()) <= 40 and not part.startswith(_MARKUP)]


def pairs_of_answers(answers: Iterable[tuple[str, str]], chunks: Sequence[Chunk]) -> list[Pair]:
    """Questions with the chunk that BM25 finds best for question and answer.

    Questions whose chunk holds less than half of the answer's terms are left out.
    """
    bm25 = Bm25Index.build(map(searchable_text, chunks))
    pairs = []
    for question, answer in answers:
        row = int(np.argmax(bm25.scores(f"{question} {answer}"))) if chunks else 0
        terms = content_terms(answer)
        if len(terms) >= LEAST_TERMS and len(
            terms.intersection(tokenize(searchable_text(chunks[row])))
        ) >= LEAST_HELD * len(terms):
            pairs.append(Pair(question, chunks[row], row, ANSWER))
    return pairs


def read_answers(path: Path) -> list[tuple[str, str]]:
    """Questions and their answers, of a file or of every .csv and .jsonl file in a folder.

    A .jsonl file has "question" and "answer", a .csv file its first two columns after its first line.

    Raises QuestionsUnusable: a file cannot be read, or a line of it is wrong.
    """
    if path.is_dir():
        return list(
            chain.from_iterable(
                read_answers(file) for file in sorted(path.rglob("*")) if file.suffix in (".csv", ".jsonl")
            )
        )

    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".csv":
            rows = [
                (row[0].strip(), row[1].strip())
                for row in [*csv.reader(StringIO(text, newline=""))][1:]
                if len(row) > 1
            ]
        else:
            rows = [
                (str(row["question"]), str(row["answer"]))
                for row in map(json.loads, filter(str.strip, text.split("\n")))
            ]
    except OSError as error:
        raise QuestionsUnusable(f"{path} cannot be read ({reason_of(error)}): name a file that is there") from None
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise QuestionsUnusable(
            f"{path} holds no questions with answers ({error}): give a .csv of two columns, or a .jsonl"
        ) from None

    return [(question, answer) for question, answer in rows if question and answer]


def read_feedback(path: Path) -> list[tuple[str, str]]:
    """Questions and the answers that people found right, of a file that `chipalign store feedback` wrote.

    That is a correction, or an answer that was rated up, without its citations. Feedback without a question, and an
    answer rated down that nobody corrected, teach nothing.

    Raises QuestionsUnusable: the file cannot be read, or a line of it is not feedback.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        rows = [parse_as(Reviewed, line) for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        raise QuestionsUnusable(
            f"{path} holds no feedback ({error}): give a file that `chipalign store feedback --out FILE` wrote"
        ) from None
    pairs = [(row.question, row.correction or (row.answer if row.rating == "up" else None)) for row in rows]
    return [(question, keep_markers(answer, ())) for question, answer in pairs if question and answer]


def drop_known(pairs: Sequence[Pair], asked: Iterable[str]) -> list[Pair]:
    """The pairs whose question does not nearly ask one of `asked`, by the share of terms that both have.

    Something will be measured with the questions `asked`.
    """
    asks_nearly = NearQuestions(asked)
    return [pair for pair in pairs if not asks_nearly(pair.question)]


def pairs_of_questions(examples: Iterable[Example], chunks: Sequence[Chunk]) -> list[Pair]:
    """Questions with known beginnings of their answering units, each with every chunk that holds such a unit."""
    finder = AnswerFinder(chunks)
    return [Pair(example.question, chunks[row], row, QUESTION) for example in examples for row in finder.rows(example)]


def find_near_misses(pairs: Sequence[Pair], chunks: Sequence[Chunk]) -> dict[str, list[Pair]]:
    """For each question that people ask, the passages that BM25 finds best among those that do not answer it.

    They share its words and are wrong: what a search confuses, and what a batch drawn at random seldom holds (Karpukhin
    et al., "Dense passage retrieval for open-domain question answering", EMNLP 2020).
    """
    bm25 = Bm25Index.build(map(searchable_text, chunks))
    right = answering_rows(pairs)
    near: dict[str, list[Pair]] = {}
    for question in dict.fromkeys(pair.question for pair in pairs if pair.kind in ASKED):
        best = best_rows(bm25.scores(question), NEAR_MISSES + len(right[question]))
        wrong = [row for row in best if row not in right[question]][:NEAR_MISSES]
        near[question] = [Pair(question, chunks[row], row, NEAR_MISS) for row in wrong]
    return near


def answering_rows(pairs: Iterable[Pair]) -> dict[str, set[int]]:
    """The rows of the passages that answer each question."""
    rows: dict[str, set[int]] = {}
    for pair in pairs:
        rows.setdefault(pair.question, set()).add(pair.row)
    return rows


def draw_batch(pairs: Sequence[Pair], step: int, size: int, seed: int) -> list[Pair]:
    """The pairs of one step, each of another passage: `ASKED_SHARE` as people ask, the rest made of documents.

    Every second made pair is from the document of the one before it, if it has another: passages of one document are
    the wrong answers that are hardest to distinguish from the right one. A step's pairs depend on its number and the
    seed alone, so that interrupted training goes on as it would have.
    """
    dice = random.Random(f"{seed}/{step}")
    asked = [pair for pair in pairs if pair.kind in ASKED]
    made = [pair for pair in pairs if pair.kind not in ASKED]
    by_document: dict[tuple[str, str], list[Pair]] = {}
    for pair in made:
        by_document.setdefault((pair.chunk.collection, pair.chunk.path), []).append(pair)

    batch: dict[int, Pair] = {}
    size = min(size, len({pair.row for pair in pairs}))
    if asked:
        wanted = min(round(ASKED_SHARE * size) if made else size, len({pair.row for pair in asked}))
        while len(batch) < wanted:
            pair = dice.choice(asked)
            batch.setdefault(pair.row, pair)

    last: Pair | None = None
    rest = made if len({pair.row for pair in made}.union(batch)) >= size else list(pairs)
    while len(batch) < size:
        place = (last.chunk.collection, last.chunk.path) if last and len(batch) % 2 else ("", "")
        beside = by_document.get(place, [])
        near = [pair for pair in beside if pair.row not in batch]
        last = dice.choice(near or rest)
        batch.setdefault(last.row, last)
    return list(batch.values())
