"""`chipalign doctor` names what is missing and how to get it, and its exit code says whether `up` would run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from serve.running.doctor import Finding, examine, report_json, report_text, version_of, would_run
from serve.settings import ServeSettings
from tests.fake_engine import FakeEngine


def test_this_environment_has_everything_that_is_needed(tmp_path: Path) -> None:
    findings = {finding.what: finding for finding in examine(ServeSettings(home=tmp_path))}
    assert would_run(list(findings.values()))
    assert "torch" in findings["merge"].detail
    assert not findings["model"].ok  # an empty home
    assert "merges it" in findings["model"].advice


def test_a_checkpoint_or_an_engine_of_the_users_own_is_judged_as_such(tmp_path: Path) -> None:
    with FakeEngine() as engine:
        settings = ServeSettings(home=tmp_path, checkpoint=str(tmp_path), engine_url=engine.url)
        findings = {finding.what: finding for finding in examine(settings)}
    assert (findings["engine"].ok, findings["engine"].detail) == (True, f"your own at {engine.url}")
    assert "CHIPALIGN_CHECKPOINT" in findings["model"].advice
    assert not would_run(list(findings.values()))


def test_an_engine_that_does_not_answer_is_said_and_hinders_nothing(tmp_path: Path) -> None:
    findings = examine(ServeSettings(home=tmp_path, engine_url="http://127.0.0.1:9"))
    [engine] = [finding for finding in findings if finding.what == "engine"]
    assert (engine.ok, engine.needed) == (False, False)
    assert engine.detail == "your own at http://127.0.0.1:9 does not answer (Connection refused)"
    assert "correct CHIPALIGN_ENGINE_URL" in engine.advice


def test_a_store_that_does_not_answer_is_missing_and_its_password_is_not_shown(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    for url in ("postgresql://user:hunter2@127.0.0.1:1/none", "postgresql://user:hunter2@127.0.0.1/a?nonsense=1"):
        findings = examine(ServeSettings(home=tmp_path, store_url=url))
        [store] = [finding for finding in findings if finding.what == "store"]
        assert (store.ok, store.needed) == (False, True)
        assert "CHIPALIGN_STORE_URL" in store.advice
        assert "hunter2" not in report_text(findings)
    [file] = [finding for finding in examine(ServeSettings(home=tmp_path)) if finding.what == "store"]
    assert (file.ok, file.detail) == (True, str(tmp_path / "store.db"))


def test_what_is_needed_and_missing_is_marked_and_advised() -> None:
    findings = [
        Finding("engine", False, "none", "run `make up`"),
        Finding("gpu", False, "none", needed=False),
        Finding("python", True, "3.11"),
    ]
    text = report_text(findings)
    assert text.splitlines()[0].startswith("MISSING  engine")
    assert "-> run `make up`" in text
    assert text.splitlines()[1].startswith("absent ")
    assert not would_run(findings)
    assert would_run(findings[1:])


def test_a_home_that_is_not_there_yet_is_judged_by_the_folder_above(tmp_path: Path) -> None:
    (home,) = [finding for finding in examine(ServeSettings(home=tmp_path / "a" / "b")) if finding.what == "home"]
    assert home.ok
    assert not (tmp_path / "a").exists()


def test_the_command_writes_one_json_document(tmp_path: Path) -> None:
    env = {**os.environ, "CHIPALIGN_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "chipalign", "doctor", "--json"], env=env, capture_output=True, text=True, check=False
    )
    document = json.loads(done.stdout)
    assert (done.returncode, document["would_run"]) == (0, True)


def test_a_report_as_json_says_the_same_as_its_lines() -> None:
    findings = [Finding("engine", False, "none: ü", "run `make up`"), Finding("gpu", False, "none", needed=False)]
    document = json.loads(report_json(findings))
    assert document["would_run"] is False
    assert [Finding(**each) for each in document["findings"]] == findings
    assert json.loads(report_json([])) == {"would_run": True, "findings": []}


def test_no_file_name_steers_the_terminal_that_shows_a_report() -> None:
    [line] = report_text([Finding("index", True, "/home/\x1b[2J\n/x\u202e")]).splitlines()
    assert line.isprintable()
    assert line.startswith("ok       index")


def test_a_package_that_is_not_installed_has_no_version() -> None:
    assert version_of("pytest")
    assert version_of("no-such-package-of-ours") == ""
