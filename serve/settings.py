"""The settings of the gateway and of `chipalign up`, read once from the environment and then handed down frozen.

It opens no file and no connection.

    settings = ServeSettings.from_env(os.environ)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from platformdirs import user_data_path

from serve.errors import SettingsError


def setting(env: str, default: Any, text: str, low: float | None = None, high: float | None = None, secret: bool = False) -> Any:
    """A dataclass field that knows its environment variable, its allowed range and its one line of help."""
    return field(default=default, repr=not secret, metadata={"env": env, "help": text, "low": low, "high": high})


def parse(env: str, text: str, default: Any, low: float | None, high: float | None) -> Any:
    """Turn the text of a variable into the type of its default.

    Raises:
        SettingsError: naming the variable, its value and what is allowed.
    """
    if not isinstance(default, int | float):
        return Path(text).expanduser() if isinstance(default, Path) else text
    kind = type(default)
    allowed = f"a number from {low} to {high}" if kind is float else f"a whole number from {low} to {high}"
    try:
        value = kind(text)
    except ValueError:
        raise SettingsError(f"{env} is {text!r}: give {allowed}.") from None
    if low is not None and high is not None and not low <= value <= high:  # written so that NaN is refused
        raise SettingsError(f"{env} is {text}: give {allowed}.")
    return value


@dataclass(frozen=True)
class ServeSettings:
    """Everything the gateway and the supervisor can be told. Times are in seconds, sizes in tokens."""

    home: Path = setting("CHIPALIGN_HOME", user_data_path("chipalign"), "folder of everything made at run time: models, indexes, corpora, logs")
    host: str = setting("CHIPALIGN_HOST", "127.0.0.1", "address that gateway and page listen on")
    gateway_port: int = setting("CHIPALIGN_GATEWAY_PORT", 8000, "port of the gateway", 1, 65535)
    engine_port: int = setting("CHIPALIGN_ENGINE_PORT", 8001, "port of the vLLM process that `up` starts on 127.0.0.1", 1, 65535)
    page_port: int = setting("CHIPALIGN_PAGE_PORT", 8501, "port of the chat page", 1, 65535)
    engine_url: str = setting("CHIPALIGN_ENGINE_URL", "", "URL of an engine of your own (vLLM or vllm-router); empty: `up` starts one")
    engine_args: str = setting("CHIPALIGN_ENGINE_ARGS", "", "more options for the vLLM process that `up` starts")
    public_url: str = setting("CHIPALIGN_PUBLIC_URL", "", "URL under which people reach the gateway, for links to passages; empty: host and port")
    api_key: str = setting("CHIPALIGN_API_KEY", "", "key that requests to /v1 must carry; empty: none is asked for", secret=True)
    model_id: str = setting("CHIPALIGN_MODEL_ID", "chipalign-demo", "name of the model in the API")
    checkpoint: str = setting("CHIPALIGN_CHECKPOINT", "", "checkpoint directory to serve; empty: the one that `up` merges, <home>/models/<model id>")
    index: str = setting("CHIPALIGN_INDEX", "", "index directory to search; empty: <home>/indexes/starter")
    top_k: int = setting("CHIPALIGN_TOP_K", 3, "passages retrieved for a question, unless the request says otherwise", 1, 50)
    context_tokens: int = setting("CHIPALIGN_CONTEXT_TOKENS", 900, "most tokens that passages may take in a prompt", 64, 1_000_000)
    max_tokens: int = setting("CHIPALIGN_MAX_TOKENS", 400, "longest answer, in tokens, when the request sets none", 1, 1_000_000)
    temperature: float = setting("CHIPALIGN_TEMPERATURE", 0.0, "sampling temperature when the request sets none", 0.0, 2.0)
    max_model_len: int = setting("CHIPALIGN_MAX_MODEL_LEN", 8192, "context window, in tokens, that the engine is started with", 256, 10_000_000)
    connect_timeout_s: float = setting("CHIPALIGN_CONNECT_TIMEOUT_S", 5.0, "longest wait for a connection to the engine", 0.1, 600.0)
    read_timeout_s: float = setting("CHIPALIGN_READ_TIMEOUT_S", 120.0, "longest silence of the engine before a request is given up", 0.1, 3600.0)
    start_timeout_s: float = setting("CHIPALIGN_START_TIMEOUT_S", 900.0, "longest time `up` waits for a part to become ready", 1.0, 36000.0)
    corpora: str = setting("CHIPALIGN_CORPORA", "all", "pinned documentation that `up` indexes beside the handbook: all, none, or names with commas")
    mirror: str = setting("CHIPALIGN_MIRROR", "", "folder with archives of the pinned documentation, for machines without internet")

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> ServeSettings:
        """Read every variable that is set and not empty.

        Raises:
            SettingsError: on the first value that cannot be used.
        """
        values = {}
        for item in fields(cls):
            meta = item.metadata
            if text := env.get(meta["env"], ""):
                values[item.name] = parse(meta["env"], text, item.default, meta["low"], meta["high"])
        return cls(**values)

    def to_env(self) -> dict[str, str]:
        """The variables that make a child process read these same settings."""
        return {item.metadata["env"]: str(getattr(self, item.name)) for item in fields(self)}

    @property
    def checkpoint_dir(self) -> Path:
        """Where the served model lies on disk."""
        return Path(self.checkpoint).expanduser() if self.checkpoint else self.home / "models" / self.model_id

    @property
    def index_dir(self) -> Path:
        """Where the searched index lies on disk."""
        return Path(self.index).expanduser() if self.index else self.home / "indexes" / "starter"

    @property
    def engine_base_url(self) -> str:
        """Where the engine answers."""
        return self.engine_url.rstrip("/") or f"http://127.0.0.1:{self.engine_port}"

    @property
    def gateway_base_url(self) -> str:
        """Where people reach the gateway."""
        return self.public_url.rstrip("/") or f"http://{reachable(self.host)}:{self.gateway_port}"

    @property
    def page_url(self) -> str:
        """Where people reach the chat page."""
        return f"http://{reachable(self.host)}:{self.page_port}"


def reachable(host: str) -> str:
    """An address to connect to for an address to listen on: 0.0.0.0 and :: mean every interface, so this machine too."""
    return "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
