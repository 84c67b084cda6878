"""A page of a list, as OpenAI's lists give them: `limit`, `order`, and the id that it begins after or ends before.

It knows nothing of what is listed.

    page = read_page({"limit": "2", "order": "asc"}); paginate(objects, page)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serve.errors import RequestError
from serve.request_body import shorten

_NUMBER = re.compile(r"[0-9]{1,6}", re.ASCII)
ORDERS = ("asc", "desc")  # by the time at which things were made


@dataclass(frozen=True, slots=True)
class Page:
    """What of a list is wanted."""

    limit: int = 20
    order: str = "desc"
    after: str | None = None
    before: str | None = None


def read_page(query: Mapping[str, str], most: int = 100, default: int = 20) -> Page:
    """The page that an address asks for. Raises RequestError."""
    limit = query.get("limit")
    if limit is not None and not (_NUMBER.fullmatch(limit) and 1 <= int(limit) <= most):
        raise RequestError(f"'limit' is {shorten(limit)}: give a number from 1 to {most}.", "limit")
    order = query.get("order", "desc")
    if order not in ORDERS:
        raise RequestError(f"'order' is {shorten(order)}: give asc or desc.", "order")
    return Page(int(limit) if limit else default, order, query.get("after"), query.get("before"))


def paginate(objects: Sequence[Mapping[str, Any]], page: Page) -> dict[str, Any]:
    """The page of these objects, which come oldest first and have an `id`.

    Raises RequestError: `after` or `before` is not one of them.
    """
    ordered = list(objects) if page.order == "asc" else list(objects)[::-1]
    ids = [each["id"] for each in ordered]
    first = _place(ids, page.after, "after") + 1 if page.after else 0
    last = _place(ids, page.before, "before") if page.before else len(ordered)
    # A page before an id is the one that ends there
    shown = ordered[first:last][: page.limit] if not page.before else ordered[first:last][-page.limit :]
    remaining = max(last - first, 0) - len(shown)
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": remaining > 0,
    }


def _place(ids: Sequence[str], wanted: str, param: str) -> int:
    try:
        return ids.index(wanted)
    except ValueError:
        raise RequestError(f"'{param}' is {shorten(wanted)}, which is not in this list.", param) from None
