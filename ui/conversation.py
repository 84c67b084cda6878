"""A conversation as a tuple of turns, and everything that is done with it. Pure: values in, values out.

It neither asks (`ui.client`) nor draws (`ui.page.chat_app`), and counts characters, not tokens: the gateway counts
those.

    conversation = add_question((), "What is hold slack?")
    messages = to_messages(conversation)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from ui.errors import EmptyQuestion
from ui.events import AnswerBy, Event, Finished, Message, Rating, Shortened, Source, SourcesFound, TextDelta
from ui.plain_text import Span
from ui.verification import Verification, describe_checks

# About 3000 tokens of English at 4 characters each: with passages and an answer it fits the 8192 tokens that we serve
# by default. Where the gateway still counts too many, `ui.client` halves the history.
MAX_CHARS = 12_000
MAX_EARLIER_CHARS = 3_000  # of an earlier question, else what was searched for it stands in the history

DEMO_MODEL = "chipalign-demo"  # what `chipalign up` serves where it is given no other model
DEMO_WORD = (
    "Worded by the demo model, which is small (135 million weights) and misreads passages: "
    "trust the quotes, not its words."
)

OWN_TEXT_WORD = (
    "Not from the documents: taken for a task on your own text, so nothing was searched. Ask in other words to search."
)

State = Literal["asked", "answering", "answered", "stopped", "failed"]


@dataclass(frozen=True)
class Turn:
    """A question and what became of it. `problem` is a sentence, set where `state` is "failed"."""

    question: str
    state: State = "asked"
    answer: str = ""
    sources: tuple[Source, ...] = ()
    query: str | None = None  # what was searched for; "" where nothing had to be, None while retrieval has not reported
    cited: tuple[int, ...] = ()
    finish_reason: str = ""
    problem: str = ""
    answer_by: AnswerBy = "auto"  # what the reader chose when asking
    is_refused: bool = False  # the gateway says that the documents hold nothing about this
    is_own_text: bool = False  # the gateway took the question for a task on text that it brings along
    shortened: Shortened | None = None  # the question's log was too long for the model
    model: str = ""
    verification: Verification | None = None
    answer_id: str = ""  # the gateway's, by which the answer is rated
    rating: Rating | None = None

    @property
    def unsupported(self) -> tuple[Span, ...]:
        """The places in the answer that no passage supports, as far as that was checked."""
        return self.verification.unsupported if self.verification else ()

    @property
    def is_worded_by_model(self) -> bool:
        """Whether a model put the passages into its own words.

        Where the gateway does not say it, an answer with quotes counts as not worded by a model.
        """
        mode = self.verification.mode if self.verification else ""
        is_quoted = mode == "quote" or (mode != "model" and any(source.quoted for source in self.sources))
        return self.state == "answered" and bool(self.sources) and not is_quoted and not self.is_refused


Conversation = tuple[Turn, ...]


def describe_answer(turn: Turn, how: str = "marked") -> list[str]:
    """What a reader should know of an answer, a line each: what was checked, where it is from, if the demo worded it.

    `how` says where a reader finds the sentences that are not supported.
    """
    is_of_demo = turn.is_worded_by_model and turn.model == DEMO_MODEL
    words = [OWN_TEXT_WORD] * turn.is_own_text + [DEMO_WORD] * is_of_demo
    return [*_describe_cut(turn.shortened), *describe_checks(turn.verification, how), *words]


def _describe_cut(shortened: Shortened | None) -> list[str]:
    """What was left of a log that the model cannot hold."""
    if shortened is None:
        return []
    return [
        f"The log is longer than the model reads: {shortened.kept:,} of its {shortened.lines:,} lines were kept, those "
        "at its ends and those that report a problem."
    ]


def add_question(conversation: Conversation, question: str, answer_by: AnswerBy = "auto") -> Conversation:
    """The conversation with a new question at its end.

    Raises EmptyQuestion: the question is empty or blank.
    """
    if not question.strip():
        raise EmptyQuestion
    return (*conversation, Turn(question.strip(), answer_by=answer_by))


def begin(turn: Turn) -> Turn:
    """The turn whose answer is being fetched from now on."""
    return replace(turn, state="answering")


def take_event(turn: Turn, event: Event) -> Turn:
    """The turn after one more event of its answer."""
    match event:
        case SourcesFound():
            found = replace(turn, state="answering", sources=event.sources, query=event.query)
            return replace(found, is_refused=event.is_refused, is_own_text=event.is_own_text, shortened=event.shortened)
        case TextDelta(text):
            return replace(turn, state="answering", answer=turn.answer + text)
        case Finished():
            ended = replace(turn, state="answered", cited=event.cited, finish_reason=event.finish_reason)
            sources = mark_evidence(turn.sources, event.verification)
            checked = replace(ended, sources=sources, verification=event.verification)
            return replace(checked, model=event.model, answer_id=event.answer_id)


def mark_evidence(sources: Iterable[Source], found: Verification | None) -> tuple[Source, ...]:
    """The passages with what supports the answer as quoted, where that was checked."""
    return tuple(source.with_quoted(found.places_in(source.number)) if found else source for source in sources)


def fail(turn: Turn, problem: str) -> Turn:
    """The turn ended badly; the text that had arrived stays."""
    return replace(turn, state="failed", problem=problem)


def rate(conversation: Conversation, index: int, rating: Rating) -> Conversation:
    """The conversation with a rating of one of its answers."""
    return (*conversation[:index], replace(conversation[index], rating=rating), *conversation[index + 1 :])


def with_last(conversation: Conversation, turn: Turn) -> Conversation:
    """The conversation with its last turn replaced."""
    return (*conversation[:-1], turn)


def close_interrupted(conversation: Conversation) -> Conversation:
    """A last turn that was being answered counts as stopped: whoever answered it is gone."""
    if conversation and conversation[-1].state == "answering":
        return with_last(conversation, replace(conversation[-1], state="stopped"))
    return conversation


def retry(conversation: Conversation) -> Conversation:
    """The conversation with its last question asked afresh. An empty conversation stays empty."""
    if not conversation:
        return conversation
    return with_last(conversation, Turn(conversation[-1].question, answer_by=conversation[-1].answer_by))


def trim(conversation: Conversation, max_chars: int = MAX_CHARS) -> Conversation:
    """The newest turns that together hold at most `max_chars` characters of questions and answers.

    The last turn always stays. A log in an earlier question counts as what was searched for it.
    """
    kept: list[Turn] = []
    total = 0
    for turn in reversed(conversation):
        total += len(say_briefly(turn) if kept else turn.question) + len(turn.answer)
        if kept and total > max_chars:
            break
        kept.append(turn)
    return tuple(reversed(kept))


def say_briefly(turn: Turn) -> str:
    """A turn's question, or of one with a log in it what was searched for: what a later question may lean on."""
    is_long = len(turn.question) > MAX_EARLIER_CHARS
    return (turn.query or turn.question[:MAX_EARLIER_CHARS]) if is_long else turn.question


def to_messages(conversation: Conversation, max_chars: int = MAX_CHARS) -> list[Message]:
    """OpenAI messages that ask the last turn's question, with the answered turns before it as history.

    Turns without any answer are left out of the history: a question that failed says nothing to the model. The last
    turn's own partial answer is left out too, since it is being asked anew.
    """
    if not conversation:
        return []
    *before, last = trim(conversation, max_chars)
    messages = []
    for turn in before:
        if turn.answer:
            question = say_briefly(turn)
            messages += [{"role": "user", "content": question}, {"role": "assistant", "content": turn.answer}]
    return [*messages, {"role": "user", "content": last.question}]
