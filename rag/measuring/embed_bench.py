"""Measures how fast passages are embedded, beside sentence-transformers' own `encode` with the same model.

Both embed the same texts in turn in one process, so that their ratio means something on a shared machine. It writes
nothing.

    python -m rag.measuring.embed_bench indexes/starter
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer

from rag.command_line import run_module
from rag.documents import searchable_text
from rag.embedding.embedder import Embedder
from rag.embedding.model_folder import find_base, find_model_folder
from rag.index.opening import open_index
from rag.settings import RagSettings

PASSAGES = 256  # of an index, evenly spread: some ten seconds
ROUNDS = 3


def compare_embedding(index_dir: Path, settings: RagSettings) -> dict[str, float]:
    """Passages per second of `encode` and of ours, tokens included, their ratio, and the bits that ours multiplies.

    Each is the best of some rounds in turn.

    Raises IndexNotFound, IndexCorrupt, IndexMismatch, EmbedderUnavailable.
    """
    chunks = open_index(index_dir).chunks
    texts = [searchable_text(chunks[row]) for row in range(0, len(chunks), max(1, len(chunks) // PASSAGES))]
    plain = SentenceTransformer(
        str(find_model_folder(find_base(settings.embedder))), device="cpu", trust_remote_code=False
    )
    embedder = Embedder.find(settings.embedder, settings.embed_batch, settings.embed_threads, settings.embed_bits)
    ways: dict[str, Callable[[Sequence[str]], Any]] = {
        "encode": lambda given: plain.encode(list(given), show_progress_bar=False),
        "ours": lambda given: list(embedder.embed_tokens(given)),
    }
    for embed in ways.values():
        embed(texts[:8])  # loads the model
    rounds = [{name: len(texts) / _time(embed, texts) for name, embed in ways.items()} for _ in range(ROUNDS)]
    rates = {name: max(each[name] for each in rounds) for name in ways}
    found = {f"{name}_per_s": round(rate, 1) for name, rate in rates.items()}
    return {**found, "ratio": round(rates["ours"] / rates["encode"], 2), "bits": embedder.bits}


def main(argv: list[str]) -> int:
    """One JSON document."""
    parser = argparse.ArgumentParser(
        prog="python -m rag.measuring.embed_bench",
        description="How fast passages are embedded, beside the library's way.",
    )
    parser.add_argument("index", type=Path, metavar="DIR", help="the index directory")
    rates = compare_embedding(parser.parse_args(argv).index, RagSettings.from_env())
    sys.stdout.write(json.dumps(rates) + "\n")
    return 0


def _time(embed: Callable[[Sequence[str]], Any], texts: Sequence[str]) -> float:
    started = time.perf_counter()
    embed(texts)
    return time.perf_counter() - started


if __name__ == "__main__":
    run_module(main)
