"""Opens an index directory, and checks it byte by byte.

It builds nothing, and imports neither what cuts documents nor what parses them. It does not search (`retriever` does).

    index = open_index(Path("indexes/starter"), spec_of(settings, embedder))
"""

from __future__ import annotations

from pathlib import Path

from rag.errors import IndexCorrupt, IndexMismatch
from rag.index.generation import Index, open_generation
from rag.index.manifest import IndexSpec, Manifest, check_files, read_manifest
from rag.index.vector_store import FILES, VectorStore

MAX_OPENINGS = 50  # of an index that is rebuilt again and again while we open it


def open_index(index_dir: Path, spec: IndexSpec | None = None, store: VectorStore = FILES) -> Index:
    """Open the index in `index_dir`; with `spec`, only if it was built with that one.

    Vectors that are not files of the index are looked for in `store` first, then where they were written.

    Raises:
        IndexNotFound: there is no index.
        IndexMismatch: it was built with another spec; names every difference with both values.
        IndexCorrupt: it is damaged.
        MilvusUnavailable: the Milvus that holds the vectors does not answer.
    """
    tried = ""
    for _ in range(MAX_OPENINGS):
        manifest = read_manifest(index_dir)
        if differences := manifest.spec.differences(spec) if spec else []:
            listed = "; ".join(differences)
            if spec and manifest.spec.chunker_version != spec.chunker_version:  # no setting brings that back
                raise IndexMismatch(
                    f"the index in {index_dir} was built by another version of this program ({listed}): build it again "
                    "from its sources"
                )
            raise IndexMismatch(
                f"the index in {index_dir} was built with other settings ({listed}): build it again, or set them back"
            )

        if manifest.generation == tried:
            break
        try:
            return open_generation(index_dir, manifest, store)
        # A build has replaced the generation since we read the manifest, which then is a new one
        except FileNotFoundError as error:
            missing, tried = error, manifest.generation
        except OSError as error:
            raise IndexCorrupt(
                f"the index in {index_dir} cannot be read ({error.strerror or error}): check the folder, or build it "
                "again"
            ) from error

    raise IndexCorrupt(f"the index in {index_dir} lacks {missing.filename}: build it again")


def verify_index(index_dir: Path, store: VectorStore = FILES) -> Manifest:
    """Compare every byte of the index's files with what was built, count its vectors, and return its manifest.

    Raises:
        IndexCorrupt: lists everything that is wrong.
        IndexNotFound, IndexMismatch
    """
    manifest = open_index(index_dir, store=store).manifest
    if problems := list(check_files(index_dir, manifest, every_byte=True)):
        raise IndexCorrupt(f"{'; '.join(problems)}: build the index again")
    return manifest
