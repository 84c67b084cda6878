"""Search an index: what the dense vectors and BM25 find, scored also token by token, and a rule for "nothing here answers this".

It builds nothing and writes no prompt. One retriever serves many threads.

    retriever = Retriever.open(Path("indexes/starter"), settings)
    for hit in retriever.search("how do I repair antenna violations?", top_k=5): ...
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, pairwise
from pathlib import Path

from rag.bm25 import STOP_WORDS, best_rows, content_terms, find_tokens, is_identifier, tokenize
from rag.documents import Chunk, Hit
from rag.embedder import Embedded, Embedder, TextEmbedder
from rag.errors import EmptyQuery
from rag.fusion import mix_scores
from rag.generation import Index
from rag.glossary import expand_abbreviations
from rag.index import open_index, spec_of
from rag.query import strip_small_talk
from rag.settings import RagSettings

# A name in the query that stands in at most this share of the chunks (and at least in one) is evidence by itself: the
# question is about something this index documents, however the sentence around it reads to the embedder.
RARE_SHARE = 0.01
FULL_COVERAGE = 0.95  # the rest is for a term that stands in nearly every chunk
RARE_FLOOR = 3  # in a tiny index a share of 1 % is less than one chunk

# Measured over the handbook and the five pinned corpora with data/eval/starter.jsonl, 2026-11-24 (see `search`):
SURE_SCORE = 0.55  # no off-topic question reached this cosine; below it the words have a say
MIN_COVERAGE = 0.4  # "pin code of my card": a cosine of 0.52 for one word of three
FEW_TERMS = 2  # "wire transfer": a cosine of 0.51; of so few terms one decides the vector
SHORT_TERMS = 4  # a question of at most so many terms may be a topic that the documents know by that name
TOPIC_COVERAGE = 0.75
ONE_TERM_WORDS = 4  # "what does slew mean?"; a longer sentence around one known word ("how do I tie a tie") is about something else

_SIGNS = re.compile(r"[^\w\s!-~]+")  # what is neither a word of any script nor ASCII punctuation: emoji, arrows, typographic quotes

# A question is one short text, which a second thread makes no faster. Beside a vLLM that keeps the cores busy, two threads that wait for each
# other took 385 ms for it where one takes 20 ms (two cores, 2026-11-24).
QUERY_THREADS = 1


class Retriever:
    """An open index with its embedder. `search` may be called from many threads at once."""

    def __init__(self, index: Index, embedder: TextEmbedder, settings: RagSettings) -> None:
        self._index = index
        self._embedder = embedder
        self._settings = settings
        self._glossary = index.glossary

    @classmethod
    def open(cls, index_dir: Path, settings: RagSettings) -> "Retriever":
        """Open the index with the embedder of the settings.

        Raises IndexNotFound, IndexMismatch, IndexCorrupt, EmbedderUnavailable.
        """
        embedder = Embedder.find(settings.embedder, settings.embed_batch, QUERY_THREADS)
        retriever = cls(open_index(index_dir, spec_of(settings, embedder)), embedder, settings)
        embedder.load()  # so that the first question is as fast as the others
        return retriever

    @property
    def chunk_count(self) -> int:
        """Number of chunks that are searched."""
        return self._index.chunk_count

    @property
    def collections(self) -> dict[str, int]:
        """Names of the collections in the index, with their numbers of documents."""
        return self._index.collections

    def chunk(self, chunk_id: str) -> Chunk | None:
        """The chunk with this id, or None."""
        row = self._index.chunks.find(chunk_id)
        return None if row is None else self._index.chunks[row]

    def within(self, collections: Iterable[str]) -> "Retriever":
        """A retriever over the named collections of the same open index. Raises CollectionUnknown, which lists the known ones."""
        return Retriever(self._index.select(collections), self._embedder, self._settings)

    def search(self, query: str, top_k: int = 5, collections: Sequence[str] = ()) -> list[Hit]:
        """The at most `top_k` best hits, best first; none where the index, or what it holds of `collections`, has nothing relevant.

        Words of greeting and signs are left out, and the embedder reads an abbreviation of the indexed glossaries with its expansion.
        The question counts as answerable when one of these holds:

        1. the best passage's cosine reaches `SURE_SCORE`; or it reaches `min_dense_score`, the question has more than
           `FEW_TERMS` terms, and one passage holds at least `MIN_COVERAGE` of their weight;
        2. the query has a rare exact name (an option, a command, a message number) that the index knows;
        3. as 1, with practically all words in one passage, and the best cosine reaches `min_covered_score`;
        4. it is a topic: at most `SHORT_TERMS` terms that are abbreviations of a glossary, or stand together in one heading or
           title, or of which two neighbours stand side by side in the text of a passage, while one passage holds most of all
           ("hold", "common path pessimism removal"): such questions are too short for a high cosine.

        Of an answerable question those hits are dropped whose cosine is below `min_hit_score`, unless they hold such a name.
        Raises EmptyQuery, CollectionUnknown.
        """
        if collections:
            return self.within(collections).search(query, top_k)
        query = clean_query(query)
        question, dense = self._search_dense(query)
        named = self._rows_with_rare_names(query)
        if not dense or (not named and not self._is_close(query, next(iter(dense.values())))):
            return []
        hits = (hit for row, hit in self._score(query, question, dense) if hit.dense_score >= self._settings.min_hit_score or row in named)
        return list(islice(hits, top_k))

    def rank(self, query: str) -> Iterator[Hit]:
        """The whole ranking, best first, whether a passage answers the question or not: `search` without its rules. Raises EmptyQuery."""
        query = clean_query(query)
        return (hit for _, hit in self._score(query, *self._search_dense(query)))

    def _search_dense(self, query: str) -> tuple[Embedded, dict[int, float]]:
        """The query's vectors, and the cosines of the rows nearest to it, best first."""
        [question] = self._embedder.embed_tokens([expand_abbreviations(query, self._glossary)])
        return question, dict(zip(*self._index.dense.search(question.vector, self._settings.candidates), strict=True))

    def _score(self, query: str, question: Embedded, dense: Mapping[int, float]) -> Iterator[tuple[int, Hit]]:
        """Rows and hits that the dense vectors or BM25 find, by the mean of all scores, best first."""
        bm25 = self._index.bm25.scores(query)
        rows = list(dict.fromkeys([*dense, *best_rows(bm25, self._settings.candidates)]))
        cosines = [dense[row] if row in dense else self._index.dense.score(question.vector, row) for row in rows]
        late = self._index.late.score(question, rows) if self._settings.late_weight else [0.0] * len(rows)
        words = [float(bm25[row]) for row in rows]
        weights = (self._settings.dense_weight, self._settings.late_weight, self._settings.bm25_weight)
        scores = mix_scores(list(zip(weights, (cosines, late, words), strict=True)))
        for place in sorted(range(len(rows)), key=lambda place: (-scores[place], rows[place])):
            parts = cosines[place], words[place] or None, late[place] or None
            yield rows[place], Hit(self._index.chunks[rows[place]], float(scores[place]), *parts)

    def _is_close(self, query: str, best_cosine: float) -> bool:
        """Rules 1, 3 and 4 of `search`."""
        if best_cosine >= max(SURE_SCORE, self._settings.min_dense_score):
            return True
        coverage = self._index.bm25.coverage(query)
        terms = content_terms(query)
        if len(terms) > FEW_TERMS:
            if best_cosine >= self._settings.min_dense_score and coverage >= MIN_COVERAGE:
                return True
            if best_cosine >= self._settings.min_covered_score and coverage >= FULL_COVERAGE:
                return True
        return best_cosine >= self._settings.min_hit_score and 0 < len(terms) <= SHORT_TERMS and self._is_topic(query, terms, coverage)

    def _is_topic(self, query: str, terms: frozenset[str], coverage: float) -> bool:
        """Rule 4 of `search`."""
        tokens = [token.lower() for token in find_tokens(query)]
        if all(token in self._glossary or not terms.intersection(tokenize(token)) for token in tokens):
            return True
        if len(terms) == 1 and len(tokens) > ONE_TERM_WORDS:
            return False
        if any(self._is_in_heading(terms, self._index.chunks[row]) for row in self._index.bm25.rows_with_all(terms)):
            return True
        return coverage >= TOPIC_COVERAGE and any(self._side_by_side(*pair) for pair in set(pairwise(tokens)) if not STOP_WORDS.intersection(pair))

    def _is_in_heading(self, terms: frozenset[str], chunk: Chunk) -> bool:
        """Whether all the terms stand in the chunk's title or in one of the headings above it (which BM25 indexes with its text)."""
        return any(terms <= frozenset(tokenize(heading)) for heading in (chunk.title, *chunk.heading_path))

    def _side_by_side(self, left: str, right: str) -> bool:
        """Whether the two words follow each other in the text of a passage, in singular or plural.

        "tri state" in "tri-state buffers"; the first may end a compound: "cycle path" in "multicycle paths".
        """
        rows = self._index.bm25.rows_with_all(tokenize(right))
        words = r"[\W_]+".join(re.escape(word.removesuffix("s") if len(word) > 3 else word) + "(?:e?s)?" for word in (left, right))
        pattern = re.compile(rf"{words}(?![^\W_])")
        return any(pattern.search(self._index.chunks[row].text.lower()) for row in rows)

    def _rows_with_rare_names(self, query: str) -> frozenset[int]:
        """Rows that hold an exact name of the query which few rows hold."""
        limit = max(RARE_FLOOR, int(self.chunk_count * RARE_SHARE))
        rows: frozenset[int] = frozenset()
        for token in find_tokens(query):
            if is_identifier(token):
                holding = self._index.bm25.rows_with(token.lower())
                rows |= holding if len(holding) <= limit else frozenset()
        return rows


def clean_query(query: str) -> str:
    """The question without words of greeting at its start, emoji and other signs. Raises EmptyQuery where nothing is left of it."""
    text = query.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate (half of an emoji in broken JSON) becomes "?"
    text = " ".join(_SIGNS.sub(" ", text).split())
    if not any(character.isalnum() for character in text):
        raise EmptyQuery("the question is empty: ask something with words in it")
    return strip_small_talk(text)
