"""Who may use the page's server, and what a browser may do with what it gets: an ASGI middleware around Streamlit.

It draws nothing and starts no server (`ui.page.page_server` does). A name that is not the page's own reaches it only
where somebody made that name point here (DNS rebinding), and a foreign origin only where another site opens our
websocket: both are refused, before Streamlit sees them.

    app = App("chat_app.py", middleware=[Middleware(PageGuard, settings=UiSettings())])
"""

from __future__ import annotations

import re
import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.settings import UiSettings

# A Host header: a name or an address, and a port
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+?)\.?(:\d{1,5})?", re.IGNORECASE)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",  # for what does not know frame-ancestors
    "Referrer-Policy": "no-referrer",  # the page's address names the conversation
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class PageGuard:
    """Lets through requests that name the page as their host and come from the page itself.

    It puts the headers on all answers.
    """

    def __init__(self, app: ASGIApp, settings: UiSettings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        headers = Headers(scope=scope)
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        host = hosts[0] if len(hosts) == 1 else ""

        async def send_with_headers(message: Message) -> None:
            """Send a message, the start of an answer with the page's headers."""
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                MutableHeaders(scope=message).update(_HEADERS | {"Content-Security-Policy": content_policy(host)})
            await send(message)

        if not is_own_host(host, self._settings):
            host = ""  # it must not stand in a header of ours
            refusal = (
                "The page is not served under this name. Its own names are localhost, its address, and that of "
                "CHIPALIGN_PAGE_URL."
            )
            await PlainTextResponse(f"{refusal}\n", 403)(scope, receive, send_with_headers)
        elif not all(is_own_origin(origin, host, self._settings) for origin in origins):
            refusal = (
                "The page answers only itself: another site asked. If this is its address, set CHIPALIGN_PAGE_URL."
            )
            await PlainTextResponse(f"{refusal}\n", 403)(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)


def is_own_host(host: str, settings: UiSettings) -> bool:
    """Whether a Host header names this page: its loopback, the address listened on, or the public address.

    Where the page listens on all addresses of the machine, each address counts, and the machine's name: another site
    cannot be reached under these.
    """
    found = _HOST.fullmatch(host)
    if not found:
        return False
    name = found.group(1).strip("[]").lower()
    known = {"localhost", settings.host.lower(), (urlsplit(settings.page_url).hostname or "").lower()}
    if name in known:
        return True
    try:
        return ip_address(name).is_loopback or settings.listens_everywhere
    except ValueError:  # a name
        return settings.listens_everywhere and name in {socket.gethostname().lower(), socket.getfqdn().lower()}


def is_own_origin(origin: str, host: str, settings: UiSettings) -> bool:
    """Whether an Origin header names the page itself, asked for by `host`, or its public address."""
    try:
        asked, public = urlsplit(origin.lower()), urlsplit(settings.page_url.lower())
    except ValueError:  # brackets that hold no address
        return False
    if asked.scheme not in ("http", "https"):
        return False  # "null" too: a document without an address of its own
    return asked.netloc == host.lower() or (asked.scheme, asked.netloc) == (public.scheme, public.netloc)


def content_policy(host: str) -> str:
    """The Content-Security-Policy: scripts, pictures and connections of this server alone.

    `host` is the Host header once more, for browsers to which 'self' does not mean websockets. Streamlit writes its
    styles into the page, and its icons and this page's own are data: addresses. One script of Streamlit's index.html
    stands inline and is not run: it serves search engines.
    """
    sockets = f" ws://{host} wss://{host}" if host else ""
    return (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self' data:; img-src "
        f"'self' data:; connect-src 'self'{sockets}; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
