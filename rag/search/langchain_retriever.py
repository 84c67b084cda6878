"""Our retriever as LangChain's `BaseRetriever`, for chains that are built elsewhere.

It adds nothing to the search; a LangChain document's `page_content` is the chunk's text, everything else is metadata.

    ChipRetriever(retriever=Retriever.open(index_dir, settings), top_k=5).invoke("what is a tie cell?")
"""

from __future__ import annotations

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document as LangchainDocument
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict

from rag.documents import Hit
from rag.search.retriever import Retriever


class ChipRetriever(BaseRetriever):
    """LangChain's view of a `Retriever`.

    Raises what `Retriever.search` raises.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    retriever: Retriever
    top_k: int = 5

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[LangchainDocument]:
        return [to_langchain(hit) for hit in self.retriever.search(query, self.top_k)]


def to_langchain(hit: Hit) -> LangchainDocument:
    """A hit as LangChain's document; `id` is the chunk's id."""
    chunk = hit.chunk

    return LangchainDocument(
        id=chunk.chunk_id,
        page_content=chunk.text,
        metadata={
            "chunk_id": chunk.chunk_id,
            "collection": chunk.collection,
            "path": chunk.path,
            "title": chunk.title,
            "heading_path": list(chunk.heading_path),
            "url": chunk.url,
            "licence": chunk.licence,
            "position": chunk.position,
            "page": chunk.page,
            "version": chunk.version,
            "date": chunk.date,
            "score": hit.score,
            "dense_score": hit.dense_score,
            "bm25_score": hit.bm25_score,
            "late_score": hit.late_score,
        },
    )
