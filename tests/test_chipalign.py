"""The command's table: every command in it exists, help is quick to import, errors are one line."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import chipalign
from tests.rows import for_each


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "chipalign", *arguments], capture_output=True, text=True, check=False)


def test_help_lists_every_command_and_each_one_exists() -> None:
    done = run("--help")
    assert done.returncode == 0
    for name, (module, function, _) in chipalign.COMMANDS.items():
        assert f"\n  {name} " in done.stdout
        assert callable(getattr(import_module(module), function))


@for_each("name", [*chipalign.COMMANDS, *(f"eval {name}" for name in chipalign.EVALUATIONS)])
def test_the_help_of_a_command_imports_no_heavy_library(name: str) -> None:
    code = (
        f"import sys, chipalign\ntry: assert chipalign.main([*{name!r}.split(), '--help']) == 0\nexcept SystemExit as "
        "leaving: assert leaving.code == 0\nheavy = {'torch', 'transformers', 'faiss', 'sentence_transformers', "
        "'streamlit', 'openai', 'uvicorn', 'nltk'} & set(sys.modules)\nassert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"usage: chipalign {name}" in done.stdout


def test_an_unknown_command_is_one_line_and_exit_2() -> None:
    done = run("frobnicate")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "'frobnicate'" in done.stderr


def test_eval_lists_every_evaluation_and_each_one_exists() -> None:
    done = run("eval", "--help")
    assert done.returncode == 0
    assert "usage: chipalign eval COMMAND" in done.stdout
    for name, (module, function, _) in chipalign.EVALUATIONS.items():
        assert f"\n  {name} " in done.stdout
        assert callable(getattr(import_module(module), function))


def test_an_unknown_evaluation_is_one_line_and_exit_2() -> None:
    done = run("eval", "frobnicate")
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == f"chipalign eval: there is no command 'frobnicate'; the commands are {', '.join(chipalign.EVALUATIONS)}.\n"
    )


def test_no_command_shows_the_usage_and_exit_2() -> None:
    done = run()
    assert done.returncode == 2
    assert "usage: chipalign COMMAND" in done.stdout


def test_a_wrong_input_is_one_line_and_exit_2() -> None:
    done = run("up", "--page-port", "99999999")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "chipalign up: CHIPALIGN_PAGE_PORT is '99999999': give a whole number from 1 to 65535\n"
