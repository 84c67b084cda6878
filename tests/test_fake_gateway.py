"""The fakes do what they promise; a fake that lies makes every test over it worthless."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FuturesTimeout
from typing import Any

import httpx
import pytest

from tests.fake_gateway import HITS, MODEL_ID, FakeGateway, Refusal, Script


def ask(gateway: FakeGateway) -> list[Any]:
    """The data of every event of one answer, "[DONE]" as it stands."""
    body = {"model": MODEL_ID, "messages": [{"role": "user", "content": "q"}], "stream": True}
    lines = httpx.post(f"{gateway.url}/v1/chat/completions", json=body).text.splitlines()
    data = [line.removeprefix("data: ") for line in lines if line]
    return [one if one == "[DONE]" else json.loads(one) for one in data]


def test_gateway_streams_role_and_hits_then_deltas_then_annotations_then_done() -> None:
    with FakeGateway() as gateway:
        first, *deltas, last, done = ask(gateway)
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert first["retrieval"]["hits"] == list(HITS)
    assert (
        "".join(one["choices"][0]["delta"]["content"] for one in deltas)
        == "Run `repair_antennas` after global routing [1]."
    )
    assert last["choices"][0]["finish_reason"] == "stop"
    assert [annotation["number"] for annotation in last["choices"][0]["delta"]["annotations"]] == [1]
    assert done == "[DONE]"


def test_gateway_records_every_question() -> None:
    with FakeGateway() as gateway:
        ask(gateway)
        assert [request["messages"][-1]["content"] for request in gateway.requests] == ["q"]


def test_gateway_sends_the_error_event_amid_the_answer_and_no_done() -> None:
    with FakeGateway(Script(error_after=2)) as gateway:
        *_, before, last = ask(gateway)
    assert "choices" in before
    assert last["error"]["code"] == "upstream_error"


def test_gateway_cuts_the_connection_without_an_end() -> None:
    with FakeGateway(Script(cut_after=1)) as gateway:
        assert len(ask(gateway)) == 2


def test_gateway_holds_an_answer_until_it_is_released() -> None:
    with FakeGateway(Script(hold_after=1)) as gateway, ThreadPoolExecutor() as pool:
        answer = pool.submit(ask, gateway)
        with pytest.raises(FuturesTimeout):
            answer.result(timeout=0.3)
        gateway.release()
        assert answer.result(timeout=5)[-1] == "[DONE]"


def test_gateway_refuses_in_the_envelope_of_openai() -> None:
    with FakeGateway(Script(refusal=Refusal(503, "engine_unavailable", "starting", {"Retry-After": "7"}))) as gateway:
        response = httpx.post(f"{gateway.url}/v1/chat/completions", json={})
    assert (response.status_code, response.headers["retry-after"]) == (503, "7")
    assert response.json()["error"] == {
        "message": "starting",
        "type": "server_error",
        "param": None,
        "code": "engine_unavailable",
    }


def test_gateway_names_a_stream_by_its_request_id() -> None:
    with FakeGateway(Script(request_id="req-7")) as gateway:
        assert (
            httpx.post(f"{gateway.url}/v1/chat/completions", json={"messages": []}).headers["x-request-id"] == "req-7"
        )


def test_gateway_with_a_key_refuses_whoever_lacks_it() -> None:
    with FakeGateway(Script(key="right")) as gateway:
        assert httpx.get(f"{gateway.url}/v1/models").status_code == 401
        assert httpx.get(f"{gateway.url}/v1/models", headers={"Authorization": "Bearer right"}).status_code == 200


def test_gateway_answers_an_unknown_path_with_404() -> None:
    with FakeGateway() as gateway:
        assert httpx.get(f"{gateway.url}/nothing").status_code == 404
        assert httpx.get(f"{gateway.url}/health").json() == {"status": "ok"}


def test_stopped_gateway_refuses_connections_and_comes_back_at_its_port() -> None:
    with FakeGateway() as gateway:
        url = gateway.url
        gateway.stop()
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/ready")
        gateway.start()
        assert gateway.url == url
        assert httpx.get(f"{url}/ready").json()["status"] == "ready"
