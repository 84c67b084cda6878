"""Questions about tables and synopses: options, defaults, calls of commands, abbreviations, symptoms.

It gets blocks of a passage and gives questions with answers in the passage's words. It does not know which passages
they are, nor what becomes of the questions.

    list(ask_table(block, "repair_timing", usages, random.Random(0)))
    # [("What does the `-hold` option of `repair_timing` do?", "`-hold` repairs hold violations."), ...]
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rag.blocks import Block
from rag.reference.synopses import COMMAND, NAME, read_synopses
from rag.reference.tables import CAUSES, DEFAULTS, DESCRIPTIONS, Table, clean, read_default, read_table, says_something
from rag.training.triplet_phrases import (
    as_predicate,
    as_question_part,
    as_task,
    first_sentences,
    lower_first,
    split_sentences,
    strip_labels,
    with_stop,
)

Pair = tuple[str, str]  # question, answer
Usages = Mapping[str, frozenset[str]]  # the words with which a document calls each command: its options and arguments
LEAST_WORDS = 3  # of a description, to say anything
SYNOPSIS_LINES = 16  # a longer one is not repeated in an answer
MOST_OPTIONS = 8  # nor are more options listed
TOGETHER = (2, 3, 4)  # options that are explained in one answer
_OPTIONS = ("option", "argument", "parameter")
_CURES = frozenset({"fix", "cure", "remedy", "action", "usual fix", "first action"})
# Other headers after which one can ask: "What is the cost of clock gating?"
_ASKABLE = frozenset(
    {
        "purpose",
        "cost",
        "typical use",
        "weakness",
        "formula",
        "limit",
        "effect",
        "remedy",
        "wire model",
        "clock model",
        "allowed layers",
        "effect on victim",
        "yosys pass",
    }
)
_ALLOWED = re.compile(r"\b[Aa]llowed values are ((?:[a-z]+ ){0,4}`[^`]+`(?:(?:,| and| or|, and|, or) `[^`]+`)*)")
# Descriptions that do not name a thing which an option could give.
_NO_NOUN = re.compile(
    r"(?:if|when|whether|only|use|floats?|strings?|integers?|boolean|flag|do|in|as|same|see|used|for|to|by|with|"
    r"passed|either|one|refer|please|this)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Row:
    """A name and what the document says of it. `owner` is the command that an option belongs to."""

    role: str
    name: str
    description: str
    owner: str | None
    default: str = ""

    @property
    def whose(self) -> str:
        """` of `command`` behind the name, or nothing."""
        return f" of `{self.owner}`" if self.owner else ""


def read_usages(code: Iterable[str]) -> dict[str, frozenset[str]]:
    """How commands are called in fences of code: each command's options and other words.

    Indented lines that continue a call count too.
    """
    usages: dict[str, frozenset[str]] = {}
    for fence in code:
        command = ""
        for line in fence.split("\n")[1:-1]:
            words = re.findall(r"[\w:$.-]+", line)
            if words and not line[0].isspace():
                command = words[0]
            usages[command] = usages.get(command, frozenset()) | frozenset(words)
    return usages


def read_synopsis(text: str) -> list[str] | None:
    """The lines of a code fence that shows how one command is called; None for any other code."""
    lines = [line.rstrip() for line in text.split("\n")[1:-1] if line.strip() and not line.lstrip().startswith("#")]
    found = read_synopses(lines)
    if len(found) != 1 or found[0][1].lines != len(lines) or not COMMAND.fullmatch(lines[0].split()[0]) or "\\" in text:
        return None
    return lines if "[-" in text or len(lines) > 1 else None


def ask_synopsis(command: str, lines: list[str], purpose: str, dice: random.Random) -> Iterator[Pair]:
    """How a command is called, its options, and what it is for; `purpose` is the paragraph above the synopsis."""
    sentence = (split_sentences(clean(purpose)) or [""])[0]
    predicate = as_predicate(sentence)
    call = "\n```tcl\n" + "\n".join(lines) + "\n```"

    if len(lines) <= SYNOPSIS_LINES:
        yield (
            dice.choice(
                (
                    f"How do I call `{command}`?",
                    f"What is the syntax of `{command}`?",
                    f"Show me how `{command}` is called.",
                    f"{command} usage",
                    f"How is the command `{command}` used in a Tcl script?",
                )
            ),
            f"`{command}` is called like this:{call}",
        )

    options = list(
        dict.fromkeys(option for line in lines for option in re.findall(r"(?<![\w-])-[A-Za-z]\w*", line.split(" #")[0]))
    )
    if 1 < len(options) <= MOST_OPTIONS:
        question = dice.choice(
            (
                f"What options does `{command}` have?",
                f"Which options can I give `{command}`?",
                f"List the options of {command}.",
            )
        )
        yield question, f"`{command}` takes the options {_join([f'`{option}`' for option in options])}."

    if predicate and _says_more(command, predicate):
        yield from ask_command("command", command, predicate, dice)
        if len(lines) <= SYNOPSIS_LINES and (task := task_of(command, predicate)):
            question = dice.choice(
                (
                    f"How can I {task} in a script?",
                    f"I want to {task}. Which command do I call, and how?",
                    f"Show me how to {task}.",
                )
            )
            yield question, f"Use the command `{command}`, which {with_stop(predicate)} It is called like this:{call}"


def ask_command(noun: str, name: str, predicate: str, dice: random.Random) -> Iterator[Pair]:
    """What it does, and which one does that."""
    answer = with_stop(f"{dice.choice(('', f'The {noun} '))}`{name}` {predicate}")
    yield (
        dice.choice(
            (
                f"What does the {noun} `{name}` do?",
                f"What does `{name}` do?",
                f"What is `{name}` for?",
                f"What is the purpose of `{name}`?",
                f"Explain the {noun} {name}.",
            )
        ),
        answer,
    )
    yield from ask_which(noun, name, "", predicate, answer, dice)


def ask_which(noun: str, name: str, whose: str, predicate: str, answer: str, dice: random.Random) -> Iterator[Pair]:
    """From what it does to its name; not where the question would contain the name."""
    task = task_of(name, predicate)
    if not task or name.strip("-").lower() in as_question_part(predicate).lower():
        return
    with_whose = f" with {whose.removeprefix(' of ')}" if whose else ""
    yield (
        dice.choice(
            (
                f"Which {noun}{whose} {as_question_part(predicate)}?",
                f"What {noun}{whose} should I use to {task}?",
                f"How do I {task}{with_whose}?",
                f"How can I {task}{with_whose}? Name the {noun}.",
                f"Which {noun}{whose} do I need to {task}?",
            )
        ),
        answer,
    )


def task_of(name: str, predicate: str) -> str | None:
    """What someone wants to do who needs it; None where that is too little, too much, or the name itself."""
    task = as_question_part(as_task(predicate) or "")
    return task if 3 <= len(task.split()) <= 22 and _says_more(name, task) else None


def _says_more(name: str, description: str) -> bool:
    """Whether a description is not the name in other letters: `set_level_shifter` "sets level shifter"."""
    parts = set(re.findall(r"[a-z]+", name.lower()))
    words = {word.rstrip("s") for word in re.findall(r"[a-z]{3,}", description.lower())} - {"the", "for", "and", "from"}
    return len(words - {part.rstrip("s") for part in parts}) >= 2


def _join(items: list[str]) -> str:
    return f"{', '.join(items[:-1])} and {items[-1]}" if len(items) > 1 else items[0]


# --- tables -------------------------------------------------------------------------------------------------------


def ask_table(block: Block, owner: str | None, usages: Usages, dice: random.Random) -> Iterator[Pair]:
    """Questions about every row of a table.

    `owner` is the command whose options they may be; the document must call it with them.
    """
    table = read_table(block.text)
    for row in table.rows:
        if table.role == "abbreviation":
            yield from _ask_abbreviation(row.cells, dice)
        elif table.role == "symptom":
            yield from _ask_symptom(table.header, row.cells, dice)
        elif not table.role or table.header[1] not in DESCRIPTIONS:
            yield from _ask_cell(table.header, row.cells, dice)
    rows = _rows_of(table, owner, usages)
    for described in rows:
        yield from _ask_row(described, dice)
    yield from _ask_together(rows, dice)


def read_rows(block: Block, owner: str | None, usages: Usages) -> list[Row]:
    """The rows of a table of options, variables or commands with what they do; [] of any other table."""
    return _rows_of(read_table(block.text), owner, usages)


def _rows_of(table: Table, owner: str | None, usages: Usages) -> list[Row]:
    role = table.role
    if role in (None, "abbreviation", "symptom") or table.header[1] not in DESCRIPTIONS:
        return []
    owner, default_at = table.owner or owner, table.column(DEFAULTS)
    rows = []
    for cells in (line.cells for line in table.rows):
        name = _read_name(cells[0])
        of_what = "argument" if role == "option" and name[:1] != "-" else role
        default = cells[default_at] if default_at >= 0 else ""
        row = Row(of_what or "", name, strip_labels(cells[1]), owner if role in _OPTIONS else None, default)
        known = role not in _OPTIONS or table.owner or (owner is not None and row.name in usages.get(owner, ()))
        if known and row.name and len(row.description.split()) >= LEAST_WORDS:
            rows.append(row)
    return rows


def _read_name(cell: str) -> str:
    """The one name of a cell: `-spacing` of "`[-spacing]`" and of "-spacing value"; "" for several, or none."""
    if "|" in cell:
        return ""
    text = cell.replace("`", "").strip("[] ")
    if text.startswith("-"):
        text = text.split()[0]
    return text if cell.count("`") <= 2 and NAME.fullmatch(text) else ""


def _ask_row(row: Row, dice: random.Random) -> Iterator[Pair]:
    """What an option, a variable, a command is for; which one it is; its default and its values."""
    sentences = first_sentences(row.description)
    predicate = as_predicate(sentences)
    if not sentences or (predicate and not _says_more(row.name, predicate)):
        return

    subject = dice.choice((f"`{row.name}`", f"The {row.role} `{row.name}`{row.whose}", f"The `{row.name}` {row.role}"))
    yield (
        dice.choice(
            (
                f"What does the `{row.name}` {row.role}{row.whose} do?",
                f"What does `{row.name}`{row.whose} mean?",
                f"What is `{row.name}`{row.whose} for?",
                f"Explain the {row.role} `{row.name}`{row.whose}.",
                f"{row.owner or row.role} {row.name}",
                f"When would I use `{row.name}`{row.whose}?",
                f"What is the {row.role} {row.name}{row.whose} used for?",
            )
        ),
        with_stop(f"{subject} {predicate}" if predicate else say_noun(row.name, sentences)),
    )

    if predicate:
        short = with_stop(f"{dice.choice((f'`{row.name}`', f'The {row.role} `{row.name}`'))} {predicate}")
        yield from ask_which(row.role, row.name, row.whose, predicate, short, dice)
    else:
        yield from _ask_which_noun(row, sentences, dice)
    yield from _ask_values(row, dice)


def _ask_which_noun(row: Row, description: str, dice: random.Random) -> Iterator[Pair]:
    """Which one it is, where the description names a thing: "Which option gives the file name?"."""
    noun = re.sub(r"^(?:the|an?) ", "", lower_first(as_question_part(description)))
    if (
        3 <= len(noun.split()) <= 18
        and not _NO_NOUN.match(description)
        and row.name.strip("-").lower() not in description.lower()
    ):
        question = dice.choice(
            (f"Which {row.role}{row.whose} gives the {noun}?", f"Which {row.role}{row.whose} is for the {noun}?")
        )
        yield question, f"`{row.name}`{row.whose}: {with_stop(lower_first(description))}"


def _ask_together(rows: list[Row], dice: random.Random) -> Iterator[Pair]:
    """Some rows that stand together, explained in one list."""
    count = dice.choice(TOGETHER)
    if len(rows) < count or rows[0].role not in (*_OPTIONS, "variable", "command", "pass"):
        return
    start = dice.randint(0, len(rows) - count)
    some = rows[start : start + count]
    names = _join([f"`{row.name}`" for row in some])
    yield (
        dice.choice(
            (
                f"Explain the {some[0].role}s {names}{some[0].whose}.",
                f"What do the {some[0].role}s {names}{some[0].whose} do?",
            )
        ),
        "\n".join(f"- `{row.name}`: {with_stop(first_sentences(row.description, most_words=30))}" for row in some),
    )


def say_noun(name: str, description: str) -> str:
    """A description that does not begin with a verb, said of the name."""
    return (
        f"`{name}` is {lower_first(description)}"
        if re.match(r"(?:the|an?)\b", description, re.IGNORECASE)
        else f"`{name}`: {description}"
    )


def _ask_values(row: Row, dice: random.Random) -> Iterator[Pair]:
    default, unit = read_default(row.description, row.default)
    if default and len(default.split()) <= 4 and "`" not in default:
        yield (
            dice.choice(
                (
                    f"What is the default of `{row.name}`{row.whose}?",
                    f"What is the default value of `{row.name}`{row.whose}?",
                    f"Which value does `{row.name}`{row.whose} have if I do not set it?",
                    f"{row.name}{row.whose} default".replace("`", ""),
                )
            ),
            f"The default of `{row.name}` is `{default}`{unit}.",
        )

    if allowed := _ALLOWED.search(row.description):
        question = dice.choice(
            (
                f"Which values does `{row.name}`{row.whose} accept?",
                f"What are the allowed values of `{row.name}`{row.whose}?",
            )
        )
        yield question, f"The allowed values of `{row.name}` are {allowed[1]}."


def _ask_abbreviation(cells: Sequence[str], dice: random.Random) -> Iterator[Pair]:
    name, expansion = cells[0].strip("`"), cells[1].split(";")[0]
    spelled = expansion if re.search(r"[ -][A-Z]", expansion) else expansion[:1].lower() + expansion[1:]
    question = dice.choice(
        (f"What does {name} stand for?", f"What does the abbreviation {name} mean?", f"{name} stands for what?")
    )
    yield question, f"{name} stands for {with_stop(spelled)}"
    if len(cells) > 2 and says_something(cells[2]):
        question = dice.choice((f"What is {name}?", f"Define {name}.", f"What is {name} in chip design?"))
        yield question, f"{name} ({spelled}): {with_stop(lower_first(cells[2]))}"
    yield (
        dice.choice((f"What is the abbreviation of {spelled}?", f"How is {spelled} abbreviated?")),
        f"The abbreviation of {spelled} is {name}.",
    )


def _ask_symptom(header: Sequence[str], cells: Sequence[str], dice: random.Random) -> Iterator[Pair]:
    symptom = lower_first(cells[0].rstrip("."))
    if len(symptom.split()) < 2 and "`" not in symptom:
        return

    for title, cell in zip(header[1:], cells[1:], strict=True):
        sentence = with_stop(lower_first(cell))
        if not says_something(cell):
            continue
        if title in CAUSES:
            question = dice.choice(
                (
                    f"What causes {symptom}?",
                    f"I see this: {symptom}. What is a likely cause?",
                    f"What can be the cause of {symptom}?",
                )
            )
            yield question, f"A likely cause of {symptom}: {sentence}"
        elif title in _CURES:
            question = dice.choice(
                (
                    f"How do I fix {symptom}?",
                    f"What can I do about {symptom}?",
                    f"I see this: {symptom}. What should I do?",
                )
            )
            yield question, f"What helps against {symptom}: {sentence}"


def _ask_cell(header: Sequence[str], cells: Sequence[str], dice: random.Random) -> Iterator[Pair]:
    """One cell of a table with other headers, by row and column."""
    columns = [
        number for number, title in enumerate(header) if number and title in _ASKABLE and says_something(cells[number])
    ]
    name = lower_first(cells[0].rstrip("."))
    if not columns or len(name) < 3 or name.replace("`", "").isdecimal() or name.startswith(("-", "`-", "[")):
        return
    column = dice.choice(columns)
    question = dice.choice((f"What is the {header[column]} of {name}?", f"What is the {header[column]} for {name}?"))
    yield question, f"The {header[column]} of {name}: {with_stop(lower_first(cells[column]))}"
