"""The settings of retrieval, read once from the environment and handed down frozen.

It reads no file and checks only the values themselves (whoever opens a folder finds out whether it exists). Each field
carries its variable, its help and its allowed range as metadata; the table in docs/operate.md is made from them.

    settings = RagSettings.from_env({"CHIPALIGN_CHUNK_TOKENS": "180"})
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chipalign_settings import Refused, default_home, from_env, matching, read_path, setting
from rag.errors import SettingsError

_WORKERS = 2  # more would need a machine with more memory, which whoever sets `parse_workers` knows


@dataclass(frozen=True, slots=True)
class RagSettings:
    """Where things lie and how documents are cut, embedded, searched and judged. Units stand in the names."""

    home: Path = setting(
        "CHIPALIGN_HOME",
        default_home,
        "folder of everything made at run time (default: the platform's user data folder)",
        read=read_path,
    )
    mirror: Path | None = setting(
        "CHIPALIGN_MIRROR",
        None,
        "folder of corpus archives (NAME.tar.gz) that is asked before the public host",
        read=read_path,
    )
    embedder: str = setting(
        "CHIPALIGN_EMBEDDER",
        "adapter:minilm-l6-technical",
        (
            "embedding model: package:NAME (an installed package), a folder, a hub id, adapter:NAME (of "
            "data/adapters), or openai:MODEL (served at CHIPALIGN_EMBEDDINGS_URL)"
        ),
    )
    reader: str = setting(
        "CHIPALIGN_READER",
        "adapter:minilm-l6-reader",
        (
            "model with which the gateway reads what is found, to quote what answers and to refuse where nothing does: "
            "adapter:NAME (of data/adapters), a folder (`chipalign adapt reader`), or none"
        ),
    )
    # It may hold a password, as that of Milvus may
    embeddings_url: str = setting(
        "CHIPALIGN_EMBEDDINGS_URL",
        "",
        "server of /v1/embeddings that embeds where CHIPALIGN_EMBEDDER is openai:MODEL",
        secret=True,
    )
    embeddings_api_key: str = setting(
        "CHIPALIGN_EMBEDDINGS_API_KEY", "", "key that is sent to that server; empty: none", secret=True
    )
    embeddings_tokenizer: str = setting(
        "CHIPALIGN_EMBEDDINGS_TOKENIZER",
        "",
        (
            "tokenizer of a served embedder: package:NAME, a folder or a hub id with its tokenizer.json; empty: "
            "tokens are estimated"
        ),
    )
    # Enough for a server to work on one batch while the next are on their way
    embeddings_in_flight: int = setting(
        "CHIPALIGN_EMBEDDINGS_IN_FLIGHT", 8, "requests to a served embedder at a time", within=(1, 1024)
    )
    milvus_uri: str = setting(
        "CHIPALIGN_MILVUS_URI",
        "",
        (
            "Milvus that holds the vectors: the URL of a server, or a file NAME.db for Milvus Lite; empty: FAISS "
            "files in the index"
        ),
        secret=True,
    )
    milvus_token: str = setting(
        "CHIPALIGN_MILVUS_TOKEN", "", "USER:PASSWORD or key for that Milvus; empty: none", secret=True
    )
    # MiniLM reads 256 word pieces, two of them its own marks; 220 leaves air for titles longer than usual
    chunk_tokens: int = setting(
        "CHIPALIGN_CHUNK_TOKENS",
        220,
        "target size of a chunk with its headings, in the embedder's tokens",
        within=(40, 4096),
    )
    overlap_tokens: int = setting(
        "CHIPALIGN_OVERLAP_TOKENS",
        32,
        "where prose has to be cut, a last sentence of at most this many tokens is repeated; 0 repeats none",
        within=(0, 512),
    )
    # A manual of some thousand pages; more is a log or a netlist, which would drown the rest
    max_text_mb: int = setting("CHIPALIGN_MAX_TEXT_MB", 8, "largest text file that is read, in MiB", within=(1, 1024))
    max_file_mb: int = setting(
        "CHIPALIGN_MAX_FILE_MB",
        64,
        "largest PDF, Word or HTML file that is read, in MiB; of LEF, Liberty, DEF and SPEF so much of the beginning",
        within=(1, 1024),
    )
    parse_timeout_s: float = setting(
        "CHIPALIGN_PARSE_TIMEOUT_S",
        120.0,
        "longest time to parse a small file, to cut it or to unpack it from an archive, before it is given up",
        within=(0.1, 86_400.0),
    )
    # Pages of a PDF take some 50 ms each, those with large tables ten times as long; a MiB has a few hundred
    parse_s_per_mb: float = setting(
        "CHIPALIGN_PARSE_S_PER_MB",
        60.0,
        "how much longer a file may take for each MiB that it has",
        within=(0.0, 86_400.0),
    )
    parse_memory_mb: int = setting(
        "CHIPALIGN_PARSE_MEMORY_MB", 1024, "most memory that parsing one file may take, in MiB", within=(256, 65_536)
    )
    parse_workers: int = setting(
        "CHIPALIGN_PARSE_WORKERS",
        0,
        "files that are parsed at a time, each with that memory; 0: one on each core, two at most",
        within=(0, 256),
    )
    ocr: str = setting(
        "CHIPALIGN_OCR",
        "",
        "languages in which tesseract reads PDF pages that are pictures, as eng or eng+deu; empty: they are named",
        read=matching(r"(?:[A-Za-z_]{2,20}(?:\+[A-Za-z_]{2,20}){0,9})?", "tesseract's languages, as eng+deu"),
    )
    archive_files: int = setting(
        "CHIPALIGN_ARCHIVE_FILES", 200_000, "most files that an archive may hold", within=(1, 10_000_000)
    )
    archive_file_mb: int = setting(
        "CHIPALIGN_ARCHIVE_FILE_MB", 64, "most that is read of one file in an archive, in MiB", within=(1, 1024)
    )
    archive_total_mb: int = setting(
        "CHIPALIGN_ARCHIVE_TOTAL_MB",
        2048,
        "most that the files read of one archive may hold together, in MiB",
        within=(1, 65_536),
    )
    # Higher, a plain question over an index of a few pages is refused; lower, nothing more is answered rightly
    min_relevance: float = setting(
        "CHIPALIGN_MIN_RELEVANCE",
        0.35,
        "probability that the index answers a question from which on it is answered",
        within=(0.0, 1.0),
    )
    min_hit_score: float = setting(
        "CHIPALIGN_MIN_HIT_SCORE", 0.2, "cosine below which a passage is dropped from the hits", within=(-1.0, 1.0)
    )
    # Chosen by leaving one set of documents out (docs/measurements/search.md)
    dense_weight: float = setting(
        "CHIPALIGN_DENSE_WEIGHT", 0.2, "weight of the cosine in a passage's score", within=(0.0, 100.0)
    )
    late_weight: float = setting(
        "CHIPALIGN_LATE_WEIGHT",
        1.0,
        "weight of the comparison token by token in a passage's score; 0 leaves it out",
        within=(0.0, 100.0),
    )
    bm25_weight: float = setting(
        "CHIPALIGN_BM25_WEIGHT", 0.25, "weight of BM25 in a passage's score", within=(0.0, 100.0)
    )
    clause_share: float = setting(
        "CHIPALIGN_CLAUSE_SHARE",
        0.5,
        "of a passage's score, the share of the clause that it fits best, in a question of several; 0 leaves it out",
        within=(0.0, 1.0),
    )
    lexicon: str = setting(
        "CHIPALIGN_LEXICON",
        "",
        "CSV files of your own groups of words beside data/lexicon.csv, with `:` between them; empty: none",
    )
    lexicon_weight: float = setting(
        "CHIPALIGN_LEXICON_WEIGHT",
        0.0,
        "what a manual's words for those of a question may add to BM25, relative to its best; 0 leaves them out",
        within=(0.0, 1.0),
    )
    lexicon_share: float = setting(
        "CHIPALIGN_LEXICON_SHARE",
        0.0,
        (
            "of what a passage is more like the question in a manual's words, the share that it gains; 0 leaves that "
            "wording out"
        ),
        within=(0.0, 1.0),
    )
    candidates: int = setting(
        "CHIPALIGN_CANDIDATES", 50, "how many passages each of dense and BM25 hands on to be scored", within=(1, 1000)
    )
    embed_threads: int = setting(
        "CHIPALIGN_EMBED_THREADS",
        0,
        "threads that embed documents when an index is built; 0 leaves the choice to torch",
        within=(0, 1024),
    )
    embed_bits: int = setting(
        "CHIPALIGN_EMBED_BITS",
        8,
        (
            "fewest bits of the numbers that the embedder multiplies: 8, 16 or 32, each where the processor "
            "multiplies them by itself"
        ),
        within=(8, 32),
    )
    embed_batch: int = setting(
        "CHIPALIGN_EMBED_BATCH",
        16,
        "texts per forward pass of the embedder, or per request to a served one",
        within=(1, 4096),
    )
    api_key: str = setting(
        "CHIPALIGN_API_KEY", "", "key that evaluations send to the model server; empty: none", secret=True
    )

    @property
    def workers(self) -> int:
        """How many files are parsed, or documents cut, at a time."""
        return self.parse_workers or min(len(os.sched_getaffinity(0)), _WORKERS)

    def parse_limit_s(self, size_bytes: int) -> float:
        """The longest time to parse, or to cut, a file of this size."""
        return self.parse_timeout_s + self.parse_s_per_mb * size_bytes / 2**20

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> RagSettings:
        """Read every field from its variable; unset or empty means the default.

        Without `env`, it reads this process's environment.

        Raises SettingsError: some values are bad; it lists them all, with variable, value and allowed range.
        """
        return from_env(cls, os.environ if env is None else env, _refuse)


def _refuse(refused: Sequence[Refused]) -> SettingsError:
    return SettingsError("; ".join(map(_describe_refused, refused)))


def _describe_refused(refused: Refused) -> str:
    """The sentence for a value that is not a number, or not one of the allowed ones."""
    low, high = refused.within or (0, 0)
    if refused.is_outside:
        return f"{refused.variable}={refused.value} is outside the allowed range {low} to {high}"
    return f"{refused.variable}={refused.value!r} is not {refused.kind} between {low} and {high}"
