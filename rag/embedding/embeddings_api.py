"""A client of OpenAI's /v1/embeddings (a vLLM pooling server, or any other): a server's models, and vectors for texts.

It retries where a failure may pass, and cuts only texts that the server finds too long. It knows no documents and
counts no tokens.

    api = EmbeddingsApi("http://127.0.0.1:8002", "bge-small", api_key="")
    window = api.find_window()
    vectors = api.embed(["What is an antenna diode?"])  # shape (1, dimension), each of length 1
"""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from chipalign_settings import redact
from rag.embedding.servers import is_loopback, quote_refusal, split_login
from rag.errors import EmbedderUnavailable

Vectors = NDArray[np.float32]
CONNECT_TIMEOUT_S = 5.0  # a reachable machine accepts at once
ANSWER_TIMEOUT_S = 120.0  # a batch that waits behind many others on a busy server
# Before each retry: half a minute in all, in which a server restarts
PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
KEEP_ALIVE_S = 2.0  # servers close idle connections (uvicorn after 5 s), at times just as a request is on its way
_PASSING = (429, 502, 503, 504)  # too many requests, and a server, or one behind it, that is starting or overloaded
_TOO_LONG = re.compile(
    r"context length|context window|too long|too large|max_model_len|maximum.{0,40}tokens", re.IGNORECASE
)
_CUTS = 8  # of a quarter each: a tenth of the text is left
_LISTED = 20  # models that a message lists


class EmbeddingsApi:
    """One model of one server; `url` with or without /v1. Safe to call from many threads."""

    def __init__(self, url: str, model: str, api_key: str) -> None:
        self.base, login = split_login(f"{url.rstrip('/').removesuffix('/v1').rstrip('/')}/v1")
        self.model = model
        self._encoding = "base64"  # a third of the bytes of decimal numbers
        host = _check_address(url, self.base)
        if not (api_key.isascii() and api_key.isprintable()):
            raise EmbedderUnavailable(
                "CHIPALIGN_EMBEDDINGS_API_KEY holds signs that HTTP headers cannot carry: use ASCII letters, digits and"
                " signs"
            )
        self._client = httpx.Client(
            auth=None if api_key else login,
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            # The caller bounds what is in flight
            limits=httpx.Limits(max_connections=None, keepalive_expiry=KEEP_ALIVE_S),
            timeout=httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            trust_env=not is_loopback(host),  # a company's proxy knows nothing of this machine
        )

    def find_window(self) -> int | None:
        """Tokens that a text may have, the model's own marks among them; None where the server does not say.

        Raises EmbedderUnavailable: no server answers, the key is wrong, or the model is not among those served (the
        message lists them).
        """
        # A server that does not even list its models is reported without a retry
        response = self._request("GET", "models", None, pauses_s=())
        if response.status_code in (404, 405):  # it has no such list
            return None
        if not response.is_success:
            raise self._refusal(response)
        try:
            models = {str(model["id"]): model for model in response.json()["data"]}
            window = models.get(self.model, {}).get("max_model_len")
            window = int(window) if window else None
        except (ValueError, TypeError, KeyError, AttributeError):
            raise self._other_format("a list of models") from None
        if self.model not in models:
            known = ", ".join(sorted(models)[:_LISTED]) + (", ..." if len(models) > _LISTED else "")
            raise EmbedderUnavailable(
                f"{self.base} serves no model {self.model!r}, but {known or 'none'}: set CHIPALIGN_EMBEDDER to "
                "openai:MODEL"
            )
        return window

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of length 1, shape (texts, dimension), in the order of `texts`.

        A text that the server finds too long is cut.

        Raises EmbedderUnavailable: the server refuses, does not answer, or answers with something else.
        """
        texts = list(texts)
        for _ in range(_CUTS):
            response = self._post(texts)
            if response.status_code not in (400, 413, 422) or not _TOO_LONG.search(response.text):
                break
            longest = max(map(len, texts))
            texts = [text[: longest * 3 // 4] for text in texts]
        if not response.is_success:
            raise self._refusal(response)
        return self._read_vectors(response, len(texts))

    def _post(self, texts: list[str]) -> httpx.Response:
        """One request; in decimal numbers once the server has refused base64."""
        body = {"model": self.model, "input": texts, "encoding_format": self._encoding}
        response = self._request("POST", "embeddings", body, PAUSES_S)
        if response.status_code in (400, 422) and self._encoding == "base64" and "encoding" in response.text:
            self._encoding = "float"
            response = self._request("POST", "embeddings", {**body, "encoding_format": self._encoding}, PAUSES_S)
        return response

    def _request(
        self, method: str, path: str, body: dict[str, Any] | None, pauses_s: Sequence[float]
    ) -> httpx.Response:
        """The answer; a failure that may pass is retried after each pause."""
        problem = ""
        for pause_s in (*pauses_s, None):
            try:
                response = self._client.request(method, f"{self.base}/{path}", json=body)
            except httpx.HTTPError as error:
                problem = str(error) or type(error).__name__
            else:
                if response.status_code not in _PASSING:
                    return response
                problem = f"status {response.status_code}: {quote_refusal(response)}"
            if pause_s is not None:
                time.sleep(pause_s)
        raise EmbedderUnavailable(
            f"{self.base}/{path} does not answer ({problem}): is the server up, and is CHIPALIGN_EMBEDDINGS_URL right?"
        )

    def _refusal(self, response: httpx.Response) -> EmbedderUnavailable:
        said = f"status {response.status_code}: {quote_refusal(response)}"
        if response.status_code in (401, 403):
            return EmbedderUnavailable(
                f"{self.base} refuses the key ({said}): set CHIPALIGN_EMBEDDINGS_API_KEY to one that it knows"
            )
        if response.status_code == 404:
            return EmbedderUnavailable(
                f"{self.base} has no embeddings of {self.model!r} ({said}): check CHIPALIGN_EMBEDDINGS_URL and the "
                "model"
            )
        return EmbedderUnavailable(
            f"{self.base} refuses to embed with {self.model!r} ({said}): does it serve an embedding model?"
        )

    def _read_vectors(self, response: httpx.Response, count: int) -> Vectors:
        try:
            items = response.json()["data"]
            places = [int(item.get("index", place)) for place, item in enumerate(items)]
            rows = [_decode(item["embedding"]) for item in items]
        except (ValueError, TypeError, KeyError, AttributeError, binascii.Error):
            raise self._other_format("vectors") from None

        lengths = {row.shape for row in rows}
        if sorted(places) != list(range(count)) or len(lengths) != 1 or rows[0].ndim != 1 or not rows[0].size:
            got = f"{len(rows)} vectors of the shapes {', '.join(map(str, sorted(lengths)))}"
            raise EmbedderUnavailable(
                f"{self.base} answers {count} texts with {got}: it must give one vector a text, all of one length"
            )

        vectors = np.empty((count, rows[0].size), dtype=np.float32)
        vectors[places] = rows

        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not (np.isfinite(norms).all() and norms.all()):
            raise EmbedderUnavailable(
                f"{self.base} gives vectors with no direction (zeros, or numbers that are none): does the model embed "
                "texts?"
            )
        return np.asarray(vectors / norms, dtype=np.float32)

    def _other_format(self, wanted: str) -> EmbedderUnavailable:
        return EmbedderUnavailable(
            f"{self.base} does not answer with {wanted} in OpenAI's format: set CHIPALIGN_EMBEDDINGS_URL to a server of"
            " /v1/embeddings"
        )


def _decode(embedding: Any) -> Vectors:
    """The numbers of an embedding, written out or as base64 of little-endian float32."""
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4")
    return np.asarray(embedding, dtype=np.float32)


def _check_address(url: str, base: str) -> str:
    """The host of the address.

    Raises EmbedderUnavailable: the address has no host.
    """
    if not url:
        raise EmbedderUnavailable(
            "CHIPALIGN_EMBEDDER is served by CHIPALIGN_EMBEDDINGS_URL, which is not set: set it, as in "
            "http://127.0.0.1:8002/v1"
        )
    try:
        address = httpx.URL(base)
    except httpx.InvalidURL:
        address = httpx.URL("")
    if address.scheme not in ("http", "https") or not address.host:
        raise EmbedderUnavailable(
            f"CHIPALIGN_EMBEDDINGS_URL={redact(url)!r} is not an address of a server: give one like "
            "http://127.0.0.1:8002/v1"
        )
    return address.host
