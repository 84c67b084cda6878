"""The probability that an index answers a question, from what the search found and how much the index knows of it.

Pure mathematics: it searches nothing. rag.training.relevance_fit fits its coefficients and measures their worth.

    evidence = Evidence(similarity=0.7, coverage=0.8, unknown=0.0, terms=4)
    relevance(evidence, by_token=True) > 0.5
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

Coefficients = tuple[float, ...]
# Logistic regression; coefficients of 1, then of the fields of Evidence: of the terms it is the logarithm of 1 + terms.
# A longer question is never covered as well as a short one, which is why its length speaks for it. Fitted on 2026-11-30
# to 1,535 questions with the default embedder: those of data/eval that retrieval is measured with, and
# data/training/evidence.jsonl, over the handbook and five corpora; and data/eval/leftout over its own documents.
BY_TOKEN = (-11.65, 5.12, 5.50, -1.90, 4.87, -1.63, -4.27, -2.41, 0.67, -13.90, -5.90)
# Fitted the day before, without what is new since: fitted anew, a plain question over six documents is refused
BY_COSINE = (-12.12, 7.28, 7.35, -2.92, 3.18, -2.28, -4.84, 0.0, 0.0, 0.0, 0.0)
# The same where passages were read with the question; the last one is of the reading. Fitted on 2026-11-30 to 1,809
# questions, those above and data/eval/unseen.jsonl; then 0.21 was taken from the first one, so that the threshold of
# 0.35 refuses what 0.4 would: with reading, a refusal is right more often.
READ_BY_TOKEN = (-7.60, 5.34, 1.89, -3.22, 4.27, -1.49, -4.79, -1.30, 0.24, -12.13, -5.36, 1.02)
READ_BY_COSINE = (-11.60, 9.27, 5.67, -3.19, 3.41, -1.07, -5.31, -1.55, 0.70, 0.0, 0.0, 1.03)
# The same for an index of few passages. Fitted on 2026-12-01 to 7,020 questions about small parts of these indexes
# (rag.training.few_passages_fit); then 0.40 was taken from the first one, as above.
READ_OF_FEW = (-9.33, 15.90, 6.09, -5.34, 1.61, -5.03, -4.42, 0.42, -1.84, 0.0, 0.0, 0.64)
# Between these the signs of the search leave a doubt, and reading is worth its time
DOUBT = (0.02, 0.98)
# What is unknown to n passages counts n / (n + FEW_PASSAGES): a handful of pages lacks many an ordinary word.
FEW_PASSAGES = 100


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for and against an answer.

    similarity: of the passage that is most similar, token by token (rag.index.late) or, where an index has no tokens,
    by the cosine. coverage: the share of the question's terms, weighted by idf, that the passage with most of them
    holds. unknown: the share of those that stand in no passage at all, as the names of another company's tools do.
    terms: how many terms the question has, without those that only ask.

    unknown_name: 1 where the question has an exact name (an option, a command, a message number) that stands in no
    passage, and is neither the asker's own nor of a message of a known tool, else 0. foreign_tool: 1 where the question
    names a tool of chip design (rag.search.eda_tools) and none that a document is about, else 0. named: 1 where the
    question has an exact name that a passage holds, else 0; then beside_name is the coverage of its other terms by
    passages with that name: what is asked of it may stand nowhere.

    spread: how much more similar the first passages together are than the most similar one: parts of the question that
    only different passages have. unmet: the share of the question's tokens, by weight, that are near none of them.

    reading: the logarithm of the odds that a passage answers, of the one that a reader (rag.embedding.passage_reader)
    thinks likeliest; None: nothing was read.

    What an index of few passages lacks says little (see FEW_PASSAGES): what is of names and unknown is then smaller.
    """

    similarity: float
    coverage: float
    unknown: float
    terms: int
    unknown_name: float = 0.0
    foreign_tool: float = 0.0
    named: float = 0.0
    beside_name: float = 0.0
    spread: float = 0.0
    unmet: float = 0.0
    reading: float | None = None

    def features(self) -> tuple[float, ...]:
        """What the coefficients are multiplied with."""
        similarity, coverage, unknown, terms, *others, reading = astuple(self)
        known = (1.0, similarity, coverage, unknown, math.log1p(terms), *others)
        return known if reading is None else (*known, reading)


def weigh_unknown(passages: int) -> float:
    """How much it says, from 0 to 1, that an index of so many passages does not hold a word."""
    return passages / (passages + FEW_PASSAGES)


def is_doubtful(likely: float) -> bool:
    """Whether a relevance without reading says too little to answer or refuse by it."""
    return DOUBT[0] < likely < DOUBT[1]


def relevance(evidence: Evidence, *, by_token: bool, of_few: bool = False) -> float:
    """The probability that the index answers the question.

    by_token: what the similarity is of. of_few: the index has fewer than `FEW_PASSAGES`.
    """
    if evidence.reading is None:
        coefficients: Coefficients = BY_TOKEN if by_token else BY_COSINE
    else:
        coefficients = READ_OF_FEW if of_few else READ_BY_TOKEN if by_token else READ_BY_COSINE
    return 1 / (1 + math.exp(-sum(map(math.prod, zip(coefficients, evidence.features(), strict=True)))))
