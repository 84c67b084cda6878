"""Decides under which names the gateway may be asked, and which pages may ask it from a browser.

Anybody's page can make an engineer's browser send requests to an address inside the company, and can make its own
name lead there (DNS rebinding). Such a request has the page's name in Host or Origin. Clients other than browsers send
no Origin. It checks no API key.

    Visitors.of(settings).check(["127.0.0.1:8000"], [], "127.0.0.1")
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from rag.embedding.servers import is_loopback
from serve.errors import MisdirectedRequest, OriginNotAllowed, RequestError
from serve.settings import ServeSettings

_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[\w.-]{1,253})(?::(\d{0,5}))?", re.ASCII)
_ORIGIN = re.compile(r"https?://([^/?#\\@\s]+)", re.IGNORECASE)
_SEARCH = re.compile(r"^(?:search|domain)\s+(.+)$", re.MULTILINE)
SHOWN = 100  # characters of a foreign name in a message
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Visitors:
    """The names of this gateway and the origins of pages that may ask it. Loopback names are always its own."""

    names: frozenset[str]
    origins: frozenset[str]
    own_addresses: bool  # it listens beyond loopback: the connection's local address is a name too
    any_name: bool
    home: str  # the address to ask it under, for messages

    @classmethod
    def of(cls, settings: ServeSettings) -> Visitors:
        """The names and origins that the settings allow; with this machine's names if it listens beyond loopback."""
        listed = [name.strip().lower() for name in settings.allowed_hosts.split(",") if name.strip()]
        listens_beyond = not is_loopback(settings.host)
        names = {_bare(name) for name in [*listed, settings.host]} | (machine_names() if listens_beyond else set())
        origins = set(filter(None, settings.allowed_origins.split(",")))
        if settings.public_url:
            public = urlsplit(settings.public_url)
            names.add(_bare(public.hostname or ""))
            origins.add(f"{public.scheme}://{public.netloc.rpartition('@')[2]}".lower())
        any_name, home = "*" in listed, settings.gateway_base_url
        return cls(frozenset(names - {""}), frozenset(origins), listens_beyond, any_name, home)

    def check(self, hosts: list[str], origins: list[str], came_to: str | None) -> None:
        """Let a request pass that has one Host, of ours, and no foreign Origin.

        `came_to` is the local address of the connection.

        Raises:
            RequestError: no Host, several, or one that is not a name with a port.
            MisdirectedRequest: a name that is not ours.
            OriginNotAllowed: a browser sent it from a page that is not ours.
        """
        if len(hosts) != 1 or not (match := _AUTHORITY.fullmatch(hosts[0])):
            found = ", ".join(hosts)[:SHOWN]
            raise RequestError(f"The request needs one Host header such as 127.0.0.1:8000, not {found!r}.")
        if not (self.any_name or self.is_own(match[1], came_to)):
            raise MisdirectedRequest(
                f"This gateway is not reached under the name {match[1][:SHOWN]!r}: ask at {self.home}, or add the name "
                "to CHIPALIGN_ALLOWED_HOSTS and start the gateway again."
            )
        for origin in origins:
            if not self._is_own_page(origin, match, came_to):
                raise OriginNotAllowed(
                    f"A page of {origin[:SHOWN]!r} may not ask this gateway from a browser: only pages under its own "
                    "address, or under CHIPALIGN_PUBLIC_URL, may. Let that page's server ask instead, or add the "
                    "origin to CHIPALIGN_ALLOWED_ORIGINS and start the gateway again."
                )

    def is_own(self, host: str, came_to: str | None) -> bool:
        """Whether a name or an address, as it stands in Host, means this gateway."""
        name = _bare(host)
        if name in self.names or is_loopback(name):
            return True
        address = _address(name)
        return self.own_addresses and address is not None and came_to is not None and address == _address(came_to)

    def _is_own_page(self, origin: str, host: re.Match[str], came_to: str | None) -> bool:
        """Whether a page is ours: its whole origin is allowed, or it has a name of ours and the port asked."""
        if origin.lower() in self.origins:
            return True
        page = _ORIGIN.fullmatch(origin)
        if not page or not (authority := _AUTHORITY.fullmatch(page[1])):
            return False  # also "null", the origin of files and of sandboxed frames
        same_name = _bare(authority[1]) == _bare(host[1])
        return authority[2] == host[2] and (same_name or self.is_own(authority[1], came_to))


def machine_names() -> set[str]:
    """The names of this machine in its network, from its own files: no name server is asked."""
    name = socket.gethostname().lower()
    short = name.partition(".")[0]
    return {name, short, f"{short}.local", *(f"{short}.{domain}" for domain in search_domains())}


def search_domains(resolver: Path = Path("/etc/resolv.conf")) -> Iterable[str]:
    """The domains that complete this network's short names."""
    try:
        text = resolver.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    return [domain.strip(".").lower() for line in _SEARCH.findall(text) for domain in line.split() if domain.strip(".")]


def _bare(host: str) -> str:
    """A name in the form for comparison: lower case, no brackets, no dot at its end."""
    return host.strip("[]").lower().removesuffix(".")


def _address(host: str) -> Address | None:
    """The IP address of a host; an IPv4 address inside IPv6 becomes that IPv4 address."""
    try:
        address = ipaddress.ip_address(_bare(host))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
