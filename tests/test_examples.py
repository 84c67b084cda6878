"""The examples, run as a reader runs them: the client before a real gateway, the chain over a real index, the recipe
merged.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import chipalign
from merge.recipe import DEFAULT_LAM, ParentRef
from merge.recipe_file import load_recipe
from tests.conftest import Gateway
from tests.fake_engine import EngineScript, FakeEngine
from tests.tiny_models import write_llama

EXAMPLES = Path(__file__).parent.parent / "examples"
RECIPE = EXAMPLES / "merge_two_models.toml"
QUESTION = "Which command fixes antenna violations?"


def run(name: str, *arguments: object, home: Path) -> str:
    """What an example prints."""
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent), "CHIPALIGN_HOME": str(home)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_openais_client_prints_the_answer_its_citations_and_unknown_names(gateway_at: Gateway, tmp_path: Path) -> None:
    said = ("Antenna violations are fixed with the command ", "`repair_antennas`. ", "Then run `mend_everything`.")
    with FakeEngine(EngineScript(answer=said)) as engine, gateway_at(engine.url) as url:
        answer, cited, unknown = run("openai_client.py", QUESTION, url, home=tmp_path).splitlines()
    assert answer.startswith("".join(said))
    assert cited.startswith("[1] Antenna repair: http")
    assert unknown == "unknown names: mend_everything"


def test_langchains_chain_finds_passages_and_nothing_beside_the_point(small_index: Path, tmp_path: Path) -> None:
    passages = run("langchain_chain.py", small_index, QUESTION, home=tmp_path)
    assert passages.startswith("Antenna repair (antenna-repair.md)\n")
    assert "`repair_antennas`" in passages
    assert run("langchain_chain.py", small_index, "What is the capital of Peru?", home=tmp_path) == "\n"


def test_the_recipe_is_one_and_names_its_parents_by_hub_id() -> None:
    recipe = load_recipe(RECIPE)
    assert (recipe.method, recipe.lam, recipe.dtype) == ("geodesic", DEFAULT_LAM, "bfloat16")
    assert recipe.chip == ParentRef("Qwen/Qwen2.5-Coder-1.5B-Instruct")
    assert recipe.chat == ParentRef("Qwen/Qwen2.5-1.5B-Instruct")


@pytest.mark.usefixtures("home")
def test_the_recipe_merges_folders_as_it_says_for_want_of_a_network(tmp_path: Path) -> None:
    text = RECIPE.read_text(encoding="utf-8")
    for seed, (parent, side) in enumerate(load_recipe(RECIPE).parents()):
        write_llama(tmp_path / side, seed)
        text = text.replace(f'"{parent.model}"', f'"{side}"')
    (tmp_path / "recipe.toml").write_text(text, encoding="utf-8")
    assert chipalign.main(["merge", str(tmp_path / "recipe.toml"), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "model.safetensors").is_file()
