"""What a request allows of an answer in the gateway's own words: its length in tokens, and where it stops.

An engine holds the limits of what it writes; here they hold for quotes, refusals and denials. It chooses no words.

    limits = AnswerLimits.of(request, counter); grounded = limits.hold(grounded)
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace

from rag.answering.citations import Citation
from rag.answering.wording import QuotedAnswer
from serve.answers.chat import Counter, Grounded
from serve.protocol import ChatRequest

STOPPED, CUT_OFF = "stop", "length"  # OpenAI's reasons for the end of an answer


@dataclass(frozen=True)
class AnswerLimits:
    """`max_tokens` and `stop` of a request."""

    max_tokens: int | None
    stop: tuple[str, ...]
    counter: Counter

    @classmethod
    def of(cls, request: ChatRequest, counter: Counter) -> AnswerLimits:
        """The limits that a request sets; our default length is for the engine alone."""
        stop = (request.model_extra or {}).get("stop") or ()
        return cls(request.answer_tokens, (stop,) if isinstance(stop, str) else tuple(filter(None, stop)), counter)

    def hold(self, grounded: Grounded) -> Grounded:
        """The gateway's own answer within the limits, with the reason for its end; a prompt for the engine stays."""
        if grounded.answer is None:
            return grounded
        whole = replace(grounded.quoted, text=grounded.answer)
        cut, reason = self.cut(whole)
        return replace(grounded, answer=cut.text, quoted=cut, finish_reason=reason)

    def cut(self, answer: QuotedAnswer, before: str = "") -> tuple[QuotedAnswer, str]:
        """As much of an answer as the limits allow, `before` standing above it, and why it ends."""
        ends = [place for each in self.stop if (place := answer.text.find(each)) >= 0]
        text, reason = answer.text[: min(ends, default=None)], STOPPED
        if self.max_tokens is not None and self._count(before + text) > self.max_tokens:
            text, reason = self._beginning(text, before), CUT_OFF
        cited = (Citation(one.number, one.start, min(one.end, len(text))) for one in answer.citations)
        return QuotedAnswer(text, tuple(one for one in cited if one.start < one.end)), reason

    def _beginning(self, text: str, before: str) -> str:
        """The longest beginning of a text whose tokens, with those before it, are few enough."""
        length = bisect_right(
            range(len(text)), self.max_tokens or 0, key=lambda end: self._count(before + text[: end + 1])
        )
        return text[:length]

    def _count(self, text: str) -> int:
        return self.counter.count_text(text)
