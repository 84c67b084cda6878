"""serve.evaluation.model.chat: what is sent is what was given, and only a chat completion from an engine is taken."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from serve.evaluation.asking.client import Endpoint, Model
from serve.evaluation.errors import EndpointRefused
from serve.evaluation.model.chat import ask_chat
from tests.fake_openai import FakeOpenAI, chat_answer
from tests.rows import for_each

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is hold slack?"}]


def ask(url: str) -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        async with Endpoint(url) as endpoint:
            return await ask_chat(endpoint, Model("demo", None, None), MESSAGES, 9)

    return asyncio.run(run())


def test_messages_go_as_they_are_at_temperature_0() -> None:
    with FakeOpenAI(lambda path, body: (200, chat_answer("Short.", "length"))) as server:
        assert ask(server.url) == {"response": "Short.", "finish_reason": "length", "tokens": 7}
        assert server.requests == [
            ("/v1/chat/completions", {"model": "demo", "messages": MESSAGES, "temperature": 0, "max_tokens": 9})
        ]


def test_no_text_is_an_empty_answer_and_missing_usage_no_error() -> None:
    reply = {"choices": [{"message": {"content": None}}]}
    with FakeOpenAI(lambda path, body: (200, reply)) as server:
        assert ask(server.url) == {"response": "", "finish_reason": None, "tokens": None}


@for_each("reply", [{}, {"choices": []}, {"choices": [{"message": {"content": 3}}]}, {"choices": ["x"]}])
def test_another_form_is_refused(reply: dict[str, Any]) -> None:
    with (
        FakeOpenAI(lambda path, body: (200, reply)) as server,
        pytest.raises(EndpointRefused, match="gives no chat completion"),
    ):
        ask(server.url)


def test_the_gateway_is_refused() -> None:
    reply = chat_answer("x") | {"retrieval": {"hits": []}}
    with (
        FakeOpenAI(lambda path, body: (200, reply)) as server,
        pytest.raises(EndpointRefused, match="is ChipAlign's gateway"),
    ):
        ask(server.url)
