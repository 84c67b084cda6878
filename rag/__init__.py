"""Retrieval over chip-design documents: parse, chunk, embed, index, search, and put the found passages into a prompt.

It answers no questions and speaks no HTTP: `serve` does both, given a `Retriever`. It imports nothing, so that
`import rag` costs nothing; import what you need from its file.

    from rag.search.retriever import Retriever
    hits = Retriever.open(index_dir, settings).search("which option of global_route sets the guide file?")
"""
