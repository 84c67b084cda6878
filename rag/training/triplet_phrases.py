"""English for made questions and answers: descriptions as predicates, sentences out of markup, citations. Pure text.

It knows no document and draws nothing.

    as_predicate("Set the output file (e.g., `a.guide`).")  # "sets the output file (e.g., `a.guide`)."
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rag.answering.citations import cite_markers

# Verbs with which descriptions of options and commands begin. Only these count as verbs: "Target density" and "Output
# file" begin with none.
_VERBS = frozenset(
    """
    add adjust allow analyze append apply apportion assign associate assume attach avoid balance bound break bring
    buffer build calculate call change check choose clear collect combine compare complete compute configure connect
    consider constrain control convert convey copy count cover create cut decide define delete describe determine
    differ disable display divide do draw dump emit enable enforce ensure estimate evaluate exclude execute exit
    expand export extract find fix flatten force generate get give group guide handle help hide highlight honor honour
    identify ignore implement import include increase indicate infer inform initialize insert invert join keep let
    limit link list load locate log lower make mark match maximize mean measure merge minimize modify move name narrow
    notify obey optimize override parse partition pass perform permit pick place plot prevent print produce propagate
    protect provide raise randomize read recode recognise recognize record recover reduce remove rename repair replace
    report represent require reset resize restore restrict retrieve reverse route run save scale search select
    separate set show simplify skip sort specify split start stop store suppress swap synthesize take tell terminate
    test toggle trace translate treat tune turn undo update upsize use validate verify warn widen write zoom
    """.split()
)
# Words that are verbs too, and words that make the two a noun phrase: "Scale factor", "Guide file name".
_ALSO_NOUNS = frozenset(
    """
    buffer cover cut group guide limit link list log mark match name place report route scale search start stop test
    trace
    """.split()
)
_COMPOUND = re.compile(r"(?:engine|factor|file|name|prefix|suffix|type)s?\b")
_SECOND_VERB = re.compile(r"^(and/or|and|or) ([A-Za-z]+)\b")
_ABBREVIATED = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|cf|Fig|approx|resp|Sec|No)\.[)\"]?|^\d+\.)$")
_SENTENCE_END = re.compile(r"(?:(?<=[.!?])|(?<=[.!?][)\"]))\s+(?=[A-Z`\"(*$-])")
_CODE_OR_BRACKETS = re.compile(r"(`[^`]*`)|\s*\((?:[^()]|\([^()]*\))*\)")
# Proper names that no rule distinguishes from the first word of a sentence.
_NAMES = frozenset({"Boolean", "Elmore", "Liberty", "Python", "Steiner", "Tcl", "Verilog", "Yosys"})
# Labels at the start of descriptions.
_LABEL = re.compile(r"^\s*(?:\(?(?:optional|required|experimental)\)?\s*[.:,;]?\s+)+", re.IGNORECASE)
_SELF = re.compile(
    r"^(?:this|the)\s+(?:boolean\s+)?(?:command|flag|option|switch|argument|parameter|variable|attribute|pass|"
    r"value|key|function)\s+"
    r"(?:(?:is|can be|may be)\s+used\s+to\s+|will\s+|can\s+)?",
    re.IGNORECASE,
)
_USED_TO = re.compile(r"^(?:is\s+)?used\s+to\s+", re.IGNORECASE)


def split_sentences(text: str) -> list[str]:
    """Sentences of a cleaned text; neither "e.g." nor "1." ends one, nor does anything between backticks."""
    sentences: list[str] = []
    for part in _SENTENCE_END.split(text):
        if sentences and (_ABBREVIATED.search(sentences[-1]) or sentences[-1].count("`") % 2):
            sentences[-1] += f" {part}"
        else:
            sentences.append(part)
    return [sentence.strip() for sentence in sentences if sentence.strip()]


def first_sentences(text: str, most_words: int = 45) -> str:
    """The first sentence, and those after it as long as all have at most `most_words` words together; with a full stop.

    A sentence that leads on to a list or to code is not taken; "" where it is the first.
    """
    first, *others = split_sentences(text) or [""]
    if first.endswith(":"):
        return ""
    words = len(first.split())
    chosen = [first]
    for sentence in others:
        words += len(sentence.split())
        if words > most_words or sentence.endswith(":"):
            break
        chosen.append(sentence)
    return with_stop(" ".join(chosen))


def with_stop(text: str) -> str:
    """The text with a sign that ends a sentence; code at its end stays as it is."""
    if text.rstrip().endswith("\n```"):
        return text.rstrip()
    text = text.rstrip(" ,;:-")
    return text if text.endswith((".", "!", "?")) else f"{text}."


def third_person(verb: str) -> str:
    """`specify` as `specifies`."""
    irregular = {"do": "does", "have": "has"}
    if verb in irregular:
        return irregular[verb]
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return f"{verb[:-1]}ies"
    return f"{verb}es" if verb.endswith(("s", "sh", "ch", "x", "z", "o")) else f"{verb}s"


_THIRD_PERSONS = {third_person(verb): verb for verb in _VERBS}


def infinitive(word: str) -> str | None:
    """The base form of a known verb: `set` of "Sets" and of "Set"; None for any other word."""
    lower = word.lower().strip(",.;:")
    return lower if lower in _VERBS else _THIRD_PERSONS.get(lower)


def strip_labels(description: str) -> str:
    """A description without "Optional." and the like before it."""
    return _LABEL.sub("", description)


def as_predicate(description: str) -> str | None:
    """`Set the output file.` or `This flag is used to set the output file.` as `sets the output file.`.

    None where it begins with no known verb.
    """
    text = _USED_TO.sub("", _SELF.sub("", strip_labels(description)))
    first, _, rest = text.partition(" ")
    verb = infinitive(first)
    # "Name of the net", "Report for the layer" are nouns
    if verb is None or not rest or rest.startswith(("of ", "for ", "to use ")):
        return None
    if first.lower() in _ALSO_NOUNS and _COMPOUND.match(rest):
        return None
    if second := _SECOND_VERB.match(rest):  # "Enable or disable the check"; not "List or pattern of vias"
        other = infinitive(second[2])
        return f"{third_person(verb)} {second[1]} {third_person(other)}{rest[second.end() :]}" if other else None
    return f"{third_person(verb)} {rest}"


def as_task(description: str) -> str | None:
    """The same as what one wants to do: `set the output file`."""
    predicate = as_predicate(description)
    if predicate is None:
        return None
    first, _, rest = predicate.partition(" ")
    if second := _SECOND_VERB.match(rest):
        rest = f"{second[1]} {infinitive(second[2])}{rest[second.end() :]}"
    return f"{infinitive(first)} {rest}"


def as_question_part(text: str) -> str:
    """The first sentence without its end and what stands in brackets outside of code, to be asked for."""
    sentence = (split_sentences(text) or [""])[0]
    return " ".join(_CODE_OR_BRACKETS.sub(lambda match: match[1] or "", sentence).split()).rstrip(" .:;,")


def lower_first(text: str) -> str:
    """`The die area` as `the die area`; abbreviations and names keep their capital."""
    first, _, rest = text.partition(" ")
    is_title = re.match(r"(?:[a-z]+ )?[A-Z][a-z]", rest) is not None
    is_word = re.fullmatch(r"[A-Z][a-z]+,?|A", first) and first.rstrip(",") not in _NAMES
    return text[:1].lower() + text[1:] if is_word and not is_title else text


def cite_at_end(answer: str, numbers: Sequence[int]) -> str:
    """The answer with `[1]` or `[1][2]` before the sign that ends it.

    Where code follows, the citation stands before the colon that introduces the code; behind code that nothing
    introduces.
    """
    marks = " " + "".join(f"[{number}]" for number in numbers)
    if answer.lstrip().startswith("```"):
        return f"{answer.rstrip()}\n{marks.strip()}"
    text, fence, code = answer.partition("\n```")
    body = text.rstrip()
    end = body[-1] if body[-1:] in ".!?:" else ""
    return f"{body[: len(body) - len(end)]}{marks}{end or '.'}{fence}{code}"


def has_marker(answer: str) -> bool:
    """Whether the text has by itself what reads as a citation, such as `[0, 1]` outside of code."""
    return bool(cite_markers(answer, 999))
