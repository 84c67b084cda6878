"""Cuts documents into chunks in child processes, so that none of them can stop a build or fill the memory.

A child has the limits of a parser (`rag.sources.sandbox`). It receives the title and blocks of a document and the
tokenizer's folder, and gives back passages. An embedder whose counts another process cannot repeat is asked here.

    with Cutter(embedder, settings) as cutter:
        for chunks in cutter.cut_all(documents): ...
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Iterable, Iterator
from types import TracebackType

from rag.ahead import map_in_threads
from rag.blocks import Parsed, read_parsed, write_parsed
from rag.child import (
    OUT_OF_MEMORY,
    ChildEnded,
    ChildPool,
    explain_end,
    read_message,
    serve_parent,
    set_timer,
    write_message,
)
from rag.documents import Chunk, Document
from rag.embedding.embedder import TextEmbedder
from rag.embedding.token_counter import TokenCounter
from rag.errors import CuttingFailed
from rag.index.chunker import Passage, chunk_document, cut_passages, make_chunks
from rag.settings import RagSettings

_TEXT = ("utf-8", "surrogatepass")


class Cutter:
    """Cuts for one embedder and the sizes and limits of the settings, several documents at a time."""

    def __init__(self, embedder: TextEmbedder, settings: RagSettings) -> None:
        self._count = embedder.count_tokens
        self._settings = settings
        self._pool = None
        if embedder.counter is not None:
            memory = settings.parse_memory_mb * 2**20
            sizes = str(settings.chunk_tokens), str(settings.overlap_tokens)
            self._pool = ChildPool("rag.index.cutting", memory, embedder.counter.place, *sizes)

    def __enter__(self) -> Cutter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.close()

    def cut_all(self, documents: Iterable[Document]) -> Iterator[list[Chunk] | CuttingFailed]:
        """The chunks of each document in order, or why it cannot be cut."""
        if self._pool is None:
            return map(self._try, documents)
        return map_in_threads(self._try, documents, self._settings.workers)

    def cut(self, document: Document) -> list[Chunk]:
        """The chunks of one document.

        Raises CuttingFailed: also for an error that nobody foresaw, since it is about that one document.
        """
        timeout_s = self._settings.parse_limit_s(sum(len(block.text) for block in document.blocks))
        if self._pool is None:
            return self._cut_here(document, timeout_s)
        content = write_parsed(Parsed(document.title, document.blocks)).encode(*_TEXT)
        try:
            head, body = self._pool.ask({"timeout_s": timeout_s}, content)
        except ChildEnded as error:
            raise CuttingFailed(explain_end(error.code, timeout_s, "cutting")) from None
        if head["failed"]:
            raise CuttingFailed(body.decode(*_TEXT))
        return make_chunks(document, _read_passages(body.decode(*_TEXT)))

    def _try(self, document: Document) -> list[Chunk] | CuttingFailed:
        try:
            return self.cut(document)
        except CuttingFailed as error:
            return error

    def _cut_here(self, document: Document, timeout_s: float) -> list[Chunk]:
        sizes = self._settings.chunk_tokens, self._settings.overlap_tokens
        try:
            return chunk_document(document, self._count, *sizes, timeout_s)
        except CuttingFailed:
            raise
        except Exception as error:
            raise CuttingFailed(_describe(error)) from error


def _describe(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return explain_end(OUT_OF_MEMORY, 0, "cutting")
    return f"it cannot be cut ({type(error).__name__}: {' '.join(str(error).split())[:120]})"


def _read_passages(text: str) -> Iterator[Passage]:
    """What `_write_passages` wrote."""
    for heading_path, content, page in json.loads(text):
        yield Passage(tuple(heading_path), content, page)


def _write_passages(passages: Iterable[Passage]) -> str:
    rows = [[passage.heading_path, passage.text, passage.page] for passage in passages]
    return json.dumps(rows, ensure_ascii=False)


def main(memory_bytes: int, tokenizer: str, target_tokens: int, overlap_tokens: int) -> None:
    """The child: cuts documents on standard input until it closes."""
    messages, answers = serve_parent(memory_bytes)
    gc.disable()  # blocks and passages refer to nothing that refers to them: looking for that takes a fifth of the time
    try:
        count = TokenCounter.find(tokenizer).count
        while (message := read_message(messages)) is not None:
            head, content = message
            set_timer(head["timeout_s"])
            try:
                parsed = read_parsed(content.decode(*_TEXT))
                passages = cut_passages(parsed.title, parsed.blocks, count, target_tokens, overlap_tokens)
                failed, text = False, _write_passages(passages)
            except Exception as error:  # about this one document
                failed, text = True, _describe(error)
            set_timer(0)
            write_message(answers, {"failed": failed}, text.encode(*_TEXT))
    except MemoryError:
        os._exit(OUT_OF_MEMORY)  # the usual end would need memory


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
