"""An index directory is opened, and checked byte by byte.

It builds nothing, and imports neither what cuts documents nor what parses them. It does not search (`retriever` does).

    index = open_index(Path("indexes/starter"), spec_of(settings, embedder))
"""

from pathlib import Path

from rag.errors import IndexCorrupt, IndexMismatch
from rag.index.generation import Index, open_generation
from rag.index.manifest import IndexSpec, Manifest, check_files, read_manifest
from rag.index.vector_store import FILES, VectorStore

MAX_OPENINGS = 50  # of an index that is built again and again while it is opened, each time under our hands


def open_index(index_dir: Path, spec: IndexSpec | None = None, store: VectorStore = FILES) -> Index:
    """Open the index in `index_dir`; with `spec`, only if it was built with that one.

    Vectors that are no files of the index are looked for in `store` first, then where they were written to.

    Raises IndexNotFound, IndexMismatch (every difference with both values), IndexCorrupt, MilvusUnavailable.
    """
    tried = ""
    for _ in range(MAX_OPENINGS):
        manifest = read_manifest(index_dir)
        if differences := manifest.spec.differences(spec) if spec else []:
            listed = "; ".join(differences)
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
    """Read every byte of the index's files and compare them with what was built, and count its vectors; returns
    the manifest of a whole one.

    Raises IndexCorrupt that lists everything that is wrong, IndexNotFound, IndexMismatch.
    """
    manifest = open_index(index_dir, store=store).manifest
    if problems := list(check_files(index_dir, manifest, every_byte=True)):
        raise IndexCorrupt(f"{'; '.join(problems)}: build the index again")
    return manifest
