"""Places for answers: as many as set, given back however an answer ends, and all ended when the gateway stops."""

from __future__ import annotations

import asyncio

import httpx
import openai
import pytest

from serve.errors import GatewayStopping, TooManyInFlight
from serve.limits.admission import Admission
from tests.conftest import Gateway, OpenAIAt
from tests.fake_engine import EngineScript, FakeEngine

CHAT = {"messages": [{"role": "user", "content": "hello"}]}


def post(url: str, **more: object) -> httpx.Response:
    return httpx.post(f"{url}/v1/chat/completions", json={**CHAT, **more}, timeout=20)


def test_a_place_is_given_back_also_after_an_error() -> None:
    admission = Admission(1)
    with pytest.raises(KeyError), admission.admit():
        raise KeyError
    with admission.admit(), pytest.raises(TooManyInFlight, match="1 in flight"), admission.admit():
        pass
    assert admission.in_flight == 0


def test_a_limit_of_nought_is_none() -> None:
    admission = Admission(0)
    with admission.admit(), admission.admit():
        assert admission.in_flight == 2


def test_stopping_ends_what_is_awaited_and_what_would_be() -> None:
    async def story() -> None:
        admission = Admission(0)
        held = asyncio.ensure_future(admission.unless_stopped(asyncio.Event().wait()))
        await asyncio.sleep(0)
        admission.stop()
        with pytest.raises(GatewayStopping):
            await held
        with pytest.raises(GatewayStopping):
            await admission.unless_stopped(asyncio.Event().wait())

    asyncio.run(story())


def test_a_timeout_of_the_work_itself_stays_one() -> None:
    async def story() -> None:
        with pytest.raises(TimeoutError):
            await Admission(0).unless_stopped(asyncio.wait_for(asyncio.Event().wait(), 0))

    asyncio.run(story())


def test_who_asks_beyond_the_limit_gets_openais_429_and_health_is_answered(
    gateway_at: Gateway, engine: FakeEngine, openai_at: OpenAIAt
) -> None:
    engine.script = EngineScript(hold_after=1)
    with gateway_at(engine.url, answers_in_flight=1) as url:
        with httpx.stream("POST", f"{url}/v1/chat/completions", json={**CHAT, "stream": True}, timeout=20) as held:
            lines = held.iter_lines()
            next(lines)
            refused = post(url)
            assert refused.status_code == 429
            assert refused.headers["retry-after"] == "5"
            error = refused.json()["error"]
            assert (error["type"], error["code"]) == ("requests", "rate_limit_exceeded")
            assert "1 in flight" in error["message"]
            client = openai_at(url)
            with pytest.raises(openai.RateLimitError):
                client.chat.completions.create(model="chipalign-demo", messages=[{"role": "user", "content": "hello"}])
            assert httpx.get(f"{url}/health").status_code == 200
            assert 'status="429"} 2.0' in httpx.get(f"{url}/metrics").text
            engine.release()
            assert "data: [DONE]" in list(lines)
        assert [post(url).status_code for _ in range(3)] == [200] * 3


def test_clients_that_leave_and_engines_that_break_give_their_places_back(
    gateway_at: Gateway, engine: FakeEngine
) -> None:
    with gateway_at(engine.url, answers_in_flight=1) as url:
        engine.script = EngineScript(hold_after=1)
        with httpx.stream("POST", f"{url}/v1/chat/completions", json={**CHAT, "stream": True}, timeout=20) as left:
            next(left.iter_lines())
        assert engine.hung_up.wait(10)
        for script in (
            EngineScript(cut_after=1),
            EngineScript(refusal=(400, "no")),
            EngineScript(garbage=True),
            EngineScript(chunks=()),
        ):
            engine.script = script
            assert post(url, stream=True).status_code != 429
            assert post(url).status_code != 429
