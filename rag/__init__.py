"""Retrieval over chip-design documents: parse, chunk, embed, index, search, and put the found passages into a prompt.

It does not answer questions and does not speak HTTP: `serve` does, with a `Retriever` in hand. Nothing is imported
here, so that `import rag` costs nothing; take what you need from its file.

    from rag.search.retriever import Retriever
    hits = Retriever.open(index_dir, settings).search("which option of global_route sets the guide file?")
"""
