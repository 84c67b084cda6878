"""POST /v1/feedback: whether an answer helped, why not, and what it should have been.

What is kept of it is the operator's setting: by default counts alone. It trains nothing.

    Endpoint("/v1/feedback", "POST", give_feedback)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serve.gateway.bodies import read_body
from serve.gateway.gateway import Gateway, gateway_of
from serve.request_body import Words, check_shape, read_object
from serve.store.feedback import Feedback, Rating

SECOND_US = 1_000_000


class FeedbackRequest(BaseModel):
    """What somebody says of the answer with this id; question and answer, where the gateway may not know them."""

    answer_id: str = Field(pattern=r"^[\w.:-]{1,128}$")
    rating: Literal["up", "down"]
    reason: Words | None = Field(default=None, max_length=2_000)
    correction: Words | None = Field(default=None, max_length=20_000)
    question: Words | None = Field(default=None, max_length=20_000)
    answer: Words | None = Field(default=None, max_length=50_000)


async def give_feedback(request: Request) -> Response:
    """POST /v1/feedback: counted, and kept as far as CHIPALIGN_FEEDBACK says."""
    gateway = gateway_of(request)
    given = check_shape(FeedbackRequest, read_object(await read_body(request)))
    rating = Rating(given.answer_id, given.rating)
    if gateway.settings.feedback == "words":
        rating = await run_in_threadpool(_with_words, gateway, given)
        await run_in_threadpool(Feedback(gateway.database).add, rating)
    else:
        await run_in_threadpool(Feedback(gateway.database).count, given.rating)
    gateway.metrics.feedback.labels(given.rating).inc()
    return JSONResponse(
        {
            "id": rating.feedback_id,
            "object": "feedback",
            "created_at": rating.created_us // SECOND_US,
            "answer_id": rating.answer_id,
            "rating": rating.rating,
            "kept": gateway.settings.feedback,
            "question_known": rating.question is not None,
        }
    )


def _with_words(gateway: Gateway, given: FeedbackRequest) -> Rating:
    """The rating with question and answer: the client's, else those of this process or of a stored response."""
    question, answer = given.question, given.answer
    known = gateway.recent.find(given.answer_id)
    if known is None and (stored := gateway.responses.find(given.answer_id)):
        known = _last_text(stored.input), _text(stored.response.get("output", ()))
    if known:
        question, answer = question or known[0] or None, answer or known[1] or None
    return Rating(given.answer_id, given.rating, given.reason, given.correction, question, answer)


def _last_text(items: Any) -> str:
    """The text of the last message of a user's."""
    asked = [item for item in items if isinstance(item, Mapping) and item.get("role") == "user"]
    return _text(asked[-1:])


def _text(items: Any) -> str:
    """The text of messages, whose content is a text or a list of parts."""
    parts: list[str] = []
    for item in items:
        content = item.get("content") if isinstance(item, Mapping) else None
        for part in [{"text": content}] if isinstance(content, str) else content or ():
            text = part.get("text") if isinstance(part, Mapping) else None
            parts += [text] if isinstance(text, str) else []
    return "\n".join(parts)
