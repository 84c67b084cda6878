"""One chat completion of a served model for evaluations: temperature 0, not streamed, with its text and finish reason.

It knows no evaluation and keeps nothing.

    row = await ask_chat(endpoint, model, [{"role": "user", "content": "What is hold slack?"}], max_tokens=512)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from serve.evaluation.asking.answers import Row
from serve.evaluation.asking.client import Endpoint, Message, Model
from serve.evaluation.errors import EndpointRefused


async def ask_chat(endpoint: Endpoint, model: Model, messages: Sequence[Message], max_tokens: int) -> Row:
    """The model's answer at temperature 0: text, finish reason, and its length in tokens.

    Raises what `Endpoint.post` raises.
    """
    return await complete(endpoint, model, messages, {"temperature": 0, "max_tokens": max_tokens})


async def complete(
    endpoint: Endpoint, model: Model, messages: Sequence[Message], options: Mapping[str, Any] | None = None
) -> Row:
    """What `ask_chat` gives, with other options.

    Raises what `Endpoint.post` raises: EndpointRefused also where the answer comes from our gateway.
    """
    reply = await endpoint.chat({"model": model.model_id, "messages": list(messages), **(options or {})})
    if reply.retrieval is not None:
        raise EndpointRefused(
            f"{endpoint.url} is ChipAlign's gateway, which adds passages to the prompts: give the URL of the engine "
            "behind it"
        )
    return {"response": reply.text, "finish_reason": reply.finish_reason, "tokens": reply.completion_tokens}
