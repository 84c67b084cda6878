"""Lets pages of other origins ask from a browser where a setting names them (CORS: the Fetch standard, section 3.2).

It refuses nobody (`visitors` does): it says in headers what a browser may hand to a page. Pages of passages stay
outside: a page of another origin never reads them.

    cross_origin = CrossOrigin.of(settings); response.headers.update(cross_origin.headers(request.headers, path))
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from serve.settings import ServeSettings

EXPOSED = "x-request-id, retry-after, x-chipalign-tools"  # what a page may read beside the body
PREFLIGHT_S = 600  # a browser may keep the answer to a preflight so long
PASSAGES = "/sources"
_NAMES = re.compile(r"[\w\-, ]{0,4000}", re.ASCII)  # headers that a preflight asks for


@dataclass(frozen=True)
class CrossOrigin:
    """The origins whose pages may read answers; empty: none, and no answer says anything about origins."""

    origins: frozenset[str]

    @classmethod
    def of(cls, settings: ServeSettings) -> CrossOrigin:
        """The origins that the settings name."""
        return cls(frozenset(filter(None, settings.allowed_origins.split(","))))

    def headers(self, request: Mapping[str, str], path: str) -> dict[str, str]:
        """What an answer says to the browser that asked, also an error or a stream."""
        if not self.origins or path.startswith(PASSAGES):
            return {}
        varies = {"vary": "Origin"}
        if not self._allows(request):
            return varies
        return varies | {"access-control-allow-origin": request["origin"], "access-control-expose-headers": EXPOSED}

    def is_preflight(self, request: Mapping[str, str], path: str) -> bool:
        """Whether an OPTIONS request is a browser's question on behalf of a page that may ask."""
        is_question = "access-control-request-method" in request
        return is_question and self._allows(request) and not path.startswith(PASSAGES)

    def preflight(self, request: Mapping[str, str], methods: Sequence[str]) -> dict[str, str]:
        """The answer to a browser that asks what a page may send: these methods, and the headers it asks for."""
        asked = request.get("access-control-request-headers", "")
        allowed = {
            "access-control-allow-methods": ", ".join(methods),
            "access-control-allow-headers": asked if _NAMES.fullmatch(asked) else "",
            "access-control-max-age": str(PREFLIGHT_S),
        }
        if "access-control-request-private-network" in request:  # a page from elsewhere asks in this network
            allowed["access-control-allow-private-network"] = "true"
        return allowed

    def _allows(self, request: Mapping[str, str]) -> bool:
        return request.get("origin", "").lower() in self.origins
