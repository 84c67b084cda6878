"""BM25 for exact names: keeps `set_wire_rc`, `-hold` and `clk[3]` whole, with precomputed postings on numpy.

It does not know documents, only texts by row number; it has no query language.

    bm25 = Bm25Index.build(["global_route -guide_file out", "set_wire_rc -layer M3"])
    rows, scores = bm25.search("set_wire_rc", k=10)
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from functools import partial, reduce
from pathlib import Path

import numpy as np
import Stemmer
from numpy.typing import NDArray

from rag.arrays import is_rising, map_array
from rag.errors import IndexCorrupt
from rag.typed_json import parse_as

# Robertson & Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009, section 3.5: reasonable values
# are 1.2 < k1 < 2 and 0.5 < b < 0.8. k1: how soon a repeated term stops adding; b: how strongly length lowers a chunk's
# score.
K1 = 1.2
B = 0.75

STOP_WORDS = frozenset(
    """
    a an and are as at be by can do does for from how i in is it its me my of on or should so that the their there
    these this to u use used using was we what when where which who why will with you your
    """.split()
)

# Stems of words that only ask. Coverage leaves them out; the ranking needs no such list.
ASKING_WORDS = frozenset(
    {"abbrevi", "between", "defin", "definit", "describ", "differ", "explain", "mean", "short", "stand", "tell"}
)

# What `save` writes
BM25_FILES = frozenset({"vocabulary.json", "bm25_indptr.npy", "bm25_rows.npy", "bm25_weights.npy"})

# Chinese, Japanese and Korean, which put no blank between a word and a name beside it: `report_checks命令`
_CJK = "\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u3105-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff"
_CJK += "\U00020000-\U0003134f"
_LETTER = rf"[^\W{_CJK}]"  # of all other scripts, or a digit, or `_`
_UNITS = "[fpnumk]?(?:s|V|A|F|W|H|Hz|Ohm)|[MGT]Hz|[nuµμm]?m|mils?|[kKMG]i?B|dB|C"

_TOKEN = re.compile(
    rf"""(?<!{_LETTER})(?<!-)--?[A-Za-z](?:{_LETTER}|-)*   # an option: -hold, --lint-only
      | [A-Z]{{2,}}-\d+                       # a message number: GRT-0243
      | \d+(?:\.\d+)*(?=(?:{_UNITS})(?!{_LETTER}))  # a number with its unit, which is the next token: 1.8 V, 10ps
      | [A-Za-z\d_]+(?:\.\d+)+[a-z]?(?!{_LETTER})  # a rule of a design rule manual, a version: m1.2, poly.3a, 2.0
      | \$?[A-Za-z_]{_LETTER}*(?:::(?:[A-Za-z_]{_LETTER}*)?)+   # a name with its namespace: ord::get_db
      | \$?{_LETTER}(?:{_LETTER}|\$)*(?:\[\d+(?::\d+)?\])?    # a word, a command, a $cell, a bus bit clk[3]
      | [{_CJK}]+
    """,
    re.VERBOSE,
)
_PART = re.compile(rf"[^\W_{_CJK}]+")
_IS_CJK = re.compile(f"[{_CJK}]")
_VERSION = re.compile(r"[vV]?\d[\d.]*[a-z]?")
_NARROW = {0xFF01 + number: 0x21 + number for number in range(94)}  # of East Asian texts: `ｒｅｐｏｒｔ＿ｃｈｅｃｋｓ`
_MICRO = str.maketrans("µμ", "uu")  # two signs for one unit, and what people type


def is_identifier(token: str) -> bool:
    """Whether a token is an exact name rather than a word.

    It has `_`, `$`, `::`, a rule's number or an index, or is an option or message number, and at least four characters:
    `-v` means another thing in every tool. A version is not one: `v5.020`.
    """
    is_name = not token.isalnum() and any(character.isalpha() for character in token)
    return len(token) >= 4 and is_name and not _VERSION.fullmatch(token)


def find_tokens(text: str) -> list[str]:
    """Words and whole names as they stand in the text, in order; letters of full width as those of ASCII."""
    text = text if text.isascii() else text.translate(_NARROW)
    return [match.group() for match in _TOKEN.finditer(text)]


def find_names(text: str) -> list[str]:
    """The exact names of a text in order, in lower case, as they are indexed."""
    return [token.lower() for token in find_tokens(text) if is_identifier(token)]


def tokenize(text: str) -> list[str]:
    """Terms to index: each name whole (lower case) and its parts; words as English stems (Snowball), no stop words.

    A name in a namespace also stands alone. Of Chinese, Japanese and Korean each two neighbouring signs are a term.
    """
    stemmer = Stemmer.Stemmer("english")  # made anew: an instance must not be shared between threads
    terms: list[str] = []
    for token in find_tokens(text):
        lower = token.lower().translate(_MICRO)
        if is_cjk(lower):
            terms.extend(lower[start : start + 2] for start in range(max(1, len(lower) - 1)))
        elif lower.isalnum():
            if lower not in STOP_WORDS:
                terms.append(stemmer.stemWord(lower))
        else:
            terms.append(lower)
            if "::" in lower:
                terms.extend(name for name in lower.split("::") if "_" in name)
            terms.extend(stemmer.stemWords(_PART.findall(lower)))
    return terms


def is_cjk(term: str) -> bool:
    """Whether a term is of Chinese, Japanese or Korean signs."""
    return bool(_IS_CJK.match(term))


def content_terms(query: str) -> frozenset[str]:
    """The terms of a query without those that only ask."""
    return frozenset(tokenize(query)) - ASKING_WORDS


def idf(documents: int, containing: int) -> float:
    """ln(1 + (N - n + 0.5) / (n + 0.5)).

    This is Robertson & Sparck Jones's weight, with the 1 that keeps it positive for common terms.
    """
    return math.log1p((documents - containing + 0.5) / (containing + 0.5))


def best_rows(scores: NDArray[np.float32], k: int) -> list[int]:
    """The at most `k` rows with the highest scores above 0, best first; equal scores by row."""
    found = np.flatnonzero(scores)
    return [int(row) for row in found[np.lexsort((found, -scores[found]))][:k]]


class Bm25Index:
    """Postings in CSR form: rows and weights of term t lie in `indptr[t]:indptr[t + 1]`.

    A mask of rows may restrict it. Read-only once built; thread-safe.
    """

    def __init__(
        self,
        vocabulary: dict[str, int],
        indptr: NDArray[np.int64],
        rows: NDArray[np.int32],
        weights: NDArray[np.float32],
        count: int,
        mask: NDArray[np.bool_] | None = None,
    ) -> None:
        self._vocabulary = vocabulary
        self._indptr = indptr
        self._rows = rows
        self._weights = weights
        self.count = count
        self._mask = mask

    @classmethod
    def build(cls, texts: Iterable[str]) -> Bm25Index:
        """Index the texts; a posting's weight is its whole BM25 contribution, so that a query only adds slices."""
        bags = [Counter(tokenize(text)) for text in texts]
        lengths = np.array([bag.total() for bag in bags], dtype=np.float64)
        average = (float(lengths.mean()) if bags else 0.0) or 1.0  # texts without any term have no length to compare

        postings: dict[str, list[tuple[int, int]]] = {}
        for row, bag in enumerate(bags):
            for term, frequency in bag.items():
                postings.setdefault(term, []).append((row, frequency))
        vocabulary = {term: number for number, term in enumerate(sorted(postings))}

        indptr, all_rows, all_weights = [0], [], []
        for term in vocabulary:
            pairs = np.array(postings[term])
            rows, frequencies = pairs[:, 0], pairs[:, 1].astype(np.float64)
            norm = K1 * (1 - B + B * lengths[rows] / average)
            all_weights.append(idf(len(bags), len(rows)) * frequencies * (K1 + 1) / (frequencies + norm))
            all_rows.append(rows)
            indptr.append(indptr[-1] + len(rows))

        joined_rows = np.concatenate(all_rows) if all_rows else np.zeros(0)
        joined_weights = np.concatenate(all_weights) if all_weights else np.zeros(0)
        return cls(
            vocabulary,
            np.array(indptr, dtype=np.int64),
            joined_rows.astype(np.int32),
            joined_weights.astype(np.float32),
            len(bags),
        )

    def within(self, mask: NDArray[np.bool_]) -> Bm25Index:
        """The same index as if no term stood in a row outside the mask, shape (rows,).

        Weights stay those of the whole index, so that scores compare.
        """
        return Bm25Index(self._vocabulary, self._indptr, self._rows, self._weights, self.count, mask)

    def scores(self, query: str) -> NDArray[np.float32]:
        """BM25 score of every row, shape (rows,). A term that the query repeats counts once: queries are short."""
        scores = np.zeros(self.count, dtype=np.float32)
        for term in set(tokenize(query)):
            part = self._postings(term)
            scores[self._rows[part]] += self._weights[part]
        return scores if self._mask is None else np.where(self._mask, scores, np.float32(0))

    def search(self, query: str, k: int) -> tuple[list[int], list[float]]:
        """The at most `k` best rows with a score above 0, best first (equal scores by row), and their scores."""
        scores = self.scores(query)
        rows = best_rows(scores, k)
        return rows, [float(scores[row]) for row in rows]

    def phrase_scores(self, terms: Sequence[str], known: Collection[str]) -> NDArray[np.float32]:
        """What a phrase of these terms adds to each row that holds them all, shape (rows,).

        It is the weight of those of its terms that are not `known` from elsewhere.
        """
        scores = np.zeros(self.count, dtype=np.float32)
        held = self.rows_with_all(terms)
        for term in frozenset(terms).difference(known) if len(held) else ():
            part = self._postings(term)
            scores[self._rows[part]] += self._weights[part]
        added = np.zeros_like(scores)
        added[held] = scores[held]
        return added

    def coverage(self, query: str) -> tuple[float, float]:
        """Two shares of the query's terms, weighted by idf: what the best row holds, and what no row holds.

        The best row is the one that holds most of them. Terms that no row holds weigh as much as the rarest known.
        """
        held, total, unknown = self._hold(content_terms(query))
        return (float(held.max()) / total, unknown / total) if total and self.count else (0.0, 1.0)

    def coverage_beside(self, names: Sequence[str], query: str) -> float:
        """Of the rows with the rarest of these names, the share of the query's other terms that the best one holds.

        Terms are weighted by idf; 1 where the query has no others.
        """
        rows = min((self._rows_of(name) for name in names), key=len)
        held, total, _ = self._hold(content_terms(query).difference(*map(tokenize, names)))
        return float(held[rows].max(initial=0.0)) / total if total else 1.0

    def _hold(self, terms: Iterable[str]) -> tuple[NDArray[np.float64], float, float]:
        """What the terms that each row holds weigh, shape (count,), what all weigh, and those that no row holds."""
        held = np.zeros(self.count, dtype=np.float64)
        total = unknown = 0.0
        for term in self.known_script(terms):
            rows = self._rows_of(term)
            weight = idf(self.count, max(len(rows), 1))
            total += weight
            unknown += 0.0 if len(rows) else weight
            held[rows] += weight
        return held, total, unknown

    def known_script(self, terms: Iterable[str]) -> frozenset[str]:
        """The terms without Chinese, Japanese and Korean ones where no row has any.

        A question in another language than the documents says nothing of what they lack.
        """
        last = next(reversed(self._vocabulary), "")  # it is sorted, and these scripts come behind all others
        return frozenset(terms) if is_cjk(last) else frozenset(term for term in terms if not is_cjk(term))

    def rows_with(self, term: str) -> frozenset[int]:
        """Rows that hold this exact term (a name as `tokenize` gives it)."""
        return frozenset(int(row) for row in self._rows_of(term))

    def count_with(self, term: str) -> int:
        """How many rows hold this exact term."""
        return len(self._rows_of(term))

    def rows_with_all(self, terms: Iterable[str]) -> NDArray[np.int32]:
        """Rows that hold every one of these terms, rising; none for no terms."""
        rows = sorted((self._rows_of(term) for term in frozenset(terms)), key=len)
        return reduce(partial(np.intersect1d, assume_unique=True), rows) if rows else self._rows[:0]

    @property
    def terms(self) -> Collection[str]:
        """All terms, sorted; of a restricted index also those that stand in none of its rows."""
        return self._vocabulary.keys()

    def idf(self, term: str) -> float:
        """What a term weighs in any question: much where few rows hold it."""
        return idf(self.count, self.count_with(term))

    def _rows_of(self, term: str) -> NDArray[np.int32]:
        rows = self._rows[self._postings(term)]
        return rows if self._mask is None else rows[self._mask[rows]]

    def _postings(self, term: str) -> slice:
        """Where a term's rows and weights lie; empty for an unknown one."""
        number = self._vocabulary.get(term)
        return slice(0) if number is None else slice(int(self._indptr[number]), int(self._indptr[number + 1]))

    def save(self, folder: Path) -> None:
        """Write vocabulary.json and three .npy arrays into `folder`."""
        (folder / "vocabulary.json").write_text(
            json.dumps(list(self._vocabulary), ensure_ascii=False), encoding="utf-8"
        )
        np.save(folder / "bm25_indptr.npy", self._indptr, allow_pickle=False)
        np.save(folder / "bm25_rows.npy", self._rows, allow_pickle=False)
        np.save(folder / "bm25_weights.npy", self._weights, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, count: int) -> Bm25Index:
        """Open what `save` wrote, arrays memory-mapped.

        Raises:
            IndexCorrupt: the files are not those that `save` writes.
            OSError: a file cannot be opened.
        """
        try:
            terms = parse_as(list[str], (folder / "vocabulary.json").read_bytes())
            indptr = map_array(folder / "bm25_indptr.npy", np.dtype(np.int64))
            rows = map_array(folder / "bm25_rows.npy", np.dtype(np.int32))
            weights = map_array(folder / "bm25_weights.npy", np.dtype(np.float32))
        except ValueError as error:
            raise IndexCorrupt(
                f"the BM25 files in {folder} cannot be read ({error}), or do not fit together: build the index again"
            ) from error
        good_shapes = len(indptr) == len(terms) + 1 and len(rows) == len(weights) and is_rising(indptr, len(rows))
        if not good_shapes or (len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < count):
            raise IndexCorrupt(f"the BM25 files in {folder} do not fit together: build the index again")
        return cls({term: number for number, term in enumerate(terms)}, indptr, rows, weights, count)
