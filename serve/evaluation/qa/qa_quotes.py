"""Answers the questions of `eval qa` with quotes from the documents, as the gateway does and without a model.

It finds no passages (`qa_prompts` does) and measures nothing.

    answers = quote_answers(questions, hits, retriever, index.collections)
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from rag.answering.evidence import Comparer, select_quotes
from rag.answering.refusal import refuse
from rag.answering.wording import word_quotes
from rag.documents import Hit, describe_place, hash_text
from rag.progress import Show
from rag.search.query import retrieval_query
from rag.sources.questions import Question
from serve.evaluation.qa.qa_answer import QUOTED, Answer


def quote_answers(
    questions: Sequence[Question],
    hits: Sequence[Sequence[Hit]],
    comparer: Comparer,
    collections: Sequence[str],
    progress: Show = lambda *_: None,
) -> list[Answer]:
    """An answer in quotes for each question, numbered from 1; the gateway's own sentence if nothing was found."""
    answers: list[Answer] = []
    for number, (question, found) in enumerate(zip(questions, hits, strict=True), start=1):
        begun = time.perf_counter()
        quotes = select_quotes(retrieval_query([question.text]), found, comparer) if found else []
        text = word_quotes(quotes, found).text if quotes else refuse(collections).answer.text
        latency_ms = (time.perf_counter() - begun) * 1000

        places = tuple(describe_place(hit.chunk.title, hit.chunk.heading_path) for hit in found)
        asked = (question.question_id, question.kind, question.text, question.answer)
        prompt_hash = hash_text(*(hit.chunk.text for hit in found))[:16]
        reason = QUOTED if quotes else None
        answers.append(Answer(number, *asked, text, prompt_hash, places, 0, False, reason, latency_ms=latency_ms))
        progress("quote", number, len(questions))
    return answers
