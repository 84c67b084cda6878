"""The settings of retrieval, read once from the environment and handed down frozen.

It reads no file and checks nothing outside the values themselves (whether a folder exists is for who opens it). Each
field carries its variable, its help and its allowed range as metadata; the table in docs/operate.md is made from them.

    settings = RagSettings.from_env({"CHIPALIGN_CHUNK_TOKENS": "180"})
"""

import os
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

import platformdirs

from rag.errors import SettingsError


def _default_home() -> Path:
    return platformdirs.user_data_path("chipalign")


@dataclass(frozen=True, slots=True)
class RagSettings:
    """Where things lie and how documents are cut, embedded, searched and judged. Units stand in the names."""

    home: Path = field(
        default_factory=_default_home,
        metadata={
            "env": "CHIPALIGN_HOME",
            "help": "folder of everything made at run time (default: the platform's user data folder)",
        },
    )
    mirror: Path | None = field(
        default=None,
        metadata={
            "env": "CHIPALIGN_MIRROR",
            "help": "folder of corpus archives (NAME.tar.gz) that is asked before the public host",
        },
    )
    embedder: str = field(
        default="adapter:minilm-l6-eda",
        metadata={
            "env": "CHIPALIGN_EMBEDDER",
            "help": (
                "embedding model: package:NAME (an installed package), a folder, a hub id, adapter:NAME (of "
                "data/adapters), or openai:MODEL (served at CHIPALIGN_EMBEDDINGS_URL)"
            ),
        },
    )
    reader: str = field(
        default="none",  # it knows too well what it learnt: docs/measurements/answers.md
        metadata={
            "env": "CHIPALIGN_READER",
            "help": (
                "model with which the gateway reads what is found, to know what is not answered: adapter:NAME (of "
                "data/adapters), a folder (`chipalign adapt reader`), or none"
            ),
        },
    )
    embeddings_url: str = field(
        default="",
        repr=False,  # it may hold a password, as that of Milvus may
        metadata={
            "env": "CHIPALIGN_EMBEDDINGS_URL",
            "help": "server of /v1/embeddings that embeds where CHIPALIGN_EMBEDDER is openai:MODEL",
        },
    )
    embeddings_api_key: str = field(
        default="",
        repr=False,
        metadata={"env": "CHIPALIGN_EMBEDDINGS_API_KEY", "help": "key that is sent to that server; empty: none"},
    )
    embeddings_tokenizer: str = field(
        default="",
        metadata={
            "env": "CHIPALIGN_EMBEDDINGS_TOKENIZER",
            "help": (
                "tokenizer of a served embedder: package:NAME, a folder or a hub id with its tokenizer.json; empty: "
                "tokens are estimated"
            ),
        },
    )
    embeddings_in_flight: int = field(
        default=8,  # enough for a server to work on one batch while the next are on their way
        metadata={
            "env": "CHIPALIGN_EMBEDDINGS_IN_FLIGHT",
            "help": "requests to a served embedder at a time",
            "range": (1, 1024),
        },
    )
    milvus_uri: str = field(
        default="",
        repr=False,
        metadata={
            "env": "CHIPALIGN_MILVUS_URI",
            "help": (
                "Milvus that holds the vectors: the URL of a server, or a file NAME.db for Milvus Lite; empty: FAISS "
                "files in the index"
            ),
        },
    )
    milvus_token: str = field(
        default="",
        repr=False,
        metadata={"env": "CHIPALIGN_MILVUS_TOKEN", "help": "USER:PASSWORD or key for that Milvus; empty: none"},
    )
    chunk_tokens: int = field(
        # MiniLM reads 256 word pieces, two of them its own marks; 220 leaves air for titles longer than usual.
        default=220,
        metadata={
            "env": "CHIPALIGN_CHUNK_TOKENS",
            "help": "target size of a chunk with its headings, in the embedder's tokens",
            "range": (40, 4096),
        },
    )
    overlap_tokens: int = field(
        default=32,
        metadata={
            "env": "CHIPALIGN_OVERLAP_TOKENS",
            "help": (
                "where prose has to be cut, a last sentence of at most this many tokens is repeated; 0 repeats none"
            ),
            "range": (0, 512),
        },
    )
    max_text_mb: int = field(
        default=8,  # a manual of some thousand pages; more is a log or a netlist, which would drown the rest
        metadata={"env": "CHIPALIGN_MAX_TEXT_MB", "help": "largest text file that is read, in MiB", "range": (1, 1024)},
    )
    max_file_mb: int = field(
        default=64,
        metadata={
            "env": "CHIPALIGN_MAX_FILE_MB",
            "help": (
                "largest PDF, Word or HTML file that is read, in MiB; of LEF, Liberty, DEF and SPEF so much of the "
                "beginning"
            ),
            "range": (1, 1024),
        },
    )
    parse_timeout_s: float = field(
        default=300.0,  # pages of a PDF take some 50 ms each: enough for a manual of several thousand
        metadata={
            "env": "CHIPALIGN_PARSE_TIMEOUT_S",
            "help": "longest time to parse one file, to cut it or to unpack it from an archive, before it is given up",
            "range": (0.1, 86_400.0),
        },
    )
    parse_memory_mb: int = field(
        default=2048,
        metadata={
            "env": "CHIPALIGN_PARSE_MEMORY_MB",
            "help": "most memory that parsing one file may take, in MiB",
            "range": (256, 65_536),
        },
    )
    archive_files: int = field(
        default=200_000,
        metadata={
            "env": "CHIPALIGN_ARCHIVE_FILES",
            "help": "most files that an archive may hold",
            "range": (1, 10_000_000),
        },
    )
    archive_file_mb: int = field(
        default=64,
        metadata={
            "env": "CHIPALIGN_ARCHIVE_FILE_MB",
            "help": "most that is read of one file in an archive, in MiB",
            "range": (1, 1024),
        },
    )
    archive_total_mb: int = field(
        default=2048,
        metadata={
            "env": "CHIPALIGN_ARCHIVE_TOTAL_MB",
            "help": "most that the files read of one archive may hold together, in MiB",
            "range": (1, 65_536),
        },
    )
    min_relevance: float = field(
        default=0.45,  # at 0.5 a refusal more in a hundred is wrong, and two more of a hundred are right
        metadata={
            "env": "CHIPALIGN_MIN_RELEVANCE",
            "help": "probability that the index answers a question from which on it is answered",
            "range": (0.0, 1.0),
        },
    )
    min_hit_score: float = field(
        default=0.2,
        metadata={
            "env": "CHIPALIGN_MIN_HIT_SCORE",
            "help": "cosine below which a passage is dropped from the hits",
            "range": (-1.0, 1.0),
        },
    )
    # On our own questions recall@5 is within 0.01 of the best wherever late has half to two thirds of the weight
    # (2026-11-24).
    dense_weight: float = field(
        default=0.2,
        metadata={
            "env": "CHIPALIGN_DENSE_WEIGHT",
            "help": "weight of the cosine in a passage's score",
            "range": (0.0, 100.0),
        },
    )
    late_weight: float = field(
        default=1.0,
        metadata={
            "env": "CHIPALIGN_LATE_WEIGHT",
            "help": "weight of the comparison token by token in a passage's score; 0 leaves it out",
            "range": (0.0, 100.0),
        },
    )
    bm25_weight: float = field(
        default=0.5,
        metadata={"env": "CHIPALIGN_BM25_WEIGHT", "help": "weight of BM25 in a passage's score", "range": (0.0, 100.0)},
    )
    clause_share: float = field(
        default=0.5,
        metadata={
            "env": "CHIPALIGN_CLAUSE_SHARE",
            "help": (
                "of a passage's score, the share of the clause that it fits best, in a question of several; 0 leaves "
                "it out"
            ),
            "range": (0.0, 1.0),
        },
    )
    candidates: int = field(
        default=50,
        metadata={
            "env": "CHIPALIGN_CANDIDATES",
            "help": "how many passages each of dense and BM25 hands on to be scored",
            "range": (1, 1000),
        },
    )
    embed_threads: int = field(
        default=0,
        metadata={
            "env": "CHIPALIGN_EMBED_THREADS",
            "help": "threads that embed documents when an index is built; 0 leaves the choice to torch",
            "range": (0, 1024),
        },
    )
    embed_bits: int = field(
        default=8,
        metadata={
            "env": "CHIPALIGN_EMBED_BITS",
            "help": (
                "fewest bits of the numbers that the embedder multiplies: 8, 16 or 32, each where the processor "
                "multiplies them by itself"
            ),
            "range": (8, 32),
        },
    )
    embed_batch: int = field(
        default=16,
        metadata={
            "env": "CHIPALIGN_EMBED_BATCH",
            "help": "texts per forward pass of the embedder, or per request to a served one",
            "range": (1, 4096),
        },
    )
    api_key: str = field(
        default="",
        repr=False,
        metadata={"env": "CHIPALIGN_API_KEY", "help": "key that evaluations send to the model server; empty: none"},
    )

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> "RagSettings":
        """Read every field from its variable; unset or empty means the default.

        Without `env`: this process's environment.

        Raises SettingsError that lists every bad value at once, with variable, value and allowed range.
        """
        values = os.environ if env is None else env
        parsed: dict[str, Any] = {}
        problems: list[str] = []
        for item in fields(cls):
            raw = values.get(item.metadata["env"], "").strip()
            if not raw:
                continue
            try:
                parsed[item.name] = _parse(item, raw)
            except ValueError as error:
                problems.append(str(error))
        if problems:
            raise SettingsError("; ".join(problems))
        return cls(**parsed)


def _parse(item: "Field[Any]", raw: str) -> object:
    """One variable's text as the field's type; ValueError says what is allowed."""
    if "range" not in item.metadata:
        return raw if item.type is str else Path(raw).expanduser()
    low, high = item.metadata["range"]
    kind = item.type if item.type in (int, float) else float
    name = "a whole number" if kind is int else "a number"
    try:
        value = int(raw) if kind is int else float(raw)
    except ValueError:
        raise ValueError(f"{item.metadata['env']}={raw!r} is not {name} between {low} and {high}") from None
    if not low <= value <= high:  # also false for nan
        raise ValueError(f"{item.metadata['env']}={raw} is outside the allowed range {low} to {high}")
    return value
