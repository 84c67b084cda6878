"""A tree of XML that a stranger wrote: no entity is resolved, no other file or address opened, remarks left out.

It reads whole XML alone: damaged pages are mended in rag.formats.xml_page.

    root = read_xml_tree(b"<a>b</a>", "OpenDocument text")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag.errors import ParseFailed

if TYPE_CHECKING:
    from lxml.etree import _Element


def read_xml_tree(content: bytes, what: str) -> _Element:
    """The root element; what: what it should be.

    Raises ParseFailed: it is damaged.
    """
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True)
    try:
        return etree.fromstring(content, parser)
    except (etree.LxmlError, ValueError) as error:
        raise ParseFailed(f"no {what} that can be read ({error})") from error
