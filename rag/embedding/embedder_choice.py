"""The embedder and the reader that the settings name: models on this machine, or an embedder behind a server.

It embeds nothing. Building and searching both get theirs here.

    embedder, reader = open_embedder(settings, threads=1), open_reader(settings)
"""

from __future__ import annotations

from rag.embedding.embedder import Embedder
from rag.embedding.embeddings_api import EmbeddingsApi
from rag.embedding.model_folder import SERVED_PREFIX
from rag.embedding.passage_reader import PassageReader
from rag.embedding.served_embedder import ServedEmbedder
from rag.embedding.token_counter import TokenCounter
from rag.settings import RagSettings

NO_READER = "none"


def open_embedder(settings: RagSettings, threads: int = 0) -> Embedder | ServedEmbedder:
    """The embedder of `settings`; `threads` are those of a model on this machine, 0 for torch's own choice.

    Raises EmbedderUnavailable: it cannot be found, or its server does not answer.
    """
    if not settings.embedder.startswith(SERVED_PREFIX):
        return Embedder.find(settings.embedder, settings.embed_batch, threads, settings.embed_bits)
    counter = TokenCounter.find(settings.embeddings_tokenizer)
    api = EmbeddingsApi(
        settings.embeddings_url, settings.embedder.removeprefix(SERVED_PREFIX), settings.embeddings_api_key
    )
    return ServedEmbedder(api, counter, settings.embed_batch, settings.embeddings_in_flight)


def open_reader(settings: RagSettings) -> PassageReader | None:
    """The reader of `settings`, which loads its model at the first passage; None where the settings name none.

    Raises EmbedderUnavailable: it cannot be found.
    """
    return PassageReader.find(settings.reader, bits=settings.embed_bits) if settings.reader != NO_READER else None
