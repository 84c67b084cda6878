"""The command `chipalign adapt triplets`: documents and questions in, a file of triplets out.

It makes no triplet itself (`triplets` does) and trains nothing. Heavy libraries are imported inside the functions, so
that `--help` answers at once.

    chipalign adapt triplets --docs handbook openroad --answers eda-corpus/ \\
        --exclude data/eval/mcq.jsonl --out triplets.jsonl
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter as Tally
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rag.command_line import add_docs, add_exclude, add_questions, add_seed, whole_number, write_json, write_jsonl
from rag.commands.build_commands import read_sources, report_skipped
from rag.commands.index_commands import index_apart
from rag.errors import SourceUnusable
from rag.progress import Show, show_progress
from rag.settings import RagSettings
from rag.sources.sources import HANDBOOK

if TYPE_CHECKING:
    from merge.training.triplets import Triplet, TripletMaker
    from rag.answering.token_budget import Counter
    from rag.documents import Chunk, Document, Skipped
    from rag.training.triplet_templates import Draft

PER_KIND = 2500  # a larger kind would drown the others
# Of all: enough to learn the sentence; a model that reads it in every eighth example says it where an answer stands,
# too
UNANSWERABLE_SHARE = 0.04
SAME_ANSWER = 6  # most times that one answer stands in the file: paraphrases of a question teach little more
ASKED, QUOTED = "nearly asks a question that is measured with", "quotes an answer that is measured with"
REPEATED = "asks or answers what others do"
MORE_THAN_WANTED = "more than --per-kind"


def triplets(argv: list[str]) -> int:
    """`chipalign adapt triplets --docs SOURCE... --out FILE`. Raises RagError: the input is wrong."""
    args = _parse_arguments(argv)
    summary = _make(args, RagSettings.from_env())
    if args.json:
        write_json(summary)
    else:
        sys.stdout.write(_describe(summary))
    return 0


def _parse_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="chipalign adapt triplets",
        description="Make questions with passages and answers, to fine-tune a chat model on, from documents.",
    )
    _add_inputs(parser)
    _add_choices(parser)
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser.parse_args(argv)


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_docs(parser)

    add("--out", type=Path, required=True, metavar="FILE", help="the file of triplets, one JSON object a line")
    add(
        "--answers",
        nargs="+",
        type=Path,
        default=[],
        metavar="PATH",
        help="questions with answers: .csv, .jsonl, or folders of them",
    )
    add(
        "--feedback",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="what `chipalign store feedback` wrote: corrections, and answers that were rated up",
    )
    add_questions(parser)
    add_exclude(parser, "what nearly asks them or quotes their answers is dropped")


def _add_choices(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--per-kind",
        type=whole_number(1, 1_000_000),
        default=PER_KIND,
        metavar="N",
        help="triplets of one kind at most (default: %(default)s)",
    )
    add(
        "--tokenizer",
        type=Path,
        metavar="DIR",
        help="folder of the chat model, whose tokens limit a prompt (default: the embedder's tokens)",
    )

    add(
        "--index",
        type=Path,
        metavar="DIR",
        help="keep the index of the documents there, for a later run (default: it is not kept)",
    )
    add_seed(parser)


def _make(args: argparse.Namespace, settings: RagSettings) -> dict[str, Any]:
    """Write the file; returns what was made, and what was dropped for which reason."""
    from merge.training.triplets import QUESTION, TripletMaker
    from rag.answering.token_budget import find_counter
    from rag.training.examples import read_examples
    from rag.training.exclusion import NearQuestions, read_measured
    from rag.training.training_pairs import read_answers, read_feedback
    from rag.training.triplet_questions import drafts_of_questions

    measured = read_measured(args.exclude)
    nearly_asks = NearQuestions(measured.questions)
    examples = [
        example for path in args.questions for example in read_examples(path) if not nearly_asks(example.question)
    ]
    answers = [
        (question, answer, origin)
        for path, origin in _list_answers(args.answers)
        for question, answer in read_answers(path)
    ]
    answers += [(question, answer, path.name) for path in args.feedback for question, answer in read_feedback(path)]
    skipped: list[Skipped] = []
    documents = read_sources(args.docs, settings, skipped)
    report_skipped(skipped)
    counter = find_counter(args.tokenizer, "chat model", settings)
    dropped: Tally[str] = Tally()
    with TemporaryDirectory() as folder, show_progress() as progress:
        retriever, chunks = index_apart(documents, args.index or Path(folder) / "index", settings, progress)
        maker = TripletMaker(retriever, counter, args.seed)
        drafts = _find_drafts(chunks, answers, maker, args.seed, dropped, progress)
        drafts += [(QUESTION, draft) for draft in drafts_of_questions(examples, chunks)]
        drafts = _drop_measured(drafts, measured, dropped)
        chosen = _choose(drafts, args.per_kind, args.seed, dropped)
        refused = [example.question for example in examples if not example.is_answerable]
        made = _build_all(chosen, refused, maker, args.seed, dropped, progress)
    if not made:
        raise SourceUnusable(
            f"no question can be made of {', '.join(args.docs)}: give documents with option tables, headings or "
            "glossaries"
        )
    write_jsonl(args.out, (triplet.as_row() for triplet in made))
    return _summarize(args.out, made, dropped, documents, counter, skipped)


def _list_answers(paths: Sequence[Path]) -> list[tuple[Path, str]]:
    """The files of questions with answers, each with the name by which triplets cite it."""
    files: list[tuple[Path, str]] = []
    for path in paths:
        if path.is_dir():
            found = sorted(file for file in path.rglob("*") if file.suffix in (".csv", ".jsonl"))
            files += [(file, f"{path.resolve().name}/{file.relative_to(path).as_posix()}") for file in found]
        else:
            files.append((path, path.name))
    return files


def _find_drafts(
    chunks: Sequence[Chunk],
    answers: Sequence[tuple[str, str, str]],
    maker: TripletMaker,
    seed: int,
    dropped: Tally[str],
    progress: Show,
) -> list[tuple[str, Draft]]:
    """Every question that can be asked, with its kind."""
    from merge.training.triplets import ANSWER, TASK, TEMPLATE
    from merge.training.triplets import HANDBOOK as OF_HANDBOOK
    from rag.training.triplet_tasks import drafts_of_tasks
    from rag.training.triplet_templates import drafts_of_chunks

    drafts = [
        (OF_HANDBOOK if draft.golden[0].collection == HANDBOOK else TEMPLATE, draft)
        for draft in drafts_of_chunks(chunks, seed)
    ]
    drafts += [(TASK, draft) for draft in drafts_of_tasks(chunks, seed)]
    for number, (question, answer, origin) in enumerate(answers, start=1):
        found = maker.find_golden(question, answer, origin)
        if isinstance(found, str):
            dropped[f"{ANSWER}: {found}"] += 1
        else:
            drafts.append((ANSWER, found))
        progress("place answers", number, len(answers))
    return drafts


def _drop_measured(drafts: list[tuple[str, Draft]], measured: Any, dropped: Tally[str]) -> list[tuple[str, Draft]]:
    """The drafts whose questions and answers are not in the benchmarks."""
    from rag.training.exclusion import LongQuotes, NearQuestions

    asks_nearly, quotes = NearQuestions(measured.questions), LongQuotes(measured.answers)
    kept = []
    for kind, draft in drafts:
        if asks_nearly(draft.question):
            dropped[f"{kind}: {ASKED}"] += 1
        elif quotes(draft.answer):
            dropped[f"{kind}: {QUOTED}"] += 1
        else:
            kept.append((kind, draft))
    return kept


def _choose(drafts: list[tuple[str, Draft]], per_kind: int, seed: int, dropped: Tally[str]) -> list[tuple[str, Draft]]:
    """At most `per_kind` of each kind, and no answer more than `SAME_ANSWER` times.

    The draw is weighted by the square of an answer's words: longer answers teach more, and a model answers at the
    length that it has read. Efraimidis & Spirakis, "Weighted random sampling with a reservoir", 2006.
    """
    dice = random.Random(seed)
    drawn = sorted(drafts, key=lambda item: dice.random() ** (1 / len(item[1].answer.split()) ** 2), reverse=True)
    kinds, questions, answers = Tally[str](), set[tuple[str, str]](), Tally[str]()
    chosen = []
    for kind, draft in drawn:
        asked = (draft.question.casefold(), draft.answer)
        if asked in questions or answers[draft.answer] >= SAME_ANSWER:
            dropped[f"{kind}: {REPEATED}"] += 1
        elif kinds[kind] >= per_kind:
            dropped[f"{kind}: {MORE_THAN_WANTED}"] += 1
        else:
            questions.add(asked)
            answers[draft.answer] += 1
            kinds[kind] += 1
            chosen.append((kind, draft))
    return chosen


def _build_all(
    chosen: list[tuple[str, Draft]],
    refused: Sequence[str],
    maker: TripletMaker,
    seed: int,
    dropped: Tally[str],
    progress: Show,
) -> list[Triplet]:
    """All triplets, mixed; unanswerable ones make up `UNANSWERABLE_SHARE` of all.

    Half of these are questions that nothing answers, as far as there are any; the others have lost their passages.
    """
    from merge.training.triplets import UNANSWERABLE

    made: list[Triplet] = []
    without: list[Triplet] = []

    def keep(kind: str, found: Triplet | str, into: list[Triplet]) -> None:
        """Take the triplet, or count why there is none."""
        if isinstance(found, str):
            dropped[f"{kind}: {found}"] += 1
        else:
            into.append(found)

    for number, (kind, draft) in enumerate(chosen, start=1):
        keep(kind, maker.answerable(kind, draft), made)
        progress("build prompts", number, len(chosen))
    dice = random.Random(f"{seed}/mix")
    wanted = max(1, round(len(made) * UNANSWERABLE_SHARE / (1 - UNANSWERABLE_SHARE)))
    for question in dice.sample(refused, min(len(refused), wanted // 2)):
        keep(UNANSWERABLE, maker.refused(question), without)
    for _, draft in dice.sample(chosen, len(chosen)):
        if len(without) >= wanted:
            break
        keep(UNANSWERABLE, maker.unanswerable(draft), without)
    mixed = [*made, *without]
    dice.shuffle(mixed)
    return mixed


def _summarize(
    out: Path,
    made: Sequence[Triplet],
    dropped: Tally[str],
    documents: Sequence[Document],
    counter: Counter,
    skipped: Sequence[Skipped],
) -> dict[str, Any]:
    return {
        "triplets": str(out),
        "count": len(made),
        "kinds": dict(Tally(triplet.kind for triplet in made).most_common()),
        "passages": dict(sorted(Tally(triplet.user.count("\n~~~\n\n[") + 1 for triplet in made).items())),
        "mean_prompt_tokens": round(sum(triplet.tokens for triplet in made) / len(made), 1),
        "mean_answer_words": round(sum(len(triplet.answer.split()) for triplet in made) / len(made), 1),
        "tokens_of": counter.source,
        "dropped": dict(sorted(dropped.items())),
        "documents": len(documents),
        "licences": dict(Tally(triplet.licence for triplet in made).most_common()),
        "skipped": [asdict(item) for item in skipped],
    }


def _describe(summary: dict[str, Any]) -> str:
    def listed(counts: dict[str, int]) -> str:
        """Counts and what they count, on one line."""
        return ", ".join(f"{count} {name}" for name, count in counts.items())

    lines = [
        (
            f"{summary['triplets']}: {summary['count']} triplets ({listed(summary['kinds'])}) from "
            f"{summary['documents']} documents"
        ),
        f"licences of the golden passages: {listed(summary['licences'])}",
        (
            f"a prompt has {summary['mean_prompt_tokens']} tokens of {summary['tokens_of']} on average, an answer "
            f"{summary['mean_answer_words']} words"
        ),
        *(f"dropped {count:>5}  {reason}" for reason, count in summary["dropped"].items()),
    ]
    return "\n".join(lines) + "\n"
