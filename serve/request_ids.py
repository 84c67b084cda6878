"""The id under which one request stands in the gateway's log, in its answer's header and in the engine's log.

It makes and remembers ids; it logs nothing.

    begin_request(request.headers.get("x-request-id", ""))
"""

from __future__ import annotations

import re
import uuid
from contextvars import ContextVar

HEADER = "x-request-id"
REQUEST_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)  # the form of a client's, which goes into headers and logs
_current: ContextVar[str | None] = ContextVar("request_id", default=None)


def begin_request(given: str) -> str:
    """The id of the request that this task answers from now on: the client's own if it is harmless, else a new one."""
    request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
    _current.set(request_id)
    return request_id


def current_request_id() -> str | None:
    """The id of the request that this task answers; None outside of requests."""
    return _current.get()
