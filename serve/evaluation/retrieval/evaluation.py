"""Measures retrieval: searches an index for questions and compares the hits with the wanted passages.

It measures the ranking for every question, and the decision not to answer separately. It neither reads questions nor
prints.

    embedder = Embedder.find(settings.embedder)
    index = index_ready_made(read_chunks(path), settings, embedder)
    outcomes = ask_all(questions, index, embedder, settings, depth=20)
    summarize(outcomes)["measures"]["overall"]["recall@5"]  # {"mean": ..., "low": ..., "high": ...}
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np

from rag.documents import Document, Hit
from rag.embedding.embedder import TextEmbedder
from rag.embedding.embedder_choice import open_reader
from rag.index.building import build_index
from rag.index.generation import Index
from rag.index.opening import open_index
from rag.progress import Show
from rag.search.metrics import (
    CUTOFFS,
    estimate_share,
    find_ranks,
    judge_decision,
    measure_question,
    tabulate_reliability,
)
from rag.search.retriever import Retriever
from rag.settings import RagSettings
from rag.sources.questions import READY_MADE, Question, find_wanted
from serve.evaluation.asking.intervals import Values, estimate_means
from serve.evaluation.errors import ResultUnusable
from serve.evaluation.retrieval.slips import misspell

T = TypeVar("T")

OVERALL = "overall"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The search's result for one question.

    `ranks` are those of the wanted passages; `relevance` is the probability that the index answers it, and `answered`
    whether a search takes it for answered. `asked` is what was searched, where that is not the question as it stands.
    """

    question: Question
    ranks: tuple[int | None, ...]
    hits: tuple[Hit, ...]
    search_ms: float
    relevance: float
    answered: bool
    asked: str = ""


def index_ready_made(
    documents: Iterable[Document], settings: RagSettings, embedder: TextEmbedder, progress: Show = lambda *_: None
) -> Index:
    """An index of ready-made chunks, each a document that is cut like every document.

    Its files are already deleted; an open index still reads them. It uses FAISS files whatever the settings say, since
    a collection in Milvus would outlive it.
    """
    settings = replace(settings, milvus_uri="")
    with TemporaryDirectory(prefix="chipalign-eval-") as folder:
        build_index(documents, Path(folder), settings, embedder, progress)
        return open_index(Path(folder))


def skip_repeated(hits: Iterable[Hit]) -> Iterator[Hit]:
    """The hits, with only the best piece of each ready-made chunk: the chunk is wanted, and it counts once."""
    seen: set[str] = set()
    for hit in hits:
        if hit.chunk.collection != READY_MADE or hit.chunk.path not in seen:
            seen.add(hit.chunk.path)
            yield hit


def ask_all(
    questions: Sequence[Question],
    index: Index,
    embedder: TextEmbedder,
    settings: RagSettings,
    depth: int,
    progress: Show = lambda *_: None,
    slips: float = 0.0,
) -> list[Outcome]:
    """Search every question for its `depth` best hits, one after the other, and note whether the index answers it.

    slips: the share of each question's words that is misspelled before it is searched, 0 to 1.

    The first question is searched once before, so that no latency includes the loading of a model.

    Raises:
        ReferenceUnknown: a question refers to a passage that is missing.
        EmbedderUnavailable: the reader of the settings cannot be found.
    """
    wanted = find_wanted(questions, index.chunks)
    retriever = Retriever(index, embedder, settings, open_reader(settings))
    next(retriever.rank(questions[0].text), None)
    outcomes = []
    for number, (question, passages) in enumerate(zip(questions, wanted, strict=True), start=1):
        asked = misspell(question.text, slips)
        started = time.perf_counter()
        hits = list(islice(skip_repeated(retriever.rank(asked)), depth))
        search_ms = 1000 * (time.perf_counter() - started)
        ranks = find_ranks([hit.chunk.chunk_id for hit in hits], passages)
        relevance = retriever.relevance(asked)
        is_answered = retriever.answers(asked)
        outcomes.append(Outcome(question, tuple(ranks), tuple(hits), search_ms, relevance, is_answered, asked))
        progress("search", number, len(questions))
    return outcomes


def summarize(outcomes: Sequence[Outcome], cutoffs: Sequence[int] = CUTOFFS) -> dict[str, Any]:
    """All results as plain values for JSON.

    They are the measures per kind, per collection and overall, latencies, the decision, and each question's values.
    """
    rows = [_describe_outcome(outcome, cutoffs) for outcome in outcomes]
    milliseconds = [outcome.search_ms for outcome in outcomes]
    latency = {f"p{percent}": float(np.percentile(milliseconds, percent)) for percent in (50, 95, 99)}
    return {
        "measures": _estimate_by_kind(rows, [row["measures"] for row in rows]),
        "collections": _estimate_by_collection(outcomes, rows),
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
        "asked": outcome.asked or question.text,
        "answerable": question.answerable,
        "answered": outcome.answered,
        "ranks": list(outcome.ranks),
        "measures": measure_question(outcome.ranks, cutoffs) if question.answerable else {},
        "relevance": outcome.relevance,
        "search_ms": outcome.search_ms,
    }


def _estimate_by_kind(rows: Sequence[dict[str, Any]], measures: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Estimates of all measures, overall and, if there are several kinds, for each; skips rows without measures."""
    having = [(row["kind"], values) for row, values in zip(rows, measures, strict=True) if values]
    groups = group_by_kind(having)
    return {name: {"questions": len(group), **_estimate(group)} for name, group in groups.items() if group}


def _estimate_by_collection(outcomes: Sequence[Outcome], rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Estimates of all measures for each collection, over the questions whose first wanted passage is of it."""
    groups: dict[str, list[dict[str, float]]] = {}
    for outcome, row in zip(outcomes, rows, strict=True):
        if row["measures"]:
            groups.setdefault(outcome.question.wanted[0][0].collection, []).append(row["measures"])
    return {name: {"questions": len(group), **_estimate(group)} for name, group in sorted(groups.items())}


def group_by_kind(measured: Sequence[tuple[str, T]]) -> dict[str, list[T]]:
    """Measures, each with the kind of its question: all of them and, if there are several kinds, those of each."""
    kinds = sorted({kind for kind, _ in measured})
    groups = {OVERALL: [values for _, values in measured]}
    if len(kinds) > 1:
        groups |= {kind: [values for other, values in measured if other == kind] for kind in kinds}
    return groups


def _estimate(group: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    names = list(group[0])
    values: Values = np.array([[row[name] for name in names] for row in group], dtype=np.float64)
    return {name: asdict(estimate) for name, estimate in zip(names, estimate_means(values), strict=True)}


def _describe_decision(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The decision "not in these documents", and a table of how well the relevance predicts what can be answered.

    `wrongly_refused` is the share of the answerable questions of which it was said; `kinds` has that of each kind,
    answerable or not.
    """
    answerable = [outcome.question.answerable for outcome in outcomes]
    answered = [outcome.answered for outcome in outcomes]
    decision = judge_decision(answerable, answered)
    bins = tabulate_reliability([outcome.relevance for outcome in outcomes], answerable, answered)
    kinds = group_by_kind([(outcome.question.kind, outcome.answered) for outcome in outcomes])
    return {
        **asdict(decision),
        "wrongly_refused": _describe_share(decision.said_wrongly, decision.said_wrongly + decision.answered_rightly),
        "kinds": {
            kind: {"questions": len(group), "refused": _describe_share(group.count(False), len(group))}
            for kind, group in kinds.items()
            if kind != OVERALL
        },
        "reliability": [asdict(item) for item in bins],
    }


def _describe_share(successes: int, total: int) -> dict[str, float] | None:
    share = estimate_share(successes, total)
    return asdict(share) if share else None


def compare(result: dict[str, Any], other: Any) -> dict[str, Any]:
    """Paired differences with intervals, this result minus the other, in the measures and questions that both have.

    `measures` are those of the ranking, `refused` the share of all questions of which it is said that nothing answers
    them. `other` is a former result as read from JSON.

    Raises ResultUnusable: it is not a result, or has no question in common with this one.
    """
    try:
        others = _key_questions(other["questions"])
        pairs = [(row, others[key]) for key, row in _key_questions(result["questions"]).items() if key in others]
        differences = [
            {
                name: value - before["measures"][name]
                for name, value in row["measures"].items()
                if name in before["measures"]
            }
            for row, before in pairs
        ]
        refused = [{"refused": float(before["answered"] - row["answered"])} for row, before in pairs]
    except (TypeError, KeyError, AttributeError) as error:
        raise ResultUnusable(
            f"the result to compare with is not one that `eval retrieval --json` wrote ({error!r}): name another file"
        ) from None
    if not any(differences):
        raise ResultUnusable(
            "the result to compare with has no question in common with these: name a result over the same questions"
        )
    rows = [row for row, _ in pairs]
    return {"measures": _estimate_by_kind(rows, differences), "refused": _estimate_by_kind(rows, refused)}


def _key_questions(rows: Sequence[dict[str, Any]]) -> dict[tuple[str, int], Any]:
    """Rows by their question and, if one is asked several times, its turn."""
    turns: Counter[str] = Counter()
    keyed: dict[tuple[str, int], Any] = {}
    for row in rows:
        turns[row["question"]] += 1
        keyed[row["question"], turns[row["question"]]] = row
    return keyed
