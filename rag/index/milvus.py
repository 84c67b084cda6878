"""The dense index in Milvus, for more vectors than one machine should hold.

Each generation of an index has one Milvus collection. A row of it is a row of the index: its number, its document's
collection (by which searches filter) and its vector. Texts, postings and tokens stay in the index folder, which keeps
no vector; a small file there names the collection, and is written before it. Up to FLAT_LIMIT vectors the search is
exact; above, it goes through a graph (HNSW), whose recall is measured at the build.

    milvus = Milvus("http://milvus:19530"); kind = milvus.write(folder, vectors, collections)
    dense = milvus.open(folder, kind); rows, scores = dense.search(query_vector, k=50)
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rag.embedding.servers import split_login
from rag.errors import IndexCorrupt, MilvusUnavailable
from rag.index.dense import FLAT_LIMIT, TARGET_RECALL, Mask, Vectors, draw_questions, recall_of
from rag.index.manifest import IN_MILVUS, DenseKind, flush
from rag.typed_json import parse_as

PLACE = "milvus.json"  # in a generation's folder
_FLAT, _HNSW = IN_MILVUS
CONNECT_TIMEOUT_S = 5.0
SEARCH_TIMEOUT_S = 10.0
BUILD_TIMEOUT_S = 600.0  # for one call: building the graph of a large collection takes longest
_MOST_NAMED = 1000  # rows that a search is restricted to by number
_BATCH_BYTES = 4 * 2**20  # of vectors in one message; Milvus takes up to 64 MiB
_GRAPH = {"M": 32, "efConstruction": 256}  # each vector's neighbours, and how many candidates they are chosen from
_MIN_LIST = 128  # candidates that a search through the graph keeps, at least
_MAX_LIST = 8192
_LONGEST_NAME = 65_535  # bytes of a collection's name: Milvus's own limit


@dataclass(frozen=True, slots=True)
class Milvus:
    """A Milvus that keeps vectors, reached by a server's URL or by a file NAME.db for Milvus Lite.

    Milvus Lite runs in this process, one at a time.
    """

    uri: str
    token: str = field(default="", repr=False)

    @classmethod
    def at(cls, uri: str, token: str) -> Milvus:
        """The Milvus that the settings name; a file by its absolute path."""
        if "://" not in uri:
            return cls(str(Path(uri).expanduser().resolve()), token)
        # The index keeps the address and errors show it: its password goes into the token
        shown, login = split_login(uri)
        return cls(shown, token or (":".join(login) if login else ""))

    def connect(self) -> Any:
        """A client.

        Raises MilvusUnavailable.
        """
        for name in ("pymilvus", "milvus_lite"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # they log what they raise, with a traceback
        try:
            from pymilvus import MilvusClient
        except ImportError:
            raise MilvusUnavailable(
                "CHIPALIGN_MILVUS_URI needs pymilvus, which is not installed: `pip install 'chipalign[milvus]'`"
            ) from None
        if "://" not in self.uri and not self.uri.endswith(".db"):
            raise MilvusUnavailable(
                f"CHIPALIGN_MILVUS_URI={self.uri!r} is neither a URL nor a NAME.db: give one like "
                "http://127.0.0.1:19530, or a file"
            )
        with _reporting(self.uri):
            return MilvusClient(uri=self.uri, token=self.token, timeout=CONNECT_TIMEOUT_S)

    @property
    def place(self) -> str:
        """Its address."""
        return self.uri

    def check(self) -> None:
        """Raise MilvusUnavailable where Milvus does not answer, before hours of embedding."""
        self.connect()

    def write(
        self, folder: Path, vectors: Vectors, collections: Sequence[str], flat_limit: int = FLAT_LIMIT
    ) -> DenseKind:
        """Make the Milvus collection of the generation in `folder`; vectors have shape (rows, dimension) and length 1.

        `collections` names each row's collection of documents. The file that names the Milvus collection comes first,
        so that what a killed build leaves in Milvus is found and dropped.

        Raises OSError, MilvusUnavailable.
        """
        name = collection_of(folder)
        Place(self.uri, name).write(folder / PLACE)
        flush(folder / PLACE)
        flush(folder)

        client = self.connect()
        step = _rows_per_message(vectors.shape[1])
        with _reporting(self.uri):
            _create(client, name, vectors.shape[1], "FLAT" if len(vectors) <= flat_limit else "HNSW")
            for start in range(0, len(vectors), step):
                rows = range(start, min(start + step, len(vectors)))
                client.insert(
                    name,
                    [{"row": row, "collection": collections[row], "vector": vectors[row]} for row in rows],
                    timeout=BUILD_TIMEOUT_S,
                )
            client.flush(name, timeout=BUILD_TIMEOUT_S)
            client.load_collection(name, timeout=BUILD_TIMEOUT_S)
            if (count := _count_rows(client, name)) != len(vectors):
                raise MilvusUnavailable(
                    f"Milvus at {self.uri} took {count} of {len(vectors)} vectors: look into its logs, and build again"
                )
            return DenseKind(_FLAT) if len(vectors) <= flat_limit else _choose_list(client, name, vectors)

    def holds(self, folder: Path) -> bool:
        """Whether it has the collection that the folder names.

        Raises IndexCorrupt, MilvusUnavailable, OSError.
        """
        place = Place.read(folder / PLACE)
        if "://" not in self.uri and not Path(self.uri).exists():  # looking into it would create it
            return False
        client = self.connect()
        with _reporting(self.uri):
            return bool(client.has_collection(place.collection, timeout=SEARCH_TIMEOUT_S))

    def open(self, folder: Path, kind: DenseKind) -> MilvusIndex:
        """Open the collection that the folder names.

        Raises IndexCorrupt, MilvusUnavailable, OSError.
        """
        name = Place.read(folder / PLACE).collection
        client = self.connect()
        with _reporting(self.uri):
            client.load_collection(name, timeout=BUILD_TIMEOUT_S)
            count = _count_rows(client, name)
            fields = client.describe_collection(name, timeout=SEARCH_TIMEOUT_S)["fields"]
        [dimension] = [int(item["params"]["dim"]) for item in fields if item["name"] == "vector"]
        return MilvusIndex(client, Place(self.uri, name), kind, count, dimension)

    def drop(self, folder: Path) -> None:
        """Drop the collection that the folder names, vectors included.

        Raises MilvusUnavailable, OSError.
        """
        name = Place.read(folder / PLACE).collection
        client = self.connect()
        with _reporting(self.uri):
            client.drop_collection(name, timeout=BUILD_TIMEOUT_S)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a generation's vectors lie: what its folder keeps of them. It holds no key."""

    uri: str
    collection: str

    @classmethod
    def read(cls, path: Path) -> Place:
        """Read what `write` wrote.

        Raises:
            IndexCorrupt: the file is not one that `write` wrote.
            OSError: the file is missing.
        """
        try:
            return parse_as(cls, path.read_bytes())
        except ValueError as error:
            raise IndexCorrupt(f"{path} does not say where the vectors are ({error}): build the index again") from error

    def write(self, path: Path) -> None:
        """Write it.

        Raises OSError.
        """
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


class MilvusIndex:
    """The rows of one Milvus collection, perhaps restricted to some collections of documents.

    Searching may run in many threads at once.
    """

    def __init__(
        self,
        client: Any,
        place: Place,
        kind: DenseKind,
        count: int,
        dimension: int,
        collections: Sequence[str] | None = None,
        mask: Mask | None = None,
    ) -> None:
        self._client = client
        self._place = place
        self.kind = kind
        self.count = count
        self.dimension = dimension
        self._mask = mask
        self._filter = ""
        if mask is not None and int(mask.sum()) <= _MOST_NAMED:
            self._filter = f"row in {np.flatnonzero(mask).tolist()}"
        elif collections is not None:
            self._filter = f"collection in {json.dumps(list(collections), ensure_ascii=False)}"

    @property
    def place(self) -> str:
        """The address of the Milvus."""
        return self._place.uri

    def within(self, mask: Mask, collections: Sequence[str]) -> MilvusIndex:
        """The same index with only the rows that the mask, shape (rows,), allows; rows keep their numbers.

        Milvus is asked for few rows by number, and for many by their collections: then of the nearest `k` rows those
        are left out that the mask does not allow.
        """
        return MilvusIndex(self._client, self._place, self.kind, self.count, self.dimension, collections, mask)

    def search(self, query: Vectors, k: int) -> tuple[list[int], list[float]]:
        """The `k` nearest rows, best first, and their cosines; `query` has shape (dimension,).

        Fewer where there are fewer.
        """
        if self._mask is not None and not self._mask.any():
            return [], []
        with _reporting(self.place):
            [hits] = _search(
                self._client, self._place.collection, query[np.newaxis], min(k, self.count), self.kind, self._filter
            )
        allowed = [hit for hit in hits if self._mask is None or self._mask[hit["row"]]]
        return [hit["row"] for hit in allowed], [float(hit["distance"]) for hit in allowed]

    def scores(self, query: Vectors, rows: Sequence[int]) -> list[float]:
        """Cosines of `query` with rows that another ranking found."""
        return [float(score) for score in self.vectors(rows) @ query]

    def vectors(self, rows: Sequence[int]) -> Vectors:
        """The vectors of these rows, shape (rows, dimension), in their order.

        Raises IndexCorrupt: a row is missing.
        """
        vectors: dict[int, Vectors] = {}
        wanted = list(dict.fromkeys(map(int, rows)))
        step = _rows_per_message(self.dimension)
        with _reporting(self.place):
            for start in range(0, len(wanted), step):
                ids = wanted[start : start + step]
                for found in self._client.get(
                    self._place.collection, ids=ids, output_fields=["row", "vector"], timeout=SEARCH_TIMEOUT_S
                ):
                    vectors[found["row"]] = np.asarray(found["vector"], dtype=np.float32)
        if missing := [row for row in wanted if row not in vectors]:
            raise IndexCorrupt(
                f"{self._place.collection} in Milvus at {self.place} lacks the row {missing[0]}: build the index again"
            )
        return np.array([vectors[int(row)] for row in rows], dtype=np.float32).reshape(len(rows), self.dimension)


def collection_of(folder: Path) -> str:
    """A generation's collection in Milvus, which takes letters, digits and underscores in a name."""
    return folder.name.replace("-", "_")


def _create(client: Any, name: str, dimension: int, index_type: str) -> None:
    from pymilvus import DataType

    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("row", DataType.INT64, is_primary=True)
    schema.add_field("collection", DataType.VARCHAR, max_length=_LONGEST_NAME)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
    parameters = client.prepare_index_params()
    parameters.add_index(
        "vector", index_type=index_type, metric_type="IP", params=_GRAPH if index_type == "HNSW" else {}
    )
    # A whole generation never changes, so searches need not wait for the newest state; counting does.
    client.create_collection(
        name, schema=schema, index_params=parameters, consistency_level="Bounded", timeout=BUILD_TIMEOUT_S
    )


def _count_rows(client: Any, name: str) -> int:
    [row] = client.query(
        name, filter="", output_fields=["count(*)"], consistency_level="Strong", timeout=BUILD_TIMEOUT_S
    )
    return int(row["count(*)"])


def _search(client: Any, name: str, queries: Vectors, k: int, kind: DenseKind, condition: str = "") -> Any:
    """For each query its hits, each with `row` and `distance`, the inner product."""
    parameters: dict[str, Any] = {"metric_type": "IP", "params": {"ef": max(kind.rescored, k)} if kind.rescored else {}}
    return client.search(
        name,
        data=list(queries),
        anns_field="vector",
        filter=condition,
        limit=k,
        output_fields=["row"],
        search_params=parameters,
        timeout=SEARCH_TIMEOUT_S,
    )


def _choose_list(client: Any, name: str, vectors: Vectors) -> DenseKind:
    """How many candidates a search through the graph keeps: the least power of two that suffices on a sample."""
    questions = draw_questions(vectors)
    exact = np.argsort(-(questions @ vectors.T), axis=1, kind="stable")[:, :10]
    kept, recall = _MIN_LIST // 2, 0.0
    while recall < TARGET_RECALL and kept < _MAX_LIST:
        kept *= 2
        hits = _search(client, name, questions, 10, DenseKind(_HNSW, kept))
        recall = recall_of(np.array([[hit["row"] for hit in found] for found in hits]), exact)
    return DenseKind(_HNSW, kept, round(recall, 4))


def _rows_per_message(dimension: int) -> int:
    return max(1, _BATCH_BYTES // (4 * dimension))


@contextmanager
def _reporting(uri: str) -> Iterator[None]:
    """Raise what Milvus refuses, or does not answer, as one sentence."""
    import grpc
    from pymilvus.exceptions import ErrorCode, MilvusException

    try:
        yield
    except MilvusException as error:
        reason = " ".join(str(error.message).split())[:300] or type(error).__name__
        if error.code == ErrorCode.COLLECTION_NOT_FOUND:
            raise MilvusUnavailable(
                f"the vectors are no longer in Milvus at {uri} ({reason}): was the index built again? open it again"
            ) from error
        advice = (
            "is it up, and is CHIPALIGN_MILVUS_URI right?" if "://" in uri else "is another process using the file?"
        )
        raise MilvusUnavailable(f"Milvus at {uri} does not answer or refuses ({reason}): {advice}") from error
    except grpc.RpcError as error:
        raise MilvusUnavailable(
            f"Milvus at {uri} does not answer ({error}): is it up, and is CHIPALIGN_MILVUS_URI right?"
        ) from error
