"""Which passages an answer stands on: the markers it carries, or else the passages whose words it uses. Pure text.

It does not judge whether the answer is right.

    cite("Use -guide_file [1].", hits) == [Citation(number=1, start=16, end=19)]
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rag.bm25 import find_tokens, is_identifier, tokenize
from rag.documents import Hit, searchable_text

# A sentence is credited to a passage that holds at least half of its weight: below that, shared words are mostly the
# question's own. Two weights at the least: one common noun is no source.
MIN_OVERLAP = 0.5
MIN_WEIGHT = 2.0
IDENTIFIER_WEIGHT = 3.0  # `set_wire_rc` in both is stronger evidence than "wire" in both

_CODE = re.compile(r"```.*?(?:```|$)|`[^`\n]*`", re.DOTALL)
_MARKER = re.compile(r"(?<!\w)\[\s*(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\s*\]")
_SENTENCE = re.compile(r"[^\s].*?(?:[.!?](?=\s|$)|(?=\n)|$)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Citation:
    """`answer[start:end]` stands on passage `number` (1 is the first hit). The span is the marker, or a whole sentence."""

    number: int
    start: int
    end: int


def cite(answer: str, hits: Sequence[Hit]) -> list[Citation]:
    """Citations in the order of the answer.

    Markers first: [1], [2][3], [1, 2]; numbers of no passage are left out, and so are brackets in code or directly after a
    name: clk[3] is a bus bit. Without any valid marker each sentence is credited to the passage that shares most of its words, if that is enough.
    """
    marked = cite_markers(answer, len(hits))
    return marked or _cite_sentences(answer, hits)


def cite_markers(answer: str, passages: int) -> list[Citation]:
    """The markers that are in the text, outside of code, with a number of one of the passages."""
    found: list[Citation] = []
    code = [match.span() for match in _CODE.finditer(answer)]
    for match in _MARKER.finditer(answer):
        if any(start <= match.start() < end for start, end in code):
            continue
        numbers = dict.fromkeys(int(number) for number in re.findall(r"\d+", match[1]))
        found += [Citation(number, match.start(), match.end()) for number in numbers if 1 <= number <= passages]
    return found


def _cite_sentences(answer: str, hits: Sequence[Hit]) -> list[Citation]:
    passages = [frozenset(tokenize(searchable_text(hit.chunk))) for hit in hits]
    found: list[Citation] = []
    for match in _SENTENCE.finditer(answer):
        weights = _weigh(match.group())
        total = sum(weights.values())
        if total < MIN_WEIGHT or not passages:
            continue
        overlaps = [sum(weight for term, weight in weights.items() if term in passage) for passage in passages]
        best = max(range(len(passages)), key=lambda row: (overlaps[row], -row))
        if overlaps[best] >= max(MIN_OVERLAP * total, MIN_WEIGHT):
            end = match.start() + len(match.group().rstrip())
            found.append(Citation(best + 1, match.start(), end))
    return found


def _weigh(sentence: str) -> dict[str, float]:
    """Terms of a sentence with their weights."""
    weights = dict.fromkeys(tokenize(sentence), 1.0)
    for token in find_tokens(sentence):
        if is_identifier(token) and token.lower() in weights:
            weights[token.lower()] = IDENTIFIER_WEIGHT
    return weights
