"""Tables of a document, read into its findings: the options, variables, commands and messages that their rows describe.

`tables` says what a table's columns hold; `findings` decides whose options these are.

    read_rows(found, block, before, "Global routing"); found.commands()
"""

from __future__ import annotations

import re

from rag.reference.cards import Option
from rag.reference.descriptions import LONGEST_DESCRIPTION, find_default
from rag.reference.findings import Findings
from rag.reference.messages import LONGEST_TEXT, NUMBER, WORD
from rag.reference.sections import SectionBlock, has_header
from rag.reference.synopses import COMMAND, read_cell_names
from rag.reference.tables import DEFAULTS, DESCRIPTIONS, STAGES, Table, read_default, read_table

MESSAGES_HEADING = re.compile(r"\b(?:warnings?|errors?|messages?)\b", re.IGNORECASE)
_LEAD = re.compile(
    r"(?i:for|(?:the )?(?:options?|arguments?|flags?|switches|parameters) (?:of|for|to)) (?:the )?`([^`]+)`[^`]{0,40}:?"
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:::[A-Za-z0-9_]+)*")
_REMARK = re.compile(r"\s\([^()]*\)\s*$")  # `NAME (deprecated)`


def read_rows(found: Findings, block: SectionBlock, before: SectionBlock | None, title: str) -> None:
    """Add what the rows of a table describe to `found`; nothing where its header does not say what they are.

    before: the block above it, which may name the command. title: the document's.
    """
    if not has_header(block):
        return
    table = read_table(block.text, more_roles=True)
    if table.role in ("option", "argument", "parameter"):
        _read_options(found, table, block, before)
    elif table.role == "variable":
        _read_variables(found, table, block)
    elif table.role in ("command", "pass"):
        _read_commands(found, table, block)
    elif table.role == "message":
        _read_messages(found, table, block, title)


def _read_options(found: Findings, table: Table, block: SectionBlock, before: SectionBlock | None) -> None:
    """Options with their descriptions and defaults, of the command that the table, a sentence or the heading names."""
    description_at = table.column(DESCRIPTIONS)
    if description_at < 1:
        return
    default_at = table.column(DEFAULTS)

    rows = [(row, read_cell_names(row.cells[0])) for row in table.rows]
    names = [name for _, pairs in rows for name, _ in pairs]
    explicit = table.owner
    if not explicit and before and before.kind == "prose" and before.path == block.path:
        lead = _LEAD.fullmatch(before.text.strip())
        explicit = lead[1] if lead else ""

    owner = found.owner(block.path, names, block.place(), explicit, is_stated=bool(table.owner)) if names else None

    for row, pairs in rows if owner else ():
        assert owner is not None
        default = row.cells[default_at] if default_at > 0 else ""
        description, place = row.cells[description_at][:LONGEST_DESCRIPTION], block.place(row.line, row.line)
        for name, argument in pairs:
            if name.startswith(("-", "+")) or "`" in row.cells[0] or name in owner.names:
                owner.add(
                    Option(name, argument, find_default(description, default), description, place, is_described=True)
                )


def _read_variables(found: Findings, table: Table, block: SectionBlock) -> None:
    """Variables with their descriptions, defaults and stages; a cell may name several."""
    description_at, default_at, stage_at = table.column(DESCRIPTIONS), table.column(DEFAULTS), table.column(STAGES)
    for row in table.rows:
        description = row.cells[description_at][:LONGEST_DESCRIPTION] if description_at > 0 else ""
        default = read_default(description, row.cells[default_at] if default_at > 0 else "")[0]
        stage = row.cells[stage_at].replace("`", "")[:100] if stage_at > 0 else ""
        for name in row.cells[0].replace("`", "").split(","):
            bare = _REMARK.sub("", name).strip("$ ")
            if _VARIABLE.fullmatch(bare) and ("_" in bare or bare.isupper()) and len(bare) > 1:
                place = block.place(row.line, row.line)
                found.add_variable(bare, default, stage, description, place)


def _read_commands(found: Findings, table: Table, block: SectionBlock) -> None:
    """Commands that a table lists with their descriptions; the rest of a cell after the name is not read."""
    description_at = table.column(DESCRIPTIONS)
    for row in table.rows if description_at > 0 else ():
        cell = row.cells[0]
        name = cell.strip("`")
        is_code = cell.count("`") == 2 and cell == f"`{name}`"
        if COMMAND.fullmatch(name) or (is_code and re.fullmatch(r"[a-z][a-z0-9_]*", name)):
            place = block.place(row.line, row.line)
            draft = found.draft(name, place)
            draft.description = draft.description or row.cells[description_at][:LONGEST_DESCRIPTION]


def _read_messages(found: Findings, table: Table, block: SectionBlock, title: str) -> None:
    """Messages with their texts, by number; by a word only where a title or a header says that these are messages."""
    for row in table.rows:
        number = row.cells[0].strip("`[] ")
        is_word = WORD.fullmatch(number) is not None and any(
            map(MESSAGES_HEADING.search, (title, *block.path, table.header[0]))
        )
        if NUMBER.fullmatch(number) or is_word:
            found.add_message(number, row.cells[1][:LONGEST_TEXT], block.place(row.line, row.line))
