"""The server under every fake one: a thread a request, and no word about clients that left.

    server = QuietServer(("127.0.0.1", 0), Handler)

A traceback would be noise in what a failed test shows. It did harm too: printing one parses the lines that it shows,
which tests/python_trees.py cannot bear.
"""

from __future__ import annotations

import sys
from http.server import ThreadingHTTPServer
from typing import Any


class QuietServer(ThreadingHTTPServer):
    """ThreadingHTTPServer that says nothing of connections that broke."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print what went wrong, unless the client left."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)
