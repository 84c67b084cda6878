"""Turns questions into the same prompts that the gateway sends: passages, golden or retrieved, and the messages.

It asks no model. Golden passages are those that a question refers to; the search finds the retrieved ones.

    hits = golden_hits(questions, chunks)  # or retrieved_hits(questions, retriever, top_k=5, progress)
    budget = Budget(context_tokens=900, max_tokens=400, max_model_len=8192)
    prompts = build_prompts(questions, hits, load_counter(folder), budget)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rag.answering.prompt import CUT_MARK, build_prompt
from rag.answering.token_budget import Budget, Counter
from rag.documents import Chunk, Hit, hash_text
from rag.errors import QuestionsUnusable
from rag.progress import Show
from rag.search.query import retrieval_query
from rag.search.retriever import Retriever
from rag.sources.questions import Question, find_wanted


@dataclass(frozen=True, slots=True)
class QaPrompt:
    """The messages for a question, and the hits in them; `left_out` counts those that did not fit whole.

    `messages` is None if nothing was found: the gateway then answers by itself.
    """

    number: int
    question: Question
    messages: list[dict[str, str]] | None
    hits: tuple[Hit, ...]
    left_out: int

    @property
    def prompt_hash(self) -> str:
        """The hash of the messages."""
        return hash_text(*(message["content"] for message in self.messages or ()))[:16]


def golden_hits(questions: Sequence[Question], chunks: Sequence[Chunk]) -> list[list[Hit]]:
    """For each question the chunks that it refers to, in the order of its references. Raises ReferenceUnknown."""
    wanted = find_wanted(questions, chunks)
    needed = {chunk_id for groups in wanted for ids in groups for chunk_id in ids}
    by_id = {chunk.chunk_id: chunk for chunk in chunks if chunk.chunk_id in needed}  # in the order of the documents
    hits = []
    for groups in wanted:
        found = dict.fromkeys(chunk_id for ids in groups for chunk_id in by_id if chunk_id in ids)
        hits.append([Hit(by_id[chunk_id], 1.0, 1.0, None) for chunk_id in found])
    return hits


def retrieved_hits(
    questions: Sequence[Question], retriever: Retriever, top_k: int, progress: Show = lambda *_: None
) -> list[list[Hit]]:
    """For each question the gateway's hits for it as a conversation's first turn; [] if nothing is relevant."""
    hits = []
    for number, question in enumerate(questions, start=1):
        hits.append(retriever.search(retrieval_query([question.text]), top_k))
        progress("search", number, len(questions))
    return hits


def build_prompts(
    questions: Sequence[Question], hits: Sequence[Sequence[Hit]], counter: Counter, budget: Budget
) -> list[QaPrompt]:
    """A prompt for each question, numbered from 1.

    Raises QuestionsUnusable: lists the questions that leave no room for a passage.
    """
    prompts, too_long = [], []
    for number, (question, found) in enumerate(zip(questions, hits, strict=True), start=1):
        if not found:
            prompts.append(QaPrompt(number, question, None, (), 0))
            continue
        prompt = build_prompt(
            question.text, found, counter.count, budget.room(counter.count(question.text)), counter.special_tokens
        )
        if not prompt.hits:
            too_long.append(question.question_id)
        messages = [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}]
        left_out = len(found) - len(prompt.hits) + (CUT_MARK in prompt.user)
        prompts.append(QaPrompt(number, question, messages, prompt.hits, left_out))
    if too_long:
        raise QuestionsUnusable(
            f"no passage fits beside the questions {', '.join(too_long)} ({budget}): serve the model with a longer "
            "window, or raise --context-tokens"
        )
    return prompts
