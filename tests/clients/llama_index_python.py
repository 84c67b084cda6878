"""LlamaIndex: a chat model whole and streamed, and a tool."""

from __future__ import annotations

import json
import sys
from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike

base_url, question = sys.argv[1:]
options: Any = {"api_base": base_url, "api_key": "none", "is_chat_model": True, "is_function_calling_model": True}
model = OpenAILike(model="chipalign-demo", context_window=8192, max_retries=0, **options)
asked = ChatMessage(role="user", content=question)
whole: Any = model.chat([asked])
streamed = "".join(chunk.delta or "" for chunk in model.stream_chat([asked]))


def get_time() -> str:
    """The time."""
    return "12:00"


called: Any = model.chat_with_tools([FunctionTool.from_defaults(get_time)], user_msg=asked)
(call,) = model.get_tool_calls_from_response(called)
result = ChatMessage(role="tool", content="12:00", additional_kwargs={"tool_call_id": call.tool_id})
told = model.chat([asked, called.message, result])
seen = {"whole": whole.message.content, "streamed": streamed, "response": None}
seen |= {"tool": call.tool_name, "after_tool": told.message.content}
notes = whole.raw.choices[0].message.annotations
sys.stdout.write(json.dumps({**seen, "citations": [note.url_citation.title for note in notes]}))
