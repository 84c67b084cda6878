"""What the clients of servers share: whether an address is this machine, its login, and what a refusal says.

It sends no request.

    trust_env = not is_loopback("127.0.0.1")  # a company's proxy knows nothing of this machine
"""

from __future__ import annotations

import ipaddress

import httpx

from chipalign_settings import redact

QUOTED = 300  # characters of a refusal that are quoted


def is_loopback(host: str) -> bool:
    """Whether a name or an address always means the machine that uses it; .localhost does, too (RFC 6761)."""
    name = host.strip("[]").lower().removesuffix(".")
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback  # an IPv4 address inside IPv6 is that address


def split_login(url: str) -> tuple[str, tuple[str, str] | None]:
    """An address that is safe to show, and the user name and the password that it contained."""
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:  # whoever uses the address refuses it, in the form that is safe to show
        return redact(url), None
    return redact(url), (address.username, address.password) if address.userinfo else None


def quote_refusal(response: httpx.Response) -> str:
    """What a refusal says, in one line."""
    try:
        text = str(response.json()["error"]["message"])
    except (ValueError, TypeError, KeyError):
        text = response.text
    return " ".join(text.split())[:QUOTED] or "no reason given"
