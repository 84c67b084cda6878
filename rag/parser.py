"""A document's text to a title and blocks, by the kind of file its name says: Markdown, reStructuredText, code or plain text.

It opens no files (`reader` does) and cuts nothing (`chunker` does).

    parse("src/grt/README.md", text).blocks[0].heading_path
"""

from pathlib import PurePosixPath

from rag.blocks import Block, Parsed, fence_code
from rag.markdown import parse_markdown
from rag.rst import parse_rst

MARKDOWN_SUFFIXES = frozenset({".md", ".markdown", ".mdown"})
RST_SUFFIXES = frozenset({".rst", ".rest"})
TEXT_SUFFIXES = frozenset({".txt", ".text"})
CODE_LANGUAGES = {
    ".tcl": "tcl",
    ".sdc": "tcl",
    ".upf": "tcl",
    ".xdc": "tcl",
    ".v": "verilog",
    ".vh": "verilog",
    ".sv": "systemverilog",
    ".svh": "systemverilog",
    ".vhd": "vhdl",
    ".ys": "yosys",
}
SUPPORTED_SUFFIXES = MARKDOWN_SUFFIXES | RST_SUFFIXES | TEXT_SUFFIXES | CODE_LANGUAGES.keys()


def parse(path: str, text: str) -> Parsed:
    """Title (the file's name where the text has none) and blocks of one document."""
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in MARKDOWN_SUFFIXES:
        parsed = parse_markdown(text)
    elif suffix in RST_SUFFIXES:
        parsed = parse_rst(text)
    elif suffix in CODE_LANGUAGES:
        code = Block("code", fence_code(text.rstrip().expandtabs(4).splitlines(), CODE_LANGUAGES[suffix]), ())
        parsed = Parsed(PurePosixPath(path).name, (code,) if text.strip() else ())
    else:
        parsed = Parsed(PurePosixPath(path).name, _parse_paragraphs(text))
    return parsed if parsed.title else Parsed(_title_from_path(path), parsed.blocks)


def _parse_paragraphs(text: str) -> tuple[Block, ...]:
    paragraphs = (part.strip("\n") for part in text.replace("\r\n", "\n").split("\n\n"))
    return tuple(Block("prose", part, ()) for part in paragraphs if part.strip())


def _title_from_path(path: str) -> str:
    """`src/grt/README.md` is called `grt README`: the name alone would be that of every second file."""
    pure = PurePosixPath(path)
    is_generic = pure.stem.lower() in ("readme", "index") and pure.parent.name
    return f"{pure.parent.name} {pure.stem}" if is_generic else pure.stem
