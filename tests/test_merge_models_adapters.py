"""LoRA folded on the fly, against peft's own merge_and_unload; what cannot be folded exactly is refused."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, GptOssConfig, GptOssForCausalLM

from merge.arithmetic.choice import find_arithmetic
from merge.errors import AdapterMismatch, AdapterUnsupported, CheckpointCorrupt, CheckpointNotFound
from merge.merging.card import render_card
from merge.merging.merger import merge_parents
from merge.merging.verify import VerifyOptions, verify_checkpoint
from merge.models import adapters, folding
from merge.models.adapters import Adapter, Alphas, find_scale, find_unsupported
from merge.models.checkpoint import Checkpoint
from merge.models.folded import FoldedCheckpoint
from merge.models.layout import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from merge.settings import MergeSettings
from tests.rows import for_each
from tests.tiny_models import make_recipe, read_tensors, rewrite_tensors, to_tensor, write_adapter, write_llama

ARITHMETIC = find_arithmetic("cpu")
UP = "model.layers.0.mlp.down_proj"


def fold_all(base: Path, adapter: Path) -> dict[str, torch.Tensor]:
    """Every tensor of base and adapter, read in uneven pieces."""
    with Checkpoint.open(base) as checkpoint, Adapter.open(adapter) as opened:
        folded = FoldedCheckpoint(checkpoint, opened, ARITHMETIC)
        tensors = {}
        for name, spec in folded.specs.items():
            reader = folded.tensor(name)
            pieces = [reader.read(start, min(start + 77, spec.numel)) for start in range(0, spec.numel, 77)]
            tensors[name] = to_tensor(np.concatenate(pieces).reshape(spec.shape))
    return tensors


def fold_with_peft(base: Path, adapter: Path) -> dict[str, torch.Tensor]:
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), adapter)
    state: dict[str, torch.Tensor] = model.merge_and_unload().state_dict()
    return state


def rewrite_adapter(folder: Path, **changes: torch.Tensor | None) -> None:
    """Change tensors by a short name ("A" and "B" of one module), or add one."""
    tensors = load_file(folder / ADAPTER_WEIGHTS)
    for name, tensor in changes.items():
        tensors.pop(name, None)
        if tensor is not None:
            tensors[name] = tensor
    save_file(tensors, folder / ADAPTER_WEIGHTS)


def rewrite_adapter_config(folder: Path, **changes: Any) -> None:
    path = folder / ADAPTER_CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"use_rslora": True},
        {"rank": 3, "rank_pattern": {"v_proj": 7}},
        {"alpha_pattern": {"layers.1.self_attn.q_proj": 11, "down_proj": 2}},
        {"init_lora_weights": "gaussian"},
        {"use_dora": True},
        {"use_dora": True, "target_modules": ["embed_tokens", "q_proj"]},
        {"use_dora": True, "use_rslora": True, "modules_to_save": ["lm_head"]},
        {"modules_to_save": ["embed_tokens", "lm_head", "input_layernorm"]},
        {"bias": "all"},
        {"bias": "lora_only", "lora_bias": True, "target_modules": ["q_proj", "v_proj"]},
        {"target_modules": ["embed_tokens", "lm_head", "o_proj"]},
        {"target_modules": "all-linear", "trainable_token_indices": [5, 2, 7]},
        {"trainable_token_indices": {"embed_tokens": [1]}, "use_rslora": True},
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_folding_agrees_with_peft(tmp_path: Path, changes: dict[str, Any]) -> None:
    base = write_llama(tmp_path / "base", seed=1, tie_word_embeddings=False, attention_bias=True, num_hidden_layers=1)
    adapter = write_adapter(tmp_path / "adapter", base, seed=2, **changes)
    expected, before = fold_with_peft(base, adapter), read_tensors(base)
    folded = fold_all(base, adapter)
    assert any(not torch.equal(folded[name], before[name]) for name in folded)
    for name, tensor in folded.items():
        torch.testing.assert_close(tensor, expected[name], rtol=2e-6, atol=1e-6)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dora", [False, True])
def test_layers_that_store_their_transpose_are_folded_as_peft_does(
    tmp_path: Path, dora: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folding, "CHUNK", 100)  # several pieces
    torch.manual_seed(0)
    base = tmp_path / "base"
    GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=32, n_positions=16)).save_pretrained(base)
    adapter = write_adapter(
        tmp_path / "adapter",
        base,
        seed=2,
        target_modules=["c_attn", "c_proj", "wte"],
        fan_in_fan_out=True,
        use_dora=dora,
    )
    expected = fold_with_peft(base, adapter)
    for name, tensor in fold_all(base, adapter).items():
        torch.testing.assert_close(tensor, expected[name], rtol=2e-6, atol=1e-6)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("rslora", [False, True])
def test_stacks_of_experts_are_folded_as_peft_does(tmp_path: Path, rslora: bool) -> None:
    torch.manual_seed(0)
    base = tmp_path / "base"
    shape: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "vocab_size": 32}
    config = GptOssConfig(**shape, num_attention_heads=2, num_key_value_heads=1, head_dim=8, num_local_experts=3)
    GptOssForCausalLM(config).save_pretrained(base)
    targets = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
    adapter = write_adapter(
        tmp_path / "adapter", base, seed=2, target_modules=["q_proj"], target_parameters=targets, use_rslora=rslora
    )
    expected, before = fold_with_peft(base, adapter), read_tensors(base)
    folded = fold_all(base, adapter)
    changed = {name for name in folded if not torch.equal(folded[name], before[name])}
    assert changed == {f"model.layers.0.{name}" for name in (*targets, "self_attn.q_proj.weight")}
    for name, tensor in folded.items():
        torch.testing.assert_close(tensor, expected[name], rtol=2e-6, atol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_adapters_in_a_row_are_folded_as_peft_folds_one_after_the_other(tmp_path: Path) -> None:
    base = write_llama(tmp_path / "base", seed=1, num_hidden_layers=1, tie_word_embeddings=False)
    kinds: list[dict[str, Any]] = [{}, {"use_dora": True}, {"modules_to_save": ["lm_head"], "alpha": 3}]
    adapters = [write_adapter(tmp_path / str(n), base, seed=n, **kind) for n, kind in enumerate(kinds)]
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    for adapter in adapters:
        model = PeftModel.from_pretrained(model, adapter).merge_and_unload()

    chat = write_llama(tmp_path / "chat", seed=4, num_hidden_layers=1, tie_word_embeddings=False)
    settings = MergeSettings(tmp_path / "home")
    merge_parents(make_recipe(base, chat, *adapters, lam=1.0), tmp_path / "out", settings, render_card)
    for name, tensor in read_tensors(tmp_path / "out").items():
        torch.testing.assert_close(tensor, model.state_dict()[name], rtol=2e-6, atol=1e-6)

    def verify() -> tuple[str, ...]:
        return verify_checkpoint(tmp_path / "out", VerifyOptions(sample=None), settings, lambda text: None).problems

    assert verify() == ()
    report = json.loads((tmp_path / "out/merge_report.json").read_text())
    assert [each["ref"] for each in report["parents"]["chip"]["adapter"]] == list(map(str, adapters))
    assert (tmp_path / "out/README.md").read_text().count("| chip adapter |") == 3
    write_adapter(adapters[1], base, seed=9)
    assert any("the chip adapter" in problem and "is not the one that was merged" in problem for problem in verify())


def test_an_adapter_under_other_prefixes_finds_its_tensors(tmp_path: Path) -> None:
    base = write_llama(tmp_path / "base", seed=1, num_hidden_layers=1)
    adapter = write_adapter(tmp_path / "adapter", base, seed=2)
    expected = fold_all(base, adapter)
    rewrite_tensors(
        base,
        dict.fromkeys(expected)
        | {n.replace("model.", "model.language_model.", 1): t for n, t in read_tensors(base).items()},
    )
    for name, tensor in fold_all(base, adapter).items():
        assert torch.equal(tensor, expected[name.replace("language_model.", "")])


def test_the_sum_is_not_rounded_to_the_bases_dtype(tmp_path: Path) -> None:
    base = write_llama(tmp_path / "base", seed=1, dtype=torch.bfloat16)
    adapter = write_adapter(tmp_path / "adapter", base, seed=2)
    folded = fold_all(base, adapter)
    assert folded[f"{UP}.weight"].dtype == torch.float32
    assert folded["model.norm.weight"].dtype == torch.bfloat16  # nothing was added, nothing was widened
    torch.testing.assert_close(
        folded[f"{UP}.weight"], fold_with_peft(base, adapter)[f"{UP}.weight"], rtol=1e-6, atol=1e-6
    )
    assert not torch.equal(folded[f"{UP}.weight"].bfloat16().float(), folded[f"{UP}.weight"])


def test_pieces_at_any_boundary_give_the_same_numbers(tmp_path: Path) -> None:
    base = write_llama(tmp_path / "base", seed=1)
    adapter = write_adapter(tmp_path / "adapter", base, seed=2)
    with Checkpoint.open(base) as checkpoint, Adapter.open(adapter) as opened:
        reader = FoldedCheckpoint(checkpoint, opened, ARITHMETIC).tensor(f"{UP}.weight")
        whole = reader.read(0, reader.spec.numel)
        for start, stop in ((0, 1), (47, 49), (48, 96), (100, 1000), (reader.spec.numel - 1, reader.spec.numel)):
            np.testing.assert_allclose(reader.read(start, stop), whole[start:stop], rtol=1e-6, atol=1e-7)


@for_each(
    "changes",
    [
        {"peft_type": "IA3"},
        {"bias": "some"},
        {"layer_replication": [[0, 1]]},
        {"use_qalora": True},
        {"alora_invocation_tokens": [3]},
        {"init_lora_weights": "pissa"},
        {"init_lora_weights": "olora"},
        {"lora_alpha": None},
    ],
)
def test_what_cannot_be_folded_exactly_is_refused_by_name(tmp_path: Path, changes: dict[str, Any]) -> None:
    base = write_llama(tmp_path / "base", seed=1)
    adapter = write_adapter(tmp_path / "adapter", base, seed=2)
    rewrite_adapter_config(adapter, **changes)
    with pytest.raises(AdapterUnsupported, match=next(iter(changes))):
        Adapter.open(adapter)


def test_all_unsupported_settings_are_listed_at_once() -> None:
    problems = find_unsupported(
        {"peft_type": "LORA", "lora_alpha": 8, "use_qalora": True, "bias": "some", "arrow_config": {"x": 1}}
    )
    assert len(problems) == 3


def test_adapter_tensors_that_match_nothing_are_all_listed(tmp_path: Path) -> None:
    base = write_llama(tmp_path / "base", seed=1)
    adapter = write_adapter(tmp_path / "adapter", base, seed=2)
    smaller = write_llama(tmp_path / "smaller", seed=1, num_hidden_layers=1)
    with (
        Checkpoint.open(smaller) as checkpoint,
        Adapter.open(adapter) as opened,
        pytest.raises(AdapterMismatch) as caught,
    ):
        FoldedCheckpoint(checkpoint, opened, ARITHMETIC)
    assert len(caught.value.problems) == 3
    assert "model.layers.1.self_attn.q_proj.weight" in str(caught.value)


def test_an_adapter_for_other_sizes_is_refused(tmp_path: Path) -> None:
    base = write_llama(tmp_path / "base", seed=1)
    adapter = write_adapter(tmp_path / "adapter", base, seed=2)
    wider = write_llama(tmp_path / "wider", seed=1, intermediate_size=64)
    with (
        Checkpoint.open(wider) as checkpoint,
        Adapter.open(adapter) as opened,
        pytest.raises(AdapterMismatch, match=r"shape \[32, 64\]") as caught,
    ):
        FoldedCheckpoint(checkpoint, opened, ARITHMETIC)
    assert len(caught.value.problems) == 2


def test_tensors_that_are_not_lora_are_refused(tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", write_llama(tmp_path / "base", seed=1), seed=2)
    rewrite_adapter(adapter, **{"base_model.model.model.embed_tokens.lora_E": torch.zeros(4, 64)})
    with pytest.raises(AdapterUnsupported, match="lora_E"):
        Adapter.open(adapter)


def test_what_is_trained_whole_must_have_the_models_shape(tmp_path: Path) -> None:
    base = write_llama(tmp_path / "base", seed=1, num_hidden_layers=1)
    adapter = write_adapter(tmp_path / "adapter", base, seed=2)
    rewrite_adapter(adapter, **{"base_model.model.model.embed_tokens.weight": torch.zeros(70, 32)})
    with (
        Checkpoint.open(base) as checkpoint,
        Adapter.open(adapter) as opened,
        pytest.raises(AdapterMismatch, match=r"embed_tokens\.weight is F32 of shape \[64, 32\].*\[70, 32\]"),
    ):
        FoldedCheckpoint(checkpoint, opened, ARITHMETIC)


def test_half_a_pair_and_ranks_that_differ_are_refused(tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", write_llama(tmp_path / "base", seed=1), seed=2)
    name = f"base_model.model.{UP}.lora_{{}}.weight"
    rewrite_adapter(adapter, **{name.format("A"): torch.zeros(5, 48)})
    with pytest.raises(AdapterMismatch, match="lora_A has rank 5, lora_B 4"):
        Adapter.open(adapter)
    rewrite_adapter(adapter, **{name.format("A"): None})
    with pytest.raises(AdapterMismatch, match="has lora_B but not its counterpart"):
        Adapter.open(adapter)


def test_missing_and_corrupt_adapter_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointNotFound, match=r"adapter_config\.json"):
        Adapter.open(tmp_path)
    adapter = write_adapter(tmp_path / "adapter", write_llama(tmp_path / "base", seed=1), seed=2)
    weights = adapter / ADAPTER_WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(CheckpointCorrupt, match=r"adapter_model\.safetensors"):
        Adapter.open(adapter)
    save_file({}, weights)
    with pytest.raises(CheckpointCorrupt, match="holds no tensors"):
        Adapter.open(adapter)


def test_scale_is_alpha_over_rank_or_over_its_root() -> None:
    assert find_scale({}, 16.0, rank=8) == 2.0
    assert find_scale({"use_rslora": True}, 16.0, rank=16) == 4.0


def test_alpha_is_that_of_the_first_pattern_which_ends_the_modules_name() -> None:
    alphas = Alphas({"lora_alpha": 16, "alpha_pattern": {"q_proj": 4, r"layers\.\d+\.(q|k)_proj": 8}}, "adapter")
    assert [alphas.find(module) for module in ("m.q_proj", "q_proj", "m.xq_proj", "m.layers.7.k_proj", "k_proj")] == [
        4,
        4,
        16,
        8,
        16,
    ]


@pytest.mark.parametrize(
    "pattern", ["((a{1,100}){1,100}){1,100}b", "(a|aa)+(b|bb)+(a|aa)+c", "(", "a" * 2000, "(?P<x>a)(?P<y>(?P=x)+)+b"]
)
def test_a_pattern_that_takes_for_ever_ends_with_one_sentence(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapters, "MATCHING_S", 0.2)
    started = time.monotonic()
    try:
        assert Alphas({"lora_alpha": 16, "alpha_pattern": {pattern: 4}}, "adapter").find("a" * 60) == 16
    except AdapterUnsupported as error:
        assert "alpha_pattern" in str(error)  # noqa: PT017 - some are matched in time
    assert time.monotonic() - started < 5


def test_the_demo_adapter_can_be_opened() -> None:
    folder = Path(__file__).parents[1] / "data/adapters/smollm2-135m-eda"
    with Adapter.open(folder) as adapter:
        assert len(adapter.pairs) == 210
        assert {pair.scale for pair in adapter.pairs.values()} == {2.0}
    card = (folder / "README.md").read_text()
    for part in (
        "license: cc-by-4.0",
        "CC BY 4.0",
        "Apache-2.0",
        "chipalign adapt model --triplets",
        "held-out documents",
        "What was measured",
    ):
        assert part in card
