"""The probability that an index answers a question, from what the search found and how much the index knows of it.

Pure mathematics: it searches nothing. rag.training.relevance_fit fits its coefficients and measures their worth.

    evidence = Evidence(similarity=0.7, coverage=0.8, unknown=0.0, unknown_name=0.0, foreign_tool=0.0, terms=4)
    relevance(evidence, by_token=True) > 0.5
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

# Logistic regression; coefficients of 1, then of the fields of Evidence, the last one's of the logarithm of 1 + terms.
# A longer question is never covered as well as a short one, which is why its length speaks for it. Fitted on 2026-11-29
# to 1,182 questions: those of data/eval that retrieval is measured with, and data/training/evidence.jsonl, over the
# handbook and five corpora, with the default embedder.
BY_TOKEN = (-16.43, 15.27, 3.58, -2.68, -2.90, -4.10, 3.77)
BY_COSINE = (-12.12, 7.28, 7.35, -2.92, -2.28, -4.84, 3.18)
# The same where passages were read with the question; the last one is of the reading. Fitted with the adapter before.
READ_BY_TOKEN = (-14.04, 12.66, 2.60, -4.79, -1.56, -4.74, 4.15, 1.30)
READ_BY_COSINE = (-11.32, 7.17, 5.69, -4.65, -1.30, -5.07, 3.80, 1.31)
# What is unknown to n passages counts n / (n + FEW_PASSAGES): a handful of pages lacks many an ordinary word.
FEW_PASSAGES = 100


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for and against an answer.

    similarity: of the passage that is most similar, token by token (rag.index.late) or, where an index has no tokens,
    by the cosine. coverage: the share of the question's terms, weighted by idf, that the passage with most of them
    holds. unknown: the share of those that stand in no passage at all, as the names of another company's tools do.
    unknown_name: 1 where the question has an exact name (an option, a command, a message number) that stands in no
    passage, else 0. foreign_tool: 1 where the question names a tool of chip design (rag.search.eda_tools) and none that
    a document is about, else 0. terms: how many terms the question has, without those that only ask. reading: the
    logarithm of the odds that a passage answers, of the one that a reader (rag.embedding.passage_reader) thinks
    likeliest; None: nothing was read.

    What is unknown to an index of few passages says little (see FEW_PASSAGES): both are then smaller.
    """

    similarity: float
    coverage: float
    unknown: float
    unknown_name: float
    foreign_tool: float
    terms: int
    reading: float | None = None

    def features(self) -> tuple[float, ...]:
        """What the coefficients are multiplied with."""
        *others, terms, reading = astuple(self)
        return (1.0, *others, math.log1p(terms), *(() if reading is None else (reading,)))


def weigh_unknown(passages: int) -> float:
    """How much it says, from 0 to 1, that an index of so many passages does not hold a word."""
    return passages / (passages + FEW_PASSAGES)


def relevance(evidence: Evidence, *, by_token: bool) -> float:
    """The probability that the index answers the question. by_token: what the similarity is of."""
    is_read = evidence.reading is not None
    coefficients = (READ_BY_TOKEN if by_token else READ_BY_COSINE) if is_read else (BY_TOKEN if by_token else BY_COSINE)
    return 1 / (1 + math.exp(-sum(map(math.prod, zip(coefficients, evidence.features(), strict=True)))))
