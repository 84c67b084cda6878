"""The response object: what a request asked for, as it was understood, with the answer and its token counts.

It writes no events.

    response = new_response(wanted, kit, model="chipalign-demo", temperature=0.0)
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any

from serve.errors import RequestError
from serve.responses.request import ResponsesRequest
from serve.responses.tools import Kit

# Why an answer is not whole: chat's word, and that of responses
INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
# OpenAI's codes of a failed response; every other failure is the server's
FAILED = {429: "rate_limit_exceeded", 400: "invalid_prompt"}


def new_response(wanted: ResponsesRequest, kit: Kit, model: str, temperature: float | None) -> dict[str, Any]:
    """A response that has begun, with OpenAI's defaults for what the request leaves open."""
    text, reasoning = wanted.text, wanted.reasoning
    return {
        "id": f"resp_{uuid.uuid4().hex}",
        "object": "response",
        "created_at": int(time.time()),
        "completed_at": None,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": wanted.instructions,
        "max_output_tokens": wanted.max_output_tokens,
        "max_tool_calls": wanted.max_tool_calls,
        "metadata": wanted.metadata or {},
        "model": model,
        "output": [],
        "parallel_tool_calls": wanted.parallel_tool_calls is not False,
        "previous_response_id": wanted.previous_response_id,
        "conversation": {"id": wanted.conversation} if wanted.conversation else None,
        "prompt_cache_key": wanted.prompt_cache_key,
        "reasoning": {
            "effort": reasoning.effort if reasoning else None,
            "summary": reasoning.summary if reasoning else None,
        },
        "safety_identifier": wanted.safety_identifier,
        "service_tier": "default",
        "store": wanted.is_stored,
        "temperature": 1.0 if temperature is None else temperature,
        "text": {
            "format": (text.format if text else None) or {"type": "text"},
            "verbosity": (text.verbosity if text else None) or "medium",
        },
        "tool_choice": "auto" if wanted.tool_choice is None else wanted.tool_choice,
        "tools": list(kit.said),
        "top_logprobs": wanted.top_logprobs or 0,
        "top_p": 1.0 if wanted.top_p is None else wanted.top_p,
        "presence_penalty": _number(wanted, "presence_penalty"),
        "frequency_penalty": _number(wanted, "frequency_penalty"),
        "truncation": wanted.truncation or "disabled",
        "usage": None,
        "user": wanted.user,
    }


def _number(wanted: ResponsesRequest, name: str) -> float:
    """A sampling option that goes to the engine untouched, as the response echoes it."""
    value = (wanted.model_extra or {}).get(name)
    return float(value) if isinstance(value, int | float) else 0.0


def response_usage(counts: Mapping[str, Any]) -> dict[str, Any]:
    """Chat's token counts in the form of responses."""
    read, written = counts.get("prompt_tokens") or 0, counts.get("completion_tokens") or 0
    cached = (counts.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    thought = (counts.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": read + written,
    }


def close_response(response: dict[str, Any], finish_reason: str | None) -> None:
    """Set how a response ended: whole, or cut."""
    if reason := INCOMPLETE.get(finish_reason or ""):
        response.update(status="incomplete", incomplete_details={"reason": reason})
    else:
        response.update(status="completed", completed_at=int(time.time()))


def fail_response(response: dict[str, Any], error: RequestError) -> None:
    """Set why a response failed."""
    code = FAILED.get(error.status, "server_error")
    response.update(status="failed", error={"code": code, "message": str(error), "type": error.type})
