"""The measures of retrieval, and of decisions with their uncertainty. Pure mathematics: numbers in, numbers out.

A question's result is a list of ranks: for each wanted passage the rank (from 1) at which it was found, or None. It
does not know what a passage is or how it was searched.

    recall_at([2, None, 7], k=5)  # one of three: 0.333
    estimate_share(3, 4)  # 0.75 with its 95 % interval
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ranks = Sequence[int | None]

CUTOFFS = (1, 3, 5, 10, 15, 20)
NDCG_CUTOFF = 5


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean or share with its 95 % interval."""

    mean: float
    low: float
    high: float


def find_ranks(ranking: Sequence[str], wanted: Sequence[Collection[str]]) -> list[int | None]:
    """For each wanted passage the rank, from 1, of the first id in `ranking` that stands for it, or None.

    Several ids may stand for one passage.
    """
    return [next((rank for rank, found in enumerate(ranking, start=1) if found in ids), None) for ids in wanted]


def recall_at(ranks: Ranks, k: int) -> float:
    """The share of the wanted passages that are among the first `k` hits."""
    return sum(rank is not None and rank <= k for rank in ranks) / len(ranks)


def reciprocal_rank(ranks: Ranks) -> float:
    """1 / rank of the first wanted passage; 0 where none was found. Its mean over questions is the MRR."""
    return max((1.0 / rank for rank in ranks if rank is not None), default=0.0)


def ndcg_at(ranks: Ranks, k: int) -> float:
    """Normalised discounted cumulative gain of the first `k` hits.

    A hit counts 1 where it is a wanted passage not seen before, else 0. DCG = sum of 1 / log2(rank + 1); Järvelin &
    Kekäläinen, "Cumulated gain-based evaluation of IR techniques", TOIS 2002. The ideal list has all wanted passages in
    front. One hit that stands for two wanted passages counts once.
    """
    gained = sum(_discount(rank) for rank in {rank for rank in ranks if rank is not None and rank <= k})
    return gained / sum(_discount(rank) for rank in range(1, min(len(ranks), k) + 1))


def _discount(rank: int) -> float:
    return 1.0 / math.log2(rank + 1)


def measure_question(ranks: Ranks, cutoffs: Sequence[int] = CUTOFFS) -> dict[str, float]:
    """All measures of one question, by name: recall@k for each cutoff, MRR, nDCG@5."""
    recalls = {f"recall@{k}": recall_at(ranks, k) for k in cutoffs}
    return {**recalls, "MRR": reciprocal_rank(ranks), f"nDCG@{NDCG_CUTOFF}": ndcg_at(ranks, NDCG_CUTOFF)}


def estimate_share(successes: int, total: int) -> Estimate | None:
    """A share with Wilson's 95 % score interval; None of nothing.

    The interval stays honest at 0 and 1, where a bootstrap has no width. Wilson, "Probable inference, the law of
    succession, and statistical inference", JASA 1927.
    """
    if total == 0:
        return None
    z = 1.959963984540054  # the 97.5 % point of the normal distribution
    share = successes / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return Estimate(share, max(0.0, centre - half), min(1.0, centre + half))


@dataclass(frozen=True, slots=True)
class Decision:
    """How often the search said "not in these documents", and was right.

    `precision` is of what it said, `recall` of what it should have said. Both are None where no question is
    unanswerable: then nothing can be right, and `said_wrongly` says all.
    """

    said_rightly: int
    said_wrongly: int
    missed: int
    answered_rightly: int
    precision: Estimate | None
    recall: Estimate | None


def judge_decision(answerable: Sequence[bool], answered: Sequence[bool]) -> Decision:
    """Compare, per question, whether the documents answer it with whether the search judged it answerable."""
    pairs = list(zip(answerable, answered, strict=True))
    rightly, wrongly = pairs.count((False, False)), pairs.count((True, False))
    missed, answered_rightly = pairs.count((False, True)), pairs.count((True, True))
    recall = estimate_share(rightly, rightly + missed)
    precision = estimate_share(rightly, rightly + wrongly) if recall else None
    return Decision(rightly, wrongly, missed, answered_rightly, precision, recall)


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Questions whose best passage scored between `low` and `high`.

    How many they are, the share that the documents answer, and the share that was judged answerable.
    """

    low: float
    high: float
    questions: int
    answerable: float
    answered: float


def tabulate_reliability(
    scores: Sequence[float], answerable: Sequence[bool], answered: Sequence[bool], bins: int = 5
) -> list[ReliabilityBin]:
    """Questions in at most `bins` groups of (nearly) equal size by rising score.

    A score can be trusted as far as `answerable` rises with it.
    """
    rows = np.argsort(np.asarray(scores, dtype=np.float64), kind="stable")
    return [_describe_bin(part, scores, answerable, answered) for part in np.array_split(rows, bins) if len(part)]


def _describe_bin(
    rows: NDArray[np.intp], scores: Sequence[float], answerable: Sequence[bool], answered: Sequence[bool]
) -> ReliabilityBin:
    shares = [sum(flags[row] for row in rows) / len(rows) for flags in (answerable, answered)]
    return ReliabilityBin(scores[rows[0]], scores[rows[-1]], len(rows), *shares)
