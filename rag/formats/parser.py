"""A file to a title and blocks, by the kind of file that its name says: the table of formats.

It opens no files (`reader` does) and cuts nothing (`chunker` does). A new format needs a function `parse_<format>(text
or bytes) -> Parsed` in a file of its own and a row here.

    parse("src/grt/README.md", text).blocks[0].heading_path
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import PurePosixPath

from rag.blocks import MAX_HEADING_CHARACTERS, Block, Parsed
from rag.design.eda_data import parse_eda_data
from rag.design.latex import parse_latex
from rag.design.protected import hide_armour
from rag.design.reports import parse_report
from rag.design.settings_files import parse_json, parse_settings
from rag.documents import Document
from rag.encodings import read_text
from rag.formats.csv_table import parse_csv
from rag.formats.decks import parse_deck, parse_technology
from rag.formats.html_page import parse_html
from rag.formats.includes import ReadText, expand_includes, find_missing
from rag.formats.manpage import parse_man
from rag.formats.markdown import parse_markdown
from rag.formats.notebook import parse_notebook
from rag.formats.pdf import parse_pdf
from rag.formats.plain_text import parse_text
from rag.formats.pod import parse_perl
from rag.formats.python_code import parse_python
from rag.formats.rst import parse_rst
from rag.formats.script import parse_script
from rag.formats.spice import find_language, parse_spice
from rag.formats.verilog import parse_verilog
from rag.formats.xml_page import parse_xml
from rag.office.excel import parse_excel
from rag.office.open_document import parse_odt
from rag.office.slides import parse_slides
from rag.office.word import parse_docx

MAX_TITLE_CHARACTERS = 300  # each chunk repeats it; a file's name has 255 at most
MAX_HEADING_LEVELS = 16  # each chunk repeats them; documents have six, and some more with options inside commands


@dataclass(frozen=True, slots=True)
class Format:
    """How one kind of file, which people call `name`, is read: by `parse_text` (its text) or by `parse_bytes`.

    `keeps_text`: the document keeps the file's own text beside its blocks.
    `parse_head`: reads the beginning of a file that is too large to read whole; without it such a file is refused.
    `keeps_name`: the title is the file's name.
    `parse_pictures`: reads also pages that are pictures, with the languages of text recognition.
    """

    name: str = ""
    parse_text: Callable[[str], Parsed] | None = None
    parse_bytes: Callable[[bytes], Parsed] | None = None
    keeps_text: bool = False
    parse_head: Callable[[str], Parsed] | None = None
    keeps_name: bool = False
    parse_pictures: Callable[[bytes, str], Parsed] | None = None


def _code(name: str, parse_code: Callable[[str, str], Parsed], language: str = "") -> Format:
    return Format(name, partial(_call_code, parse_code, language or name.lower()), keeps_name=True)


def _call_code(parse_code: Callable[[str, str], Parsed], language: str, text: str) -> Parsed:
    return parse_code(text, language)


def _data(name: str) -> Format:
    whole, head = (partial(_call_data, name.lower(), is_whole) for is_whole in (True, False))
    return Format(name, whole, parse_head=head, keeps_name=True)


def _call_data(kind: str, is_whole: bool, text: str) -> Parsed:
    return parse_eda_data(text, kind, is_whole)


def _call_library(is_whole: bool, text: str) -> Parsed:
    """A library of cells in Liberty, or one of models: both are called .lib."""
    language = "" if _LIBERTY.search(text) else find_language(text)
    return parse_spice(text, language) if language else parse_eda_data(text, "liberty", is_whole)


def _settings(name: str, language: str) -> Format:
    return Format(name, partial(_call_settings, language), keeps_name=True)


def _call_settings(language: str, text: str) -> Parsed:
    return parse_settings(text, language)


_MISSING_SHOWN = 3  # of the files that a document includes and its source lacks
_PAGE = re.compile(rb"\s*<(?:!doctype\s+html|html)\b", re.IGNORECASE)
_LIBERTY = re.compile(r"\blibrary\s*\(")
_MARKDOWN = Format("Markdown", parse_markdown, keeps_text=True)
_RST = Format("reStructuredText", parse_rst, keeps_text=True)
_TEXT = Format("text", parse_text, keeps_text=True, keeps_name=True)
_HTML = Format("HTML", parse_bytes=parse_html)
_CSV = Format("CSV", parse_csv, keeps_name=True)
_MAN = Format("man page", parse_man)
_REPORT = Format("report", parse_report, keeps_name=True)
_DECK = Format("rule deck", parse_deck, keeps_name=True)
_TECHNOLOGY = Format("technology file", parse_technology, keeps_name=True)
_MAKE = _settings("makefile", "make")
# Sections 1 to 9 and n, alone or with the suffixes that Perl, OpenSSL, Tcl and others append.
_MAN_SUFFIXES = [
    f".{section}{extra}"
    for section, extra in product("123456789", ("", "p", "pm", "perl", "ssl", "tcl", "tk", "x", "posix"))
]

_NAMED_TEXTS = (
    *("readme", "changes", "changelog", "news", "install", "todo", "faq", "notes", "release_notes", "releasenotes"),
    *("release-notes", "relnotes", "history", "known_issues", "known-issues"),
)
# Files that people know by their names, most without a suffix; lists of libraries are called as Liberty is.
NAMES: dict[str, Format] = {
    **dict.fromkeys(("makefile", "gnumakefile"), _MAKE),
    **dict.fromkeys((*_NAMED_TEXTS, "cds.lib", "lib.defs"), _TEXT),
}
_KEPT_AS_TEXT = (".txt", ".in")  # behind a format's own suffix: `index.rst.txt` beside a page, `guide.md.in`

FORMATS: dict[str, Format] = {
    **dict.fromkeys((".md", ".markdown", ".mdown", ".mkd", ".mdx", ".qmd"), _MARKDOWN),
    **dict.fromkeys((".rst", ".rest"), _RST),
    **dict.fromkeys((".txt", ".text"), _TEXT),
    **dict.fromkeys((".html", ".htm", ".xhtml"), _HTML),
    ".pdf": Format("PDF", parse_bytes=parse_pdf, parse_pictures=parse_pdf),
    **dict.fromkeys((".xml", ".dita", ".dbk"), Format("XML", parse_bytes=parse_xml)),
    **dict.fromkeys((".docx", ".docm", ".dotx", ".dotm"), Format("DOCX", parse_bytes=parse_docx)),
    **dict.fromkeys((".pptx", ".pptm", ".potx", ".ppsx"), Format("PowerPoint", parse_bytes=parse_slides)),
    **dict.fromkeys((".odt", ".ott", ".ods", ".ots", ".odp", ".otp"), Format("OpenDocument", parse_bytes=parse_odt)),
    **dict.fromkeys((".xlsx", ".xlsm"), Format("Excel", parse_bytes=parse_excel, keeps_name=True)),
    **dict.fromkeys((".tex", ".ltx"), Format("LaTeX", parse_latex)),
    ".ipynb": Format("notebook", parse_notebook),
    **dict.fromkeys((".log", ".rpt", ".report", ".rep", ".summary", ".sum", ".lis", ".err"), _REPORT),
    **dict.fromkeys((".yaml", ".yml"), _settings("YAML", "yaml")),
    **dict.fromkeys((".toml", ".ini", ".cfg"), _settings("TOML", "toml")),
    **dict.fromkeys((".mk", ".mak"), _MAKE),
    ".json": Format("JSON", parse_json, keeps_name=True),
    **dict.fromkeys((*_MAN_SUFFIXES, ".n", ".man"), _MAN),
    **dict.fromkeys((".tcl", ".sdc", ".upf", ".cpf", ".xdc", ".qsf", ".do", ".jou"), _code("Tcl", parse_script)),
    **dict.fromkeys((".sh", ".bash", ".csh"), _code("shell", parse_script)),
    **dict.fromkeys((".pl", ".pm", ".pod"), _code("Perl", parse_perl)),
    **dict.fromkeys((".il", ".ils"), _code("SKILL", parse_script)),
    **dict.fromkeys((".sp", ".spi", ".spice", ".cir", ".ckt", ".cdl", ".mdl", ".mod"), _code("SPICE", parse_spice)),
    ".scs": _code("SPICE", parse_spice, "spectre"),
    **dict.fromkeys((".drc", ".lvs", ".svrf", ".rul", ".rules", ".lydrc", ".lylvs", ".lym"), _DECK),
    **dict.fromkeys((".tf", ".tech", ".itf", ".ict", ".map", ".layermap", ".lyp"), _TECHNOLOGY),
    ".ys": _code("Yosys", parse_script),
    ".vhd": _code("VHDL", parse_script),
    ".vhdl": _code("VHDL", parse_script),
    **dict.fromkeys((".v", ".vh", ".vp", ".va", ".vams"), _code("Verilog", parse_verilog)),
    **dict.fromkeys((".sv", ".svh", ".svp"), _code("SystemVerilog", parse_verilog)),
    ".py": Format("Python", parse_python, keeps_name=True),
    **dict.fromkeys((".lef", ".tlef"), _data("LEF")),
    ".lib": Format("Liberty", partial(_call_library, True), parse_head=partial(_call_library, False), keeps_name=True),
    ".def": _data("DEF"),
    ".spef": _data("SPEF"),
    **dict.fromkeys((".csv", ".tsv"), _CSV),
}


def format_of(path: str) -> Format | None:
    """The format of a file by its name, with or without `.gz`; None where such files are not read."""
    pure = PurePosixPath(path.lower().removesuffix(".gz"))
    if re.fullmatch(r".+\.log\.\d{1,3}", pure.name):
        return _REPORT  # an older log, whose number is not a section of the manual
    inner = FORMATS.get(PurePosixPath(pure.stem).suffix) if pure.suffix in _KEPT_AS_TEXT else None
    return NAMES.get(pure.name) or (inner if inner and inner.keeps_text else None) or FORMATS.get(pure.suffix)


def may_include(path: str) -> bool:
    """Whether a file of this name may include other files of its source."""
    return format_of(path) is _RST


def read_file(
    path: str, content: bytes, is_whole: bool = True, included: ReadText = lambda _: None, ocr: str = ""
) -> tuple[str | None, Parsed]:
    """The file's own text where a `Document` keeps it, and the parsed file; `included` gives the texts that it names.

    ocr: languages in which pages that are pictures are read; "" for none.

    Raises ParseFailed: the message is the reason. A parser may raise other errors on a damaged file.
    """
    found = format_of(path) or _TEXT
    found = _HTML if found in (_REPORT, _TEXT) and _PAGE.match(content) else found  # reports that are pages
    if ocr and found.parse_pictures is not None:
        return None, _bound(path, found.parse_pictures(content, ocr), found)
    if found.parse_bytes is not None:
        return None, _bound(path, found.parse_bytes(content), found)
    decoded = read_text(content)
    plain = hide_armour(decoded.text)
    text = expand_includes(path, plain, included) if found is _RST else plain
    parsed = parse(path, text, is_whole)
    note = "; ".join(filter(None, (decoded.note, parsed.note, _name_missing(text) if found is _RST else "")))
    return text if found.keeps_text else None, replace(parsed, note=note, encoding=decoded.encoding)


def _name_missing(text: str) -> str:
    """What a text includes that is not in its source; "" where all of it is there."""
    missing = find_missing(text)
    more = f" and {len(missing) - _MISSING_SHOWN} more" if len(missing) > _MISSING_SHOWN else ""
    return f"it includes what could not be read: {', '.join(missing[:_MISSING_SHOWN])}{more}" if missing else ""


def parse(path: str, text: str, is_whole: bool = True) -> Parsed:
    """Title (the file's name where the text has none) and blocks of one text file.

    `is_whole` is false where the file's end is missing.
    """
    found = format_of(path) or _TEXT
    parse_text = found.parse_text if is_whole or not found.parse_head else found.parse_head
    if parse_text is None:
        return read_file(path, text.encode())[1]
    return _bound(path, parse_text(text), found)


def parse_document(
    collection: str,
    path: str,
    title: str,
    text: str,
    url: str | None,
    licence: str,
    version: str = "",
    date: str = "",
) -> Document:
    """A given text as a `Document`, parsed as the file of that name would be."""
    own_text = text if (format_of(path) or _TEXT).keeps_text else None
    parsed = parse(path, text)
    return Document(
        collection, path, title, own_text, url, licence, version, date, blocks=parsed.blocks, note=parsed.note
    )


def _bound(path: str, parsed: Parsed, found: Format) -> Parsed:
    """The same with a title, and with no more and no longer headings than each chunk under them can carry."""
    title = parsed.title or (PurePosixPath(path).name if found.keeps_name else _title_from_path(path))
    blocks = tuple(block if _is_short(block.heading_path) else _shorten(block) for block in parsed.blocks)
    return replace(parsed, title=title[:MAX_TITLE_CHARACTERS], blocks=blocks)


def _is_short(heading_path: tuple[str, ...]) -> bool:
    return len(heading_path) <= MAX_HEADING_LEVELS and all(
        len(heading) <= MAX_HEADING_CHARACTERS for heading in heading_path
    )


def _shorten(block: Block) -> Block:
    return replace(
        block,
        heading_path=tuple(heading[:MAX_HEADING_CHARACTERS] for heading in block.heading_path[:MAX_HEADING_LEVELS]),
    )


def _title_from_path(path: str) -> str:
    """`src/grt/README.md` is called `grt README`: every second file would share the name alone."""
    pure = PurePosixPath(path)
    is_generic = pure.stem.lower() in ("readme", "index") and pure.parent.name
    return f"{pure.parent.name} {pure.stem}" if is_generic else pure.stem
