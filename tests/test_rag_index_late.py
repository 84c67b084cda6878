"""rag.index.late: passages scored token by token, against products of signs that are counted one by one."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from rag.embedding.embedder import Embedded, Vectors
from rag.embedding.processor import multiplies_eight_bits
from rag.errors import IndexCorrupt
from rag.index.bm25 import idf
from rag.index.late import LATE_FILES, SIGN_COSINE, LateIndex, PackedTokens, pack_tokens
from tests.tiny_embedder import TinyEmbedder

TEXTS = ["antenna diode repair", "hold buffer", "clock tree buffer skew", "..."]


def embed(*texts: str) -> list[Embedded]:
    return list(TinyEmbedder().embed_tokens(texts))


@pytest.fixture
def index() -> LateIndex:
    return LateIndex.build([pack_tokens(embedded) for embedded in embed(*TEXTS)], TinyEmbedder.dimension)


def score_by_hand(question: Embedded, passage: Embedded, weights: list[float]) -> float:
    """The weighted mean, over the question's tokens, of the best sum of its numbers with the passage's signs, as a
    cosine.
    """
    best = []
    for token in question.token_vectors:
        best.append(
            max(
                sum(float(n) * (1 if m >= 0 else -1) for n, m in zip(token, other, strict=True))
                for other in passage.token_vectors
            )
        )
    mean = sum(weight * one for weight, one in zip(weights, best, strict=True)) / sum(weights)
    return mean / math.sqrt(TinyEmbedder.dimension) / math.sqrt(2 / math.pi)


def test_a_score_is_the_weighted_mean_of_the_best_products_with_signs(index: LateIndex) -> None:
    [question] = embed("buffer skew unheard")
    weights = [idf(4, 2), idf(4, 1), idf(4, 0)]  # rows that hold buffer, skew, and the word that none holds
    [found] = index.score([question], [2, 0, 1])
    expected = [score_by_hand(question, passage, weights) for passage in embed(TEXTS[2], TEXTS[0], TEXTS[1])]
    # Of numbers rounded to 8 bits
    assert found == pytest.approx(expected, abs=1.5e-3 if multiplies_eight_bits() else 1e-5)
    assert found[0] == max(found)


def test_signs_estimate_the_cosine() -> None:
    vectors: Vectors = np.random.default_rng(0).normal(size=(50, 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    passage = Embedded(0, vectors[0], np.arange(50), vectors)
    index = LateIndex.build([pack_tokens(passage)], 384)
    [[itself]] = index.score([Embedded(0, vectors[0], np.array([7]), vectors[7:8])], [0])
    assert itself == pytest.approx(1, abs=0.05)  # that of a token with itself
    assert pytest.approx(math.sqrt(2 / math.pi)) == SIGN_COSINE


def test_nothing_to_compare_scores_nothing(index: LateIndex) -> None:
    [question, empty] = embed("buffer", "")
    assert index.score([empty], [0, 1]) == [[0.0, 0.0]]
    assert index.score([question], []) == [[]]
    assert index.score([], [0, 1]) == []
    bare = LateIndex.build(
        [PackedTokens(np.zeros(0, np.uint32), np.zeros((0, 4), np.uint8)), pack_tokens(embed("hold buffer")[0])], 32
    )
    [[nothing, something]] = bare.score([question], [0, 1])
    assert nothing == 0.0
    assert something > 0.5


def test_several_questions_score_as_each_alone(index: LateIndex) -> None:
    questions = embed("clock buffer", "", "antenna diode of a hold buffer")
    expected = [index.score([question], [3, 0, 2])[0] for question in questions]
    assert [len(question.token_ids) for question in questions] == [2, 0, 6]
    assert np.array(index.score(questions, [3, 0, 2])) == pytest.approx(np.array(expected), abs=1e-6)


def test_what_was_saved_scores_the_same(index: LateIndex, tmp_path: Path) -> None:
    index.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(LATE_FILES)
    loaded = LateIndex.load(tmp_path, len(TEXTS), TinyEmbedder.dimension)
    [question] = embed("clock buffer")
    assert loaded.score([question], [0, 1, 2, 3]) == index.score([question], [0, 1, 2, 3])
    kept, given = loaded.row(2), pack_tokens(embed(TEXTS[2])[0])
    assert kept.ids.tolist() == given.ids.tolist()
    assert kept.bits.tolist() == given.bits.tolist()


@pytest.mark.parametrize(("count", "dimension"), [(3, 32), (4, 40)])
def test_arrays_of_another_index_are_refused(index: LateIndex, tmp_path: Path, count: int, dimension: int) -> None:
    index.save(tmp_path)
    with pytest.raises(IndexCorrupt, match="do not fit together: build the index again"):
        LateIndex.load(tmp_path, count, dimension)


def test_an_array_that_needs_pickle_is_refused(index: LateIndex, tmp_path: Path) -> None:
    index.save(tmp_path)
    np.save(tmp_path / LATE_FILES[0], np.array([{}]), allow_pickle=True)
    with pytest.raises(IndexCorrupt, match="cannot be read"):
        LateIndex.load(tmp_path, len(TEXTS), TinyEmbedder.dimension)
