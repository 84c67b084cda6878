"""One chat completion of a served model, as the evaluations ask for it: at temperature 0, not streamed, with its text
and why it ended.

It knows no evaluation and keeps nothing.

    row = await ask_chat(endpoint, model, [{"role": "user", "content": "What is hold slack?"}], max_tokens=512)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from merge.errors import EndpointRefused
from serve.evaluation.asking.answers import Row
from serve.evaluation.asking.endpoint import Endpoint, Model

CHAT_PATH = "/v1/chat/completions"
Message = dict[str, str]  # "role" and "content"


async def ask_chat(endpoint: Endpoint, model: Model, messages: Sequence[Message], max_tokens: int) -> Row:
    """The model's answer at temperature 0: text, why it ended, and its length in tokens.

    Raises what Endpoint.post raises.
    """
    body = {"model": model.model_id, "messages": list(messages), "temperature": 0, "max_tokens": max_tokens}
    return read_completion(endpoint, await endpoint.post(CHAT_PATH, body))


def read_completion(endpoint: Endpoint, reply: dict[str, Any]) -> Row:
    """What `ask_chat` gives, of a server's reply.

    Raises EndpointRefused where it is none, or comes from our gateway.
    """
    if "retrieval" in reply:
        raise EndpointRefused(
            f"{endpoint.url} is ChipAlign's gateway, which adds passages to the prompts: give the URL of the engine "
            "behind it"
        )
    try:
        choice = reply["choices"][0]
        text = choice["message"]["content"] or ""  # a model that ends at once gives null
        if not isinstance(text, str):
            raise TypeError("content")
        return {
            "response": text,
            "finish_reason": choice.get("finish_reason"),
            "tokens": (reply.get("usage") or {}).get("completion_tokens"),
        }
    except (KeyError, IndexError, TypeError, AttributeError):
        raise EndpointRefused(
            f"what answers at {endpoint.url} gives no chat completion: give the URL of a vLLM server"
        ) from None
