"""Guides an engine beside the prompt, so that it neither invents names nor repeats itself in circles.

A grammar (`rag.answering.grammar`) restricts names; vLLM's own detection of repetitions ends loops; the schemas of
tools bind their arguments. An engine that refuses one of them costs no answer: the request goes again without it. This
module finds out what an engine can do; it checks no answer.

    guidance = guide(request, body, reference.options_of, settings)
    answer = await GuidedEngine(upstream, settings).complete(body, guidance)
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Literal

from rag.answering.grammar import build_grammar
from rag.answering.names import allowed_names
from rag.printable import printable
from serve.answers.upstream import Upstream
from serve.errors import RequestError, UpstreamRefused
from serve.protocol import ChatRequest, message_text
from serve.settings import ServeSettings

Ability = Literal["unknown", "obeyed", "ignored", "refused"]

GRAMMAR, REPETITION = "structured_outputs", "repetition_detection"  # vLLM's fields of a request
TOOLS = "tools"
# A passage of 12 to 100 tokens four times in a row. A lower limit would also end rules of dashes and rows of zeros,
# which documents have too.
REPEATED = {"max_pattern_size": 100, "min_pattern_size": 12, "min_count": 4}
OWN_RULES = ("response_format", GRAMMAR, "grammar", "guided_grammar", "guided_json", "guided_regex", "guided_choice")
LOOKED_AT_S = 600.0  # how long a finding about an engine holds; another engine may have taken its place

# A grammar that makes an engine say one word twenty times, and a detector that ends it after about three.
PROBE = {
    "messages": [{"role": "user", "content": "Say no."}],
    "max_tokens": 80,
    "temperature": 0,
    GRAMMAR: {"grammar": f'root ::= "yes{" yes" * 19}"'},
    REPETITION: {"max_pattern_size": 8, "min_pattern_size": 1, "min_count": 3},
}
log = logging.getLogger("chipalign.gateway")


def guide(
    request: ChatRequest,
    body: Mapping[str, Any],
    options_of: Callable[[str], frozenset[str]],
    settings: ServeSettings,
    is_of_documents: bool = True,
) -> dict[str, Any]:
    """The request fields that restrict an answer to the names in `body`'s messages and end it when it loops.

    Where a tool must be called, the tools with their schemas made binding: vLLM else lets a model give anything as
    arguments. Empty if the request has rules of its own (a response format, a grammar, tools). Without a grammar if the
    answer is not to be one of the documents (retrieval is off, or the request is a task on the caller's own text),
    unless the request asks for one; or if there are more names than a grammar holds.
    """
    extra = request.model_extra or {}
    if request.must_call:
        return {TOOLS: [_strict(tool) for tool in request.tools or ()]}
    if request.tools or any(extra.get(rule) not in (None, {"type": "text"}) for rule in OWN_RULES):
        return {}

    guidance: dict[str, Any] = {}
    if settings.repetition_detection == "on" and REPETITION not in extra:
        guidance[REPETITION] = REPEATED
    wanted = request.options.grammar
    if wanted is None:
        wanted = is_of_documents and request.options.enabled
    if wanted and settings.grammar == "on":
        allowed = allowed_names(message_text(message) for message in body["messages"])
        try:
            grammar = build_grammar(allowed, {name: options_of(name) for name in allowed})
        except ValueError as error:
            log.warning("an answer is written without a grammar: %s", error)
        else:
            guidance[GRAMMAR] = {"grammar": grammar}
    return guidance


def _strict(tool: Any) -> Any:
    """A tool whose schema binds its arguments, unless the client has said whether it does."""
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict):
        return tool
    given = function.get("parameters") or {}
    parameters = {"type": "object", **given} if isinstance(given, dict) else given
    return {**tool, "function": {"strict": True, **function, "parameters": parameters}}


class GuidedEngine:
    """An engine that gets guidance as far as it accepts it.

    It finds out what the engine can do once, and again after `LOOKED_AT_S`.
    """

    def __init__(self, upstream: Upstream, settings: ServeSettings) -> None:
        self._upstream = upstream
        self._is_on = {GRAMMAR: settings.grammar == "on", REPETITION: settings.repetition_detection == "on"}
        self._abilities: dict[str, Ability] = {GRAMMAR: "unknown", REPETITION: "unknown"}
        self._looked_at: float | None = None
        self._look: asyncio.Task[None] | None = None

    @property
    def abilities(self) -> dict[str, str]:
        """What the engine does with each kind of guidance, as far as known; "off" if a setting forbids it."""
        names = {GRAMMAR: "grammar", REPETITION: "repetition_detection"}
        return {name: self._abilities[field] if self._is_on[field] else "off" for field, name in names.items()}

    async def complete(self, body: Mapping[str, Any], guidance: Mapping[str, Any]) -> dict[str, Any]:
        """A whole answer under guidance. Raises what `Upstream.complete` raises."""
        sent = self._sent(body, guidance)
        try:
            answer = await self._upstream.complete({**body, **sent})
        except UpstreamRefused as refusal:
            if not sent:
                raise
            answer = await self._upstream.complete(dict(body))
            self._note_refusal(refusal)
        return _with_known_reasons(answer)

    async def stream(
        self, body: Mapping[str, Any], guidance: Mapping[str, Any]
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The events of an answer under guidance. Raises what `Upstream.stream` raises."""
        sent = self._sent(body, guidance)
        refusal: UpstreamRefused | None = None
        async with contextlib.AsyncExitStack() as held:
            events = await held.enter_async_context(contextlib.aclosing(self._upstream.stream({**body, **sent})))
            try:
                first = await anext(events, None)
            except UpstreamRefused as error:
                if not sent:
                    raise
                refusal = error
                events = await held.enter_async_context(contextlib.aclosing(self._upstream.stream(dict(body))))
                first = await anext(events, None)
            if refusal:
                self._note_refusal(refusal)
            if first is not None:
                yield _with_known_reasons(first)
                async for event in events:
                    yield _with_known_reasons(event)

    async def aclose(self) -> None:
        """Stop probing the engine."""
        if self._look:
            self._look.cancel()
            await asyncio.gather(self._look, return_exceptions=True)

    def _sent(self, body: Mapping[str, Any], guidance: Mapping[str, Any]) -> dict[str, Any]:
        """The guidance that the engine is not known to refuse or ignore; starts a due probe of its abilities."""
        now = time.monotonic()
        is_due = self._looked_at is None or now - self._looked_at > LOOKED_AT_S
        if guidance and is_due and (self._look is None or self._look.done()):
            self._looked_at = now
            look = self._look_at(body.get("model"))
            self._look = asyncio.create_task(look, context=contextvars.Context())  # not the request's
        useful = ("unknown", "obeyed")
        return {field: value for field, value in guidance.items() if self._abilities.get(field, "unknown") in useful}

    def _note_refusal(self, refusal: UpstreamRefused) -> None:
        """Record that an answer came only without guidance: the next request probes the engine again."""
        log.warning("the engine refused guidance, the answer came without: %s", printable(str(refusal))[:300])
        self._looked_at = None

    async def _look_at(self, model: Any) -> None:
        """Find out what the engine can do. One that refuses both fields together is asked for each alone."""
        probe = {**PROBE, "model": model}
        try:
            found = await self._try(probe)
            if "refused" in found.values():
                alone = [
                    {key: value for key, value in probe.items() if key != other} for other in (REPETITION, GRAMMAR)
                ]
                found = {**await self._try(alone[0]), **await self._try(alone[1])}
        except RequestError as error:
            log.info("what the engine can do is not known yet: %s", printable(str(error))[:300])
            self._looked_at = None
            return
        if found != self._abilities:
            self._abilities = found
            log.info("what the engine can do: %s", describe(self.abilities))

    async def _try(self, probe: Mapping[str, Any]) -> dict[str, Ability]:
        """What the engine does with the fields of a probe. Raises RequestError: it cannot be asked."""
        fields = [field for field in (GRAMMAR, REPETITION) if field in probe]
        try:
            answer = await self._upstream.complete(dict(probe))
        except UpstreamRefused as refusal:
            if refusal.status not in (400, 422):
                raise
            return dict.fromkeys(fields, "refused")
        choice = answer["choices"][0]
        content = (choice["message"].get("content") or "").strip()
        is_guided = bool(content) and f"yes{' yes' * 19}".startswith(content)
        ended = choice.get("finish_reason") == "repetition"
        found: dict[str, Ability] = {
            GRAMMAR: "obeyed" if is_guided else "ignored",
            # Without the grammar nothing repeats itself: we see only that the engine did not refuse the field.
            REPETITION: "obeyed" if ended else "ignored" if is_guided else "unknown",
        }
        return {field: found[field] for field in fields}


def describe(abilities: Mapping[str, str]) -> str:
    """What an engine can do, in one line."""
    return f"grammar {abilities['grammar']}, repetition detection {abilities['repetition_detection']}"


def _with_known_reasons(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer with "stop" if the engine stopped a repetition.

    OpenAI's clients know no other word; vLLM's `stop_reason` still names the repetition.
    """
    for choice in answer["choices"]:
        if choice.get("finish_reason") == "repetition":
            choice["finish_reason"] = "stop"
    return answer
