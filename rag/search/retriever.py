"""Searches an index: the passages that `ranking` puts first, where the index answers the question at all.

It finds nothing where the index does not answer the question. It builds nothing and writes no prompt. One retriever
serves many threads.

    retriever = Retriever.open(Path("indexes/starter"), settings)
    for hit in retriever.search("how do I repair antenna violations?", top_k=5): ...
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rag.documents import Chunk, Hit, searchable_text
from rag.embedding.embedder import Embedded, TextEmbedder
from rag.embedding.embedder_choice import open_embedder, open_reader
from rag.embedding.passage_reader import UNREAD, PassageReader, Reading
from rag.errors import EmptyQuery
from rag.index.bm25 import content_terms, find_names, find_tokens, is_identifier, tokenize
from rag.index.dense import Vectors
from rag.index.generation import Index
from rag.index.manifest import spec_of
from rag.index.opening import open_index
from rag.index.vector_store import choose_store
from rag.reference.cards import Reference
from rag.search.copies import fold_copies
from rag.search.eda_tools import Names, named_eda_tools
from rag.search.missing import Missing, find_missing
from rag.search.query import strip_small_talk
from rag.search.ranking import Ranked, Ranker
from rag.search.relevance import FEW_PASSAGES, Evidence, is_doubtful, relevance, weigh_unknown
from rag.settings import RagSettings

# A passage that holds a rare name of the query, one in at most this share of the chunks, stays among the hits, however
# the embedder reads the sentence around it.
RARE_SHARE = 0.01
LEAST_CAPITALS = 5  # of a name in capitals alone (`WIDTHTRUNC`): shorter ones are abbreviations of the field
RARE_FLOOR = 3  # in a tiny index a share of 1 % is less than one chunk

# Names of the reader's own design, which no manual holds: a bit of a bus, of which the bus's name is kept, and a path
# of instances.
_BUS_BIT = re.compile(r"(?<=\w)\[\d+(?::\d+)?\]")
_INSTANCE_PATH = re.compile(r"(?<![\w./-])(?=[\w/]*[\d_])\w+(?:/\w+)+(?![\w./])")

# What is neither a word of any script nor ASCII punctuation: emoji, arrows, typographic quotes
_SIGNS = re.compile(r"[^\w\s!-~]+")

# A question is one short text, which a second thread makes no faster. Beside a vLLM that keeps the cores busy, two
# threads that wait for each other took 385 ms for it where one takes 20 ms (two cores, 2026-11-24).
QUERY_THREADS = 1
# Passages that are read with a question: the first three hold the answer to nine of ten questions, and these to all but
# a few
HITS_READ = 8
READ_TOGETHER = 2  # of these, before it is asked whether one of them answers
FAR_TOKEN = 0.5  # a token of the question whose nearest is below this cosine means something else


class Tokens(NamedTuple):
    """The tokens of a text: their places in it, shape (tokens, 2), and their vectors, shape (tokens, dimension).

    Both may be empty.
    """

    places: NDArray[np.int64]
    vectors: Vectors


NO_TOKENS = Tokens(np.zeros((0, 2), dtype=np.int64), np.zeros((0, 0), dtype=np.float32))


class NoTokens:
    """Has no tokens: stands in for a Retriever without an index, or whose embedding server does not answer."""

    def tokens_of(self, chunk: Chunk) -> Tokens:
        """None are kept."""
        return NO_TOKENS

    def read_tokens(self, text: str) -> Tokens:
        """None: nothing embeds."""
        return NO_TOKENS


@dataclass(frozen=True, slots=True)
class Comparison:
    """A question beside one passage: the weight of each question token, and the passage's tokens with their places.

    `places` are characters of the passage's text; those of its title and headings are negative.
    """

    question: Embedded
    weights: Vectors  # shape (question's tokens,)
    places: NDArray[np.int64]  # shape (passage's tokens, 2)
    vectors: Vectors  # shape (passage's tokens, dimension), each of length 1


class Retriever:
    """An open index with its embedder. `search` may be called from many threads at once."""

    def __init__(
        self, index: Index, embedder: TextEmbedder, settings: RagSettings, reader: PassageReader | None = None
    ) -> None:
        """reader: what `read` asks; None: nothing is read."""
        self._index = index
        self._embedder = embedder
        self._settings = settings
        self._reader = reader
        self._ranker = Ranker(index, embedder, settings)
        self._documented: dict[Names, bool] = {}  # whether a document is about a tool

    @classmethod
    def open(cls, index_dir: Path, settings: RagSettings, *, reads: bool = False) -> Retriever:
        """Open the index with the embedder of the settings; reads: also with the reader.

        A search that reads takes several times as long, and knows better whether the index answers at all.

        Raises IndexNotFound, IndexMismatch, IndexCorrupt, EmbedderUnavailable, MilvusUnavailable, LexiconUnusable.
        """
        embedder = open_embedder(settings, QUERY_THREADS)
        retriever = cls.open_with(embedder, index_dir, settings, open_reader(settings) if reads else None)
        embedder.load()  # so that the first question is as fast as the others
        if retriever.reader and retriever._reads:
            retriever.reader.load()
        return retriever

    @classmethod
    def open_with(
        cls, embedder: TextEmbedder, index_dir: Path, settings: RagSettings, reader: PassageReader | None = None
    ) -> Retriever:
        """Open the index with an embedder, and a reader, that are open already.

        What clients uploaded is searched only `within` its collection.

        Raises what `open` raises.
        """
        index = open_index(index_dir, spec_of(settings, embedder), choose_store(settings)).shared()
        return cls(index, embedder, settings, reader)

    @property
    def index(self) -> Index:
        """The open index, or the part of it, that is searched."""
        return self._index

    @property
    def embedder(self) -> TextEmbedder:
        """What embeds the questions."""
        return self._embedder

    @property
    def reader(self) -> PassageReader | None:
        """What reads the passages that are found."""
        return self._reader

    @property
    def chunk_count(self) -> int:
        """Number of chunks that are searched."""
        return self._index.chunk_count

    @property
    def collections(self) -> dict[str, int]:
        """Names of the collections in the index, with their numbers of documents."""
        return self._index.collections

    @property
    def reference(self) -> Reference:
        """The commands, variables and messages that the documents describe, read on first use.

        Raises IndexCorrupt.
        """
        return self._index.reference

    def chunk(self, chunk_id: str) -> Chunk | None:
        """The chunk with this id, or None."""
        row = self._index.chunks.find(chunk_id)
        return None if row is None else self._index.chunks[row]

    def within(self, collections: Iterable[str]) -> Retriever:
        """A retriever over the named collections of the same open index.

        Raises CollectionUnknown: lists the known ones.
        """
        return self.over(self._index.select(collections))

    def over(self, index: Index) -> Retriever:
        """A retriever over a part of the same open index."""
        return Retriever(index, self._embedder, self._settings, self._reader)

    def search(self, query: str, top_k: int = 5, collections: Sequence[str] = ()) -> list[Hit]:
        """The at most `top_k` best hits, best first; none where the index, or its `collections`, has nothing relevant.

        Passages that say the same are one hit (rag.search.copies).
        Words of greeting and signs are left out, and the embedder reads an abbreviation of the indexed glossaries with
        its expansion. The question counts as answerable where its relevance (rag.search.relevance) reaches
        `min_relevance`, or, where nothing is read, where it names what the reference describes, and nothing unknown.
        Then those hits are dropped whose cosine is below `min_hit_score`, unless they hold a rare exact name of the
        question (an option, a command, a message number).

        Raises EmptyQuery, CollectionUnknown.
        """
        if collections:
            return self.within(collections).search(query, top_k)
        query = clean_query(query)
        ranking = self._ranker.rank(query)
        if not ranking:
            return []
        is_relevant = self._judge(query, ranking) >= self._settings.min_relevance
        if not is_relevant and (self._reads or not self._describes(query)):
            return []
        named = self._rows_with_rare_names(query)
        hits = (
            self._hit(ranked)
            for ranked in ranking
            if ranked.dense >= self._settings.min_hit_score or ranked.row in named
        )
        return fold_copies(hits, top_k, content_terms(query))

    def rank(self, query: str) -> Iterator[Hit]:
        """The whole ranking, best first, whether a passage answers the question or not: `search` without its rules.

        Raises EmptyQuery.
        """
        return map(self._hit, self._ranker.rank(clean_query(query)))

    def compare(self, queries: Sequence[str], hits: Sequence[Hit]) -> list[list[Comparison]]:
        """Each question beside each passage token by token: what `search` sums up of it.

        Raises EmptyQuery.
        """
        embedded = self._ranker.embed([clean_query(query) for query in queries])
        passages = [self.tokens_of(hit.chunk) for hit in hits]
        weights = [self._index.late.weights(one.token_ids) for one in embedded]
        return [
            [Comparison(one, own, *passage) for passage in passages] for one, own in zip(embedded, weights, strict=True)
        ]

    def read(self, query: str, hits: Sequence[Hit]) -> list[Reading]:
        """The question read with each passage; none where there is no reader.

        Raises EmptyQuery.
        """
        return self._reader.read(clean_query(query), [hit.chunk for hit in hits]) if self._reader else []

    def holds_together(self, terms: Iterable[str]) -> bool:
        """Whether one passage holds all the terms of BM25's."""
        rows = [self._index.bm25.rows_with(term) for term in terms]
        return bool(rows) and bool(rows[0].intersection(*rows[1:]))

    def idf(self, terms: Iterable[str]) -> dict[str, float]:
        """What each term of BM25's weighs: much where few passages hold it; none in a script that no passage has."""
        return {term: self._index.bm25.idf(term) for term in self._index.bm25.known_script(terms)}

    def read_tokens(self, text: str) -> Tokens:
        """The tokens of any text, as the embedder reads it; none where it gives no vectors of tokens."""
        [embedded] = self._embedder.embed_tokens([text])
        places = self._embedder.token_places(text)
        vectors = embedded.token_vectors
        return Tokens(places, vectors) if len(places) == len(vectors) else Tokens(places[:0], vectors[:0])

    def tokens_of(self, chunk: Chunk) -> Tokens:
        """The tokens of a passage; those of its title and headings have negative places.

        None where the index keeps no tokens or counts others.
        """
        row = self._index.chunks.find(chunk.chunk_id)
        signs = self._index.late.signs(row) if row is not None else np.zeros((0, 0), dtype=np.float32)
        text = searchable_text(chunk)
        places = self._embedder.token_places(text) - (len(text) - len(chunk.text))
        return Tokens(places, signs) if len(places) == len(signs) else Tokens(places[:0], signs[:0])

    def evidence(self, query: str, *, by_token: bool, is_read: bool = False) -> Evidence:
        """What speaks for and against an answer of the index, by one kind of similarity; is_read: also by reading.

        Raises EmptyQuery.
        """
        query = clean_query(query)
        ranking = self._ranker.rank(query)
        found = self._weigh(query, ranking, by_token=by_token)
        readings = self.read(query, list(map(self._hit, ranking[:HITS_READ]))) if is_read else []
        return replace(found, reading=max((reading.passage for reading in readings), default=None))

    def missing(self, query: str) -> Missing | None:
        """A known name of the question with the words that no passage beside it has; None where there is no such."""
        return find_missing(_without_design(query), self._index.bm25, self._index.chunks)

    def relevance(self, query: str) -> float:
        """The probability that the index answers the question, by which `search` decides.

        Raises EmptyQuery.
        """
        query = clean_query(query)
        return self._judge(query, self._ranker.rank(query))

    def _hit(self, ranked: Ranked) -> Hit:
        return Hit(self._index.chunks[ranked.row], ranked.score, ranked.dense, ranked.bm25 or None, ranked.late or None)

    def _judge(self, query: str, ranking: Sequence[Ranked]) -> float:
        """The relevance of the index.

        In few passages a token's idf does not distinguish a word of the field from any other: there the cosine decides.
        """
        by_token = self._ranker.is_by_token and self.chunk_count >= FEW_PASSAGES
        evidence = self._weigh(query, ranking, by_token=by_token)
        likely = relevance(evidence, by_token=by_token)
        if not (self._reads and is_doubtful(likely)):
            return likely
        return self._judge_by_reading(query, ranking[:HITS_READ], evidence, by_token=by_token)

    @property
    def _reads(self) -> bool:
        """Whether passages are read where there is a doubt. Of few passages the reader's coefficients know nothing."""
        return self._reader is not None and self.chunk_count >= FEW_PASSAGES

    def _judge_by_reading(self, query: str, ranking: Sequence[Ranked], evidence: Evidence, *, by_token: bool) -> float:
        """The relevance of the index where passages are read as well, until one of them answers well enough."""
        best, likely = UNREAD, 0.0
        for start in range(0, len(ranking), READ_TOGETHER):
            readings = self.read(query, list(map(self._hit, ranking[start : start + READ_TOGETHER])))
            best = max(best, *(reading.passage for reading in readings))
            likely = relevance(replace(evidence, reading=best), by_token=by_token)
            if likely >= self._settings.min_relevance:
                break
        return likely

    def _weigh(self, query: str, ranking: Sequence[Ranked], *, by_token: bool) -> Evidence:
        """What speaks for and against an answer, without reading."""
        similarity = max((ranked.late if by_token else ranked.dense for ranked in ranking), default=0.0)
        asked, query = query, _without_design(query)
        coverage, unknown = self._index.bm25.coverage(query)
        share = weigh_unknown(self.chunk_count)
        names = find_names(query)
        known = [name for name in names if self._index.bm25.rows_with(name)]
        spread, unmet = self._weigh_tokens(asked, ranking[:HITS_READ], similarity) if by_token else (0.0, 0.0)
        return Evidence(
            similarity=similarity,
            coverage=coverage,
            unknown=share * unknown,
            terms=len(self._index.bm25.known_script(content_terms(query))),
            unknown_name=share * (len(known) < len(names)),
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
        query = _without_design(query)
        names = (
            token
            for token in find_tokens(query)
            if is_identifier(token) or (token.isupper() and len(token) >= LEAST_CAPITALS)
        )
        is_known = any(self.reference.find(name) for name in names)
        return is_known and not self._has_unknown_name(query) and not self._has_foreign_tool(query)

    def _has_unknown_name(self, query: str) -> bool:
        """Whether an exact name of the question stands in no passage."""
        return any(not self._index.bm25.rows_with(name) for name in find_names(query))

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
        return mentions > self._rare

    @property
    def _rare(self) -> int:
        """So many passages may hold a rare name."""
        return max(RARE_FLOOR, int(self.chunk_count * RARE_SHARE))

    def _rows_with_rare_names(self, query: str) -> frozenset[int]:
        """Rows that hold an exact name of the query which few rows hold."""
        rows: frozenset[int] = frozenset()
        for name in find_names(query):
            holding = self._index.bm25.rows_with(name)
            rows |= holding if len(holding) <= self._rare else frozenset()
        return rows


def _without_design(query: str) -> str:
    """The question without names of the reader's own design."""
    return _INSTANCE_PATH.sub("", _BUS_BIT.sub("", query))


def clean_query(query: str) -> str:
    """The question without words of greeting at its start, emoji and other signs.

    Raises EmptyQuery: nothing is left of it.
    """
    # A lone surrogate (half of an emoji in broken JSON) becomes "?"
    text = query.encode("utf-8", "replace").decode("utf-8")
    text = " ".join(_SIGNS.sub(" ", text).split())
    if not any(character.isalnum() for character in text):
        raise EmptyQuery("the question is empty: ask something with words in it")
    return strip_small_talk(text)
