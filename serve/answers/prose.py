"""Edits a model's words on their way to the client: cuts loops and, in auto, passes only what passages support.

In auto the quotes follow the model's words, even if the engine died before it ended. It asks no engine.

    async for event in edit_stream(events, lambda: AutoDraft(examiner, passage_url), run, model="chipalign-demo"): ...
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, Protocol

from rag.answering.citations import Citation, cite
from rag.answering.loops import LoopGuard
from rag.answering.wording import QUOTES_LEAD, STOPPED, QuotedAnswer
from rag.checking.editing import Editor
from rag.documents import Hit
from serve.answers.answer_limits import CUT_OFF, AnswerLimits
from serve.answers.chat import THOUGHTS_END
from serve.answers.retrieval_object import as_annotations
from serve.answers.verification import Examiner
from serve.errors import EngineUnavailable, RequestError, UpstreamBroken, UpstreamRefused, UpstreamTimeout
from serve.protocol import stream_head

THOUGHTS = "<think>"
AT_ONCE = 2000  # characters; a loop check of these takes some milliseconds
PassageUrl = Callable[[Hit], str]
Ending = tuple[str, dict[str, Any]]  # the rest of the text, and the fields of the last delta or of the message
Run = Callable[[Callable[[], Any]], Awaitable[Any]]  # does some work in a thread


class Draft(Protocol):
    """One answer of a model while the model writes it."""

    @property
    def looped(self) -> bool:
        """Whether it ran in circles and was cut."""

    @property
    def cut_off(self) -> bool:
        """Whether what we added below was cut at the request's longest answer."""

    calls: bool  # whether the answer calls a tool; who edits it says so

    def feed(self, text: str) -> str:
        """What can be shown of the answer now that more has arrived, however much."""

    def arrive(self, text: str) -> bool:
        """Take in a little more; returns whether finding out what can be shown takes long."""

    def show(self) -> str:
        """What can be shown of the text that has arrived."""

    def end(self, reason: str, stopped: bool = False) -> Ending:
        """The rest, once nothing more arrives. stopped: because the engine died."""

    def survives(self, error: RequestError) -> bool:
        """Whether there is an answer despite the engine's error."""


class ModelDraft:
    """The model's words, with loops cut unless `is_shaped`."""

    cut_off = False
    calls = False

    def __init__(self, examiner: Examiner, passage_url: PassageUrl, is_shaped: bool) -> None:
        self._examiner = examiner
        self._passage_url = passage_url
        self._guard = None if is_shaped else LoopGuard()
        self._arrived = ""
        self._shown: list[str] = []

    @property
    def looped(self) -> bool:
        """Whether it ran in circles and was cut."""
        return self._guard is not None and self._guard.looped

    def feed(self, text: str) -> str:
        """The text, without what may be a copy of earlier text."""
        self.arrive(text)
        return self.show()

    def arrive(self, text: str) -> bool:
        """Take in a word or two; checking these takes no time."""
        self._arrived += self._guard.feed(text) if self._guard else text
        return False

    def show(self) -> str:
        """What arrived, without what may be a copy."""
        shown, self._arrived = self._arrived, ""
        self._shown.append(shown)
        return shown

    def end(self, reason: str, stopped: bool = False) -> Ending:
        """The held-back text, with the results of the checks."""
        rest = self._guard.close(reason == CUT_OFF) if self._guard else ""
        answer = "".join([*self._shown, rest])
        verification, citations = self._examiner.verify(answer, "model", self.looped)
        annotations = as_annotations(citations, self._examiner.grounded.hits, self._passage_url)
        return rest, {"annotations": annotations, "verification": verification}

    def survives(self, error: RequestError) -> bool:
        """Never: half a sentence of a model is not an answer."""
        return False


class AutoDraft:
    """The model's supported sentences, with the quotes below, as far as `limits` allow.

    It drops thoughts that come first. No quotes follow a call of a tool, after which the model goes on.
    """

    calls = False

    def __init__(self, examiner: Examiner, passage_url: PassageUrl, limits: AnswerLimits | None = None) -> None:
        self._examiner = examiner
        self._passage_url = passage_url
        self._limits = limits
        self.cut_off = False
        self._guard = LoopGuard()
        self._editor = Editor(examiner.judge)
        self._opening: str | None = ""  # of an answer, while it may be a thought; None once it is not
        self._shown: list[str] = []

    @property
    def looped(self) -> bool:
        """Whether it ran in circles and was cut."""
        return self._guard.looped

    def feed(self, text: str) -> str:
        """The completed sentences that are supported."""
        return self._show(self._guard.feed(self._without_thoughts(text)))

    def arrive(self, text: str) -> bool:
        """Take in a little more; returns whether a sentence has ended, which needs a check."""
        return self._editor.arrive(self._guard.feed(self._without_thoughts(text)))

    def show(self) -> str:
        """The completed sentences that are supported."""
        shown = self._editor.show()
        self._shown.append(shown)
        return shown

    def end(self, reason: str, stopped: bool = False) -> Ending:
        """The held-back text and the quotes, with the results of the checks."""
        is_cut_off = stopped or reason == CUT_OFF
        rest = self._show(self._guard.feed(self._unless_thought()) + self._guard.close(is_cut_off))
        closing = self._editor.close(is_cut_off)
        prose = "".join([*self._shown, closing])

        lead = "\n\n".join([*([STOPPED] if stopped else []), QUOTES_LEAD])
        quoted, before = self._quotes(prose, f"\n\n{lead}\n\n" if prose else "")
        moved = len(prose) + len(before)
        citations = [Citation(one.number, one.start + moved, one.end + moved) for one in quoted.citations]
        answer = f"{prose}{before}{quoted.text}"
        sentences = self._editor.sentences
        verification = self._examiner.verify_quotes(
            answer, "auto", citations, sentences, looped=self.looped, stopped=stopped, dropped=self._editor.dropped
        )
        all_citations = [*cite(prose, sentences), *citations]
        annotations = as_annotations(all_citations, self._examiner.grounded.hits, self._passage_url)
        return f"{rest}{closing}{before}{quoted.text}", {"annotations": annotations, "verification": verification}

    def survives(self, error: RequestError) -> bool:
        """True, since the quotes are an answer, unless the engine refused what the client asked for."""
        return is_of_the_engine(error)

    def _quotes(self, prose: str, before: str) -> tuple[QuotedAnswer, str]:
        """The quotes and what leads to them, as far as the request leaves room below the prose; notes a cut."""
        quoted = self._examiner.grounded.quoted
        if self.calls:
            return QuotedAnswer("", ()), ""
        if self._limits is None:
            return quoted, before
        cut, reason = self._limits.cut(quoted, prose + before)
        self.cut_off = reason == CUT_OFF
        return cut, before if cut.text else ""

    def _show(self, text: str) -> str:
        shown = self._editor.feed(text)
        self._shown.append(shown)
        return shown

    def _without_thoughts(self, text: str) -> str:
        """The text after the thoughts that begin an answer."""
        if self._opening is None:
            return text
        self._opening += text
        start = self._opening.lstrip()
        if start.startswith(THOUGHTS):
            _, end, rest = start.partition(THOUGHTS_END)
            if end:
                self._opening = None
                return rest
            self._opening = THOUGHTS + start[len(THOUGHTS) :][1 - len(THOUGHTS_END) :]  # may hold half of the end mark
            return ""
        if THOUGHTS.startswith(start):
            return ""
        opening, self._opening = self._opening, None
        return opening

    def _unless_thought(self) -> str:
        """Text that looked like the beginning of thoughts but was not."""
        opening, self._opening = self._opening, None
        return "" if opening is None or opening.lstrip().startswith(THOUGHTS) else opening


def is_of_the_engine(error: RequestError) -> bool:
    """Whether the engine failed, and did not refuse what the client asked for."""
    if isinstance(error, UpstreamRefused):
        return error.status >= 500
    return isinstance(error, EngineUnavailable | UpstreamTimeout | UpstreamBroken)


def edit_whole(answer: dict[str, Any], new_draft: Callable[[], Draft]) -> dict[str, Any]:
    """A whole answer of the engine with each choice edited."""
    for choice in answer["choices"]:
        message, draft = choice["message"], new_draft()
        text, reason = message.get("content"), choice.get("finish_reason") or "stop"
        draft.calls = _calls(message)
        shown = draft.feed(text or "")
        rest, checked = draft.end(CUT_OFF if _was_repeating(choice) else reason)
        message.update(checked)
        if text or rest:
            message["content"] = shown + rest
        choice["finish_reason"] = CUT_OFF if draft.cut_off else "stop" if draft.looped else choice.get("finish_reason")
    return answer


async def edit_stream(
    events: AsyncIterator[dict[str, Any]],
    new_draft: Callable[[], Draft],
    run: Run,
    model: str,
    wants_usage: bool = False,
) -> AsyncGenerator[dict[str, Any], None]:
    """The events of a stream, edited.

    A stream whose answers all loop ends there, unless the client waits for the token counts at its end.

    Raises what the events raise: unless the draft survives it.
    """
    drafts: dict[int, Draft] = {}
    ended: set[int] = set()

    head = stream_head(model)
    try:
        async for event in events:
            head = {**head, **{name: value for name, value in event.items() if name not in ("choices", "usage")}}
            choices = []
            for choice in event["choices"]:
                draft = drafts.get(choice["index"]) or drafts.setdefault(choice["index"], new_draft())
                # Some engines end a choice twice: what follows its end is not a part of the answer
                if choice["index"] not in ended and await _edit_choice(choice, draft, run, ended):
                    choices.append(choice)
            if choices or not event["choices"]:
                yield {**event, "choices": choices}
            if not wants_usage and drafts and all(draft.looped for draft in drafts.values()):
                return

    except RequestError as error:
        draft = drafts.get(0) or new_draft()
        if 0 in ended or not draft.survives(error):
            raise
        rest, checked = await run(partial(draft.end, "stop", stopped=True))
        end = CUT_OFF if draft.cut_off else "stop"
        for delta, reason in (({"role": "assistant", "content": rest}, None), (checked, end)):
            yield {**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]}


async def _feed(draft: Draft, text: str, run: Run) -> str:
    """What can be shown now. A thread costs more than looking at a word, and less than checking a sentence."""
    if len(text) > AT_ONCE or draft.looped:
        shown: str = await run(partial(draft.feed, text))
    else:
        shown = await run(draft.show) if draft.arrive(text) else draft.show()
    return shown


async def _edit_choice(choice: dict[str, Any], draft: Draft, run: Run, ended: set[int]) -> bool:
    """Edit one choice of an event in place; returns whether it holds anything to send."""
    delta = choice["delta"]
    text = delta.get("content")
    draft.calls = draft.calls or _calls(delta)
    if text:
        delta["content"] = await _feed(draft, text, run)
    reason = "stop" if draft.looped else choice.get("finish_reason")
    if reason:
        rest, checked = await run(partial(draft.end, CUT_OFF if _was_repeating(choice) else reason))
        if rest:
            delta["content"] = (delta.get("content") or "") + rest
        delta.update(checked)
        choice["finish_reason"] = CUT_OFF if draft.cut_off else reason
        ended.add(choice["index"])
    says_more = any(value for name, value in delta.items() if name != "content")
    return bool(reason or delta.get("content") or not text or says_more)


def _calls(said: dict[str, Any]) -> bool:
    """Whether a message or a delta calls a tool."""
    return bool(said.get("tool_calls") or said.get("function_call"))


def _was_repeating(choice: dict[str, Any]) -> bool:
    """Whether the engine ended the answer for repetition: held-back text is then a copy, whole or cut off."""
    return "repetition" in str(choice.get("stop_reason"))
