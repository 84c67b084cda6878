"""Parents of which one has in one piece what the other has in parts: each number is found, or the pair is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, MixtralConfig, Qwen3MoeConfig

from merge.errors import MergeError, ParentsMismatch
from merge.merging.card import render_card
from merge.merging.merger import merge_parents
from merge.merging.verify import VerifyOptions, verify_checkpoint
from merge.models.checkpoint import Checkpoint, TensorSpec
from merge.models.fusing import count_groups, find_fusions
from merge.models.rearranged import join_parts, split_whole
from merge.recipe import ParentRef, Recipe
from merge.settings import MergeSettings
from tests.rows import for_each
from tests.tiny_models import make_recipe, read_tensors, rewrite_config, to_tensor, write_llama

Tensors = dict[str, Tensor]
QKV, GATE_UP = ("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj")


def fuse(tensors: Mapping[str, Tensor], words: tuple[str, ...], whole: str, groups: int = 1) -> Tensors:
    """Tensors in which those of the words are one, the rows by groups."""
    fused = dict(tensors)
    for name in [name for name in tensors if f".{words[0]}." in name]:
        parts = [fused.pop(name.replace(words[0], word)) for word in words]
        rows = [part for pieces in zip(*(part.chunk(groups) for part in parts), strict=True) for part in pieces]
        fused[name.replace(words[0], whole)] = torch.cat(rows)
    return fused


def save(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Tensors in the place of a folder's own."""
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")


def run(recipe: Recipe, out: Path) -> Tensors:
    """What a merge writes, verified."""
    settings = MergeSettings(out.parent / "home")
    merge_parents(recipe, out, settings, render_card)
    assert verify_checkpoint(out, VerifyOptions(sample=None), settings, lambda text: None).problems == ()
    return read_tensors(out)


def assert_same(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """The same tensors, bit by bit."""
    assert found.keys() == expected.keys()
    assert [name for name in found if not torch.equal(found[name], expected[name])] == []


@pytest.mark.parametrize("fused_side", ["chip", "chat"])
def test_a_llama_in_fewer_pieces_merges_as_the_one_in_more(tmp_path: Path, fused_side: str) -> None:
    sides = {
        side: write_llama(tmp_path / side, seed, attention_bias=True) for seed, side in enumerate(("chip", "chat"))
    }
    plain = run(make_recipe(**sides), tmp_path / "plain")
    both = {side: fuse(fuse(read_tensors(sides[side]), QKV, "qkv_proj"), GATE_UP, "gate_up_proj") for side in sides}
    save(sides[fused_side], both[fused_side])
    with pytest.raises(ParentsMismatch) as caught:
        run(make_recipe(**sides, names="refuse"), tmp_path / "refused")
    assert "in one piece, such as model.layers.0." in str(caught.value)
    assert 'decide it with names = "chat" | "chip"' in str(caught.value)
    assert "unmatched" not in str(caught.value)
    by_itself = run(make_recipe(**sides), tmp_path / "by-itself")  # under the chat parent's names
    assert by_itself.keys() == read_tensors(sides["chat"]).keys()
    other = "chat" if fused_side == "chip" else "chip"
    assert_same(run(make_recipe(**sides, names=other), tmp_path / "parts"), plain)

    found = run(make_recipe(**sides, names=fused_side), tmp_path / "whole")
    save(sides[other], both[other])
    assert_same(found, run(make_recipe(**sides), tmp_path / "expected"))


def test_pieces_and_prefixes_and_a_base_and_a_third_parent_go_together(tmp_path: Path) -> None:
    sides = {side: write_llama(tmp_path / side, seed) for seed, side in enumerate(("chip", "chat", "base", "third"))}

    def recipe(**values: Any) -> Recipe:
        """Task arithmetic of three."""
        base, third = (ParentRef(str(sides[side])) for side in ("base", "third"))
        pair = {side: sides[side] for side in ("chip", "chat")}
        return make_recipe(**pair, method="ties", base_model=base, more=(third,), **values)

    plain = run(recipe(), tmp_path / "plain")
    for side in ("chip", "base", "third"):
        fused = fuse(read_tensors(sides[side]), QKV, "qkv_proj")
        save(sides[side], {f"_orig_mod.{name}": tensor for name, tensor in fused.items()})
    with pytest.raises(ParentsMismatch):
        run(recipe(names="refuse"), tmp_path / "refused")
    assert_same(run(recipe(names="chat"), tmp_path / "merged"), plain)
    assert_same(run(recipe(), tmp_path / "by-itself"), plain)


def read_as(folder: Path, other: Mapping[str, Tensor], *, join: bool) -> Tensors:
    """The tensors of a folder in the form of another model, read in uneven pieces."""
    form = {name: TensorSpec(name, "F32", tuple(tensor.shape), Path(), 0) for name, tensor in other.items()}
    with Checkpoint.open(folder) as stored:
        one, two = (form, stored.specs) if join else (stored.specs, form)
        fusions = find_fusions(one, two, stored.config)
        assert fusions.problems == []
        source = (join_parts if join else split_whole)(stored, fusions.exact)
        return {
            name: to_tensor(
                torch.cat(
                    [
                        torch.from_numpy(reader.read(at, min(at + 77, spec.numel)).copy())
                        for at in range(0, spec.numel, 77)
                    ]
                ).numpy()
            ).reshape(spec.shape)
            for name, spec in source.specs.items()
            for reader in [source.tensor(name)]
        }


MIXTURE = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 32,
}
CONFIGS = (
    MixtralConfig(**MIXTURE, intermediate_size=24, num_local_experts=3),
    Qwen3MoeConfig(**MIXTURE, head_dim=4, moe_intermediate_size=12, num_experts=4, num_experts_per_tok=2),
)


@pytest.mark.parametrize("config", CONFIGS, ids=["mixtral", "qwen3_moe"])
@pytest.mark.parametrize("is_turned", [False, True])
def test_a_list_of_experts_is_the_stack_that_transformers_makes_of_it(
    tmp_path: Path, config: Any, is_turned: bool
) -> None:
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(tmp_path / "list")
    listed = read_tensors(tmp_path / "list")
    stacked = {
        name: tensor.transpose(1, 2) if is_turned and "experts" in name else tensor
        for name, tensor in model.state_dict().items()
    }
    assert any(".experts.0." in name for name in listed)
    assert any(name.endswith("experts.gate_up_proj") for name in stacked)
    joined = read_as(tmp_path / "list", stacked, join=True)
    experts = [name for name in stacked if "experts" in name]
    assert_same({name: joined[name] for name in experts}, {name: stacked[name] for name in experts})

    save(tmp_path / "list", stacked)
    experts = [name for name in listed if "experts" in name]
    parts = read_as(tmp_path / "list", listed, join=False)
    assert_same({name: parts[name] for name in experts}, {name: listed[name] for name in experts})


def test_a_mixture_stacked_in_memory_merges_with_one_in_lists_as_on_disk(tmp_path: Path) -> None:
    sides = {}
    for seed, side in enumerate(("chip", "chat")):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(CONFIGS[0])
        model.save_pretrained(tmp_path / side)
        sides[side] = tmp_path / side
        if side == "chip":
            listed, stacked = read_tensors(tmp_path / side), model.state_dict()
    plain = run(make_recipe(**sides), tmp_path / "plain")
    save(sides["chip"], stacked)
    assert listed.keys() != stacked.keys()
    assert_same(run(make_recipe(**sides, names="chat"), tmp_path / "merged"), plain)
    merged = run(make_recipe(**sides, names="chip"), tmp_path / "stacked")
    assert merged.keys() == stacked.keys()
    loaded, info = AutoModelForCausalLM.from_pretrained(tmp_path / "stacked", output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert torch.isfinite(loaded(torch.tensor([[1, 2, 3]])).logits).all()


def by_heads(q: Tensor, k: Tensor, v: Tensor, key_heads: int) -> Tensor:
    """Rows as models with heads side by side have them, by views as their code takes them."""
    size = k.shape[0] // key_heads
    grouped = [part.view(key_heads, -1, size, part.shape[1]) for part in (q, k, v)]
    return torch.cat(grouped, dim=1).reshape(-1, q.shape[1])


@for_each(
    ("config", "key_heads"),
    [
        ({"model_type": "gpt_neox", "num_attention_heads": 4}, 4),
        ({"model_type": "bloom", "n_head": 4}, 4),
        ({"model_type": "falcon", "num_attention_heads": 4, "multi_query": True}, 1),
        ({"model_type": "falcon", "num_attention_heads": 4, "multi_query": False}, 4),
        ({"model_type": "falcon", "num_attention_heads": 4, "num_kv_heads": 2, "new_decoder_architecture": True}, 2),
        ({"model_type": "internlm2", "num_attention_heads": 4, "num_key_value_heads": 2}, 2),
        ({"model_type": "chatglm", "num_attention_heads": 4}, 1),
        ({"model_type": "any", "text_config": {"model_type": "gpt_neox", "num_attention_heads": 4}}, 4),
    ],
)
def test_heads_stand_side_by_side_as_the_model_type_has_them(
    tmp_path: Path, config: dict[str, Any], key_heads: int
) -> None:
    q, k, v = torch.randn(16, 8), torch.randn(4 * key_heads, 8), torch.randn(4 * key_heads, 8)
    parts = {f"transformer.h.0.attn.{word}.weight": part for word, part in zip(QKV, (q, k, v), strict=True)}
    whole = {"h.0.attn.query_key_value.weight": by_heads(q, k, v, key_heads)}
    folder = tmp_path / "whole"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    rewrite_config(folder, **config)
    save(folder, whole)
    assert_same(read_as(folder, parts, join=False), parts)


def spec(name: str, *shape: int) -> TensorSpec:
    return TensorSpec(name, "F32", shape, Path(), 0)


@for_each(
    ("whole", "apart", "config", "said"),
    [
        (
            spec("a.query_key_value.weight", 12, 4),
            [spec(f"a.{p}.weight", 4, 4) for p in QKV],
            {"model_type": "llama"},
            "a.query_key_value.weight would be a.q_proj.weight, a.k_proj.weight, a.v_proj.weight in one piece, but in "
            "which order this model has the rows is not known",
        ),
        (
            spec("a.qkv_proj.weight", 13, 4),
            [spec(f"a.{p}.weight", 4, 4) for p in QKV],
            {},
            "but its shape [13, 4] is not that of [4, 4], [4, 4], [4, 4] together",
        ),
        (
            spec("a.c_attn.weight", 4, 12),
            [spec(f"a.{p}.weight", 4, 4) for p in QKV],
            {"model_type": "gpt2"},
            "but its shape [4, 12] is not that of",
        ),
        (
            spec("a.query_key_value.weight", 18, 4),
            [spec(f"a.{p}.weight", 6, 4) for p in QKV],
            {"model_type": "bloom", "n_head": 4},
            "do not divide into its 4 groups of heads",
        ),
        (
            spec("mlp.experts.gate_up_proj", 2, 4, 6),
            [spec(f"mlp.experts.{e}.{p}.weight", 3, 4) for e in (0, 1) for p in GATE_UP],
            {"model_type": "gpt_oss"},
            "but this model has gate and up column by column",
        ),
        (
            spec("mlp.experts.gate_up_proj", 2, 4, 4),
            [spec(f"mlp.experts.{e}.{p}.weight", 2, 4) for e in (0, 1) for p in GATE_UP],
            {},
            "but its matrices are square: its shape does not say whether they are transposed",
        ),
        (
            spec("mlp.experts.gate_up_proj", 3, 6, 4),
            [spec(f"mlp.experts.{e}.{p}.weight", 3, 4) for e in (0, 1) for p in GATE_UP],
            {},
            "mlp.experts.gate_up_proj would be mlp.experts.0.gate_proj.weight and 3 more in one piece, but its shape "
            "[3, 6, 4] is not that of 2 experts together",
        ),
    ],
)
def test_what_is_not_known_exactly_is_refused_in_a_sentence(
    whole: TensorSpec, apart: list[TensorSpec], config: dict[str, Any], said: str
) -> None:
    found = find_fusions({whole.name: whole}, {each.name: each for each in apart}, config)
    assert found.exact == []
    [problem] = found.problems
    assert said in problem
    assert found.refused == {whole.name, *(each.name for each in apart)}


def test_an_unknown_order_is_not_a_case_for_unmatched(tmp_path: Path) -> None:
    sides = {side: write_llama(tmp_path / side, seed) for seed, side in enumerate(("chip", "chat"))}
    save(sides["chip"], fuse(read_tensors(sides["chip"]), QKV, "query_key_value"))
    for unmatched in ("refuse", "chat", "union"):
        with pytest.raises(MergeError) as caught:
            run(make_recipe(**sides, unmatched=unmatched, names="chat"), tmp_path / "out")
        assert "in which order this model has the rows is not known" in str(caught.value)
        assert "unmatched" not in str(caught.value)


def test_groups_of_an_unknown_model_are_those_of_the_word() -> None:
    assert count_groups("qkv_proj", {"model_type": "llama"}) == 1
    assert count_groups("qkv_proj", {"model_type": "minimax", "num_attention_heads": 8}) == 8
    assert count_groups("query_key_value", {"model_type": "llama"}) is None
    assert count_groups("qkv_proj", {"model_type": "codegen", "n_head": 8}) is None
    assert count_groups("c_attn", {"model_type": "gpt_bigcode", "n_head": 8, "multi_query": False}) == 8


def test_phi_in_one_piece_merges_into_its_form_as_a_llama_only_under_that_class(tmp_path: Path) -> None:
    sides = {side: write_llama(tmp_path / side, seed) for seed, side in enumerate(("chip", "chat"))}
    plain = run(make_recipe(**sides), tmp_path / "plain")
    save(sides["chip"], fuse(fuse(read_tensors(sides["chip"]), QKV, "qkv_proj"), GATE_UP, "gate_up_proj"))
    rewrite_config(sides["chip"], model_type="phi3", architectures=["Phi3ForCausalLM"])
    with pytest.raises(ParentsMismatch) as caught:
        run(make_recipe(**sides, names="chip"), tmp_path / "out")
    assert '(decide it with names = "chat")' in str(caught.value)
    assert_same(run(make_recipe(**sides, names="chat", config="chat"), tmp_path / "merged"), plain)
