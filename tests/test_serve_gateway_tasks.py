"""Tasks on the caller's own text reach the engine as they are, over a real socket; questions are searched without what
they say of the form.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from serve.answers.guidance import GRAMMAR
from tests.conftest import Gateway
from tests.fake_engine import ENGINE_MODEL, EngineScript, FakeEngine

QUESTION = "Which command fixes antenna violations?"
SOUP = "What is the best recipe for tomato soup?"
HISTORY = f"<history>\nUSER: {QUESTION}\nASSISTANT: repair_antennas inserts diodes [1].\n</history>"
TITLE_SYSTEM = "Provide a concise, 5-word-or-less title for the conversation. Only return the title itself."
PERSON = {
    "type": "json_schema",
    "json_schema": {"name": "p", "schema": {"type": "object", "properties": {"name": {"type": "string"}}}},
}


def user(content: str, system: str = "") -> list[dict[str, str]]:
    told = [{"role": "system", "content": system}] if system else []
    return [*told, {"role": "user", "content": content}]


TASKS: dict[str, dict[str, Any]] = {
    "extraction as JSON": {
        "messages": user("Extract the person: John is 30 years old."),
        "response_format": PERSON,
    },
    "translation": {"messages": user("Translate to German: The meeting is at ten.")},
    "translation of a question": {"messages": user(f"Translate to German: {QUESTION}")},
    "title by system": {"messages": user(f"User: {QUESTION}\nAI: repair_antennas.", TITLE_SYSTEM)},
    "title of a page": {"messages": user(f'### Task\nWrite a heading.\nJSON only: {{"title": "..."}}\n{HISTORY}')},
    "tags": {"messages": user(f'### Task\nGive one to three tags.\nJSON only: {{"tags": []}}\n{HISTORY}')},
    "follow-ups": {"messages": user(f"Suggest three questions that the user may ask next.\n{HISTORY}")},
    "search queries": {"messages": user(f'Decide whether a search is needed. JSON: {{"queries": []}}\n{HISTORY}')},
    "autocomplete": {"messages": user("Go on with the text, ten words at most.\n<text>How do I set the core</text>")},
    "commit message": {"messages": user("Write a git commit message for this diff:\n\n- return a - b\n+ return a + b")},
    "edit": {"messages": user("fix add()", "Act as an expert developer. ONLY RETURN *SEARCH/REPLACE* blocks.")},
    "summary": {"messages": user("Summarize: The board met on Friday. The line opens in May.")},
}
OWN_CONTEXT: dict[str, dict[str, Any]] = {
    "around the query": {
        "messages": user(
            '### Task:\nRespond to the user query using the provided context.\n<context><source id="1" name="hr.md">'
            "Leave is 30 days a year.</source></context>\n<user_query>How many days of leave do I have?</user_query>"
        )
    },
    "before the question": {
        "messages": user(
            '<context>\n<source id="1" name="ring.txt">The pad ring of Alder has 64 pads.</source>\n</context>\n\n'
            "How many pads has chip Alder?",
            "Answer from the sources in <context>, cite them as [id].",
        )
    },
}


def post(url: str, body: dict[str, Any], **more: Any) -> httpx.Response:
    return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=20, **more)


@pytest.fixture(scope="module", params=["model", "auto", "quote"])
def any_gateway(gateway_at: Gateway, shared_engine: FakeEngine, request: pytest.FixtureRequest) -> Iterator[str]:
    """A gateway that answers in each of the three ways."""
    with gateway_at(shared_engine.url, answer=request.param) as url:
        yield url


@pytest.mark.parametrize("name", [*TASKS, *OWN_CONTEXT])
def test_a_task_goes_to_the_engine_as_it_is_and_comes_back_with_no_passage(
    any_gateway: str, engine: FakeEngine, name: str
) -> None:
    body = {**TASKS, **OWN_CONTEXT}[name]
    engine.script = EngineScript(answer=("Done, ", "as wanted [1]."))
    answer = post(any_gateway, body).json()
    message, retrieval = answer["choices"][0]["message"], answer["retrieval"]
    assert message["content"] == "Done, as wanted [1]."  # the client's own numbers stay
    assert message["annotations"] == []
    assert (retrieval["hits"], retrieval["quotes"], retrieval["query"]) == ([], [], None)
    assert retrieval["not_searched"] == ("own_context" if name in OWN_CONTEXT else "task")
    assert engine.bodies[-1]["messages"] == body["messages"]
    assert GRAMMAR not in engine.bodies[-1]


def test_a_task_streams_as_it_is(any_gateway: str, engine: FakeEngine) -> None:
    engine.script = EngineScript(answer=("Done, ", "as wanted [1]."))
    text = post(any_gateway, {**TASKS["tags"], "stream": True}).text
    events = [json.loads(event[6:]) for event in text.strip().split("\n\n")[:-1]]
    assert "".join(event["choices"][0]["delta"].get("content") or "" for event in events) == "Done, as wanted [1]."
    assert events[0]["retrieval"]["not_searched"] == "task"
    assert events[-1]["choices"][0]["delta"]["annotations"] == []


def test_tasks_count_as_no_search(fresh_gateway: str) -> None:
    for body in (*TASKS.values(), *OWN_CONTEXT.values()):
        assert post(fresh_gateway, body).status_code == 200
    counted = httpx.get(f"{fresh_gateway}/metrics").text
    assert "chipalign_searches_total{" not in counted
    assert "chipalign_nothing_found_total 0.0" in counted


def test_a_task_needs_the_engine_where_the_documents_answer(gateway_at: Gateway) -> None:
    with gateway_at("http://127.0.0.1:9", answer="quote") as url:
        assert post(url, TASKS["translation"]).status_code == 503
        assert post(url, {"messages": user(QUESTION)}).status_code == 200


@pytest.mark.parametrize(
    ("more", "headers"),
    [
        ({"retrieval": {"enabled": True}}, {}),
        ({}, {"x-chipalign-retrieval": "on"}),
        ({"model": f"{ENGINE_MODEL}-plain"}, {"x-chipalign-retrieval": "on"}),
    ],
)
def test_who_asks_for_a_search_gets_one_whatever_it_is_about(
    gateway: str, more: dict[str, Any], headers: dict[str, str]
) -> None:
    retrieval = post(gateway, {"messages": user(f"Translate to German: {QUESTION}"), **more}, headers=headers).json()[
        "retrieval"
    ]
    assert (retrieval["enabled"], retrieval["not_searched"]) == (True, None)
    assert retrieval["hits"][0]["title"] == "Antenna repair"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"messages": user("hello")}, "no_question"),
        ({"messages": user(QUESTION), "retrieval": {"enabled": False}}, "off"),
        ({"messages": user(QUESTION), "model": f"{ENGINE_MODEL}-plain"}, "off"),
        ({"messages": user(QUESTION)}, None),
        ({"messages": user(SOUP)}, None),
    ],
)
def test_an_answer_says_why_nothing_was_searched(gateway: str, body: dict[str, Any], reason: str | None) -> None:
    assert post(gateway, body).json()["retrieval"]["not_searched"] == reason


# Questions that say something of the form


@pytest.mark.parametrize(
    "form",
    [
        "Reply as JSON with the key command.",
        'Return only JSON: {"command": "..."}',
        "Answer in one sentence.",
        "Be brief, in German please.",
        'Respond with a JSON object that matches this JSON schema:\n{"type": "object"}',
    ],
)
def test_what_a_question_says_of_the_form_is_not_searched_but_stays_in_the_prompt(
    any_gateway: str, engine: FakeEngine, form: str
) -> None:
    retrieval = post(any_gateway, {"messages": user(f"{QUESTION} {form}")}).json()["retrieval"]
    assert retrieval["query"] == QUESTION
    assert retrieval["hits"][0]["title"] == "Antenna repair"
    if engine.bodies:
        assert form in engine.bodies[-1]["messages"][-1]["content"]


def test_json_that_is_asked_for_in_words_is_the_models_to_write(any_gateway: str, engine: FakeEngine) -> None:
    engine.script = EngineScript(answer=('{"command": ', '"repair_antennas"}'))
    body = {"messages": user(f"{QUESTION} Reply as JSON with the key command.")}
    message = post(any_gateway, body).json()["choices"][0]["message"]
    assert json.loads(message["content"]) == {"command": "repair_antennas"}


def test_a_question_in_an_agents_wrapping_is_searched_without_it(gateway: str) -> None:
    wrapped = f"<task>\n{QUESTION}\n</task>\n<environment_details>\n# Open tabs\ncts.tcl\n</environment_details>"
    assert post(gateway, {"messages": user(wrapped)}).json()["retrieval"]["query"] == QUESTION
