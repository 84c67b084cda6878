"""docs/api.md has a curl line for every path, and each of them works as it stands there."""

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
from serve.openapi.operations import OPERATIONS
from tests.conftest import SIX_DOCUMENTS, Gateway
from tests.fake_engine import FakeEngine
from tests.test_docs import ROOT, read, split_code
from tests.tiny_embedder import TinyEmbedder

ADDRESS = "http://127.0.0.1:8000"
LINES = [line for line in split_code(read(ROOT / "docs/api.md"))[1] if line.startswith("curl ")]
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


def operation_of(line: str) -> tuple[str, str]:
    """The method and the path of a line, as the description has them."""
    words = shlex.split(line)
    method = words[words.index("-X") + 1] if "-X" in words else "POST" if "-d" in words else "GET"
    (address,) = [word for word in words if word.startswith(ADDRESS)]
    path = address.removeprefix(ADDRESS).partition("?")[0]
    patterns = {key: re.sub(r"{\w+}", "[^/]+", key[1]) for key in OPERATIONS if key[0] == method}
    found = [key for key, pattern in patterns.items() if re.fullmatch(pattern, path)]
    return min(found, key=lambda key: key[1].count("{"))


def test_every_path_has_a_curl_line() -> None:
    assert {operation_of(line) for line in LINES} == set(OPERATIONS)


@pytest.mark.parametrize("line", LINES, ids=lambda line: "-".join(operation_of(line)))
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
