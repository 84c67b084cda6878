"""Finds the words of engineers in a question, and says how manuals put them: whole words, the longest phrase first.

A word of several fields, or a phrase that its group marks as vague, counts only beside another word of its field. A
phrase in capitals counts in capitals alone. Exact names are left alone. It knows no index (`widening` does).

    [use] = open_lexicon().find("how do I get rid of races after wiring?")[:1]
    use.groups[0].manual[0]  # "hold violation"
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from rag.words.lexicon_file import FIELDS, Group, read_lexicon_files
from rag.words.phrases import Word, is_abbreviation, key_of, phrase_key, split_words

ANY = "it"  # between other words of a phrase: stands for any
MOST_ANY = 4  # words that it stands for
MOST_OPEN = 16  # words of such a phrase with what it stands for
_FIELD_WORDS = {field: frozenset(words.split()) for field, words in FIELDS.items()}


@dataclass(frozen=True, slots=True)
class Use:
    """A phrase of the lexicon in a text: where it stands, and the groups that it is used in the sense of.

    `held`: where the words stand that "it" in the phrase is for; (0, 0) where it has none.
    """

    start: int
    end: int
    key: tuple[str, ...]
    groups: tuple[Group, ...]
    held: tuple[int, int] = (0, 0)


class Lexicon:
    """Groups, ready to be found in texts. Read-only once made; thread-safe."""

    def __init__(self, groups: Iterable[Group]) -> None:
        self._groups: dict[tuple[str, ...], list[Group]] = defaultdict(list)  # by a phrase's key
        self._vague: set[tuple[str, ...]] = set()
        self._open: dict[str, list[tuple[str, ...]]] = defaultdict(list)  # keys with ANY, by their first word
        lengths: dict[str, set[int]] = defaultdict(set)
        for group in groups:
            for phrase in (*group.manual, *group.said):
                key = phrase_key(phrase)
                self._groups[key].append(group)
                if phrase in group.vague:
                    self._vague.add(key)
                lengths[key[0]].add(len(key))
                if ANY in key[1:-1] and key not in self._open[key[0]]:
                    self._open[key[0]].append(key)
        self._lengths = {first: sorted(found, reverse=True) for first, found in lengths.items()}

    def __len__(self) -> int:
        """The number of phrases."""
        return len(self._groups)

    def groups_of(self, phrase: str) -> list[Group]:
        """All groups that hold a phrase, whatever stands beside it."""
        keys = dict.fromkeys((phrase_key(phrase), phrase_key(phrase.lower()), phrase_key(phrase.upper())))
        return list(dict.fromkeys(group for key in keys for group in self._groups.get(key, ())))

    def find(self, text: str) -> list[Use]:
        """The phrases in a text that count there, in order; none overlaps another."""
        words = split_words(text)
        uses = self._find_all(words)
        return [kept for use in uses if (kept := self._keep(use, uses, words)).groups]

    def fields_in(self, text: str) -> list[str]:
        """The fields of the phrases and words in a text, one for each."""
        words = split_words(text)
        named = [field for word in words if word for field, known in _FIELD_WORDS.items() if word.text.lower() in known]
        return named + [group.field for use in self._find_all(words) for group in use.groups]

    def _find_all(self, words: Sequence[Word | None]) -> list[Use]:
        uses = []
        place = 0
        while place < len(words):
            use, length = self._find_at(words, place)
            uses += [use] if use else []
            place += length
        return uses

    def _find_at(self, words: Sequence[Word | None], place: int) -> tuple[Use | None, int]:
        """The longest phrase that begins at a word, and how many words to go on; one where there is none."""
        first = words[place]
        if first is None:
            return None, 1
        for length in self._lengths.get(first.stem, ()):
            phrase = [word for word in words[place : place + length] if word]
            if length > 1 and len(phrase) == length and (groups := self._groups.get(key_of(phrase))):
                return Use(first.start, phrase[-1].end, key_of(phrase), tuple(groups)), length
        if found := self._find_open(words, place):
            return found
        keys = [(first.text,), (first.singular,)] if is_abbreviation(first.text) else [(first.singular,)]
        for key in keys:
            if groups := self._groups.get(key):
                return Use(first.start, first.end, key, tuple(groups)), 1
        return None, 1

    def _find_open(self, words: Sequence[Word | None], place: int) -> tuple[Use, int] | None:
        """The phrase with "it" that begins at a word, and its length: for "turn it off", "turn the fill off"."""
        stems = [word.stem if word else "" for word in words[place : place + MOST_OPEN]]
        for key in self._open.get(stems[0], ()):
            before = key.index(ANY, 1)
            after = key[before + 1 :]
            for begin in range(before + 1, before + MOST_ANY + 1) if tuple(stems[:before]) == key[:before] else ():
                length = begin + len(after)
                found = [word for word in words[place : place + length] if word]
                if tuple(stems[begin:length]) == after and len(found) == length:
                    held = found[before].start, found[begin - 1].end
                    return Use(found[0].start, found[-1].end, key, tuple(self._groups[key]), held), length
        return None

    def _keep(self, use: Use, uses: Sequence[Use], words: Sequence[Word | None]) -> Use:
        """The phrase with those of its groups that count beside the other words.

        Of several words that no other word places in a field, all groups count.
        """
        if not self._is_vague(use):
            return use
        others = {word.text.lower() for word in words if word and not use.start <= word.start < use.end}
        fields = {group.field for one in uses if one is not use and not self._is_vague(one) for group in one.groups}
        kept = tuple(group for group in use.groups if group.field in fields or others & _FIELD_WORDS[group.field])
        is_clear = len(use.key) > 1 and use.key not in self._vague
        return replace(use, groups=use.groups if is_clear and not kept else kept)

    def _is_vague(self, use: Use) -> bool:
        return use.key in self._vague or len({group.field for group in use.groups}) > 1


def open_lexicon(own_files: str = "") -> Lexicon:
    """Our lexicon with a company's own files (CHIPALIGN_LEXICON), read once.

    Raises LexiconUnusable.
    """
    return _read_lexicon(own_files)


@lru_cache(4)
def _read_lexicon(own_files: str) -> Lexicon:
    return Lexicon(read_lexicon_files(own_files))
