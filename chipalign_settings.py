"""Settings as every package has them: a frozen dataclass, one line a field, read from a mapping of variables.

It does not read the environment, opens no file and knows no package: the caller hands in the mapping, and the function
that makes a package's own error of the refused values.

    @dataclass(frozen=True)
    class PageSettings:
        port: int = setting("CHIPALIGN_PAGE_PORT", 8501, "port of the page", within=(1, 65535))

    settings = from_env(PageSettings, {"CHIPALIGN_PAGE_PORT": "9000"}, refuse=lambda refused: ValueError(*refused))
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, field, fields
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar
from urllib.parse import urlsplit

from platformdirs import user_data_path

T = TypeVar("T")
N = TypeVar("N", int, float)
Range = tuple[float, float]  # both ends are allowed
Reader = Callable[[str, str], T]  # a variable and its text to a value; raises Refused


class Settings(Protocol):
    """Any dataclass whose fields `setting` made."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


S = TypeVar("S", bound=Settings)


class Refused(ValueError):
    """A text that a setting cannot use, as a sentence; packages may word its parts otherwise."""

    def __init__(
        self,
        variable: str,
        value: str,
        kind: str,
        within: Range | None = None,
        *,
        is_outside: bool = False,
        sentence: str = "",
    ) -> None:
        """value: in a form that may be shown; kind: of the allowed values, such as "a whole number".

        is_outside: of that kind, but not within the range. sentence: replaces the one made of all this.
        """
        self.variable, self.value, self.kind, self.within, self.is_outside = variable, value, kind, within, is_outside
        self.allowed = kind if within is None else f"{kind} from {within[0]} to {within[1]}"
        super().__init__(sentence or f"{variable} is {value!r}: give {self.allowed}")


def setting(
    env: str,
    default: Any,
    text: str,
    *,
    within: Range | None = None,
    choices: Sequence[str] = (),
    read: Reader[Any] | None = None,
    secret: bool = False,
) -> Any:
    """A dataclass field: its environment variable, its default (or the function that gives it), and its help.

    Without `read` the default decides how the text is read: a number `within` a range, one of the `choices`, or the
    text as it is. secret: not shown where settings are printed.

    Raises TypeError: a number has no range.
    """
    metadata: dict[str, Any] = {"env": env, "help": text, "read": read or _find_reader(env, default, within, choices)}
    if within is not None:
        metadata["range"] = within
    if callable(default):
        return field(default_factory=default, repr=not secret, metadata=metadata)
    return field(default=default, repr=not secret, metadata=metadata)


def from_env(
    kind: type[S],
    variables: Mapping[str, str],
    refuse: Callable[[Sequence[Refused]], Exception],
    options: Mapping[str, str] | None = None,
) -> S:
    """The settings that `variables` give; one that is missing, empty or blank leaves the default.

    options: texts by field name that win over variables. refuse: makes the error to raise from all the refused values.
    """
    values: dict[str, Any] = {}
    refused: list[Refused] = []
    for item in fields(kind):
        variable = item.metadata["env"]
        text = (options or {}).get(item.name) or variables.get(variable, "").strip()
        if not text:
            continue
        try:
            values[item.name] = item.metadata["read"](variable, text)
        except Refused as error:
            refused.append(error)
    if refused:
        raise refuse(refused)
    return kind(**values)


def to_env(settings: Settings) -> dict[str, str]:
    """The variables that make another process read these same settings."""
    return {item.metadata["env"]: str(getattr(settings, item.name)) for item in fields(settings)}


def default_home() -> Path:
    """The folder of everything made at run time, unless CHIPALIGN_HOME names another.

    It is the platform's folder for user data.
    """
    return user_data_path("chipalign")


def _find_reader(env: str, default: Any, within: Range | None, choices: Sequence[str]) -> Reader[Any]:
    if choices:
        return one_of(*choices)
    if not isinstance(default, int | float):
        return read_text
    if within is None:
        raise TypeError(f"{env} is a number: say which are allowed, within=(low, high)")
    return numbers(type(default), within)


def read_text(variable: str, text: str) -> str:
    """The text as it is."""
    return text


def read_path(variable: str, text: str) -> Path:
    """A path; ~ in it is a home folder."""
    return Path(text).expanduser()


def read_absolute_path(variable: str, text: str) -> Path:
    """An absolute path; a relative one starts at the current folder."""
    return Path(text).expanduser().absolute()


def numbers(kind: type[N], within: Range) -> Reader[N]:
    """A reader of whole numbers or any numbers; the range includes both ends."""
    name = "a whole number" if kind is int else "a number"

    def read(variable: str, text: str) -> N:
        try:
            value = kind(text.encode("ascii"))  # Python would accept the digits of other scripts
        except ValueError:
            raise Refused(variable, text, name, within) from None
        if not within[0] <= value <= within[1]:  # also false for nan
            raise Refused(variable, text, name, within, is_outside=True)
        return value

    return read


def one_of(*words: str) -> Reader[str]:
    """A reader of one of these words."""

    def read(variable: str, text: str) -> str:
        if text not in words:
            raise Refused(variable, text, f"one of {', '.join(words)}")
        return text

    return read


def matching(pattern: str, kind: str) -> Reader[str]:
    """A reader of texts that a regular expression matches as a whole; `kind` describes them."""

    def read(variable: str, text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise Refused(variable, text, kind)
        return text

    return read


def addresses(example: str) -> Reader[str]:
    """A reader of http addresses, which removes a trailing slash or `/v1`.

    People copy these from other OpenAI clients.
    """

    def read(variable: str, text: str) -> str:
        if not _is_address(text):
            raise Refused(variable, redact(text), f"an address such as {example}")
        return text.rstrip("/").removesuffix("/v1").rstrip("/")

    return read


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        is_port = parts.port is None or parts.port > 0  # .port raises ValueError for anything that is not a port
    except ValueError:
        return False
    is_bare = not (parts.query or parts.fragment)  # paths are appended to it
    return parts.scheme in ("http", "https") and bool(parts.hostname) and is_port and is_bare


def redact(url: str) -> str:
    """An address that may be shown: without a user name and password."""
    before, at, host = url.rpartition("@")
    scheme, slashes, _ = before.partition("//")
    return f"{scheme}{slashes}{host}" if at and slashes else host
