"""The check of the API key, a bearer token as OpenAI's clients send it.

It stores no key and knows no users.

    check_api_key(request.headers.get("authorization"), settings.api_key)
"""

from __future__ import annotations

import hmac

from serve.errors import InvalidApiKey


def check_api_key(header: str | None, api_key: str) -> None:
    """Let the request pass if no key is configured or it carries the right one; compares in constant time.

    Raises InvalidApiKey: the key is missing or wrong.
    """
    if not api_key:
        return
    scheme, _, given = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not given:
        raise InvalidApiKey(
            "This gateway asks for an API key: send 'Authorization: Bearer KEY' (api_key in OpenAI's clients)."
        )
    if not hmac.compare_digest(given.strip().encode(), api_key.encode()):
        raise InvalidApiKey("The API key is wrong: ask whoever runs this gateway for the right one.")
