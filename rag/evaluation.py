"""Measure retrieval: questions are searched in an index, and what comes back is compared with what one would want.

The ranking is measured with the relevance rule off, so that every question has one; the rule's decision is measured by itself.
It neither reads questions nor prints.

    embedder = WholeTextEmbedder(Embedder.find(settings.embedder), settings)
    index = index_whole(read_chunks(path), settings, embedder)
    outcomes = ask_all(questions, index, embedder, settings, depth=20)
    summarize(outcomes)["measures"]["overall"]["recall@5"]  # {"mean": ..., "low": ..., "high": ...}
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from rag.chunker import chunk_document
from rag.dense import Vectors
from rag.documents import Document, Hit, searchable_text
from rag.embedder import TextEmbedder
from rag.errors import ResultUnusable
from rag.index import Index, build_index, open_index
from rag.metrics import CUTOFFS, Values, estimate_means, find_ranks, judge_decision, measure_question, tabulate_reliability
from rag.progress import Show
from rag.questions import Question, find_wanted
from rag.retriever import Retriever
from rag.settings import RagSettings

OVERALL = "overall"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the search gave for one question. `ranks` are those of the wanted passages; `answered` is what the relevance rule said."""

    question: Question
    ranks: tuple[int | None, ...]
    hits: tuple[Hit, ...]
    search_ms: float
    answered: bool

    @property
    def best_score(self) -> float:
        """The highest cosine among the hits."""
        return max((hit.dense_score for hit in self.hits), default=-1.0)


class WholeTextEmbedder:
    """A TextEmbedder for texts of any length. One that is longer than `chunk_tokens` gets the mean of the vectors of its pieces.

    The pieces are those that a document of this text is cut into, each under the text's own first line, its place. (The mean, so that a chunk
    has one vector as in every index. On ORD-QA's chunks it finds as much as the best piece's vector and, by the dense ranking alone, more than a
    text that is cut off; in the fused ranking the three are within each other's intervals.)
    """

    max_tokens = 1_000_000  # no chunk has as many

    def __init__(self, embedder: TextEmbedder, settings: RagSettings) -> None:
        self._embedder = embedder
        self._settings = settings
        self.name = embedder.name
        self.fingerprint = embedder.fingerprint
        self.dimension = embedder.dimension

    def count_tokens(self, text: str) -> int:
        """Tokens of `text` without the model's own marks."""
        return self._embedder.count_tokens(text)

    def embed(self, texts: Sequence[str], progress: Callable[[int, int], None] | None = None) -> Vectors:
        """Vectors of length 1, shape (texts, dimension), float32, in the order of `texts`."""
        pieces = [self._cut(text) for text in texts]
        rows = [row for row, parts in enumerate(pieces) for _ in parts]  # of the text that the piece belongs to
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        np.add.at(vectors, rows, self._embedder.embed([part for parts in pieces for part in parts], progress))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    def _cut(self, text: str) -> list[str]:
        if self.count_tokens(text) <= self._settings.chunk_tokens:
            return [text]
        place, _, body = text.partition("\n")
        document = Document("", "text.md", place, body, None, "")
        pieces = chunk_document(document, self.count_tokens, self._settings.chunk_tokens, self._settings.overlap_tokens)
        return [searchable_text(piece) for piece in pieces] or [text]


def index_whole(documents: Iterable[Document], settings: RagSettings, embedder: WholeTextEmbedder, progress: Show = lambda *_: None) -> Index:
    """An index in which each document is one chunk, built as every index is. Its files are gone already: they are read as long as it is open."""
    settings = replace(settings, chunk_tokens=embedder.max_tokens)
    with TemporaryDirectory(prefix="chipalign-eval-") as folder:
        build_index(documents, Path(folder), settings, embedder, progress)
        return open_index(Path(folder))


def ask_all(
    questions: Sequence[Question], index: Index, embedder: TextEmbedder, settings: RagSettings, depth: int, progress: Show = lambda *_: None
) -> list[Outcome]:
    """Search every question for its `depth` best hits, one after the other, and ask the relevance rule besides.

    The first question is searched once before, so that no latency holds the loading of a model. Raises ReferenceUnknown.
    """
    wanted = find_wanted(questions, index.chunks)
    retriever = Retriever(index, embedder, settings)
    retriever.rank(questions[0].text, depth)
    outcomes = []
    for number, (question, passages) in enumerate(zip(questions, wanted, strict=True), start=1):
        started = time.perf_counter()
        hits = retriever.rank(question.text, depth)
        search_ms = 1000 * (time.perf_counter() - started)
        ranks = find_ranks([hit.chunk.chunk_id for hit in hits], passages)
        outcomes.append(Outcome(question, tuple(ranks), tuple(hits), search_ms, bool(retriever.search(question.text, 1))))
        progress("search", number, len(questions))
    return outcomes


def summarize(outcomes: Sequence[Outcome], cutoffs: Sequence[int] = CUTOFFS) -> dict[str, Any]:
    """Everything measured, as plain values for JSON: measures per kind and overall, latencies, the decision, and each question's values."""
    rows = [_describe_outcome(outcome, cutoffs) for outcome in outcomes]
    milliseconds = [outcome.search_ms for outcome in outcomes]
    latency = {f"p{percent}": float(np.percentile(milliseconds, percent)) for percent in (50, 95, 99)}
    return {
        "measures": _estimate_by_kind(rows, [row["measures"] for row in rows]),
        "search_ms": {"searches": len(outcomes), **latency},
        "decision": _describe_decision(outcomes),
        "questions": rows,
    }


def _describe_outcome(outcome: Outcome, cutoffs: Sequence[int]) -> dict[str, Any]:
    question = outcome.question
    return {
        "id": question.question_id,
        "kind": question.kind,
        "question": question.text,
        "answerable": question.answerable,
        "answered": outcome.answered,
        "ranks": list(outcome.ranks),
        "measures": measure_question(outcome.ranks, cutoffs) if question.answerable else {},
        "best_score": outcome.best_score,
        "search_ms": outcome.search_ms,
    }


def _estimate_by_kind(rows: Sequence[dict[str, Any]], measures: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Estimates of all measures, overall and (where there are several) for each kind; rows without measures are left out."""
    having = [(row["kind"], values) for row, values in zip(rows, measures, strict=True) if values]
    groups = {OVERALL: [values for _, values in having]}
    kinds = sorted({kind for kind, _ in having})
    if len(kinds) > 1:
        groups |= {kind: [values for other, values in having if other == kind] for kind in kinds}
    return {name: {"questions": len(group), **_estimate(group)} for name, group in groups.items() if group}


def _estimate(group: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    names = list(group[0])
    values: Values = np.array([[row[name] for name in names] for row in group], dtype=np.float64)
    return {name: asdict(estimate) for name, estimate in zip(names, estimate_means(values), strict=True)}


def _describe_decision(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The decision "not in these documents", and a table of how far the best cosine tells what can be answered."""
    answerable = [outcome.question.answerable for outcome in outcomes]
    answered = [outcome.answered for outcome in outcomes]
    bins = tabulate_reliability([outcome.best_score for outcome in outcomes], answerable, answered)
    return {**asdict(judge_decision(answerable, answered)), "reliability": [asdict(item) for item in bins]}


def compare(result: dict[str, Any], other: Any) -> dict[str, Any]:
    """Differences (this result minus the other) of the measures both have, over the questions both have, with paired intervals.

    `other` is a former result as JSON gives it. Raises ResultUnusable where it is none, or has no question in common with this one.
    """
    try:
        others = _key_questions(other["questions"])
        rows = [(row, others[key]["measures"]) for key, row in _key_questions(result["questions"]).items() if key in others]
        differences = [{name: value - before[name] for name, value in row["measures"].items() if name in before} for row, before in rows]
    except (TypeError, KeyError, AttributeError) as error:
        raise ResultUnusable(f"the result to compare with is not one that `eval retrieval --json` wrote ({error!r}): name another file") from None
    if not any(differences):
        raise ResultUnusable("the result to compare with has no question in common with these: name a result over the same questions")
    return _estimate_by_kind([row for row, _ in rows], differences)


def _key_questions(rows: Sequence[dict[str, Any]]) -> dict[tuple[str, int], Any]:
    """Rows by their question and, where one is asked several times, its turn."""
    turns: Counter[str] = Counter()
    keyed: dict[tuple[str, int], Any] = {}
    for row in rows:
        turns[row["question"]] += 1
        keyed[row["question"], turns[row["question"]]] = row
    return keyed
