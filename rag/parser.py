"""A file to a title and blocks, by the kind of file that its name says: the table of formats.

It opens no files (`reader` does) and cuts nothing (`chunker` does). A new format is a function `parse_<format>(text or bytes) -> Parsed` in
a file of its own and a row here.

    parse("src/grt/README.md", text).blocks[0].heading_path
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import PurePosixPath

from rag.blocks import Parsed, read_parsed, write_parsed
from rag.csv_table import parse_csv
from rag.eda_data import parse_eda_data
from rag.errors import ParseFailed
from rag.html_page import parse_html
from rag.manpage import parse_man
from rag.markdown import parse_markdown
from rag.pdf import parse_pdf
from rag.plain_text import parse_text
from rag.python_code import parse_python
from rag.rst import parse_rst
from rag.script import parse_script
from rag.verilog import parse_verilog
from rag.word import parse_docx


@dataclass(frozen=True, slots=True)
class Format:
    """How one kind of file, which people call `name`, is read: by `parse_text` (its text) or by `parse_bytes`.

    `in_sandbox`: parsed once, by `rag.sandbox`, because a library or a heavy pattern meets whatever the file holds; the document then keeps
    the blocks as its text. `head_only`: of a file that is too large only the beginning is read. `keeps_name`: its title is its file's name.
    """

    name: str = ""
    parse_text: Callable[[str], Parsed] | None = None
    parse_bytes: Callable[[bytes], Parsed] | None = None
    in_sandbox: bool = True
    head_only: bool = False
    keeps_name: bool = False


def _code(name: str, parse_code: Callable[[str, str], Parsed]) -> Format:
    return Format(name, partial(_call_code, parse_code, name.lower()), keeps_name=True)


def _call_code(parse_code: Callable[[str, str], Parsed], language: str, text: str) -> Parsed:
    return parse_code(text, language)


def _data(name: str) -> Format:
    return Format(name, partial(_call_code, parse_eda_data, name.lower()), head_only=True, keeps_name=True)


_MARKDOWN = Format("Markdown", parse_markdown, in_sandbox=False)
_RST = Format("reStructuredText", parse_rst, in_sandbox=False)
_TEXT = Format("text", parse_text, in_sandbox=False, keeps_name=True)
_HTML = Format("HTML", parse_bytes=parse_html)
_CSV = Format("CSV", parse_csv, keeps_name=True)
_MAN = Format("man page", parse_man)
# Sections 1 to 9 and n, alone or with what Perl, OpenSSL, Tcl and others append to them.
_MAN_SUFFIXES = [f".{section}{extra}" for section, extra in product("123456789", ("", "p", "pm", "perl", "ssl", "tcl", "tk", "x", "posix"))]

FORMATS: dict[str, Format] = {
    **dict.fromkeys((".md", ".markdown", ".mdown"), _MARKDOWN),
    **dict.fromkeys((".rst", ".rest"), _RST),
    **dict.fromkeys((".txt", ".text"), _TEXT),
    **dict.fromkeys((".html", ".htm", ".xhtml"), _HTML),
    ".pdf": Format("PDF", parse_bytes=parse_pdf),
    ".docx": Format("DOCX", parse_bytes=parse_docx),
    **dict.fromkeys((*_MAN_SUFFIXES, ".n", ".man"), _MAN),
    **dict.fromkeys((".tcl", ".sdc", ".upf", ".xdc"), _code("Tcl", parse_script)),
    **dict.fromkeys((".sh", ".bash", ".csh"), _code("shell", parse_script)),
    ".ys": _code("Yosys", parse_script),
    ".vhd": _code("VHDL", parse_script),
    ".vhdl": _code("VHDL", parse_script),
    **dict.fromkeys((".v", ".vh"), _code("Verilog", parse_verilog)),
    **dict.fromkeys((".sv", ".svh"), _code("SystemVerilog", parse_verilog)),
    ".py": Format("Python", parse_python, keeps_name=True),
    **dict.fromkeys((".lef", ".tlef"), _data("LEF")),
    ".lib": _data("Liberty"),
    ".def": _data("DEF"),
    ".spef": _data("SPEF"),
    **dict.fromkeys((".csv", ".tsv"), _CSV),
}


def format_of(path: str) -> Format | None:
    """The format of a file by its name, `.gz` after it or not; None where it is not read."""
    pure = PurePosixPath(path.lower().removesuffix(".gz"))
    return FORMATS.get(pure.suffix)


def parse(path: str, text: str) -> Parsed:
    """Title (the file's name where the text has none) and blocks of one file that is text."""
    found = format_of(path) or _TEXT
    if found.parse_text is None:
        return parse_file(path, text.encode())
    return _titled(path, found.parse_text(text), found)


def parse_file(path: str, content: bytes) -> Parsed:
    """Title and blocks of one file by its content. Raises ParseFailed with the reason, and whatever a parser does with a damaged file."""
    found = format_of(path) or _TEXT
    if found.parse_bytes is None:
        return parse(path, decode(content))
    return _titled(path, found.parse_bytes(content), found)


def document_text(path: str, text: str, parsed: Parsed) -> str:
    """What a `Document` keeps as its text: the file's own, or for the formats of the sandbox what was parsed, so that it is parsed once."""
    found = format_of(path)
    return write_parsed(parsed) if found and found.in_sandbox else text


def parse_document(path: str, text: str) -> Parsed:
    """Title and blocks of a `Document` from its `document_text`."""
    found = format_of(path)
    return read_parsed(text) if found and found.in_sandbox else parse(path, text)


def decode(content: bytes) -> str:
    """The text of a file: UTF-8, with unix line ends. Raises ParseFailed for binary content, other encodings and empty files."""
    if b"\0" in content:
        raise ParseFailed("binary, not text")
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise ParseFailed(f"not UTF-8 (byte {error.start})") from error
    if not text.strip():
        raise ParseFailed("empty")
    return text


def _titled(path: str, parsed: Parsed, found: Format) -> Parsed:
    title = parsed.title or (PurePosixPath(path).name if found.keeps_name else _title_from_path(path))
    return Parsed(title, parsed.blocks, parsed.note)


def _title_from_path(path: str) -> str:
    """`src/grt/README.md` is called `grt README`: the name alone would be that of every second file."""
    pure = PurePosixPath(path)
    is_generic = pure.stem.lower() in ("readme", "index") and pure.parent.name
    return f"{pure.parent.name} {pure.stem}" if is_generic else pure.stem
