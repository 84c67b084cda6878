"""Attack on an index's files: whatever stands in them, opening and using the index ends in an answer or in one sentence
of ours.

A file is changed at random, with its hash in the manifest as it was or made anew, so that the readers behind it are
reached too.
"""

from __future__ import annotations

import gc
import json
import os
import random
import resource
import struct
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from rag.errors import IndexCorrupt, IndexMismatch, IndexNotFound
from rag.formats.parser import parse_document
from rag.index.building import build_index
from rag.index.dense import DenseIndex
from rag.index.index_content import OldIndex, keep
from rag.index.index_stats import describe_stats, measure_index
from rag.index.manifest import MANIFEST, read_manifest, record_file
from rag.index.opening import open_index, verify_index
from rag.search.retriever import Retriever
from rag.settings import RagSettings
from tests.attack import Attack
from tests.rows import for_each
from tests.tiny_embedder import TinyEmbedder

TINY = RagSettings(home=Path("unused"), min_relevance=0.0, min_hit_score=-1.0)
EMBEDDER = TinyEmbedder()
ALLOWED = (IndexCorrupt, IndexMismatch, IndexNotFound)
MOST_MIB = 256  # more memory than before, over all tries: the index has 100 KB
SYNOPSIS = "```tcl\nrepair_timing [-hold]\n```"
TABLE = "| Abbreviation | Expansion |\n|---|---|\n| WNS | worst negative slack |"
WORDS = ("antenna diode", "hold buffer", "power strap", "scan chain", "reset flop", "clock gate", "filler cell")

# What may stand in the place of any value, as it is written in JSON.
VALUES = [
    *("null", "true", "0", "-1", "1", "3", "1e308", "-1e308", "NaN", "-Infinity", "0.5"),
    *(str(2**31), str(2**63 - 1), str(2**63), str(10**30), "9" * 5000),
    *('""', '"x"', '"../../../etc/passwd"', '"/etc/passwd"', r'"\ud800"', r'"\u0000\u001b[31m"'),
    *('"generation-000000000000"', '"pq"', '"milvus-hnsw"'),
    *("[]", "{}", "[[]]", '[1, "a"]', '{"a": {}}', "[" * 50_000 + "]" * 50_000, '{"a":' * 5_000 + "1" + "}" * 5_000),
]
HEADERS = [
    "{'descr': '|O', 'fortran_order': False, 'shape': (3,), }",
    "{'descr': '<i8', 'fortran_order': False, 'shape': (999999999999999,), }",
    "{'descr': '<i8', 'fortran_order': False, 'shape': (-3,), }",
    "{'descr': '<i8', 'fortran_order': True, 'shape': (3, 999999999), }",
    "{'descr': '|V0', 'fortran_order': False, 'shape': (9999999999,), }",
    "{'descr': [('a', '<i8', (99999, 99999))], 'fortran_order': False, 'shape': (3,), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (), }",
    "{'descr': '<i8', 'fortran_order': False, 'shape': " + "(" * 200 + ")" * 200 + ", }",
    "__import__('os').abort()",
]
NUMBERS = [0, 1, -1, 2**31 - 1, 2**31, 2**62, -(2**63)]


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A small index whose vectors are searched whole, and the same with codes, as a large one has them."""
    folder = tmp_path_factory.mktemp("attacked")
    documents = [
        parse_document(
            "router" if number % 2 else "timer",
            f"{number}.md",
            f"Note {number}",
            f"# Note {number}\n\nOn {WORDS[number % 7]}.\n",
            None,
            "ISC",
        )
        for number in range(20)
    ]
    documents.append(parse_document("words", "g.md", "Words", f"# Words\n\n{TABLE}\n\n{SYNOPSIS}\n", None, "ISC"))
    for name in ("flat", "codes"):
        build_index(documents, folder / name, TINY, EMBEDDER)
    index = open_index(folder / "codes")
    dense = DenseIndex.build(index.dense.vectors(range(index.chunk_count)), flat_limit=2)
    dense.save(folder / "codes" / index.manifest.generation / "dense.faiss")
    edit_manifest(folder / "codes", lambda manifest: manifest.update(dense=asdict(dense.kind)))
    sign(folder / "codes", "dense.faiss", "dense.codes.faiss")
    for name in ("flat", "codes"):
        use(folder / name)
    return [folder / "flat", folder / "codes"]


def edit_manifest(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    edit(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def sign(folder: Path, *names: str) -> None:
    """Have the manifest say that these files of the generation are the ones that were built."""
    generation = read_manifest(folder).generation
    records = {f"{generation}/{name}": asdict(record_file(folder / generation / name)) for name in names}
    edit_manifest(folder, lambda manifest: manifest["files"].update(records))


def use(folder: Path, further: int = 0) -> None:
    """What is done with an index that somebody has built: search it, read its passages, and count, verify or build upon
    it.
    """
    retriever = Retriever.open_with(EMBEDDER, folder, TINY)
    for hit in [
        *retriever.search("What is the WNS of a hold buffer, and report the scan chain?"),
        *retriever.within(["router"]).search("diode"),
    ]:
        json.dumps(asdict(hit), allow_nan=False, ensure_ascii=False).encode()
        retriever.chunk(hit.chunk.chunk_id)
    retriever.reference.lookup("repair_timing")
    if further == 0:
        describe_stats(measure_index(folder))
    elif further == 1:
        verify_index(folder)
    else:
        old = OldIndex.of(open_index(folder), folder)
        keep(old.others({"timer"}), old)


def change_bytes(content: bytes, seed: random.Random) -> bytes:
    """Bytes changed, cut off, doubled or put in."""
    at = seed.randrange(len(content) + 1)
    length = seed.choice((1, 8, 64, 1000))
    kind = seed.randrange(4)
    if kind == 0:
        return content[:at] + seed.randbytes(length) + content[at + length :]
    if kind == 1:
        return content[:at]
    return content[:at] + (content[at : at + length] if kind == 2 else seed.randbytes(length)) + content[at:]


def change_json(content: bytes, seed: random.Random) -> bytes:
    """One value, anywhere in it, replaced by another one, left out, or given a name that is not known; of lines one of
    them.
    """
    lines = content.split(b"\n")
    whole = len(lines) < 3 or not lines[1].startswith(b"{")
    row = 0 if whole else seed.randrange(len(lines) - 1)
    data = json.loads(content if whole else lines[row])
    inside, key = data, None
    places: list[tuple[Any, Any]] = []
    stack = [data]
    while stack:
        inside = stack.pop()
        keys = (
            list(inside) if isinstance(inside, dict) else list(range(len(inside))) if isinstance(inside, list) else []
        )
        places += [(inside, key) for key in keys]
        stack += [inside[key] for key in keys]
    if not places:
        return seed.choice(VALUES).encode()
    inside, key = seed.choice(places)
    kind = seed.randrange(6)
    if kind == 0:
        del inside[key]
    elif kind == 1 and isinstance(inside, dict):
        inside[seed.choice(("more", "", "../x", "\x1b[31m"))] = inside.pop(key)
    else:
        inside[key] = "@@@"
    text = json.dumps(data).replace('"@@@"', seed.choice(VALUES)).encode()
    return text if whole else b"\n".join([*lines[:row], text, *lines[row + 1 :]])


def change_array(content: bytes, seed: random.Random) -> bytes:
    """Another header, or numbers at the ends of what their type can hold."""
    if seed.random() < 0.5:
        header = seed.choice(HEADERS).encode()
        header += b" " * (-(len(header) + 11) % 64) + b"\n"
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content[128:]
    at = 128 + seed.randrange(max(len(content) - 128, 1)) // 8 * 8
    number = (
        struct.pack("<q", seed.choice(NUMBERS))
        if seed.random() < 0.7
        else struct.pack("<ff", float("nan"), float("inf"))
    )
    return content[:at] + number[: len(content) - at] + content[at + 8 :]


def change_faiss(content: bytes, seed: random.Random) -> bytes:
    """Another kind of FAISS's indexes, or a field of the header or a number that cannot be."""
    if seed.random() < 0.3:
        return (
            seed.choice((b"IxF2", b"IHNf", b"IwFl", b"IxPq", b"IxMp", b"IBwF", b"IPfs", b"IxFI", b"Iw4r")) + content[4:]
        )
    at = seed.choice(
        (4, 8, 16, 24, 32, 33, 37, 45, 53, 61, seed.randrange(len(content)), len(content) - seed.randrange(60))
    )
    number = seed.choice(
        (struct.pack("<q", seed.choice(NUMBERS)), struct.pack("<f", float("nan")), struct.pack("<f", float("inf")))
    )
    return content[:at] + number + content[at + len(number) :]


def changed(path: Path, seed: random.Random) -> bytes:
    """The file's content with one change that fits its kind."""
    content = path.read_bytes()
    if seed.random() < 0.4:
        return change_bytes(content, seed)
    change = {".json": change_json, ".jsonl": change_json, ".npy": change_array, ".faiss": change_faiss}[path.suffix]
    return change(content, seed)


@pytest.fixture
def collected_by_hand() -> Iterator[None]:
    """No garbage is collected by itself: deep inside JSON whoever listens to that finds no depth left."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.attack
@pytest.mark.usefixtures("collected_by_hand")
def test_whatever_stands_in_an_index_it_is_an_answer_or_one_sentence(attack: Attack, indexes: list[Path]) -> None:
    failures, tries = [], attack.times(400, full=4_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(tries):
        seed = random.Random(number)
        folder = indexes[number % 2]
        manifest = folder / MANIFEST
        files = [manifest, *sorted((folder / read_manifest(folder).generation).iterdir())]
        path = files[number // 2 % len(files)]
        whole, built = path.read_bytes(), manifest.read_bytes()
        path.write_bytes(changed(path, seed))
        if path != manifest and seed.random() < 0.8:
            sign(folder, path.name)
        try:
            use(folder, seed.randrange(3))
        except ALLOWED as error:
            if "\n" in str(error) or len(str(error)) > 2000:
                failures.append(f"try {number}, {path.name}: a sentence of {len(str(error))} characters")
        except Exception as error:
            failures.append(f"try {number}, {path.name}: {type(error).__name__}: {error}"[:300])
        path.write_bytes(whole)
        manifest.write_bytes(built)
        if number % 100 == 0:
            gc.collect()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < MOST_MIB
    attack.report("changed files of an index", tries, failures)


@for_each("kind", ["link", "link outside", "pipe", "folder"])
@for_each("name", ["chunks.jsonl", "vocabulary.json", "dense.faiss", MANIFEST])
def test_what_is_not_a_file_of_the_index_is_never_read(indexes: list[Path], name: str, kind: str) -> None:
    [path] = indexes[0].rglob(name)
    whole = path.read_bytes()
    aside = path.with_name("aside")
    path.rename(aside)
    try:
        if kind == "folder":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to(aside if kind == "link" else "/etc/hostname")
        if (name, kind) == (MANIFEST, "link"):
            use(indexes[0])  # an index may be chosen by a link
        else:
            with pytest.raises(IndexCorrupt):
                use(indexes[0])
    finally:
        path.rmdir() if kind == "folder" else path.unlink()
        aside.rename(path)
    assert path.read_bytes() == whole


def test_a_file_that_the_manifest_does_not_name_is_not_opened(indexes: list[Path]) -> None:
    built = (indexes[0] / MANIFEST).read_bytes()
    try:
        edit_manifest(indexes[0], lambda manifest: manifest["files"].clear())
        with pytest.raises(IndexCorrupt, match=r"does not name .*'bm25_indptr\.npy'"):
            open_index(indexes[0])
    finally:
        (indexes[0] / MANIFEST).write_bytes(built)


def test_numbers_that_are_none_end_a_search_in_one_sentence(indexes: list[Path]) -> None:
    path = next(indexes[0].rglob("dense.faiss"))
    whole, built = path.read_bytes(), (indexes[0] / MANIFEST).read_bytes()
    try:
        path.write_bytes(whole[:45] + struct.pack("<f", float("nan")) * ((len(whole) - 45) // 4))
        sign(indexes[0], path.name)
        with pytest.raises(IndexCorrupt, match="numbers that are none"):
            Retriever.open_with(EMBEDDER, indexes[0], TINY).search("hold buffer")
    finally:
        path.write_bytes(whole)
        (indexes[0] / MANIFEST).write_bytes(built)
