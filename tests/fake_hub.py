"""A model hub on a real local socket: one repository at one commit, served as huggingface_hub asks for it.

It holds only what the test gives it, and is tested in test_merge_models_parents.py.

    with FakeHub(files={"config.json": b"{}"}) as hub: ...   # hub.url, hub.fetched
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler

from tests.quiet_server import QuietServer

REPO = "org/name"
COMMIT = "c0ffee" + "0" * 34


class FakeHub:
    """Knows the repository org/name with the revision v1, and answers "no such repository" for all others."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files
        self.fetched: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.answer()

            def do_GET(self) -> None:
                self.answer()

            def answer(self) -> None:
                status, headers, body = hub.find(self.path)
                self.send_response(status)
                for key, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(key, value)
                self.end_headers()
                if self.command == "GET":
                    hub.fetched.append(self.path.rsplit("/", 1)[-1])
                    self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Keep the test output quiet."""

        self._server = QuietServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def find(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """(status, headers, body) for one path."""
        if path.startswith(f"/{REPO}/resolve/{COMMIT}/"):
            body = self.files[path.rsplit("/", 1)[1]]
            return 200, {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha256(body).hexdigest()}"'}, body
        if path.startswith(f"/api/models/{REPO}/tree/"):
            tree = [
                {"type": "file", "path": name, "size": len(body), "oid": "0" * 40} for name, body in self.files.items()
            ]
            return 200, {"Content-Type": "application/json"}, json.dumps(tree).encode()
        if path in (f"/api/models/{REPO}", f"/api/models/{REPO}/revision/v1", f"/api/models/{REPO}/revision/main"):
            info = {"_id": "1", "id": REPO, "sha": COMMIT, "siblings": [{"rfilename": name} for name in self.files]}
            return 200, {"Content-Type": "application/json"}, json.dumps(info).encode()
        code = "RevisionNotFound" if path.startswith(f"/api/models/{REPO}/revision/") else "RepoNotFound"
        return 404, {"X-Error-Code": code}, b""

    def __enter__(self) -> FakeHub:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._server.server_close()
