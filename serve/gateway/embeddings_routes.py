"""POST /v1/embeddings: the vectors of texts, by the embedder of the index.

It embeds beside the questions and never before them: a few texts take a question's place for a moment, many take turns
with other long texts, and whoever hangs up ends the work.

    Endpoint("/v1/embeddings", "POST", embeddings)
"""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from rag.embedding.embedder import TextEmbedder
from serve.answers.embeddings import (
    EmbeddingsRequest,
    Item,
    embed_piece,
    parse_embeddings_request,
    write_embeddings,
)
from serve.errors import RetrievalUnavailable
from serve.gateway.bodies import read_body, unless_client_leaves
from serve.gateway.gateway import Gateway, gateway_of


async def embeddings(request: Request) -> Response:
    """POST /v1/embeddings: OpenAI's, of texts."""
    gateway = gateway_of(request)
    embedder = gateway.passages().embedder
    if embedder is None:
        raise RetrievalUnavailable("The index was removed, and its embedder with it: build the index again.")
    asked = parse_embeddings_request(await read_body(request), embedder, gateway.settings.model_id)
    with gateway.admission.admit():
        work = gateway.admission.unless_stopped(_embed(gateway, asked, embedder))
        items = await unless_client_leaves(request, work)
    return Response(write_embeddings(items, embedder), media_type="application/json")


async def _embed(gateway: Gateway, asked: EmbeddingsRequest, embedder: TextEmbedder) -> list[Item]:
    """The texts on the wire, a piece at a time, each as soon as there is a place for it."""
    pieces = asked.pieces
    items: list[Item] = []
    for numbers in pieces:
        items += await gateway.slots.run(partial(embed_piece, asked, numbers, embedder), is_long=len(pieces) > 1)
    return items
