"""A vLLM-like engine on a real socket, for failures that a healthy vLLM cannot show on demand.

It computes nothing and refuses only what its script says.

    with FakeEngine(answer=("Hold ", "slack.")) as engine: ...   # engine.url, engine.bodies
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any

from serve.answers.guidance import GRAMMAR, PROBE, REPETITION
from serve.answers.tool_probe import PROBE as TOOL_PROBE
from tests.fake_engine_apis import APIS, CHAT, ENGINE_MODEL, WireApi, event
from tests.quiet_server import QuietServer

__all__ = ["ENGINE_MODEL", "EngineScript", "FakeEngine"]
NO_PARSER = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'  # vLLM's words


@dataclass(frozen=True)
class EngineScript:
    """What the engine does with each question."""

    answer: tuple[str, ...] = ("Run ", "`repair_antennas` ", "[1].")
    max_model_len: int = 4096
    refusal: tuple[int, str] | None = None  # status and message, in vLLM's own envelope
    error_after: int | None = None  # this many deltas, then an error event
    cut_after: int | None = None  # this many deltas, then the connection closes without [DONE]
    hold_after: int | None = None  # this many deltas, then silence until release()
    garbage: bool = False  # answers with HTML, as another program would
    healthy: bool = True
    chunks: tuple[Mapping[str, Any], ...] | None = None  # the exact chunks of every stream, before [DONE]
    wire: tuple[bytes, ...] | None = None  # the exact bytes of every stream, piece by piece
    whole: Mapping[str, Any] | None = None  # the exact body of every whole answer
    models: Any = None  # the exact `data` of /v1/models
    calls: bool = False  # a request with tools that a user's turn ends is answered with a call of the first
    tool_parser: bool = True  # without one, vLLM refuses requests with tools
    refuses: tuple[str, ...] = ()  # request fields that are answered with 400
    ignores: tuple[str, ...] = ()  # fields without effect, as a probe finds
    # The exact bytes that answer any request, piece by piece; then the connection closes
    raw: Iterable[bytes] | None = None


class FakeEngine:
    """Speaks vLLM's wire format and does what its `script` says; `bodies` holds every chat request that arrived."""

    def __init__(self, script: EngineScript | None = None) -> None:
        self.script = script or EngineScript()
        self.bodies: list[dict[str, Any]] = []
        self.probes: list[dict[str, Any]] = []  # the gateway's own questions about what this engine can do
        self.keys: list[str | None] = []  # the Authorization of each request
        self.request_ids: list[str | None] = []  # the X-Request-Id of each chat request
        self.hung_up = threading.Event()  # set when the client closed its connection during an answer
        self._released = threading.Event()
        engine = self

        class Handler(_EngineHandler):
            owner = engine

        self._server = QuietServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def release(self) -> None:
        """Let held answers go on."""
        self._released.set()

    def reset(self) -> None:
        """Restore the default script with no questions asked; hold answers again where a script says so."""
        self.release()  # whatever an earlier test left held
        self._released = threading.Event()
        self.hung_up.clear()
        self.bodies.clear()
        self.probes.clear()
        self.keys.clear()
        self.request_ids.clear()
        self.script = EngineScript()

    def wait(self, timeout_s: float) -> bool:
        """Wait as a held answer does; true once it is released."""
        return self._released.wait(timeout_s)

    def __enter__(self) -> FakeEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
        self._server.shutdown()
        self._server.server_close()


class _EngineHandler(BaseHTTPRequestHandler):
    owner: FakeEngine

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: the requests are in `FakeEngine.bodies`."""

    def do_GET(self) -> None:
        script = self.owner.script
        self.owner.keys.append(self.headers["Authorization"])

        if script.raw is not None:
            self._send_raw(script.raw)
        elif script.garbage:
            self._send(200, b"<html>hello</html>", "text/html")
        elif self.path == "/health":
            self._send(200 if script.healthy else 503, b"", "text/plain")
        else:
            if script.models is not None:
                self._send_json(200, {"object": "list", "data": script.models})
                return
            about = {
                "object": "model",
                "created": 1,
                "owned_by": "vllm",
                "root": "/models/x",
                "max_model_len": script.max_model_len,
            }
            self._send_json(200, {"object": "list", "data": [{"id": ENGINE_MODEL, **about}]})

    def do_POST(self) -> None:
        script = self.owner.script
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        api = APIS.get(self.path, CHAT)
        is_probe = body.get("messages") in (PROBE["messages"], TOOL_PROBE["messages"])
        (self.owner.probes if is_probe else self.owner.bodies).append(body)
        if not is_probe:
            self.owner.request_ids.append(self.headers["X-Request-Id"])
        self.owner.keys.append(self.headers["Authorization"])
        if script.calls and body.get("tools") and body["messages"][-1]["role"] == "user":
            script = _calling(script, body["tools"][0]["function"]["name"])

        if script.raw is not None:
            self._send_raw(script.raw)
        elif script.garbage:
            self._send(200, b"<html>hello</html>", "text/html")
        elif body.get("tools") and not script.tool_parser:
            self._send_json(
                400, {"error": {"message": NO_PARSER, "type": "BadRequestError", "param": None, "code": 400}}
            )
        elif refused := [field for field in script.refuses if field in body]:
            self._send_json(400, api.refusal(400, f"no {refused[0]}"))
        elif is_probe:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # a stopping gateway does not wait
                self._send_json(200, _probed(script, body))
        elif script.refusal:
            status, message = script.refusal
            self._send_json(status, api.refusal(status, message))
        elif body.get("stream"):
            try:
                self._stream(script, body, api)
            except (BrokenPipeError, ConnectionResetError):
                self.owner.hung_up.set()
        elif script.hold_after is not None:
            self._wait_for_client_or_release()
            self._send_json(200, api.whole("late"))
        else:
            self._send_json(200, script.whole or api.whole("".join(script.answer)))

    def _stream(self, script: EngineScript, body: Mapping[str, Any], api: WireApi) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()

        if script.wire is not None:
            for piece in script.wire:
                self._write(piece)
            return
        if script.chunks is not None:
            for chunk in script.chunks:
                self._write(event(chunk))
            self._write(b"data: [DONE]\n\n")
            return

        for opening in api.opening():
            self._write(opening)
        for sent, delta in enumerate([*script.answer, None]):
            if sent == script.hold_after:
                while not self.owner.wait(0.05):
                    self._write(b": still here\n\n")  # a comment; writing fails once the client has gone
            if sent == script.error_after:
                self._write(api.error())
                return
            if sent == script.cut_after:
                return
            if delta is not None:
                self._write(api.piece(delta))

        for closing in api.closing(body):
            self._write(closing)

    def _wait_for_client_or_release(self) -> None:
        self.connection.settimeout(0.05)
        while not self.owner.wait(0.01):
            try:
                gone = self.connection.recv(1) == b""
            except TimeoutError:
                continue
            if gone:
                self.owner.hung_up.set()
                return

    def _send_raw(self, pieces: Iterable[bytes]) -> None:
        try:
            for piece in pieces:
                self._write(piece)
        except (BrokenPipeError, ConnectionResetError):
            self.owner.hung_up.set()

    def _write(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()

    def _send_json(self, status: int, body: Mapping[str, Any]) -> None:
        self._send(status, json.dumps(body).encode(), "application/json")

    def _send(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _calling(script: EngineScript, name: str) -> EngineScript:
    """The script with a call of a tool as its answer."""
    call = {"id": "call_1", "type": "function", "function": {"name": name, "arguments": "{}"}}
    whole = CHAT.whole("")
    whole["choices"][0].update(finish_reason="tool_calls")
    whole["choices"][0]["message"].update(content=None, tool_calls=[call])
    deltas: tuple[dict[str, Any], ...] = (
        {"role": "assistant", "content": None},
        {"tool_calls": [{"index": 0, **call}]},
    )
    return replace(script, whole=whole, chunks=(*map(CHAT.chunk, deltas), CHAT.chunk({}, "tool_calls")))


def _probed(script: EngineScript, body: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of a vLLM that knows the fields of the probe, except those it ignores."""
    known = [field for field in (GRAMMAR, REPETITION) if field in body and field not in script.ignores]
    if GRAMMAR not in known:
        return CHAT.whole("No.")
    return CHAT.whole("yes yes yes", "repetition") if REPETITION in known else CHAT.whole("yes " * 20, "length")
