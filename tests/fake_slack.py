"""Slack as far as our bot meets it: the Web API over HTTP and Socket Mode over a websocket, on real sockets.

Its own tests are in test_fake_slack.py; the product imports nothing from here. It keeps messages as Slack does, refuses
what Slack refuses (tokens, limits of blocks), and can answer a method with 429 for a while.

    with FakeSlack() as slack:
        bot = SlackBot(slack.settings(url=gateway.url), gateway)
        bot.start()
        asked = slack.say("C1", "<@U0BOT> what is slack?")
        answer = slack.wait_for_answer("C1", asked)
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, quote

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from tests.quiet_server import QuietServer
from ui.settings import UiSettings

BOT_TOKEN = "xoxb-1-right"
APP_TOKEN = "xapp-1-right"
BOT = "U0BOT"
BOT_ID = "B0BOT"
PERSON = "U1ANN"
PATIENCE_S = 20.0
PING_EVERY_S = 0.2  # slack_sdk leaves a connection once something comes, or after three seconds
LOOK_EVERY_S = 0.05  # what is so elsewhere, as in a log, notifies nobody here

Message = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """One call of the Web API: when it came, and whether it was refused."""

    method: str
    arguments: dict[str, Any]
    at: float
    status: int
    error: str


@dataclass
class Limit:
    """How many calls of a method are answered with 429, "wait `retry_after_s`"."""

    calls: int
    retry_after_s: float


@dataclass
class _State:
    messages: dict[str, list[Message]] = field(default_factory=dict)  # channel: messages in the order of their times
    calls: list[Call] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)  # envelope ids
    limits: dict[str, Limit] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)  # method: the error that it answers with
    unwanted: str = ""  # messages that hold this text are refused
    broken: dict[str, int] = field(default_factory=dict)  # method: how many calls end in HTTP 500
    files: dict[str, dict[str, Any]] = field(default_factory=dict)  # id: what files.info says of it
    contents: dict[str, bytes] = field(default_factory=dict)  # path: a file's content


class FakeSlack:
    """One workspace with a bot user, and people who say what a test makes them say."""

    def __init__(self) -> None:
        self.state = _State()
        self.lock = threading.Condition()
        self.connections: list[ServerConnection] = []
        self._clock = 1_700_000_000
        self._socket: Server = serve(self._hold_connection, "127.0.0.1", 0, ping_interval=PING_EVERY_S)
        owner = self

        class Handler(_Handler):
            slack = owner

        self._web = QuietServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._socket.serve_forever, daemon=True).start()
        threading.Thread(target=self._web.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        """The Web API's address."""
        return f"http://127.0.0.1:{self._web.server_address[1]}/api/"

    @property
    def socket_url(self) -> str:
        """What apps.connections.open gives."""
        return f"ws://127.0.0.1:{self._socket.socket.getsockname()[1]}/link?ticket=1"

    def settings(self, **changes: Any) -> UiSettings:
        """Settings of a bot of this workspace."""
        return UiSettings(
            **{"slack_bot_token": BOT_TOKEN, "slack_app_token": APP_TOKEN, "slack_url": self.url, **changes}
        )

    def say(self, channel: str, text: str, thread_ts: str = "", **changes: Any) -> str:
        """Make a person say something; Slack informs the bot if it concerns it. Returns the message's ts.

        `changes` go into the message.
        """
        message = {
            "type": "message",
            "user": PERSON,
            "text": text,
            "channel": channel,
            **({"thread_ts": thread_ts} if thread_ts else {}),
            **changes,
        }
        with self.lock:
            message["ts"] = self.next_ts()
            self.state.messages.setdefault(channel, []).append(message)
        if channel.startswith("D"):
            self.send_event({**message, "channel_type": "im"})
        elif f"<@{BOT}" in text:
            self.send_event({**message, "type": "app_mention"})
        return str(message["ts"])

    def share(self, name: str, content: bytes, **changes: Any) -> dict[str, Any]:
        """Upload a file; returns what a message that it is attached to says of it. `changes` go into files.info."""
        file_id = f"F{uuid.uuid4().hex}"
        path = f"/files-pri/T1-{file_id}/download/{quote(name)}"
        address = self.url.removesuffix("/api/") + path
        with self.lock:
            self.state.contents[path] = content
            self.state.files[file_id] = {"id": file_id, "name": name, "url_private_download": address, **changes}
        return {"id": file_id, "name": name}

    def send_event(self, event: dict[str, Any], event_id: str = "") -> str:
        """Send an event to the bot, and wait until it is acknowledged; returns the event's id."""
        event_id = event_id or f"Ev{uuid.uuid4().hex}"
        payload = {"type": "event_callback", "event_id": event_id, "team_id": "T1", "api_app_id": "A1", "event": event}
        self._send_envelope("events_api", payload)
        return event_id

    def _send_envelope(self, kind: str, payload: dict[str, Any]) -> None:
        envelope_id = uuid.uuid4().hex
        envelope = {"type": kind, "envelope_id": envelope_id, "accepts_response_payload": False, "payload": payload}
        self.wait_until(lambda: bool(self.connections), "the bot to connect")
        self.connections[-1].send(json.dumps(envelope))
        self.wait_until(lambda: envelope_id in self.state.acknowledged, "the acknowledgement")

    def press(self, message: Message, action_id: str) -> None:
        """Make a person press a button of a message, and wait until the bot has acknowledged it."""
        [button] = [
            element
            for block in message["blocks"]
            if block["type"] == "actions"
            for element in block["elements"]
            if element["action_id"] == action_id
        ]
        place = {"type": "message", "message_ts": message["ts"], "channel_id": message["channel"]}
        payload = {
            "type": "block_actions",
            "user": {"id": PERSON},
            "team": {"id": "T1"},
            "api_app_id": "A1",
            "container": place,
            "channel": {"id": message["channel"]},
            "message": message,
            "actions": [{"type": "button", "action_id": action_id, "value": button["value"], "block_id": "rating"}],
        }
        self._send_envelope("interactive", payload)

    def disconnect(self, politely: bool) -> None:
        """End the bot's connection.

        Politely: ask the bot to make a new one, as Slack does every few hours. Otherwise close it.
        """
        self.wait_until(lambda: bool(self.connections), "the bot to connect")
        if politely:
            self.connections[-1].send(json.dumps({"type": "disconnect", "reason": "refresh_requested"}))
        else:
            self.connections[-1].close()

    def replies(self, channel: str, thread_ts: str) -> list[Message]:
        """What the bot has written into a thread, oldest first."""
        with self.lock:
            return [
                m
                for m in self.state.messages.get(channel, [])
                if m.get("user") == BOT and m.get("thread_ts") == thread_ts
            ]

    def wait_for_answer(self, channel: str, thread_ts: str, number: int = 1) -> list[Message]:
        """The bot's messages in a thread, once the first `number` of them are complete."""

        def _is_there() -> bool:
            replies = self.replies(channel, thread_ts)
            return len(replies) >= number and not any(
                kind_of(block) == "note" and "..." in text_of(block) for m in replies for block in m["blocks"]
            )

        self.wait_until(
            _is_there, f"answer {number} in {channel} {thread_ts}; there is {self.replies(channel, thread_ts)}"
        )
        return self.replies(channel, thread_ts)

    def wait_until(self, is_so: Callable[[], bool], what: str) -> None:
        """Wait until something is so. Raises TimeoutError that says what was waited for."""
        deadline = time.monotonic() + PATIENCE_S
        with self.lock:
            while not is_so():
                if time.monotonic() > deadline:
                    raise TimeoutError(f"waited for {what}")
                self.lock.wait(LOOK_EVERY_S)

    def calls(self, method: str) -> list[Call]:
        """The calls of one method so far."""
        with self.lock:
            return [call for call in self.state.calls if call.method == method]

    def next_ts(self) -> str:
        """A time that no message has yet."""
        self._clock += 1
        return f"{self._clock}.000100"

    def close(self) -> None:
        """Stop listening."""
        self._web.shutdown()
        self._web.server_close()
        self._socket.shutdown()

    def __enter__(self) -> FakeSlack:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _hold_connection(self, connection: ServerConnection) -> None:
        connection.send(json.dumps({"type": "hello", "num_connections": 1}))
        with self.lock:
            self.connections.append(connection)
            self.lock.notify_all()
        try:
            for frame in connection:
                with self.lock:
                    self.state.acknowledged.append(json.loads(frame)["envelope_id"])
                    self.lock.notify_all()
        except ConnectionClosed:
            pass
        finally:
            with self.lock:
                self.connections.remove(connection)
                self.lock.notify_all()


class _Handler(BaseHTTPRequestHandler):
    slack: FakeSlack

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: the calls are in `FakeSlack.calls`."""

    def do_POST(self) -> None:
        method = self.path.removeprefix("/api/")
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        arguments = self._arguments(raw)
        slack, headers = self.slack, dict[str, str]()
        answer: dict[str, Any] = {}

        with slack.lock:
            limit = slack.state.limits.get(method)
            if limit is not None and limit.calls > 0:
                limit.calls -= 1
                status, answer, headers = (
                    429,
                    {"ok": False, "error": "ratelimited"},
                    {"Retry-After": str(limit.retry_after_s)},
                )
            elif slack.state.broken.get(method, 0) > 0:
                slack.state.broken[method] -= 1
                status = 500
            else:
                status, answer = 200, self._answer(method, arguments)
            slack.state.calls.append(Call(method, arguments, time.monotonic(), status, answer.get("error", "")))
            slack.lock.notify_all()

        self._send(status, b"<html>Server Error</html>" if status == 500 else json.dumps(answer).encode(), headers)

    def _arguments(self, raw: bytes) -> dict[str, Any]:
        if "json" in self.headers.get("Content-Type", ""):
            return dict(json.loads(raw))
        return {name: values[0] for name, values in parse_qs(raw.decode()).items()}

    def _answer(self, method: str, arguments: dict[str, Any]) -> dict[str, Any]:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if method in self.slack.state.errors:
            return {"ok": False, "error": self.slack.state.errors[method]}
        if token != (APP_TOKEN if method == "apps.connections.open" else BOT_TOKEN):
            return {
                "ok": False,
                "error": "not_allowed_token_type" if token in (APP_TOKEN, BOT_TOKEN) else "invalid_auth",
            }
        known = {
            "auth.test": lambda _: {"ok": True, "user_id": BOT, "bot_id": BOT_ID, "team_id": "T1"},
            "apps.connections.open": lambda _: {"ok": True, "url": self.slack.socket_url},
            "chat.postMessage": self._post,
            "chat.postEphemeral": lambda _: {"ok": True, "message_ts": self.slack.next_ts()},
            "chat.update": self._update,
            "conversations.replies": self._replies,
            "files.info": self._file,
        }
        return known[method](arguments) if method in known else {"ok": False, "error": "unknown_method"}

    def _fault(self, arguments: dict[str, Any]) -> str:
        unwanted = self.slack.state.unwanted
        return "invalid_blocks" if unwanted and unwanted in str(_content(arguments)) else fault_of(arguments)

    def _post(self, arguments: dict[str, Any]) -> dict[str, Any]:
        fault = self._fault(arguments)
        if fault:
            return {"ok": False, "error": fault}
        message = {"type": "message", "user": BOT, "bot_id": BOT_ID, "ts": self.slack.next_ts(), **_content(arguments)}
        message |= {name: arguments[name] for name in ("channel", "thread_ts") if name in arguments}
        self.slack.state.messages.setdefault(arguments["channel"], []).append(message)
        return {"ok": True, "ts": message["ts"], "channel": arguments["channel"]}

    def _update(self, arguments: dict[str, Any]) -> dict[str, Any]:
        found = [
            m
            for m in self.slack.state.messages.get(arguments["channel"], [])
            if m["ts"] == arguments["ts"] and m["user"] == BOT
        ]
        fault = self._fault(arguments) if found else "message_not_found"
        if fault:
            return {"ok": False, "error": fault}
        found[0].update(_content(arguments))
        return {"ok": True, "ts": arguments["ts"]}

    def _replies(self, arguments: dict[str, Any]) -> dict[str, Any]:
        thread_ts = arguments["ts"]
        thread = [
            m
            for m in self.slack.state.messages.get(arguments["channel"], [])
            if thread_ts in (m["ts"], m.get("thread_ts"))
        ]
        start, limit = int(arguments.get("cursor") or 0), int(arguments.get("limit") or 100)
        more = start + limit < len(thread)
        metadata = {"next_cursor": str(start + limit)} if more else {"next_cursor": ""}
        return {"ok": True, "messages": thread[start : start + limit], "has_more": more, "response_metadata": metadata}

    def _file(self, arguments: dict[str, Any]) -> dict[str, Any]:
        file = self.slack.state.files.get(arguments["file"])
        return {"ok": True, "file": file} if file else {"ok": False, "error": "file_not_found"}

    def do_GET(self) -> None:
        """A file, to who has the bot's token."""
        content = self.slack.state.contents.get(self.path)
        is_known = self.headers.get("Authorization") == f"Bearer {BOT_TOKEN}"
        self._send(200 if content is not None and is_known else 403, content or b"", {})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _content(arguments: dict[str, Any]) -> dict[str, Any]:
    return {"text": arguments.get("text", ""), "blocks": _blocks(arguments)}


def _blocks(arguments: dict[str, Any]) -> list[dict[str, Any]]:
    blocks = arguments.get("blocks") or []
    return list(json.loads(blocks)) if isinstance(blocks, str) else list(blocks)


def fault_of(arguments: dict[str, Any]) -> str:
    """What Slack refuses of a message's content, by its documented limits; "" for nothing."""
    blocks = _blocks(arguments)
    if len(arguments.get("text", "")) > 4000:  # chat.update's; chat.postMessage cuts only at 40,000
        return "msg_too_long"
    # Slack documents no figure; people who tried were refused from here on
    if sum(len(text_of(block)) for block in blocks) > 11_000:
        return "msg_blocks_too_long"
    ids = [block.get("block_id") for block in blocks]
    too_many = (
        len(blocks) > 50 or len(set(ids)) < len(ids) or any(len(block.get("elements", ())) > 10 for block in blocks)
    )
    texts = [text for block in blocks for text in _texts(block)]
    return "invalid_blocks" if too_many or not all(0 < len(text) <= 3000 for text in texts) else ""


def kind_of(block: dict[str, Any]) -> str:
    """The kind of a block of our bot: answer, note, problem or sources."""
    return str(block["block_id"]).split("/")[0]


def text_of(block: dict[str, Any]) -> str:
    """All text of a block."""
    return "\n".join(_texts(block))


def _texts(block: dict[str, Any]) -> list[str]:
    """The texts of a block; a button's stands one level deeper."""
    found = [each["text"] for each in ([block] if "text" in block else block["elements"])]
    return [each["text"] if isinstance(each, dict) else each for each in found]


def texts_of(messages: list[Message], kind: str) -> list[str]:
    """The texts of all blocks of one kind."""
    return [text_of(block) for message in messages for block in message["blocks"] if kind_of(block) == kind]
