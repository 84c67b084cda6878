"""The manifest of an index directory: what the index is made of and with, and which files it has.

It is the commit point of a build.

It opens no index and loads nothing large. The files it names lie in one generation folder; a name of a file outside
the index directory is refused.

    manifest = read_manifest(Path("indexes/starter")); manifest.collections["openroad"].chunks
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rag.embedding.fingerprint import alike
from rag.errors import IndexCorrupt, IndexMismatch, IndexNotFound, SettingsError
from rag.settings import RagSettings
from rag.typed_json import convert, parse_json

if TYPE_CHECKING:
    from rag.embedding.embedder import TextEmbedder

FORMAT = 4  # of the manifest and the files it names
CHUNKER_VERSION = 8  # of rag.formats and rag.index.chunker: other chunks mean another index
TOKENIZER_VERSION = 2  # of rag.index.bm25: another tokenizer cannot search its postings
MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 64 * 2**20  # it is read whole; skipped files, its longest part, take some 100 KB for a collection
MAX_SKIPPED = 1000  # skipped files that a collection lists by name; the others are only counted
# A file up to this size is hashed whole whenever the index opens (16 MiB take some 10 ms), a larger one in 64 pieces
# spread over it: that finds a file that is cut, of another build or empty after a crash; `index verify` reads every
# byte.
WHOLE_BYTES = 16 * 2**20
GENERATION = re.compile(r"generation-[0-9a-f]{12}")
_FILE_NAME = re.compile(r"\w[\w.-]*")
_PIECES, _PIECE_BYTES = 64, 64 * 2**10

IN_MILVUS = ("milvus-flat", "milvus-hnsw")  # kinds of dense index whose vectors are not files


@dataclass(frozen=True, slots=True)
class IndexSpec:
    """What decides the content of an index besides the documents.

    Two indexes with equal specs may stand in for each other.
    """

    format: int
    embedder: str
    embedder_fingerprint: str
    dimension: int
    chunk_tokens: int
    overlap_tokens: int
    chunker_version: int
    tokenizer_version: int

    def differences(self, other: IndexSpec) -> list[str]:
        """Each difference that matters, with this spec's value and the other's.

        Another name for the same embedder does not matter.
        """
        differing = [item.name for item in fields(self) if getattr(self, item.name) != getattr(other, item.name)]
        if alike(self.embedder_fingerprint, other.embedder_fingerprint):
            differing = [name for name in differing if name not in ("embedder", "embedder_fingerprint")]
        return [f"{name}: {getattr(self, name)!r} in the index, {getattr(other, name)!r} now" for name in differing]

    def cuts_as(self, other: IndexSpec) -> bool:
        """Whether a document becomes the same chunks under both: the embedder's tokenizer counts for that too."""
        names = ("format", "chunk_tokens", "overlap_tokens", "chunker_version")
        same = all(getattr(self, name) == getattr(other, name) for name in names)
        return same and alike(self.embedder_fingerprint, other.embedder_fingerprint)


@dataclass(frozen=True, slots=True)
class DenseKind:
    """What kind the dense index is.

    `recall_at_10` was measured against exact search when it was built.
    """

    kind: str = "flat"  # or "pq", or one that is in Milvus
    # Vectors that a search compares after the codes, or keeps as candidates on its way through a graph
    rescored: int = 0
    recall_at_10: float = 1.0


@dataclass(frozen=True, slots=True)
class About:
    """What whoever lists a source says of it."""

    owner: str = ""
    ranks_lower: bool = False


@dataclass(frozen=True, slots=True)
class Collection:
    """One collection of an index.

    Its chunks are the rows from `first_row` on; `skipped` holds (path, reason) of files that were not read. `owner` and
    `ranks_lower` are what the list of sources says.
    """

    documents: int
    chunks: int
    first_row: int
    version: str
    licences: tuple[str, ...]
    updated: str  # when a build last changed it, UTC, ISO 8601
    skipped_count: int = 0
    skipped: tuple[tuple[str, str], ...] = ()
    owner: str = ""
    ranks_lower: bool = False

    @property
    def rows(self) -> tuple[int, int]:
        """Its first row and the one after its last."""
        return self.first_row, self.first_row + self.chunks


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file of a generation: its size, its SHA-256, and the SHA-256 of its pieces.

    Pieces are kept of a file that is too large to be hashed at each opening.
    """

    bytes: int
    sha256: str
    pieces_sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What manifest.json says. `files` names each file as GENERATION/NAME."""

    spec: IndexSpec
    generation: str
    created: str
    documents: int
    chunks: int
    dense: DenseKind
    collections: dict[str, Collection]
    files: dict[str, FileRecord]
    versions: dict[str, str] = field(default_factory=dict)  # of the libraries that wrote the files

    def as_json(self) -> str:
        """The text of manifest.json."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"


def spec_of(settings: RagSettings, embedder: TextEmbedder) -> IndexSpec:
    """The spec that an index built with these settings has.

    Raises SettingsError: chunks would not fit the embedder.
    """
    if settings.chunk_tokens > embedder.max_tokens:
        raise SettingsError(
            f"CHIPALIGN_CHUNK_TOKENS={settings.chunk_tokens} is more than the {embedder.max_tokens} tokens that "
            f"{embedder.name} reads: set it to at most {embedder.max_tokens}"
        )
    return IndexSpec(
        format=FORMAT,
        embedder=embedder.name,
        embedder_fingerprint=embedder.fingerprint,
        dimension=embedder.dimension,
        chunk_tokens=settings.chunk_tokens,
        overlap_tokens=settings.overlap_tokens,
        chunker_version=CHUNKER_VERSION,
        tokenizer_version=TOKENIZER_VERSION,
    )


def read_manifest(index_dir: Path) -> Manifest:
    """The manifest of the index in `index_dir`.

    Raises:
        IndexNotFound: there is no index.
        IndexCorrupt: the manifest cannot be read, or is not one of this program.
        IndexMismatch: the index has the format of another version of this program.
    """
    path = index_dir / MANIFEST
    try:
        if path.exists() and (not path.is_file() or path.stat().st_size > MAX_MANIFEST_BYTES):
            raise IndexCorrupt(
                f"{path} cannot be read (it is not a file, or one of over {MAX_MANIFEST_BYTES} bytes): build the index "
                "again"
            )
        data = parse_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise IndexNotFound(
            f"no index in {index_dir}: build one with `chipalign index build --out {index_dir} SOURCE...`"
        ) from None
    except OSError as error:
        raise IndexCorrupt(
            f"{path} cannot be read ({error.strerror or error}): check the folder, or build the index again"
        ) from error
    except ValueError as error:
        raise IndexCorrupt(f"{path} is not a manifest ({error}): build the index again") from error

    if (
        not isinstance(data, dict)
        or not isinstance(data.get("spec"), dict)
        or not isinstance(data["spec"].get("format"), int)
    ):
        raise IndexCorrupt(f"{path} is not a manifest of this program: build the index again")
    if (found := data["spec"]["format"]) != FORMAT:
        raise IndexMismatch(
            f"the index in {index_dir} has format {found}, this program reads {FORMAT}: build it again from its sources"
        )

    try:
        manifest: Manifest = convert(Manifest, data)
        if datetime.fromisoformat(manifest.created).tzinfo is None:
            raise ValueError(f"its time {manifest.created} has no zone")
    except ValueError as error:
        raise IndexCorrupt(f"{path} is not a manifest of this program ({error}): build the index again") from error

    for name in (*manifest.files, f"{manifest.generation}/file"):
        folder, _, file = name.partition("/")
        if folder != manifest.generation or not GENERATION.fullmatch(folder) or not _FILE_NAME.fullmatch(file):
            raise IndexCorrupt(
                f"the manifest in {index_dir} names the file {name!r} outside its folder: build the index again"
            )
    return manifest


def record_file(path: Path) -> FileRecord:
    """The record of a file as it lies on the disk."""
    size = path.stat().st_size
    return FileRecord(size, _hash_whole(path), _hash_pieces(path) if size > WHOLE_BYTES else "")


def check_files(index_dir: Path, manifest: Manifest, every_byte: bool = False) -> Iterator[str]:
    """Yield what is wrong with each file that differs from the one that was built.

    It compares size and hash; of a large file the hash of its pieces, unless `every_byte`.

    Raises OSError: a file is missing or cannot be read.
    """
    for name, record in manifest.files.items():
        path = index_dir / name
        if not stat.S_ISREG(path.lstat().st_mode):
            yield f"{path} is not the file that was built (it is a link, a folder or a device)"
        elif (size := path.stat().st_size) != record.bytes:
            yield f"{path} is not the file that was built (it has {size} bytes, not {record.bytes})"
        elif every_byte or record.bytes <= WHOLE_BYTES:
            if _hash_whole(path) != record.sha256:
                yield f"{path} is not the file that was built (its SHA-256 is another)"
        elif _hash_pieces(path) != record.pieces_sha256:
            yield f"{path} is not the file that was built (a part of it is another)"


def _hash_whole(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _hash_pieces(path: Path) -> str:
    """SHA-256 over 64 pieces of 64 KiB, spread evenly from the first byte to the last."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        last = path.stat().st_size - _PIECE_BYTES
        for number in range(_PIECES):
            handle.seek(last * number // (_PIECES - 1))
            digest.update(handle.read(_PIECE_BYTES))
    return digest.hexdigest()


def flush(path: Path) -> None:
    """Bring a file's content, or a folder's list of names, to the disk.

    A power cut must not leave a manifest over empty files.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
