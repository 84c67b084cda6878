"""A gateway whose clients upload files: a small index, TinyEmbedder, and builds in this process instead of a child's.

with uploading_gateway(gateway_at, engine.url, folder) as url: ...
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from rag.formats.parser import parse_document
from rag.index.building import build_index
from rag.search.live import LiveRetriever
from rag.search.retriever import Retriever
from rag.settings import RagSettings
from serve.answers.chat import Counter
from serve.gateway.app import create_app
from serve.gateway.connections import make_server
from serve.settings import ServeSettings
from serve.uploads.build_worker import do_job
from serve.uploads.jobs import Build, Job, Outcome
from tests.conftest import Gateway
from tests.tiny_embedder import TinyEmbedder

TINY = RagSettings(home=Path("unused"), min_relevance=0.0, min_hit_score=-1.0)


def build_sources(index_dir: Path, *collections: str, edition: int = 1) -> None:
    """Build an index as an operator does: a document in each collection."""
    documents = [
        parse_document(
            name,
            "guide.md",
            f"{name} guide",
            f"# {name}\n\nThe {name}, edition {edition}.\n",
            None,
            "ISC",
            version="2.0",
        )
        for name in collections
    ]
    build_index(documents, index_dir, TINY, TinyEmbedder())


def builds_here(home: Path) -> Build:
    """Does the work of a child in this process."""
    settings = replace(TINY, home=home)

    def build(job: Job) -> Outcome:
        """Change the index."""
        return do_job(job, settings, TinyEmbedder)

    return build


def open_live(home: Path) -> LiveRetriever:
    """The index of a home, which is built if there is none."""
    index_dir = home / "index"
    if not index_dir.exists():
        build_sources(index_dir, "router", "timer")
    live = LiveRetriever(index_dir, TINY, Retriever.open_with(TinyEmbedder(), index_dir, TINY))
    live.look()
    return live


def serve_uploads(home: Path, port: int) -> None:
    """Serve a home's uploads in this process until it is killed; there is no engine, and no question is answered."""
    live = open_live(home)
    settings = ServeSettings(
        home=home, index=str(home / "index"), gateway_port=port, engine_url="http://127.0.0.1:1", answer="model"
    )
    with live.watched():
        app = create_app(settings, live.current, cast(Counter, None), reopen=live.look, build=builds_here(home))
        make_server(app, settings).run()


@contextmanager
def uploading_gateway(
    gateway_at: Gateway, engine_url: str, home: Path, build: Build | None = None, **changes: Any
) -> Iterator[str]:
    """The URL of a gateway over the index in `home`/index, which has the collections `router` and `timer`."""
    index_dir, live = home / "index", open_live(home)
    with (
        live.watched(),
        gateway_at(
            engine_url,
            newest=live.current,
            reopen=live.look,
            build=build or builds_here(home),
            home=home,
            index=str(index_dir),
            **changes,
        ) as url,
    ):
        yield url
