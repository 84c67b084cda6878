"""A question with a log that is longer than the model's window: the log is cut to the lines that matter.

It finds no passages; which lines matter is `rag.search.pasted_log`'s to say. Other long texts are left as they are:
nobody knows which of their lines could be spared.

    shortened = cut_question(request, counter, answer_tokens=512, max_model_len=8192)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rag.answering.token_budget import tokens_left
from rag.search.pasted_log import cut_log
from serve.answers.tool_turns import asked_turn
from serve.errors import TooManyTokens
from serve.protocol import ChatRequest, Message, message_text, with_text

CHARACTERS_PER_TOKEN = 4  # at most about so many in a log; the text is cut again where it has more tokens
LEAST_TOKENS = 64  # for fewer a log says nothing
TRIES = 5


class MessageCounter(Protocol):
    """What this needs of a `serve.tokens.counter.TokenCounter`."""

    def count_text(self, text: str) -> int:
        """Tokens of a text."""

    def count_messages(
        self, messages: Sequence[Message], tools: Sequence[Any] | None = None, at_most: int | None = None
    ) -> int:
        """Tokens of a conversation. Raises TooManyTokens: they are far more than `at_most`."""


@dataclass(frozen=True, slots=True)
class Shortened:
    """The request with its question's log cut; of how many lines that was, and how many were kept."""

    request: ChatRequest
    lines: int
    kept: int


def cut_question(
    request: ChatRequest, counter: MessageCounter, answer_tokens: int, max_model_len: int
) -> Shortened | None:
    """The request whose question takes half of what the rest of the conversation and its answer leave.

    None where it has no log, or there is no room for one.
    """
    place = asked_turn(request.messages)
    if place is None:
        return None
    asked = request.messages[place]
    text, messages = message_text(asked), list(request.messages)
    messages[place] = with_text(asked, "-")
    try:
        others = counter.count_messages(messages, request.tools, at_most=max_model_len)
    except TooManyTokens:
        return None

    most = tokens_left(max_model_len, others, answer_tokens) // 2
    characters = most * CHARACTERS_PER_TOKEN
    for _ in range(TRIES if most >= LEAST_TOKENS else 0):
        cut = cut_log(text, characters)
        if cut is None:
            return None
        if (tokens := counter.count_text(cut.text)) <= most:
            messages[place] = with_text(asked, cut.text)
            shortened = Shortened(request.model_copy(update={"messages": messages}), cut.lines, cut.kept)
            return shortened if cut.kept < cut.lines else None
        characters = characters * most // tokens
    return None
