"""Searches an index: the passages that `ranking` puts first, where `judging` says that the index answers the question.

It finds nothing where it does not. It builds nothing and writes no prompt. One retriever serves many threads.

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
from rag.embedding.passage_reader import PassageReader, Reading
from rag.errors import EmptyQuery
from rag.index.bm25 import content_terms, find_names
from rag.index.dense import Vectors
from rag.index.generation import Index
from rag.index.manifest import spec_of
from rag.index.opening import open_index
from rag.index.vector_store import choose_store
from rag.reference.cards import Reference
from rag.search.asked_kinds import find_kind
from rag.search.copies import fold_copies
from rag.search.eda_tools import named_eda_tools
from rag.search.judging import Judge, most_with_rare_name
from rag.search.missing import Misnamed, Missing, find_misnamed, find_missing
from rag.search.query import strip_small_talk
from rag.search.ranking import HEADS, Ranked, Ranker
from rag.search.relevance import Evidence
from rag.settings import RagSettings
from rag.words.spelling import Speller

# What is neither a word of any script nor ASCII punctuation: emoji, arrows, typographic quotes
_SIGNS = re.compile(r"[^\w\s!-~]+")

# A question is one short text, which a second thread makes no faster; beside an engine that keeps the cores busy, two
# threads that wait for each other take many times as long
QUERY_THREADS = 1


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
        self._judge = Judge(index, self._ranker, settings, reader)
        self._speller = Speller(index.bm25, lambda row: searchable_text(index.chunks[row]))

    @classmethod
    def open(cls, index_dir: Path, settings: RagSettings, *, reads: bool = False) -> Retriever:
        """Open the index with the embedder of the settings; reads: also with the reader.

        A search that reads takes several times as long, and knows better whether the index answers at all.

        Raises IndexNotFound, IndexMismatch, IndexCorrupt, EmbedderUnavailable, MilvusUnavailable, LexiconUnusable.
        """
        embedder = open_embedder(settings, QUERY_THREADS)
        retriever = cls.open_with(embedder, index_dir, settings, open_reader(settings) if reads else None)
        embedder.load()  # so that the first question is as fast as the others
        if retriever.reader and retriever._judge.reads:
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

    def clean(self, query: str) -> str:
        """The question as it is searched: without greeting and signs, its misspelled words put right.

        Names of tools stay, also of those that no document is about. Raises EmptyQuery.
        """
        query = clean_query(query)
        tools = frozenset(word for names in named_eda_tools(query) for name in names for word in name.lower().split())
        return self._speller.correct(query, tools)

    def search(self, query: str, top_k: int = 5, collections: Sequence[str] = ()) -> list[Hit]:
        """The at most `top_k` best hits, best first; none where the index, or its `collections`, has nothing relevant.

        Passages that say the same are one hit (rag.search.copies).
        The question is searched as `clean` gives it, and the embedder reads an abbreviation of the indexed glossaries
        with its expansion. Where the index answers the question (rag.search.judging), those hits are dropped whose
        cosine is below `min_hit_score`, unless they hold a rare exact name of it (an option, a command, a message
        number) or explain what it wants explained.

        Raises EmptyQuery, CollectionUnknown.
        """
        if collections:
            return self.within(collections).search(query, top_k)
        query = self.clean(query)
        ranking = self._ranker.rank(query)
        return self._keep(query, ranking, top_k) if ranking and self._judge.is_answered(query, ranking) else []

    def nearest(self, query: str, top_k: int) -> list[Hit]:
        """What `search` would return if it took the question for answered; none where the documents are far from it.

        Raises EmptyQuery.
        """
        query = self.clean(query)
        ranking = self._ranker.rank(query)
        return self._keep(query, ranking, top_k) if ranking and self._judge.is_near(query, ranking) else []

    def rank(self, query: str) -> Iterator[Hit]:
        """The whole ranking, best first, whether a passage answers the question or not: `search` without its rules.

        Raises EmptyQuery.
        """
        return map(self._hit, self._ranker.rank(self.clean(query)))

    def compare(self, queries: Sequence[str], hits: Sequence[Hit]) -> list[list[Comparison]]:
        """Each question beside each passage token by token: what `search` sums up of it.

        Raises EmptyQuery.
        """
        embedded = self._ranker.embed(list(map(self.clean, queries)))
        passages = [self.tokens_of(hit.chunk) for hit in hits]
        weights = [self._index.late.weights(one.token_ids) for one in embedded]
        return [
            [Comparison(one, own, *passage) for passage in passages] for one, own in zip(embedded, weights, strict=True)
        ]

    def read(self, query: str, hits: Sequence[Hit]) -> list[Reading]:
        """The question read with each passage; none where there is no reader.

        Raises EmptyQuery.
        """
        if self._reader is None or not self._judge.reads:
            return []
        return self._reader.read(self.clean(query), [hit.chunk for hit in hits])

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
        query = self.clean(query)
        return self._judge.find_evidence(query, self._ranker.rank(query), by_token=by_token, is_read=is_read)

    def missing(self, query: str) -> Misnamed | Missing | None:
        """A name of the question that is spelled nearly as one that is described, or a known one and what it lacks.

        None where there is no such. Raises EmptyQuery, IndexCorrupt.
        """
        cleaned = self.clean(query)
        query = self._judge.without_own_names(cleaned)
        if misnamed := find_misnamed(query, self._index.bm25, self.reference):
            return misnamed
        missing = find_missing(query, self._index.bm25, self._index.chunks, most_with_rare_name(self.chunk_count))
        if missing is None or find_kind(cleaned) is None:  # which need no ranking
            return missing
        lacking = self._judge.find_lacking(cleaned, self._ranker.rank(cleaned))
        return replace(missing, words=(lacking.name,)) if lacking else missing

    def answers(self, query: str) -> bool:
        """Whether `search` takes the question for one that the index answers.

        Raises EmptyQuery.
        """
        query = self.clean(query)
        return self._judge.is_answered(query, self._ranker.rank(query))

    def relevance(self, query: str) -> float:
        """The probability that the index answers the question, by which `answers` decides most.

        Raises EmptyQuery.
        """
        query = self.clean(query)
        return self._judge.find_relevance(query, self._ranker.rank(query))

    def _keep(self, query: str, ranking: Sequence[Ranked], top_k: int) -> list[Hit]:
        """The best hits of a ranking that are near enough, copies folded.

        A passage with a rare name, or one that explains, stays, however the embedder reads the sentence around it.
        """
        named = self._rows_with_rare_names(query)
        hits = (
            self._hit(ranked)
            for ranked in ranking
            if ranked.dense >= self._settings.min_hit_score or ranked.row in named or ranked.defines >= HEADS
        )
        return fold_copies(hits, top_k, content_terms(query))

    def _hit(self, ranked: Ranked) -> Hit:
        return Hit(self._index.chunks[ranked.row], ranked.score, ranked.dense, ranked.bm25 or None, ranked.late or None)

    def _rows_with_rare_names(self, query: str) -> frozenset[int]:
        """Rows that hold an exact name of the query which few rows hold."""
        rows: frozenset[int] = frozenset()
        for name in find_names(query):
            holding = self._index.bm25.rows_with(name)
            rows |= holding if len(holding) <= most_with_rare_name(self.chunk_count) else frozenset()
        return rows


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
