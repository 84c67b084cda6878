"""Files that a person attached to a question in Slack, such as a log: fetched and read as text.

It keeps nothing, and sends the bot's token to Slack's own servers alone: a file may lie elsewhere, and what a message
says of it is not trusted.

    texts = Files(delivery, settings.slack_url, settings.slack_bot_token).read(question.file_ids)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from ui.errors import AttachedUnreadable
from ui.pasted import MAX_BYTES, read_attached
from ui.plain_text import one_line
from ui.slack.slack_delivery import Delivery

TIMEOUT_S = 30.0


class Files:
    """The files of one workspace. Safe to use from several threads."""

    def __init__(self, delivery: Delivery, slack_url: str, token: str) -> None:
        """slack_url: of the Web API, below whose domain files lie."""
        self._delivery = delivery
        self._api = urlsplit(slack_url)
        self._token = token

    def read(self, file_ids: Iterable[str]) -> list[str]:
        """The texts of the files.

        Raises AttachedTooLong, AttachedUnreadable, PastedNotText, SlackRefused, SlackUnreachable.
        """
        return [self._read(self._delivery.file(file_id)) for file_id in file_ids]

    def _read(self, file: Mapping[str, Any]) -> str:
        name, url = one_line(str(file.get("name") or "the file")), str(file.get("url_private_download") or "")
        if not self._is_slacks(url):
            raise AttachedUnreadable(name, "it does not lie in Slack")
        content = bytearray()
        try:
            with httpx.stream(
                "GET", url, headers={"Authorization": f"Bearer {self._token}"}, timeout=TIMEOUT_S
            ) as answer:
                if answer.status_code != httpx.codes.OK:
                    raise AttachedUnreadable(name, f"Slack answers HTTP {answer.status_code}")
                for piece in answer.iter_bytes():
                    content += piece
                    if len(content) > MAX_BYTES:
                        break
        except httpx.HTTPError as error:
            raise AttachedUnreadable(name, str(error) or type(error).__name__) from error
        return read_attached(name, content)

    def _is_slacks(self, url: str) -> bool:
        """Whether an address is of Slack's own servers, which are below the domain of its Web API."""
        try:
            address = urlsplit(url)
            host, own, port = address.hostname or "", self._api.hostname or "", address.port
        except ValueError:  # a port or brackets that are none
            return False
        is_below = host == own or host.endswith(f".{own}")
        return is_below and (address.scheme, port) == (self._api.scheme, self._api.port)
