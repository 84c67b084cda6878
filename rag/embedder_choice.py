"""The embedder that the settings name: a model on this machine, or one behind a server. It embeds nothing.

Building and searching both get theirs here.

    embedder = open_embedder(settings, threads=1)
"""

from rag.embedder import Embedder
from rag.embeddings_api import EmbeddingsApi
from rag.model_folder import SERVED_PREFIX
from rag.served_embedder import ServedEmbedder, TokenCounter
from rag.settings import RagSettings


def open_embedder(settings: RagSettings, threads: int = 0) -> Embedder | ServedEmbedder:
    """The embedder of `settings`; `threads` are those of a model on this machine, 0 for torch's own choice. Raises EmbedderUnavailable."""
    if not settings.embedder.startswith(SERVED_PREFIX):
        return Embedder.find(settings.embedder, settings.embed_batch, threads, settings.embed_bits)
    counter = TokenCounter.find(settings.embeddings_tokenizer)
    api = EmbeddingsApi(settings.embeddings_url, settings.embedder.removeprefix(SERVED_PREFIX), settings.embeddings_api_key)
    return ServedEmbedder(api, counter, settings.embed_batch, settings.embeddings_in_flight)
