"""The client before the real gateway, so that what `FakeGateway` says in the other tests is what the gateway says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.conftest import Gateway as RunGateway
from tests.fake_engine import FakeEngine
from ui.client import Gateway
from ui.errors import ContextExceeded, EngineStarting, RequestRefused
from ui.events import Finished, SourcesFound, TextDelta
from ui.settings import UiSettings

QUESTION = [{"role": "user", "content": "Which command fixes antenna violations?"}]


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    with FakeEngine() as fake:
        yield fake


@pytest.fixture
def gateway(gateway_at: RunGateway, engine: FakeEngine) -> Iterator[Gateway]:
    with gateway_at(engine.url) as url, closing(Gateway(UiSettings(url=url))) as client:
        yield client


def test_answer_of_the_real_gateway_has_sources_text_and_an_end(gateway: Gateway) -> None:
    first, *deltas, last = gateway.ask(QUESTION)
    assert isinstance(first, SourcesFound)
    assert first.query == QUESTION[0]["content"]
    assert first.sources[0].title == "Antenna repair"
    assert first.sources[0].link
    assert deltas
    assert all(isinstance(delta, TextDelta) and delta.text for delta in deltas)
    assert isinstance(last, Finished)
    assert last.finish_reason == "stop"
    assert set(last.cited) <= {source.number for source in first.sources}


def test_greeting_and_a_question_without_passages_are_distinguished(gateway: Gateway) -> None:
    assert next(gateway.ask([{"role": "user", "content": "hello"}])) == SourcesFound((), "")
    first, *_, last = gateway.ask([{"role": "user", "content": "zxqv wombat pancake recipe"}])
    assert first == SourcesFound((), "zxqv wombat pancake recipe", is_refused=True)
    assert isinstance(last, Finished)


def test_question_longer_than_the_window_is_refused_as_such(gateway: Gateway) -> None:
    with pytest.raises(ContextExceeded):
        list(gateway.ask([{"role": "user", "content": "antenna " * 20_000}]))


def test_history_longer_than_the_window_is_shortened_by_itself(gateway: Gateway) -> None:
    history = [{"role": role, "content": "antenna " * 4_000} for role in ("user", "assistant")] * 2
    assert isinstance(list(gateway.ask([*history, *QUESTION]))[-1], Finished)


def test_engine_that_is_not_there_is_engine_starting(gateway_at: RunGateway) -> None:
    with gateway_at("http://127.0.0.1:9") as url, closing(Gateway(UiSettings(url=url))) as client:
        assert client.status().state == "starting"
        with pytest.raises(EngineStarting):
            list(client.ask(QUESTION))


def test_key_of_the_real_gateway_is_asked_for_and_accepted(gateway_at: RunGateway, engine: FakeEngine) -> None:
    with gateway_at(engine.url, api_key="right") as url:
        with closing(Gateway(UiSettings(url=url))) as client, pytest.raises(RequestRefused, match="CHIPALIGN_API_KEY"):
            client.model()
        with closing(Gateway(UiSettings(url=url, api_key="right"))) as client:
            assert client.status().state == "ready"
            assert isinstance(list(client.ask(QUESTION))[-1], Finished)
