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
from rag.search.live import LiveRetriever
from rag.search.retriever import Retriever
from tests.conftest import SIX_DOCUMENTS, Gateway
from tests.fake_engine import FakeEngine
from tests.test_docs import ADDRESS, CURL_LINES, operation_of
from tests.tiny_embedder import TinyEmbedder
from tests.uploading import TINY as SETTINGS
from tests.uploading import builds_here

MANUAL = "# Repair\n\n## Repair Timing\n\nIt repairs.\n\n```tcl\nrepair_timing\n    [-setup]\n    [-hold]\n```\n"
# Ids in the guide, which each run replaces by real ones
RESPONSE, PASSAGE = re.compile(r"\bresp_\w+"), re.compile(r"\b[0-9a-f]{16}\b")
CONVERSATION, ITEM = re.compile(r"\bconv_\d\b"), re.compile(r"\bmsg_\d\b")
FILE, STORE, BATCH = re.compile(r"\bfile-\d\b"), re.compile(r"\bvs_\d\b"), re.compile(r"\bvsfb_\d\b")
UPLOAD = "# PLL\n\nThe PLL has 3 ps of jitter.\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("guide")


@pytest.fixture(scope="module")
def live(folder: Path) -> LiveRetriever:
    """An index over the six documents and a manual of `repair_timing`."""
    texts = {**{title: f"# {title}\n\n{text}\n" for title, text in SIX_DOCUMENTS.items()}, "Repair": MANUAL}
    documents = [
        parse_document("notes", f"{title.lower().replace(' ', '-')}.md", title, text, None, "Apache-2.0")
        for title, text in texts.items()
    ]
    build_index(documents, folder / "index", SETTINGS, TinyEmbedder())
    retriever = Retriever.open_with(TinyEmbedder(), folder / "index", SETTINGS)
    return LiveRetriever(folder / "index", SETTINGS, retriever)


@pytest.fixture(scope="module")
def url(gateway_at: Gateway, live: LiveRetriever, shared_engine: FakeEngine, folder: Path) -> Iterator[str]:
    with gateway_at(
        shared_engine.url,
        newest=live.current,
        reopen=live.look,
        build=builds_here(folder),
        home=folder,
        index=str(folder / "index"),
    ) as address:
        yield address


def passage_of(live: LiveRetriever, url: str) -> str:
    """The id of a passage about antennas."""
    return live.current().search("antenna violations repair_antennas")[0].chunk.chunk_id


def response_of(live: LiveRetriever, url: str) -> str:
    """The id of a stored response."""
    asked = httpx.post(f"{url}/v1/responses", json={"input": "Which command repairs antenna violations?"}, timeout=20)
    return str(asked.json()["id"])


def upload_to(url: str) -> dict[re.Pattern[str], str]:
    """The ids of a file, and of a vector store and a batch that have it, built or not."""
    files = {"file": ("pll.md", UPLOAD.encode())}
    uploaded = httpx.post(f"{url}/v1/files", files=files, data={"purpose": "assistants"}, timeout=20)
    store = httpx.post(f"{url}/v1/vector_stores", json={}, timeout=20).json()["id"]
    body = {"file_ids": [uploaded.json()["id"]]}
    batch = httpx.post(f"{url}/v1/vector_stores/{store}/file_batches", json=body, timeout=20)
    return {FILE: uploaded.json()["id"], STORE: store, BATCH: batch.json()["id"]}


def begin_conversation(url: str) -> dict[re.Pattern[str], str]:
    """The ids of a conversation, and of its item."""
    items = [{"role": "user", "content": "What is clock skew?"}]
    made = httpx.post(f"{url}/v1/conversations", json={"items": items}, timeout=20).json()["id"]
    listed = httpx.get(f"{url}/v1/conversations/{made}/items", timeout=20).json()["data"]
    return {CONVERSATION: made, ITEM: listed[0]["id"]}


FOUND = {PASSAGE: passage_of, RESPONSE: response_of}


@pytest.mark.parametrize("line", CURL_LINES, ids=lambda line: "-".join(operation_of(line)))
def test_a_curl_line_works(url: str, live: LiveRetriever, line: str, tmp_path: Path) -> None:
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    words = shlex.split(line.replace(ADDRESS, url))
    ids = {shown: find(live, url) for shown, find in FOUND.items() if shown.search(line)}
    if FILE.search(line) or STORE.search(line):
        ids |= upload_to(url)
    if CONVERSATION.search(line):
        ids |= begin_conversation(url)
    for shown, real in ids.items():
        words = [shown.sub(real, word) for word in words]
    (tmp_path / "pll.md").write_text(UPLOAD, encoding="utf-8")
    command = [*words, "-sS", "-m", "60", "-o", str(tmp_path / "answer"), "-w", "%{http_code}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    answer = (tmp_path / "answer").read_text(encoding="utf-8")
    assert (done.stdout, done.stderr) == ("200", ""), answer
    assert answer
    if operation_of(line) == ("POST", "/mcp"):
        assert '"isError":false' in answer
