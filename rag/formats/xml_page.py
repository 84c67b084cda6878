"""XML that holds text for people to blocks: HTML in .xml (also escaped), XHTML, DocBook and DITA.

Elements that mean the same as HTML's get its names, and `html_page` reads the tree. XML of data (a netlist, a register
map) is refused by name. It fetches nothing and expands no entities.

    parse_xml(b"<topic><title>Grow</title><body><p>Enlarges.</p></body></topic>").title == "Grow"
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rag.blocks import Parsed
from rag.encodings import read_text
from rag.errors import ParseFailed
from rag.formats.html_page import check_tags, read_tree

if TYPE_CHECKING:
    from lxml.etree import _Element

_MAX_DEPTH = 200
# DocBook's and DITA's names for what HTML has.
_SAME = {
    **dict.fromkeys(("para", "simpara", "formalpara", "shortdesc", "abstract", "p"), "p"),
    **dict.fromkeys(("itemizedlist", "ul", "simplelist"), "ul"),
    **dict.fromkeys(("orderedlist", "ol", "steps", "procedure"), "ol"),
    **dict.fromkeys(("listitem", "li", "step", "member", "choice"), "li"),
    **dict.fromkeys(("programlisting", "screen", "codeblock", "literallayout", "pre", "msgblock"), "pre"),
    **dict.fromkeys(("literal", "command", "option", "filename", "codeph", "cmdname", "code", "parmname"), "code"),
    **dict.fromkeys(("informaltable", "table", "simpletable", "properties"), "table"),
    **dict.fromkeys(("row", "tr", "strow", "sthead", "property"), "tr"),
    **dict.fromkeys(("entry", "td", "th", "stentry"), "td"),
    **dict.fromkeys(("variablelist", "dl", "parml", "glosslist", "glossary"), "dl"),
    **dict.fromkeys(("term", "dt", "pt", "glossterm"), "dt"),
    **dict.fromkeys(("dd", "pd", "glossdef"), "dd"),
    **dict.fromkeys(("emphasis", "em", "i", "b", "ph", "uicontrol"), "em"),
    "related-links": "nav",
    **dict.fromkeys(("remark", "draft-comment", "indexterm"), "script"),
    **dict.fromkeys(("head", "prolog"), "head"),
    **{tag: tag for tag in "h1 h2 h3 h4 h5 h6 div span a br hr img blockquote main nav sup sub strong body".split()},
}
_INLINE = frozenset("p dt pre code em td li span a h1 h2 h3 h4 h5 h6 sup sub strong".split())
_NOTES = frozenset({"note", "tip", "warning", "caution", "important"})
_KEPT = ("class", "id", "href", "role", "alt", "colspan")  # attributes
_PARTS = frozenset(
    "part chapter article section sect1 sect2 sect3 sect4 sect5 appendix preface topic concept task reference "
    "refentry refsect1 refsect2 simplesect".split()
)
_TEXT_TAGS = frozenset({"p", "pre", "ul", "ol", "table", "dl", "h1", "h2", "h3"})
_MARKUP = re.compile(r"<(?:p|h[1-6]|table|ul|ol|div|pre|dl)\b[^<>]*>", re.IGNORECASE)


def parse_xml(content: bytes) -> Parsed:
    """The title and the blocks of a page.

    Raises ParseFailed: it is not XML, or is data rather than text.
    """
    from lxml import etree, html

    check_tags(content)
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, recover=True, remove_comments=True, remove_pis=True
    )
    try:
        source = etree.fromstring(_encode(content), parser)
    except (etree.LxmlError, ValueError) as error:
        raise ParseFailed(f"no XML that can be read ({error})") from error
    if source is None:
        raise ParseFailed("no XML that can be read")

    name = _local(source)
    page = html.Element("body")
    title = source.findtext("{*}head/{*}title") or source.findtext("{*}title") or source.findtext("{*}info/{*}title")
    _copy(source, page, 0, 1)
    if not any(element.tag in _TEXT_TAGS for element in page.iter()):
        raise ParseFailed(f"XML of data and not of text (its first element is <{name[:60]}>)")
    root = html.Element("html")
    root.append(page)
    parsed = read_tree(root, " ".join((title or "").split()))
    damage = next((entry for entry in parser.error_log if entry.level_name == "FATAL"), None)
    note = f"damaged in line {damage.line} ({damage.message.strip()}): text behind it may be missing" if damage else ""
    return replace(parsed, note=note)


def _encode(content: bytes) -> bytes:
    """The bytes as they are where they say their encoding, else as UTF-8."""
    if re.match(rb"\s*<\?xml[^>]*encoding", content[:200]) or content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content
    return read_text(content).text.encode("utf-8")


def _local(element: Any) -> str:
    return element.tag.rpartition("}")[2].lower() if isinstance(element.tag, str) else ""


def _copy(source: _Element, target: Any, depth: int, level: int) -> None:
    """Append what `source` holds to `target`, under HTML's names; `level` counts the sections around it."""
    from lxml import html

    if depth > _MAX_DEPTH:
        target.text = f"{target.text or ''}{''.join(source.itertext())}"
        return
    _append_text(target, source.text)
    for child in source:
        if name := _local(child):
            kept = {key: value for key, value in child.attrib.items() if key in _KEPT}
            made = html.Element(_tag_of(name, _local(source), target.tag, level), kept | _spans(child))
            target.append(made)
            if name in _NOTES:
                made.append(html.Element("p", {"class": "admonition-title"}))
                made[0].text = (child.get("type") or name).capitalize()
            _copy(child, made, depth + 1, level + (name in _PARTS))
        _append_text(target, child.tail)


def _tag_of(name: str, parent: str, target: str, level: int) -> str:
    """HTML's name for an element in `parent`, which became `target`."""
    if name == "title":
        return (
            "caption" if target == "table" else "p" if parent in ("figure", "example", "fig") else f"h{min(level, 6)}"
        )
    if (name, parent) == ("listitem", "varlistentry"):
        return "dd"
    if name == "info":  # DocBook's describes a part, DITA's goes on in a step
        return "head" if parent in _PARTS or parent == "book" else "p"
    return _SAME.get(name, "span" if target in _INLINE else "div")


def _spans(cell: _Element) -> dict[str, str]:
    """How many columns and rows a cell of a CALS table spans, as HTML says it."""
    first, last = (re.search(r"\d+$", cell.get(key, "")) for key in ("namest", "nameend"))
    columns = {"colspan": str(int(last[0]) - int(first[0]) + 1)} if first and last else {}
    more = cell.get("morerows", "")
    return columns | ({"rowspan": str(int(more) + 1)} if more.isdecimal() and len(more) < 5 else {})


def _append_text(target: Any, text: str | None) -> None:
    """Put text behind what `target` holds already; escaped HTML becomes elements."""
    from lxml import html

    if not text:
        return
    if _MARKUP.search(text):
        for part in html.fragments_fromstring(text):
            if isinstance(part, str):
                _append_text(target, part.replace("<", " "))
            else:
                target.append(part)
        return
    last = next(target.iterchildren(reversed=True), None)  # at once, where `len` counts all of them
    if last is not None:
        last.tail = f"{last.tail or ''}{text}"
    else:
        target.text = f"{target.text or ''}{text}"
