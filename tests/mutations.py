"""Damaged documents: real ones of every format, in families that mutate into each other, with a few damages each.

The documents are the golden ones, the hostile ones and those made here. What has an outer form (a zip, XML in it, JSON,
a PDF's table of places) is mostly damaged within it: otherwise it would only be refused.

    for name, content in mutations("PDF", count=100, seed=1): ...
"""

from __future__ import annotations

import gzip
import io
import json
import random
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from lxml import etree

from tests.golden_files import GOLDEN, MADE
from tests.test_attack_documents import SIGNS

HOSTILE = Path(__file__).parent.parent / "data" / "eval" / "hostile"
FAMILIES = {  # by suffix
    "Markdown": ("md",),
    "reStructuredText": ("rst",),
    "text": ("txt",),
    "HTML": ("html",),
    "XML": ("xml",),
    "man page": ("1",),
    "LaTeX": ("tex",),
    "notebook": ("ipynb",),
    "PDF": ("pdf",),
    "Word": ("docx",),
    "Excel": ("xlsx",),
    "PowerPoint": ("pptx",),
    "OpenDocument": ("odt",),
    "scripts": ("tcl", "sh", "py", "pl", "il"),
    "hardware": ("v", "sv", "vhd", "sp"),
    "design data": ("lef", "lib", "def", "spef", "svrf", "lydrc", "tf", "lyp"),
    "settings": ("yaml", "toml", "json", "mk"),
    "reports": ("rpt", "log"),
    "tables": ("csv",),
    "archives": ("zip", "tar.gz", "md.gz"),
}
ZIPPED = ("docx", "xlsx", "pptx", "odt", "zip")
VALUES = ("", "0", "-1", "99999999999", "a", "true", "# a", "a b " * 500, "&#x202e;", "../../a", "{", "```", "1e9")
MOST_ELEMENTS = 20_000
TEXT = "Antenna violations are fixed with repair_antennas."


def documents(suffix: str) -> list[bytes]:
    """Whole documents of a suffix."""
    names = ("Makefile",) if suffix == "mk" else (f"*.{suffix}",)
    found = [path for folder in (GOLDEN / "documents", HOSTILE) for name in names for path in folder.glob(name)]
    made = [make() for name, make in MADE.items() if name.endswith(f".{suffix}")]
    archived = [ARCHIVES[suffix]()] if suffix in ARCHIVES else []
    return [path.read_bytes() for path in sorted(found)] + made + archived


def make_zip() -> bytes:
    """An archive of two documents."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("docs/a.md", f"# A\n\n{TEXT}\n")
        archive.writestr("docs/b.rst", f"B\n=\n\n{TEXT}\n")
    return stream.getvalue()


def make_tar() -> bytes:
    """An archive of two documents."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name in ("docs/a.md", "docs/b.txt"):
            info = tarfile.TarInfo(name)
            info.size = len(TEXT)
            tar.addfile(info, io.BytesIO(TEXT.encode()))
    return stream.getvalue()


ARCHIVES: dict[str, Callable[[], bytes]] = {
    "zip": make_zip,
    "tar.gz": make_tar,
    "md.gz": lambda: gzip.compress(TEXT.encode()),
}


def mutate(content: bytes, others: Sequence[bytes], signs: Sequence[str], chance: random.Random) -> bytes:
    """The content with one to eight damages: bytes changed, parts lost, doubled, repeated, exchanged, signs put in."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(data) + 1)
        end = min(len(data), at + int(chance.expovariate(1 / 40)))
        kind = chance.randrange(7)
        if kind == 0 and at < len(data):
            data[at] = chance.randrange(256)
        elif kind == 1:
            del data[at:end]
        elif kind == 2:
            data[at:at] = data[at:end] * chance.choice((1, 2, 50))
        elif kind == 3:
            data[at:at] = chance.choice(signs).encode() * chance.choice((1, 3, 300))
        elif kind == 4:
            other = chance.choice(others)
            start = chance.randrange(len(other) + 1)
            data[at:end] = other[start : start + 200]
        elif kind == 5:
            data[at:end] = chance.randbytes(end - at)
        elif chance.random() < 0.2:
            del data[at:]
    return bytes(data)


def mutate_part(content: bytes, chance: random.Random) -> bytes:
    """A zip with one of its parts damaged; of XML the elements, since a reader refuses what is no XML at once."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {part.filename: archive.read(part) for part in archive.infolist()}
    name = chance.choice(list(parts))
    is_tree = name.endswith((".xml", ".rels")) and chance.random() < 0.9
    others = list(parts.values())
    parts[name] = mutate_xml(parts[name], chance) if is_tree else mutate(parts[name], others, SIGNS["html"], chance)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for part_name, part in parts.items():
            archive.writestr(part_name, part)
    return stream.getvalue()


def mutate_xml(content: bytes, chance: random.Random) -> bytes:
    """XML with one to eight damages: elements lost, repeated, nested in themselves, exchanged, values changed."""
    root = etree.fromstring(content)
    for _ in range(chance.randint(1, 8)):
        element, other = (chance.choice(list(root.iter("*"))) for _ in range(2))
        parent = element.getparent()
        kind = chance.randrange(6)
        if kind == 0 and parent is not None:
            parent.remove(element)
        elif kind == 1:
            copies = min(chance.choice((1, 2, 50)), MOST_ELEMENTS // sum(1 for _ in element.iter()))
            other.extend([deepcopy(element) for _ in range(copies)])
        elif kind == 2 and parent is not None:
            for _ in range(min(chance.choice((1, 30)), MOST_ELEMENTS // sum(1 for _ in element.iter()))):
                parent.append(inner := deepcopy(element))
                parent = inner
        elif kind == 3 and element.attrib:
            element.set(chance.choice(list(element.attrib)), chance.choice(VALUES))
        elif kind == 4:
            element.tag = other.tag
        else:
            element.text = chance.choice(VALUES)
        if sum(1 for _ in root.iter()) > MOST_ELEMENTS:
            break
    return bytes(etree.tostring(root))


def mutate_json(content: bytes, chance: random.Random) -> bytes:
    """JSON with one to eight of its values lost, repeated, or exchanged for others of it."""
    root = json.loads(content)
    for _ in range(chance.randint(1, 8)):
        holders = [value for value in inner_values(root) if isinstance(value, dict | list) and value]
        if not holders:
            break
        holder, value = chance.choice(holders), chance.choice([*VALUES, *inner_values(root), None, 1e308, True])
        key = chance.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        if chance.random() < 0.2:
            del holder[key]
        elif isinstance(holder, list) and chance.random() < 0.3:
            holder += [deepcopy(holder[key])] * chance.choice((1, 50))
        elif isinstance(holder[key], str) and chance.random() < 0.5:
            holder[key] = mutate(holder[key].encode(), [content], SIGNS["md"], chance).decode("utf-8", "replace")
        else:
            holder[key] = deepcopy(value)
    return json.dumps(root).encode()


def inner_values(value: Any) -> Iterator[Any]:
    """A value and all within it."""
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from inner_values(inner)


def overwrite(content: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """The content with one to eight places overwritten, so that all that follows stays where it was."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(data))
        other = chance.choice(others)
        start = chance.randrange(len(other))
        part = other[start : start + chance.randint(1, 30)] if chance.random() < 0.7 else b"9" * chance.randint(1, 12)
        data[at : at + len(part)] = part
    return bytes(data)


def mutations(family: str, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """So many damaged files of a family, with their names."""
    chance = random.Random(f"{family} {seed}")
    suffixes = FAMILIES[family]
    known = {suffix: documents(suffix) for suffix in suffixes}
    everything = [content for contents in known.values() for content in contents]
    for number in range(count):
        suffix = suffixes[number % len(suffixes)]
        content = chance.choice(known[suffix])
        yield f"{number}.{suffix}", damage(content, suffix, everything, chance)


def damage(content: bytes, suffix: str, others: Sequence[bytes], chance: random.Random) -> bytes:
    """A damaged document; in four of five cases so that its outer form holds, and its reader comes to its inside."""
    if chance.random() < 0.8:
        if suffix in ZIPPED:
            return mutate_part(content, chance)
        if suffix == "pdf":
            return overwrite(content, others, chance)
        if suffix in ("ipynb", "json"):
            return mutate_json(content, chance)
    return mutate(content, others, SIGNS.get(suffix, SIGNS["txt"]), chance)
