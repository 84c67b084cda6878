"""serve.answers.answer_limits: the gateway's own words end where the request says, as an engine's would."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rag.answering.citations import Citation
from rag.answering.wording import QuotedAnswer
from serve.answers.answer_limits import CUT_OFF, STOPPED, AnswerLimits
from serve.answers.chat import Grounded
from serve.protocol import Message, parse_chat_request
from tests.rows import for_each

TEXT = "Use `-hold`. Then report."
ANSWER = QuotedAnswer(TEXT, (Citation(1, 0, 12), Citation(2, 13, 25)))


class OnePerCharacter:
    """Counts a token for each character."""

    special_tokens: Sequence[str] = ()

    def count_text(self, text: str) -> int:
        return len(text)

    def count_messages(
        self, messages: Sequence[Message], tools: Sequence[Any] | None = None, at_most: int | None = None
    ) -> int:
        raise NotImplementedError


def limits(max_tokens: int | None = None, *stop: str) -> AnswerLimits:
    return AnswerLimits(max_tokens, stop, OnePerCharacter())


@for_each(
    ("given", "text", "spans", "reason"),
    [
        (limits(), TEXT, [(1, 0, 12), (2, 13, 25)], STOPPED),
        (limits(25), TEXT, [(1, 0, 12), (2, 13, 25)], STOPPED),  # exactly as many as are allowed
        (limits(24), TEXT[:24], [(1, 0, 12), (2, 13, 24)], CUT_OFF),
        (limits(13), TEXT[:13], [(1, 0, 12)], CUT_OFF),  # nothing is left of the second quote
        (limits(1), "U", [(1, 0, 1)], CUT_OFF),
        (limits(None, "Then"), "Use `-hold`. ", [(1, 0, 12)], STOPPED),
        (limits(None, "report", "Then", "none"), "Use `-hold`. ", [(1, 0, 12)], STOPPED),  # the first place decides
        (limits(None, "Use"), "", [], STOPPED),
        (limits(8, "hold"), "Use `-", [(1, 0, 6)], STOPPED),  # it stops before it is too long
        (limits(3, "hold"), "Use", [(1, 0, 3)], CUT_OFF),
    ],
)
def test_an_answer_ends_at_a_stop_or_where_it_is_too_long(
    given: AnswerLimits, text: str, spans: list[tuple[int, int, int]], reason: str
) -> None:
    cut, why = given.cut(ANSWER)
    assert (cut.text, why) == (text, reason)
    assert [(each.number, each.start, each.end) for each in cut.citations] == spans


def test_what_stands_before_an_answer_takes_of_its_length() -> None:
    cut, why = limits(10).cut(ANSWER, before="12345")
    assert (cut.text, why) == (TEXT[:5], CUT_OFF)
    assert limits(5).cut(ANSWER, before="123456")[0] == QuotedAnswer("", ())


@given(st.text(max_size=60), st.integers(1, 40), st.lists(st.text(min_size=1, max_size=2), max_size=3))
def test_what_is_left_is_a_beginning_within_all_limits_and_as_long_as_they_allow(
    text: str, most: int, stop: list[str]
) -> None:
    cut, why = limits(most, *stop).cut(QuotedAnswer(text, ()))
    assert text.startswith(cut.text)
    assert len(cut.text) <= most
    assert not any(each in cut.text for each in stop)
    stopped = min([len(text), *(place for each in stop if (place := text.find(each)) >= 0)])
    assert len(cut.text) == min(stopped, most)
    assert why == (CUT_OFF if stopped > most else STOPPED)


@for_each(
    ("fields", "max_tokens", "stop"),
    [
        ({}, None, ()),
        ({"stop": None}, None, ()),
        ({"stop": ""}, None, ()),
        ({"stop": "END"}, None, ("END",)),
        ({"stop": ["END", "", "\n"]}, None, ("END", "\n")),
        ({"max_tokens": 7}, 7, ()),
        ({"max_tokens": 7, "max_completion_tokens": 5}, 5, ()),
    ],
)
def test_a_request_sets_the_limits(fields: dict[str, Any], max_tokens: int | None, stop: tuple[str, ...]) -> None:
    body = {"messages": [{"role": "user", "content": "Hi"}], **fields}
    found = AnswerLimits.of(parse_chat_request(json.dumps(body).encode()), OnePerCharacter())
    assert (found.max_tokens, found.stop) == (max_tokens, stop)


def test_the_gateways_own_answer_is_cut_and_a_prompt_for_the_engine_is_not() -> None:
    own = Grounded({}, "query", (), 9, answer=TEXT, quoted=ANSWER)
    held = limits(13).hold(own)
    assert (held.answer, held.quoted.text, held.finish_reason) == (TEXT[:13], TEXT[:13], CUT_OFF)
    prompt = Grounded({}, "query", (), 9, quoted=ANSWER)
    assert limits(13).hold(prompt) == prompt
