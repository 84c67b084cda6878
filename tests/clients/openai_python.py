"""OpenAI's Python client: an answer whole and streamed, a response, and a tool called and answered."""

from __future__ import annotations

import json
import sys
from typing import Any

import openai

base_url, question = sys.argv[1:]
client = openai.OpenAI(base_url=base_url, api_key="none", max_retries=0)
asked: Any = {"model": "chipalign-demo", "messages": [{"role": "user", "content": question}]}
whole = client.chat.completions.create(**asked)
pieces = [chunk.choices[0].delta.content or "" for chunk in client.chat.completions.create(**asked, stream=True)]
response = client.responses.create(model="chipalign-demo", input=question)

tool: Any = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}}
called: Any = client.chat.completions.create(**asked, tools=[tool]).choices[0].message
result = {"role": "tool", "tool_call_id": called.tool_calls[0].id, "content": "12:00"}
messages: Any = [*asked["messages"], called.model_dump(exclude_none=True), result]
told = client.chat.completions.create(model="chipalign-demo", messages=messages, tools=[tool])

message: Any = whole.choices[0].message
seen = {"whole": message.content, "streamed": "".join(pieces), "response": response.output_text}
seen |= {"tool": called.tool_calls[0].function.name, "after_tool": told.choices[0].message.content}
sys.stdout.write(json.dumps({**seen, "citations": [each.url_citation.title for each in message.annotations]}))
