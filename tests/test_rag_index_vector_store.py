"""rag.index.vector_store: the store is chosen by the settings, and an index is found where it was written to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rag.errors import IndexCorrupt
from rag.index.manifest import DenseKind
from rag.index.milvus import PLACE, Milvus, Place
from rag.index.vector_store import FILES, choose_store, drop_vectors, open_vectors, store_at, vector_files
from rag.settings import RagSettings

VECTORS = np.eye(3, dtype=np.float32)
DOWN = Milvus("http://127.0.0.1:1", "root:s3cret")  # nothing listens there


def test_the_settings_choose_the_store() -> None:
    assert choose_store(RagSettings()) == FILES
    assert choose_store(RagSettings(milvus_uri="http://milvus:19530", milvus_token="key")) == Milvus(
        "http://milvus:19530", "key"
    )
    assert choose_store(RagSettings(milvus_uri="some.db")).place == str(Path("some.db").resolve())


def test_the_key_stays_with_its_own_address() -> None:
    assert store_at(DOWN.place, DOWN) is DOWN
    assert store_at("http://other:19530", DOWN) == Milvus("http://other:19530")
    assert store_at("", DOWN) == FILES


def test_vectors_in_files_are_opened_whatever_the_settings_name(tmp_path: Path) -> None:
    kind = FILES.write(tmp_path, VECTORS, ["notes"] * 3)
    assert {path.name for path in tmp_path.iterdir()} == vector_files(kind)
    dense = open_vectors(tmp_path, kind, DOWN)
    assert (dense.place, dense.count, dense.dimension) == ("", 3, 3)
    drop_vectors(tmp_path, DOWN)  # asks nobody
    assert FILES.holds(tmp_path)


def test_vectors_in_a_milvus_that_is_no_longer_there_are_missed_by_name(tmp_path: Path) -> None:
    Place(str(tmp_path / "gone.db"), "generation_0123456789ab").write(tmp_path / PLACE)
    with pytest.raises(IndexCorrupt, match=r"no collection generation_0123456789ab in Milvus at \S+gone\.db: build"):
        open_vectors(tmp_path, DenseKind("milvus-flat"), FILES)
    assert not (tmp_path / "gone.db").exists()
