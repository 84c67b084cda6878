"""Cuts a parsed document into chunks along its structure, within a token limit.

A section that fits stays whole, so that a command's synopsis, options and prose are found together. Small neighbours
are joined under their common heading; tables are cut only between rows, code only between lines. What introduces a
table, a list or code stays with it, and is repeated over each part of a table or list that is too long. It counts
tokens with the function it is given and knows no model. Its time grows linearly with the text, whatever the text is.

    chunks = chunk_document(document, count_tokens=embedder.count_tokens, target_tokens=220, overlap_tokens=32)
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial

from rag.blocks import MAX_HEADING_CHARACTERS, Block, dedent_lines
from rag.documents import Chunk, Document, describe_place, make_chunk
from rag.errors import CuttingFailed
from rag.index.block_splitting import CHARACTERS_PER_TOKEN, ITEM_START, Count, list_items, longest_prefix, split_block
from rag.sources.line_numbers import LINE, LineFinder

Calls = Mapping[str, frozenset[str]]  # commands with the options that they are given; a synopsis is one without options

COUNTS_KEPT = 1024  # a piece is counted again within the next few hundred counts, when it is joined with its neighbours

# A whole sentence above a table introduces it where it points at it, or makes no statement and so is a caption ("Node
# types with their constructs."). A remark, a figure's caption and what points elsewhere do not.
_POINTS = re.compile(r"\b(?:below|as follows|the following|th(?:e|is) (?:next )?table)\b", re.IGNORECASE)
_MAY_POINT = re.compile(r"\b(?:columns?|rows?|listed|shown|summari[sz]e[sd]?)\b", re.IGNORECASE)
_POINTS_AWAY = re.compile(r"\babove\b|^(?:see|refer to)\b|\b(?:figure|listing|section|chapter) \d", re.IGNORECASE)
_STATES = re.compile(
    r"\b(?:is|are|was|were|be|been|has|have|had|can|cannot|may|might|must|should|will|would|do|does|did|needs?|uses?"
    r"|if|when|while|because|it|you|we|they|these|those|please|not)\b"
    r"|^(?:run|set|see|note|refer|add|make|check|read|click|enter|open|select|type|call|copy|remove|install|this)\b",
    re.IGNORECASE,
)
_NO_CAPTION = re.compile(
    r"(?:note|warning|tip|hint|important|caution|attention|danger|see ?also|fig(?:ure)?\.? *\d+)\b|©|\(c\)|copyright\b",
    re.IGNORECASE,
)
_TABLE_NUMBER = re.compile(r"\W*table +(?:[A-Z][.-])?\d", re.IGNORECASE)
_LAST_SENTENCE = re.compile(r"(?:.*[.!?]\s+)?(?=[A-Z`\"'(\[*])(?P<sentence>.+)", re.DOTALL)
# A synopsis shows one command, in one way or several. The command's name has an underscore, or options follow it; other
# lines are indented or in brackets. Keywords of a language or a shell are not commands.
_HEAD = re.compile(r"([A-Za-z][\w:.-]*)(?=\s|$)")
_GOES_ON = " \t[](){}-"
_OR = frozenset({"or", "Or", "OR"})
# A call in a script, with its continuation lines.
_CALL = re.compile(r"^(?P<name>[a-z][\w:]*_\w+)\b(?P<rest>(?:[^\n\\]|\\(?:\n|[^\n]))*+)", re.MULTILINE)
_OPTION = re.compile(r"(?<![\w-])-[A-Za-z]\w*")
MOST_CALLS = 100  # commands of a script; one with more is a program, which introduces no table


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document before it is a chunk of an index."""

    heading_path: tuple[str, ...]
    text: str
    page: int | None = None


def chunk_document(
    document: Document, count_tokens: Count, target_tokens: int, overlap_tokens: int = 0, timeout_s: float = math.inf
) -> list[Chunk]:
    """The chunks of one document in reading order; equal text under equal headings is kept once.

    A chunk's text and the place line above it (`describe_place`) have at most `target_tokens` together; where headings
    alone take more than half of that, the text may still have half of it.

    Raises CuttingFailed: it takes longer than `timeout_s`.
    """
    return make_chunks(
        document, cut_passages(document.title, document.blocks, count_tokens, target_tokens, overlap_tokens, timeout_s)
    )


def make_chunks(document: Document, passages: Iterable[Passage]) -> list[Chunk]:
    """The chunks of a document that is cut into these passages; an address that names a line names theirs."""
    chunks: dict[str, Chunk] = {}
    url = document.url or ""
    lines = LineFinder(document.source_text) if LINE in url else None
    for passage in passages:
        chunk = make_chunk(document, passage.heading_path, passage.text, len(chunks), passage.page)
        if lines:
            chunk = replace(chunk, url=url.replace(LINE, str(lines.find(passage.text))))
        chunks.setdefault(chunk.chunk_id, chunk)
    return list(chunks.values())


def cut_passages(
    title: str,
    blocks: Sequence[Block],
    count_tokens: Count,
    target_tokens: int,
    overlap_tokens: int = 0,
    timeout_s: float = math.inf,
) -> Iterator[Passage]:
    """The passages of a document of this title, as `chunk_document` describes them.

    Raises CuttingFailed: it takes longer than `timeout_s`.
    """
    count = _limit_count(count_tokens, target_tokens, timeout_s)
    for piece in _Chunker(title, count, target_tokens, overlap_tokens).cut(blocks):
        yield Passage(piece.heading_path, piece.text, piece.blocks[0].page)


def count_bounded(count_tokens: Count, text: str) -> int:
    """Tokens of the text, at least one per `CHARACTERS_PER_TOKEN` characters."""
    return max(count_tokens(text), len(text) // CHARACTERS_PER_TOKEN)


def _limit_count(count_tokens: Count, target_tokens: int, timeout_s: float) -> Count:
    """`count_bounded` for a cut that ends.

    A text that is too long by its characters alone is not tokenized, and time runs out.
    """
    deadline = time.monotonic() + timeout_s
    remembered = lru_cache(COUNTS_KEPT)(partial(count_bounded, count_tokens))

    def count(text: str) -> int:
        """The tokens, or some number above the target.

        Raises CuttingFailed: the deadline has passed.
        """
        if time.monotonic() > deadline:
            raise CuttingFailed(f"cutting it takes longer than {timeout_s:g} s (CHIPALIGN_PARSE_TIMEOUT_S)")
        least = len(text) // CHARACTERS_PER_TOKEN
        return least if least > target_tokens else remembered(text)

    return count


@dataclass(frozen=True, slots=True)
class Part(Block):
    """A block or a part of one.

    A piece that begins with it gets `lead`, which introduces it, and the `command` whose options it lists.
    `remark`: a short sentence directly above a table that does not introduce it; it stays there, and stands once.
    `is_introduced`: the block directly above introduces it, or is such a remark.
    """

    lead: str = ""
    remark: str = ""
    command: str = ""
    is_introduced: bool = False


@dataclass(frozen=True, slots=True)
class _Piece:
    """A run of neighbouring parts that becomes one chunk, under the headings that all of them share."""

    blocks: tuple[Part, ...]
    heading_path: tuple[str, ...]
    text: str
    tokens: int
    budget: int


@dataclass(slots=True)
class _Section:
    """A heading with its own blocks and its subsections; the order of reading is own blocks first."""

    heading_path: tuple[str, ...]
    blocks: list[Part] = field(default_factory=list)
    children: list[_Section] = field(default_factory=list)

    def all_blocks(self) -> Iterator[Part]:
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
        self._budgets: dict[tuple[str, ...], int] = {}

    def cut(self, blocks: Sequence[Block]) -> list[_Piece]:
        """The pieces of a document."""
        return self._cut_section(build_sections(introduce(blocks)))

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

    def _piece(self, blocks: tuple[Part, ...]) -> _Piece:
        heading_path = common_path(blocks)
        text = render(blocks, heading_path)
        text = f"{self._name_command(blocks[0], text)}{_write_lead(blocks[0])}{text}"
        return _Piece(blocks, heading_path, text, self._count(text), self._budget(heading_path))

    def _name_command(self, part: Part, text: str) -> str:
        """The line over a piece that begins with options, in a table or a synopsis, and does not say whose; else ""."""
        command = part.command
        if not command or command in text or command in describe_place(self._title, part.heading_path):
            return ""
        return f"For `{command}`:\n\n"

    def _budget(self, heading_path: tuple[str, ...]) -> int:
        if heading_path not in self._budgets:
            place = describe_place(self._title, heading_path)
            self._budgets[heading_path] = max(self._target - self._count(place), self._target // 2)
        return self._budgets[heading_path]

    def _pack(self, blocks: list[Part]) -> list[_Piece]:
        """Blocks of one section, cut where one alone is too large, put together greedily in order."""
        parts = [part for block in blocks for part in self._split(block)]
        pieces: list[_Piece] = []
        start, taken = 0, 1
        while start < len(parts):
            taken = max(1, longest_prefix(self._look_ahead(parts, start), self._fits, taken))
            stop = self._step_back(parts, start, start + taken)
            pieces.append(self._piece(tuple(parts[start:stop])))
            start = stop
        return pieces

    def _look_ahead(self, parts: Sequence[Part], start: int) -> Sequence[Part]:
        """The parts from `start` on, one more than the target can hold by their characters."""
        room, stop = self._target * CHARACTERS_PER_TOKEN, start
        while stop < len(parts) and room >= 0:
            room -= len(parts[stop].text) + 2  # and a blank line
            stop += 1
        return parts[start:stop]

    def _split(self, block: Part) -> list[Part]:
        """The block where it fits with what stands above it, or a table, list or code that fits alone; else its parts.

        What takes more than a quarter of the room is not put above it.
        """
        budget = self._budget(block.heading_path)
        if block.kind == "code" and self._count(block.text) > budget:
            block = replace(block, command=find_synopsis(block.text))
        if block.lead and self._count(_write_lead(block)) > budget // 4:
            block = replace(block, lead="")
        if block.remark and self._count(block.remark) > budget // 4:
            block = replace(block, remark="")
        if block.command and self._count(self._name_command(block, "")) > budget // 2:
            block = replace(block, command="")
        named = self._name_command(block, "")
        above = f"{named}{_write_lead(block)}{block.remark}"
        room = budget - self._count(above) if above else budget
        if not named and room < self._count(block.text) <= budget:
            return [replace(block, lead="")]

        first, *others = split_block(block, room, self._count, self._overlap)
        lead = "" if block.kind == "code" else block.lead
        return [first, *(replace(part, lead=lead, is_introduced=False) for part in others)]

    def _step_back(self, parts: Sequence[Part], start: int, stop: int) -> int:
        """Where to end the piece of `parts[start:stop]`: above what introduces the next part, if both fit together.

        A paragraph that says more stays where it is; the sentence of it that introduces is put above the next part.
        """
        above = stop
        while start + 1 < above < len(parts) and self._moves(parts[above - 1], parts[above]):
            above -= 1
        return next((cut for cut in range(above, stop) if self._fits(parts[cut : stop + 1])), stop)

    def _moves(self, part: Part, introduced: Part) -> bool:
        """Whether a part goes to the next piece with what it introduces: code, or little more than a lead-in."""
        if not introduced.is_introduced:
            return False
        is_short = self._count(part.text) <= self._target // 8 or len(part.text) <= len(introduced.lead)
        return part.kind == "code" or is_short or not introduced.lead

    def _fits(self, blocks: Sequence[Part]) -> bool:
        piece = self._piece(tuple(blocks))
        return piece.tokens <= piece.budget

    def _join_small(self, pieces: list[_Piece]) -> list[_Piece]:
        """Join neighbours that alone are too thin to be found or understood, where the limit allows.

        That is two that have less than a third of the target each, or such an introduction with the first piece of its
        section.
        """
        small = self._target // 3
        joined: list[_Piece] = []
        for piece in pieces:
            last = joined[-1] if joined else None
            thin = last is not None and last.tokens < small
            introduces = last is not None and piece.heading_path[: len(last.heading_path)] == last.heading_path
            both = (
                self._piece((*last.blocks, *piece.blocks))
                if last and thin and (piece.tokens < small or introduces)
                else None
            )
            if both and both.tokens <= both.budget:
                joined[-1] = both
            else:
                joined.append(piece)
        return joined


def introduce(blocks: Sequence[Block]) -> list[Part]:
    """The blocks with what introduces each: the sentence or caption directly above it, or a table's command."""
    parts: list[Part] = []
    shown: dict[tuple[str, ...], str] = {}  # the code that stands last under a heading
    known_calls = lru_cache(1)(read_calls)  # several tables may stand below it
    before: Part | None = None
    of_list = ""  # what introduces the list that is being read, which may be several blocks
    for block in blocks:
        path = block.heading_path
        above = before if before and before.heading_path == path else None
        above = None if _ends_table(parts) else above
        lead = read_lead(above, block) if above else ""
        remark = read_remark(above, block) if above and not lead else ""
        if block.kind == "list" and above and not lead and above.kind == "list":
            lead, is_introduced = of_list, False
        else:
            is_introduced = bool(lead or remark)
            of_list = lead if above and above.kind == "prose" else ""

        command = ""
        if block.kind == "code":
            shown[path] = block.text
        elif block.kind == "table":
            depth = next((depth for depth in range(len(path), -1, -1) if path[:depth] in shown), 0)
            calls = known_calls(shown.get(path[:depth], ""))
            command = find_owner(calls, block.text, is_near=depth >= len(path) - 1)
            is_introduced |= bool(command and above and above.kind == "code")
        before = Part(block.kind, block.text, path, block.page, lead, remark, command, is_introduced)
        parts.append(before)
    return parts


def read_calls(code: str) -> Calls:
    """The commands that a code block shows, each with its options: that of a synopsis, or those of a script."""
    lines = dedent_lines(code.split("\n")[1:-1])
    heads = [_HEAD.match(line) for line in lines if line and line[0] not in _GOES_ON]
    names = {head[1] if head else "" for head in heads} - _OR
    if len(names) == 1 and (len(heads) == 1 or "[" in code):
        name = names.pop()
        is_command = "_" in name or (name and re.search(r"[\[\s]-\w", "\n".join(lines)))
        return {name: frozenset()} if is_command and len(name) <= MAX_HEADING_CHARACTERS else {}

    found: dict[str, set[str]] = {}
    for call in _CALL.finditer("\n".join(lines)):
        if len(call["name"]) <= MAX_HEADING_CHARACTERS:
            found.setdefault(call["name"], set()).update(_OPTION.findall(call["rest"]))
    return {name: frozenset(options) for name, options in found.items() if options}


def find_synopsis(code: str) -> str:
    """The command whose synopsis a code block is, which each of its parts says; "" for other code."""
    calls = read_calls(code)
    return next((name for name, options in calls.items() if len(calls) == 1 and not options), "")


def find_owner(calls: Calls, table: str, is_near: bool = True) -> str:
    """The command whose options a table lists: a synopsis's, or a script's that uses some of them; else "".

    `is_near`: the code stands under the table's heading or the one above that; a script further up says nothing of it.
    """
    if len(calls) == 1 and not next(iter(calls.values())):
        return next(iter(calls))
    if not is_near or len(calls) > MOST_CALLS:
        return ""
    listed = {option for row in table.split("\n") for option in _OPTION.findall(row.removeprefix("|").split("|", 1)[0])}
    owners = [name for name, options in calls.items() if options & listed]
    return owners[0] if len(owners) == 1 else ""


def read_lead(before: Block, block: Block) -> str:
    """What in the block above introduces a table, list or code: its last sentence, if that ends with a colon.

    A caption, a short line ("Example"; over a table also a sentence that points at it), is taken whole. "" for others.
    """
    if block.kind == "prose" or before.kind not in ("prose", "list"):
        return ""
    text = before.text.strip()
    if text.endswith(":"):
        last = ITEM_START.sub("", list_items(text)[-1], count=1) if before.kind == "list" else text
        sentence = _LAST_SENTENCE.fullmatch(last)
        return sentence["sentence"] if sentence else last
    if before.kind != "prose" or block.kind == "list" or len(text) > MAX_HEADING_CHARACTERS or _NO_CAPTION.match(text):
        return ""
    if text[-1:] in ".!?;,":
        return text if block.kind == "table" and _is_caption(text) else ""
    return text


def read_remark(before: Block, block: Block) -> str:
    """A short sentence directly above a table; "" for all others."""
    is_remark = (before.kind, block.kind) == ("prose", "table") and len(before.text) <= MAX_HEADING_CHARACTERS
    return before.text.strip() if is_remark else ""


def _is_caption(sentence: str) -> bool:
    """Whether a whole sentence introduces the table below it."""
    if sentence[-1] in ";,":
        return False
    if _POINTS.search(sentence):
        return True
    return not _POINTS_AWAY.search(sentence) and bool(_MAY_POINT.search(sentence) or not _STATES.search(sentence))


def _ends_table(parts: Sequence[Part]) -> bool:
    """Whether the last part is the caption ("Table 3: ...") of the table above it, which has none above."""
    if len(parts) < 2 or parts[-1].kind != "prose" or parts[-2].kind != "table":
        return False
    return bool(_TABLE_NUMBER.match(parts[-1].text)) and not _TABLE_NUMBER.match(parts[-2].lead)


def _write_lead(part: Part) -> str:
    return f"{part.lead}\n\n" if part.lead else ""


def build_sections(blocks: Sequence[Part]) -> _Section:
    """The tree of headings over the blocks.

    A heading that comes back after another one opens a new section: order is kept.
    """
    root = _Section(())
    for block in blocks:
        section = root
        for depth in range(1, len(block.heading_path) + 1):
            path = block.heading_path[:depth]
            if not section.children or section.children[-1].heading_path != path:
                section.children.append(_Section(path))
            section = section.children[-1]
        if (
            section.children
        ):  # own text after a subsection (a Sphinx option's body ended): a section of its own keeps the order
            section.children.append(_Section(block.heading_path))
            section = section.children[-1]
        section.blocks.append(block)
    return root


def common_path(blocks: Sequence[Block]) -> tuple[str, ...]:
    """The headings that all blocks share."""
    path = blocks[0].heading_path
    for block in blocks[1:]:
        path = path[: _shared_depth(path, block.heading_path)]
    return path


def _shared_depth(left: tuple[str, ...], right: tuple[str, ...]) -> int:
    """How many headings two paths have in common, from the outermost on."""
    if left == right:
        return len(left)
    depth = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        depth += 1
    return depth


def render(blocks: Sequence[Block], heading_path: tuple[str, ...]) -> str:
    """The blocks as text; headings below `heading_path` appear as `##` lines where they change."""
    depth = len(heading_path)
    parts: list[str] = []
    before = heading_path
    for block in blocks:
        if block.heading_path != before:
            first = max(_shared_depth(before, block.heading_path), depth)
            below = enumerate(block.heading_path[first:], start=first)
            parts += [f"{'#' * min(level + 2, 6)} {heading}" for level, heading in below]
            before = block.heading_path
        parts.append(block.text)
    return "\n\n".join(parts)
