"""What the engine is given beside the prompt: names that it may write, and that it shall not run in circles."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from rag.answering.grammar import MOST_NAMES
from serve.answers.guidance import GRAMMAR, REPEATED, REPETITION, guide
from serve.protocol import parse_chat_request
from serve.settings import ServeSettings
from serve.strict_json import write_json
from tests.conftest import Gateway
from tests.fake_engine import EngineScript, FakeEngine
from tests.rows import for_each

QUESTION = "Which command repairs antenna violations?"
CHAT = "/v1/chat/completions"


def ask(url: str, **fields: Any) -> httpx.Response:
    """One question to a gateway, or the `messages` given."""
    body = {"messages": [{"role": "user", "content": QUESTION}], "retrieval": {"answer": "model"}, **fields}
    return httpx.post(url + CHAT, json=body, trust_env=False)


def wait_for(is_so: Callable[[], bool]) -> None:
    """Return once it is so."""
    end = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def abilities(url: str) -> Any:
    """What the gateway says of its engine."""
    return httpx.get(f"{url}/v1/models", trust_env=False).json()["data"][0]["guidance"]


def guided(settings: ServeSettings | None = None, text: str = "Use read_me.", **fields: Any) -> dict[str, Any]:
    """The guidance of a request whose body has this text."""
    messages = [{"role": "user", "content": text}]
    request = parse_chat_request(write_json({"messages": messages, **fields}))
    return guide(request, {"messages": messages}, lambda name: frozenset(), settings or ServeSettings())


def test_the_engine_is_sent_a_grammar_of_the_names_in_passages_and_question(
    engine: FakeEngine, fresh_gateway: str
) -> None:
    answer = ask(fresh_gateway, messages=[{"role": "user", "content": QUESTION + " Not read_me?"}])
    assert answer.status_code == 200
    grammar = engine.bodies[0][GRAMMAR]["grammar"]
    assert '"repair_antennas"' in grammar
    assert '"read_me"' in grammar
    assert "detailed_route" not in grammar
    assert engine.bodies[0][REPETITION] == REPEATED


@for_each(
    "own",
    [
        {"response_format": {"type": "json_object"}},
        {"structured_outputs": {"choice": ["a", "b"]}},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"guided_json": {}},
    ],
)
def test_a_request_with_rules_of_its_own_is_left_alone(own: dict[str, Any]) -> None:
    assert guided(**own) == {}


def test_settings_and_the_request_decide_what_is_sent() -> None:
    assert guided().keys() == {GRAMMAR, REPETITION}
    assert guided(ServeSettings(grammar="off")).keys() == {REPETITION}
    assert guided(ServeSettings(repetition_detection="off")).keys() == {GRAMMAR}
    assert guided(repetition_detection=None, response_format={"type": "text"}).keys() == {GRAMMAR}
    assert guided(retrieval={"enabled": False}).keys() == {REPETITION}
    assert guided(retrieval={"enabled": False, "grammar": True}).keys() == {GRAMMAR, REPETITION}
    assert guided(retrieval={"grammar": False}).keys() == {REPETITION}


def test_more_names_than_a_grammar_holds_are_asked_without_one() -> None:
    assert guided(text=" ".join(f"a_{number}" for number in range(MOST_NAMES + 1))).keys() == {REPETITION}


def test_a_command_in_a_korean_question_may_be_said() -> None:
    assert '"repair_antennas"' in guided(text="repair_antennas를 어떻게 쓰나요?")[GRAMMAR]["grammar"]


def test_what_the_engine_can_do_is_found_out_once_and_reported(engine: FakeEngine, fresh_gateway: str) -> None:
    assert abilities(fresh_gateway) == {"grammar": "unknown", "repetition_detection": "unknown"}
    ask(fresh_gateway)
    wait_for(lambda: abilities(fresh_gateway) == {"grammar": "obeyed", "repetition_detection": "obeyed"})
    assert engine.probes
    engine.probes.clear()
    ask(fresh_gateway)
    ask(fresh_gateway)
    assert not engine.probes


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize(
    ("refused", "expected"),
    [
        ((GRAMMAR,), {"grammar": "refused", "repetition_detection": "unknown"}),
        ((REPETITION,), {"grammar": "obeyed", "repetition_detection": "refused"}),
        ((GRAMMAR, REPETITION), {"grammar": "refused", "repetition_detection": "refused"}),
    ],
)
def test_a_refusal_of_guidance_costs_no_answer(
    engine: FakeEngine, fresh_gateway: str, refused: tuple[str, ...], expected: dict[str, str], is_stream: bool
) -> None:
    engine.script = replace(engine.script, refuses=refused)
    answer = ask(fresh_gateway, stream=is_stream)
    assert answer.status_code == 200
    assert "repair_antennas" in answer.text
    assert "error" not in answer.text
    ask(fresh_gateway)
    wait_for(lambda: abilities(fresh_gateway) == expected)
    engine.bodies.clear()
    ask(fresh_gateway)
    (sent,) = engine.bodies
    assert not set(refused) & set(sent), "what is refused is not sent again"


def test_what_the_engine_ignores_is_not_sent_any_more(engine: FakeEngine, fresh_gateway: str) -> None:
    engine.script = EngineScript(ignores=(GRAMMAR,))
    ask(fresh_gateway)
    wait_for(lambda: abilities(fresh_gateway)["grammar"] == "ignored")
    ask(fresh_gateway)
    assert GRAMMAR in engine.bodies[0]
    assert GRAMMAR not in engine.bodies[1]


def test_an_engine_that_another_one_replaces_is_asked_anew(
    engine: FakeEngine, fresh_gateway: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.script = EngineScript(ignores=(GRAMMAR, REPETITION))
    ask(fresh_gateway)
    wait_for(lambda: abilities(fresh_gateway)["grammar"] == "ignored")
    engine.script = EngineScript()
    monkeypatch.setattr("serve.answers.guidance.LOOKED_AT_S", 0.0)
    ask(fresh_gateway)
    wait_for(lambda: abilities(fresh_gateway)["grammar"] == "obeyed")


@pytest.mark.parametrize("is_stream", [False, True])
def test_what_the_request_itself_gets_refused_for_is_said_as_ever(
    engine: FakeEngine, fresh_gateway: str, is_stream: bool
) -> None:
    engine.script = EngineScript(refusal=(400, "temperature must be below 2"))
    answer = ask(fresh_gateway, stream=is_stream)
    assert answer.status_code == 400
    assert "temperature" in answer.json()["error"]["message"]


def test_an_answer_that_the_engine_ended_as_repetition_stops_for_clients(engine: FakeEngine, gateway: str) -> None:
    choice = {
        "index": 0,
        "delta": {"content": "so so"},
        "finish_reason": "repetition",
        "stop_reason": "repetition_detected",
    }
    engine.script = EngineScript(
        chunks=({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]},),
        whole={"choices": [{"message": {"content": "so so"}, "finish_reason": "repetition"}]},
    )
    assert ask(gateway).json()["choices"][0]["finish_reason"] == "stop"
    assert '"finish_reason":"stop"' in ask(gateway, stream=True).text.replace(" ", "")


def test_with_guidance_off_the_engine_is_sent_none_and_never_asked(gateway_at: Gateway, engine: FakeEngine) -> None:
    with gateway_at(engine.url, grammar="off", repetition_detection="off") as url:
        assert ask(url).status_code == 200
        assert abilities(url) == {"grammar": "off", "repetition_detection": "off"}
    assert not {GRAMMAR, REPETITION} & set(engine.bodies[0])
    assert not engine.probes
