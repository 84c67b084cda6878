"""The reference of an index, read from its passages: which commands, variables and messages they describe, and where.

Form alone decides: a synopsis, a table whose header names options, a heading that is an option, a usage text. A word of
prose is never a command. `findings` keeps what is found and decides whose options a table has. Nothing is read twice,
so the time is linear in the text.

    reference = read_reference(chunks); reference.lookup("global_route")
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from rag.blocks import CUT, MAX_HEADING_CHARACTERS
from rag.documents import Chunk
from rag.passages import ITEM
from rag.reference.cards import Command, Message, Option, Place, Reference, Variable
from rag.reference.descriptions import (
    SENTENCE_END,
    find_default,
    read_first_item,
    read_first_paragraph,
    shorten,
)
from rag.reference.drafts import CommandDraft
from rag.reference.examples import Call, is_covered, read_calls
from rag.reference.findings import MAN_TITLE, Findings
from rag.reference.messages import LONGEST_TEXT, WORD, read_message
from rag.reference.rows import MESSAGES_HEADING, read_rows
from rag.reference.sections import SectionBlock, read_blocks
from rag.reference.synopses import (
    COMMAND,
    Synopsis,
    is_example_language,
    read_option_names,
    read_synopses,
    read_synopsis,
)
from rag.reference.tables import read_default
from rag.reference.usages import Usage, read_definition, read_items, read_usage

PROSE = tuple(".md .markdown .mdown .rst .rest .html .htm .xhtml .txt .text .docx .pdf .n .man".split())
_MAN_PAGE = re.compile(r"\.[1-9](?:p|pm|perl|ssl|tcl|tk|x|posix)?$")
# Documents about a project's people, forms to copy, and copies that tests are made with: the names in them are invented
# or stale.
_NOT_OF_TOOLS = re.compile(r"code_of_conduct|licen[sc]e|readmeformat|template|(?:^|/)tests?/", re.IGNORECASE)

_SYNOPSIS_HEADING = re.compile(r"(?:synopsis|syntax|usage|name and synopsis)", re.IGNORECASE)
_COMMANDS_HEADING = re.compile(r"commands?\b|functions?\b|\bapi\b|procedures?\b|syntax|usage|synopsis", re.IGNORECASE)
_VARIABLES_HEADING = re.compile(r"\b(?:variables?|environment)\b", re.IGNORECASE)
_STAGE_HEADING = re.compile(r"(?P<stage>[A-Za-z][\w -]{0,30}?) variables", re.IGNORECASE)
_NO_STAGES = frozenset(
    {"uncategorized", "other", "general", "common", "all", "required", "optional", "environment", "global"}
)
_STAGE_ITEM = re.compile(r"[-*+]\s+`?\[?(?P<name>[A-Z_][A-Z0-9_]*)\]?`?")
_CAPITALS = re.compile(r"(?P<name>[A-Z][A-Z0-9_]{1,59})(?: <[^<>]*>)?")  # `HOME`, `HOME <dir>`
_GROUPS = re.compile(f"{MESSAGES_HEADING.pattern}|{_VARIABLES_HEADING.pattern}", re.IGNORECASE)
_SECTIONS = frozenset(
    """
    NAME SYNOPSIS DESCRIPTION OPTIONS ARGUMENTS OPERANDS COMMANDS ENVIRONMENT FILES EXAMPLES EXAMPLE NOTES NOTE BUGS
    AUTHOR AUTHORS COPYRIGHT LICENSE HISTORY DIAGNOSTICS STANDARDS SECURITY OVERVIEW INTRODUCTION USAGE WARNING
    WARNINGS ERROR ERRORS MESSAGES CAVEATS REPORTING REFERENCES CONFIGURATION SEE VERSION RETURN STATUS
    """.split()
)
# A sentence that begins with a command, and what it says of a command that no longer exists.
_COMMAND_SENTENCE = re.compile(
    r"(?:\A|(?<=[.!?]\s))The `(?P<name>[a-z][a-z0-9]*(?:(?:_|::)[a-z0-9]+)*)` (?:command|pass) (?=[a-z])"
)
_GONE = re.compile(r"\b(?:removed|renamed|deprecated|no longer)\b")
# What a document puts in quotes or backticks, or begins a line of code with: these name programs.
_NAMED = re.compile(
    r"[\"`](?P<quoted>[a-z][\w.+-]{1,60})[\"`]|^(?:\$ |% )?(?P<begun>[a-z][\w.+-]{1,60}) ", re.MULTILINE
)
_COMMAND_WORD = re.compile(r"\b[Cc]ommand\b")
_BETWEEN_CALLS = re.compile(r",\s+(?=[a-z]\w{0,60}(?:\s+[\[(-]|$|,))")
_SET = re.compile(r"set (?P<name>[a-z]\w*_\w+) (?P<values>\w+(?:\|\w+)+|<[^<>]+>)")  # `set timing_mode early|late`
# A paragraph that says something by itself: a whole sentence, or "To hide a widget:".
_STATEMENT = re.compile(r"\A(?!Returns\b).*[.!)]\Z|\ATo .*:\Z", re.DOTALL)
# Documents that show only what is new in a command.
_NOTES = re.compile(r"change_?log|release[-_ ]?notes|what.?s[-_ ]?new|\b(?:changes|news|history)\b", re.IGNORECASE)
_WHOLE_NAME = re.compile(r"`([^`]+)`")
MOST_CALLS = 20_000  # in a document
MOST_EXAMPLES = 200  # of one command that are compared with its cards
_NAME_AND_PURPOSE = re.compile(r"(?P<name>[a-z][\w:.-]*)\s*(?:\s-+\s|\n)\s*(?P<purpose>\S.*)", re.DOTALL)


def read_reference(chunks: Iterable[Chunk]) -> Reference:
    """The reference of passages in the order of their documents.

    It never fails: what it does not understand is left out.
    """
    commands: list[Command] = []
    variables: list[Variable] = []
    messages: list[Message] = []

    for collection, of_collection in groupby(chunks, key=_collection):
        own: list[Command] = []
        calls: dict[str, set[Call]] = {}

        for path, of_document in groupby(of_collection, key=_path):
            passages = list(of_document)
            if is_read(path):
                reader = _DocumentReader(collection, passages)
                reader.read()
                own += reader.found.commands(is_partial=_NOTES.search(f"{path} {passages[0].title}") is not None)
                variables += reader.found.variables.values()
                messages += reader.found.messages.values()
                for call in reader.calls:
                    known = calls.setdefault(call.name, set())
                    if len(known) < MOST_EXAMPLES:
                        known.add(call)

        commands += _mark_partial(own, calls)
    return Reference(tuple(commands), tuple(variables), tuple(messages))


def _mark_partial(commands: Sequence[Command], calls: Mapping[str, set[Call]]) -> Iterator[Command]:
    """The commands of a collection; those whose examples use more than all documents say are marked partial."""
    cards: dict[str, list[Command]] = {}
    for command in commands:
        cards.setdefault(command.name, []).append(command)
    partial = {
        name for name, found in cards.items() if not all(is_covered(call, found) for call in calls.get(name, ()))
    }
    yield from (replace(command, is_partial=True) if command.name in partial else command for command in commands)


def _collection(chunk: Chunk) -> str:
    return chunk.collection


def _whole_names(block: SectionBlock) -> list[str]:
    """The names that are too long for a heading, which a block gives one a line (`rag.blocks.name_definition`)."""
    found = [_WHOLE_NAME.fullmatch(line.text) for line in block.lines] if block.kind == "prose" and block.path else []
    names = [name[1] for name in found if name]
    is_all = len(names) == len(block.lines) and names and len(", ".join(names)) > MAX_HEADING_CHARACTERS
    return names if is_all and block.path[-1].startswith(names[0].split(" ", 1)[0]) else []


def _path(chunk: Chunk) -> str:
    return chunk.path


def is_read(path: str) -> bool:
    """Whether a document is prose about tools, not about a project's people, a form to copy, or a test's."""
    name = path.lower().removesuffix(".gz")
    return (name.endswith(PROSE) or _MAN_PAGE.search(name) is not None) and not _NOT_OF_TOOLS.search(path)


class _DocumentReader:
    """Reads one document's blocks in order."""

    def __init__(self, collection: str, passages: Sequence[Chunk]) -> None:
        self._passages = passages
        self._title = passages[0].title
        named = (found.groups() for passage in passages for found in _NAMED.finditer(passage.text))
        self.found = Findings(collection, self._title, frozenset(name for names in named for name in names if name))
        self.calls: set[Call] = set()  # of any command, in code
        self._section = ""  # of a manual page in plain text
        self._waiting: list[tuple[str, str]] = []  # options in a paragraph of their own
        self._prose: SectionBlock | None = None  # the last paragraph under the present headings
        self._first_prose: SectionBlock | None = None

    def read(self) -> None:
        """Read all passages of the document."""
        before: SectionBlock | None = None
        names: list[str] = []  # those of a heading too long to stand over passages: its first block has them

        for block in read_blocks(self._passages):
            if not before or block.path != before.path:
                if before and names:
                    self._read_heading(before, names)
                self._prose = self._first_prose = None
                self._waiting = []
                names = _whole_names(block)
                if names:
                    before = block
                    continue
                self._read_heading(block)
            elif names:
                self._read_heading(block, names)
                names = []
            elif block.kind == "prose" and not self._first_prose and before.kind == "code":
                self._read_heading(block)  # its description stands below the code

            if block.kind == "code":
                self._read_code(block)
            elif block.kind == "table":
                read_rows(self.found, block, before, self._title)
            elif block.kind == "list":
                self._read_list(block)
            else:
                self._read_prose(block)
            self._read_messages(block)
            before = block

        if before and names:
            self._read_heading(before, names)

    # --- headings that are options, commands, variables or messages ---------------------------------------------

    def _read_heading(self, block: SectionBlock, names: Sequence[str] = ()) -> None:
        """Read what the heading over this block, the first below it, names; or the `names` that replace the heading."""
        if not block.path:
            return
        heading, above = ", ".join(names) or block.path[-1], (self._title, *block.path[:-1])
        is_cut = heading.endswith(CUT)
        heading = heading.removesuffix(CUT)
        description = "" if block.kind == "code" or _whole_names(block) else shorten(block.text)
        if options := [option for name in names or [heading] for option in _heading_options(name, is_cut)]:
            owner = self.found.owner(block.path[:-1], [name for name, _ in options], block.place())
            for name, argument in options if owner else ():
                assert owner is not None
                owner.is_cut |= is_cut
                owner.add(
                    Option(name, argument, find_default(description), description, block.place(), is_described=True)
                )
        elif capitals := _CAPITALS.fullmatch(heading):
            self._read_capitals(capitals["name"], above, description, block)
        else:
            self._read_called_headings(names or _BETWEEN_CALLS.split(heading), description, block, is_cut)

    def _read_capitals(self, heading: str, above: Sequence[str], description: str, block: SectionBlock) -> None:
        """`WIDTHTRUNC` below "Warnings", `VERILATOR_ROOT` below "Environment".

        The names of sections that every manual page has do not count.
        """
        over = next(
            (title for title in reversed(above) if _GROUPS.search(title) and not MAN_TITLE.fullmatch(title)), ""
        )
        if heading in _SECTIONS or not over:
            return
        if _VARIABLES_HEADING.search(over):
            self.found.add_variable(heading, read_default(description)[0], "", description, block.place())
        elif WORD.fullmatch(heading):
            self.found.add_message(heading, description[:LONGEST_TEXT], block.place())

    def _read_called_headings(self, pieces: Sequence[str], description: str, block: SectionBlock, is_cut: bool) -> None:
        """`lint_off [-rule <message>]`, or several with commas: a command that stands over its description."""
        for number, piece in enumerate(pieces, start=1):
            is_last = is_cut and number == len(pieces)
            synopsis = read_synopsis([piece], is_cut=is_last)
            if (
                synopsis
                and synopsis.is_strong
                and (synopsis.options or synopsis.arguments)
                and len(synopsis.arguments) < 4
            ):
                ends = [part.spot.end for part in (*synopsis.options, *synopsis.arguments)]
                text = f"{piece[: max(ends)]} ..." if is_last else piece
                draft = self._add_synopsis(synopsis, text, block.place(), block, None)
                draft.is_cut |= is_last
                draft.description = draft.description or description

    # --- code ---------------------------------------------------------------------------------------------------

    def _read_code(self, block: SectionBlock) -> None:
        if is_example_language(block.language):
            return

        lines = [line.text for line in block.lines]
        synopses = read_synopses(lines)
        if not any(synopsis.is_strong for _, synopsis in synopses) and len(self.calls) < MOST_CALLS:
            self.calls.update(read_calls(lines))

        for first, synopsis in synopses:
            if f"`{synopsis.name}` variable" in self._near():
                self.found.add_variable(synopsis.name, "", "", self._purpose(synopsis.name), block.place(first))
            elif synopsis.is_strong or self._is_announced(synopsis, block):
                last = first + synopsis.lines - 1
                text = "\n".join(line.rstrip() for line in lines[first : last + 1])
                draft = self._add_synopsis(synopsis, text, block.place(first, last), block, first)
                if len(synopses) == 1:
                    draft.description = draft.description or read_first_paragraph(lines[last + 1 :])

        self._read_usage(block, lines)
        for number, line in enumerate(lines):
            if found := _SET.fullmatch(line.strip()):
                purpose = self._purpose(found["name"])
                if "variable" in purpose:
                    self.found.add_variable(found["name"], "", "", purpose, block.place(number, number))

    def _is_announced(self, synopsis: Synopsis, block: SectionBlock) -> bool:
        """Whether the text above a line that may be an example names this command, in prose or in a heading."""
        name = synopsis.name
        near = self._near()
        if COMMAND.fullmatch(name) and re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", near):
            return True
        heading = block.path[-1] if block.path else self._title
        words = re.sub(r"[^a-z0-9]+", "_", heading.lower().replace("'", "")).strip("_")
        if COMMAND.fullmatch(name) is None:
            return (words == name or f"`{name}`" in near) and not synopsis.options and not synopsis.arguments
        if not synopsis.options and not synopsis.arguments and _COMMAND_WORD.search(near):
            return True
        is_alone = not synopsis.arguments or block.language == "tcl"
        return words in (name, name.replace("::", "_")) or (
            is_alone and any(map(_COMMANDS_HEADING.search, block.path[:-1]))
        )

    def _near(self) -> str:
        """The first and the last paragraph under the present headings."""
        return " ".join(piece.text for piece in (self._first_prose, self._prose) if piece)

    def _add_synopsis(
        self, synopsis: Synopsis, text: str, place: Place, block: SectionBlock, first: int | None
    ) -> CommandDraft:
        """Add a synopsis to its command; `first` is the number of its line in the block, None where it is a heading."""
        draft = self.found.draft(synopsis.name, place)
        if draft.has_strong and not synopsis.is_strong:
            return draft  # an example
        self.found.add_synopsis(draft, synopsis, text, place, block, first)
        if not draft.description and first is not None:
            draft.description = self._purpose(synopsis.name)
        return draft

    def _purpose(self, name: str) -> str:
        """What the paragraphs above a synopsis say: the first one that has its name, else a whole sentence.

        That sentence is the section's first paragraph, or the last one where the section has shown another command
        before.
        """
        paragraphs = [piece.text.strip() for piece in (self._first_prose, self._prose) if piece]
        for text in paragraphs:
            if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text):
                return shorten(text)
        path = self._first_prose.path if self._first_prose else ()
        section = self.found.of_section(path)
        if len(section) > (name in section):
            paragraphs.reverse()
        return next((shorten(text).rstrip(":") for text in paragraphs if _STATEMENT.search(text)), "")

    def _read_usage(self, block: SectionBlock, lines: Sequence[str]) -> None:
        if usages := read_usage(lines):
            self._add_usages(usages, block)

    def _add_usages(self, usages: Sequence[Usage], block: SectionBlock) -> None:
        names = [name for usage in usages for name, _ in usage.names]
        if owner := self.found.owner(block.path, names, block.place()):
            for usage in usages:
                description = shorten(usage.description)
                for name, argument in usage.names:
                    place = block.place(usage.first, usage.last)
                    owner.add(Option(name, argument, find_default(description), description, place, is_described=True))

    # --- prose and lists ----------------------------------------------------------------------------------------

    def _read_prose(self, block: SectionBlock) -> None:
        block = self._strip_section_name(block)
        lines = [line.text for line in block.lines]
        heading = block.path[-1] if block.path else ""
        is_synopsis = bool(_SYNOPSIS_HEADING.fullmatch(heading)) or lines[0].lower().lstrip().startswith("usage:")
        is_synopsis |= self._section == "synopsis"
        is_synopsis_read = is_synopsis

        if is_synopsis or "[-" in lines[0] or "[-" in "".join(lines[1:2]):
            for first, synopsis in read_synopses([line.replace("`", "") for line in lines]):
                if synopsis.is_strong and (is_synopsis or COMMAND.fullmatch(synopsis.name)):
                    is_synopsis_read = True
                    last = first + synopsis.lines - 1
                    self._add_synopsis(
                        synopsis, "\n".join(lines[first : last + 1]), block.place(first, last), block, first
                    )

        names = [name for line in lines for name in read_option_names(line.replace("`", ""))]
        if names and all(read_option_names(line.replace("`", "")) for line in lines):
            self._waiting = names  # a paragraph that says what they do comes next
            return

        if defined := read_definition(lines) or (
            [Usage(tuple(self._waiting), block.text, 0, len(lines) - 1)] if self._waiting else []
        ):
            self._add_usages(defined, block)
        elif any(line.lstrip(" `")[:1] in ("-", "+") for line in lines):
            self._read_usage(block, lines)
        self._read_command_sentences(block)
        self._waiting = []

        if not is_synopsis_read:
            self._prose = block
            self._first_prose = self._first_prose or block

    def _strip_section_name(self, block: SectionBlock) -> SectionBlock:
        """The block without a section's name in its first line, as manual pages in plain text have it.

        Such names are "SYNTAX" and "ARGUMENTS".
        """
        first = block.lines[0].text.strip()
        self._section = ""
        if len(block.lines) < 2 or not (_SYNOPSIS_HEADING.fullmatch(first) or (first in _SECTIONS and first.isupper())):
            return block
        self._section = "synopsis" if _SYNOPSIS_HEADING.fullmatch(first) else first.lower()
        rest = replace(block, lines=block.lines[1:])
        if self._section == "name" and (found := _NAME_AND_PURPOSE.fullmatch(rest.text.strip())):
            self.found.purposes[found["name"]] = shorten(found["purpose"])
        return rest

    def _read_command_sentences(self, block: SectionBlock) -> None:
        """Commands that a sentence describes: "The `opt_expr` pass ..."; not those that no longer exist."""
        text = block.text
        for found in _COMMAND_SENTENCE.finditer(text):
            end = SENTENCE_END.search(text, found.end())
            stop = end.end() if end else len(text)
            sentence = text[found.start() : stop]
            if not _GONE.search(sentence):
                line = block.lines[0]
                place = replace(block.place(), start=line.start + found.start(), end=line.start + stop)
                draft = self.found.draft(found["name"], place)
                draft.description = draft.description or shorten(sentence)

    def _read_list(self, block: SectionBlock) -> None:
        lines = [line.text for line in block.lines]
        if usages := read_items(lines):
            self._add_usages(usages, block)
        for number, line in enumerate(lines):
            item = ITEM.match(line)
            synopsis = read_synopsis([line[item.end() - 1 :].replace("`", "")]) if item and "[-" in line else None
            if item and synopsis and synopsis.is_strong and COMMAND.fullmatch(synopsis.name):
                draft = self._add_synopsis(synopsis, line[item.end() - 1 :], block.place(number, number), block, None)
                draft.description = draft.description or read_first_item(lines[number + 1 :])
        stage = _STAGE_HEADING.fullmatch(block.path[-1]) if block.path else None
        if stage and stage["stage"].lower() not in _NO_STAGES:
            names = [item["name"] for line in lines if (item := _STAGE_ITEM.fullmatch(line.strip()))]
            for name in names:
                self.found.add_stage(name, stage["stage"])

    # --- messages -----------------------------------------------------------------------------------------------

    def _read_messages(self, block: SectionBlock) -> None:
        """Lines in code or prose that are messages of a tool.

        Also paragraphs and items that begin with a number and explain it.
        """
        for number, line in enumerate(block.lines):
            if "-" in line.text and (found := read_message(line.text)):
                self.found.add_message(*found, block.place(number, number))


def _heading_options(heading: str, is_cut: bool) -> list[tuple[str, str]]:
    """The options that a heading consists of; for a heading that was cut, all but the last."""
    if heading[:1] not in "-+[`":
        return []
    whole = heading.rpartition(", ")[0] if is_cut else heading
    return read_option_names(whole.replace("`", ""))
