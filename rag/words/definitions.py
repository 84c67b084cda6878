"""What a question wants explained ("what is skew?"), and the passages that say what it is. Rules on words; no model.

Who types the name of a command and nothing else wants it explained, too. So does who pastes that Tcl does not know it:
then the passage that says what became of it explains it.

A short word of the field stands in a hundred passages, and a search takes the one that is most like "what is skew". The
one that begins "Skew is ..." explains it, and so does a glossary's row, or the beginning of what stands under its name.
A code (HS-102) is explained by the line or row that begins with it: lists of codes have no verbs.

    subject = find_subject("what is clock skew?")
    subject.is_defined_in("Clock skew is the difference between two arrivals.")  # True
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from rag.index.bm25 import is_identifier, tokenize

LONGEST = 100  # characters of a question that wants something explained
_LEAST_CAPITALS = 5  # of a name in capitals alone (`WIDTHTRUNC`): shorter ones are abbreviations of the field
MOST_WORDS = 4  # of a subject: more are a question of another kind
_ASKS = re.compile(
    r"(?:(?:pls|please|can|could|would|you|kindly)\s+)*"
    r"(?:what(?:'?s|\s+is|\s+are|\s+(?P<does>does))|define|explain|(?:the\s+)?(?:meaning|definition)\s+of)\s+"
    r"(?:the\s+term\s+|an?\s+|the\s+)?(?P<subject>(?:[\w/ -]|(?<=\w)\.(?=\w))+?)"
    r"(?(does)\s+(?:mean|stand\s+for)|(?:\s+(?:mean|means|is|exactly))?)(?:\s+(?:to\s+me|pls|please))?\s*[?.!]*",
    re.IGNORECASE,
)
_NAME = r"(?:the\s+)?(\w[\w-]*)(?:\s+(?:command|pass|variable|option|message|warning|error))?"
# An exact name alone, or what it does or is for
_ASKS_OF_NAME = re.compile(
    rf"(?:what\s+does\s+{_NAME}\s+do|what(?:\s+is|'?s)\s+{_NAME}\s+(?:used\s+)?for"
    rf"|(?:(?:help|man|describe|info|tell\s+me\s+about)\s+)?{_NAME})\s*[?.!]*",
    re.IGNORECASE,
)
_UNKNOWN_TO_TCL = re.compile(r"\binvalid command name \"(?:::)?(\w+)\"")
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
# HS-102, M1.W.1, HD177; what a list of such calls them says nothing
_CODE = re.compile(r"[A-Za-z]\w*[-.][\w.-]*\d[\w.-]*|[A-Za-z]{2,}\d{2,}")
_KIND = re.compile(
    r"(?:(?:error|warning|message|exit|return|status|code|rule|check|violation|number)\s+)+", re.IGNORECASE
)
_MEANINGS = re.compile(r"^\|.*\b(?:meaning|definition|expansion|description)\b.*\|", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is to be explained, as the question names it; is_unknown: a tool says that it does not know it."""

    name: str
    is_unknown: bool = False

    @property
    def is_exact(self) -> bool:
        """Whether it is the name of a command, a variable or a message, which a reference may describe."""
        return is_exact_name(self.name)

    @property
    def terms(self) -> frozenset[str]:
        """Its words as an index has them."""
        return frozenset(tokenize(self.name))

    def share_of(self, heading: str) -> float:
        """The share that it has of a heading, 1 for "Clock gating" and a clock gate; 0 where a word of it lacks."""
        terms = frozenset(tokenize(heading))
        return len(self.terms) / len(terms) if terms and self.terms <= terms else 0.0

    def is_defined_in(self, text: str) -> bool:
        """Whether a sentence begins with it and says what it is, or a row of a table of meanings, with its header.

        For what a tool does not know: what became of it.
        """
        if self.is_unknown and _end_of(self.name).search(text):
            return True
        sentence, row = _definitions_of(self.name)
        if _CODE.fullmatch(self.name) and (_entry_of(self.name).search(text) or row.search(text)):
            return True
        return bool(sentence.search(text) or (_MEANINGS.search(text) and row.search(text)))


def find_subject(question: str) -> Subject | None:
    """What the question wants explained and nothing else; None for any other question."""
    if unknown := _UNKNOWN_TO_TCL.search(question):
        return Subject(unknown[1], is_unknown=True)

    asked = question.strip() if len(question) <= LONGEST else ""
    of_name = _ASKS_OF_NAME.fullmatch(asked)
    name = next(filter(None, of_name.groups()), "") if of_name else ""
    if is_exact_name(name):
        return Subject(name)

    found = _ASKS.fullmatch(asked)
    if not found:
        return None
    name = " ".join(found["subject"].split())
    code = _KIND.sub("", name, count=1)
    name = code if _CODE.fullmatch(code) else name
    is_plain = 0 < len(name.split()) <= MOST_WORDS and not _PART.search(name)
    return Subject(name) if is_plain and tokenize(name) else None


def is_exact_name(name: str) -> bool:
    """Whether a word is written in one way: an exact name of any document, or one in capitals alone."""
    return is_identifier(name) or (name.isupper() and len(name) >= _LEAST_CAPITALS)


@lru_cache(maxsize=64)
def _end_of(name: str) -> re.Pattern[str]:
    """Where a sentence says what became of a command: "The `report_cell` command has been removed"."""
    became = r"no longer|removed|renamed|replaced|superseded|deprecated|obsolete"
    return re.compile(
        rf"(?<![\w-]){re.escape(name)}[`*\"]*\s+(?:command\s+)?(?:is|was|has\s+been)\s+(?:now\s+)?(?:{became})\b",
        re.IGNORECASE,
    )


@lru_cache(maxsize=64)
def _entry_of(code: str) -> re.Pattern[str]:
    """Where a line begins with a code, alone or with what is said of it."""
    return re.compile(rf"(?:^|\n)[ \t]*(?:#+ |[-*+>] )?[\[(*`\"]*{re.escape(code)}[\])*`\":]*(?=\s+\S)", re.IGNORECASE)


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
