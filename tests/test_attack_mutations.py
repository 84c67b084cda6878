"""The fuzz of reading: real documents of every format, damaged at random, go through a whole build.

None may crash or hang its reader, end the build, or be lost in silence. `make fuzz-documents` tries 5,000 of each
family.
"""

from __future__ import annotations

import gzip
import io
import random
import resource
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import docx
import numpy as np
import pytest
from reportlab.pdfgen.canvas import Canvas

from rag.commands.build_commands import read_sources
from rag.documents import Skipped
from rag.embedding.embedder import Embedded, Progress
from rag.errors import SourceUnusable
from rag.index.building import build_index
from rag.settings import RagSettings
from tests.attack import Attack
from tests.test_attack_documents import SIGNS
from tests.tiny_embedder import DIMENSION, TinyEmbedder

DATA = Path(__file__).parent.parent / "data"
BATCH = 100  # files of a build
LIMIT_S = 20.0  # a mutated file has some KB
FAMILIES = {  # by suffix; what mutates into each other
    "Markdown": ("md",),
    "reStructuredText": ("rst",),
    "text": ("txt",),
    "HTML": ("html",),
    "man page": ("1",),
    "PDF": ("pdf",),
    "Word": ("docx",),
    "scripts": ("tcl", "sh", "py"),
    "hardware": ("v", "sv", "vhd"),
    "design data": ("lef", "lib", "def", "spef"),
    "tables": ("csv",),
    "archives": ("zip", "tar.gz", "md.gz"),
}
MADE = {
    "sh": b'#!/bin/sh\n# Runs the flow.\nroute() {\n  global_route -allow_congestion\n}\nroute "$@"\n',
    "vhd": b"-- A register.\nentity reg is port (clk : in bit; q : out bit); end;\narchitecture a of reg is end;\n",
    "def": b"VERSION 5.8 ;\nDESIGN top ;\nCOMPONENTS 2 ;\n- U1 INVX1 ;\n- U2 BUFX2 ;\nEND COMPONENTS\nEND DESIGN\n",
    "spef": b'*SPEF "IEEE 1481-1998"\n*DESIGN "top"\n*NAME_MAP\n*1 net\n*D_NET *1 0.5\n*CAP\n1 *1 0.5\n*END\n',
}


class OneDirection(TinyEmbedder):
    """Gives every text the same vector: what is embedded does not matter here, and takes no time."""

    def embed_tokens(self, texts: Sequence[str], progress: Progress | None = None) -> Iterator[Embedded]:
        vector = np.full(DIMENSION, DIMENSION**-0.5, dtype=np.float32)
        for row in range(len(texts)):
            yield Embedded(row, vector, np.zeros(1, dtype=np.int64), vector[None])


def seeds(suffix: str) -> list[bytes]:
    """Whole documents of a suffix: ours, with headings, tables, lists and code."""
    found = [
        path.read_bytes() for folder in ("handbook", "eval/hostile") for path in (DATA / folder).glob(f"*.{suffix}")
    ]
    return sorted(content[: 16 * 2**10] for content in found) + ([MADE[suffix]] if suffix in MADE else [])


def made(suffix: str) -> list[bytes]:
    """Documents of a suffix whose files are made here."""
    stream, text = io.BytesIO(), "Antenna violations are fixed with repair_antennas."
    if suffix == "pdf":
        canvas = Canvas(stream, invariant=True)
        for number in range(3):
            canvas.drawString(60, 700, f"{number + 1} Section")
            canvas.drawString(60, 680, text)
            canvas.line(60, 600, 400, 600)
            canvas.showPage()
        canvas.save()
    elif suffix == "docx":
        document = docx.Document()
        document.add_heading("Section", 1)
        document.add_paragraph(text)
        document.add_table(2, 2).cell(0, 0).text = "option"
        document.save(stream)
    elif suffix == "zip":
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("docs/a.md", f"# A\n\n{text}\n")
            archive.writestr("docs/b.rst", f"B\n=\n\n{text}\n")
    elif suffix == "tar.gz":
        with tarfile.open(fileobj=stream, mode="w:gz") as tar:
            for name in ("docs/a.md", "docs/b.txt"):
                info = tarfile.TarInfo(name)
                info.size = len(text)
                tar.addfile(info, io.BytesIO(text.encode()))
    else:
        stream.write(gzip.compress(text.encode()))
    return [stream.getvalue()]


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


def mutations(family: str, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """So many damaged files of a family, with their names."""
    chance = random.Random(f"{family} {seed}")
    suffixes = FAMILIES[family]
    known = {suffix: seeds(suffix) or made(suffix) for suffix in suffixes}
    everything = [content for contents in known.values() for content in contents]
    for number in range(count):
        suffix = suffixes[number % len(suffixes)]
        signs = SIGNS.get(suffix) or SIGNS["txt"]
        yield f"{number}.{suffix}", mutate(chance.choice(known[suffix]), everything, signs, chance)


def build_all(files: dict[str, bytes], folder: Path) -> list[str]:
    """Build an index of these files, with a good one; what went wrong, by file."""
    docs = folder / "docs"
    docs.mkdir(parents=True)
    for name, content in files.items():
        (docs / name).write_bytes(content)
    (docs / "good.md").write_text("# Good\n\nAntenna violations are fixed with repair_antennas.\n")
    settings = RagSettings(home=folder / "home", parse_timeout_s=LIMIT_S, parse_s_per_mb=0)
    skipped: list[Skipped] = []
    try:
        documents = read_sources([str(docs)], settings, skipped)
        build_index(documents, folder / "index", settings, OneDirection(), skipped=skipped)
    except SourceUnusable as error:
        return [f"the good file is lost: {error}"]
    except Exception as error:
        return [f"the build ended: {type(error).__name__}: {error}"]
    reasons = {item.path.split("/")[1]: item.reason for item in skipped}
    known = {document.path.split("/")[0] for document in documents} | reasons.keys()
    lost = [f"{name} is neither read nor named" for name in files if name not in known and is_listed(docs / name)]
    bad = ("crashed", "takes longer", "more memory", "exit code")
    return lost + [f"{name}: {reason}" for name, reason in reasons.items() if any(word in reason for word in bad)]


def is_listed(file: Path) -> bool:
    """Whether a file can have documents: an archive may be damaged to one that is whole and empty."""
    return not file.name.endswith((".zip", ".tar.gz"))


@pytest.mark.attack
def test_damaged_documents_are_read_or_named_and_end_no_build(attack: Attack, tmp_path: Path) -> None:
    count = attack.times(12, full=5000)
    for family in FAMILIES:
        failures: list[str] = []
        damaged = mutations(family, count, seed=1)
        for number in range(-(-count // BATCH)):
            files = dict(islice(damaged, BATCH))
            failures += [f"{family} {problem}" for problem in build_all(files, tmp_path / f"{family}{number}")]
        attack.report(f"damaged files: {family}", count, failures)
    peaks = [resource.getrusage(who).ru_maxrss // 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    sys.stderr.write(f"peak memory of the build and of a child: {peaks} MiB\n")
