"""serve.evaluation.asking.collect: what is kept is not asked again, a refusal names its question, and another
model's answers are another file's.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from serve.evaluation.asking.client import Endpoint, Model
from serve.evaluation.asking.collect import Job, collect, describe_job, name_answers
from serve.evaluation.errors import AnswersUnusable, ContextExceeded, EndpointUnreachable
from tests.conftest import free_port
from tests.fake_openai import MODEL, FakeOpenAI

ITEMS: dict[int | str, str] = {1: "one", "b": "two", 3: "three"}


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    path = tmp_path / "q.jsonl"
    path.write_text("questions")
    return path


def job(questions: Path, url: str, **changes: Any) -> Job:
    values: dict[str, Any] = {
        "model_id": None,
        "api_key": "",
        "concurrency": 1,
        "answers": None,
        "parameters": {"max_tokens": 5},
        "fields": ("text",),
    }
    return Job("ifeval", questions, url, **values | changes)


async def ask(endpoint: Endpoint, model: Model, item: str) -> dict[str, Any]:
    return {"text": (await endpoint.post("/v1/x", {"model": model.model_id, "text": item}))["text"]}


def shout(path: str, body: dict[str, Any]) -> tuple[int, Any]:
    return 200, {"text": body["text"].upper()}


def test_all_are_asked_once_and_kept_for_the_next_time(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeOpenAI(shout) as server:
        first = collect(job(questions, server.url), ITEMS, ask, tmp_path / "home")
        second = collect(
            job(questions, server.url, concurrency=9), dict(reversed(ITEMS.items())), ask, tmp_path / "home"
        )
        assert len(server.requests) == 3
    assert {key: row["text"] for key, row in first.rows.items()} == {1: "ONE", "b": "TWO", 3: "THREE"}
    assert (first.resumed, second.resumed) == (0, 3)
    assert first.rows == second.rows
    assert list(second.rows) == [3, "b", 1]
    assert first.answers.parent == tmp_path / "home" / "evaluations"
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "3 there already" in captured.err


def test_more_questions_go_on_from_fewer(questions: Path, tmp_path: Path) -> None:
    with FakeOpenAI(shout) as server:
        collect(job(questions, server.url), {1: "one"}, ask, tmp_path)
        more = collect(job(questions, server.url), ITEMS, ask, tmp_path)
        fewer = collect(job(questions, server.url), {"b": "two"}, ask, tmp_path)
        assert [body["text"] for _, body in server.requests] == ["one", "two", "three"]
    assert (more.resumed, fewer.resumed, list(fewer.rows)) == (1, 1, ["b"])


def test_a_refusal_names_its_question_and_what_was_answered_stays(questions: Path, tmp_path: Path) -> None:
    refusal = {"error": {"message": "maximum context length is 10 tokens", "code": 400}}
    with FakeOpenAI(lambda path, body: shout(path, body) if body["text"] != "two" else (400, refusal)) as server:
        with pytest.raises(
            ContextExceeded, match=r"^question b: the model's window is too small: maximum context length is 10 tokens$"
        ):
            collect(job(questions, server.url, answers=tmp_path / "a.jsonl"), ITEMS, ask, tmp_path)
        server.answer = shout
        assert collect(job(questions, server.url, answers=tmp_path / "a.jsonl"), ITEMS, ask, tmp_path).resumed == 1


def test_no_server_leaves_no_file(questions: Path, tmp_path: Path) -> None:
    with pytest.raises(EndpointUnreachable):
        collect(job(questions, f"http://127.0.0.1:{free_port()}", answers=tmp_path / "a.jsonl"), ITEMS, ask, tmp_path)
    assert not (tmp_path / "a.jsonl").exists()


def test_answers_of_another_model_are_refused_in_one_file_and_apart_by_default(questions: Path, tmp_path: Path) -> None:
    with FakeOpenAI(shout) as server:
        first = collect(job(questions, server.url, answers=tmp_path / "a.jsonl"), ITEMS, ask, tmp_path)
        server.models = [{"id": MODEL, "root": "/models/y"}]  # the same name for other weights
        with pytest.raises(AnswersUnusable, match=r"/models/x.*and is.*/models/y"):
            collect(job(questions, server.url, answers=tmp_path / "a.jsonl"), ITEMS, ask, tmp_path)
        assert collect(job(questions, server.url), ITEMS, ask, tmp_path).resumed == 0
    assert first.model == Model(MODEL, "/models/x", 8192)


def test_the_settings_are_the_questions_the_model_and_the_parameters(questions: Path) -> None:
    settings = describe_job(job(questions, "http://x"), Model("org/chip model", None, 10))
    assert settings == {
        "evaluation": "ifeval",
        "questions_sha256": hashlib.sha256(b"questions").hexdigest(),
        "model": {"model_id": "org/chip model", "root": None, "max_model_len": 10},
        "max_tokens": 5,
    }
    assert json.loads(json.dumps(settings)) == settings
    name = name_answers(settings)
    assert re.fullmatch(r"ifeval-org-chip-model-[0-9a-f]{12}\.jsonl", name)
    assert name_answers(settings | {"max_tokens": 6}) != name
    assert name_answers({**settings, "model": {"model_id": "../.."}}).startswith("ifeval-model-")


def test_an_answer_without_its_fields_is_reported_by_its_line(questions: Path, tmp_path: Path) -> None:
    with FakeOpenAI(shout) as server:
        collect(job(questions, server.url, answers=tmp_path / "a.jsonl"), ITEMS, ask, tmp_path)
        lines = (tmp_path / "a.jsonl").read_text().splitlines(keepends=True)
        (tmp_path / "a.jsonl").write_text("".join([*lines[:2], '{"key": 9, "ms": 1}\n', *lines[2:]]))
        with pytest.raises(AnswersUnusable, match=r"a\.jsonl, line 3, is not an answer"):
            collect(job(questions, server.url, answers=tmp_path / "a.jsonl"), ITEMS, ask, tmp_path)
