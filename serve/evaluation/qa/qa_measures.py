"""Measures an answer against its reference answer: ROUGE-L, and which exact names it uses.

Pure: texts in, numbers out. It asks no model and reads no file.

    measures = AnswerMeasures(known=corpus_names(texts))
    question, reference = "Which command repairs antennas?", "Use `repair_antennas`."
    measures.measure(question=question, reference=reference, answer="Run repair_antennas [1].")
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from rag.index.bm25 import find_tokens, is_identifier
from serve.evaluation.errors import LibraryMissing

ROUGE_L, RIGHT_COMMAND, COMMAND_RECALL, UNKNOWN_COMMAND = (
    "rouge_l",
    "right_command",
    "command_recall",
    "unknown_command",
)
MEASURES = (ROUGE_L, RIGHT_COMMAND, COMMAND_RECALL, UNKNOWN_COMMAND)

_INDEX = re.compile(r"\[\d+(?::\d+)?\]$")  # of a bus bit, or a citation right after a name
_BULLET = re.compile(r"^[ \t]*-(?=[A-Z])", re.MULTILINE)  # "-Run the flow": a list, not an option
# Paths and file names: src/tap/test, gcd_nangate45.tcl, design.getReplace
_PATH = re.compile(r"[\w.$~{}-]*/[\w./${}~-]*|\b[\w-]+(?:\.[A-Za-z]\w*)+")
# An option's value: -net {net_1 net_2}
_VALUE = re.compile(r"""(?<![\w-])(--?[A-Za-z][\w-]*)[ \t=]+(?:\{[^}\n]*\}|"[^"\n]*"|[^\s`"{\[\]|-][^\s`\]|]*)""")
_VARIABLE = re.compile(r"\$\{?\w+\}?")
_JOINED = re.compile(r"::|\.")  # of a namespace, and of a rule or a version: not a name of its own here
_TCL_SET = re.compile(r"^[ \t]*set[ \t]+(\w+)", re.MULTILINE)


def find_names(text: str) -> frozenset[str]:
    """The exact names that a text uses: commands, options, variables and message numbers, in lower case.

    A name is what `rag.index.bm25.is_identifier` accepts: a word with `_` (`set_wire_rc`, `PLACE_DENSITY`), an option
    (`-hold`), a message number (`GRT-0243`), of at least four characters. It omits what users name themselves: paths
    and file names, `$variables`, what a line of Tcl sets (`set my_margin 0.1`), an option's value (`-net my_net`); and
    patterns that stand for many names (`report_*`). Commands of one plain word (`tapcell`) look like other words and
    are not counted.
    """
    text = text.replace("\\_", "_")  # Markdown's escape
    own = {name.lower() for name in _TCL_SET.findall(text)}
    for pattern, kept in ((_BULLET, " "), (_PATH, " "), (_VARIABLE, " "), (_VALUE, r"\1 ")):
        text = pattern.sub(kept, text)
    return frozenset(name for name in _identifiers(text) - own if name[-1].isalnum())


def find_commands(text: str) -> frozenset[str]:
    """The names in a text except options: an option (`-verbose`) belongs to many commands, so it says little."""
    return frozenset(name for name in find_names(text) if not name.startswith("-"))


def corpus_names(texts: Iterable[str]) -> frozenset[str]:
    """Every name that stands anywhere in the texts, also in paths and as variables.

    A name outside this set exists in no document.
    """
    return frozenset().union(*(_identifiers(text.replace("\\_", "_")) for text in texts))


def _identifiers(text: str) -> frozenset[str]:
    plain = (_INDEX.sub("", token).lstrip("$").lower() for token in find_tokens(text))
    parts = (part for token in plain for part in _JOINED.split(token))
    return frozenset(name for name in parts if is_identifier(name))


class AnswerMeasures:
    """Measures answers against the names that the documents know.

    Raises LibraryMissing: rouge-score is not installed.
    """

    def __init__(self, known: frozenset[str]) -> None:
        self._known = known
        self._scorer = _load_scorer()

    def measure(self, question: str, reference: str, answer: str, is_cut: bool = False) -> dict[str, float | None]:
        """All measures of one answer, by name; None if a measure does not apply to the question.

        In an answer that `is_cut` (the model had to stop) the last word may be half a name: it counts in ROUGE-L alone.

        rouge_l: F1 of the longest common subsequence of words (Lin, "ROUGE: A Package for Automatic Evaluation of
            Summaries", 2004), by rouge-score with its own tokenizer and without stemming, its default: "routes" and
            "routing" are two things in this field.
        right_command: 1 if the answer has at least one of the right commands, else 0. The right commands are those
            (`find_commands`) of the reference answer that stand in a document and not in the question, which would
            reveal them; None if there are none.
        command_recall: the share of the right commands that the answer has.
        unknown_command: 1 if the answer has a command, option or other name (`find_names`) that stands in no document
            and not in the question.
        """
        asked = find_names(question)
        right = (find_commands(reference) & self._known) - asked
        named = find_names(drop_last_word(answer) if is_cut else answer)
        return {
            ROUGE_L: self.rouge_l(reference, answer),
            RIGHT_COMMAND: float(bool(right & named)) if right else None,
            COMMAND_RECALL: len(right & named) / len(right) if right else None,
            UNKNOWN_COMMAND: float(bool(self.unknown_names(question, answer, is_cut))),
        }

    def rouge_l(self, reference: str, answer: str) -> float:
        """ROUGE-L F1, 0 to 1."""
        return float(self._scorer.score(reference, answer)["rougeL"].fmeasure)

    def unknown_names(self, question: str, answer: str, is_cut: bool = False) -> frozenset[str]:
        """The names in an answer that neither a document nor the question holds; skips the last word if `is_cut`."""
        return find_names(drop_last_word(answer) if is_cut else answer) - self._known - find_names(question)


def drop_last_word(text: str) -> str:
    """The text without its last word, which may be half a name in an answer that was cut."""
    return re.sub(r"\S+\Z", "", text)


def _load_scorer() -> Any:
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise LibraryMissing(
            f"ROUGE-L needs the package rouge-score ({error}): install it with `pip install chipalign[eval]`"
        ) from None
    return RougeScorer(["rougeL"], use_stemmer=False)
