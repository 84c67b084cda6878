"""The command `chipalign eval qa`: files and a model server in, a table or one JSON document out.

It measures nothing itself. Functions import heavy libraries, so that `--help` answers at once.

    chipalign eval qa --corpus openroad_documentation.json --questions dev.jsonl --context golden \\
        --url http://127.0.0.1:8001 --answers merged.jsonl
    chipalign eval qa --index my-index/ --questions q.jsonl --context retrieved \\
        --url http://127.0.0.1:8001 --compare chat.jsonl --json
    chipalign eval qa --index my-index/ --questions q.jsonl --context retrieved --answer quote
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.command_line import describe_file, positive, whole_number, write_result
from rag.errors import QuestionsUnusable, SourceUnusable
from rag.index.manifest import MANIFEST
from rag.progress import show_progress
from rag.settings import RagSettings
from serve.evaluation.errors import AnswersUnusable, EndpointRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rag.answering.token_budget import Counter
    from rag.documents import Chunk, Hit
    from rag.progress import Show
    from rag.search.retriever import Retriever
    from rag.sources.questions import Question
    from serve.evaluation.asking.answers import AnswersFile
    from serve.evaluation.asking.client import Reply, Server
    from serve.evaluation.qa.qa_answer import Answer
    from serve.evaluation.qa.qa_prompts import QaPrompt

GOLDEN, RETRIEVED = "golden", "retrieved"
MODEL, QUOTE = "model", "quote"
CONTEXT_TOKENS = 900  # of retrieved passages: the gateway's default
MAX_TOKENS = 400  # of an answer: the gateway's default
CONCURRENCY = 16  # an engine answers several at once in little more time than one
TOKENS = whole_number(1, 1_000_000)
_COLUMN = 20  # "0.725 [0.601, 0.838]"


@dataclass(frozen=True, slots=True)
class Searched:
    """The searched chunks, the names of their collections, and the hits in each question's context.

    `retriever` searched the chunks and compares a question with its hits; None if nothing was searched or compared.
    """

    chunks: Sequence[Chunk]
    collections: Sequence[str]
    hits: list[list[Hit]]
    retriever: Retriever | None = None


def qa(argv: list[str]) -> int:
    """`chipalign eval qa --questions Q.jsonl --context golden|retrieved --url URL ... [--json]`.

    Raises RagError, ServeError: the input is wrong.
    """
    args = _parse_arguments(argv)
    result = _measure(args, RagSettings.from_env())
    write_result(result, _draw, args.json)
    return 0


def _parse_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="chipalign eval qa",
        description=(
            "Ask a model questions about documents, with the gateway's own prompt, and measure its answers beside "
            "reference answers."
        ),
    )
    _add_inputs(parser)
    _add_answering(parser)
    _add_running(parser)
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout, with every question's values")
    args = parser.parse_args(argv)
    if not args.url and args.answer == MODEL:
        parser.error("the model needs a server: name it with --url, or let the documents answer with --answer quote")
    return args


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    documents = parser.add_mutually_exclusive_group(required=True)
    documents.add_argument(
        "--corpus", type=Path, metavar="CHUNKS.json", help="the documents as ready-made chunks in ORD-QA's form"
    )
    documents.add_argument("--index", type=Path, metavar="DIR", help="the documents as an index directory")
    add(
        "--questions",
        type=Path,
        required=True,
        metavar="Q.jsonl",
        help="questions with their answers and the passages that answer them, one a line",
    )
    add(
        "--context",
        choices=(GOLDEN, RETRIEVED),
        required=True,
        help="the passages that a question refers to, or those that the search finds",
    )


def _add_answering(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--url",
        help="an OpenAI-compatible server: the engine, or the gateway, whose own retrieval is then switched off",
    )
    add(
        "--answer",
        choices=(MODEL, QUOTE),
        default=MODEL,
        help=(
            "who answers: the model at --url, or the documents in quotes, which needs no server (default: %(default)s)"
        ),
    )

    add("--model", metavar="ID", help="name of the model there (default: the only one)")
    add("--top-k", type=positive, default=5, metavar="K", help="passages that the search finds (default: %(default)s)")
    add(
        "--context-tokens",
        type=TOKENS,
        metavar="N",
        help=f"most tokens of passages (default: {CONTEXT_TOKENS} retrieved; golden: what the window holds)",
    )
    add("--max-tokens", type=TOKENS, default=MAX_TOKENS, metavar="N", help="longest answer (default: %(default)s)")

    add(
        "--tokenizer",
        type=Path,
        metavar="DIR",
        help="checkpoint whose tokenizer counts (default: the one the server names, else the embedder's)",
    )

    add("--limit", type=positive, metavar="N", help="only the first N questions")
    add(
        "--grammar",
        action="store_true",
        help="of a gateway: let it hold the answers to the names in the prompt, by a grammar",
    )


def _add_running(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--concurrency",
        type=positive,
        default=CONCURRENCY,
        metavar="N",
        help="requests in flight (default: %(default)s)",
    )

    add(
        "--answers",
        type=Path,
        metavar="FILE",
        help="keep the answers there, one JSON line each; a run that was stopped goes on from it",
    )
    add(
        "--compare",
        type=Path,
        metavar="OTHER_ANSWERS",
        help="another run's --answers file: show the differences, question by question paired",
    )


def _measure(args: argparse.Namespace, settings: RagSettings) -> dict[str, Any]:
    from rag.documents import searchable_text
    from serve.evaluation.asking.client import Model, Server, find_server
    from serve.evaluation.qa.qa_answer import Answer, open_answers, read_others
    from serve.evaluation.qa.qa_measures import AnswerMeasures, corpus_names
    from serve.evaluation.qa.qa_prompts import build_prompts
    from serve.evaluation.qa.qa_summary import compare, count, describe_load, score, summarize

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
            prompts = build_prompts(questions, searched.hits, counter, _budget(args, server))
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
    from rag.sources.questions import read_questions

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
    from rag.answering.token_budget import find_counter, load_counter

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
    from rag.search.judging import HITS_READ

    given: int = args.top_k
    return max(given, HITS_READ) if args.answer == QUOTE else given


def _with_grammar(args: argparse.Namespace) -> dict[str, bool]:
    """The grammar's key; empty without a grammar, since older answers files and gateways do not know the key."""
    return {"grammar": True} if args.grammar else {}


def _context_tokens(args: argparse.Namespace) -> int | None:
    given: int | None = args.context_tokens
    return given or (CONTEXT_TOKENS if args.context == RETRIEVED else None)


def _budget(args: argparse.Namespace, server: Server) -> Any:
    from rag.answering.token_budget import Budget

    return Budget(_context_tokens(args), args.max_tokens, server.model.max_model_len)


def _find_hits(args: argparse.Namespace, questions: list[Question], settings: RagSettings, progress: Show) -> Searched:
    from rag.documents import make_chunk
    from rag.index.opening import open_index
    from rag.index.vector_store import choose_store
    from rag.search.retriever import Retriever
    from rag.sources.questions import READY_MADE, read_chunks
    from serve.evaluation.qa.qa_prompts import golden_hits, retrieved_hits
    from serve.evaluation.retrieval.retrieval_commands import open_searched

    if args.context == RETRIEVED or args.answer == QUOTE:
        index, embedder = open_searched(args.corpus, args.index, questions, settings, progress)
        retriever = Retriever(index, embedder, settings)
        is_golden = args.context == GOLDEN
        hits = (
            golden_hits(questions, index.chunks)
            if is_golden
            else retrieved_hits(questions, retriever, _top_k(args), progress)
        )
        return Searched(index.chunks, list(index.collections), hits, retriever)
    if args.corpus:
        chunks = [make_chunk(document, (), document.text, 0) for document in read_chunks(args.corpus)]
        return Searched(chunks, [READY_MADE], golden_hits(questions, chunks))
    index = open_index(args.index, store=choose_store(settings))
    return Searched(index.chunks, list(index.collections), golden_hits(questions, index.chunks))


def _quote(questions: list[Question], searched: Searched, file: AnswersFile, progress: Show) -> int:
    """Get each answer that the file lacks from the documents; returns how many it held."""
    from serve.evaluation.qa.qa_quotes import quote_answers

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
    from rag.answering.prompt import nothing_found
    from serve.evaluation.asking.client import NO_RETRIEVAL, ask_chats

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
            file.keep(asdict(_make_answer(prompt, nothing_found(collections))))

    def keep(number: int, reply: Reply) -> None:
        """Keep an answer and show the progress."""
        file.keep(asdict(_make_answer(by_number[number], reply.text, reply)))
        progress("ask", sum(number in file.rows for number in by_number), len(prompts))

    asked = {prompt.number: prompt.messages for prompt in open_prompts if prompt.messages is not None}
    ask_chats(server, asked, args.max_tokens, args.concurrency, keep, {**NO_RETRIEVAL, **_with_grammar(args)})
    return len(held)


def _make_answer(prompt: QaPrompt, text: str, reply: Reply | None = None) -> Answer:
    """An answer with its context; without a reply it is the gateway's own sentence."""
    from rag.documents import describe_place
    from serve.evaluation.qa.qa_answer import Answer

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


def _draw(result: dict[str, Any]) -> list[str]:
    """The result as lines for people."""
    settings, counts, latency, tokens = (result[part] for part in ("settings", "counts", "latency_ms", "tokens"))
    lines = [
        f"model     {settings['model']}{' at ' if result['url'] else ''}{result['url']}",
        (
            f"asked     {counts['questions']} questions of {result['asked']['path']}, {settings['context']} context of "
            f"{result['searched']['path']}"
        ),
        (
            f"answers   {counts['answered_by_model']} by the model ({counts['cut_at_max_tokens']} cut at "
            f"{settings['max_tokens']} tokens), {counts['answered_in_quotes']} in quotes, {counts['nothing_found']} "
            f"where nothing was found; {counts['passages_left_out']} contexts not whole"
        ),
        f"tokens    {tokens['prompt']} read, {tokens['completion']} written; counted by {settings['tokens_of']}",
    ]

    if latency:
        lines.append(
            f"latency   p50 {latency['p50'] / 1000:.1f} s, p95 {latency['p95'] / 1000:.1f} s, up to "
            f"{settings['concurrency']} requests in flight"
        )

    lines += ["", *draw_measures(result["measures"], signed=False)]
    unknown = result["reference_answers"]["unknown_command"]["mean"]
    lines += ["", f"unknown_command of the reference answers themselves: {unknown:.3f}"]
    if "differences" in result:
        lines += ["", f"difference from {result['differences']['from']['path']}, paired"]
        lines += draw_measures(result["differences"]["measures"], signed=True)
    return lines


def draw_measures(measures: dict[str, Any], signed: bool) -> list[str]:
    """One line per measure, one column per kind of question; each value with its 95 % interval.

    "-" marks a measure that applies to no question.
    """
    form = "+.3f" if signed else ".3f"
    titles = [f"{kind} ({group['questions']})" for kind, group in measures.items()]
    widths = [max(_COLUMN + 3 * signed, len(title)) for title in titles]  # three signs more
    names = [name for name in next(iter(measures.values())) if name != "questions"]

    rows = [("", titles)]
    for name in names:
        cells = [group[name] for group in measures.values()]
        rows.append(
            (
                name,
                [
                    f"{cell['mean']:{form}} [{cell['low']:{form}}, {cell['high']:{form}}]" if cell else "-"
                    for cell in cells
                ],
            )
        )

    return [
        f"{name:<15}  {'  '.join(f'{cell:<{width}}' for cell, width in zip(cells, widths, strict=True))}".rstrip()
        for name, cells in rows
    ]
