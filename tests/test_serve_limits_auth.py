"""The API key: asked for only when one is configured, and then exactly that one passes, in any of three headers."""

from __future__ import annotations

import pytest

from serve.errors import InvalidApiKey
from serve.limits.auth import check_api_key
from tests.rows import for_each


def bearer(header: str | None) -> dict[str, str]:
    return {} if header is None else {"authorization": header}


@for_each("header", [None, "", "Bearer anything", "Basic x"])
def test_without_a_configured_key_every_request_passes(header: str | None) -> None:
    check_api_key(bearer(header), "")


@for_each("header", ["Bearer s3cret", "bearer s3cret", "Bearer s3cret "])
def test_the_right_key_passes(header: str) -> None:
    check_api_key(bearer(header), "s3cret")


@pytest.mark.parametrize("name", ["api-key", "x-api-key"])
def test_the_key_passes_in_the_headers_of_azure_and_anthropic(name: str) -> None:
    check_api_key({name: "s3cret"}, "s3cret")
    check_api_key({name: "s3cret", "authorization": "Bearer none"}, "s3cret")
    for wrong in ("s3cre", "", "Bearer s3cret"):
        with pytest.raises(InvalidApiKey):
            check_api_key({name: wrong}, "s3cret")


@for_each(
    "header",
    [None, "", "s3cret", "Basic s3cret", "Bearer", "Bearer ", "Bearer s3cre", "Bearer S3cret", "Bearer schlüssel"],
)
def test_no_key_and_a_wrong_key_are_refused_with_401(header: str | None) -> None:
    with pytest.raises(InvalidApiKey) as caught:
        check_api_key(bearer(header), "s3cret")
    assert caught.value.status == 401
    assert caught.value.headers["www-authenticate"].startswith("Bearer")
    assert "s3cret" not in str(caught.value)
