"""An answer and its passages in a terminal: Markdown drawn by rich, marks in colour; in a pipe the same as plain lines.

It asks nothing. Text of models and documents is drawn letter by letter: it makes no link, no colour and no mark.

    with Drawing(make_console()) as drawing: drawing.hear(turn)
    print_sources(turn, make_console())
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import IO, ClassVar, Literal, Self

from markdown_it.token import Token
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.markdown import CodeBlock, Markdown, MarkdownElement
from rich.padding import Padding
from rich.segment import Segment
from rich.text import Text
from rich.theme import Theme

from ui.conversation import Turn, describe_answer
from ui.events import HEADING_SEPARATOR, Source
from ui.markdown_parser import MARKED, parse
from ui.plain_text import Span, one_line, plain

THEME = Theme(
    {
        "markdown.code": "bold cyan",
        "markdown.code_block": "cyan",
        "markdown.marked_code": "bold",
        "markdown.block_quote": "none",
        "markdown.quoted": "bold black on bright_yellow",
        "markdown.unsupported": "underline red",
    }
)
MARGIN = 4  # columns before a passage
SEARCHING = "Searching the documents ..."

Kind = Literal["quoted", "unsupported"]


def make_console() -> Console:
    """Standard output as rich writes to it; rich detects whether it is a terminal, and takes colours."""
    return Console(theme=THEME, highlight=False)


class Silence:
    """How an answer is shown while it comes: not at all.

    As a context it ends when the answer does, whole or broken off.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing more comes."""

    def hear(self, turn: Turn) -> None:
        """The turn, now that more of it has come."""


class Lines(Silence):
    """As plain text, each piece when it comes."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._answer = ""

    def hear(self, turn: Turn) -> None:
        """Write what is new."""
        self._file.write(plain(turn.answer[len(self._answer) :]))
        self._file.flush()
        self._answer = turn.answer

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.write("\n" if self._answer and not self._answer.endswith("\n") else "")
        self._file.flush()


class Drawing(Silence):
    """As Markdown: its end drawn again and again in one place while it grows, and then all of it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(Text(SEARCHING, style="dim"), console=console, transient=True, refresh_per_second=8)
        self._turn = Turn("")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def hear(self, turn: Turn) -> None:
        """Draw what has come so far."""
        self._turn = turn
        if turn.answer.strip():
            self._live.update(_Tail(turn.answer))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        if self._turn.answer:
            print_answer(self._turn, self._console)


def print_answer(turn: Turn, console: Console) -> None:
    """The answer as Markdown, what the passages do not support marked, and below it what the checks say."""
    console.print(_Drawn(turn.answer, turn.unsupported, "unsupported"))
    notes = describe_answer(turn)
    if notes:
        console.print(Text("\n" + "\n".join(notes), style="dim"))


def print_sources(turn: Turn, console: Console) -> None:
    """Each passage with its place and its text, what the answer quotes marked."""
    for source in turn.sources:
        console.print(Text(f"\n{_name(source, turn)}", style="bold"))
        where = "".join(f"     {line}\n" for line in _whereabouts(source))
        console.print(Text(where, style="dim"), soft_wrap=True, end="")  # a broken link cannot be followed
        console.print(Padding(_Drawn(source.text, source.quoted, "quoted"), (1, 0, 0, MARGIN)))


def list_sources(turn: Turn) -> str:
    """The places alone, a star before those that the answer cites; "" without any."""
    lines = ["", "Sources (* cited)"] if turn.sources else []
    for source in turn.sources:
        lines.append(_name(source, turn))
        lines += [f"     {line}" for line in _whereabouts(source)]
    return "".join(f"{line}\n" for line in lines)


def write_checks(turn: Turn) -> str:
    """What the checks say of an answer, and the sentences without support, as plain lines; "" where all is well."""
    lines = describe_answer(turn, "listed below")
    for start, end in turn.unsupported:
        lines.append(f"  - not supported: {one_line(turn.answer[start:end])}")
    return "".join(f"{line}\n" for line in ["", *lines]) if lines else ""


def write_sources(turn: Turn) -> str:
    """The passages as plain lines; one that a quote reaches into has a `>` in the margin, where no document writes."""
    lines: list[str] = []
    for source in turn.sources:
        quoted = _quoted_lines(source)
        lines += ["", _name(source, turn), *(f"     {line}" for line in _whereabouts(source)), ""]
        lines += [
            f"  {'>' if number in quoted else ' '} {line}".rstrip()
            for number, line in enumerate(source.text.split("\n"))
        ]
    return "".join(f"{line}\n" for line in lines)


def _name(source: Source, turn: Turn) -> str:
    place = source.place.replace(HEADING_SEPARATOR, " > ")
    return f"{'*' if source.number in turn.cited else ' '}[{source.number}] {plain(place)}"


def _whereabouts(source: Source) -> list[str]:
    """Where the whole passage can be read, and which file it is from."""
    path = f"{source.collection}/{source.path}" if source.collection and source.path else source.path
    return [plain(where) for where in (source.quote_link, path) if where]


def _quoted_lines(source: Source) -> set[int]:
    """The numbers of the lines, from 0, that a quote reaches into."""
    ends = [(source.text.count("\n", 0, start), source.text.count("\n", 0, end)) for start, end in source.quoted]
    return {number for first, last in ends for number in range(first, last + 1)}


class _Code(CodeBlock):
    """A block of code, in one colour; one that is quoted says so above."""

    is_quoted = False

    @classmethod
    def create(cls, markdown: Markdown, token: Token) -> _Code:
        """The block of a token, which may carry the mark of a quote (rich calls this)."""
        made = cls("text", "")
        made.is_quoted = bool(token.meta.get(MARKED))
        return made

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.is_quoted:
            yield Text("quoted:", style="markdown.quoted")
        yield Padding(Text(str(self.text).rstrip(), style="markdown.code_block", overflow="fold"), (0, 0, 0, 2))


class _Drawn(Markdown):
    """Markdown as our own parser reads it, with spans of it marked as `kind`; links show their address."""

    elements: ClassVar[dict[str, type[MarkdownElement]]] = {**Markdown.elements, "fence": _Code, "code_block": _Code}
    inlines = Markdown.inlines | {"quoted", "unsupported", "marked_code"}

    def __init__(self, text: str, marks: Sequence[Span], kind: Kind) -> None:
        super().__init__("", hyperlinks=False)
        self.parsed = parse(text, marks)
        for token in self.parsed:
            _style_marks(token.children or (), kind)


def _style_marks(tokens: Sequence[Token], kind: Kind) -> None:
    """Name the marks by their kind, and the code in them, which has a colour of its own elsewhere."""
    is_marked = False
    for token in tokens:
        if token.tag == "mark":
            token.tag = kind
            is_marked = token.nesting > 0
        elif is_marked and token.type == "code_inline":
            token.tag = "marked_code"


class _Tail:
    """As many of the last lines of an answer as the terminal holds."""

    def __init__(self, answer: str) -> None:
        self._drawn = _Drawn(answer, (), "unsupported")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in console.render_lines(self._drawn, options, pad=False)[-max(options.max_height - 2, 1) :]:
            yield from line
            yield Segment.line()
