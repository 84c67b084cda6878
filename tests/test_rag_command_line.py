"""rag.command_line: what `python -m` starts ends with an exit code, and an error of ours is one line."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from rag.command_line import run_module
from rag.errors import IndexNotFound, RagError
from tests.rows import for_each

MODULES = (
    "rag.measuring.embed_bench",
    "rag.measuring.growth_bench",
    "rag.training.few_passages_fit",
    "rag.training.relevance_fit",
    "rag.training.scoring_fit",
    "rag.training.support_fit",
    "serve.evaluation.answers.reference_check",
)


def main_of(module: str) -> Callable[[list[str]], int]:
    main: Callable[[list[str]], int] = import_module(module).main
    return main


@for_each("module", MODULES)
def test_a_module_that_is_run_has_help(module: str) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main_of(module)(["--help"])


@for_each(
    ("module", "files"),
    [
        ("rag.measuring.embed_bench", 1),
        ("rag.training.few_passages_fit", 2),
        ("rag.training.relevance_fit", 2),
        ("rag.training.scoring_fit", 2),
        ("rag.training.support_fit", 1),
        ("serve.evaluation.answers.reference_check", 1),
    ],
)
def test_a_module_that_is_run_names_a_missing_input(module: str, files: int, tmp_path: Path) -> None:
    with pytest.raises(RagError, match="nowhere"):
        main_of(module)([str(tmp_path / "nowhere")] * files)


def test_an_error_of_ours_is_one_line_and_any_other_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(argv: list[str]) -> int:
        raise IndexNotFound("no index in here\x1b: build one")

    with pytest.raises(SystemExit, match=r"^2$"):
        run_module(fail)
    assert capsys.readouterr().err.endswith(": no index in here\\x1b: build one\n")
    with pytest.raises(ZeroDivisionError):
        run_module(lambda argv: 1 // 0)
    with pytest.raises(SystemExit, match=r"^3$"):
        run_module(lambda argv: 3)
