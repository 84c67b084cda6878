"""Groups for a lexicon out of a company's own documents: abbreviations with their words, and names with other names.

They come from prose such as "clock tree synthesis (CTS)" and "a keepout, also called halo", and from tables of terms.
They are for a person to review: it decides nothing.

    suggest_groups([("guide.md: Clocks", "clock tree synthesis (CTS)")], open_lexicon())
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rag.index.bm25 import STOP_WORDS
from rag.index.glossary import find_definitions, find_table_rows
from rag.words.lexicon import Lexicon
from rag.words.lexicon_file import SEPARATOR, VAGUE
from rag.words.phrases import phrase_key

DEFAULT_FIELD = "flow"  # of a passage that names none
MOST_WORDS = 5  # of a phrase: more is an explanation
NAME_WORDS = 3  # before a link ("also called") that may be the name
_ABBREVIATION_HEAD = re.compile(
    r"\|\s*(?:abbreviations?|acronyms?|short(?: form)?)\s*"
    r"\|\s*(?:expansions?|meanings?|definitions?|descriptions?|stands for|(?:long|full) (?:form|name))\s*\|",
    re.IGNORECASE,
)
_ALIAS_HEAD = re.compile(
    r"\|\s*(?:terms?|names?)\s*\|\s*(?:also (?:called|known as)|alias(?:es)?|synonyms?|other names?)\s*\|",
    re.IGNORECASE,
)
_CALLED = r"(?:known as|called|named|termed|referred to as)"
_LINK = re.compile(
    rf"[\s,(]+(?:(?:is|are|was|were)\s+)?(?:(?:also|sometimes|often|commonly|formerly|previously|otherwise)\s+{_CALLED}"
    r"|known as|formerly|a\.?k\.?a\.?)\s+"
)
_WORDS_BEFORE = re.compile(r"[\w+&/`*\"' -]+$")
_WORDS_AFTER = re.compile(r"[\w+&/`*\"' -]+")
_SIGNS = "`*\"' "
_Pair = tuple[str, str]  # as the manual says it, and the other name


@dataclass(slots=True)
class Suggestion:
    """A group to review, and where its first pair was found."""

    field: str
    place: str
    manual: list[str]
    said: list[str]


def suggest_groups(passages: Iterable[tuple[str, str]], lexicon: Lexicon) -> list[Suggestion]:
    """The groups of passages, given with their places, that the lexicon lacks, by field and manual's phrase.

    No phrase stands in two of them.
    """
    by_key: dict[tuple[str, ...], Suggestion] = {}
    for place, text in passages:
        for manual, said in find_pairs(text):
            first, second = phrase_key(manual), phrase_key(said)
            if _is_known(manual, said, lexicon) or (first in by_key and second in by_key):
                continue
            found = by_key.get(first) or by_key.get(second) or Suggestion(_guess_field(text, lexicon), place, [], [])
            if first not in by_key:
                found.manual.append(manual)
            if second not in by_key:
                found.said.append(said)
            by_key[first] = by_key[second] = found
    unique = {id(found): found for found in by_key.values()}.values()
    return sorted(unique, key=lambda found: (found.field, [phrase.lower() for phrase in found.manual]))


def find_pairs(text: str) -> list[_Pair]:
    """Each name in a text that has another name there, with that one."""
    pairs = [(" ".join(expansion.split()), abbreviation) for abbreviation, expansion in find_definitions(text)]
    pairs += [(expansion, short) for short, expansion in find_table_rows(text, _ABBREVIATION_HEAD)]
    pairs += [
        (name, other) for name, others in find_table_rows(text, _ALIAS_HEAD) for other in re.split(r",|/", others)
    ]
    pairs += _find_links(text)
    cleaned = [(manual.strip(_SIGNS), said.strip(_SIGNS)) for manual, said in pairs]
    return [(manual, said) for manual, said in cleaned if _is_phrase(manual) and _is_phrase(said) and manual != said]


def _find_links(text: str) -> Iterator[_Pair]:
    """The names on both sides of "also called" and its like."""
    for link in _LINK.finditer(text):
        before = _WORDS_BEFORE.search(text, 0, link.start())
        after = _WORDS_AFTER.match(text, link.end())
        if before and after:
            name = _last_words(before.group().split())
            yield " ".join(name), " ".join(_first_words(after.group().split()))


def _last_words(words: list[str]) -> list[str]:
    """The last few words, from behind the last common one."""
    starts = [number for number, word in enumerate(words, start=1) if word.lower() in STOP_WORDS]
    return words[max([0, *starts]) :][-NAME_WORDS:]


def _first_words(words: list[str]) -> list[str]:
    """The words up to the first common one, without an article before them."""
    words = words[1:] if words[:1] and words[0].lower() in ("a", "an", "the") else words
    ends = [number for number, word in enumerate(words) if word.lower() in STOP_WORDS]
    return words[: min([MOST_WORDS - 1, *ends])]


def _is_phrase(text: str) -> bool:
    """Whether it may stand in a lexicon: some words with letters, and none of the file's marks."""
    has_marks = SEPARATOR in text or text.endswith(VAGUE)
    return any(map(str.isalpha, text)) and len(text.split()) <= MOST_WORDS and not has_marks


def _is_known(manual: str, said: str, lexicon: Lexicon) -> bool:
    """Whether the two are the same phrase, or stand in one group already."""
    shared = set(lexicon.groups_of(manual)) & set(lexicon.groups_of(said))
    return phrase_key(manual) == phrase_key(said) or bool(shared)


def _guess_field(text: str, lexicon: Lexicon) -> str:
    """The field of most of a passage's words."""
    [(best, _)] = Counter(lexicon.fields_in(text)).most_common(1) or [(DEFAULT_FIELD, 0)]
    return best
