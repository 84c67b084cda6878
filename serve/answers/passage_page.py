"""One passage as a page: the target of citation links if a document has no public page.

It holds text alone: no script, no picture and no link of the document's, and its headers make a browser enforce that.
An address may name places in the text, `?quote=0-120&quote=300-341#quote`: the page marks them and opens at the first.

    HTMLResponse(render(chunk, read_quotes(["0-120"])), headers=PAGE_HEADERS)
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import urlsplit

from rag.documents import Chunk
from rag.index.selection import name_file

STYLE = (
    ":root{color-scheme:light dark}\n"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}\n"
    "pre{white-space:pre-wrap;font:14px/1.5 ui-monospace,monospace;padding:1rem}\n"
    "pre{border:1px solid #8884;border-radius:8px}\n"
    "small{opacity:.7}\n"
    "mark{background:light-dark(#fef08a,#713f12);color:inherit}"
)
_ONLY = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"  # what default-src does not cover
MOST_QUOTES = 50
_QUOTE = re.compile(r"(\d{1,9})-(\d{1,9})", re.ASCII)
Span = tuple[int, int]  # the first character, and the one after the last
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>{style}</style></head>
<body><h1>{title}</h1><p>{place}</p><pre>{text}</pre><small>{source} · licence: {licence}</small></body></html>
"""


def page_headers(style: str) -> dict[str, str]:
    """What makes a browser show a page's text in this style and nothing else."""
    style_hash = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return {
        "content-security-policy": f"default-src 'none'; style-src 'sha256-{style_hash}'; {_ONLY}",
        "x-frame-options": "DENY",  # for browsers older than frame-ancestors
        "referrer-policy": "no-referrer",  # the address of a passage stays here
        "cache-control": "private, no-store",  # no cache keeps a document of the company's
    }


PAGE_HEADERS = page_headers(STYLE)


def read_quotes(values: Iterable[str]) -> list[Span]:
    """The places that an address names, at most fifty; invalid ones are skipped."""
    found = [_QUOTE.fullmatch(value) for value in values]
    return [(int(one[1]), int(one[2])) for one in found if one][:MOST_QUOTES]


def render(chunk: Chunk, quoted: Sequence[Span] = ()) -> str:
    """The page of a passage with the `quoted` places of its text marked; skips places out of range or empty."""
    fields = {
        "title": chunk.title,
        "place": " › ".join(chunk.heading_path),
        "source": name_file(chunk.collection, chunk.path),
        "licence": chunk.licence,
    }
    text = "".join(_mark(chunk.text, quoted))
    return PAGE.format(style=STYLE, text=text, **{name: html.escape(value) for name, value in fields.items()})


def _mark(text: str, quoted: Sequence[Span]) -> Iterator[str]:
    """The text as HTML; overlapping places are marked as one, and the first has the address's fragment as its id."""
    position = 0
    for start, end in sorted(span for span in quoted if 0 <= span[0] < span[1] <= len(text)):
        if end <= position:
            continue
        name = "" if position else ' id="quote"'
        first = max(start, position)
        yield f"{html.escape(text[position:first])}<mark{name}>{html.escape(text[first:end])}</mark>"
        position = end
    yield html.escape(text[position:])


def public_url(url: str | None) -> str | None:
    """A document's address if it is safe to link: http or https with a host, nothing that a browser runs."""
    if not url or not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:  # a malformed IPv6 address
        return None
    return url if parts.scheme in ("http", "https") and parts.hostname else None
