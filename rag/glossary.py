"""Abbreviations that the documents themselves explain: read from their glossary tables, and put into a question.

It knows no index: `index` keeps the glossary of its chunks beside them, `retriever` expands questions with it.

    glossary = read_glossary(["| Abbreviation | Expansion |\n|---|---|\n| WNS | Worst negative slack |"])
    expand_abbreviations("What is WNS?", glossary)  # "What is WNS (Worst negative slack)?"
"""

import re
from collections.abc import Iterable, Mapping

from rag.bm25 import STOP_WORDS

_GLOSSARY_HEAD = re.compile(r"\|\s*abbreviations?\s*\|\s*expansions?\s*\|", re.IGNORECASE)


def read_glossary(texts: Iterable[str]) -> dict[str, str]:
    """Expansions by abbreviation in lower case, from the Markdown tables whose first columns are headed Abbreviation and Expansion.

    Of an expansion with several meanings ("Minimum pulse width; also multi-project wafer") the first counts.
    """
    glossary: dict[str, str] = {}
    for text in texts:
        inside = False
        for line in text.splitlines():
            cells = [cell.strip().strip("`*") for cell in line.strip().strip("|").split("|")]
            inside = line.lstrip().startswith("|") and len(cells) > 1 and (inside or bool(_GLOSSARY_HEAD.match(line.lstrip())))
            if inside and cells[0].isalnum() and not _GLOSSARY_HEAD.match(line.lstrip()):
                glossary.setdefault(cells[0].lower(), cells[1].split(";")[0].strip())
    return glossary


def expand_abbreviations(query: str, glossary: Mapping[str, str]) -> str:
    """`What is WNS?` as `What is WNS (Worst negative slack)?`: an embedding model knows words, not a field's abbreviations.

    In any case of letters, but not where the abbreviation is one of the commonest words ("at" for arrival time) unless in capitals.
    """

    def expand(match: re.Match[str]) -> str:
        """The word, with its meaning where it has one."""
        word = match.group()
        meaning = glossary.get(word.lower())
        common = word.lower() in STOP_WORDS and not word.isupper()
        return word if meaning is None or common else f"{word} ({meaning})"

    return re.sub(r"(?<![\w$-])[^\W_]+(?![\w-])", expand, query)
