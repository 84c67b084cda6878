"""The run's own parts: files that are whole or not there, one run per folder, commands with their last word, and the
time that is left.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from serve.errors import AlreadyRunning, ExperimentUnusable, StepFailed
from serve.evaluation.experiment.plan import Row, model_file, question_file, result_file
from serve.evaluation.experiment.run import (
    describe_left,
    find_free_port,
    hold_folder,
    is_alive,
    keep_plan,
    read_json,
    write_whole,
)
from serve.running.step import step
from serve.running.up import is_free
from serve.settings import ServeSettings
from tests.fake_openai import FakeOpenAI
from tests.test_serve_evaluation_experiment_plan import CELLS, make_plan

QUESTIONS = {"qa": b"{}\n", "ifeval": b"{}\n{}\n"}


def test_a_folder_serves_one_run_at_a_time(tmp_path: Path) -> None:
    with (
        hold_folder(tmp_path / "new"),
        pytest.raises(AlreadyRunning, match="another run works in"),
        hold_folder(tmp_path / "new"),
    ):
        pass
    with hold_folder(tmp_path / "new"):
        pass


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ExperimentUnusable, match="cannot be written"), hold_folder(tmp_path / "file"):
        pass


def test_a_plan_is_kept_with_its_questions_and_found_again(tmp_path: Path) -> None:
    plan = make_plan()
    keep_plan(plan, tmp_path, QUESTIONS)
    assert read_json(tmp_path / "plan.json") == plan.describe()
    assert question_file(tmp_path, CELLS[1]).read_bytes() == b"{}\n{}\n"
    keep_plan(plan, tmp_path, QUESTIONS)
    with pytest.raises(ExperimentUnusable, match=r"rows\.chip\.name was 'chip' and is not there"):
        keep_plan(make_plan(rows=plan.rows[:1]), tmp_path, QUESTIONS)


@pytest.mark.parametrize("text", ["{", "[]", '"x"'])
def test_a_folder_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(ExperimentUnusable, match="is not a plan of an experiment"):
        keep_plan(make_plan(), tmp_path, QUESTIONS)


def test_a_file_is_written_whole_and_its_half_is_never_taken_for_it(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.json"
    write_whole(path, b"one")
    write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert [file.name for file in path.parent.iterdir()] == ["b.json"]
    with pytest.raises(ExperimentUnusable, match="cannot be written"):
        write_whole(path / "c.json", b"three")


def test_a_command_gives_its_document_and_keeps_its_words_in_a_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    env = ServeSettings(home=tmp_path).child_env()
    assert asyncio.run(step(["corpus", "list"], env, tmp_path / "logs" / "list.log"))["corpora"]
    log = tmp_path / "logs" / "fetch.log"
    with pytest.raises(StepFailed, match=r"none-such.*fetch\.log"):
        asyncio.run(step(["corpus", "fetch", "none-such"], env, log))
    assert "none-such" in log.read_text()
    assert "none-such" in capsys.readouterr().err


def test_a_server_is_alive_while_it_answers() -> None:
    with FakeOpenAI(lambda path, body: (200, {})) as server:
        assert asyncio.run(is_alive(server.url))
    assert not asyncio.run(is_alive(server.url))


def test_the_port_is_free() -> None:
    assert is_free("127.0.0.1", find_free_port())


def test_the_time_left_is_shown_once_every_kind_of_cell_was_measured(tmp_path: Path) -> None:
    plan = make_plan()
    first, second = plan.rows[:2]
    finish(tmp_path, first, 0, 60.0)
    assert describe_left(plan, tmp_path) == ""
    finish(tmp_path, first, 1, 120.0)
    write_whole(model_file(tmp_path, first), json.dumps({"ready_s": 60.0}).encode())
    assert describe_left(plan, tmp_path) == "; about 16 min left"  # four rows of 1 + 1 + 2 minutes
    finish(tmp_path, second, 0, 60.0 * 63)
    assert describe_left(plan, tmp_path) == "; about 1.8 h left"  # 3 x 32 + 4 x (1 + 2) minutes


def finish(folder: Path, row: Row, cell: int, seconds: float) -> None:
    write_whole(result_file(folder, row, CELLS[cell]), json.dumps({"wall_s": seconds}).encode())
