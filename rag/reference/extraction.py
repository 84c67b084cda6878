"""The reference of an index, read from its passages: which commands, variables and messages the documents describe, and
where.

Form alone decides: a synopsis, a table whose header names options, a heading that is an option, a usage text. A word of
prose is never a command. Whose options a table has is decided by what it has in common with a synopsis above it.
Nothing is read twice, so the time grows with the text and no faster.

    reference = read_reference(chunks); reference.lookup("global_route")
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, islice

from rag.blocks import CUT, MAX_HEADING_CHARACTERS
from rag.documents import Chunk
from rag.passages import ITEM
from rag.reference.cards import Command, Message, Option, Place, Reference, Variable
from rag.reference.descriptions import (
    LONGEST_DESCRIPTION,
    SENTENCE_END,
    find_default,
    read_first_item,
    read_first_paragraph,
    shorten,
)
from rag.reference.drafts import CommandDraft
from rag.reference.examples import Call, is_covered, read_calls
from rag.reference.messages import LONGEST_TEXT, NUMBER, WORD, read_message
from rag.reference.sections import SectionBlock, has_header, read_blocks
from rag.reference.synopses import (
    COMMAND,
    Synopsis,
    is_example_language,
    read_cell_names,
    read_option_names,
    read_synopses,
    read_synopsis,
)
from rag.reference.tables import DEFAULTS, DESCRIPTIONS, STAGES, Table, read_default, read_table
from rag.reference.usages import Usage, read_definition, read_items, read_usage

PROSE = (
    ".md",
    ".markdown",
    ".mdown",
    ".rst",
    ".rest",
    ".html",
    ".htm",
    ".xhtml",
    ".txt",
    ".text",
    ".docx",
    ".pdf",
    ".n",
    ".man",
)
_MAN_PAGE = re.compile(r"\.[1-9](?:p|pm|perl|ssl|tcl|tk|x|posix)?$")
# Documents about a project's people, forms to copy, and copies that tests are made with: what they name is made up or
# stale.
_NOT_OF_TOOLS = re.compile(r"code_of_conduct|licen[sc]e|readmeformat|template|(?:^|/)tests?/", re.IGNORECASE)

_LEAD = re.compile(
    r"(?:For|(?:The )?(?:options?|arguments?|flags?|switches|parameters) (?:of|for|to)) (?:the )?`([^`]+)`[^`]{0,40}:?"
)
_OPTIONS_HEADING = re.compile(
    r"[`\"]?(?P<name>[a-z][\w.+-]*)[`\"]? (?:command[- ]line "
    r")?(?:arguments|options|switches|flags|usage|synopsis|command)",
    re.IGNORECASE,
)
_MAN_TITLE = re.compile(r"(?P<name>[a-z][\w.+-]*)(?:\(\w{1,4}\))? (?:-{1,2}|\u2013|\u2014) (?P<told>\S.*)")
_SYNOPSIS_HEADING = re.compile(r"(?:synopsis|syntax|usage|name and synopsis)", re.IGNORECASE)
_COMMANDS_HEADING = re.compile(r"commands?\b|functions?\b|\bapi\b|procedures?\b|syntax|usage|synopsis", re.IGNORECASE)
_MESSAGES_HEADING = re.compile(r"\b(?:warnings?|errors?|messages?)\b", re.IGNORECASE)
_VARIABLES_HEADING = re.compile(r"\b(?:variables?|environment)\b", re.IGNORECASE)
_STAGE_HEADING = re.compile(r"(?P<stage>[A-Za-z][\w -]{0,30}?) variables", re.IGNORECASE)
_NO_STAGES = frozenset(
    {"uncategorized", "other", "general", "common", "all", "required", "optional", "environment", "global"}
)
_STAGE_ITEM = re.compile(r"[-*+]\s+`?\[?(?P<name>[A-Z_][A-Z0-9_]*)\]?`?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:::[A-Za-z0-9_]+)*")
_CAPITALS = re.compile(r"(?P<name>[A-Z][A-Z0-9_]{1,59})(?: <[^<>]*>)?")  # `HOME`, `HOME <dir>`
_GROUPS = re.compile(f"{_MESSAGES_HEADING.pattern}|{_VARIABLES_HEADING.pattern}", re.IGNORECASE)
_SECTIONS = frozenset(
    {
        "NAME",
        "SYNOPSIS",
        "DESCRIPTION",
        "OPTIONS",
        "ARGUMENTS",
        "OPERANDS",
        "COMMANDS",
        "ENVIRONMENT",
        "FILES",
        "EXAMPLES",
        "EXAMPLE",
        "NOTES",
        "NOTE",
        "BUGS",
        "AUTHOR",
        "AUTHORS",
        "COPYRIGHT",
        "LICENSE",
        "HISTORY",
        "DIAGNOSTICS",
        "STANDARDS",
        "SECURITY",
        "OVERVIEW",
        "INTRODUCTION",
        "USAGE",
        "WARNING",
        "WARNINGS",
        "ERROR",
        "ERRORS",
        "MESSAGES",
        "CAVEATS",
        "REPORTING",
        "REFERENCES",
        "CONFIGURATION",
        "SEE",
        "VERSION",
        "RETURN",
        "STATUS",
    }
)
_CALLED_HEADING = re.compile(r"(?P<name>[a-z][a-z0-9]*_[a-z0-9_]+)")
# A sentence that begins with a command, and what it says of one that is there no more.
_TOLD = re.compile(
    r"(?:\A|(?<=[.!?]\s))The `(?P<name>[a-z][a-z0-9]*(?:(?:_|::)[a-z0-9]+)*)` (?:command|pass) (?=[a-z])"
)
_GONE = re.compile(r"\b(?:removed|renamed|deprecated|no longer)\b")
# What a document puts in quotes or backticks, or begins a line of code with: so it names programs.
_NAMED = re.compile(
    r"[\"`](?P<quoted>[a-z][\w.+-]{1,60})[\"`]|^(?:\$ |% )?(?P<begun>[a-z][\w.+-]{1,60}) ", re.MULTILINE
)
_COMMAND_TOLD = re.compile(r"\b[Cc]ommand\b")
_REMARK = re.compile(r"\s\([^()]*\)\s*$")  # `NAME (deprecated)`
_BETWEEN_CALLS = re.compile(r",\s+(?=[a-z]\w{0,60}(?:\s+[\[(-]|$|,))")
_SET = re.compile(r"set (?P<name>[a-z]\w*_\w+) (?P<values>\w+(?:\|\w+)+|<[^<>]+>)")  # `set timing_mode early|late`
# A paragraph that tells something by itself: a whole sentence, or "To hide a widget:".
_TELLS = re.compile(r"\A(?!Returns\b).*[.!)]\Z|\ATo .*:\Z", re.DOTALL)
# Documents that show what is new of a command, and not the whole.
_NOTES = re.compile(r"change_?log|release[-_ ]?notes|what.?s[-_ ]?new|\b(?:changes|news|history)\b", re.IGNORECASE)
_WHOLE_NAME = re.compile(r"`([^`]+)`")
MOST_CALLS = 20_000  # of a document
MOST_EXAMPLES = 200  # of one command that are held against its cards
_NAME_AND_PURPOSE = re.compile(r"(?P<name>[a-z][\w:.-]*)\s*(?:\s-+\s|\n)\s*(?P<told>\S.*)", re.DOTALL)
MOST_CANDIDATES = 20  # commands of one section that its options may be of


def read_reference(chunks: Iterable[Chunk]) -> Reference:
    """The reference of passages that lie in the order of their documents.

    It never fails: what is not understood is left out.
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
                reader = _DocumentReader(collection, passages[0].title)
                reader.read(passages)
                own += reader.finish(is_partial=_NOTES.search(f"{path} {passages[0].title}") is not None)
                variables += reader.variables.values()
                messages += reader.messages.values()
                for call in reader.calls:
                    known = calls.setdefault(call.name, set())
                    if len(known) < MOST_EXAMPLES:
                        known.add(call)
        commands += _mark_partial(own, calls)
    return Reference(tuple(commands), tuple(variables), tuple(messages))


def _mark_partial(commands: Sequence[Command], calls: Mapping[str, set[Call]]) -> Iterator[Command]:
    """The commands of a collection, those marked whose examples use more than all documents together say of them."""
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
    """Whether a document is prose about tools: not about a project's people, no form to copy, no test's."""
    name = path.lower().removesuffix(".gz")
    return (name.endswith(PROSE) or _MAN_PAGE.search(name) is not None) and not _NOT_OF_TOOLS.search(path)


class _DocumentReader:
    """Reads one document's blocks in order."""

    def __init__(self, collection: str, title: str) -> None:
        self.variables: dict[str, Variable] = {}
        self.messages: dict[str, Message] = {}
        self.calls: set[Call] = set()  # of any command, in code
        self._collection = collection
        self._title = title
        self._commands: dict[str, CommandDraft] = {}
        self._last: CommandDraft | None = None  # the one whose synopsis was read last
        self._of_section: dict[tuple[str, ...], dict[str, CommandDraft]] = {}  # with synopses under a path, in order
        self._section = ""  # of a manual page in plain text
        self._purposes: dict[str, str] = {}  # what its NAME section says of a command
        self._waiting: list[tuple[str, str]] = []  # options of a paragraph of their own
        self._prose: SectionBlock | None = None  # the paragraph that stands last under the present headings
        self._first_prose: SectionBlock | None = None
        self._path: tuple[str, ...] = ()
        self._words: frozenset[str] = frozenset()  # what it puts in quotes or backticks, or begins a line with

    def read(self, passages: Sequence[Chunk]) -> None:
        """Read all passages of the document."""
        self._words = frozenset(
            name for passage in passages for found in _NAMED.finditer(passage.text) for name in found.groups() if name
        )
        before: SectionBlock | None = None
        names: list[str] = []  # of a heading that is too long to stand over passages: its first block has them
        for block in read_blocks(passages):
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
                self._read_heading(block)  # what it does stands below the code
            if block.kind == "code":
                self._read_code(block)
            elif block.kind == "table":
                self._read_table(block, before)
            elif block.kind == "list":
                self._read_list(block)
            else:
                self._read_prose(block)
            self._read_messages(block)
            before = block
        if before and names:
            self._read_heading(before, names)

    def finish(self, is_partial: bool) -> Iterator[Command]:
        """The document's commands; `is_partial`: it is one that shows what is new of them."""
        for draft in self._commands.values():
            title = _MAN_TITLE.fullmatch(self._title)
            if title and title["name"] == draft.name:
                draft.description = draft.description or title["told"]
            draft.description = self._purposes.get(draft.name, draft.description)
            synopsis = "\n".join(draft.synopses)
            options, arguments = list(draft.options.values()), list(draft.arguments.values())
            if len(draft.synopses) > 1:  # what one way to call it needs, another may leave out
                options, arguments = (
                    [replace(one, is_required=False) for one in group] for group in (options, arguments)
                )
            yield Command(
                draft.name,
                self._collection,
                synopsis,
                draft.description,
                tuple(options),
                draft.place,
                tuple(arguments),
                is_partial or draft.is_cut,
            )

    # --- headings that are options, commands, variables or messages ---------------------------------------------

    def _read_heading(self, block: SectionBlock, names: Sequence[str] = ()) -> None:
        """What the heading over this block, the first below it, names; or what stands there in its place (`names`)."""
        if not block.path:
            return
        heading, above = ", ".join(names) or block.path[-1], (self._title, *block.path[:-1])
        is_cut = heading.endswith(CUT)
        heading = heading.removesuffix(CUT)
        told = "" if block.kind == "code" or _whole_names(block) else shorten(block.text)
        if options := [option for name in names or [heading] for option in _heading_options(name, is_cut)]:
            owner = self._owner(block.path[:-1], [name for name, _ in options], block.place())
            for name, argument in options if owner else ():
                assert owner is not None
                owner.is_cut |= is_cut
                owner.add(Option(name, argument, find_default(told), told, block.place(), is_described=True))
        elif capitals := _CAPITALS.fullmatch(heading):
            self._read_capitals(capitals["name"], above, told, block)
        else:
            self._read_called_headings(names or _BETWEEN_CALLS.split(heading), told, block, is_cut)

    def _read_capitals(self, heading: str, above: Sequence[str], told: str, block: SectionBlock) -> None:
        """`WIDTHTRUNC` below "Warnings", `VERILATOR_ROOT` below "Environment"; not the sections that every manual page
        has.
        """
        over = next(
            (title for title in reversed(above) if _GROUPS.search(title) and not _MAN_TITLE.fullmatch(title)), ""
        )
        if heading in _SECTIONS or not over:
            return
        if _VARIABLES_HEADING.search(over):
            self._add_variable(Variable(heading, read_default(told)[0], "", told, self._collection, block.place()))
        elif WORD.fullmatch(heading):
            self._add_message(heading, told[:LONGEST_TEXT], block.place())

    def _read_called_headings(self, pieces: Sequence[str], told: str, block: SectionBlock, is_cut: bool) -> None:
        """`lint_off [-rule <message>]`, several with commas: a command stands over what it does."""
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
                draft.description = draft.description or told

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
                self._add_variable(
                    Variable(synopsis.name, "", "", self._purpose(synopsis.name), self._collection, block.place(first))
                )
            elif synopsis.is_strong or self._is_told(synopsis, block):
                last = first + synopsis.lines - 1
                text = "\n".join(line.rstrip() for line in lines[first : last + 1])
                draft = self._add_synopsis(synopsis, text, block.place(first, last), block, first)
                if len(synopses) == 1:
                    draft.description = draft.description or read_first_paragraph(lines[last + 1 :])
        self._read_usage(block, lines)
        for number, line in enumerate(lines):
            if found := _SET.fullmatch(line.strip()):
                told = self._purpose(found["name"])
                if "variable" in told:
                    self._add_variable(
                        Variable(found["name"], "", "", told, self._collection, block.place(number, number))
                    )

    def _is_told(self, synopsis: Synopsis, block: SectionBlock) -> bool:
        """Whether what is above a line that may be an example says that this is the command: its name in prose, or in a
        heading's words.
        """
        name = synopsis.name
        near = self._near()
        if COMMAND.fullmatch(name) and re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", near):
            return True
        heading = block.path[-1] if block.path else self._title
        words = re.sub(r"[^a-z0-9]+", "_", heading.lower().replace("'", "")).strip("_")
        if COMMAND.fullmatch(name) is None:
            return (words == name or f"`{name}`" in near) and not synopsis.options and not synopsis.arguments
        if not synopsis.options and not synopsis.arguments and _COMMAND_TOLD.search(near):
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
        """Put a synopsis to its command; `first` is the number of its line in the block, None where it is a heading."""
        draft = self._commands.setdefault(synopsis.name, CommandDraft(synopsis.name, place))
        if draft.has_strong and not synopsis.is_strong:
            return draft  # an example
        if synopsis.is_strong and not draft.has_strong:
            draft.forget_examples()
            draft.has_strong = True
        if not draft.synopses:
            draft.place = place
        if text not in draft.synopses and len(draft.synopses) < 20:
            draft.synopses.append(text)
        for part in (*synopsis.options, *synopsis.arguments):
            at = place if first is None else block.span(first + part.spot.line, part.spot.start, part.spot.end)
            draft.add(Option(part.name, part.argument, "", "", at, part.is_required, synopsis_place=at))
        draft.names |= synopsis.names
        draft.paths.add(block.path)
        self._of_section.setdefault(block.path, {})[draft.name] = draft
        self._last = draft
        draft.takes_any |= not synopsis.names or "options]" in text.lower() or "option]" in text.lower()
        if not draft.description and first is not None:
            draft.description = self._purpose(synopsis.name)
        return draft

    def _purpose(self, name: str) -> str:
        """What the paragraphs above a synopsis say: the first that has its name, else a whole sentence.

        That of the section's first paragraph, or of the last one where the section has shown another command before.
        """
        told = [piece.text.strip() for piece in (self._first_prose, self._prose) if piece]
        for text in told:
            if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text):
                return shorten(text)
        path = self._first_prose.path if self._first_prose else ()
        section = self._of_section.get(path, {})
        if len(section) > (name in section):
            told.reverse()
        return next((shorten(text).rstrip(":") for text in told if _TELLS.search(text)), "")

    def _read_usage(self, block: SectionBlock, lines: Sequence[str]) -> None:
        if usages := read_usage(lines):
            self._add_usages(usages, block)

    def _add_usages(self, usages: Sequence[Usage], block: SectionBlock) -> None:
        names = [name for usage in usages for name, _ in usage.names]
        if owner := self._owner(block.path, names, block.place()):
            for usage in usages:
                told = shorten(usage.description)
                for name, argument in usage.names:
                    place = block.place(usage.first, usage.last)
                    owner.add(Option(name, argument, find_default(told), told, place, is_described=True))

    # --- prose and lists ----------------------------------------------------------------------------------------

    def _read_prose(self, block: SectionBlock) -> None:
        block = self._strip_section_name(block)
        lines = [line.text for line in block.lines]
        heading = block.path[-1] if block.path else ""
        is_synopsis = bool(_SYNOPSIS_HEADING.fullmatch(heading)) or lines[0].lower().lstrip().startswith("usage:")
        is_synopsis |= self._section == "synopsis"
        is_told = is_synopsis
        if is_synopsis or "[-" in lines[0] or "[-" in "".join(lines[1:2]):
            for first, synopsis in read_synopses([line.replace("`", "") for line in lines]):
                if synopsis.is_strong and (is_synopsis or COMMAND.fullmatch(synopsis.name)):
                    is_told = True
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
        self._read_told_commands(block)
        self._waiting = []
        if not is_told:
            self._prose = block
            self._first_prose = self._first_prose or block

    def _strip_section_name(self, block: SectionBlock) -> SectionBlock:
        """The block without the name of a section in its first line, as manual pages in plain text have it: "SYNTAX",
        "ARGUMENTS".
        """
        first = block.lines[0].text.strip()
        self._section = ""
        if len(block.lines) < 2 or not (_SYNOPSIS_HEADING.fullmatch(first) or (first in _SECTIONS and first.isupper())):
            return block
        self._section = "synopsis" if _SYNOPSIS_HEADING.fullmatch(first) else first.lower()
        rest = replace(block, lines=block.lines[1:])
        if self._section == "name" and (found := _NAME_AND_PURPOSE.fullmatch(rest.text.strip())):
            self._purposes[found["name"]] = shorten(found["told"])
        return rest

    def _read_told_commands(self, block: SectionBlock) -> None:
        """Commands of which a sentence tells what they do: "The `opt_expr` pass ..."; not of those that are gone."""
        text = block.text
        for found in _TOLD.finditer(text):
            end = SENTENCE_END.search(text, found.end())
            stop = end.end() if end else len(text)
            sentence = text[found.start() : stop]
            if not _GONE.search(sentence):
                line = block.lines[0]
                place = replace(block.place(), start=line.start + found.start(), end=line.start + stop)
                draft = self._commands.setdefault(found["name"], CommandDraft(found["name"], place))
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
                known = self.variables.get(name)
                if known and stage["stage"] not in known.stage.split(", "):
                    self.variables[name] = replace(known, stage=", ".join(filter(None, (known.stage, stage["stage"]))))

    # --- tables -------------------------------------------------------------------------------------------------

    def _read_table(self, block: SectionBlock, before: SectionBlock | None) -> None:
        if not has_header(block):
            return
        table = read_table(block.text, more_roles=True)
        if table.role in ("option", "argument", "parameter"):
            self._read_options(table, block, before)
        elif table.role == "variable":
            self._read_variables(table, block)
        elif table.role in ("command", "pass"):
            self._read_commands(table, block)
        elif table.role == "message":
            self._read_numbers(table, block)

    def _read_options(self, table: Table, block: SectionBlock, before: SectionBlock | None) -> None:
        told_at = table.column(DESCRIPTIONS)
        if told_at < 1:
            return
        default_at = table.column(DEFAULTS)
        rows = [(row, read_cell_names(row.cells[0])) for row in table.rows]
        names = [name for _, found in rows for name, _ in found]
        explicit = table.owner
        if not explicit and before and before.kind == "prose" and before.path == block.path:
            lead = _LEAD.fullmatch(before.text.strip())
            explicit = lead[1] if lead else ""
        owner = self._owner(block.path, names, block.place(), explicit, is_stated=bool(table.owner)) if names else None
        for row, found in rows if owner else ():
            assert owner is not None
            default = row.cells[default_at] if default_at > 0 else ""
            told, place = row.cells[told_at][:LONGEST_DESCRIPTION], block.place(row.line, row.line)
            for name, argument in found:
                if name.startswith(("-", "+")) or "`" in row.cells[0] or name in owner.names:
                    owner.add(Option(name, argument, find_default(told, default), told, place, is_described=True))

    def _read_variables(self, table: Table, block: SectionBlock) -> None:
        told_at, default_at, stage_at = table.column(DESCRIPTIONS), table.column(DEFAULTS), table.column(STAGES)
        for row in table.rows:
            told = row.cells[told_at][:LONGEST_DESCRIPTION] if told_at > 0 else ""
            default = read_default(told, row.cells[default_at] if default_at > 0 else "")[0]
            stage = row.cells[stage_at].replace("`", "")[:100] if stage_at > 0 else ""
            for name in row.cells[0].replace("`", "").split(","):
                bare = _REMARK.sub("", name).strip("$ ")
                if _VARIABLE.fullmatch(bare) and ("_" in bare or bare.isupper()) and len(bare) > 1:
                    place = block.place(row.line, row.line)
                    self._add_variable(Variable(bare, default, stage, told, self._collection, place))

    def _add_variable(self, variable: Variable) -> None:
        known = self.variables.setdefault(variable.name, variable)
        if known is not variable and not known.description and variable.description:
            self.variables[variable.name] = replace(variable, stage=known.stage or variable.stage)

    def _read_commands(self, table: Table, block: SectionBlock) -> None:
        """Commands that a table lists with what they do; what a cell has behind the name is not read."""
        told_at = table.column(DESCRIPTIONS)
        for row in table.rows if told_at > 0 else ():
            cell = row.cells[0]
            name = cell.strip("`")
            is_code = cell.count("`") == 2 and cell == f"`{name}`"
            if COMMAND.fullmatch(name) or (is_code and re.fullmatch(r"[a-z][a-z0-9_]*", name)):
                place = block.place(row.line, row.line)
                draft = self._commands.setdefault(name, CommandDraft(name, place))
                draft.description = draft.description or row.cells[told_at][:LONGEST_DESCRIPTION]

    # --- messages -----------------------------------------------------------------------------------------------

    def _read_messages(self, block: SectionBlock) -> None:
        """Lines that are messages of a tool, in code or prose; and paragraphs and items that begin with a number and
        tell of it.
        """
        for number, line in enumerate(block.lines):
            if "-" in line.text and (found := read_message(line.text)):
                self._add_message(*found, block.place(number, number))

    def _read_numbers(self, table: Table, block: SectionBlock) -> None:
        for row in table.rows:
            number = row.cells[0].strip("`[] ")
            is_word = WORD.fullmatch(number) is not None and any(
                map(_MESSAGES_HEADING.search, (self._title, *block.path, table.header[0]))
            )
            if NUMBER.fullmatch(number) or is_word:
                self._add_message(number, row.cells[1][:LONGEST_TEXT], block.place(row.line, row.line))

    def _add_message(self, number: str, text: str, place: Place) -> None:
        known = self.messages.get(number)
        if known is None or not known.text:
            self.messages[number] = Message(number, text, self._collection, place)

    # --- whose options ------------------------------------------------------------------------------------------

    def _owner(
        self, path: tuple[str, ...], names: Sequence[str], place: Place, explicit: str = "", is_stated: bool = False
    ) -> CommandDraft | None:
        """The command whose options these are: of those above, the one whose synopsis has most of them.

        `explicit` is the one that a line above names, which may be wrong, or which the table's own header states.
        Without anything in common the options are those of a command that says nothing of its own, or of the only one
        of the section.
        """
        if is_stated:
            return self._commands.setdefault(explicit, CommandDraft(explicit, place))
        bare = {name.lstrip("-") for name in names}
        candidates = self._candidates(path, explicit)
        if (
            self._last
            and 2 * len(bare & self._last.names) > len(bare)
            and path[:-1] in {own[:-1] for own in self._last.paths}
        ):
            candidates.append(self._last)  # of the section beside this one
        if not candidates:
            return self._program(path, place)

        best = max(candidates, key=lambda draft: len(bare & draft.names))  # the first of equals
        if bare & best.names:
            return best
        if not any(name.startswith(("-", "+")) for name in names):
            return None  # a table of something else: keys, values
        if open_ones := [draft for draft in candidates if draft.takes_any or not draft.names]:
            return open_ones[0]
        near = {draft.name: draft for draft in candidates if not draft.paths.isdisjoint((path, path[:-1]))}
        return next(iter(near.values())) if len(near) == 1 else None

    def _candidates(self, path: tuple[str, ...], explicit: str) -> list[CommandDraft]:
        """The commands that stand above: named in a line, in a heading, or with a synopsis under the same headings; the
        nearest first.
        """
        found: dict[str, CommandDraft] = {}
        for name in (explicit, *(heading.strip("`") for heading in reversed(path)), self._title):
            if name in self._commands:
                found.setdefault(name, self._commands[name])
        for depth in range(len(path), -1, -1):
            for draft in islice(reversed(self._of_section.get(path[:depth], {}).values()), MOST_CANDIDATES):
                found.setdefault(draft.name, draft)
        return list(found.values())

    def _program(self, path: tuple[str, ...], place: Place) -> CommandDraft | None:
        """The program that the headings or the title name: "verilator Arguments", "ls - list directory contents"; None
        where none does.
        """
        for heading in (*reversed(path), self._title):
            found = (
                _OPTIONS_HEADING.fullmatch(heading)
                or _MAN_TITLE.fullmatch(heading)
                or _CALLED_HEADING.fullmatch(heading)
            )
            if found and found["name"] == found["name"].lower() and found["name"] in self._words:
                draft = self._commands.setdefault(found["name"], CommandDraft(found["name"], place))
                draft.takes_any = True
                return draft
        return None


def _heading_options(heading: str, is_cut: bool) -> list[tuple[str, str]]:
    """The options that a heading consists of; of one that was cut, all but the last."""
    if heading[:1] not in "-+[`":
        return []
    whole = heading.rpartition(", ")[0] if is_cut else heading
    return read_option_names(whole.replace("`", ""))
