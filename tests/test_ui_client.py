"""The client against a gateway on a real socket: what arrives, when it arrives, and how every failure is reported."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from tests.fake_gateway import MODEL_ID, FakeGateway, Refusal, Script
from tests.rows import for_each
from ui.client import Gateway, Status, explain_status, read_status, shorten
from ui.errors import (
    AnswerBroken,
    ContextExceeded,
    EngineStarting,
    EngineTimeout,
    GatewayDown,
    GatewayError,
    GatewayTimeout,
    RequestRefused,
    SettingsError,
)
from ui.events import Event, Finished, SourcesFound, TextDelta
from ui.settings import UiSettings

QUESTION = [{"role": "user", "content": "How do I repair antennas?"}]


@contextmanager
def client_of(fake: FakeGateway, api_key: str = "", timeout_s: float = 10.0) -> Iterator[Gateway]:
    with closing(Gateway(UiSettings(url=fake.url, api_key=api_key, timeout_s=timeout_s))) as gateway:
        yield gateway


def failure_of(script: Script, timeout_s: float = 10.0) -> tuple[list[Event], GatewayError]:
    """The events that came before the failure, and the failure."""
    events: list[Event] = []
    with (
        FakeGateway(script) as fake,
        client_of(fake, timeout_s=timeout_s) as gateway,
        pytest.raises(GatewayError) as caught,
    ):
        events.extend(gateway.ask(QUESTION))  # takes one by one, so that what came before the failure is in it
    return events, caught.value


def test_answer_is_sources_then_deltas_then_the_end() -> None:
    with FakeGateway() as fake, client_of(fake) as gateway:
        first, *deltas, last = gateway.ask(QUESTION)
    assert isinstance(first, SourcesFound)
    assert [source.number for source in first.sources] == [1, 2, 3]
    assert deltas == [
        TextDelta("Run "),
        TextDelta("`repair_antennas` "),
        TextDelta("after global routing "),
        TextDelta("[1]."),
    ]
    assert isinstance(last, Finished)
    assert (last.finish_reason, last.cited, last.model) == ("stop", (1,), MODEL_ID)


@for_each(
    ("script", "request_id"),
    [
        (Script(refusal=Refusal(503, "engine_unavailable", "starting", {"X-Request-Id": "req-1"})), "req-1"),
        (Script(error_after=1, request_id="req-2"), "req-2"),
        (Script(cut_after=1, request_id="req-3"), "req-3"),
        (Script(hits=({},), request_id="req-4"), "req-4"),
        (Script(error_after=1), ""),
    ],
)
def test_failure_carries_the_id_that_the_gateway_gave_the_request(script: Script, request_id: str) -> None:
    assert failure_of(script)[1].request_id == request_id


def test_a_rating_goes_with_its_words_as_far_as_the_gateway_takes_them() -> None:
    with FakeGateway(Script(key="s")) as fake, client_of(fake, api_key="s") as gateway:
        gateway.rate("chatcmpl-1", "down", reason="x" * 3000, question="q", answer="")
        [rating] = fake.ratings
        assert rating == {"answer_id": "chatcmpl-1", "rating": "down", "reason": "x" * 2000, "question": "q"}
    with FakeGateway(Script(key="s")) as fake, client_of(fake) as gateway, pytest.raises(RequestRefused):
        gateway.rate("chatcmpl-1", "up")


def test_request_names_the_served_model_and_leaves_the_length_to_the_gateway() -> None:
    with FakeGateway() as fake, client_of(fake) as gateway:
        list(gateway.ask(QUESTION))
        assert fake.requests == [{"model": MODEL_ID, "messages": QUESTION, "stream": True}]


@for_each(("turns_before", "turns_kept"), [(0, 0), (1, 0), (2, 1), (3, 1), (8, 4)])
def test_shortened_history_is_its_newer_half_and_keeps_the_question(turns_before: int, turns_kept: int) -> None:
    messages = [
        {"role": role, "content": f"{number}"} for number in range(turns_before) for role in ("user", "assistant")
    ] + QUESTION
    assert shorten(messages) == messages[2 * (turns_before - turns_kept) :]


def test_history_that_is_too_long_is_halved_until_it_fits() -> None:
    history = [{"role": role, "content": str(number)} for number in range(6) for role in ("user", "assistant")]
    with FakeGateway(Script(max_messages=4)) as fake, client_of(fake) as gateway:
        assert isinstance(list(gateway.ask([*history, *QUESTION]))[-1], Finished)
        assert [len(request["messages"]) for request in fake.requests] == [13, 7, 3]
        assert fake.requests[-1]["messages"] == [
            {"role": "user", "content": "5"},
            {"role": "assistant", "content": "5"},
            *QUESTION,
        ]


def test_question_that_is_too_long_by_itself_is_refused_once() -> None:
    with FakeGateway(Script(max_messages=0)) as fake, client_of(fake) as gateway:
        with pytest.raises(ContextExceeded):
            list(gateway.ask(QUESTION))
        assert len(fake.requests) == 1


def test_text_arrives_while_the_answer_is_still_being_written() -> None:
    with FakeGateway(Script(hold_after=1)) as fake, client_of(fake) as gateway:
        events = gateway.ask(QUESTION)
        assert isinstance(next(events), SourcesFound)
        assert next(events) == TextDelta("Run ")
        fake.release()
        assert isinstance(list(events)[-1], Finished)


def test_closing_the_answer_hangs_up() -> None:
    endless = Script(deltas=("word ",) * 100_000)
    with FakeGateway(endless) as fake, client_of(fake) as gateway:
        events = gateway.ask(QUESTION)
        next(events)
        events.close()  # type: ignore[attr-defined]  # a generator, whose interface promises only an iterator
        assert fake.hung_up.wait(5)


def test_nothing_found_is_an_empty_list_of_sources() -> None:
    with FakeGateway(Script(hits=(), cited=())) as fake, client_of(fake) as gateway:
        assert next(iter(gateway.ask(QUESTION))) == SourcesFound((), "q")


def test_refused_connection_is_gateway_down_and_says_how_to_start_it() -> None:
    with FakeGateway() as fake, client_of(fake) as gateway:
        fake.stop()
        with pytest.raises(GatewayDown, match=r"cannot be reached \(Connection refused\)\. Start it with") as caught:
            list(gateway.ask(QUESTION))
        assert fake.url in str(caught.value)


def test_unknown_host_is_gateway_down() -> None:
    with closing(Gateway(UiSettings(url="http://gateway.invalid:8000"))) as gateway, pytest.raises(GatewayDown):
        gateway.model()


def test_silence_before_the_answer_is_a_timeout() -> None:
    events, error = failure_of(Script(first_delay_s=1.0), timeout_s=0.2)
    assert events == []
    assert isinstance(error, GatewayTimeout)
    assert "sent nothing for 0.2 s" in str(error)


def test_silence_amid_the_answer_is_a_timeout_after_what_came() -> None:
    events, error = failure_of(Script(hold_after=2), timeout_s=0.2)
    assert events[-1] == TextDelta("`repair_antennas` ")
    assert isinstance(error, GatewayTimeout)


def test_full_listen_queue_is_a_timeout_too() -> None:
    with socket.socket() as deaf:  # bound and listening, but nobody accepts, and its queue of one is taken
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        with (
            socket.create_connection(("127.0.0.1", port)),
            closing(Gateway(UiSettings(url=f"http://127.0.0.1:{port}", timeout_s=0.3))) as gateway,
        ):
            start_s = time.monotonic()
            with pytest.raises(GatewayTimeout):
                gateway.model()
            assert time.monotonic() - start_s < 2


def test_error_event_amid_the_answer_is_a_broken_answer_after_what_came() -> None:
    events, error = failure_of(Script(error_after=2))
    assert events[-1] == TextDelta("`repair_antennas` ")
    assert isinstance(error, AnswerBroken)
    assert "The engine stopped amid the answer." in str(error)


def test_connection_closed_amid_the_answer_is_a_broken_answer() -> None:
    events, error = failure_of(Script(cut_after=1))
    assert events[-1] == TextDelta("Run ")
    assert isinstance(error, AnswerBroken)


def test_answer_with_an_unreadable_hit_is_a_broken_answer() -> None:
    _, error = failure_of(Script(hits=({"title": "no number"},), cited=()))
    assert isinstance(error, AnswerBroken)
    assert "KeyError" in str(error)


@for_each(
    ("status", "code", "kind", "advice"),
    [
        (503, "engine_unavailable", EngineStarting, "Try again in 7 s"),
        (503, "retrieval_unavailable", RequestRefused, "The gateway cannot answer this now. Try again in 7 s"),
        (504, "upstream_timeout", EngineTimeout, "took too long"),
        (502, "upstream_error", AnswerBroken, "incomplete"),
        (400, "context_length_exceeded", ContextExceeded, "Shorten it, or start a new conversation"),
        (401, "invalid_api_key", RequestRefused, "Set CHIPALIGN_API_KEY"),
        (404, "model_not_found", RequestRefused, "no longer serves the model"),
        (404, "not_found", RequestRefused, "not a ChipAlign gateway"),
        (400, "something_else", RequestRefused, "refused the request (HTTP 400)"),
        (429, "rate_limit", RequestRefused, "too many questions"),
        (500, "internal_error", RequestRefused, "show this line to your CAD team"),
    ],
)
def test_http_error_becomes_a_sentence_with_advice(
    status: int, code: str, kind: type[GatewayError], advice: str
) -> None:
    events, error = failure_of(Script(refusal=Refusal(status, code, "the reason", {"Retry-After": "7"})))
    assert events == []
    assert type(error) is kind
    assert advice in str(error)
    assert "the reason" in str(error)
    assert "\n" not in str(error)


def test_error_without_an_envelope_still_says_its_status() -> None:
    assert "HTTP 418" in str(explain_status("http://g", 418, "<html>teapot</html>", {}))
    assert "in a moment" in str(explain_status("http://g", 503, None, {}))


def test_wrong_key_is_refused_and_the_right_one_is_sent() -> None:
    with FakeGateway(Script(key="right")) as fake:
        with client_of(fake, api_key="wrong") as gateway, pytest.raises(RequestRefused, match="CHIPALIGN_API_KEY"):
            gateway.model()
        with client_of(fake, api_key="right") as gateway:
            assert gateway.model() == MODEL_ID


def test_some_other_program_at_the_address_is_recognised() -> None:
    with FakeGateway(Script(raw="<html>router login</html>")) as fake, client_of(fake) as gateway:
        assert gateway.status().state == "down"
        with pytest.raises(RequestRefused, match="not a ChipAlign gateway"):
            list(gateway.ask(QUESTION))


def test_proxy_variable_does_not_swallow_requests_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with FakeGateway() as fake, client_of(fake) as gateway:
        assert gateway.status().state == "ready"
        assert gateway.model() == MODEL_ID


def test_collection_that_is_not_there_is_reported_by_the_gateway() -> None:
    error = explain_status(
        "http://g", 400, {"code": "collection_not_found", "message": "There is no collection x; there are a, b."}, {}
    )
    assert (
        str(error)
        == "The index has no such collection. Choose another. The gateway says: There is no collection x; there are"
        " a, b."
    )


def test_status_distinguishes_ready_starting_degraded_and_down() -> None:
    with FakeGateway() as fake, client_of(fake) as gateway:
        assert gateway.status().state == "ready"
        assert gateway.status().sentence == f"Ready · {MODEL_ID} · 1234 passages from handbook"
        fake.script = Script(ready=(503, {"status": "starting", "engine": "the engine does not answer"}))
        assert gateway.status() == Status(
            "starting", "Not ready yet: the engine does not answer. This line says when it is."
        )
        fake.script = Script(ready=(503, {"status": "starting", "engine": "it is loading", "answers": "quote"}))
        assert gateway.status() == Status("starting", "Answers in quotes; it is loading.")
        fake.script = Script(ready=(503, {"status": "degraded", "engine": "down", "index": "ready"}))
        assert gateway.status() == Status(
            "degraded", "Not everything works, so answers may fail (engine: down; index: ready)."
        )
        fake.stop()
        assert gateway.status().state == "down"
        assert fake.url in gateway.status().sentence


@for_each("body", ["", "[]", "3", '{"detail": "Not Found"}', "<html>"])
def test_status_of_something_that_is_not_a_gateway_is_down(body: str) -> None:
    assert read_status("http://g", 200, body).state == "down"


def test_the_password_in_the_gateways_address_is_sent_and_never_shown() -> None:
    settings = UiSettings.from_env({"CHIPALIGN_URL": "http://someone:hunter2@127.0.0.1:9/v1"})
    assert settings.url == "http://someone:hunter2@127.0.0.1:9"
    assert "hunter2" not in repr(settings)
    with closing(Gateway(settings)) as gateway:
        assert "hunter2" not in gateway.status().sentence
        with pytest.raises(GatewayDown) as caught:
            gateway.model()
        assert "hunter2" not in str(caught.value)
    for wrong in ("ftp://someone:hunter2@gpu", "http://someone:hunter2/@gpu", "someone:hunter2@gpu"):
        with pytest.raises(SettingsError) as refused:
            UiSettings.from_env({"CHIPALIGN_URL": wrong})
        assert "hunter2" not in str(refused.value)
