"""rag.index.selection: names to collections, collections to rows, and BM25 as if nothing else were indexed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import CollectionUnknown
from rag.index.bm25 import Bm25Index
from rag.index.selection import mask_of, select_collections

KNOWN = ["handbook", "openroad", "openroad@2.0", "openroad@3.0", "openroad-flow"]
WORDS = ["hold", "setup", "clock", "set_wire_rc", "-hold"]


def test_a_name_means_its_collection_and_every_version_of_it() -> None:
    assert select_collections(["openroad"], KNOWN) == ["openroad", "openroad@2.0", "openroad@3.0"]
    assert select_collections(["openroad@2.0", "handbook", "handbook"], KNOWN) == ["handbook", "openroad@2.0"]


def test_all_unknown_names_are_reported_with_the_known_ones() -> None:
    with pytest.raises(
        CollectionUnknown, match=r"no collection 'vivado', 'openroad@9'; it holds handbook, openroad, openroad-flow, "
    ):
        select_collections(["vivado", "handbook", "openroad@9"], KNOWN)


def test_the_mask_is_true_for_the_rows_of_the_names() -> None:
    rows = {"a": (0, 2), "b": (2, 2), "c": (2, 5)}
    assert mask_of(rows, ["a", "b"], 5).tolist() == [True, True, False, False, False]
    assert mask_of(rows, ["c", "a"], 5).all()


@given(
    texts=st.lists(st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join), min_size=1, max_size=8),
    query=st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join),
    data=st.data(),
)
def test_selected_bm25_is_the_whole_one_without_the_other_rows(
    texts: list[str], query: str, data: st.DataObject
) -> None:
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(texts), max_size=len(texts))))
    whole = Bm25Index.build(texts)
    selected = whole.within(mask)
    expected = [(row, score) for row, score in zip(*whole.search(query, len(texts)), strict=True) if mask[row]]
    assert list(zip(*selected.search(query, len(texts)), strict=True)) == expected
    assert selected.rows_with(query.split()[0]) == {row for row in whole.rows_with(query.split()[0]) if mask[row]}
    assert selected.coverage(query)[0] == 0 or mask.any()


def test_coverage_counts_only_the_selected_rows() -> None:
    whole = Bm25Index.build(["hold buffers", "hold clock tree"])
    assert whole.coverage("hold buffers") == pytest.approx((1, 0))
    assert whole.within(np.array([False, True])).coverage("hold buffers") == pytest.approx((0.5, 0.5))
