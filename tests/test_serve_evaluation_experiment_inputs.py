"""What an experiment is made from: parents found and known by content, samples of questions, our own questions about
documents.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.sources.questions import read_questions
from serve.errors import ExperimentUnusable
from serve.evaluation.experiment.inputs import (
    find_parents,
    fingerprint,
    join_lines,
    questions_from_choices,
    read_lines,
    sample,
)
from tests.rows import for_each

ROOT = Path(__file__).parent.parent


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    folder = tmp_path / "recipes"
    (folder / "chip").mkdir(parents=True)
    (folder / "chip" / "model.safetensors").write_bytes(b"weights")
    path = folder / "r.toml"
    path.write_text(
        '[merge]\nmethod = "linear"\nlam = 0.1\nname = "x"\nvocab = "union"\n[chip]\nmodel = "chip"\n[chat]\nmodel ='
        ' "org/chat"\n'
    )
    return path


def test_a_recipes_folders_start_at_the_recipe_and_its_method_does_not_count(recipe: Path, tmp_path: Path) -> None:
    parents, decisions = find_parents(recipe, {}, tmp_path)
    assert parents["chip"]["model"] == str(recipe.parent / "chip")
    assert parents["chip"]["model_content"].startswith("sha256 ")
    assert parents["chat"] == {"model": "org/chat", "model_content": "org/chat"}
    assert decisions == {"vocab": "union"}


def test_options_start_at_the_current_folder_and_add_a_base_to_a_recipe(recipe: Path, tmp_path: Path) -> None:
    parents, decisions = find_parents(
        None, {"chip": {"model": "recipes/chip", "adapter": "org/a"}, "chat": {"model": "package:no-such"}}, tmp_path
    )
    assert parents["chip"]["model"] == str(tmp_path / "recipes" / "chip")
    assert parents["chip"]["adapter_content"] == "org/a"
    assert parents["chat"]["model_content"] == "package:no-such"
    assert decisions == {}
    assert find_parents(recipe, {"base": {"model": "org/b"}, "chip": {}}, tmp_path)[0]["base"]["model"] == "org/b"


def test_a_package_is_known_by_its_version() -> None:
    import numpy as np

    assert fingerprint("package:numpy") == f"version {np.__version__}"


def test_other_weights_in_the_same_folder_are_another_content(recipe: Path) -> None:
    folder = recipe.parent / "chip"
    before = fingerprint(str(folder))
    (folder / "notes.txt").write_text("no part of the model")
    assert fingerprint(str(folder)) == before
    (folder / "model.safetensors").write_bytes(b"WEIGHTS")
    assert fingerprint(str(folder)) != before


@for_each(
    ("text", "given_too", "message"),
    [
        ("[merge]\n[chip]\nmodel = 'c'\n", {}, "--instruct missing"),
        ("[chip]\nmodel = 'c'\n[chat]\nmodel = 'd'\n", {"chat": {"model": "e"}}, "names the chat model already"),
        ("[chip]\nmodel = 'c'\n[[schedule]]\nlam = 1\n", {}, r"\[schedule\], which would decide"),
        ("[chip]\nmodel = 'c'\n[parameters]\nscale = 2\n", {}, r"\[parameters\], which would decide"),
        ("chip = 'c'\n", {}, r"\[chip\] must be tables"),
        ("[chip]\nmodel = 3\n", {}, r"\[chip\] hold something that is not text"),
        ("chip =\n", {}, "cannot be read as a recipe"),
    ],
)
def test_recipes_that_do_not_do_are_refused(
    tmp_path: Path, text: str, given_too: dict[str, dict[str, str]], message: str
) -> None:
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(ExperimentUnusable, match=message):
        find_parents(path, given_too, tmp_path)


def test_both_parents_must_be_named_and_a_recipe_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ExperimentUnusable, match="--chip and --instruct missing"):
        find_parents(None, {}, tmp_path)
    with pytest.raises(ExperimentUnusable, match=r"none\.toml cannot be read"):
        find_parents(tmp_path / "none.toml", {}, tmp_path)


def test_questions_without_an_answer_are_not_asked(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(
        '{"question": "a"}\n\n{"question": "b", "answerable": false}\n{"question": "c", "answerable": true}\n'
    )
    assert [json.loads(line)["question"] for line in read_lines(path)] == ["a", "c"]


@pytest.mark.parametrize(
    ("text", "message"),
    [("[1]\n", "line 1, is not a JSON object"), ("{}\n{\n", "line 2"), ("\n", "holds nothing to ask")],
)
def test_files_that_are_not_questions_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(text)
    with pytest.raises(ExperimentUnusable, match=message):
        read_lines(path)
    with pytest.raises(ExperimentUnusable, match="cannot be read"):
        read_lines(tmp_path / "none.jsonl")


@given(st.integers(1, 60), st.integers(1, 70), st.integers(1, 70))
def test_a_sample_keeps_the_order_and_a_larger_one_holds_the_smaller(count: int, few: int, more: int) -> None:
    lines = [f"{number:03}" for number in range(count)]
    small, large = sample(lines, min(few, more)), sample(lines, max(few, more))
    assert small == sorted(small)
    assert len(small) == min(count, few, more)
    assert set(small) <= set(large)
    assert sample(lines, None) == lines


def test_a_sample_is_not_the_files_beginning() -> None:
    lines = [str(number) for number in range(100)]
    assert sample(lines, 10) != lines[:10]
    assert sample(lines, 10) == sample(lines, 10)


def test_our_choices_become_questions_on_the_collections_that_are_there(tmp_path: Path) -> None:
    lines = read_lines(ROOT / "data" / "eval" / "mcq.jsonl")
    path = tmp_path / "q.jsonl"
    path.write_bytes(join_lines(questions_from_choices(lines, {"handbook"}.__contains__)))
    questions = read_questions(path)
    assert len(questions) == sum('"document": "handbook/' in line for line in lines) > 100
    first = questions[0]
    assert (first.question_id, first.kind, first.answerable) == ("mcq-001", "scripts", True)
    assert first.answer == "A virtual clock, for use by input and output delays"
    assert [str(reference) for reference in first.wanted[0]] == ["handbook/sdc-clocks.md # Primary and virtual clocks"]


def test_choices_without_a_source_become_no_question() -> None:
    assert (
        questions_from_choices(
            ['{"id": "a", "domain": "d", "question": "q", "choices": ["x"], "answer": 0}'], lambda name: True
        )
        == []
    )
