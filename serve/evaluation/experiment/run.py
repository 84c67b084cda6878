"""Runs an experiment: for each row it makes the model, starts an engine, runs the evaluations and stops the engine.

One engine runs at a time. The user's own commands (`chipalign merge`, `chipalign eval`) do the work, as processes that
end when this one does, even by kill -9. A finished cell is a file and never runs again; an interrupted cell resumes
from its answers. This module measures and reports nothing itself.

    failures = await run_experiment(plan, Path("experiment"), options, settings, say, after_row=write_reports)
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import socket
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from rag.folder_lock import hold_lock
from serve.errors import AlreadyRunning, ExperimentUnusable, ServeError, StepFailed
from serve.evaluation.experiment.plan import (
    Cell,
    Plan,
    Row,
    cell_arguments,
    find_changes,
    model_file,
    question_file,
    result_file,
    write_recipe,
)
from serve.running.step import step
from serve.running.supervisor import Supervisor, find_cause
from serve.running.up import engine_part
from serve.settings import ServeSettings

ALIVE_TIMEOUT_S = 10.0  # an engine that is computing answers its health check at once
Say = Callable[[str], None]
Failures = dict[tuple[str, str], str]  # (row, cell): why


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """How to run.

    concurrency: questions in flight; engine_url: a server that has every row under its name, so that nothing is merged
    or started.
    """

    concurrency: int
    keep_models: bool = False
    engine_url: str = ""


@contextlib.contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Make the experiment's folder and hold it for one run at a time.

    Raises:
        AlreadyRunning
        ExperimentUnusable: it cannot be written.
    """
    taken = AlreadyRunning(f"another run works in {folder}: wait for it, or name another folder with --out")

    def unwritable(error: OSError) -> ExperimentUnusable:
        """The error for a folder that cannot be written."""
        return ExperimentUnusable(f"{folder} cannot be written ({error.strerror}): name another folder with --out")

    with hold_lock(folder / "lock", unwritable, taken):
        yield


def keep_plan(plan: Plan, folder: Path, questions: Mapping[str, bytes]) -> None:
    """Write the plan and its questions, or check that the folder holds the same.

    questions: the content of the question file by evaluation.

    Raises ExperimentUnusable: the folder holds another experiment (names every difference) or something else.
    """
    path, now = folder / "plan.json", plan.describe()
    if path.exists():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
            changes = find_changes(before, now)
        except (ValueError, AttributeError):
            raise ExperimentUnusable(f"{path} is not a plan of an experiment: name another folder with --out") from None
        if changes:
            raise ExperimentUnusable(
                f"{folder} holds another experiment ({'; '.join(changes)}): name another folder with --out, or "
                "remove it"
            )
    for cell in plan.cells:
        write_whole(question_file(folder, cell), questions[cell.evaluation])
    write_whole(path, _to_json(now))


async def run_experiment(
    plan: Plan,
    folder: Path,
    options: RunOptions,
    settings: ServeSettings,
    say: Say,
    after_row: Callable[[Failures], None],
) -> Failures:
    """Measure every cell that is not finished; returns the cells that could not be measured, with the reason.

    It calls `after_row` with the failures so far.
    """
    failures: Failures = {}
    for number, row in enumerate(plan.rows, start=1):
        missing = [cell for cell in plan.cells if not result_file(folder, row, cell).is_file()]
        if missing:
            say(
                f"row {number} of {len(plan.rows)}, {row.name}: {', '.join(cell.name for cell in missing)} to "
                f"measure{describe_left(plan, folder)}"
            )
            failures |= await run_row(row, missing, plan, folder, options, settings, say)
        else:
            say(f"row {number} of {len(plan.rows)}, {row.name}: finished before")
        if not options.keep_models and not any(name == row.name for name, _ in failures):
            shutil.rmtree(_model_dir(folder, row), ignore_errors=True)
        after_row(failures)
    return failures


async def run_row(
    row: Row, missing: Sequence[Cell], plan: Plan, folder: Path, options: RunOptions, settings: ServeSettings, say: Say
) -> Failures:
    """Measure a row's cells; if the model cannot be made or served, all fail."""
    env = settings.child_env()
    try:
        if options.engine_url:
            return await _run_cells(row, missing, folder, options.engine_url, options.concurrency, env, say)

        started = time.monotonic()
        merged = await _make_model(row, plan, folder, env)
        port = find_free_port()
        served = dataclasses.replace(
            settings, engine_port=port, engine_url="", checkpoint=str(_model_dir(folder, row)), model_id=row.name
        )
        unlocked = {**env, "CHIPALIGN_ENGINE_KEY": ""}  # the evaluations ask this engine of ours without a key
        part = dataclasses.replace(engine_part(served, unlocked), log_path=folder / "logs" / f"{row.name}-engine.log")

        async with Supervisor(lambda state: None, settings.start_timeout_s) as supervisor:
            supervisor.start(part)
            await supervisor.wait_ready()
            ready_s = time.monotonic() - started
            write_whole(model_file(folder, row), _to_json({"merge": merged, "ready_s": round(ready_s, 1)}))
            say(f"{row.name}: the engine is ready after {ready_s:.0f} s")
            return await _run_cells(
                row, missing, folder, served.engine_base_url, options.concurrency, env, say, part.log_path
            )
    except ServeError as error:
        say(f"{row.name}: {error}")
        return {(row.name, cell.name): str(error) for cell in missing}


async def _make_model(row: Row, plan: Plan, folder: Path, env: Mapping[str, str]) -> dict[str, Any]:
    """Merge a row's model from a recipe written beside it; the command finds an existing merge by content."""
    recipe = folder / "models" / f"{row.name}.toml"
    write_whole(recipe, write_recipe(plan, row).encode("utf-8"))
    return await step(
        ["merge", str(recipe), "--out", str(_model_dir(folder, row))], env, folder / "logs" / f"{row.name}-merge.log"
    )


async def _run_cells(
    row: Row,
    cells: Sequence[Cell],
    folder: Path,
    url: str,
    concurrency: int,
    env: Mapping[str, str],
    say: Say,
    engine_log: Path | None = None,
) -> Failures:
    """Measure cell by cell; after a failure it tries the next one only if the engine still answers."""
    failures: Failures = {}
    result_file(folder, row, cells[0]).parent.mkdir(parents=True, exist_ok=True)
    for number, cell in enumerate(cells):
        started = time.monotonic()
        try:
            log_path = folder / "logs" / f"{row.name}-{cell.name}.log"
            document = await step(cell_arguments(cell, row, folder, url, concurrency), env, log_path)
        except StepFailed as error:
            say(f"{row.name}, {cell.name}: {error}")
            failures[row.name, cell.name] = str(error)
            if not await is_alive(url):
                cause = find_cause(engine_log) if engine_log else f"nothing answers at {url}"
                return failures | {(row.name, cell.name): f"the engine ended: {cause}" for cell in cells[number:]}
        else:
            seconds = time.monotonic() - started
            write_whole(result_file(folder, row, cell), _to_json({**document, "wall_s": round(seconds, 1)}))
            say(f"{row.name}, {cell.name}: done in {seconds:.0f} s")
    return failures


async def is_alive(url: str) -> bool:
    """Whether the server at the URL still answers."""
    try:
        async with httpx.AsyncClient(timeout=ALIVE_TIMEOUT_S, trust_env=False) as client:
            return (await client.get(f"{url}/v1/models")).status_code == 200
    except httpx.HTTPError:
        return False


def describe_left(plan: Plan, folder: Path) -> str:
    """How long the remaining cells will take, by the time of each kind so far; empty before a row is finished."""
    walls: dict[str, list[float]] = {}
    left: dict[str, int] = {}
    for row in plan.rows:
        for cell in plan.cells:
            path = result_file(folder, row, cell)
            if path.is_file():
                walls.setdefault(cell.name, []).append(float(read_json(path)["wall_s"]))
            else:
                left[cell.name] = left.get(cell.name, 0) + 1
        starting = model_file(folder, row)
        if starting.is_file():
            walls.setdefault("", []).append(float(read_json(starting)["ready_s"]))
        else:
            left[""] = left.get("", 0) + 1
    if not set(left) - {""} <= set(walls):
        return ""
    minutes = sum(statistics.mean(walls.get(name, [0.0])) * count for name, count in left.items()) / 60
    return f"; about {minutes / 60:.1f} h left" if minutes >= 90 else f"; about {minutes:.0f} min left"


def read_json(path: Path) -> dict[str, Any]:
    """A file that this program wrote whole."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it exists with all its content or not at all.

    Raises ExperimentUnusable: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_name(f"{path.name}.part")
        with half.open("wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        half.replace(path)
    except OSError as error:
        raise ExperimentUnusable(
            f"{path} cannot be written ({error.strerror}): make room and start this again"
        ) from None


def _to_json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1).encode("utf-8") + b"\n"


def _model_dir(folder: Path, row: Row) -> Path:
    return folder / "models" / row.name


def find_free_port() -> int:
    """A port of this machine that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
