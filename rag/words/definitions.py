"""What a question wants explained ("what is skew?"), and the passages that say what it is. Rules on words; no model.

A short word of the field stands in a hundred passages, and a search takes the one that is most like "what is skew". The
one that begins "Skew is ..." explains it, and so does a glossary's row, or the beginning of what stands under its name.

    subject = find_subject("what is clock skew?")
    subject.is_defined_in("Clock skew is the difference between two arrivals.")  # True
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from rag.index.bm25 import tokenize

LONGEST = 100  # characters of a question that wants something explained
MOST_WORDS = 4  # of a subject: more are a question of another kind
_ASKS = re.compile(
    r"(?:(?:pls|please|can|could|would|you|kindly)\s+)*"
    r"(?:what(?:'?s|\s+is|\s+are|\s+(?P<does>does))|define|explain|(?:the\s+)?(?:meaning|definition)\s+of)\s+"
    r"(?:the\s+term\s+|an?\s+|the\s+)?(?P<subject>[\w/ -]+?)"
    r"(?(does)\s+(?:mean|stand\s+for)|(?:\s+(?:mean|means|is|exactly))?)(?:\s+(?:to\s+me|pls|please))?\s*[?.!]*",
    re.IGNORECASE,
)
# A subject with one of these asks for a part of something: "what is the default of ...", "what are the units for ..."
_PART = re.compile(
    r"\b(?:of|for|to|in|on|at|by|with|from|between|the|my|your|this|that|it|and|or|do|does|default|value|unit|units|"
    r"best|difference|command|option|options|variable|name|wrong|new|problem|use|used|you|there|not)\b",
    re.IGNORECASE,
)
# "Skew is the ..." explains, "gates are cloned" and "coverage is not required" do not
_IS = (
    r"(?:is|are)\b"
    r"(?!\s+(?:not|now|also|only|often|never|always|still|already|usually|currently|\w+ed(?!\s+(?:minus|plus|as)\b))\b)"
)
_VERB = rf"(?:{_IS}|means?|describes|denotes?|refers?\s+to|stands?\s+for|defines|tells|specifies)\b"
_MEANINGS = re.compile(r"^\|.*\b(?:meaning|definition|expansion|description)\b.*\|", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is to be explained, as the question names it."""

    name: str

    @property
    def terms(self) -> frozenset[str]:
        """Its words as an index has them."""
        return frozenset(tokenize(self.name))

    def share_of(self, heading: str) -> float:
        """The share that it has of a heading, 1 for "Clock gating" and a clock gate; 0 where a word of it lacks."""
        terms = frozenset(tokenize(heading))
        return len(self.terms) / len(terms) if terms and self.terms <= terms else 0.0

    def is_defined_in(self, text: str) -> bool:
        """Whether a sentence begins with it and says what it is, or a row of a table of meanings, with its header."""
        sentence, row = _definitions_of(self.name)
        return bool(sentence.search(text) or (_MEANINGS.search(text) and row.search(text)))


def find_subject(question: str) -> Subject | None:
    """What the question wants explained and nothing else; None for any other question."""
    asked = question.strip() if len(question) <= LONGEST else ""
    found = _ASKS.fullmatch(asked)
    if not found:
        return None
    name = " ".join(found["subject"].split())
    is_plain = 0 < len(name.split()) <= MOST_WORDS and not _PART.search(name)
    return Subject(name) if is_plain and tokenize(name) else None


@lru_cache(maxsize=64)
def _definitions_of(name: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Where a sentence says what a name stands for, and where a row of a table begins with it."""
    spelled = r"[\s-]+".join(rf"{re.escape(word)}(?:e?s)?" for word in re.split(r"[\s-]+", name))
    aside = r"[*`\"]*(?:\s*\([^()\n]{1,60}\)[*`\"]*)?"
    sentence = (
        rf"(?:^|[.!?:]\s|\n|\*\*)\s*(?:>\s*|[-*]\s+)?(?:an?\s+|the\s+)?[*`\"]*{spelled}{aside}\s+{_VERB}"
        rf"|\({spelled}\)[*`\"]*\s+[a-z]+s\b"  # "Layout versus schematic (LVS) extracts"
    )
    row = rf"(?:^|\n)\|\s*[*`]*{spelled}[*`]*\s*\|"
    return re.compile(sentence, re.IGNORECASE), re.compile(row, re.IGNORECASE)
