"""Real small servers that stand in for parts that are not under test, on real sockets.

Each has its own tests in test_fake_gateway.py. The product imports nothing from here.

    with FakeGateway(Script(deltas=("Use ", "hold slack [1]."), cited=(1,))) as gateway: ...   # gateway.url
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any

from tests.quiet_server import QuietServer

MODEL_ID = "chipalign-demo"

HITS: tuple[dict[str, Any], ...] = (
    {
        "number": 1,
        "chunk_id": "c0ffee01",
        "collection": "openroad",
        "path": "src/grt/README.md",
        "title": "Global Routing",
        "heading_path": ["Global Routing", "Commands", "Repair Antennas"],
        "text": (
            "repair_antennas [diode_cell] [-iterations iterations] [-ratio_margin margin]\n\nThe repair_antennas "
            "command checks the global routing for antenna violations and repairs them by inserting diode cells\nnear "
            "the gates of the violating nets."
        ),
        "url": "https://openroad.readthedocs.io/en/latest/main/src/grt/README.html#repair-antennas",
        "licence": "BSD-3-Clause",
        "score": 0.0325,
        "dense_score": 0.71,
        "bm25_score": 9.4,
    },
    {
        "number": 2,
        "chunk_id": "c0ffee02",
        "collection": "handbook",
        "path": "antenna-effects.md",
        "title": "Antenna effects",
        "heading_path": ["Antenna effects", "Fixing violations"],
        "text": "A violation is fixed by a **jumper** to a higher layer, by a diode at the gate, or by a shorter wire.",
        "url": "http://127.0.0.1:8000/sources/c0ffee02",
        "licence": "Apache-2.0",
        "score": 0.0310,
        "dense_score": 0.69,
        "bm25_score": 7.7,
    },
    {
        "number": 3,
        "chunk_id": "c0ffee03",
        "collection": "handbook",
        "path": "glossary.md",
        "title": "Glossary",
        "heading_path": ["Glossary"],
        "text": (
            "<b>ARC</b>: antenna rule check. <script>document.title = 'owned'</script> "
            "![track](http://127.0.0.1:9/track.png) costs $1 or $2."
        ),
        "url": "javascript:alert(1)",
        "licence": None,
        "score": 0.0161,
        "dense_score": None,
        "bm25_score": 5.0,
    },
)

NOTHING_FOUND = "I found nothing about this in the indexed documents."


def quote(hit: Mapping[str, Any], text: str) -> dict[str, Any]:
    """An entry of `retrieval.quotes`: the first place of `text` in a hit."""
    start = hit["text"].index(text)
    return {"number": hit["number"], "text": text, "start": start, "end": start + len(text), "kind": "sentence"}


def judged(answer: str, unsupported: str, **found: Any) -> dict[str, Any]:
    """A `verification` that finds one sentence of a model's answer unsupported."""
    start = answer.index(unsupported)
    sentence = {"start": start, "end": start + len(unsupported), "supported": False, "score": 0.1, "quotes": []}
    return {"mode": "model", "sentences": [sentence], "unknown_names": [], "code": [], **found}


def supported(answer: str, *quotes: dict[str, Any], mode: str = "model") -> dict[str, Any]:
    """A `verification` that finds a model's whole answer supported by these places, each as `quote` makes it."""
    evidence = [{name: one[name] for name in ("number", "start", "end")} for one in quotes]
    sentence = {"start": 0, "end": len(answer), "supported": True, "score": 0.9, "quotes": [], "evidence": evidence}
    return {"mode": mode, "sentences": [sentence], "unknown_names": [], "code": []}


@dataclass(frozen=True)
class Refusal:
    """An HTTP error answer in OpenAI's envelope."""

    status: int
    code: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def envelope(self) -> dict[str, Any]:
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {"error": {"message": self.message, "type": kind, "param": None, "code": self.code}}


@dataclass(frozen=True)
class Script:
    """What the gateway does with each question."""

    deltas: tuple[str, ...] = ("Run ", "`repair_antennas` ", "after global routing ", "[1].")
    hits: tuple[dict[str, Any], ...] = HITS
    query: str = "q"  # the query in the answer; "" for a greeting
    cited: tuple[int, ...] = (1,)
    quotes: tuple[dict[str, Any], ...] = ()  # of the passages, as `quote` makes them
    refused: bool = False  # the gateway says that the documents hold nothing
    verification: dict[str, Any] | None = None  # what the last delta says of the answer; an older gateway says nothing
    finish_reason: str = "stop"
    first_delay_s: float = 0.0  # before the HTTP answer begins
    delta_delay_s: float = 0.0  # before each delta
    hold_after: int | None = None  # this many deltas come, the others only after FakeGateway.release()
    error_after: int | None = None  # this many deltas come, then an error event
    cut_after: int | None = None  # this many deltas come, then the connection closes
    refusal: Refusal | None = None  # every question is refused
    rating_refusal: Refusal | None = None  # every rating is refused
    max_messages: int | None = None  # longer conversations are refused as beyond the context window
    ready: tuple[int, dict[str, str]] = (
        200,
        {"status": "ready", "engine": "ready", "index": "1234 passages from handbook", "model": MODEL_ID},
    )
    key: str = ""  # the API key it asks for
    request_id: str = ""  # the X-Request-Id of its streams
    raw: str | None = None  # answer everything with this HTML page, as another program would


class FakeGateway:
    """A gateway that speaks the wire format and does what its `script` says; the script may change at any time.

    `requests` holds the body of every question that arrived. `stop` and `start` take it down and bring it back at the
    same port.
    """

    def __init__(self, script: Script | None = None) -> None:
        self.script = script or Script()
        self.requests: list[dict[str, Any]] = []
        self.ratings: list[dict[str, Any]] = []  # the bodies that came to /v1/feedback
        self.hung_up = threading.Event()  # set when a client closed its connection during an answer
        self._released = threading.Event()
        self._server: QuietServer | None = None
        self._port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listen; after a stop, at the same port."""
        gateway = self

        class Handler(_Handler):
            owner = gateway

        self._server = QuietServer(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Stop listening: the next connection is refused."""
        self.release()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def release(self) -> None:
        """Release the answer that `hold_after` holds, and hold none any more."""
        self._released.set()

    def reset(self, script: Script | None = None) -> None:
        """Restore a healthy gateway with no question asked; hold answers again where the script says so."""
        self.release()  # whatever an earlier test left held
        self._released = threading.Event()
        self.hung_up.clear()
        self.requests.clear()
        self.ratings.clear()
        self.script = script or Script()
        if self._server is None:
            self.start()

    def wait_for_release(self) -> None:
        """Wait as a held answer does.

        A test that forgets to release fails by its own timeout, not by a thread that never ends.
        """
        self._released.wait(timeout=60)

    def __enter__(self) -> FakeGateway:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Handler(BaseHTTPRequestHandler):
    owner: FakeGateway

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: the requests are in `FakeGateway.requests`."""

    def do_GET(self) -> None:
        script = self.owner.script
        if script.raw is not None:
            self._send(200, script.raw.encode(), "text/html")
        elif self.path == "/ready":
            self._send_json(*script.ready)
        elif self.path == "/health":
            self._send_json(200, {"status": "ok"})
        elif self.path == "/v1/models" and self._key_is_right():
            self._send_json(
                200,
                {
                    "object": "list",
                    "data": [{"id": MODEL_ID, "object": "model", "created": 0, "owned_by": "chipalign"}],
                },
            )
        elif self.path != "/v1/models":
            self._refuse(Refusal(404, "not_found", f"No such path: {self.path}"))

    def do_POST(self) -> None:
        script = self.owner.script
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self._key_is_right():
            return
        if self.path == "/v1/feedback":
            self._take_rating(body)
            return
        self.owner.requests.append(body)
        time.sleep(script.first_delay_s)
        if script.max_messages is not None and len(body["messages"]) > script.max_messages:
            self._refuse(Refusal(400, "context_length_exceeded", "The conversation is too long."))
            return
        if script.refusal is not None:
            self._refuse(script.refusal)
            return
        try:
            self._stream(script)
        except (BrokenPipeError, ConnectionResetError):
            self.owner.hung_up.set()

    def _take_rating(self, body: dict[str, Any]) -> None:
        if refusal := self.owner.script.rating_refusal:
            self._refuse(refusal)
            return
        self.owner.ratings.append(body)
        self._send_json(200, {"object": "feedback", "answer_id": body["answer_id"], "rating": body["rating"]})

    def _stream(self, script: Script) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        if script.request_id:
            self.send_header("X-Request-Id", script.request_id)
        self.end_headers()

        found = {"hits": list(script.hits), "quotes": list(script.quotes), "refused": script.refused}
        retrieval = {"enabled": True, "query": script.query or None, **found}
        self._event(_chunk({"role": "assistant", "content": ""}) | {"retrieval": retrieval})

        for sent, delta in enumerate(script.deltas):
            if sent == script.hold_after:
                self.owner.wait_for_release()
            if sent == script.error_after:
                self._event(Refusal(502, "upstream_error", "The engine stopped amid the answer.").envelope())
                return
            if sent == script.cut_after:
                return
            time.sleep(script.delta_delay_s)
            self._event(_chunk({"content": delta}))

        last: dict[str, Any] = {"annotations": [_annotation(n, script.hits[n - 1]) for n in script.cited]}
        if script.verification is not None:
            last["verification"] = script.verification
        self._event(_chunk(last, script.finish_reason))
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, data: Mapping[str, Any]) -> None:
        self.wfile.write(b"data: " + json.dumps(data).encode() + b"\n\n")
        self.wfile.flush()

    def _key_is_right(self) -> bool:
        key = self.owner.script.key
        right = not key or self.headers.get("Authorization") == f"Bearer {key}"
        if not right:
            self._refuse(Refusal(401, "invalid_api_key", "Incorrect API key provided."))
        return right

    def _refuse(self, refusal: Refusal) -> None:
        self._send_json(refusal.status, refusal.envelope(), refusal.headers)

    def _send_json(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        self._send(status, json.dumps(body).encode(), "application/json", headers)

    def _send(self, status: int, body: bytes, content_type: str, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _chunk(delta: Mapping[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": dict(delta), "finish_reason": finish_reason}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": MODEL_ID, "choices": [choice]}


def _annotation(number: int, hit: Mapping[str, Any]) -> dict[str, Any]:
    where = {"url": hit["url"], "title": hit["title"], "start_index": 0, "end_index": 1}
    return {"type": "url_citation", "url_citation": where, "number": number}
