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
    r"(?:what(?:'?s|\s+is|\s+are|\s+(?P<does>does))|define|explain|(?:the\s+)?(?:meaning|definition)\s+of)\s+"
    r"(?:the\s+term\s+|an?\s+|the\s+)?(?P<subject>[\w/ -]+?)"
    r"(?(does)\s+(?:mean|stand\s+for)|(?:\s+(?:mean|means|is|exactly))?)\s*[?.!]*",
    re.IGNORECASE,
)
# A subject with one of these asks for a part of something: "what is the default of ...", "what are the units for ..."
_PART = re.compile(
    r"\b(?:of|for|to|in|on|at|by|with|from|between|the|my|your|this|that|it|and|or|do|does|default|value|unit|units|best|"
    r"difference|command|option|options|variable|name|wrong|new|problem|use|used|you|there|not)\b",
    re.IGNORECASE,
)
# "Skew is the ..." explains, "gates are cloned" and "coverage is not required" do not
_IS = r"(?:is|are)\b(?!\s+(?:not|\w+ed(?!\s+(?:minus|plus|as)\b))\b)"
_VERB = rf"(?:{_IS}|means?|describes?|denotes?|refers?\s+to|stands?\s+for|defines?|tells?|specif(?:y|ies))\b"


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
        """Whether a sentence begins with it and says what it is, or a row of a glossary does."""
        return bool(_definition_of(self.name).search(text))


def find_subject(question: str) -> Subject | None:
    """What the question wants explained and nothing else; None for any other question."""
    found = _ASKS.fullmatch(question.strip()) if len(question) <= LONGEST else None
    if not found:
        return None
    name = " ".join(found["subject"].split())
    is_plain = 0 < len(name.split()) <= MOST_WORDS and not _PART.search(name)
    return Subject(name) if is_plain and tokenize(name) else None


@lru_cache(maxsize=64)
def _definition_of(name: str) -> re.Pattern[str]:
    """Where a text says what a name stands for."""
    spelled = r"[\s-]+".join(rf"{re.escape(word)}(?:e?s)?" for word in re.split(r"[\s-]+", name))
    aside = r"[*`\"]*(?:\s*\([^()\n]{1,60}\)[*`\"]*)?"
    return re.compile(
        rf"(?:^|[.!?:]\s|\n|\*\*)\s*(?:>\s*|[-*]\s+)?(?:an?\s+|the\s+)?[*`\"]*{spelled}{aside}\s+{_VERB}"
        rf"|\({spelled}\)[*`\"]*\s+[a-z]+s\b"  # "Layout versus schematic (LVS) extracts"
        rf"|(?:^|\n)\|\s*[*`]*{spelled}[*`]*\s*\|",  # a row of a glossary
        re.IGNORECASE,
    )
