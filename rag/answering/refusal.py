"""The answer where no passage answers: what was searched, and what is said of a name of the question.

Who asks about an option that is barely described sees the sentence that names it, and that there is no more. It
searches nothing and asks no model; what comes near a question without a name is rag.answering.nearest's.

    refusal = refuse(["handbook"], retriever.missing(question))
    refusal.answer.text  # "I found nothing about this in the indexed documents (handbook), ..."
    refusal.hits  # the passage that it quotes, if any
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rag.answering.citations import Citation
from rag.answering.quotes import Quote
from rag.answering.units import Unit, cut_units
from rag.answering.wording import QuotedAnswer, name_place, word_quotes
from rag.documents import Hit
from rag.index.bm25 import tokenize
from rag.search.missing import Misnamed, Missing

NOTHING_FOUND = "I found nothing about this in the indexed documents"
MOST_WORDS = 60  # of what is quoted
ADVICE = "Ask with the name of the command, option or message, or add documents that cover it."


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer, and the passages that it quotes, if any."""

    answer: QuotedAnswer
    hits: tuple[Hit, ...] = ()


def say_searched(collections: Iterable[str]) -> str:
    """The sentence that each refusal begins with."""
    searched = ", ".join(sorted(collections)) or "none"
    return f"{NOTHING_FOUND} ({searched}), so I do not answer from memory."


def refuse(collections: Iterable[str], missing: Misnamed | Missing | None = None) -> Refusal:
    """What is said when the search returned no hit. `collections` are what was searched."""
    said = say_searched(collections)
    if isinstance(missing, Misnamed):
        near = " or ".join(f"`{name}`" for name in missing.near)
        said += f" No passage holds `{missing.name}`; is it {near} that you mean?"
    if isinstance(missing, Missing):
        return _mention(said, missing)
    return Refusal(QuotedAnswer(f"{said} {ADVICE}", ()))


def _mention(said: str, missing: Missing) -> Refusal:
    """The refusal with what is said of a known name, or with its place alone."""
    hit = Hit.named(missing.chunk)
    beside = f"; no passage that names it speaks of {', '.join(missing.words)}" if missing.words else ""
    said = f"{said} `{missing.name}` is named here{beside}:\n\n"

    quotes = [
        Quote(1, unit.kind, _text(missing, unit), unit.start, unit.end, unit.context) for unit in _find_units(missing)
    ]
    named = word_quotes(quotes, [hit]).text if quotes else f"**{name_place(missing.chunk)}** [1]"
    citation = Citation(1, len(said), len(said) + len(named))
    return Refusal(QuotedAnswer(f"{said}{named}\n\n{ADVICE}", (citation,)), (hit,))


def _find_units(missing: Missing) -> Iterator[Unit]:
    """The first short unit that names it with most of what is asked, and the sentences that go on from there."""
    units = cut_units(missing.chunk.text)
    terms = [set(tokenize(_text(missing, unit))) for unit in units]
    words = [len(_text(missing, unit).split()) for unit in units]
    [name, *_] = tokenize(missing.name)

    named = (row for row in range(len(units)) if name in terms[row] and words[row] <= MOST_WORDS)
    best = max(named, key=lambda row: len(missing.terms & terms[row]), default=len(units))
    for row in range(best, len(units)):
        goes_on = units[row].block == units[best].block and units[row].kind == "sentence"
        if row > best and not (goes_on and sum(words[best : row + 1]) <= MOST_WORDS):
            return
        yield units[row]


def _text(missing: Missing, unit: Unit) -> str:
    return missing.chunk.text[unit.start : unit.end]
