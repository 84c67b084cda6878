"""Finds which passages support a sentence that a model wrote: by exact names, numbers with units, polarity and meaning.

Names and numbers decide by themselves: a passage that lacks one of them supports nothing. The rest is a probability
from the traits of each clause beside each window of the passages; rag.training.support_fit fits its coefficients and
measures their worth. It asks no model, and does not know what is true: only what the passages say.

    sources = read_sources(hits, retriever)
    [part] = split_answer(answer := "Use `repair_antennas` for antenna violations.")
    assert check_part(answer, part, sources, quotes, retriever).passages == (1,)
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rag.answering.names import find_names
from rag.answering.quotes import Quote
from rag.answering.scoring import log_odds
from rag.checking.facts import PASSAGE_MARKER, Facts, find_facts
from rag.checking.opposites import OPPOSITE
from rag.checking.sentences import Part
from rag.checking.windows import Piece, Source, TokenReader, Window, words_in
from rag.index.bm25 import STOP_WORDS, content_terms, is_cjk
from rag.index.dense import Vectors
from rag.passages import Span

SUPPORTED = 0.5  # the probability from which on a sentence counts as supported
CLOSE_BEHIND = 0.4  # in log odds, behind the best passage: a passage that supports it nearly as well is named too
LEAST_TERMS = 2  # a sentence with fewer, such as "Yes." or "Here is how:", has nothing to check
SMALL_WORD = 0.2  # the weight of a token of a word that is in every sentence, beside 1
WORST_SHARE = 0.3  # the worst supported share of a sentence's tokens, by weight
MOST_OF_BEST = (
    0.6  # of the terms that the best clause shares with the sentence, which another has that says a part of it
)
CLAUSE_TERMS = 3  # of a clause that is checked by itself
LITERAL = 5.0  # the log odds of a clause that stands in a passage word by word

# A match begins at the first of a row of blanks, never within it, so that a long row is read once.
_CLAUSE_BREAK = re.compile(
    r"(?:(?<!\s)\s+)?;\s+|,\s+(?:(?:and|but|so|which|while|whereas|then|because|since|as)\s+)?|"
    r"(?<!\s)\s+(?:because|since|so that|in order to|while|whereas)\s+"
)
_CODE = re.compile(r"`[^`\n]+`")
_SUBJECT = r"(?:context|passages?|documents?|documentation|text|excerpts?|sources?|materials?|information|quotes?)"
_DENIAL = re.compile(
    rf"\b{_SUBJECT}\b[^.]{{0,60}}\b(?:do(?:es)?(?: not|n[o']t)|fails? to|lacks?|"
    r"(?:has|have|provides?|contains?|gives?|holds?) no)\b"
    r"|\bnot (?:explicitly |directly |specifically )?"
    r"(?:mentioned|stated|specified|provided|described|covered|given|found|available|said|discussed|"
    rf"contained|included|documented)\b[^.]{{0,60}}\b(?:in|by)\b[^.]{{0,40}}\b{_SUBJECT}\b"
    rf"|\bno (?:mention|information|details?)\b[^.]{{0,80}}\b{_SUBJECT}\b"
    r"|\bI (?:do not|don't|cannot|can't|could not|couldn't) (?:know|find|answer|see)\b",
    re.IGNORECASE,
)


class Evidence(NamedTuple):
    """`text[start:end]` of the passage of hit `number`, counted from 1."""

    number: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Sentence:
    """`answer[start:end]`, the probability that the passages support it, and what does.

    That is passages by number, quotes by index, and evidence.
    """

    start: int
    end: int
    score: float
    passages: tuple[int, ...] = ()
    quotes: tuple[int, ...] = ()
    evidence: tuple[Evidence, ...] = ()

    @property
    def supported(self) -> bool:
        """Whether it counts as supported."""
        return self.score >= SUPPORTED


@dataclass(frozen=True, slots=True)
class Claim:
    """A clause of a sentence.

    `weights` and `vectors` are those of its tokens; `free` are the weights without names and code.
    """

    text: str
    facts: Facts
    terms: frozenset[str]
    words: frozenset[str]
    weights: Vectors  # shape (tokens,)
    free: Vectors  # shape (tokens,)
    vectors: Vectors  # shape (tokens, dimension)


class Traits(NamedTuple):
    """What is seen of a clause beside a window.

    near: the weighted mean, over the clause's tokens, of the cosine with the nearest token of the window or of what
    introduces it. worst: the same over the `WORST_SHARE` of the tokens that are farthest. local: as `near`, with those
    pieces of the window alone that hold the clause's names and numbers, or else most of its terms. terms: the share of
    the clause's terms that the window or what introduces it holds; own: that those pieces hold. outside: the share of
    its names and numbers that are in the passage, but not in the window. apart: how many pieces more than one it takes
    to find these, as the logarithm of 1 + n. opposite: how many words have their opposite alone in those pieces.
    denial: 1 where the clause denies and the piece that is nearest to it does not, or the other way; negated: 1 where
    the clause denies. rival: by how much what the clause says is nearer to what the passages say of other names than of
    its own; owned: the other way.
    """

    near: float
    worst: float
    local: float
    terms: float
    own: float
    outside: float
    apart: float
    opposite: float
    denial: float
    negated: float
    rival: float
    owned: float


# Logistic regression; coefficients of 1, then of the fields of Traits. BY_WORDS is for indexes that keep no vectors of
# tokens.
COEFFICIENTS = (-4.213, 5.247, -0.608, 1.102, -1.654, 2.735, -2.028, -1.222, -4.68, -0.737, 0.282, -5.729, 0.593)
BY_WORDS = (-2.195, 0.0, 0.0, 0.0, -1.3, 4.856, -2.076, -1.015, -5.453, -0.725, 0.494, 0.0, 0.0)


def _terms(text: str) -> frozenset[str]:
    """The terms of a text that say something; none of Chinese, Japanese and Korean, which English documents lack."""
    return frozenset(term for term in content_terms(text) if not is_cjk(term))


def denies_context(sentence: str) -> bool:
    """Whether a sentence says that the passages do not say something, which no passage can support."""
    return bool(_DENIAL.search(sentence))


def says_nothing(text: str) -> bool:
    """Whether a sentence has nothing to check: no name, no number, hardly a word with meaning."""
    return len(_terms(PASSAGE_MARKER.sub(" ", text))) < LEAST_TERMS and not find_facts(text).anchors


def is_claim(text: str, part: Part) -> bool:
    """Whether a part of an answer says something that has to be supported.

    Code, headings, and lead-ins that name nothing do not.
    """
    if part.kind in ("code", "heading") or says_nothing(text):
        return False
    return not (text.rstrip("*_ ").endswith(":") and not find_facts(text).anchors)


def check_part(
    text: str, part: Part, sources: Sequence[Source], quotes: Sequence[Quote], reader: TokenReader
) -> Sentence:
    """One part of an answer, `text`, compared with the passages.

    It is checked as a whole; of several clauses each is checked, and the weakest counts.
    """
    if denies_context(text):
        return Sentence(part.start, part.end, 0.0)
    found = [_find_support(claim, sources) for claim in read_claims(text, reader)]
    if not found or not all(found):
        return Sentence(part.start, part.end, 0.0)

    weakest = min(best[0][0] for best in found)
    windows = [(source, window) for best in found for odds, source, window in best if odds >= best[0][0] - CLOSE_BEHIND]
    passages = tuple(sorted({source.number for source, _ in windows}))
    held = {
        index
        for index, quote in enumerate(quotes)
        for source, window in windows
        if quote.number == source.number and quote.start < window.end and window.start < quote.end
    }
    evidence = {Evidence(source.number, window.start, window.end) for source, window in windows}
    score = 1 / (1 + math.exp(-weakest))
    sentence = Sentence(part.start, part.end, score, passages, tuple(sorted(held)), tuple(sorted(evidence)))
    return sentence if sentence.supported else Sentence(part.start, part.end, sentence.score)


def _find_support(claim: Claim, sources: Sequence[Source]) -> list[tuple[float, Source, Window]]:
    """The best window of each passage that holds the clause's names and numbers, with its odds; the best first."""
    best: list[tuple[float, Source, Window]] = []
    for source, traits in observe(claim, sources):
        coefficients = COEFFICIENTS if len(source.tokens.vectors) else BY_WORDS
        odds = [log_odds(seen, coefficients) for seen in traits]
        if len(claim.terms) >= CLAUSE_TERMS:
            odds = [
                LITERAL if window.says(claim.text) else value
                for window, value in zip(source.windows, odds, strict=True)
            ]
        row = max(range(len(odds)), key=odds.__getitem__)
        best.append((odds[row], source, source.windows[row]))
    return sorted(best, key=lambda found: (-found[0], found[1].number))


def read_claims(sentence: str, reader: TokenReader) -> list[Claim]:
    """The clauses of a sentence; one where it is not made of several."""
    sentence = PASSAGE_MARKER.sub(lambda marker: " " * len(marker.group()), sentence)
    tokens = reader.read_tokens(sentence)
    weights = np.array(
        [SMALL_WORD if sentence[start:end].lower() in STOP_WORDS else 1.0 for start, end in tokens.places],
        dtype=np.float32,
    )
    named = [(name.start, name.end) for name in find_names(sentence)] + [
        code.span() for code in _CODE.finditer(sentence)
    ]
    is_free = [not any(start <= first and last <= end for start, end in named) for first, last in tokens.places]
    free = weights * np.array(is_free, dtype=np.float32)

    claims: list[Claim] = []
    for start, end in split_claims(sentence):
        rows = np.flatnonzero((tokens.places[:, 0] >= start) & (tokens.places[:, 1] <= end))
        text = sentence[start:end]
        claims.append(
            Claim(
                text,
                find_facts(text),
                _terms(text),
                words_in(text),
                weights[rows],
                free[rows],
                tokens.vectors[rows],
            )
        )
    return claims


def split_claims(sentence: str) -> list[Span]:
    """Where the clauses of a sentence stand.

    A clause that says little belongs to the one before, a first one to the next.
    """
    cuts = [0, *(cut for found in _CLAUSE_BREAK.finditer(sentence) for cut in found.span()), len(sentence)]
    clauses: list[Span] = []
    for start, end in zip(cuts[::2], cuts[1::2], strict=True):
        is_short = len(_terms(sentence[start:end])) < CLAUSE_TERMS
        if clauses and (is_short or len(_terms(sentence[slice(*clauses[-1])])) < CLAUSE_TERMS):
            clauses[-1] = (clauses[-1][0], end)
        else:
            clauses.append((start, end))
    return clauses


def observe(claim: Claim, sources: Sequence[Source]) -> list[tuple[Source, list[Traits]]]:
    """What is seen of a clause beside each window of each passage that holds its names and numbers."""
    cosines = {source.number: _compare(claim, source) for source in sources}
    rival, owned = _weigh_rivals(claim, sources, cosines)
    return [
        (source, [_observe(claim, window, cosines[source.number], rival, owned) for window in source.windows])
        for source in sources
        if source.windows and source.holds(claim.facts)
    ]


def _compare(claim: Claim, source: Source) -> Vectors:
    """Cosines, shape (clause's tokens, passage's tokens)."""
    if not len(source.tokens.vectors) or not len(claim.vectors):
        return np.zeros((len(claim.weights), len(source.tokens.places)), dtype=np.float32)
    cosines: Vectors = claim.vectors @ source.tokens.vectors.T
    return cosines


def _weigh_rivals(claim: Claim, sources: Sequence[Source], cosines: dict[int, Vectors]) -> tuple[float, float]:
    """How near a clause is to pieces that hold its names, and to pieces that hold other names: (rival, owned)."""
    names = claim.facts.names | claim.facts.literals
    total = float(claim.free.sum())
    if not names or not total:
        return 0.0, 0.0
    own: list[float] = []
    others: list[float] = []
    for source in sources:
        for piece in {
            piece.rows.tobytes(): piece for window in source.windows for piece in window.pieces if len(piece.rows)
        }.values():
            near = float(claim.free @ _nearest(cosines[source.number], piece.rows)) / total
            if piece.held(names):
                own.append(near)
            elif piece.facts.names:
                others.append(near)
    if not own or not others:
        return 0.0, 0.0
    ahead = max(own) - max(others)
    return max(-ahead, 0.0), max(ahead, 0.0)


def _observe(claim: Claim, window: Window, cosines: Vectors, rival: float, owned: float) -> Traits:
    context, anchors = window.context, claim.facts.anchors
    beside = context.held(anchors)
    shared = [len(claim.terms & piece.terms) for piece in window.pieces]
    chosen, missing = _choose_pieces(anchors - beside, window.pieces, shared)
    apart = max(len(chosen) - 1, 0)
    if not chosen and any(shared):
        chosen = [row for row, count in enumerate(shared) if count >= MOST_OF_BEST * max(shared)]
    pieces = [window.pieces[row] for row in chosen]

    near = _nearest(cosines, _rows([*window.pieces, context]))
    local = _nearest(cosines, _rows([*pieces, context]))
    total = float(claim.weights.sum()) or 1.0
    held = frozenset[str]().union(context.terms, *(piece.terms for piece in window.pieces))
    own = frozenset[str]().union(context.terms, *(piece.terms for piece in pieces))
    words = frozenset[str]().union(context.words, *(piece.words for piece in pieces))
    closest = max(range(len(shared)), key=lambda row: (len(window.pieces[row].held(anchors)), shared[row]))
    denies = window.pieces[closest].facts.negations % 2
    return Traits(
        near=float(claim.weights @ near) / total,
        worst=_worst(claim.weights, near),
        local=float(claim.weights @ local) / total,
        terms=len(claim.terms & held) / (len(claim.terms) or 1),
        own=len(claim.terms & own) / (len(claim.terms) or 1),
        outside=len(missing) / (len(anchors) or 1),
        apart=math.log1p(apart),
        opposite=float(_count_opposites(claim.words, words)),
        denial=float(claim.facts.negations % 2 != denies),
        negated=float(claim.facts.negations > 0),
        rival=rival,
        owned=owned,
    )


def _choose_pieces(
    wanted: frozenset[str], pieces: Sequence[Piece], shared: Sequence[int]
) -> tuple[list[int], frozenset[str]]:
    """The fewest pieces that hold the names and numbers, taking the fullest first; and what no piece holds."""
    chosen: list[int] = []
    while wanted and pieces:
        best = max(range(len(pieces)), key=lambda row: (len(pieces[row].held(wanted)), shared[row]))
        if not pieces[best].held(wanted):
            break
        chosen.append(best)
        wanted -= pieces[best].held(wanted)
    return chosen, wanted


def _count_opposites(said: frozenset[str], held: frozenset[str]) -> int:
    """Words of a clause of which the evidence has the opposite alone."""
    return sum(
        1 for word in said & OPPOSITE.keys() if word not in held and OPPOSITE[word] & held and not OPPOSITE[word] & said
    )


def _rows(pieces: Sequence[Piece]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(0, dtype=np.int64), *(piece.rows for piece in pieces)])


def _nearest(cosines: Vectors, rows: NDArray[np.int64]) -> Vectors:
    """For each token of the clause the cosine with the nearest of these tokens; 0 where there are none."""
    nearest: Vectors = cosines[:, rows].max(axis=1) if len(rows) else np.zeros(len(cosines), dtype=np.float32)
    return nearest


def _worst(weights: Vectors, near: Vectors) -> float:
    """The weighted mean over the worst `WORST_SHARE` of the tokens."""
    if not weights.sum():
        return 0.0
    order = np.argsort(near)
    worst = order[: int(np.searchsorted(np.cumsum(weights[order]), WORST_SHARE * weights.sum())) + 1]
    return float(weights[worst] @ near[worst] / weights[worst].sum())
