"""One run of `chipalign eval qa`: passages found, answers asked for or quoted, and measured.

It parses and draws nothing.

    result = run_qa(parse_arguments(argv), RagSettings.from_env())
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from rag.answering.refusal import refuse
from rag.answering.token_budget import Budget, Counter, find_counter, load_counter
from rag.command_line import describe_file
from rag.documents import Chunk, Hit, describe_place, make_chunk, searchable_text
from rag.embedding.embedder_choice import open_reader
from rag.errors import QuestionsUnusable, SourceUnusable
from rag.index.manifest import MANIFEST
from rag.index.opening import open_index
from rag.index.vector_store import choose_store
from rag.progress import Show, show_progress
from rag.search.judging import HITS_READ
from rag.search.retriever import Retriever
from rag.settings import RagSettings
from rag.sources.questions import READY_MADE, Question, read_chunks, read_questions
from serve.evaluation.asking.answers import AnswersFile
from serve.evaluation.asking.client import NO_RETRIEVAL, Model, Reply, Server, ask_chats, find_server
from serve.evaluation.errors import AnswersUnusable, EndpointRefused
from serve.evaluation.qa.qa_answer import Answer, open_answers, read_others
from serve.evaluation.qa.qa_arguments import CONTEXT_TOKENS, GOLDEN, MODEL, QUOTE, RETRIEVED
from serve.evaluation.qa.qa_measures import AnswerMeasures, corpus_names
from serve.evaluation.qa.qa_prompts import QaPrompt, build_prompts, golden_hits, retrieved_hits
from serve.evaluation.qa.qa_quotes import quote_answers
from serve.evaluation.qa.qa_summary import compare, count, describe_load, score, summarize
from serve.evaluation.retrieval.retrieval_commands import open_searched


@dataclass(frozen=True, slots=True)
class Searched:
    """The searched chunks, the names of their collections, and the hits in each question's context.

    `retriever` searched the chunks and compares a question with its hits; None if nothing was searched or compared.
    """

    chunks: Sequence[Chunk]
    collections: Sequence[str]
    hits: list[list[Hit]]
    retriever: Retriever | None = None


def run_qa(args: argparse.Namespace, settings: RagSettings) -> dict[str, Any]:
    """The result of a run, as one document.

    Raises RagError, ServeError: the input is wrong.
    """
    AnswerMeasures(frozenset())  # reports a missing library before anything is searched or asked
    questions, unanswerable = _read_questions(args.questions, args.limit)
    others = read_others(args.compare) if args.compare else []
    server = (
        find_server(args.url, args.model, settings.api_key)
        if args.answer == MODEL
        else Server("", Model("documents, in quotes"))
    )
    if args.grammar and not server.model.is_gateway:
        raise EndpointRefused(
            f"{server.url} is not a ChipAlign gateway, which writes the grammar: name its URL with --url, or leave out "
            "--grammar"
        )

    counter = _find_counter(args.tokenizer, server, settings)
    asking = _describe_asking(args, server, counter)
    with show_progress() as progress, open_answers(args.answers, asking) as file:
        searched = _find_hits(args, questions, settings, progress)
        measures = AnswerMeasures(corpus_names(map(searchable_text, searched.chunks)))
        if args.answer == QUOTE:
            resumed = _quote(questions, searched, file, progress)
        else:
            budget = Budget(_context_tokens(args), args.max_tokens, server.model.max_model_len)
            prompts = build_prompts(questions, searched.hits, counter, budget)
            resumed = _ask(prompts, searched.collections, server, args, file, progress)

    answers = [Answer.of(file.rows[number]) for number in range(1, len(questions) + 1)]
    rows = score(answers, measures)
    references = score([replace(answer, answer=answer.reference, finish_reason=None) for answer in answers], measures)
    result = {
        "evaluation": "qa",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "url": server.url,
        "settings": {**asking, "limit": args.limit, "concurrency": args.concurrency},
        "asked": {**describe_file(args.questions), "questions": len(questions), "without_answer": unanswerable},
        "searched": {**describe_file(args.corpus or args.index / MANIFEST), "chunks": len(searched.chunks)},
        "versions": {name: metadata.version(name) for name in ("rouge-score", "numpy")},
        "counts": {**count(answers), "kept_from_before": resumed},
        "measures": summarize(rows),
        "reference_answers": summarize(references)["overall"],
        **describe_load(answers),
        "questions": rows,
    }
    if args.compare:
        before = _pair_others(others, answers)
        result["differences"] = {
            "from": describe_file(args.compare),
            "questions": len(before),
            "measures": compare(rows, score(before, measures)),
        }
    return result


def _pair_others(others: Sequence[Answer], answers: Sequence[Answer]) -> list[Answer]:
    """The other run's answers to the same questions, with this run's references."""
    same = {(answer.id, answer.question): answer.reference for answer in answers}
    return [
        replace(other, reference=same[other.id, other.question])
        for other in others
        if (other.id, other.question) in same
    ]


def _read_questions(path: Path, limit: int | None) -> tuple[list[Question], int]:
    """The first `limit` questions that documents answer, and the number of the file's other questions.

    Raises QuestionsUnusable: an answer is missing.
    """
    questions = read_questions(path)
    answerable = [question for question in questions if question.answerable]
    if missing := [question.question_id for question in answerable if not question.answer]:
        raise QuestionsUnusable(
            f'{path}: the questions {", ".join(missing)} have no "answer" to measure by: add it, or remove these lines'
        )
    if not answerable:
        raise QuestionsUnusable(
            f"{path} holds no question that documents answer: name a file of questions with answers"
        )
    return answerable[:limit], len(questions) - len(answerable)


def _find_counter(folder: Path | None, server: Server, settings: RagSettings) -> Counter:
    """The counter for the token budget: the named checkpoint's, else the server's, else the embedder's."""
    if not folder and server.model.root and (counter := load_counter(Path(server.model.root))):
        return counter
    return find_counter(folder, "served model", settings)


def _describe_asking(args: argparse.Namespace, server: Server, counter: Counter) -> dict[str, Any]:
    """All settings that decide the answers; answers of other settings are not mixed with these."""
    for path in (args.questions, args.corpus or args.index / MANIFEST):
        if not path.is_file():
            raise SourceUnusable(f"{path} is not a file: name one that is there")
    return {
        "model": server.model.model_id,
        "root": server.model.root,
        "max_model_len": server.model.max_model_len,
        "questions": describe_file(args.questions)["sha256"],
        "documents": describe_file(args.corpus or args.index / MANIFEST)["sha256"],
        "context": args.context,
        "top_k": _top_k(args) if args.context == RETRIEVED else None,
        "context_tokens": _context_tokens(args),
        "max_tokens": args.max_tokens,
        "tokens_of": counter.source,
        "temperature": 0,
        **_with_grammar(args),
        **({"answer": QUOTE} if args.answer == QUOTE else {}),
    }


def _top_k(args: argparse.Namespace) -> int:
    """The number of passages to find; a choice of quotes reads as many as the gateway does."""
    given: int = args.top_k
    return max(given, HITS_READ) if args.answer == QUOTE else given


def _with_grammar(args: argparse.Namespace) -> dict[str, bool]:
    """The grammar's key; empty without a grammar, since older answers files and gateways do not know the key."""
    return {"grammar": True} if args.grammar else {}


def _context_tokens(args: argparse.Namespace) -> int | None:
    given: int | None = args.context_tokens
    return given or (CONTEXT_TOKENS if args.context == RETRIEVED else None)


def _find_hits(args: argparse.Namespace, questions: list[Question], settings: RagSettings, progress: Show) -> Searched:
    """What is searched, and the passages of each question: those that it refers to, or those that are found."""
    if args.context == RETRIEVED or args.answer == QUOTE:
        index, embedder = open_searched(args.corpus, args.index, questions, settings, progress)
        retriever = Retriever(index, embedder, settings, open_reader(settings) if args.answer == QUOTE else None)
        if args.context == GOLDEN:
            hits = golden_hits(questions, index.chunks)
        else:
            hits = retrieved_hits(questions, retriever, _top_k(args), progress)
        return Searched(index.chunks, list(index.collections), hits, retriever)
    if args.corpus:
        chunks = [make_chunk(document, (), document.text, 0) for document in read_chunks(args.corpus)]
        return Searched(chunks, [READY_MADE], golden_hits(questions, chunks))
    index = open_index(args.index, store=choose_store(settings))
    return Searched(index.chunks, list(index.collections), golden_hits(questions, index.chunks))


def _quote(questions: list[Question], searched: Searched, file: AnswersFile, progress: Show) -> int:
    """Get each answer that the file lacks from the documents; returns how many it held."""
    held = sum(number in file.rows for number in range(1, len(questions) + 1))
    if searched.retriever and held < len(questions):
        for answer in quote_answers(questions, searched.hits, searched.retriever, searched.collections, progress):
            if answer.number not in file.rows:
                file.keep(asdict(answer))
    return held


def _ask(
    prompts: list[QaPrompt],
    collections: Sequence[str],
    server: Server,
    args: argparse.Namespace,
    file: AnswersFile,
    progress: Show,
) -> int:
    """Ask for each answer that the file lacks; returns how many it held.

    Raises AnswersUnusable: the held answers are to other prompts.
    """
    by_number = {prompt.number: prompt for prompt in prompts}
    held = [number for number in by_number if number in file.rows]
    if other := [
        by_number[number].question.question_id
        for number in held
        if file.rows[number]["prompt_hash"] != by_number[number].prompt_hash
    ]:
        raise AnswersUnusable(
            f"{args.answers} holds answers to other prompts (questions {', '.join(other)}): name another file with "
            "--answers"
        )
    open_prompts = [prompt for prompt in prompts if prompt.number not in file.rows]
    for prompt in open_prompts:
        if prompt.messages is None:
            file.keep(asdict(_make_answer(prompt, refuse(collections).answer.text)))

    def keep(number: int, reply: Reply) -> None:
        """Keep an answer and show the progress."""
        file.keep(asdict(_make_answer(by_number[number], reply.text, reply)))
        progress("ask", sum(number in file.rows for number in by_number), len(prompts))

    asked = {prompt.number: prompt.messages for prompt in open_prompts if prompt.messages is not None}
    ask_chats(server, asked, args.max_tokens, args.concurrency, keep, {**NO_RETRIEVAL, **_with_grammar(args)})
    return len(held)


def _make_answer(prompt: QaPrompt, text: str, reply: Reply | None = None) -> Answer:
    """An answer with its context; without a reply it is the gateway's own sentence."""
    question = prompt.question
    places = tuple(describe_place(hit.chunk.title, hit.chunk.heading_path) for hit in prompt.hits)
    answer = Answer(
        prompt.number,
        question.question_id,
        question.kind,
        question.text,
        question.answer,
        text,
        prompt.prompt_hash,
        places,
        prompt.left_out,
        by_model=reply is not None,
    )
    if reply is None:
        return answer
    return replace(
        answer,
        finish_reason=reply.finish_reason,
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
        latency_ms=reply.latency_ms,
    )
