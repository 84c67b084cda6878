"""Pydantic AI: an agent whole and streamed, over chat and over responses, and one with a tool."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

base_url, question = sys.argv[1:]
provider = OpenAIProvider(base_url=base_url, api_key="none")
agent: Any = Agent(OpenAIChatModel("chipalign-demo", provider=provider))
responding: Any = Agent(OpenAIResponsesModel("chipalign-demo", provider=provider))
acting: Any = Agent(OpenAIChatModel("chipalign-demo", provider=provider))


@acting.tool_plain
def get_time() -> str:
    """The time."""
    return "12:00"


async def ask() -> dict[str, Any]:
    """What each agent said."""
    whole, response, acted = await agent.run(question), await responding.run(question), await acting.run(question)
    async with agent.run_stream(question) as streaming:
        streamed = "".join([piece async for piece in streaming.stream_text(delta=True)])
    called = acted.all_messages()[1].parts[-1]
    seen = {"whole": whole.output, "streamed": streamed, "response": response.output}
    return {**seen, "tool": called.tool_name, "after_tool": acted.output, "citations": None}


sys.stdout.write(json.dumps(asyncio.run(ask())))
