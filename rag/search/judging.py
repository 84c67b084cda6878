"""Judges whether an index answers a question at all, from what was found for it and what the index knows of its names.

It ranks nothing and finds no passages: `ranking` does. `relevance` makes one probability of the evidence.

    judge = Judge(index, ranker, settings)
    if judge.is_answered(query, ranker.rank(query)): ...
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import PurePosixPath

from rag.documents import Chunk, searchable_text
from rag.embedding.passage_reader import UNREAD, PassageReader, Reading
from rag.index.bm25 import content_terms, find_names, find_tokens, tokenize
from rag.index.generation import Index
from rag.search.asked_kinds import Kind, find_kind
from rag.search.eda_tools import Names, named_eda_tools
from rag.search.own_names import without_own_names
from rag.search.ranking import Ranked, Ranker
from rag.search.relevance import FEW_PASSAGES, Evidence, is_doubtful, relevance, weigh_unknown
from rag.settings import RagSettings
from rag.words.definitions import is_exact_name

# Passages that are read with a question: the first three hold the answer to nine of ten questions, and these to all but
# a few
HITS_READ = 8
READ_TOGETHER = 2  # of these, before it is asked whether one of them answers
# Relevance from which the nearest passages are worth a look: of 66 questions of data/ that were refused without a known
# name, 16 of 41 had an answer above it and 2 of 25 below (docs/measurements/answers.md)
NEAR_RELEVANCE = 0.1
FAR_TOKEN = 0.5  # a token of the question whose nearest is below this cosine means something else
# A rare name stands in at most this share of the passages; in a tiny index that is less than one
RARE_SHARE = 0.01
RARE_FLOOR = 3
_MESSAGE = re.compile(r"(?P<tool>[a-z]{2,})-\d+")  # its number, as it is indexed: grt-0118


class Judge:
    """Whether an open index answers a question. Queries come as `Retriever.clean` gives them."""

    def __init__(
        self, index: Index, ranker: Ranker, settings: RagSettings, reader: PassageReader | None = None
    ) -> None:
        """reader: reads passages where the search leaves a doubt; None: nothing is read."""
        self._index = index
        self._ranker = ranker
        self._settings = settings
        self._reader = reader
        self._documented: dict[Names, bool] = {}  # whether a document is about a tool

    @property
    def reads(self) -> bool:
        """Whether passages are read where there is a doubt."""
        return self._reader is not None

    @property
    def _has_few(self) -> bool:
        """Whether so few passages are searched that they are judged otherwise."""
        return self._index.chunk_count < FEW_PASSAGES

    @property
    def _is_by_token(self) -> bool:
        """Whether they are judged by tokens, and not by the cosine."""
        return self._ranker.is_by_token and not self._has_few

    def is_answered(self, query: str, ranking: Sequence[Ranked]) -> bool:
        """Whether the relevance reaches `min_relevance`, or a passage explains what the question wants explained.

        Where nothing is read, it is also enough that the question names what the reference describes, and nothing
        unknown. Nothing is enough where passages lack the kind of thing that is asked for.
        """
        if any(ranked.defines for ranked in ranking):
            return True
        if self.find_lacking(query, ranking):
            return False
        is_relevant = self.find_relevance(query, ranking) >= self._settings.min_relevance
        return is_relevant or (not self.reads and self._describes(query))

    def is_near(self, query: str, ranking: Sequence[Ranked]) -> bool:
        """Whether the nearest passages may hold an answer after all.

        None does that lacks the kind of thing that is asked for, or where no document is about the tool that is named.
        """
        if self.find_lacking(query, ranking) or self._has_foreign_tool(query):
            return False
        return self.find_relevance(query, ranking) >= NEAR_RELEVANCE

    def find_lacking(self, query: str, ranking: Sequence[Ranked]) -> Kind | None:
        """The kind of thing that the question asks for, and that none of its first passages gives; None: all is there.

        Where passages hold an exact name of the question, only those with the rarest of them count.
        """
        kind = find_kind(query)
        if kind is None:
            return None
        rows = [ranked.row for ranked in ranking[:HITS_READ]]
        with_name = [self._index.bm25.rows_with(name).intersection(rows) for name in find_names(query)]
        counted = min(filter(None, with_name), key=len, default=rows)
        is_given = any(kind.is_given_in(searchable_text(self._index.chunks[row])) for row in counted)
        return None if is_given else kind

    def find_relevance(self, query: str, ranking: Sequence[Ranked]) -> float:
        """The probability that the index answers.

        In few passages a token's idf does not distinguish a word of the field from any other: there the cosine decides.
        """
        evidence = self._weigh(query, ranking, by_token=self._is_by_token)
        likely = self._judge(evidence)
        if not (self.reads and is_doubtful(likely)):
            return likely
        return self._read_on(query, ranking[:HITS_READ], evidence)

    def find_evidence(self, query: str, ranking: Sequence[Ranked], *, by_token: bool, is_read: bool) -> Evidence:
        """What speaks for and against an answer, by one kind of similarity; is_read: also by reading."""
        readings = self._read(query, ranking[:HITS_READ]) if is_read else []
        best = max((reading.passage for reading in readings), default=None)
        return replace(self._weigh(query, ranking, by_token=by_token), reading=best)

    def without_own_names(self, query: str) -> str:
        """The question without names of the asker's own design, which no passage holds."""
        return without_own_names(query, lambda name: bool(self._index.bm25.count_with(name)))

    def _read(self, query: str, ranking: Sequence[Ranked]) -> list[Reading]:
        return self._reader.read(query, [self._index.chunks[one.row] for one in ranking]) if self._reader else []

    def _judge(self, evidence: Evidence) -> float:
        return relevance(evidence, by_token=self._is_by_token, of_few=self._has_few)

    def _read_on(self, query: str, ranking: Sequence[Ranked], evidence: Evidence) -> float:
        """The relevance where passages are read as well, until one of them answers well enough."""
        best, likely = UNREAD, 0.0
        for start in range(0, len(ranking), READ_TOGETHER):
            readings = self._read(query, ranking[start : start + READ_TOGETHER])
            best = max(best, *(reading.passage for reading in readings))
            likely = self._judge(replace(evidence, reading=best))
            if likely >= self._settings.min_relevance:
                break
        return likely

    def _weigh(self, query: str, ranking: Sequence[Ranked], *, by_token: bool) -> Evidence:
        """What speaks for and against an answer, without reading."""
        similarity = max((ranked.late if by_token else ranked.dense for ranked in ranking), default=0.0)
        spread, unmet = self._weigh_tokens(query, ranking[:HITS_READ], similarity) if by_token else (0.0, 0.0)

        query = self.without_own_names(query)
        coverage, unknown = self._index.bm25.coverage(query)
        share = weigh_unknown(self._index.chunk_count)
        names = find_names(query)
        known = [name for name in names if self._index.bm25.count_with(name)]
        return Evidence(
            similarity=similarity,
            coverage=coverage,
            unknown=share * unknown,
            terms=len(self._index.bm25.known_script(content_terms(query))),
            unknown_name=share * (not all(map(self._knows, names))),
            foreign_tool=float(self._has_foreign_tool(query)),
            named=share * bool(known),
            beside_name=share * self._index.bm25.coverage_beside(known, query) if known else 0.0,
            spread=spread,
            unmet=unmet,
        )

    def _weigh_tokens(self, query: str, ranking: Sequence[Ranked], similarity: float) -> tuple[float, float]:
        """How much more similar these passages together are than `similarity`, and what none of them is near."""
        [question] = self._ranker.embed([query])
        [nearest] = self._index.late.nearest([question], [ranked.row for ranked in ranking])
        weights = self._index.late.weights(question.token_ids)
        total = weights.sum()
        if not total or not ranking:
            return 0.0, 1.0
        best = nearest.max(axis=1)
        return float(weights @ best / total) - similarity, float(weights[best < FAR_TOKEN].sum() / total)

    def _describes(self, query: str) -> bool:
        """Whether the question names something that the reference describes, and nothing that no document knows.

        It names it by an exact name or in capitals.
        """
        query = self.without_own_names(query)
        names = filter(is_exact_name, find_tokens(query))
        is_known = any(map(self._index.reference.find, names))
        return is_known and all(map(self._knows, find_names(query))) and not self._has_foreign_tool(query)

    def _knows(self, name: str) -> bool:
        """Whether a passage holds an exact name, or an option of this name, or its documents are about the tool.

        The latter is meant of a message's number: few documents list all messages of a tool.
        """
        if any(self._index.bm25.count_with(dashes + name) for dashes in ("", "-", "--")):
            return True
        number = _MESSAGE.fullmatch(name)
        return number is not None and number["tool"] in self._message_tools

    @cached_property
    def _message_tools(self) -> frozenset[str]:
        """Tools that a message's number may begin with: of other messages, and folders of documents (`src/ppl`)."""
        numbered = (found["tool"] for found in map(_MESSAGE.fullmatch, self._index.bm25.terms) if found)
        folders = {PurePosixPath(record.path).parent for record, _ in self._index.documents()}
        return frozenset(numbered).union(part.lower() for folder in folders for part in folder.parts)

    def _has_foreign_tool(self, query: str) -> bool:
        """Whether the question names tools of chip design, and none that a document is about."""
        tools = named_eda_tools(query)
        return bool(tools) and not any(map(self._is_documented, tools))

    def _is_documented(self, names: Names) -> bool:
        """Whether documents are about the tool of these names.

        A title or heading has one, or more passages have one than may hold a rare name.
        """
        if names not in self._documented:
            terms = [[self._index.bm25.rows_with(term) for term in tokenize(name)] for name in names]
            rows = sorted(frozenset().union(*(rows[0].intersection(*rows[1:]) for rows in terms)))
            self._documented[names] = self._is_about(names, (self._index.chunks[row] for row in rows))
        return self._documented[names]

    def _is_about(self, names: Names, chunks: Iterable[Chunk]) -> bool:
        mentions = 0
        for chunk in chunks:
            if names in named_eda_tools(f"{chunk.collection} {chunk.title} {' '.join(chunk.heading_path)}"):
                return True
            mentions += names in named_eda_tools(chunk.text)
        return mentions > most_with_rare_name(self._index.chunk_count)


def most_with_rare_name(chunk_count: int) -> int:
    """So many of an index's passages may hold a rare name."""
    return max(RARE_FLOOR, int(chunk_count * RARE_SHARE))
