"""The check of the API key: a bearer token, or a header of its own as clients of Azure and Anthropic send it.

It stores no key and knows no users.

    check_api_key(request.headers, settings.api_key)
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from serve.errors import InvalidApiKey

KEY_HEADERS = ("api-key", "x-api-key")  # Azure's and Anthropic's


def check_api_key(headers: Mapping[str, str], api_key: str) -> None:
    """Let the request pass if no key is configured or it carries the right one; compares in constant time.

    Raises InvalidApiKey: the key is missing or wrong.
    """
    if not api_key:
        return
    given = given_keys(headers)
    if not given:
        raise InvalidApiKey(
            "This gateway asks for an API key: send 'Authorization: Bearer KEY' (api_key in OpenAI's clients)."
        )
    if not any(hmac.compare_digest(key.encode(), api_key.encode()) for key in given):
        raise InvalidApiKey("The API key is wrong: ask whoever runs this gateway for the right one.")


def given_keys(headers: Mapping[str, str]) -> list[str]:
    """The keys that a request carries, wherever clients put them."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    found = [token if scheme.lower() == "bearer" else "", *(headers.get(name, "") for name in KEY_HEADERS)]
    return [key.strip() for key in found if key.strip()]
