"""The server of the chat page: Streamlit's own (`streamlit.starlette.App`), behind `ui.page.page_guard`.

It draws nothing: `ui.page.chat_app` does, once for each click of each reader. `chipalign page` becomes this program.

    python -m ui.page.page_server
"""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import urlsplit

from starlette.middleware import Middleware
from streamlit.starlette import App

from ui.page.page_guard import PageGuard
from ui.pasted import MAX_BYTES
from ui.settings import UiSettings

MEBIBYTE = 1 << 20  # in which Streamlit counts what is uploaded


def main() -> None:
    """Serve the page as the environment says, until Ctrl-C or SIGTERM."""
    settings = UiSettings.from_env()
    try:
        create_app(settings).run(config=streamlit_config(settings))
    except KeyboardInterrupt:  # the server has stopped, and its traceback says nothing more
        sys.stderr.write("interrupted\n")
        sys.exit(130)


def create_app(settings: UiSettings) -> App:
    """The page as an ASGI application."""
    return App(Path(__file__).with_name("chat_app.py"), middleware=[Middleware(PageGuard, settings=settings)])


def streamlit_config(settings: UiSettings) -> dict[str, object]:
    """Streamlit's options: every one is given here, so that no file of ours has to exist anywhere."""
    public = urlsplit(settings.page_url)
    return {
        "server.address": settings.host,
        "server.port": settings.page_port,
        "server.headless": True,  # opens no browser, asks for no e-mail address
        "server.fileWatcherType": "none",  # an installed page does not change under its readers
        # The name in the printed address. Without it, Streamlit asks a server on the internet for this machine's
        # address.
        "browser.serverAddress": public.hostname or ("localhost" if settings.listens_everywhere else settings.host),
        "browser.gatherUsageStats": False,
        "server.maxUploadSize": -(-MAX_BYTES // MEBIBYTE),
        "client.toolbarMode": "viewer",  # keeps the choice of light or dark, drops the developer's menu
        "client.showErrorDetails": "none",  # tracebacks belong in the log
        "theme.light.primaryColor": "#0f766e",
        "theme.dark.primaryColor": "#2dd4bf",
    }


if __name__ == "__main__":
    main()
