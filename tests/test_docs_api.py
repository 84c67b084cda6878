"""Each curl line of docs/api.md works as it stands there; that every path has one is held by test_docs."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from rag.formats.parser import parse_document
from rag.index.building import build_index
from rag.search.retriever import Retriever
from rag.settings import RagSettings
from tests.conftest import SIX_DOCUMENTS, Gateway
from tests.fake_engine import FakeEngine
from tests.test_docs import ADDRESS, CURL_LINES, operation_of
from tests.tiny_embedder import TinyEmbedder

MANUAL = "# Repair\n\n## Repair Timing\n\nIt repairs.\n\n```tcl\nrepair_timing\n    [-setup]\n    [-hold]\n```\n"
# Ids in the guide, which each run replaces by real ones
RESPONSE, PASSAGE = re.compile(r"\bresp_\w+"), re.compile(r"\b[0-9a-f]{16}\b")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    """An index over the six documents and a manual of `repair_timing`."""
    folder = tmp_path_factory.mktemp("guide")
    texts = {**{title: f"# {title}\n\n{text}\n" for title, text in SIX_DOCUMENTS.items()}, "Repair": MANUAL}
    documents = [
        parse_document("notes", f"{title.lower().replace(' ', '-')}.md", title, text, None, "Apache-2.0")
        for title, text in texts.items()
    ]
    build_index(documents, folder, RagSettings(home=folder), TinyEmbedder())
    return Retriever.open_with(TinyEmbedder(), folder, RagSettings(home=folder))


@pytest.fixture(scope="module")
def url(gateway_at: Gateway, store: Retriever, shared_engine: FakeEngine) -> Iterator[str]:
    with gateway_at(shared_engine.url, store) as address:
        yield address


@pytest.fixture
def ids(url: str, store: Retriever) -> dict[re.Pattern[str], str]:
    """What stands for the ids in the guide."""
    asked = httpx.post(f"{url}/v1/responses", json={"input": "Which command repairs antenna violations?"}, timeout=20)
    return {RESPONSE: asked.json()["id"], PASSAGE: store.search("antenna violations repair_antennas")[0].chunk.chunk_id}


@pytest.mark.parametrize("line", CURL_LINES, ids=lambda line: "-".join(operation_of(line)))
def test_a_curl_line_works(url: str, ids: dict[re.Pattern[str], str], line: str, tmp_path: Path) -> None:
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    words = shlex.split(line.replace(ADDRESS, url))
    for shown, real in ids.items():
        words = [shown.sub(real, word) for word in words]
    command = [*words, "-sS", "-m", "60", "-o", str(tmp_path / "answer"), "-w", "%{http_code}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    answer = (tmp_path / "answer").read_text(encoding="utf-8")
    assert (done.stdout, done.stderr) == ("200", ""), answer
    assert answer
    if operation_of(line) == ("POST", "/mcp"):
        assert '"isError":false' in answer
