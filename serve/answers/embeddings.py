"""OpenAI's /v1/embeddings over the embedder of the index: a request's texts in, the wire form of their vectors out.

It speaks no HTTP and embeds piece by piece, so that whoever asks a question in between need not wait for all.

    request = parse_embeddings_request(body, embedder, "chipalign-demo")
    items = [item for piece in request.pieces for item in embed_piece(request, piece, embedder)]
    write_embeddings(items, embedder)
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel

from rag.embedding.embedder import TextEmbedder, batch_by_length
from rag.embedding.model_folder import ADAPTER_PREFIX, PACKAGE_PREFIX, SERVED_PREFIX
from rag.errors import EmbedderUnavailable
from serve.answers.model_names import read_name
from serve.errors import ModelNotFound, RequestError, RetrievalUnavailable
from serve.request_body import check_shape, read_object, shorten

MOST_TEXTS = 2048  # OpenAI's own limit
MOST_CHARACTERS = 2_000_000  # of all texts together: as many texts of a thousand
PIECE = 8  # texts of the embedder's reach take it a fraction of a second, for which a question waits
LONGEST_TOKEN = 16  # characters, on average over a text; English has four
TOKEN_IDS = (
    "'input' holds token ids, which are another model's: send the texts themselves (LangChain's OpenAIEmbeddings: "
    "check_embedding_ctx_length=False)."
)


class _Asked(BaseModel):
    """The fields of a request that are read; others (`user`) say nothing about the vectors."""

    input: Any
    model: str | None = None
    encoding_format: Literal["float", "base64"] | None = None  # float
    dimensions: int | None = None


@dataclass(frozen=True, slots=True)
class EmbeddingsRequest:
    """The texts, and whether their vectors are wanted as base64 of little-endian float32."""

    texts: tuple[str, ...]
    is_base64: bool

    @property
    def pieces(self) -> list[list[int]]:
        """The numbers of the texts, short ones first, some at a time."""
        return batch_by_length(list(map(len, self.texts)), PIECE)


class Item(NamedTuple):
    """A text's number, its vector on the wire, and its tokens that the embedder read."""

    number: int
    wire: bytes
    tokens: int


def public_name(embedder: TextEmbedder) -> str:
    """The embedder's name in the API: without where it was found, which may be a folder of this machine."""
    for prefix in (PACKAGE_PREFIX, ADAPTER_PREFIX, SERVED_PREFIX):
        if embedder.name.startswith(prefix):
            return embedder.name.removeprefix(prefix)
    folder = Path(embedder.name).expanduser()
    return folder.name if folder.is_absolute() or folder.is_dir() else embedder.name


def parse_embeddings_request(body: bytes, embedder: TextEmbedder, model_id: str) -> EmbeddingsRequest:
    """Read a request; a model may be called by the embedder's name, or by any of the gateway's own model.

    Raises RequestError: a field is wrong; ModelNotFound: another embedding model is asked for.
    """
    asked = check_shape(_Asked, read_object(body))
    name = public_name(embedder)
    if asked.model not in (None, name, embedder.name) and read_name(asked.model, [model_id]) is None:
        raise ModelNotFound(
            f"The model {shorten(asked.model)} does not exist; this gateway embeds with {name}.", "model"
        )
    if asked.dimensions not in (None, embedder.dimension):
        raise RequestError(
            f"'dimensions' is {asked.dimensions}, and the vectors of {name} have {embedder.dimension}: leave it out.",
            "dimensions",
        )
    return EmbeddingsRequest(tuple(_read_texts(asked.input)), asked.encoding_format == "base64")


def _read_texts(given: Any) -> Sequence[str]:
    """The texts of `input`, a string or a list of strings. Raises RequestError: it is neither."""
    texts = given if isinstance(given, list) else [given]
    if texts and all(isinstance(each, int | list) and not isinstance(each, bool) for each in texts):
        raise RequestError(TOKEN_IDS, "input")
    if not texts or not all(isinstance(each, str) for each in texts):
        raise RequestError(f"'input' is {shorten(given)}: give a text, or a list of texts.", "input")
    if empty := [number for number, text in enumerate(texts) if not text.strip()]:
        raise RequestError(
            f"Text {empty[0]} of 'input' is empty, and an empty text has no direction: leave it out.", "input"
        )
    if len(texts) > MOST_TEXTS:
        raise RequestError(f"'input' holds {len(texts)} texts: send at most {MOST_TEXTS} at a time.", "input")
    if (characters := sum(map(len, texts))) > MOST_CHARACTERS:
        raise RequestError(
            f"The texts of 'input' have {characters:,} characters: send at most {MOST_CHARACTERS:,} at a time.", "input"
        )
    return texts


def embed_piece(request: EmbeddingsRequest, numbers: Sequence[int], embedder: TextEmbedder) -> list[Item]:
    """The texts with these numbers on the wire; of a text longer than the embedder reads, its beginning.

    Raises RetrievalUnavailable: the embedder's server does not answer.
    """
    reach = LONGEST_TOKEN * embedder.max_tokens  # so that a text of megabytes is not cut into tokens first
    texts = [request.texts[number][:reach] for number in numbers]
    try:
        vectors = embedder.embed(texts)
    except EmbedderUnavailable as error:
        raise RetrievalUnavailable(f"{error}") from error

    items = []
    for number, text, vector in zip(numbers, texts, vectors.astype("<f4"), strict=True):
        embedding = base64.b64encode(vector.tobytes()).decode() if request.is_base64 else _short(vector)
        wire = json.dumps({"object": "embedding", "index": number, "embedding": embedding}, separators=(",", ":"))
        items.append(Item(number, wire.encode(), min(embedder.count_tokens(text), embedder.max_tokens)))
    return items


def _short(vector: np.ndarray[Any, Any]) -> list[float]:
    """The numbers with the nine digits that distinguish one float32 from the next."""
    return [float(f"{number:.9g}") for number in vector.tolist()]


def write_embeddings(items: Iterable[Item], embedder: TextEmbedder) -> bytes:
    """The whole answer as JSON, the texts in the order of the request."""
    ordered = sorted(items)
    tokens = sum(item.tokens for item in ordered)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    rest = json.dumps({"object": "list", "model": public_name(embedder), "usage": usage}, ensure_ascii=False)
    return b'{"data":[' + b",".join(item.wire for item in ordered) + b"]," + rest.encode()[1:]
