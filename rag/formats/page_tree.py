"""A page's tree before it is read: without what surrounds its text, and with headings where it has none.

Navigation, sidebars, scripts, forms and what only leads through a site are taken out. On a page without headings, lines
of bold or large letters alone become such.

    prepare_tree(root)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rag.raised import write_raised

if TYPE_CHECKING:
    from lxml.html import HtmlElement

_DROPPED_TAGS = frozenset(
    """
    script style noscript noframes template svg iframe object nav footer form button select textarea head title
    """.split()
)
_DROPPED_ROLES = frozenset({"navigation", "banner", "contentinfo", "search", "complementary"})
# Class and id names of what surrounds the text: Sphinx and its themes, MkDocs, Docusaurus, Confluence, Doxygen.
_DROPPED_NAMES = frozenset(
    """
    sidebar sphinxsidebar related toctree-wrapper contents-local localtoc toc breadcrumb breadcrumbs wy-breadcrumbs
    breadcrumb-section headerlink hash-link anchor-link footer navbar nav navigation menu edit-this-page edit-link
    theme-edit-this-page page-metadata prev-next-area prev-next-footer rst-footer-buttons bd-sidebar-primary
    bd-sidebar-secondary wy-nav-side md-sidebar md-source-file page-actions comments-section
    likes-and-labels-container skip-link skip-to-content visually-hidden sr-only copybtn navpath header-article
    linenos linenodiv logo site-logo masthead msotoc1 msotoc2 msotoc3
    """.split()
)
_EDIT_LINK = re.compile(
    r"\W*(?:edit|improve|view|show|suggest edits?)\b.{0,20}\b(?:page|source|on (?:github|gitlab|bitbucket))\W*",
    re.IGNORECASE,
)
_MAX_SIGNPOST = 200  # characters
# When a page was changed, or whose it is
_CHANGED = re.compile(
    r"(?=.*\d)(?:(?:page |document )?last (?:updated|modified|changed|revised|edited)\b.{0,60}"
    r"|(?:updated|modified|revised|generated)(?: on|:)\s.{0,40}\b(?:19|20)\d\d\b.{0,20}"
    r"|(?:copyright\b|©|\(c\)).{0,30}\b(?:19|20)\d\d\b.{0,150})",
    re.IGNORECASE,
)
_TRAIL_STARTS = frozenset({"home", "main", "docs", "documentation", "index", "start", "top"})
_TRAIL = re.compile(r"\s*(?:[»›>|/·]|::)\s*")
_WAY = re.compile(
    r"\W*(?:(?:return|back|go)(?: to)?(?: the)? .{1,40}|(?:previous|prev|next|up): .{1,80}|"
    r"previous|prev|next|up|top|home|index|contents|"
    r"table of contents|main(?: page)?)\W*",
    re.IGNORECASE,
)
# What generators of old write above a page: `next up previous Next: Skew Up: Manual`
_WAYS = re.compile(
    r"\W*(?:(?:next|up|previous|prev|top|home|contents|index)\b\W{1,3}){0,6}"
    r"(?:next|up|previous|prev): .{1,80}?\b(?:next|up|previous|prev): .{1,150}",
    re.IGNORECASE,
)
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_LARGE = ("5", "6", "7", "+2", "+3", "+4")  # sizes of a page's title
_LONGEST_BOLD = 80  # characters of a line that is a heading by its look
BLOCK_TAGS = frozenset(
    """
    address article blockquote body center dd details div dl dt fieldset figcaption figure h1 h2 h3 h4 h5 h6 header hr
    html li main ol p pre section summary table tbody td th thead tr ul
    """.split()
)


def prepare_tree(root: HtmlElement) -> None:
    """Take out what is not the page's text, mend lists of terms of which none is closed, and find headings."""
    leave_out(root)
    for term in root.xpath("//dt//dt"):
        outer = term.xpath("ancestor::dt[last()]")[0]
        outer.addnext(term)
    for definition in root.xpath("//dd/dd"):
        definition.getparent().addnext(definition)
    if next(root.iter(*HEADINGS), None) is None:
        _find_headings(root)


def leave_out(root: HtmlElement) -> None:
    """Take out what is not the page's text: navigation, scripts, forms, signposts."""
    _drop_surroundings(root)
    _drop_signposts(root)


def is_signpost_text(text: str) -> bool:
    """Whether words that no element holds alone say when a page was changed, or lead to others."""
    return len(text) <= _MAX_SIGNPOST and bool(_CHANGED.fullmatch(text) or _WAYS.fullmatch(text))


def _drop_surroundings(root: HtmlElement) -> None:
    """Take out what surrounds the page's text, but keep the text that follows each such element."""
    dropped = [
        element
        for element in root.iter()
        if isinstance(element.tag, str) and element.getparent() is not None and _is_surrounding(element)
    ]
    for element in dropped:
        if element.getparent() is not None:
            element.drop_tree()


def _is_surrounding(element: HtmlElement) -> bool:
    if element.tag in _DROPPED_TAGS or element.get("role") in _DROPPED_ROLES or element.get("hidden") is not None:
        return True
    names = f"{element.get('class', '')} {element.get('id', '')}".lower().split()
    if element.tag not in ("html", "body", "main") and not _DROPPED_NAMES.isdisjoint(names):
        return True
    return element.tag == "a" and len(element) < 4 and bool(_EDIT_LINK.fullmatch(element.text_content().strip()[:80]))


def _drop_signposts(root: HtmlElement) -> None:
    """Take out what only leads through a site: trails of links, lists of a page's own parts, when it was changed,
    whose it is.
    """
    seen_heading = False
    for element in list(root.iter("h1", "h2", "h3", "p", "div", "center", "address", "ul", "ol", "table")):
        if element.tag in ("h1", "h2", "h3"):
            seen_heading |= bool(element.text_content().strip())
        elif element.tag in ("ul", "ol"):
            if _is_contents(element):
                element.drop_tree()
        elif element.tag == "table":
            if _leads_on(element):
                element.drop_tree()
        elif not holds_blocks(element) and _is_signpost(element, seen_heading) and element.getparent() is not None:
            element.drop_tree()


def holds_blocks(element: HtmlElement) -> bool:
    """Whether an element contains a block."""
    return len(element) > 0 and next(element.iterdescendants(*BLOCK_TAGS), None) is not None


def _is_contents(element: HtmlElement) -> bool:
    """Whether a list holds nothing but links to parts of its own page."""
    items = list(element.iter("li"))
    links = list(element.iter("a"))
    return (
        len(items) >= 3
        and len(links) >= len(items)
        and all(link.get("href", "").startswith("#") for link in links)
        and "".join(element.text_content().split()) == "".join("".join(map(_text_content, links)).split())
    )


def _leads_on(table: HtmlElement) -> bool:
    """Whether a table holds nothing but the ways to other pages ("Prev", "Contents", "Next")."""
    links = [squeeze(link.text_content()) for link in table.iter("a")]
    text = "".join(squeeze(table.text_content()).split())
    return (
        bool(text) and "".join("".join(links).split()) == text and all(_WAY.fullmatch(link) for link in links if link)
    )


def _text_content(element: HtmlElement) -> str:
    return str(element.text_content())


def _is_signpost(element: HtmlElement, seen_heading: bool) -> bool:
    """Whether a paragraph is a trail ("Main » Manual » Rules"), a way back, or a date of change."""
    text = squeeze(element.text_content())
    if not text or len(text) > _MAX_SIGNPOST:
        return False
    if is_signpost_text(text):
        return True

    links = [squeeze(link.text_content()) for link in element.iter("a")]
    crumbs = [crumb.strip() for crumb in _TRAIL.split(text)]
    if len(crumbs) > 1 and not links and not seen_heading and crumbs[0].lower() in _TRAIL_STARTS:
        return True
    if len(crumbs) > 1 and links == [crumb for crumb in crumbs if crumb in links] and len(links) >= len(crumbs) - 1:
        return not seen_heading or all(_WAY.fullmatch(link) for link in links)
    is_links = bool(links) and "".join("".join(links).split()) == "".join(text.split())
    return is_links and all(_WAY.fullmatch(link) for link in links)


def _find_headings(root: HtmlElement) -> None:
    """Make headings of a page that has none: of lines of bold or large letters alone, and of titles of Word's."""
    for element in list(root.iter("p", "center", "div", "td")):
        text = squeeze(element.text_content())
        if not text or len(text) > _LONGEST_BOLD or text[-1] in ".,;!?" or holds_blocks(element):
            continue
        is_title = "MsoTitle" in element.get("class", "")
        is_alone = element.tag != "td" or len(list(element.getparent().iterchildren("td", "th"))) == 1
        if is_title or (is_alone and _is_bold(element, text)):
            large = any(font.get("size", "") in _LARGE for font in element.iter("font"))
            element.tag = "h1" if is_title or (large and not list(root.iter("h1"))) else "h2"


def _is_bold(element: HtmlElement, text: str) -> bool:
    """Whether all letters of a line are bold or large."""
    marked = element.xpath(".//b[not(ancestor::b)] | .//strong | .//big | .//font[@size and not(.//b or ancestor::b)]")
    return "".join("".join(map(_text_content, marked)).split()) == "".join(text.split())


def squeeze(text: str) -> str:
    """Text with single blanks, and raised letters as they are written."""
    return " ".join(write_raised(text).split())
