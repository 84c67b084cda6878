"""Reciprocal rank fusion: one list from several ranked lists, by ranks alone. Pure mathematics.

It knows nothing of scores, whose scales (cosine, BM25) do not compare; that is the point of the method.

    fuse_ranks([[7, 3], [3, 9]], k=60)[0][0] == 3
"""

from collections.abc import Sequence


def fuse_ranks(rankings: Sequence[Sequence[int]], k: int = 60) -> list[tuple[int, float]]:
    """Fuse ranked lists of row numbers, best first: score(d) = sum over lists of 1 / (k + rank), rank from 1.

    Cormack, Clarke, Buettcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning methods",
    SIGIR 2009; k = 60 is theirs. A row that a list names twice counts at its best rank. Equal scores are ordered by row,
    so that the result depends on the input alone.
    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, row in enumerate(dict.fromkeys(ranking), start=1):
            scores[row] = scores.get(row, 0.0) + 1.0 / (k + rank)
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))
