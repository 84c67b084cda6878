"""The fuzz of reading: real documents of every format, damaged at random, go through a whole build.

None may crash or hang its reader, end the build, or be lost in silence. `make fuzz-documents` tries 5,000 of each
family, each family in a process of its own, and shows how many were refused and what memory they took.
"""

from __future__ import annotations

import resource
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from rag.commands.build_commands import read_sources
from rag.documents import Skipped
from rag.embedding.embedder import Embedded, Progress
from rag.embedding.token_counter import TokenCounter
from rag.errors import SourceUnusable
from rag.formats.parser import FORMATS
from rag.index.building import build_index
from rag.settings import RagSettings
from tests.attack import Attack
from tests.mutations import FAMILIES, mutations
from tests.tiny_embedder import DIMENSION, TinyEmbedder

BATCH = 250  # files of a build
MOST_MEMORY_MIB = 1144  # 1.2 GB: a build and its children together, beside the model
LIMITS = ("takes longer", "more memory")
ENDINGS = (*LIMITS, "crashed", "exit code")


class OneDirection(TinyEmbedder):
    """Gives every text the same vector: what is embedded does not matter here, and takes no time."""

    counter = TokenCounter()  # so that documents are cut in children

    def count_tokens(self, text: str) -> int:
        return OneDirection.counter.count(text)

    def embed_tokens(self, texts: Sequence[str], progress: Progress | None = None) -> Iterator[Embedded]:
        vector = np.full(DIMENSION, DIMENSION**-0.5, dtype=np.float32)
        for row in range(len(texts)):
            yield Embedded(row, vector, np.zeros(1, dtype=np.int64), vector[None])


@dataclass
class Outcome:
    """What became of a family: files that gave no text, files that met a limit, and what went wrong.

    `peak_mib` is of the build with as many children as it has at a time, each at the peak of the largest.
    """

    refused: int = 0
    limits: int = 0
    failures: list[str] = field(default_factory=list)
    peak_mib: int = 0


def build_all(files: dict[str, bytes], folder: Path) -> Outcome:
    """Build an index of these files, with a good one."""
    docs = folder / "docs"
    docs.mkdir(parents=True)
    for name, content in files.items():
        (docs / name).write_bytes(content)
    (docs / "good.md").write_text("# Good\n\nAntenna violations are fixed with repair_antennas.\n")
    settings = RagSettings(home=folder / "home")
    skipped: list[Skipped] = []
    try:
        documents = read_sources([str(docs)], settings, skipped)
        build_index(documents, folder / "index", settings, OneDirection(), skipped=skipped)
    except SourceUnusable as error:
        return Outcome(failures=[f"the good file is lost: {error}"])
    except Exception as error:
        return Outcome(failures=[f"the build ended: {type(error).__name__}: {error}"])
    read = {document.path.split("/")[0] for document in documents}
    named = {item.path.split("/")[1] for item in skipped}
    lost = [f"{name} is neither read nor named" for name in files if name not in read | named and is_listed(name)]
    ended = [f"{item.path}: {item.reason}" for item in skipped if any(word in item.reason for word in ENDINGS)]
    limits = sum(1 for item in skipped if any(word in item.reason for word in LIMITS))
    return Outcome(len(files.keys() - read), limits, lost + ended)


def is_listed(name: str) -> bool:
    """Whether a file must have documents or a reason: an archive may be damaged to one that is whole and empty."""
    return not name.endswith((".zip", ".tar.gz"))


def try_family(family: str, count: int, folder: Path) -> Outcome:
    """Build indexes of so many damaged files."""
    damaged, whole = mutations(family, count, seed=1), Outcome()
    for number in range(-(-count // BATCH)):
        part = build_all(dict(islice(damaged, BATCH)), folder / f"{family}{number}")
        whole.refused += part.refused
        whole.limits += part.limits
        whole.failures += part.failures
    build, child = (
        resource.getrusage(who).ru_maxrss // 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    whole.peak_mib = build + RagSettings().workers * child  # it cuts when all is read
    return whole


def try_apart(family: str, count: int, folder: Path) -> Outcome:
    """The same in a process of its own, so that its memory is seen by itself."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(try_family, family, count, folder).result()


@pytest.mark.attack
@pytest.mark.parametrize("family", list(FAMILIES))
def test_damaged_documents_are_read_or_named_and_end_no_build(family: str, attack: Attack, tmp_path: Path) -> None:
    count = attack.times(12, full=5000)
    found = (try_apart if attack.is_full else try_family)(family, count, tmp_path)
    sys.stderr.write(
        f"{family}: {count} files, {found.refused} refused, {found.limits} limits met, "
        f"{len(found.failures)} failures, {found.peak_mib} MiB\n"
    )
    attack.report(f"damaged files: {family}", count, found.failures)
    assert found.peak_mib < MOST_MEMORY_MIB or not attack.is_full


def test_every_format_is_in_a_family() -> None:
    families = {suffix: family for family, suffixes in FAMILIES.items() for suffix in suffixes}
    missing = {found.name for found in FORMATS.values()} - {
        FORMATS[f".{suffix}"].name for suffix in families if f".{suffix}" in FORMATS
    }
    assert missing == {"Yosys"}  # as Tcl is read
    assert Counter(families.values()).total() == len(families)
