"""One passage as a page of its own, where the links of citations lead when a document has no public page.

It holds text alone: no script, no picture, no link of the document's. The headers make a browser hold the page to that.
An address that names places of the text, `?quote=0-120&quote=300-341#quote`, shows these marked and begins at the
first.

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

STYLE = (
    ":root{color-scheme:light dark}\n"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}\n"
    "pre{white-space:pre-wrap;font:14px/1.5 ui-monospace,monospace;padding:1rem}\n"
    "pre{border:1px solid #8884;border-radius:8px}\n"
    "small{opacity:.7}\n"
    "mark{background:light-dark(#fef08a,#713f12);color:inherit}"
)
_ONLY = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"  # what default-src does not cover
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
PAGE_HEADERS = {
    "content-security-policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; {_ONLY}",
    "x-frame-options": "DENY",  # for browsers older than frame-ancestors
    "referrer-policy": "no-referrer",  # the address of a passage stays here
    "cache-control": "private, no-store",  # a document of the company's is kept in no cache
}
MOST_QUOTES = 50
_QUOTE = re.compile(r"(\d{1,9})-(\d{1,9})", re.ASCII)
Span = tuple[int, int]  # the first character, and the one after the last
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>{style}</style></head>
<body><h1>{title}</h1><p>{place}</p><pre>{text}</pre><small>{source} · {licence}</small></body></html>
"""


def read_quotes(values: Iterable[str]) -> list[Span]:
    """The places that an address names, the first fifty of them; what is no place is left out."""
    found = [_QUOTE.fullmatch(value) for value in values]
    return [(int(one[1]), int(one[2])) for one in found if one][:MOST_QUOTES]


def render(chunk: Chunk, quoted: Sequence[Span] = ()) -> str:
    """The page of a passage, `quoted` places of its text marked; one that is out of range or holds nothing is not."""
    fields = {
        "title": chunk.title,
        "place": " › ".join(chunk.heading_path),
        "source": f"{chunk.collection}/{chunk.path}",
        "licence": chunk.licence,
    }
    text = "".join(_mark(chunk.text, quoted))
    return PAGE.format(style=STYLE, text=text, **{name: html.escape(value) for name, value in fields.items()})


def _mark(text: str, quoted: Sequence[Span]) -> Iterator[str]:
    """The text as HTML; places that overlap are marked as one, and the first has the name at the address's end."""
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
    """A document's address where a link may lead there: http or https with a host, nothing that a browser runs."""
    if not url or not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:  # an IPv6 address that is none
        return None
    return url if parts.scheme in ("http", "https") and parts.hostname else None
