"""Turns a chat request into quotes, a refusal or the engine's prompt.

The caller hands in retrieval and token counting; nothing here speaks HTTP. `retrieval_object` shows what was found.

    grounded = ground(request, retriever, counter, settings, max_model_len=8192)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from rag.answering.evidence import select_quotes
from rag.answering.nearest import Explainer, refuse_question
from rag.answering.option_list import list_options
from rag.answering.prompt import build_prompt, defuse
from rag.answering.quotes import Quote, show_passages
from rag.answering.refusal import Refusal
from rag.answering.token_budget import tokens_left
from rag.answering.unknown_options import Describer, deny, find_unknown_option
from rag.answering.wording import QuotedAnswer, word_quotes
from rag.documents import Hit
from rag.errors import EmbedderUnavailable, IndexCorrupt, MilvusUnavailable
from rag.index.bm25 import tokenize
from rag.search.asked import asks_for_machine_form, find_asked
from rag.search.eda_tools import named_eda_tools
from rag.search.judging import HITS_READ
from rag.search.pasted_log import condense_paste
from rag.search.query import (
    MAX_TURNS_JOINED,
    TURNS_SEARCHED,
    asks_for_another_form,
    fallback_query,
    find_subjects,
    has_content,
    own_words,
    retrieval_query,
    shorten_turn,
)
from serve.answers.guidance import guide
from serve.answers.long_question import MessageCounter, Shortened, cut_question
from serve.answers.tool_turns import TOOL_RULE, answers_tools, asked_turn, model_leads
from serve.errors import ContextLengthExceeded, RetrievalUnavailable, TooManyTokens
from serve.intent.decision import WhyNot, why_not_asked
from serve.protocol import ChatRequest, Message, holds_more_than_text, message_text, with_text
from serve.settings import ServeSettings
from serve.uploads.objects import score_of

# Who words an answer; auto: the model as far as the passages support it, with the quotes below
Mode = Literal["quote", "model", "auto"]
LENGTHS = ("max_tokens", "max_completion_tokens")  # OpenAI's names of the longest answer
# Why nothing was searched: retrieval is off; no user's turn, or a greeting; or by what is asked
NotSearched = Literal["off", "no_question"] | WhyNot
THOUGHTS_END = "</think>"  # where the engine does not separate thoughts from the answer


class Searcher(Explainer, Describer, Protocol):
    """What the gateway needs of a `rag.search.retriever.Retriever`."""

    @property
    def collections(self) -> Iterable[str]:
        """Names of the collections that are searched."""

    def within(self, collections: Iterable[str]) -> Searcher:
        """The same over the named collections alone. Raises CollectionUnknown."""

    def clean(self, query: str) -> str:
        """The question as it is searched: its misspelled words put right."""

    def search(self, query: str, top_k: int = 5) -> list[Hit]:
        """The best hits, best first; none if nothing is relevant."""


class Counter(MessageCounter, Protocol):
    """What the gateway needs of a `serve.tokens.counter.TokenCounter`."""

    @property
    def special_tokens(self) -> Sequence[str]:
        """Strings that the tokenizer reads as control tokens."""


@dataclass(frozen=True)
class Grounded:
    """A request with its passages.

    `body` goes to the engine; `answer` is set when the gateway answers by itself instead.

    `guidance` holds the fields that go to the engine with the body, as far as it accepts them.

    `query` found the passages (None: nothing was searched, and `not_searched` says why); `fallback` says whether it is
    the second query tried.

    `quotes` have their places in the passages, and `quoted` is an answer made of them alone.
    """

    body: dict[str, Any]
    query: str | None
    hits: tuple[Hit, ...]
    prompt_tokens: int
    answer: str | None = None
    fallback: bool = False
    quotes: tuple[Quote, ...] = ()
    quoted: QuotedAnswer = QuotedAnswer("", ())
    mode: Mode = "model"
    finish_reason: str = "stop"  # why the gateway's own answer ends
    guidance: dict[str, Any] = field(default_factory=dict)
    not_searched: NotSearched | None = None
    shortened: Shortened | None = None  # the question's log was longer than the model's window

    @property
    def refused(self) -> bool:
        """Whether the gateway says that the documents hold nothing about the question."""
        return self.answer is not None and not self.quotes


def choose_mode(request: ChatRequest, settings: ServeSettings) -> Mode:
    """Who words the answer to a request.

    The model keeps what only a model can do: tasks, JSON, images, to say what its tools returned. It words shaped text
    too.
    """
    wanted = request.options.answer
    mode = settings.answer if wanted in (None, "auto") else wanted
    last = request.messages[-1]
    if (
        why_not_searched(request)
        or model_leads(request)
        or request.wants_json
        or holds_more_than_text(last)
        or asks_for_machine_form(message_text(last))
        or (mode == "auto" and request.shapes_its_answer)
    ):
        return "model"
    return "quote" if mode == "quote" else "auto" if mode == "auto" else "model"


def why_not_searched(request: ChatRequest) -> NotSearched | None:
    """Why nothing is to be searched for a request, by what it says of that or by what it asks; None: it may be."""
    if not request.options.enabled:
        return "off"
    return None if request.options.is_forced else why_not_asked(request.messages)


def ground(
    request: ChatRequest,
    retriever: Searcher,
    counter: Counter,
    settings: ServeSettings,
    max_model_len: int,
    names: Sequence[str] = (),
) -> Grounded:
    """Find the passages for a conversation's last question and put them into its prompt, within the token budget.

    A conversation that ends with the beginning of an answer, a greeting, a task on text of the caller's own and a
    request with retrieval turned off go to the engine as they are; one that ends with a tool's result is searched by
    the user's turn before it. When nothing is relevant the gateway says so itself, because a model would invent; so it
    does when the question names an option that no document gives the command. A request with tools or an image still
    goes to the model, which may find the answer with them.

    A log in the question that leaves no room for this is cut to the lines that matter, unless retrieval is off.

    `retriever` searches what the request names alone; `names` is what people call that (none: as the index does).

    Raises:
        ContextLengthExceeded: the conversation leaves no room for passages and an answer.
        RetrievalUnavailable: a server that the search needs does not answer, or the index is damaged.
    """
    try:
        return _ground(request, retriever, counter, settings, max_model_len, names)
    except ContextLengthExceeded:
        answer_tokens = _answer_tokens(request, settings, max_model_len)
        shortened = cut_question(request, counter, answer_tokens, max_model_len) if request.options.enabled else None
        if shortened is None:
            raise
        grounded = _ground(shortened.request, retriever, counter, settings, max_model_len, names)
        return replace(grounded, shortened=shortened)


def _ground(
    request: ChatRequest,
    retriever: Searcher,
    counter: Counter,
    settings: ServeSettings,
    max_model_len: int,
    names: Sequence[str],
) -> Grounded:
    """What `ground` gives for a request as it is, and raises."""
    plain = Grounded(_with_defaults(request, settings), None, (), _count(request, counter, max_model_len))
    room = _room(plain.prompt_tokens, request, settings, max_model_len)
    turns, not_searched = _searched_turns(request, retriever)
    if not_searched:
        plain = replace(plain, not_searched=not_searched)
        return _guided(_capped(plain, max_model_len), request, retriever, settings)

    top_k, mode = request.options.top_k or settings.top_k, choose_mode(request, settings)
    try:
        if not model_leads(request) and (unknown := find_unknown_option(turns[-1], retriever)):
            denial = deny(unknown)
            return replace(plain, query=turns[-1], hits=unknown.hits, answer=denial.text, quoted=denial, mode=mode)
        query, hits, fallback, quotes = _find_evidence(turns, request, retriever, top_k, mode)
        refusal = None if hits or _may_answer(request) else _refuse(query, request, retriever, names)
    except (EmbedderUnavailable, MilvusUnavailable, IndexCorrupt) as error:
        raise RetrievalUnavailable(f"{error}") from error

    asked = replace(plain, query=query, fallback=fallback)
    if refusal:
        return replace(asked, hits=refusal.hits, answer=refusal.answer.text, quoted=refusal.answer, mode=mode)
    if not hits:
        capped = _capped(asked, max_model_len)
        return _guided(capped, request, retriever, settings) if request.may_call else capped
    if quotes and mode == "quote":
        return _answer_in_quotes(asked, quotes, hits, top_k)

    at_least = tokens_left(max_model_len, plain.prompt_tokens, max_model_len // 4)
    budgets = [min(settings.context_tokens, left) for left in (room, at_least)]
    grounded = _with_passages(asked, request, hits[:top_k], counter, budgets, max_model_len)
    if quotes:
        read = range(1, len(grounded.hits) + 1)  # the prompt's passages keep their numbers
        numbers = sorted({*read, *(quote.number for quote in quotes)})
        grounded = _quote(replace(grounded, mode=mode), quotes, hits, numbers)
    return _guided(_capped(grounded, max_model_len), request, retriever, settings)


def _find_evidence(
    turns: list[str], request: ChatRequest, retriever: Searcher, top_k: int, mode: Mode
) -> tuple[str, Sequence[Hit], bool, Sequence[Quote]]:
    """What `find_passages` gives for the turns, and what is quoted of it; nothing is where the model answers.

    Who asks for a command's options gets them all. A limit of the request's own counts for quotes too.
    """
    least, is_limited = request.options.score_threshold, request.options.top_k is not None
    if mode == "model":
        return *find_passages(turns, retriever, top_k, least), ()
    listed = list_options(turns[-1], retriever)
    if listed and not least and not (is_limited and len(listed.hits) > top_k):
        return turns[-1], listed.hits, False, listed.quotes
    query, hits, fallback = find_passages(turns, retriever, top_k if is_limited else max(top_k, HITS_READ), least)
    return query, hits, fallback, select_quotes(query, hits, retriever) if hits else ()


def _may_answer(request: ChatRequest) -> bool:
    """Whether the model may know an answer that no document holds: by its tools, from an image, in its own task."""
    return request.may_call or model_leads(request) or holds_more_than_text(request.messages[-1])


def _refuse(query: str, request: ChatRequest, retriever: Searcher, names: Sequence[str]) -> Refusal:
    """The refusal of a question; limits of the request's own count for what comes near, too."""
    near = 0 if request.options.score_threshold else min(request.options.top_k or HITS_READ, HITS_READ)
    return refuse_question(query, retriever, names or retriever.collections, near)


def _with_passages(
    asked: Grounded,
    request: ChatRequest,
    hits: Sequence[Hit],
    counter: Counter,
    budgets: Sequence[int],
    max_model_len: int,
) -> Grounded:
    """The prompt with as many passages as the first budget holds, or else with one within the second.

    Raises ContextLengthExceeded: there is no room for one.
    """
    grounded = _with_prompt(asked, request, hits, counter, budgets[0])
    if not grounded.hits:  # the longest answer that is asked for yields to one passage
        grounded = _with_prompt(asked, request, hits[:1], counter, budgets[1])
    if not grounded.hits:
        raise _too_long(asked.prompt_tokens, max_model_len, "passages and an answer")
    return grounded


def _searched_turns(request: ChatRequest, retriever: Searcher) -> tuple[list[str], NotSearched | None]:
    """The user's last turns as they are searched, or why nothing is.

    An earlier turn has the names that its answer gave behind it. A pasted log says itself what it is about.
    """
    sent = [message_text(message) for message in request.messages if message["role"] == "user"]
    asked = [find_asked(turn) for turn in sent[-TURNS_SEARCHED:]]
    condensed = list(map(condense_paste, asked))
    is_paste = condensed[-1:] != asked[-1:]
    turns = [shorten_turn(turn) for turn in (condensed[-1:] if is_paste else condensed)]
    if not is_paste:
        turns = _with_subjects(turns, request.messages, retriever)
    not_searched = why_not_searched(request)
    if not_searched is None and (asked_turn(request.messages) is None or not has_content(turns[-1])):
        not_searched = "no_question"
    return turns, not_searched


def _with_subjects(turns: list[str], messages: Sequence[Message], retriever: Searcher) -> list[str]:
    """The last turns of the user, the earlier ones with the names that their answers gave.

    Who asks for the last answer in another form is searched for as before, and who asks the same of another tool does
    not mean these names.
    """
    named = list(turns)
    if not turns or asks_for_another_form(turns[-1]) or named_eda_tools(turns[-1]):
        return named
    places = [place for place, message in enumerate(messages) if message["role"] == "user"][-len(turns) :]
    for number in range(max(0, len(turns) - MAX_TURNS_JOINED), len(turns) - 1):
        if not has_content(turns[number]) or asks_for_another_form(turns[number]):
            continue
        between = messages[places[number] : places[number + 1]]
        answer = "\n".join(message_text(message) for message in between if message["role"] == "assistant")
        subjects = find_subjects(answer, lambda name: retriever.holds_together([name]))
        named[number] = " ".join((turns[number], *subjects))
    return named


def _answer_in_quotes(asked: Grounded, quotes: Sequence[Quote], hits: Sequence[Hit], top_k: int) -> Grounded:
    """The quotes as the whole answer, whose first passage is number 1."""
    leading = dict.fromkeys([*(quote.number for quote in quotes), *range(1, len(hits) + 1)])
    numbers = list(leading)[: max(top_k, len({quote.number for quote in quotes}))]
    quoted = _quote(replace(asked, mode="quote"), quotes, hits, numbers)
    return replace(quoted, answer=quoted.quoted.text)


def _count(request: ChatRequest, counter: Counter, max_model_len: int) -> int:
    """The tokens of a conversation. Raises ContextLengthExceeded: they are far more than the model's."""
    try:
        return counter.count_messages(request.messages, request.tools, at_most=max_model_len)
    except TooManyTokens as error:
        raise _too_long(f"at least {error.at_least}", max_model_len, "an answer") from None


def _with_prompt(
    grounded: Grounded, request: ChatRequest, hits: Sequence[Hit], counter: Counter, budget_tokens: int
) -> Grounded:
    """Put as many passages before the question as the budget holds; defuse control tokens in the other turns."""
    place = asked_turn(request.messages) or 0
    asked = request.messages[place]
    prompt = build_prompt(message_text(asked), hits, counter.count_text, budget_tokens, counter.special_tokens)
    turns = [
        with_text(message, defuse(text, counter.special_tokens)) if (text := message_text(message)) else message
        for message in request.messages
    ]
    turns[place] = with_text(asked, prompt.user)
    with_results = request.may_call or answers_tools(request.messages)
    messages = _merge_system(f"{prompt.system} {TOOL_RULE}" if with_results else prompt.system, turns)
    tokens = counter.count_messages(messages, request.tools)
    return replace(grounded, body={**grounded.body, "messages": messages}, hits=prompt.hits, prompt_tokens=tokens)


def _guided(grounded: Grounded, request: ChatRequest, retriever: Searcher, settings: ServeSettings) -> Grounded:
    """Add the fields that restrict the answer to names that the model reads. Raises RetrievalUnavailable."""
    try:
        guidance = guide(
            request,
            grounded.body,
            lambda name: retriever.reference.options_of(name),
            settings,
            is_of_documents=grounded.not_searched in (None, "no_question"),
        )
    except IndexCorrupt as error:
        raise RetrievalUnavailable(f"{error}") from error
    return replace(grounded, guidance=guidance)


def _quote(grounded: Grounded, quotes: Sequence[Quote], hits: Sequence[Hit], numbers: Sequence[int]) -> Grounded:
    """The quotes as an answer; the passages with these numbers, which include all quoted ones, are renumbered."""
    renumbered, shown = show_passages(quotes, hits, numbers)
    return replace(grounded, hits=shown, quotes=renumbered, quoted=word_quotes(renumbered, shown))


def find_passages(
    user_turns: list[str], retriever: Searcher, top_k: int, least_score: float = 0.0
) -> tuple[str, list[Hit], bool]:
    """The passages for the last turn, the query that found them, as it was searched, and whether that was the fallback.

    If the turn's own query finds nothing, a second search adds the turn before it ("What does the margin do?" after a
    question about hold). That always comes near the old subject, so its passages count only if one of them holds a word
    of the last turn: a recipe for soup is not a follow-up. If neither finds anything, the query is the turn's own.
    """

    def search(query: str) -> list[Hit]:
        """The passages for a query that are near enough."""
        return [hit for hit in retriever.search(query, top_k) if score_of(hit.dense_score) >= least_score]

    query = retrieval_query(user_turns)
    if hits := search(query):
        return retriever.clean(query), hits, False
    if second := fallback_query(user_turns):
        hits = search(second)
        terms = set(tokenize(" ".join(own_words(user_turns[-1]))))
        if any(terms.intersection(tokenize(f"{' '.join(hit.chunk.heading_path)} {hit.chunk.text}")) for hit in hits):
            return retriever.clean(second), hits, True
    return query, [], False


def _with_defaults(request: ChatRequest, settings: ServeSettings) -> dict[str, Any]:
    """The engine's body, with our defaults for what the request leaves open."""
    body = request.upstream_body()
    if request.answer_tokens is None:
        body["max_tokens"] = settings.max_tokens
    if body.get("temperature") is None and (request.n or 1) == 1:  # several answers at temperature 0 would be one
        body["temperature"] = settings.temperature
    return body


def _room(conversation_tokens: int, request: ChatRequest, settings: ServeSettings, max_model_len: int) -> int:
    """Tokens left for passages after the conversation, the instructions and the answer."""
    if conversation_tokens >= max_model_len:
        raise _too_long(conversation_tokens, max_model_len, "an answer")
    if request.answer_tokens and conversation_tokens + request.answer_tokens > max_model_len:
        raise _too_long(
            conversation_tokens,
            max_model_len,
            f"an answer of {min(request.answer_tokens, 10**9)} tokens",
            param="max_tokens",
        )
    return tokens_left(max_model_len, conversation_tokens, _answer_tokens(request, settings, max_model_len))


def _answer_tokens(request: ChatRequest, settings: ServeSettings, max_model_len: int) -> int:
    """Tokens that are kept for the answer."""
    return request.answer_tokens or min(settings.max_tokens, max_model_len // 4)


def _too_long(
    conversation_tokens: int | str, max_model_len: int, room: str, param: str = "messages"
) -> ContextLengthExceeded:
    advice = "Ask for a shorter one" if param == "max_tokens" else "Shorten the question or start a new conversation"
    return ContextLengthExceeded(
        f"This model's maximum context length is {max_model_len} tokens; the conversation takes {conversation_tokens} "
        f"and leaves no room for {room}. {advice}.",
        param,
    )


def _capped(grounded: Grounded, max_model_len: int) -> Grounded:
    """Cut the longest answer to what the window still holds: a model that is asked for more refuses."""
    left = max(max_model_len - grounded.prompt_tokens, 1)
    lengths = {name: min(grounded.body[name], left) for name in LENGTHS if grounded.body.get(name) is not None}
    return replace(grounded, body={**grounded.body, **lengths})


def _merge_system(system: str, messages: Sequence[Message]) -> list[Message]:
    """Our instructions first, then the client's own system message (a persona, a format), in one message."""
    if messages[0]["role"] in ("system", "developer"):
        return [with_text(messages[0], f"{system}\n\n{message_text(messages[0])}"), *messages[1:]]
    return [{"role": "system", "content": system}, *messages]


def thoughts_end(answer: str) -> int:
    """Where the answer proper begins: after the last `</think>`, or at the end if the thoughts were cut off."""
    end = answer.rfind(THOUGHTS_END)
    if end >= 0:
        return end + len(THOUGHTS_END)
    return len(answer) if answer.lstrip().startswith("<think>") else 0
