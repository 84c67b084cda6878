"""The child process that changes the index: reads one job on standard input, answers one outcome, and ends.

A child's memory is free again afterwards, and whatever happens to it, the gateway answers on. It runs at a low
priority, since people wait for answers and not for builds. Documents are parsed in a sandbox of their own.

    python -m serve.uploads.build_worker < job.json
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from rag.documents import Document, Skipped
from rag.embedding.embedder import TextEmbedder
from rag.errors import IndexBusy, IndexNotFound, RagError, SourceUnusable
from rag.index.building import change_documents, remove_documents
from rag.index.document_list import DocumentRecord
from rag.index.vector_store import choose_store
from rag.settings import RagSettings
from rag.sources.reader import read_source
from rag.sources.sandbox import Sandbox
from serve.store.build_queue import Built
from serve.uploads.jobs import Addition, Job, Outcome, read_job

NICENESS = 10
UNSUPPORTED, INVALID = "unsupported_file", "invalid_file"  # OpenAI's codes
NOT_READ_BY_TYPE = "not a type of document"  # how rag.sources.reader begins when it refuses a name


def do_job(job: Job, settings: RagSettings, open_embedder: Callable[[], TextEmbedder]) -> Outcome:
    """Change the index as the job says; an error leaves it as it was."""
    try:
        if job.removals or job.dropped:
            _remove(job, settings)
        return Outcome(_add(job, settings, open_embedder()) if job.additions else ())
    except IndexBusy as error:
        return Outcome(error=str(error), is_busy=True)
    except RagError as error:
        return Outcome(error=str(error))


def _remove(job: Job, settings: RagSettings) -> None:
    """Take texts out of the index. Raises RagError."""
    removals, dropped = set(job.removals), set(job.dropped)

    def is_gone(record: DocumentRecord) -> bool:
        """Whether the document is to go."""
        return record.collection in dropped or (record.collection, _file_id(record)) in removals

    with suppress(IndexNotFound):  # nothing is there any more
        remove_documents(is_gone, Path(job.index_dir), choose_store(settings))


def _add(job: Job, settings: RagSettings, embedder: TextEmbedder) -> tuple[Built, ...]:
    """Put files into the index, each in place of what it held of it; returns what came of each. Raises RagError."""
    documents: dict[tuple[str, str], list[Document]] = {}
    results: dict[tuple[str, str], Built] = {}
    with Sandbox(settings) as sandbox:
        for addition in job.additions:
            key = addition.store_id, addition.file_id
            documents[key], reason = read_file(addition, settings, sandbox)
            if not documents[key]:
                results[key] = _refuse(addition, reason)
    everything = [document for found in documents.values() for document in found]
    if everything:
        for key, reasons in _build(job, everything, settings, embedder).items():
            if len(reasons) == len(documents[key]):
                results[key] = _refuse_key(key, f"it cannot be cut into passages: {reasons[0]}")
    return tuple(
        results.get((store_id, file_id)) or Built(store_id, file_id, sum(len(each.text.encode()) for each in found))
        for (store_id, file_id), found in documents.items()
    )


def _build(
    job: Job, documents: list[Document], settings: RagSettings, embedder: TextEmbedder
) -> dict[tuple[str, str], list[str]]:
    """Change the index; returns by file why documents of it could not be cut. Raises RagError."""
    added = {(addition.store_id, addition.file_id) for addition in job.additions}

    def is_gone(record: DocumentRecord) -> bool:
        """Whether the document is of a file that is built anew."""
        return (record.collection, _file_id(record)) in added

    try:
        not_cut = change_documents(documents, is_gone, Path(job.index_dir), settings, embedder)
    except SourceUnusable as error:
        # No document of the whole index holds text: nothing was written
        not_cut = [Skipped(document.name, str(error)) for document in documents]
    reasons: dict[tuple[str, str], list[str]] = defaultdict(list)
    for item in not_cut:
        store_id, file_id, _ = item.path.split("/", 2)
        reasons[store_id, file_id].append(item.reason)
    return reasons


def read_file(addition: Addition, settings: RagSettings, sandbox: Sandbox) -> tuple[list[Document], str]:
    """The documents of an uploaded file, which are several in an archive; or none, and the reason."""
    skipped: list[Skipped] = []
    try:
        found = list(
            read_source(
                Path(addition.path), addition.store_id, skipped, settings=settings, sandbox=sandbox, caches=False
            )
        )
    except RagError as error:
        return [], str(error).replace(addition.path, "it")  # where it lies is nobody's business
    reason = skipped[0].reason if skipped else "it holds no text, or only a licence's"
    return [replace(document, path=f"{addition.file_id}/{document.path}") for document in found], reason


def _file_id(record: DocumentRecord) -> str:
    return record.path.partition("/")[0]


def _refuse(addition: Addition, reason: str) -> Built:
    name = Path(addition.path).name
    code = UNSUPPORTED if reason.startswith(NOT_READ_BY_TYPE) else INVALID
    sentence = f"{name} is not a document that can be read: {reason}."
    return Built(addition.store_id, addition.file_id, 0, code, sentence)


def _refuse_key(key: tuple[str, str], reason: str) -> Built:
    return Built(*key, 0, INVALID, f"The file is not a document that can be searched: {reason}.")


def main() -> int:
    """Do the job on standard input, and write its outcome as the last line of standard output."""
    from rag.embedding.embedder_choice import open_embedder

    os.nice(NICENESS)
    settings = RagSettings.from_env()
    outcome = do_job(read_job(sys.stdin.read()), settings, lambda: open_embedder(settings, settings.embed_threads))
    sys.stdout.write(f"{outcome.as_json()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
