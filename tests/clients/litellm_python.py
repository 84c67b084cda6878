"""LiteLLM: an answer whole and streamed, a response, and a tool."""

from __future__ import annotations

import json
import sys
from typing import Any

import litellm

base_url, question = sys.argv[1:]
asked: Any = {"model": "openai/chipalign-demo", "api_base": base_url, "api_key": "none", "num_retries": 0}
messages: Any = [{"role": "user", "content": question}]
whole: Any = litellm.completion(**asked, messages=messages)
stream: Any = litellm.completion(**asked, messages=messages, stream=True)
streamed = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
response: Any = litellm.responses(**asked, input=question)

tool = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}}
called: Any = litellm.completion(**asked, messages=messages, tools=[tool]).choices[0].message
result = {"role": "tool", "tool_call_id": called.tool_calls[0].id, "content": "12:00"}
told: Any = litellm.completion(**asked, messages=[*messages, called.model_dump(), result], tools=[tool])

message = whole.choices[0].message
text = "".join(part.text for item in response.output for part in item.content or () if part.type == "output_text")
seen = {"whole": message.content, "streamed": streamed, "response": text}
seen |= {"tool": called.tool_calls[0].function.name, "after_tool": told.choices[0].message.content}
titles = [each["url_citation"]["title"] for each in message.annotations]
sys.stdout.write(json.dumps({**seen, "citations": titles}))
