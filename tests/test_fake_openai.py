"""The fake server of the evaluations: it answers as asked to, remembers, and has vLLM's form of likelihoods."""

from __future__ import annotations

import httpx

from tests.fake_openai import MODEL, FakeOpenAI, chat_answer, likelihood_answer


def test_it_answers_as_asked_to_and_remembers_what_was_asked() -> None:
    with FakeOpenAI(lambda path, body: (418, {"path": path, "body": body}), headers={"Retry-After": "3"}) as server:
        answer = httpx.post(f"{server.url}/v1/x", json={"a": 1}, headers={"Authorization": "Bearer k"})
    assert (answer.status_code, answer.json(), answer.headers["retry-after"]) == (
        418,
        {"path": "/v1/x", "body": {"a": 1}},
        "3",
    )
    assert (server.requests, server.keys, server.most_at_once) == ([("/v1/x", {"a": 1})], ["Bearer k"], 1)


def test_it_lists_a_model() -> None:
    with FakeOpenAI(lambda path, body: (200, chat_answer("x"))) as server:
        assert [model["id"] for model in httpx.get(f"{server.url}/v1/models").json()["data"]] == [MODEL]


def test_likelihoods_have_a_value_per_character_but_the_first() -> None:
    answer = likelihood_answer({"prompt": ["ab", "cde"]}, lambda prompt, place: -float(place))
    assert [choice["index"] for choice in answer["choices"]] == [1, 0]
    assert answer["choices"][0]["prompt_token_ids"] == [99, 100, 101]
    assert answer["choices"][0]["prompt_logprobs"] == [
        None,
        {"100": {"logprob": -1.0, "rank": 1}},
        {"101": {"logprob": -2.0, "rank": 1}},
    ]
