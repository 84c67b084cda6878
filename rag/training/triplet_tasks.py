"""Questions about tasks, answered as to a colleague: with the command, how it is called, and what its options do.

It also asks for several tasks in a row. A task is what a manual says its command does, where a synopsis stands below.
It gets chunks and gives drafts; `triplets` builds prompts.

    drafts = drafts_of_tasks(chunks, seed=0)
    drafts[0].question  # "I want to insert buffers on long wires. How should I do that?"
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from rag.documents import Chunk
from rag.formats.markdown import parse_markdown
from rag.reference.tables import clean
from rag.training.triplet_phrases import (
    as_predicate,
    as_question_part,
    as_task,
    first_sentences,
    lower_first,
    split_sentences,
    with_stop,
)
from rag.training.triplet_tables import SYNOPSIS_LINES, Row, Usages, read_rows, read_synopsis, task_of
from rag.training.triplet_templates import Draft, is_asked, reads_well, usages_of_documents

VARIANTS = 3  # of what is asked of each task: other words, other options, other tasks after it
EXPLAINED_OPTIONS = (0, 2, 3, 4)  # options that an answer explains, drawn: short answers occur, long ones are the rule
OPTION_WORDS = 22  # of what is said of one of them
MOST_WORDS = 150  # of an answer
CALL_WIDTH = 80  # of a line of Tcl; a longer call goes on in the next
STEPS = (2, 2, 3)  # commands of one answer, drawn
_SUBJECT = re.compile(r"^(?:The )?`[^`]+`(?: (?:command|function))? (?=[a-z])")  # "The `repair_design` command inserts"
_USE_TO = re.compile(r"^(?:Use|Run|Call) (?:the )?`[^`]+`(?: (?:command|function))? to (?P<task>[a-z]+ .+)$")
_BRACKETS = re.compile(r"\[([^\[\]]*)\]")


@dataclass(frozen=True, slots=True)
class Option:
    """An option, what the manual says of it, and the chunk where it says so."""

    row: Row
    chunk: Chunk


@dataclass(frozen=True, slots=True)
class Task:
    """Something to be done, `insert buffers on long wires`, and the command that does it.

    It has the command's synopsis and the options that are described.
    """

    task: str
    command: str
    synopsis: tuple[str, ...]
    options: tuple[Option, ...]
    chunk: Chunk


def drafts_of_tasks(chunks: Sequence[Chunk], seed: int = 0) -> list[Draft]:
    """Drafts of each task: how to do it, with one of its options, and before another task of its project.

    Only the seed and the tasks decide the draws.
    """
    usages = usages_of_documents(chunks)
    documents: dict[tuple[str, str], list[Chunk]] = {}
    for chunk in chunks:
        if is_asked(chunk.path):
            documents.setdefault((chunk.collection, chunk.path), []).append(chunk)
    tasks = [task for document, of_it in documents.items() for task in find_tasks(of_it, usages[document])]
    drafts: dict[str, Draft] = {}
    for task, variant in product(tasks, range(VARIANTS)):
        dice = random.Random(f"{seed}/{task.chunk.chunk_id}/{task.command}/{variant}")
        for draft in (ask_task(task, dice), *ask_options(task, dice), ask_steps(task, tasks, dice)):
            if draft and reads_well(draft.question, draft.answer, MOST_WORDS):
                drafts.setdefault(draft.question.casefold(), draft)
    return list(drafts.values())


def find_tasks(chunks: Sequence[Chunk], usages: Usages) -> Iterator[Task]:
    """The tasks of a document's chunks.

    A task is a paragraph that says what a command does, its synopsis below, and tables of options up to the next
    synopsis.
    """
    blocks = [(chunk, block) for chunk in chunks for block in parse_markdown(chunk.text).blocks]
    synopses = [
        (number, lines)
        for number, (_, block) in enumerate(blocks)
        if block.kind == "code" and (lines := read_synopsis(block.text))
    ]
    ends = [*(number for number, _ in synopses[1:]), len(blocks)]

    for (number, lines), end in zip(synopses, ends, strict=False):
        chunk, before = blocks[number][0], blocks[number - 1][1] if number else None
        command = lines[0].split()[0]
        task = _read_task(
            command,
            before.text if before and before.kind == "prose" else "",
            (*chunk.heading_path, *blocks[number][1].heading_path),
        )

        if task and len(lines) <= SYNOPSIS_LINES:
            tables = [(other, block) for other, block in blocks[number + 1 : end] if block.kind == "table"]
            rows = [
                Option(row, other)
                for other, table in tables
                for row in read_rows(table, command, usages)
                if row.role == "option"
            ]
            yield Task(task, command, tuple(lines), tuple(rows), chunk)


def _read_task(command: str, purpose: str, headings: Sequence[str]) -> str | None:
    """What one wants to do who calls the command: by the first sentence above its synopsis, else by the heading."""
    sentence = (split_sentences(clean(purpose)) or [""])[0]
    if to := _USE_TO.match(sentence):
        return as_question_part(to["task"])
    predicate = as_predicate(_SUBJECT.sub("", sentence))
    if predicate and (task := task_of(command, predicate)):
        return task
    heading = headings[-1].lower() if headings else ""
    return as_task(heading) if len(heading.split()) > 1 else None


def ask_task(task: Task, dice: random.Random) -> Draft:
    """How the task is done: the command, its synopsis, and some of its options in the manual's words."""
    title = lower_first(task.chunk.title)
    question = dice.choice(
        (
            f"How do I {task.task}?",
            f"How can I {task.task}? Explain the options too.",
            f"I want to {task.task}. How should I do that?",
            f"How to {task.task} ({title})?",
            f"Which command lets me {task.task}, and how is it called?",
            f"As an engineer I need to {task.task}. What is the way to do that?",
            f"In the context of {title}, how can one {task.task}?",
        )
    )

    lead = dice.choice(
        (
            f"To {task.task}, use the command `{task.command}`:",
            f"You can {task.task} with `{task.command}`:",
            f"Use `{task.command}` to {task.task}. It is called like this:",
        )
    )

    explained = dice.sample(task.options, min(dice.choice(EXPLAINED_OPTIONS), len(task.options)))
    explained.sort(key=task.options.index)
    return Draft(
        question,
        f"{lead}{_fence(task.synopsis)}{_list(explained)}",
        _distinct(task.chunk, *(option.chunk for option in explained)),
    )


def ask_options(task: Task, dice: random.Random) -> Iterator[Draft]:
    """How the task is done with one or two options, in a call that has just these."""
    asked = [(option, wish) for option in task.options if (wish := _wish(option.row))]
    for count in (1, 2):
        if len(asked) < count:
            return
        chosen = dice.sample(asked, count)
        call = example_call(task.synopsis, [option.row.name for option, _ in chosen])
        if call is None:
            continue

        wishes = " and ".join(wish for _, wish in chosen)
        question = dice.choice(
            (
                f"How do I {task.task}, and {wishes}?",
                f"I want to {task.task}. I also need to {wishes}. How do I call that?",
                f"When I {task.task}, how can I {wishes}?",
                f"I {task.task} and would like to {wishes}. What should I do?",
            )
        )
        names = " and ".join(f"`{option.row.name}`" for option, _ in chosen)
        lead = dice.choice(
            (f"Use `{task.command}` with {names}:", f"The command `{task.command}` does this with {names}:")
        )

        explained = [option for option, _ in chosen]
        yield Draft(
            question,
            f"{lead}{_fence([call])}{_list(explained)}",
            _distinct(task.chunk, *(option.chunk for option in explained)),
        )


def ask_steps(task: Task, tasks: Sequence[Task], dice: random.Random) -> Draft | None:
    """How this task and one or two others of the project are done one after the other; None where there is no other."""
    others = [
        other for other in tasks if other.chunk.collection == task.chunk.collection and other.command != task.command
    ]
    near = [other for other in others if other.chunk.path == task.chunk.path]
    count = dice.choice(STEPS) - 1
    chosen = {task.command: task}
    for other in (
        dice.sample(near, min(count, len(near)))
        if dice.random() < 0.5
        else dice.sample(others, min(count, len(others)))
    ):
        chosen.setdefault(other.command, other)

    steps = list(chosen.values())
    calls = [call for step in steps if (call := example_call(step.synopsis, []))]
    if len(calls) < max(2, len(steps)):
        return None

    wanted = f"{', '.join(step.task for step in steps[:-1])} and then {steps[-1].task}"
    question = dice.choice(
        (
            f"How do I {wanted}?",
            f"I need to {wanted}. Which commands do I run?",
            f"What are the steps to {wanted}?",
            f"Suppose I have to {wanted}. How can I do this?",
        )
    )
    listed = "\n".join(f"{number}. To {step.task}, use `{step.command}`." for number, step in enumerate(steps, start=1))

    return Draft(
        question,
        f"Run these commands one after the other:{_fence(calls)}\n{listed}",
        _distinct(*(step.chunk for step in steps)),
    )


def example_call(synopsis: Sequence[str], names: Sequence[str]) -> str | None:
    """The shortest call of a synopsis that has these options, with the synopsis's placeholders as values.

    None where it lacks one of them.
    """
    text = " ".join(line.split(" #")[0].strip() for line in synopsis)
    optional = {
        piece.split()[0]: " ".join(piece.split())
        for piece in _BRACKETS.findall(text)
        if piece.strip() and "|" not in piece
    }
    required = text
    while _BRACKETS.search(required):  # brackets may stand in brackets
        required = _BRACKETS.sub(" ", required)
    parts = [
        " ".join(required.split()),
        *(optional[name] for name in names if name in optional and name not in required.split()),
    ]
    if not all(name in optional or name in required.split() for name in names) or re.search(r"[\[\]|{}]", parts[0]):
        return None
    line = " ".join(parts)
    return line if len(line) <= CALL_WIDTH else " \\\n    ".join(parts)


def _wish(row: Row) -> str | None:
    """What one wants who sets the option: `reduce the area`, or `specify the number of layers`."""
    description = as_question_part(row.description)
    if wish := as_task(description):
        return wish if len(wish.split()) <= 18 and row.name.strip("-").lower() not in wish.lower() else None
    noun = lower_first(description)
    return f"specify {noun}" if re.match(r"(?:the|an?) ", noun) and len(noun.split()) <= 12 else None


def _fence(lines: Iterable[str]) -> str:
    return "\n".join(("\n```tcl", *lines, "```"))


def _distinct(*chunks: Chunk) -> tuple[Chunk, ...]:
    return tuple({chunk.chunk_id: chunk for chunk in chunks}.values())


def _list(options: Sequence[Option]) -> str:
    """What each option does, a line each, behind a line break."""
    lines = []
    for row in (option.row for option in options):
        sentences = first_sentences(row.description, OPTION_WORDS)
        predicate = as_predicate(sentences)
        lines.append(
            f"\n- `{row.name}` {with_stop(predicate)}"
            if predicate
            else f"\n- `{row.name}`: {with_stop(lower_first(sentences))}"
        )
    return "".join(lines)
