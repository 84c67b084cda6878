"""A merge that is surely a mistake is warned of, and an ordinary one is not."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from merge.merging.card import render_card
from merge.merging.doubts import doubt_angles, doubt_rounding
from merge.merging.merger import Watcher, merge_parents
from merge.recipe import ParentRef
from merge.settings import MergeSettings
from tests.rows import for_each
from tests.tiny_models import make_recipe, read_tensors, rewrite_tensors, write_adapter, write_llama


class Listener(Watcher):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def parents(tmp_path: Path) -> tuple[Path, Path]:
    """A chat model, and the same a little changed."""
    chat = write_llama(tmp_path / "chat", seed=2, num_hidden_layers=1)
    chip = write_llama(tmp_path / "chip", seed=2, num_hidden_layers=1)
    rewrite_tensors(chip, {name: t + 0.01 * torch.randn_like(t) for name, t in read_tensors(chip).items()})
    return chip, chat


def warnings_of(chip: Path, chat: Path, out: Path, *args: Any, **values: Any) -> list[str]:
    listener = Listener()
    recipe = make_recipe(chip, chat, *args, **values)
    merge_parents(recipe, out, MergeSettings(out.parent / "home"), render_card, watcher=listener, force=True)
    return [text.removeprefix("warning: ") for text in listener.said if text.startswith("warning: ")]


def test_an_ordinary_merge_is_not_doubted(tmp_path: Path, parents: tuple[Path, Path]) -> None:
    assert warnings_of(*parents, tmp_path / "out") == []


def test_the_same_model_twice_is_doubted(tmp_path: Path, parents: tuple[Path, Path]) -> None:
    (found,) = warnings_of(parents[1], parents[1], tmp_path / "out")
    assert found == "both parents are the same model, so that the merge is a copy of it"
    adapter = write_adapter(tmp_path / "adapter", parents[1], seed=1)
    assert warnings_of(parents[1], parents[1], tmp_path / "out", adapter) == []


def test_swapped_parents_no_tokenizer_and_an_unused_base_are_doubted(
    tmp_path: Path, parents: tuple[Path, Path]
) -> None:
    chip, chat = parents
    for path in (chat / "chat_template.jinja", chat / "tokenizer_config.json"):
        path.write_text("") if path.suffix == ".json" else path.unlink()
    (chat / "tokenizer_config.json").write_text("{}")
    (found,) = warnings_of(chip, chat, tmp_path / "out")
    assert found.endswith("are the two swapped?")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (chat / name).unlink()
    found, more = warnings_of(chip, chat, tmp_path / "out", base_model=ParentRef("nowhere"))
    assert found == "[base] is given, and method geodesic does not use it"
    assert more == "the chat parent has no tokenizer, and so has the output none"


def test_an_adapter_of_another_base_is_named(tmp_path: Path, parents: tuple[Path, Path]) -> None:
    adapter = write_adapter(tmp_path / "adapter", parents[1], seed=1)
    config = json.loads((adapter / "adapter_config.json").read_text())
    for base, doubted in (("org/chat", False), ("somebody/Another-7B", True), (None, False)):
        (adapter / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": base}))
        found = warnings_of(parents[1], parents[1], tmp_path / "out", adapter)
        assert any(f"was trained on {base}, and is folded into" in text for text in found) is doubted


def test_unrelated_parents_are_doubted_by_the_angle_of_most_weights(tmp_path: Path, parents: tuple[Path, Path]) -> None:
    stranger = write_llama(tmp_path / "stranger", seed=9, num_hidden_layers=1)
    (found,) = warnings_of(stranger, parents[1], tmp_path / "out")
    assert "of the weights are more than 45 degrees apart: the parents share no ancestor" in found
    assert doubt_angles([(10, math.radians(80)), (11, math.radians(10)), (99, None)]) == []
    assert doubt_angles([(12, math.radians(80)), (11, math.radians(10))]) != []
    assert doubt_angles([]) == []


@for_each(("share", "doubted"), [(None, False), (0.1, False), (0.3, True)])
def test_rounding_is_doubted_above_a_tenth_of_the_change(share: float | None, doubted: bool) -> None:
    assert bool(doubt_rounding(share, "bfloat16")) is doubted
