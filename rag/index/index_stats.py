"""Counts what an index holds: documents, chunks, sizes, types, failures, age and the distribution of chunk lengths.

It changes nothing and judges nothing. Lengths are in characters, which need no tokenizer.

    stats = measure_index(Path("indexes/starter"))
    sys.stdout.write(describe_stats(stats))
    draw_lengths(stats, Path("lengths.png"))
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import numpy as np

from rag.counted import counted
from rag.documents import Chunk
from rag.errors import OutputUnwritable
from rag.formats.parser import format_of
from rag.index.document_list import DocumentRecord, read_documents
from rag.index.manifest import IN_MILVUS, Collection, DenseKind
from rag.index.opening import open_index
from rag.index.vector_store import FILES, VectorStore
from rag.printable import printable
from rag.sources.account import HELD, JOINED, NOT_READ, kind_of

_BINS = 16
_PAGES = re.compile(r"\bpages? (\d+(?:-\d+)?(?:, \d+(?:-\d+)?)*)(?: and more, (\d+) in all)?")
_BAR = 40  # characters of the longest bar
_SHOWN_FAILURES = 20


@dataclass(frozen=True, slots=True)
class TypeStats:
    """One type of file: its documents, those read in part or in a guessed encoding, and the files that were not read.

    `pages_unread` are pages that are pictures or damaged; `included` are files that are read in the one that includes
    them; `copies` are chunks whose text another document has too, so that a search finds them once. Files that a
    collection counts without their names (`rag.index.manifest.MAX_SKIPPED`) are in no type.
    """

    documents: int
    chunks: int
    in_part: int
    encoding_guessed: int
    not_read: int
    pages_unread: int = 0
    included: int = 0
    copies: int = 0


@dataclass(frozen=True, slots=True)
class CollectionStats:
    """One collection. `text_bytes` are those of its chunks' lines on the disk, `vector_bytes` those of its vectors."""

    documents: int
    chunks: int
    characters: int
    text_bytes: int
    vector_bytes: int
    types: dict[str, int]
    version: str
    licences: tuple[str, ...]
    updated: str
    skipped_count: int
    skipped: tuple[tuple[str, str], ...]
    owner: str
    ranks_lower: bool


@dataclass(frozen=True, slots=True)
class IndexStats:
    """The whole index.

    `chunk_lengths` maps names (median, p95, ...) to characters; `histogram` holds (from, below, chunks).
    """

    index_dir: str
    created: str
    age_s: int
    documents: int
    chunks: int
    bytes: int
    files: dict[str, int]
    embedder: str
    dense: DenseKind
    vectors: str  # where they lie: "faiss", or the address of the Milvus
    types: dict[str, int]
    by_type: dict[str, TypeStats]
    reasons: dict[str, int]  # why files were not read, or only in part, numbers left out
    collections: dict[str, CollectionStats]
    chunk_lengths: dict[str, int]
    histogram: list[tuple[int, int, int]]


def measure_index(index_dir: Path, now: datetime | None = None, store: VectorStore = FILES) -> IndexStats:
    """Count what the index in `index_dir` holds.

    Raises what `open_index` raises.
    """
    index = open_index(index_dir, store=store)
    manifest = index.manifest
    records = read_documents(index_dir / manifest.generation)
    types = {
        name: Counter(type_of(record.path) for record in records if record.collection == name)
        for name in manifest.collections
    }
    characters = Counter(
        {
            name: sum(record.characters for record in records if record.collection == name)
            for name in manifest.collections
        }
    )

    lengths = np.array([len(chunk.text) for chunk in index.chunks])
    age = (now or datetime.now(UTC)) - datetime.fromisoformat(manifest.created)

    return IndexStats(
        index_dir=str(index_dir),
        created=manifest.created,
        age_s=round(age.total_seconds()),
        documents=manifest.documents,
        chunks=manifest.chunks,
        bytes=sum(record.bytes for record in manifest.files.values()),
        files={Path(name).name: record.bytes for name, record in manifest.files.items()},
        embedder=manifest.spec.embedder,
        dense=manifest.dense,
        vectors=index.dense.place or "faiss",
        types=dict(sum(types.values(), Counter()).most_common()),
        by_type=_count_types(records, manifest.collections.values(), _find_copies(index.chunks)),
        reasons=dict(_count_reasons(manifest.collections.values()).most_common()),
        collections={
            name: _measure_collection(
                entry, types[name], characters[name], index.chunks.bytes_of(*entry.rows), manifest.spec.dimension
            )
            for name, entry in manifest.collections.items()
        },
        chunk_lengths={
            "shortest": int(lengths.min()),
            "median": round(np.median(lengths)),
            "p95": round(np.quantile(lengths, 0.95)),
            "longest": int(lengths.max()),
        },
        histogram=count_lengths(lengths.tolist()),
    )


def _measure_collection(
    entry: Collection, types: Counter[str], characters: int, text_bytes: int, dimension: int
) -> CollectionStats:
    return CollectionStats(
        documents=entry.documents,
        chunks=entry.chunks,
        characters=characters,
        text_bytes=text_bytes,
        vector_bytes=entry.chunks * dimension * 4,  # float32
        types=dict(types.most_common()),
        version=entry.version,
        licences=entry.licences,
        updated=entry.updated,
        skipped_count=entry.skipped_count,
        skipped=entry.skipped,
        owner=entry.owner,
        ranks_lower=entry.ranks_lower,
    )


def _find_copies(chunks: Iterable[Chunk]) -> Counter[str]:
    """By type, the chunks whose text a chunk of another document before them has."""
    first: dict[bytes, tuple[str, str]] = {}
    copies = Counter[str]()
    for chunk in chunks:
        key = hashlib.sha256(" ".join(chunk.text.split()).encode("utf-8", "surrogatepass")).digest()
        document = (chunk.collection, chunk.path)
        copies[type_of(chunk.path)] += first.setdefault(key, document) != document
    return copies


def count_pages(reason: str) -> int:
    """How many pages a reason names as not read: "of pages 1, 4-6 the pictures are not read" names four."""
    count = 0
    for listed, total in _PAGES.findall(reason):
        ranges = (part.partition("-") for part in listed.split(", "))
        count += int(total) if total else sum(int(last or first) - int(first) + 1 for first, _, last in ranges)
    return count


def _count_types(
    records: Sequence[DocumentRecord], collections: Iterable[Collection], copies: Counter[str]
) -> dict[str, TypeStats]:
    """The types, the one with the most documents first."""
    documents = Counter(type_of(record.path) for record in records)
    chunks = Counter[str]()
    for record in records:
        chunks[type_of(record.path)] += record.chunks
    indexed = {record.name for record in records}
    in_part, guessed, not_read, included, pages = (Counter[str]() for _ in range(5))
    for entry in collections:
        for path, reason in entry.skipped:
            kind, files = type_of(path), 1
            if path in indexed:
                counted = guessed if reason.startswith("read as ") else in_part
                pages[kind] += count_pages(reason)
            elif joined := JOINED.match(reason):  # one entry for all files of a type that is not read
                counted, files = not_read, int(joined[1])
            else:
                counted = included if reason.startswith(HELD) else not_read
            counted[kind] += files
    names = [name for name, _ in documents.most_common()]
    names += [name for name, _ in (not_read + included).most_common() if name not in documents]
    return {
        name: TypeStats(
            documents[name],
            chunks[name],
            in_part[name],
            guessed[name],
            not_read[name],
            pages[name],
            included[name],
            copies[name],
        )
        for name in names
    }


def _count_reasons(collections: Iterable[Collection]) -> Counter[str]:
    """How many files each kind of reason has."""
    counts = Counter[str]()
    for entry in collections:
        for _, reason in entry.skipped:
            kind, files = kind_of(reason)
            counts[kind] += files
    return counts


def type_of(path: str) -> str:
    """The name of a document's format; for a path of none that is read, its suffix."""
    found = format_of(path)
    return found.name if found else PurePosixPath(path).suffix.lower() or "no suffix"


def count_lengths(lengths: Sequence[int]) -> list[tuple[int, int, int]]:
    """A histogram of lengths as (from, below, number).

    Its steps are equal and of a round length, and cover all lengths in at most `_BINS` steps.
    """
    step = next(
        step for power in range(1, 10) for base in (1, 2, 5) if max(lengths) < (step := base * 10**power) * _BINS
    )
    counts = Counter(length // step for length in lengths)
    return [(number * step, (number + 1) * step, counts[number]) for number in range(max(counts) + 1)]


def describe_stats(stats: IndexStats) -> str:
    """The stats as text, some twenty lines."""
    lines = [
        (
            f"{printable(stats.index_dir)}: {counted(stats.documents, 'document')}, {counted(stats.chunks, 'chunk')}, "
            f"{describe_bytes(stats.bytes)}, {describe_age(stats.age_s)} old"
        ),
        f"embedder {printable(stats.embedder)}, dense search {_describe_dense(stats)}",
        "",
        f"{'type':<18} {'documents':>9}  {'included':>8}  {'chunks':>7}  {'copies':>6}  {'in part':>7}  "
        f"{'pages unread':>12}  {'guessed':>7}  {'not read':>8}",
        *(
            f"{printable(name):<18} {found.documents:>9}  {found.included:>8}  {found.chunks:>7}  {found.copies:>6}  "
            f"{found.in_part:>7}  {found.pages_unread:>12}  {found.encoding_guessed:>7}  {found.not_read:>8}"
            for name, found in stats.by_type.items()
        ),
        "",
        f"{'collection':<24} {'documents':>9} {'chunks':>7} {'size':>9}  {'updated':<10}  {'skipped':>7}  licence",
    ]

    for name, entry in stats.collections.items():
        size = describe_bytes(entry.text_bytes + entry.vector_bytes)
        licences = printable(", ".join(entry.licences))
        counts = f"{entry.documents:>9} {entry.chunks:>7} {size:>9}  {entry.updated[:10]:<10}  {entry.skipped_count:>7}"
        owner = f", owner {printable(entry.owner)}" if entry.owner else ""
        rank = ", ranks lower" if entry.ranks_lower else ""
        lines.append(f"{printable(name):<24} {counts}  {licences}{owner}{rank}")

    lines += ["", *_describe_failures(stats), f"chunk lengths in characters: {_listed(stats.chunk_lengths)}"]
    most = max(count for _, _, count in stats.histogram)
    lines += [
        f"  {low:>6} to {high - 1:<6} {'█' * round(_BAR * count / most):<{_BAR}} {count}"
        for low, high, count in stats.histogram
    ]
    return "\n".join(lines) + "\n"


def _describe_dense(stats: IndexStats) -> str:
    dense, place = stats.dense, f" in Milvus at {printable(stats.vectors)}" if stats.dense.kind in IN_MILVUS else ""
    if dense.kind in ("flat", IN_MILVUS[0]):
        return f"exact (flat){place}"
    recall = f"recall@10 {dense.recall_at_10:.3f} of exact search"
    if place:
        return f"through a graph{place} ({dense.rescored} candidates), {recall}"
    return f"by codes ({dense.kind}, {dense.rescored} vectors compared), {recall}"


def _describe_failures(stats: IndexStats) -> list[str]:
    failures = [failure for entry in stats.collections.values() for failure in entry.skipped]
    failures.sort(key=lambda failure: NOT_READ in failure[1] or failure[1].startswith("read as "))  # the others first
    total = sum(entry.skipped_count for entry in stats.collections.values())
    if not total:
        return ["every file could be read", ""]
    lines = [
        f"not read, read in part, or read in an encoding that was guessed: {counted(total, 'file')}",
        *(f"  {count:>5} {printable(reason)}" for reason, count in stats.reasons.items()),
        "",
        *(f"  {printable(path)}: {printable(reason)}" for path, reason in failures[:_SHOWN_FAILURES]),
    ]
    return [*lines, *(["  ... (--json lists them)"] if total > _SHOWN_FAILURES else []), ""]


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{printable(name)} {count}" for name, count in counts.items())


def describe_bytes(count: int) -> str:
    """A size in the decimal units of disks: 24.1 MB."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


def describe_age(seconds: int) -> str:
    """A time span in its largest unit: 3 hours."""
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}{'s' if seconds >= 2 * size else ''}"
    return "less than a minute"


def draw_lengths(stats: IndexStats, path: Path) -> None:
    """Write the histogram of chunk lengths as a PNG.

    Raises OutputUnwritable.
    """
    from matplotlib.figure import Figure  # without pyplot, which keeps global state

    figure = Figure(figsize=(9.0, 5.0), layout="constrained")
    axes = figure.add_subplot()
    starts = [low for low, _, _ in stats.histogram]
    axes.bar(
        starts,
        [count for _, _, count in stats.histogram],
        width=stats.histogram[0][1] * 0.95,
        align="edge",
        color="#0072B2",
    )
    for name in ("median", "p95"):
        axes.axvline(
            stats.chunk_lengths[name],
            color="#D55E00",
            linestyle="-" if name == "median" else "--",
            label=f"{name} {stats.chunk_lengths[name]}",
        )
    axes.set_xlabel("characters of a chunk")
    axes.set_ylabel("chunks")
    axes.set_title(f"{stats.chunks} chunks of {stats.documents} documents")
    axes.legend()
    try:
        figure.savefig(path, format="png", dpi=130, metadata={"Software": None})
    except OSError as error:
        raise OutputUnwritable(
            f"the picture {path} cannot be written ({error.strerror or error}): name a file in a folder you can write"
        ) from error
