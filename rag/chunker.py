"""Cut a parsed document into chunks along its structure, within a token limit.

A section that fits stays whole, so that a command's synopsis, options and prose are found together; small neighbours are joined
under their common heading; tables are cut between rows and code between lines only. It counts tokens with the function it is
given and knows no model. The time it takes grows with the text and no faster, whatever the text is.

    chunks = chunk_document(document, count_tokens=embedder.count_tokens, target_tokens=220, overlap_tokens=32)
"""

import math
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import islice
from typing import TypeVar

from rag.blocks import MAX_HEADING_CHARACTERS, Block
from rag.documents import Chunk, Document, describe_place, make_chunk
from rag.errors import CuttingFailed
from rag.parser import parse_document

CHUNKER_VERSION = 3  # goes into the manifest: other chunks mean another index
Count = Callable[[str], int]
Item = TypeVar("Item")
# Word-piece tokenizers count a "word" of more than 100 characters (base64, a minified file) as one unknown token, and blanks as none: so a
# token never stands for more than this many characters. English prose has 4 to 5, no chunk of the pinned corpora has 8.
CHARACTERS_PER_TOKEN = 16

COUNTS_KEPT = 1024  # a piece is counted again within the next few hundred counts, when it is joined with its neighbours

_SENTENCE_END = re.compile(r"(?<=[.!?:;])\s+(?=[A-Z`\"'(\[*-])")
# A synopsis begins with the command's name, which has an underscore or is followed by options; what a language or a shell begins with is none.
_SYNOPSIS = re.compile(r"`{3,}+\S*+\n\s*(?P<name>[A-Za-z][\w:.-]*)(?P<rest>(?:\s.*)?)\n`{3,}$", re.DOTALL)
_TABLE_BORDER = re.compile(r"[=+-]{3,}+[=+ -]*+")  # of reStructuredText, squeezed
_HEADER_LINES = 6  # a table's header is looked for in so many of its first lines
_ITEM_START = re.compile(r"(?:[-*+]|#\.|\d+[.)])\s")


def chunk_document(
    document: Document, count_tokens: Count, target_tokens: int, overlap_tokens: int = 0, timeout_s: float = math.inf
) -> list[Chunk]:
    """The chunks of one document in reading order; equal text under equal headings is kept once.

    A chunk's text and the place line above it (`describe_place`) have at most `target_tokens` together; where headings alone
    take more than half of that, the text may still have half of it. Raises CuttingFailed where it takes longer than allowed.
    """
    count = _limit_count(count_tokens, target_tokens, timeout_s)
    chunker = _Chunker(document.title, count, target_tokens, overlap_tokens)
    chunks: dict[str, Chunk] = {}
    for piece in chunker.cut(list(parse_document(document))):
        chunk = make_chunk(document, piece.heading_path, piece.text, len(chunks), piece.blocks[0].page)
        chunks.setdefault(chunk.chunk_id, chunk)
    return list(chunks.values())


def count_bounded(count_tokens: Count, text: str) -> int:
    """Tokens of the text, at least one per `CHARACTERS_PER_TOKEN` characters."""
    return max(count_tokens(text), len(text) // CHARACTERS_PER_TOKEN)


def _limit_count(count_tokens: Count, target_tokens: int, timeout_s: float) -> Count:
    """`count_bounded` for a cut that ends: a text that is too long by its characters alone is not tokenized, and time runs out."""
    deadline = time.monotonic() + timeout_s
    remembered = lru_cache(COUNTS_KEPT)(partial(count_bounded, count_tokens))

    def count(text: str) -> int:
        """The tokens, or some number above the target. Raises CuttingFailed after the deadline."""
        if time.monotonic() > deadline:
            raise CuttingFailed(f"cutting it takes longer than {timeout_s:g} s")
        least = len(text) // CHARACTERS_PER_TOKEN
        return least if least > target_tokens else remembered(text)

    return count


@dataclass(frozen=True, slots=True)
class _Piece:
    """A run of neighbouring blocks that becomes one chunk, under the headings that all of them share."""

    blocks: tuple[Block, ...]
    heading_path: tuple[str, ...]
    text: str
    tokens: int
    budget: int


@dataclass(slots=True)
class _Section:
    """A heading with its own blocks and its subsections; the order of reading is own blocks first."""

    heading_path: tuple[str, ...]
    blocks: list[Block] = field(default_factory=list)
    children: list["_Section"] = field(default_factory=list)

    def all_blocks(self) -> Iterator[Block]:
        """The blocks of this section and of the sections in it, in the order of the text."""
        yield from self.blocks
        for child in self.children:
            yield from child.all_blocks()


class _Chunker:
    def __init__(self, title: str, count: Count, target_tokens: int, overlap_tokens: int) -> None:
        self._title = title
        self._count = count
        self._target = target_tokens
        self._overlap = overlap_tokens
        self._commands: dict[tuple[str, ...], str] = {}
        self._budgets: dict[tuple[str, ...], int] = {}

    def cut(self, blocks: list[Block]) -> list[_Piece]:
        """The pieces of a document."""
        self._commands = find_commands(blocks)
        return self._cut_section(build_sections(blocks))

    def _cut_section(self, section: _Section) -> list[_Piece]:
        whole = tuple(section.all_blocks())
        if not whole:
            return []
        piece = self._piece(whole)
        if piece.tokens <= piece.budget:
            return [piece]
        pieces = self._pack(section.blocks)
        for child in section.children:
            pieces += self._cut_section(child)
        return self._join_small(pieces)

    def _piece(self, blocks: tuple[Block, ...]) -> _Piece:
        heading_path = common_path(blocks)
        text = render(blocks, heading_path)
        text = f"{self._name_command(blocks[0], text)}{text}"
        return _Piece(blocks, heading_path, text, self._count(text), self._budget(heading_path))

    def _name_command(self, block: Block, text: str) -> str:
        """The line over a piece that begins with a table of options and does not say whose they are; "" for all others."""
        path = block.heading_path
        command = next((self._commands[path[:depth]] for depth in range(len(path), -1, -1) if path[:depth] in self._commands), "")
        if block.kind != "table" or not command or command in text or command in describe_place(self._title, path):
            return ""
        return f"For `{command}`:\n\n"

    def _budget(self, heading_path: tuple[str, ...]) -> int:
        if heading_path not in self._budgets:
            place = describe_place(self._title, heading_path)
            self._budgets[heading_path] = max(self._target - self._count(place), self._target // 2)
        return self._budgets[heading_path]

    def _pack(self, blocks: list[Block]) -> list[_Piece]:
        """Blocks of one section, cut where one alone is too large, put together greedily in order."""
        parts: list[Block] = []
        for block in blocks:
            named = self._name_command(block, "")
            budget = self._budget(block.heading_path)
            room = max(budget - self._count(named), budget // 2) if named else budget
            parts += split_block(block, room, self._count, self._overlap)
        pieces: list[_Piece] = []
        start, taken = 0, 1
        while start < len(parts):
            taken = max(1, longest_prefix(parts[start:], self._fits, taken))
            pieces.append(self._piece(tuple(parts[start : start + taken])))
            start += taken
        return pieces

    def _fits(self, blocks: Sequence[Block]) -> bool:
        piece = self._piece(tuple(blocks))
        return piece.tokens <= piece.budget

    def _join_small(self, pieces: list[_Piece]) -> list[_Piece]:
        """Join neighbours that alone are too thin to be found or understood, where the limit allows.

        That is two that have less than a third of the target each, or such an introduction with the first piece of its section.
        """
        small = self._target // 3
        joined: list[_Piece] = []
        for piece in pieces:
            last = joined[-1] if joined else None
            thin = last is not None and last.tokens < small
            introduces = last is not None and piece.heading_path[: len(last.heading_path)] == last.heading_path
            both = self._piece((*last.blocks, *piece.blocks)) if last and thin and (piece.tokens < small or introduces) else None
            if both and both.tokens <= both.budget:
                joined[-1] = both
            else:
                joined.append(piece)
        return joined


def find_commands(blocks: list[Block]) -> dict[tuple[str, ...], str]:
    """The command that a section explains, by the section's heading path: the first word of the first synopsis in it."""
    commands: dict[tuple[str, ...], str] = {}
    for block in blocks:
        synopsis = _SYNOPSIS.match(block.text) if block.kind == "code" else None
        if synopsis and len(synopsis["name"]) <= MAX_HEADING_CHARACTERS and ("_" in synopsis["name"] or re.search(r"[\[\s]-\w", synopsis["rest"])):
            commands.setdefault(block.heading_path, synopsis["name"])
    return commands


def build_sections(blocks: list[Block]) -> _Section:
    """The tree of headings over the blocks. A heading that comes back after another one opens a new section: order is kept."""
    root = _Section(())
    for block in blocks:
        section = root
        for depth in range(1, len(block.heading_path) + 1):
            path = block.heading_path[:depth]
            if not section.children or section.children[-1].heading_path != path:
                section.children.append(_Section(path))
            section = section.children[-1]
        if section.children:  # own text after a subsection (a Sphinx option's body ended): a section of its own keeps the order
            section.children.append(_Section(block.heading_path))
            section = section.children[-1]
        section.blocks.append(block)
    return root


def common_path(blocks: tuple[Block, ...]) -> tuple[str, ...]:
    """The headings that all blocks share."""
    path = blocks[0].heading_path
    for block in blocks[1:]:
        shared = sum(1 for _ in _shared(path, block.heading_path))
        path = path[:shared]
    return path


def _shared(left: tuple[str, ...], right: tuple[str, ...]) -> Iterator[str]:
    for one, other in zip(left, right, strict=False):
        if one != other:
            return
        yield one


def render(blocks: tuple[Block, ...], heading_path: tuple[str, ...]) -> str:
    """The blocks as text; headings below `heading_path` appear as `##` lines where they change."""
    depth = len(heading_path)
    parts: list[str] = []
    before = heading_path
    for block in blocks:
        shared = sum(1 for _ in _shared(before, block.heading_path))
        parts += [f"{'#' * min(level + 2, 6)} {block.heading_path[level]}" for level in range(max(shared, depth), len(block.heading_path))]
        parts.append(block.text)
        before = block.heading_path
    return "\n\n".join(parts)


def split_block(block: Block, budget: int, count: Count, overlap: int = 0) -> list[Block]:
    """The block itself where it fits, else pieces of at most `budget` tokens: table rows, code lines, list items, sentences."""
    if count(block.text) <= budget:
        return [block]
    if block.kind == "code":
        texts = _split_code(block.text, budget, count)
    elif block.kind == "table":
        texts = _split_table(block.text, budget, count)
    elif block.kind == "list":
        texts = _group(_list_items(block.text), "\n", budget, count)
    else:
        texts = _group(_SENTENCE_END.split(block.text), " ", budget, count, overlap)
    return [replace(block, text=text) for text in texts]


def _split_code(text: str, budget: int, count: Count) -> list[str]:
    """Every piece gets the fence lines again, so that each is code by itself, unless they take more than a third of the room."""
    opening, *body, closing = text.split("\n")
    room = budget - count(f"{opening}\n\n{closing}")
    if room < budget - budget // 3:
        return _group(body, "\n", budget, count)
    return ["\n".join((opening, part, closing)) for part in _group(body, "\n", room, count)]


def _split_table(text: str, budget: int, count: Count) -> list[str]:
    """Every piece gets the header again, unless it takes more than a third of the room."""
    lines = text.split("\n")
    header = _table_header(lines)
    if header and count("\n".join(header)) > budget // 3:
        header = []
    room = budget - count("\n".join(header)) if header else budget
    return ["\n".join([*header, part]) for part in _group(lines[len(header) :], "\n", room, count)]


def _table_header(lines: list[str]) -> list[str]:
    """The header rows with the rule under them: Markdown's two lines, or reStructuredText's up to its second border."""
    if len(lines) > 2 and re.fullmatch(r"[|:\s-]+", lines[1]):
        return lines[:2]
    if not _TABLE_BORDER.fullmatch(lines[0]):
        return []
    rules = [number for number, line in enumerate(lines[1:_HEADER_LINES], start=1) if "=" in line and _TABLE_BORDER.fullmatch(line)]
    return lines[: rules[0] + 1] if rules and rules[0] < len(lines) - 1 else []


def _list_items(text: str) -> list[str]:
    """A list's top-level items, each with the lines below it."""
    items: list[list[str]] = []
    for line in text.split("\n"):
        if not items or _ITEM_START.match(line):
            items.append([])
        items[-1].append(line)
    return ["\n".join(item) for item in items]


def _group(units: list[str], joiner: str, budget: int, count: Count, overlap: int = 0) -> list[str]:
    """Units put together greedily to at most `budget` tokens each; a unit that is too large alone is cut finer.

    With `overlap`, a piece begins with the last unit of the one before where that has at most so many tokens.
    """
    waiting = deque(units)
    cut = 0  # how many of the first that wait are of a unit that was cut: they are not cut again
    groups: list[list[str]] = []
    group: list[str] = []
    guess = 1
    while waiting:
        ahead = _look_ahead(waiting, budget)
        taken = longest_prefix(ahead, partial(_fits_after, group, joiner, budget, count), guess)
        if taken == 0 and not cut and count(waiting[0]) > budget:
            parts = _cut_unit(waiting.popleft(), budget, count)
            waiting.extendleft(reversed(parts))
            cut = len(parts)
            continue
        if taken == 0 and group:
            groups.append(group)
            last, part = group[-1], waiting[0]
            repeat = overlap > 0 and len(group) > 1 and count(last) <= overlap and count(joiner.join((last, part))) <= budget
            group = [last] if repeat else []
            guess = len(groups[-1])
            continue
        taken = max(taken, 1)
        group = group + ahead[:taken]
        for _ in range(taken):
            waiting.popleft()
        cut = max(0, cut - taken)
        guess = 1
    return [joiner.join(group) for group in (*groups, group) if group]


def _fits_after(group: Sequence[str], joiner: str, budget: int, count: Count, more: Sequence[str]) -> bool:
    return count(joiner.join([*group, *more])) <= budget


def _look_ahead(waiting: deque[str], budget: int) -> list[str]:
    """The first of those that wait, one more than can fit into the budget by their characters."""
    room = (budget + 1) * CHARACTERS_PER_TOKEN
    ahead: list[str] = []
    for unit in islice(waiting, room):
        ahead.append(unit)
        room -= len(unit) + 1
        if room < 0:
            break
    return ahead


def longest_prefix(items: Sequence[Item], fits: Callable[[Sequence[Item]], bool], guess: int) -> int:
    """How many of the first items fit together, where what does not fit does not fit with more either; looked for around `guess`."""
    least, too_many = 0, len(items) + 1
    step, size = 1, min(max(guess, 1), len(items))
    while too_many - least > 1:
        if fits(items[:size]):
            least = size
        else:
            too_many = size
        if least == 0:
            size = max(too_many - step, 1)
        elif too_many > len(items):
            size = min(least + step, len(items))
        else:
            size = (least + too_many) // 2
        step *= 2
    return least


def _cut_unit(unit: str, budget: int, count: Count) -> list[str]:
    """One row, line, item or sentence that is too large: at its line ends, else between words, else between characters."""
    for separator in ("\n", " "):
        parts = unit.split(separator)
        if len(parts) > 1:
            return _group(parts, separator, budget, count)
    # A single "word" of more than `budget` tokens is data (base64, a long bus): any cut is as good as another.
    lengths = [max(budget, 1) * CHARACTERS_PER_TOKEN]
    while lengths[-1] > 1:
        lengths.append(lengths[-1] // 2)
    parts, start, size = [], 0, 0
    while start < len(unit):
        while size and count(unit[start : start + lengths[size - 1]]) <= budget:
            size -= 1
        while size < len(lengths) - 1 and count(unit[start : start + lengths[size]]) > budget:
            size += 1
        parts.append(unit[start : start + lengths[size]])
        start += lengths[size]
    return parts
