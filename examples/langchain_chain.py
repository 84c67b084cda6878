"""The search as a LangChain retriever: a question in, passages of an index folder out, each under its source.

It needs no gateway and no model. `chipalign index build --out my-index/ manuals/` makes the folder.

    .venv/bin/python examples/langchain_chain.py my-index/ "How are antenna violations fixed?"
"""

from __future__ import annotations

import sys
from pathlib import Path

from langchain_core.documents import Document
from langchain_core.runnables import Runnable

from rag.search.langchain_retriever import ChipRetriever
from rag.search.retriever import Retriever
from rag.settings import RagSettings


def write_passages(documents: list[Document]) -> str:
    """The passages as text for a prompt; empty where the documents hold nothing about the question."""
    return "\n\n".join(
        f"{found.metadata['title']} ({found.metadata['path']})\n{found.page_content}" for found in documents
    )


def make_chain(index_dir: Path, top_k: int = 3) -> Runnable[str, str]:
    """A chain from a question to its passages: append `| prompt | model`."""
    retriever = Retriever.open(index_dir, RagSettings.from_env())
    return ChipRetriever(retriever=retriever, top_k=top_k) | write_passages


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    print(make_chain(Path(sys.argv[1])).invoke(sys.argv[2]))
