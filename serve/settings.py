"""The settings of the gateway and of `chipalign up`, read once from the environment and then handed down frozen.

It opens no file and no connection.

    settings = ServeSettings.from_env()
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chipalign_settings import (
    Refused,
    addresses,
    default_home,
    from_env,
    matching,
    read_absolute_path,
    redact,
    setting,
    to_env,
)
from serve.errors import SettingsError

parse_url = addresses(example="http://127.0.0.1:8001")
ON_OFF = ("on", "off")
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#\\@\s,*]+")  # of a page; an application's is app://name
USUAL_PORT = re.compile(r"(?<=^http)(://.*):80$|(?<=^https)(://.*):443$")  # which browsers leave out


def read_key(variable: str, text: str) -> str:
    """A key that an HTTP header can carry."""
    if not (text.isascii() and text.isprintable()):
        sentence = f"{variable} holds letters that HTTP headers cannot carry: use ASCII letters, digits and signs"
        raise Refused(variable, "", "", sentence=sentence)
    return text


def read_postgres(variable: str, text: str) -> str:
    """The URL of a PostgreSQL, as libpq reads it; a refusal does not show it, since it may hold a password."""
    if not text.startswith(("postgresql://", "postgres://")):
        raise Refused(variable, redact(text), "a URL such as postgresql://USER:PASSWORD@HOST/NAME")
    return text


def read_origins(variable: str, text: str) -> str:
    """Origins with commas, in the form in which browsers send them; `*` would let anybody's page read answers."""
    origins = [origin.strip().rstrip("/").lower() for origin in text.split(",") if origin.strip()]
    if not all(ORIGIN.fullmatch(origin) for origin in origins):
        raise Refused(variable, text, "origins with commas, such as https://chat.example.com,http://127.0.0.1:3000")
    return ",".join(USUAL_PORT.sub(r"\1\2", origin) for origin in origins)


@dataclass(frozen=True)
class ServeSettings:
    """All settings of the gateway and the supervisor. Times are in seconds, sizes in tokens."""

    home: Path = setting(
        "CHIPALIGN_HOME",
        default_home,
        "folder of everything made at run time: models, indexes, corpora, logs",
        read=read_absolute_path,
    )
    host: str = setting("CHIPALIGN_HOST", "127.0.0.1", "address that gateway and page listen on")
    gateway_port: int = setting("CHIPALIGN_GATEWAY_PORT", 8000, "port of the gateway", within=(1, 65535))
    engine_port: int = setting(
        "CHIPALIGN_ENGINE_PORT", 8001, "port of the vLLM process that `up` starts on 127.0.0.1", within=(1, 65535)
    )
    page_port: int = setting("CHIPALIGN_PAGE_PORT", 8501, "port of the chat page", within=(1, 65535))
    engine_url: str = setting(
        "CHIPALIGN_ENGINE_URL",
        "",
        "URL of an engine of your own (vLLM or vllm-router); empty: `up` starts one",
        read=parse_url,
        secret=True,  # it may hold a password
    )
    engine_key: str = setting(
        "CHIPALIGN_ENGINE_KEY",
        "",
        "key that the engine asks for, sent as a bearer token; empty: none",
        read=read_key,
        secret=True,
    )
    engine_args: str = setting("CHIPALIGN_ENGINE_ARGS", "", "more options for the vLLM process that `up` starts")
    tool_parser: str = setting(
        "CHIPALIGN_TOOL_PARSER",
        "auto",
        "vLLM's parser of tool calls for the engine that `up` starts: its name, auto (chosen by the model's chat "
        "template), or off",
        read=matching(r"[\w-]+", "auto, off or a name of vLLM's such as hermes"),
    )
    public_url: str = setting(
        "CHIPALIGN_PUBLIC_URL",
        "",
        "URL under which people reach the gateway, for links to passages; empty: host and port",
        read=parse_url,
    )
    api_key: str = setting(
        "CHIPALIGN_API_KEY",
        "",
        "key that requests to /v1 must carry; empty: none is asked for",
        read=read_key,
        secret=True,
    )
    model_id: str = setting("CHIPALIGN_MODEL_ID", "chipalign-demo", "name of the model in the API")
    checkpoint: str = setting(
        "CHIPALIGN_CHECKPOINT",
        "",
        "checkpoint directory to serve; empty: the one that `up` merges, HOME/models/MODEL_ID",
    )
    index: str = setting("CHIPALIGN_INDEX", "", "index directory to search; empty: HOME/indexes/starter")
    top_k: int = setting(
        "CHIPALIGN_TOP_K", 3, "passages retrieved for a question, unless the request says otherwise", within=(1, 50)
    )
    context_tokens: int = setting(
        "CHIPALIGN_CONTEXT_TOKENS", 900, "most tokens that passages may take in a prompt", within=(64, 1_000_000)
    )
    max_tokens: int = setting(
        "CHIPALIGN_MAX_TOKENS", 400, "longest answer, in tokens, when the request sets none", within=(1, 1_000_000)
    )
    temperature: float = setting(
        "CHIPALIGN_TEMPERATURE", 0.0, "sampling temperature when the request sets none", within=(0.0, 2.0)
    )
    answer: str = setting(
        "CHIPALIGN_ANSWER",
        "auto",
        "who words an answer: quote (the documents), model, or auto: quotes, and above them what a model says rightly "
        "that was measured as no worse",
        choices=("auto", "quote", "model"),
    )
    calibrate: str = setting(
        "CHIPALIGN_CALIBRATE",
        "on",
        "on: where CHIPALIGN_ANSWER is auto, `up` measures once for a model and an index whether quotes or the model "
        "answer better; off: not",
        choices=ON_OFF,
    )
    grammar: str = setting(
        "CHIPALIGN_GRAMMAR",
        "on",
        "on: a grammar lets the model write only such names (commands, options, variables, paths) as it was given to "
        "read; off: none",
        choices=ON_OFF,
    )
    repetition_detection: str = setting(
        "CHIPALIGN_REPETITION_DETECTION",
        "on",
        "on: vLLM ends an answer that repeats itself; off: it is not asked to",
        choices=ON_OFF,
    )
    max_model_len: int = setting(
        "CHIPALIGN_MAX_MODEL_LEN",
        0,
        "context window of the engine, in tokens; 0: the model's own",
        within=(0, 10_000_000),
    )
    store_url: str = setting(
        "CHIPALIGN_STORE_URL",
        "",
        "PostgreSQL for files, vector stores, responses, conversations and feedback, where several gateways share "
        "them, such as postgresql://USER:PASSWORD@HOST/NAME; empty: the file HOME/store.db",
        read=read_postgres,
        secret=True,
    )
    keep_days: int = setting(
        "CHIPALIGN_KEEP_DAYS",
        30,
        "days after which stored responses, unused conversations and what was kept of questions are deleted; 0: never",
        within=(0, 36_500),
    )
    uploads: str = setting(
        "CHIPALIGN_UPLOADS",
        "on",
        "on: clients upload files and make vector stores of them; off: they only read and search",
        choices=ON_OFF,
    )
    # OpenAI's limit
    upload_mb: int = setting("CHIPALIGN_UPLOAD_MB", 512, "largest file that is uploaded, in MiB", within=(1, 65_536))
    uploads_gb: int = setting(
        "CHIPALIGN_UPLOADS_GB", 50, "most that all uploaded files may hold together, in GiB", within=(1, 1_000_000)
    )
    feedback: str = setting(
        "CHIPALIGN_FEEDBACK",
        "counts",
        "what is kept of feedback: counts alone, or words too: question, answer, reason and correction",
        choices=("counts", "words"),
    )
    connect_timeout_s: float = setting(
        "CHIPALIGN_CONNECT_TIMEOUT_S", 5.0, "longest wait for a connection to the engine", within=(0.1, 600.0)
    )
    read_timeout_s: float = setting(
        "CHIPALIGN_READ_TIMEOUT_S",
        120.0,
        "longest silence of the engine in a stream; comments are silence",
        within=(0.1, 3600.0),
    )
    stream_timeout_s: float = setting(
        "CHIPALIGN_STREAM_TIMEOUT_S", 3600.0, "longest time for a whole answer that is streamed", within=(1.0, 36000.0)
    )
    answer_timeout_s: float = setting(
        "CHIPALIGN_ANSWER_TIMEOUT_S",
        900.0,
        "longest time for a whole answer that is not streamed",
        within=(1.0, 36000.0),
    )
    start_timeout_s: float = setting(
        "CHIPALIGN_START_TIMEOUT_S", 900.0, "longest time `up` waits for a part to become ready", within=(1.0, 36000.0)
    )
    corpora: str = setting(
        "CHIPALIGN_CORPORA",
        "all",
        "pinned documentation that `up` indexes beside the handbook: all, none, or names with commas",
    )
    sources: str = setting(
        "CHIPALIGN_SOURCES",
        "",
        "TOML file that lists your own sources, which `up` indexes too and follows; empty: none",
    )
    mirror: str = setting(
        "CHIPALIGN_MIRROR", "", "folder with archives of the pinned documentation, for machines without internet"
    )
    # Who may ask, and how much of the gateway one client can hold. 100 headers are Apache's limit, 32 KiB nginx's.
    # 1,024 answers are four times vLLM's usual batch; its port holds 2,048 connections that wait to be accepted, and
    # would refuse more.
    allowed_hosts: str = setting(
        "CHIPALIGN_ALLOWED_HOSTS",
        "",
        "more names, with commas, under which people reach the gateway: a proxy's, a container's; *: any",
    )
    allowed_origins: str = setting(
        "CHIPALIGN_ALLOWED_ORIGINS",
        "",
        "origins, with commas, whose pages may ask the gateway from a browser, such as https://chat.example.com; "
        "empty: only its own",
        read=read_origins,
    )
    answers_in_flight: int = setting(
        "CHIPALIGN_ANSWERS_IN_FLIGHT",
        1024,
        "chat answers at a time; who asks beyond gets 429; 0: no limit",
        within=(0, 1_000_000),
    )
    max_connections: int = setting(
        "CHIPALIGN_MAX_CONNECTIONS", 4096, "connections to the gateway at a time", within=(1, 1_000_000)
    )
    max_headers: int = setting("CHIPALIGN_MAX_HEADERS", 100, "headers that a request may have", within=(10, 10_000))
    max_header_kb: int = setting(
        "CHIPALIGN_MAX_HEADER_KB",
        32,
        "size that a request's first line and headers may have together, in KiB",
        within=(1, 1024),
    )
    header_timeout_s: float = setting(
        "CHIPALIGN_HEADER_TIMEOUT_S", 20.0, "longest time until a request's headers are complete", within=(0.1, 3600.0)
    )
    idle_timeout_s: float = setting(
        "CHIPALIGN_IDLE_TIMEOUT_S",
        75.0,
        "longest time that a connection stays open between two requests",
        within=(0.1, 36000.0),
    )
    write_timeout_s: float = setting(
        "CHIPALIGN_WRITE_TIMEOUT_S",
        30.0,
        "longest time in which a client may take nothing of what it is sent",
        within=(0.1, 36000.0),
    )
    drain_timeout_s: float = setting(
        "CHIPALIGN_DRAIN_TIMEOUT_S",
        10.0,
        "time that answers in flight have to end when the gateway stops",
        within=(0.0, 3600.0),
    )

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, options: Mapping[str, str] | None = None) -> ServeSettings:
        """Read every variable that is set and not empty; `options`, by field name, override them.

        Without `env` it reads this process's environment.

        Raises SettingsError: lists every value that cannot be used.
        """
        return from_env(cls, os.environ if env is None else env, _refuse, options)

    def to_env(self) -> dict[str, str]:
        """The variables that make another process read these same settings."""
        return to_env(self)

    def child_env(self) -> dict[str, str]:
        """The whole environment of a child process: this one's, with these settings written into it."""
        return {**os.environ, **self.to_env()}

    @property
    def checkpoint_dir(self) -> Path:
        """The folder of the served model on disk."""
        return Path(self.checkpoint).expanduser() if self.checkpoint else self.home / "models" / self.model_id

    @property
    def sources_file(self) -> Path | None:
        """The user's own list of sources."""
        return Path(self.sources).expanduser() if self.sources else None

    @property
    def index_dir(self) -> Path:
        """The folder of the searched index on disk."""
        return Path(self.index).expanduser() if self.index else self.home / "indexes" / "starter"

    @property
    def engine_base_url(self) -> str:
        """The engine's address."""
        return self.engine_url or f"http://127.0.0.1:{self.engine_port}"

    @property
    def engine_address(self) -> str:
        """The engine's address in a form without secrets."""
        return redact(self.engine_base_url)

    @property
    def gateway_base_url(self) -> str:
        """The gateway's address for people."""
        return self.public_url or self.local_url(self.gateway_port)

    @property
    def page_url(self) -> str:
        """The chat page's address for people."""
        return self.local_url(self.page_port)

    def local_url(self, port: int) -> str:
        """The address under which this machine reaches a server on `host`: 0.0.0.0 and :: mean every interface."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::", "") else self.host
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def read_api_key(variable: str | None, env: Mapping[str, str] | None = None, option: str = "--api-key-env") -> str:
    """The key in a variable named by `option`: others could read a key on a command line.

    Without a variable there is no key.

    Raises SettingsError: the variable is not set.
    """
    if variable is None:
        return ""
    key = (os.environ if env is None else env).get(variable, "").strip()
    if not key:
        raise SettingsError(f"{option} {variable}: this variable is not set. Set it to the server's API key")
    return key


def _refuse(refused: Sequence[Refused]) -> SettingsError:
    return SettingsError("; ".join(map(str, refused)))
