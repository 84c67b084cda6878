"""rag.index.opening: opening an index loads nothing that builds one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from rag.formats.parser import parse_document
from rag.index.building import build_index
from rag.settings import RagSettings
from tests.tiny_embedder import TinyEmbedder

ROOT = Path(__file__).parent.parent
OPENED = """
import sys
from pathlib import Path
import rag.search.live
import rag.search.retriever
from rag.index.opening import open_index, verify_index

index = open_index(Path(sys.argv[1]))
index.bm25.scores("routes"), list(index.chunks), index.reference, verify_index(Path(sys.argv[1]))
print("\\n".join(sorted(sys.modules)))
"""
BUILDERS = (
    *("rag.formats", "rag.sources", "rag.index.chunker", "rag.index.building", "rag.index.index_content"),
    "rag.reference.extraction",
)
PARSERS = ("pdfplumber", "lxml", "docx", "markdown_it", "pyslang")


def test_opening_an_index_loads_no_builder_and_no_parser(tmp_path: Path) -> None:
    document = parse_document("notes", "a.md", "Routes", "# Routes\n\nIt routes nets.\n", None, "ISC")
    build_index([document], tmp_path, RagSettings(home=tmp_path), TinyEmbedder())
    opened = subprocess.run(
        [sys.executable, "-c", OPENED, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = opened.stdout.split()
    assert "rag.search.retriever" in loaded
    assert not [name for name in loaded if f"{name}.".startswith(tuple(f"{one}." for one in (*BUILDERS, *PARSERS)))]
