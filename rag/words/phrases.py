"""Phrases as words to compare: how a text is split into words, and when two phrases are the same.

Exact names (options, commands with `_`, files, paths) are not words: they and punctuation part phrases. Articles do not
count. It knows no lexicon.

    phrase_key("hard blocks") == phrase_key("a hard block")  # True
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import Stemmer

SKIPPED = frozenset("a an the my our your its this that these those".split())  # inside a phrase
MAX_WORDS = 200  # of a text: a question shows what it asks in these, and a pasted log must not cost time
KEYS_KEPT = 32_768  # of phrases: some times those of our lexicon, which each is asked for when it is read and used

_PIECE = re.compile(
    r"""(?P<name>`[^`]*`                                            # code
          | (?<!\S)--?[^\W\d]\S*                                    # an option
          | (?<!\S)\S*(?:[_$\\=\[\]{}<>@#%*|~^]|\w[.:/]\w)\S*       # a command, a file, a path, a bus bit
          | (?<!\S)[A-Z]{2,}-\d+)                                   # a message number
      | (?P<word>[^\W_]+(?:['&][^\W_]+)*)
      | (?P<mark>[^\w\s"'-])""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Word:
    """A word as it stands in a text, where, and the two forms by which it is compared: its singular and its stem."""

    text: str
    start: int
    end: int
    singular: str
    stem: str


def split_words(text: str) -> list[Word | None]:
    """The first words of a text in order; None where a name or a mark parts them."""
    stemmer = Stemmer.Stemmer("english")  # made anew: an instance must not be shared between threads
    words: list[Word | None] = []
    for piece in _PIECE.finditer(text):
        if piece.lastgroup != "word":
            words.append(None)
            continue
        lower = piece.group().lower().removesuffix("'s")
        if lower not in SKIPPED:
            words.append(Word(piece.group(), piece.start(), piece.end(), _singular(lower), stemmer.stemWord(lower)))
        if len(words) >= MAX_WORDS:
            break
    return words


def key_of(words: list[Word]) -> tuple[str, ...]:
    """What equal phrases share: of one word its singular, since stems join too much; of several their stems."""
    return (words[0].singular,) if len(words) == 1 else tuple(word.stem for word in words)


@lru_cache(KEYS_KEPT)
def phrase_key(phrase: str) -> tuple[str, ...]:
    """The key of a whole phrase.

    That of an exact name, and of an abbreviation in capitals, is the phrase itself: it is compared with its case.
    """
    words = split_words(phrase)
    known = [word for word in words if word]
    if not known or len(known) < len(words) or is_abbreviation(phrase):
        return (phrase,)
    return key_of(known)


def is_abbreviation(phrase: str) -> bool:
    """Whether a phrase is one word in capitals."""
    return len(phrase) > 1 and phrase.isalnum() and phrase.isupper()


def _singular(word: str) -> str:
    """An English plural without its ending; other words as they are."""
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:  # not "dies" and "ties"
        return f"{word[:-3]}y"
    return word[:-2] if word == "buses" or word.endswith(("xes", "ches", "shes", "sses")) else word[:-1]
