"""The attack on the checks of answers: a model writes whatever it likes, and every answer is shown, checked and
described without an error.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import pytest

from rag.checking.code_checks import CodeChecker
from rag.search.retriever import Retriever
from serve.answers.chat import ground
from serve.answers.prose import AutoDraft, Draft, ModelDraft
from serve.answers.verification import Examiner
from serve.protocol import parse_chat_request
from serve.settings import ServeSettings
from serve.tokens.counter import TokenCounter
from tests.attack import Attack

pytestmark = pytest.mark.attack

PIECES = [
    "Antenna violations are fixed with `repair_antennas`. ",
    "Use `-nothing 5 ns` [1][2]. ",
    "The context does not say it. ",
    "<think>",
    "</think>",
    "\n",
    "\n\n",
    "```",
    "```tcl\n",
    "```verilog\n",
    "~~~~\n",
    "module m(",
    "endmodule\n",
    "begin " * 40,
    "{" * 200,
    "}" * 3,
    "[" * 90,
    '`include "/etc/passwd"\n',
    "| a | b |\n",
    "|---|---|\n",
    "- ",
    "1. ",
    "## ",
    "**",
    ":",
    "[1]",
    "[999999]",
    "[1, 2; 3]",
    "`",
    "\\",
    "\x00",
    "\u202e",
    "\u2028",
    "한국어 ",
    "中文。",
    "é" * 50,
    "word " * 60,
    "x" * 5000,
    "0.1 % of 10,000 microns ",
    "e.g. ",
    '{"verification": {}}',
    "From the documents:\n\n",
    "> quoted\n",
    "$$\\frac{1}{2}$$",
    "not " * 9,
]


def test_whatever_a_model_writes_is_shown_and_checked(
    attack: Attack, small_retriever: Retriever, counter: TokenCounter
) -> None:
    tries = attack.times(60, full=4000)
    request = parse_chat_request(
        json.dumps({"messages": [{"role": "user", "content": "Which command fixes antenna violations?"}]}).encode()
    )
    grounded = ground(request, small_retriever, counter, ServeSettings(answer="auto"), 4096)
    checker, dice = CodeChecker(), random.Random(7)
    failures = []
    for _ in range(tries):
        answer = "".join(dice.choices(PIECES, k=dice.randrange(1, 25)))
        drafts: list[Callable[[Examiner], Draft]] = [
            lambda examiner: ModelDraft(examiner, lambda _: "url", is_shaped=False),
            lambda examiner: AutoDraft(examiner, lambda _: "url"),
        ]
        for new_draft in drafts:
            try:
                failures += faults(answer, new_draft, Examiner(grounded, small_retriever, checker, ("q",)), dice)
            except Exception as error:
                failures.append(f"{type(error).__name__}: {error} of {answer[:200]!r}")
    attack.report("answers of a model", 2 * tries, failures)


def faults(answer: str, new_draft: Callable[[Examiner], Draft], examiner: Examiner, dice: random.Random) -> list[str]:
    """What is wrong with the answer as it is shown, in pieces of random length."""
    draft, shown, at = new_draft(examiner), "", 0
    while at < len(answer):
        size = dice.randrange(1, 60)
        shown += draft.feed(answer[at : at + size])
        at += size
    rest, checked = draft.end(dice.choice(("stop", "length")))
    shown += rest
    json.dumps(checked)
    spans = [
        (one["start"], one["end"]) for one in (*checked["verification"]["sentences"], *checked["verification"]["code"])
    ]
    spans += [(one["url_citation"]["start_index"], one["url_citation"]["end_index"]) for one in checked["annotations"]]
    return [f"{span} of {len(shown)} in {answer[:200]!r}" for span in spans if not 0 <= span[0] < span[1] <= len(shown)]
