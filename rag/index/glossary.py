"""Abbreviations that the documents themselves explain: reads them, and expands them in a question.

They come from glossary tables and from prose. It knows no index: `index` keeps the glossary of its chunks beside them,
`retriever` expands questions with it.

    table = "| Abbreviation | Expansion |\\n|---|---|\\n| WNS | Worst negative slack |"
    glossary = read_glossary([table, "the total negative slack (TNS) is"])
    expand_abbreviations("What is WNS?", glossary)  # "What is WNS (Worst negative slack)?"
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from rag.index.bm25 import STOP_WORDS

# Words with spaces or hyphens between them, then capitals (two at least, perhaps with a plural s) in brackets.
_DEFINED = re.compile(r"(?P<words>[A-Za-z]+(?:[ \n-][A-Za-z]+){1,16})[ \n]\((?P<abbreviation>[A-Z]{2,8}s?)\)")
_GLOSSARY_HEAD = re.compile(r"\|\s*abbreviations?\s*\|\s*expansions?\s*\|", re.IGNORECASE)


def read_glossary(texts: Iterable[str]) -> dict[str, str]:
    """Expansions by abbreviation in lower case.

    They come from Markdown tables whose first columns are headed Abbreviation and Expansion. An abbreviation in no
    table is read from prose such as "worst negative slack (WNS)", where the most frequent expansion counts. Of an
    expansion with several meanings ("Minimum pulse width; also multi-project wafer") the first counts.
    """
    tables: dict[str, str] = {}
    prose: dict[str, Counter[str]] = {}
    for text in texts:
        for abbreviation, expansion in find_table_rows(text):
            if abbreviation.isalnum():
                tables.setdefault(abbreviation.lower(), expansion)
        for abbreviation, expansion in find_definitions(text):
            prose.setdefault(abbreviation.lower(), Counter())[expansion] += 1
    return {abbreviation: counted.most_common(1)[0][0] for abbreviation, counted in prose.items()} | tables


def find_table_rows(text: str, head: re.Pattern[str] = _GLOSSARY_HEAD) -> Iterator[tuple[str, str]]:
    """The first two cells of each row of the Markdown tables that `head` matches; of the second its first meaning."""
    inside = False
    for line in text.splitlines():
        cells = [cell.strip().strip("`*") for cell in line.strip().strip("|").split("|")]
        is_head = bool(head.match(line.lstrip()))
        inside = line.lstrip().startswith("|") and len(cells) > 1 and (inside or is_head)
        if inside and not is_head:
            yield cells[0], cells[1].split(";")[0].strip()


def find_definitions(text: str) -> list[tuple[str, str]]:
    """Abbreviations with the words before them that they stand for, as in "worst negative slack (WNS)".

    The letters of the abbreviation must stand in those words in order, the first at the start of the first word
    (Schwartz & Hearst, "A simple algorithm for identifying abbreviation definitions in biomedical text", PSB 2003);
    beyond their rule it must be in capitals, and each word is of letters alone, since code has brackets too.
    """
    found = []
    for match in _DEFINED.finditer(text):
        words, abbreviation = match["words"].split(), match["abbreviation"]
        most = min(len(abbreviation) + 5, 2 * len(abbreviation))
        if expansion := _match_letters(abbreviation.rstrip("s"), " ".join(words[-most:])):
            found.append((abbreviation.rstrip("s"), expansion))
    return found


def _match_letters(abbreviation: str, words: str) -> str:
    """The end of `words` that the abbreviation stands for; "" where its letters do not stand there."""
    place = len(words)
    for number in range(len(abbreviation) - 1, -1, -1):
        letter = abbreviation[number].lower()
        place -= 1
        while place >= 0 and (
            words[place].lower() != letter or (number == 0 and place > 0 and words[place - 1].isalnum())
        ):
            place -= 1
        if place < 0:
            return ""
    return words[place:]


def expand_abbreviations(query: str, glossary: Mapping[str, str]) -> str:
    """`What is WNS?` as `What is WNS (Worst negative slack)?`.

    An embedding model does not know a field's abbreviations. Case is ignored, except that one of the commonest words
    ("at" for arrival time) must be in capitals.
    """

    def expand(match: re.Match[str]) -> str:
        """The word, with its meaning where it has one."""
        word = match.group()
        meaning = glossary.get(word.lower())
        common = word.lower() in STOP_WORDS and not word.isupper()
        return word if meaning is None or common else f"{word} ({meaning})"

    return re.sub(r"(?<![\w$-])[^\W_]+(?![\w-])", expand, query)
