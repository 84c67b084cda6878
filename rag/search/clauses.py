"""The clauses of a question that asks for several things. Rules on words; no model, no index.

Two passages answer "Insert filler cells, then report the clock skew", and each says nothing of half of the question:
the clause that they fit finds them. A question of one clause has none.

    split_clauses("Insert filler cells in every row, then report the skew of the clock")
    # ["Insert filler cells in every row", "report the skew of the clock"]
"""

from __future__ import annotations

import re

from rag.index.bm25 import content_terms

LEAST_TERMS = 3  # of a clause: fewer, as in "setup and hold", are not a question by themselves
MOST_CLAUSES = 6  # each is searched for; a pasted log is not cut into a hundred
MOST_TOPIC = 6  # words of a topic before a colon
_TOPIC = re.compile(r"\s*([^.?!:;\n]+:)\s+(?=\S)")
_CONNECTIVE = r"(?:and|then|while|but|after|before|so that|such that)\s"
_BREAK = re.compile(rf"(?:(?<=[.?!;:])\s+|,\s+|\s+(?={_CONNECTIVE}))(?:{_CONNECTIVE}\s*)*", re.IGNORECASE)


def split_clauses(question: str) -> list[str]:
    """The clauses in their order, each with the words before it that are too few for one; none if there are under two.

    A topic that stands before them all with a colon, as in "pad ring: pitch, and who fills the gaps", is each one's.

    A clause ends with its sentence, at a comma or semicolon, or before a connective. It has at least three terms that
    do not only ask (`content_terms`), or a sixth of the terms of all parts, so that there are at most six, and text
    that repeats itself has none.
    """
    topic = _TOPIC.match(question)
    if topic and len(topic[1].split()) <= MOST_TOPIC and content_terms(topic[1]):
        return [f"{topic[1]} {clause}" for clause in _cut(question[topic.end() :])]
    return _cut(question)


def _cut(question: str) -> list[str]:
    starts, ends = [0], []
    for found in _BREAK.finditer(question):
        ends.append(found.start())
        starts.append(found.end())
    pieces = list(zip(starts, [*ends, len(question)], strict=True))
    terms = [content_terms(question[start:end]) for start, end in pieces]
    least = max(LEAST_TERMS, -(-sum(map(len, terms)) // MOST_CLAUSES))
    clauses: list[tuple[int, int]] = []
    begin, gathered = 0, frozenset[str]()
    for (start, end), own in zip(pieces, terms, strict=True):
        begin, gathered = (begin if gathered else start), gathered | own
        if len(gathered) >= least:
            clauses.append((begin, end))
            gathered = frozenset()
    if len(clauses) < 2:
        return []
    if gathered:  # too few terms to stand alone
        clauses[-1] = (clauses[-1][0], len(question))
    return [question[start:end] for start, end in clauses]
