"""An OpenAI-compatible server on a real socket whose every answer a test decides.

It shows what a healthy vLLM cannot show on demand. It computes nothing; it lists one model, remembers the requests, and
counts how many came at once.

    with FakeOpenAI(lambda path, body: (200, {"choices": []})) as server:
        ...  # server.url, server.requests, server.most_at_once
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any

from tests.quiet_server import QuietServer

MODEL = "demo"
Answer = Callable[[str, dict[str, Any]], tuple[int, Any]]  # path, body: status, and JSON or the exact bytes


class FakeOpenAI:
    """Answers a POST with what `answer` says.

    `headers` go with every answer, `models` is the exact `data` of /v1/models.
    """

    def __init__(self, answer: Answer, *, headers: Mapping[str, str] | None = None, models: Any = None) -> None:
        self.answer = answer
        self.headers = dict(headers or {})
        self.models = [{"id": MODEL, "root": "/models/x", "max_model_len": 8192}] if models is None else models
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.keys: list[str | None] = []
        self.most_at_once = 0
        self.at_once = 0
        self.lock = threading.Lock()
        server = self

        class Handler(_Handler):
            owner = server

        self._server = QuietServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def __enter__(self) -> FakeOpenAI:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    owner: FakeOpenAI

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: the requests are in `FakeOpenAI.requests`."""

    def do_GET(self) -> None:
        self._send(200, {"object": "list", "data": self.owner.models})

    def do_POST(self) -> None:
        owner = self.owner
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with owner.lock:
            owner.requests.append((self.path, body))
            owner.keys.append(self.headers.get("Authorization"))
            owner.at_once += 1
            owner.most_at_once = max(owner.most_at_once, owner.at_once)
        try:
            status, answer = owner.answer(self.path, body)
        finally:
            with owner.lock:
                owner.at_once -= 1
        self._send(status, answer)

    def _send(self, status: int, answer: Any) -> None:
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(content)),
            **self.owner.headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def chat_answer(text: Any, finish_reason: str = "stop") -> dict[str, Any]:
    """A chat completion as vLLM gives it."""
    return {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}],
        "usage": {"completion_tokens": 7},
    }


def likelihood_answer(body: Mapping[str, Any], logprob: Callable[[str, int], float]) -> dict[str, Any]:
    """vLLM's answer to prompts with prompt_logprobs and return_token_ids; a token is a character.

    logprob: gives that of a prompt's character at a place.
    """
    choices = []
    for index, prompt in enumerate(body["prompt"]):
        logprobs = [
            None,
            *(
                {str(ord(sign)): {"logprob": logprob(prompt, place), "rank": 1}}
                for place, sign in enumerate(prompt[1:], start=1)
            ),
        ]
        choices.append(
            {
                "index": index,
                "text": "x",
                "prompt_token_ids": [ord(sign) for sign in prompt],
                "prompt_logprobs": logprobs,
            }
        )
    return {"choices": choices[::-1]}  # `index` gives the order, not the list
