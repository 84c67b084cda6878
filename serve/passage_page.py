"""One passage as a page of its own, where the links of citations lead when a document has no public page.

It holds text alone: no script, no picture, no link of the document's. The headers make a browser hold the page to that.

    HTMLResponse(render(chunk), headers=PAGE_HEADERS)
"""

from __future__ import annotations

import base64
import hashlib
import html
from urllib.parse import urlsplit

from rag.documents import Chunk

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}\n"
    "pre{white-space:pre-wrap;font:14px/1.5 ui-monospace,monospace;padding:1rem}\n"
    "pre{border:1px solid #8884;border-radius:8px}\n"
    "small{opacity:.7}"
)
_ONLY = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"  # what default-src does not cover
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
PAGE_HEADERS = {
    "content-security-policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; {_ONLY}",
    "x-frame-options": "DENY",  # for browsers older than frame-ancestors
    "referrer-policy": "no-referrer",  # the address of a passage stays here
    "cache-control": "private, no-store",  # a document of the company's is kept in no cache
}
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>{style}</style></head>
<body><h1>{title}</h1><p>{place}</p><pre>{text}</pre><small>{source} · {licence}</small></body></html>
"""


def render(chunk: Chunk) -> str:
    """The page of a passage."""
    fields = {
        "title": chunk.title,
        "place": " › ".join(chunk.heading_path),
        "source": f"{chunk.collection}/{chunk.path}",
        "licence": chunk.licence,
        "text": chunk.text,
    }
    return PAGE.format(style=STYLE, **{name: html.escape(text) for name, text in fields.items()})


def public_url(url: str | None) -> str | None:
    """A document's address where a link may lead there: http or https with a host, nothing that a browser runs."""
    if not url or not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:  # an IPv6 address that is none
        return None
    return url if parts.scheme in ("http", "https") and parts.hostname else None
