"""Scores one answer of the gateway: key facts, wrong claims, refusals, loops, and names without a source.

Pure: texts in, values out. It asks nothing. A pattern finds a fact in any wording; an untruth that no pattern covers
goes unseen.

    passages = ["repair_antennas inserts diodes"]
    scored = measure(question, answer="Run `repair_antennas`.", passages=passages, finish_reason="stop")
    scored["measures"]["complete"]
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rag.answering.names import BULLET, FILE_SUFFIXES
from rag.answering.refusal import NOTHING_FOUND
from rag.answering.unknown_options import DENIAL
from serve.evaluation.answers.answer_questions import AnswerQuestion, Pattern
from serve.evaluation.qa.qa_measures import corpus_names, drop_last_word

COMPLETE, FACTS, FORBIDDEN = "complete", "facts", "forbidden"
RIGHTLY_REFUSED, WRONGLY_REFUSED = "rightly_refused", "wrongly_refused"
LOOPS, UNKNOWN_NAMES = "loops", "unknown_names"
MEASURES = (COMPLETE, FACTS, FORBIDDEN, RIGHTLY_REFUSED, WRONGLY_REFUSED, LOOPS, UNKNOWN_NAMES)

LOOP_WORDS = 6  # shorter sequences ("the default value is 0") recur in good answers too
LOOP_TIMES = 3  # twice may be emphasis

_SUBJECT = r"(?:context|passages?|documents?|documentation)"
_MODELS_REFUSAL = re.compile(
    rf"\b{_SUBJECT}\b[^.\n]{{0,40}}\b(?:do|does|did)(?: not|n't|n’t) "
    r"(?:say|state|hold|contain|mention|provide|specify|include|answer|give|cover|describe|tell|explain)"
    r"|\b(?:not|n't|n’t) (?:mentioned|specified|provided|contained|stated|described|covered|given|found) (?:in|by) the "
    rf"{_SUBJECT}\b",
    re.IGNORECASE,
)
_QUOTE_MARK = re.compile(r"^> ?", re.MULTILINE)  # of Markdown, at the beginning of each line
_FIRST_SENTENCE = re.compile(r".*?(?:[.!?](?=\s|\Z)|\n\n|\Z)", re.DOTALL)

# A file with its folders, an absolute path, a file alone. Time is linear in the text: the search for folders starts
# only where a run of their characters begins, and that for a file alone only where a run of name characters does.
_FILE = rf"[\w+-][\w.+-]*\.(?:{'|'.join(FILE_SUFFIXES)})\b"
_PATH = re.compile(
    rf"((?<![\w.~+/-])(?:[\w.~+-]*+/)*{_FILE}"
    r"|(?<![\w./])(?:~|\.{1,2})?(?:/[\w.+-]+){2,})"
    rf"|(?<![\w.+-])\.*+({_FILE})",
    re.IGNORECASE,
)


def is_refusal(answer: str) -> bool:
    """Whether an answer says that the documents do not hold it.

    It may use the gateway's words, also those about an option that no document has, or a model's as its first sentence.
    A later sentence of that kind is a remark about a part of the question.
    """
    text = answer.strip()
    first = _FIRST_SENTENCE.match(text)
    return text.startswith((NOTHING_FOUND, f"{DENIAL}`")) or bool(first and _MODELS_REFUSAL.search(first.group()))


def missing_facts(question: AnswerQuestion, answer: str) -> list[tuple[Pattern, ...]]:
    """The key facts of which the answer holds no alternative, neither as it stands nor as it is read in one line."""
    forms = (answer, " ".join(_QUOTE_MARK.sub("", answer).split()))
    return [
        alternatives
        for alternatives in question.facts
        if not any(pattern.search(form) for pattern in alternatives for form in forms)
    ]


def forbidden_claims(question: AnswerQuestion, answer: str) -> list[str]:
    """The words of the answer that make a claim known to be wrong."""
    return [match.group() for pattern in question.forbidden if (match := pattern.search(answer))]


def has_loop(answer: str, passages: Iterable[str], finish_reason: str | None) -> bool:
    """Whether the answer goes round in circles: the same six words three times, or a cut in the middle of a repetition.

    A sequence that the passages repeat as often is the documents': rows of tables say "the allowed values are integers"
    again and again. An engine that detects repetitions ends a loop with the reason "repetition".
    """
    if finish_reason == "repetition":
        return True
    sequences = _count_sequences(answer)
    quoted = Counter[tuple[str, ...]]()
    for passage in passages:
        quoted += _count_sequences(passage)
    if any(times >= LOOP_TIMES and times > quoted[sequence] for sequence, times in sequences.items()):
        return True
    tail = tuple(_words(answer)[-LOOP_WORDS:])
    return finish_reason == "length" and sequences[tail] > max(1, quoted[tail])


def _count_sequences(text: str) -> Counter[tuple[str, ...]]:
    words = _words(text)
    return Counter(zip(*(words[start:] for start in range(LOOP_WORDS)), strict=False))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def find_paths(text: str) -> list[str]:
    """The file names and paths of a text, in order."""
    return [match[1] or match[2] for match in _PATH.finditer(text)]


def unknown_names(answer: str, known: Sequence[str], is_cut: bool = False) -> list[str]:
    """The names of an answer that none of the `known` texts holds, in lower case and sorted.

    Names are commands, options, variables, message numbers, file names and paths. Known is what the model got: the
    passages with their places, the question, the turns before it.
    """
    answer = drop_last_word(answer) if is_cut else answer
    source = "\n".join(known).lower()
    names = {name for name in corpus_names([BULLET.sub(" ", answer)]) if name[-1].isalnum()} - corpus_names(known)
    paths = {path.lower().rstrip(".") for path in find_paths(answer)}
    return sorted(names | {path for path in paths if path not in source})


def measure(
    question: AnswerQuestion, answer: str, passages: Sequence[str], finish_reason: str | None
) -> dict[str, Any]:
    """All verdicts on one answer, as plain values for JSON; `passages` are the texts and places that could support it.

    complete: 1 if every key fact is found, else 0. facts: the share found. forbidden: 1 for a claim known to be wrong.
    rightly_refused, wrongly_refused: 1 for a refusal of a question that the documents do not answer, or do answer.
    loops, unknown_names: 1 if there is one. A measure that does not apply to the question is None.
    """
    missing = missing_facts(question, answer)
    forbidden = forbidden_claims(question, answer)
    names = unknown_names(answer, [*passages, question.asked], finish_reason == "length")
    refused = is_refusal(answer)
    answerable = question.answerable

    measures: Mapping[str, float | None] = {
        COMPLETE: float(not missing) if answerable else None,
        FACTS: 1 - len(missing) / len(question.facts) if answerable else None,
        FORBIDDEN: float(bool(forbidden)) if question.forbidden else None,
        RIGHTLY_REFUSED: None if answerable else float(refused),
        WRONGLY_REFUSED: float(refused) if answerable else None,
        LOOPS: float(has_loop(answer, passages, finish_reason)),
        UNKNOWN_NAMES: float(bool(names)),
    }

    return {
        "refused": refused,
        "missing_facts": [[pattern.pattern for pattern in alternatives] for alternatives in missing],
        "forbidden_claims": forbidden,
        "unknown_names": names,
        "measures": measures,
    }
