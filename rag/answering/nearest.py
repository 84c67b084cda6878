"""The refusal of a question with what may still help: what is said of its name, or what comes near an answer.

It searches by what it is given, and asks no model.

    refusal = refuse_question("oldest cmake i can build it with?", retriever, retriever.collections)
    refusal.answer.text  # "I found nothing about this ... What comes nearest may help, or be about something else: ..."
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from rag.answering.citations import Citation
from rag.answering.evidence import Comparer, select_quotes
from rag.answering.quotes import Quote, show_passages
from rag.answering.refusal import ADVICE, Refusal, refuse, say_searched
from rag.answering.wording import QuotedAnswer, word_quotes
from rag.documents import Hit
from rag.search.judging import HITS_READ
from rag.search.missing import Misnamed, Missing

MOST_WORDS = 90  # of what comes near: as much as a glance takes


class Explainer(Comparer, Protocol):
    """What a refusal needs of a `rag.search.retriever.Retriever`."""

    def missing(self, query: str) -> Misnamed | Missing | None:
        """A misspelled name of the question, or a known one with words that no passage beside it has."""

    def nearest(self, query: str, top_k: int) -> list[Hit]:
        """The best hits of a question that the documents nearly answer."""


def refuse_question(question: str, explainer: Explainer, collections: Iterable[str], top_k: int = HITS_READ) -> Refusal:
    """The refusal of a question, with what is said of its name, or else with what comes near an answer.

    top_k: the most passages that count as near. Raises EmptyQuery.
    """
    missing = explainer.missing(question)
    hits = explainer.nearest(question, top_k) if missing is None and top_k else []
    quotes = select_quotes(question, hits, explainer, MOST_WORDS) if hits else []
    return _show(collections, quotes, hits) if quotes else refuse(collections, missing)


def _show(collections: Iterable[str], quotes: Sequence[Quote], hits: Sequence[Hit]) -> Refusal:
    """The refusal with quotes that come near; only their passages are shown, numbered from 1."""
    said = f"{say_searched(collections)} What comes nearest may help, or be about something else:\n\n"
    renumbered, shown = show_passages(quotes, hits, list(dict.fromkeys(quote.number for quote in quotes)))
    near = word_quotes(renumbered, shown)
    citations = tuple(Citation(one.number, len(said) + one.start, len(said) + one.end) for one in near.citations)
    return Refusal(QuotedAnswer(f"{said}{near.text}\n\n{ADVICE}", citations), shown)
