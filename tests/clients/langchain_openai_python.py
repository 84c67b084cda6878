"""LangChain: a chat model whole and streamed, a bound tool, and an agent that calls it."""

from __future__ import annotations

import json
import sys
from typing import Any

from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

base_url, question = sys.argv[1:]
model: Any = ChatOpenAI(model="chipalign-demo", base_url=base_url, api_key="none", max_retries=0)
whole = model.invoke(question)
streamed = "".join(chunk.content for chunk in model.stream(question))


@tool
def get_time() -> str:
    """The time."""
    return "12:00"


messages = create_agent(model, [get_time]).invoke({"messages": [{"role": "user", "content": question}]})["messages"]
response = ChatOpenAI(model="chipalign-demo", base_url=base_url, api_key="none", use_responses_api=True).invoke(
    question
)
seen = {"whole": whole.content, "streamed": streamed, "response": response.text}
seen |= {"tool": messages[1].tool_calls[0]["name"], "after_tool": messages[-1].content}
notes = [note for block in response.content for note in block.get("annotations", ())]
sys.stdout.write(json.dumps({**seen, "citations": [note["title"] for note in notes]}))
