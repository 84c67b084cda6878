"""Ways in which a merge could come out wrong with exit code 0: each is refused or warned of, and its twin is not.

Each is tried as it is typed, on two tiny models of one ancestor.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from merge.commands.merge_commands import merge
from merge.errors import MergeError
from merge.models.config import compare
from tests.tiny_models import read_tensors, rewrite_config, rewrite_tensors, write_llama

Q = "model.layers.1.self_attn.q_proj.weight"
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
Change = Callable[[Path, Path], None]  # of the chip parent's folder and the chat parent's


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chat model, and the same a little changed."""
    folder = tmp_path_factory.mktemp("made")
    torch.manual_seed(5)
    for side in ("chip", "chat"):
        write_llama(folder / side, seed=2)
    tensors = read_tensors(folder / "chip")
    rewrite_tensors(folder / "chip", {name: t + 0.01 * torch.randn_like(t) for name, t in tensors.items()})
    return folder


@pytest.fixture
def pair(made: Path, tmp_path: Path) -> Path:
    """A copy of both, to be changed."""
    shutil.copytree(made, tmp_path / "pair")
    return tmp_path / "pair"


def run(folder: Path, capsys: pytest.CaptureFixture[str], keys: str = "", tables: str = "") -> str:
    """Merge the folder's pair by the command; what it said, a refusal too."""
    recipe = folder / "r.toml"
    recipe.write_text(f'[merge]\n{keys}\n[chip]\nmodel = "chip"\n[chat]\nmodel = "chat"\n{tables}')
    try:
        assert merge([str(recipe), "--out", str(folder / "out")]) == 0
    except MergeError as error:
        assert not (folder / "out").exists()
        return f"refused: {error}"
    return capsys.readouterr().err


def test_near_parents_merge_without_a_word(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = run(pair, capsys)
    assert "warning" not in said
    assert "refused" not in said


def shard(folder: Path, *, lacking: str = "", twice: str = "", keep: bool = False) -> None:
    """The weights in two shards. lacking: from the index; twice: in both; keep: the one file, too."""
    tensors = read_tensors(folder)
    names = sorted(tensors)
    halves = {"a.safetensors": names[: len(names) // 2], "b.safetensors": names[len(names) // 2 :]}
    for file, part in halves.items():
        save_file({name: tensors[name] for name in {*part, *([twice] if twice else [])}}, folder / file)
    places = {name: file for file, part in halves.items() for name in part if name != lacking}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    if not keep:
        (folder / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({}, ""),
        ({"lacking": Q}, f"hold tensors that it does not say are there, {Q} in b.safetensors"),
        ({"twice": Q}, f"hold tensors that it does not say are there, {Q} in a.safetensors"),
        ({"keep": True}, "holds model.safetensors and beside it a.safetensors, b.safetensors"),
    ],
)
def test_shards_that_contradict_their_index_are_refused(
    pair: Path, capsys: pytest.CaptureFixture[str], how: dict[str, Any], said: str
) -> None:
    for side in ("chip", "chat"):
        shard(pair / side, **how)  # of both: the names of the tensors do not differ
    found = run(pair, capsys)
    assert said in found if said else "refused" not in found


def test_a_shard_that_is_missing_without_an_index_is_missed(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for side in ("chip", "chat"):
        (pair / side / "model.safetensors").rename(pair / side / "model-00001-of-00002.safetensors")
    assert "chip lacks model-00002-of-00002.safetensors, by the names of the others" in run(pair, capsys)
    for side in ("chip", "chat"):
        save_file({"more": torch.ones(2)}, pair / side / "model-00002-of-00002.safetensors")
    assert "refused" not in run(pair, capsys)


@pytest.mark.parametrize(("layers", "is_doubted"), [(3, True), (2, False), (1, False)])
def test_a_config_with_more_layers_than_weights_is_doubted(
    pair: Path, capsys: pytest.CaptureFixture[str], layers: int, *, is_doubted: bool
) -> None:
    for side in ("chip", "chat"):
        rewrite_config(pair / side, num_hidden_layers=layers)
    found = run(pair, capsys)
    assert ("config.json says 3 layers, and the weights have 2: is a file missing" in found) is is_doubted


def test_pictures_that_are_prepared_otherwise_are_told(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for side, mean, kind in (("chip", 0.1, "Fast"), ("chat", 0.5, "")):
        said = {"image_mean": [mean] * 3, "patch_size": 14, "image_processor_type": f"CLIPImageProcessor{kind}"}
        (pair / side / "preprocessor_config.json").write_text(json.dumps(said))
    found = run(pair, capsys)
    assert (
        "warning: preprocessor_config.json of the parents differs (image_mean); the chat parent's goes along" in found
    )


def turn_rows(folder: Path) -> None:
    """Queries and keys with rows in the order of the other rotary embedding: pairs beside each other."""
    for name, tensor in read_tensors(folder).items():
        if "q_proj" in name or "k_proj" in name:
            heads = tensor.shape[0] // 8
            turned = tensor.reshape(heads, 2, 4, -1).swapaxes(1, 2).reshape(tensor.shape)
            rewrite_tensors(folder, {name: turned})


def shift_norms(folder: Path) -> None:
    """Norms less one, as Gemma has them."""
    rewrite_tensors(folder, {name: t - 1 for name, t in read_tensors(folder).items() if "norm" in name})


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        (turn_rows, "model.layers.*.self_attn.k_proj.weight; model.layers.*.self_attn.q_proj.weight: "),
        (shift_norms, "model.layers.*.input_layernorm.weight; model.layers.*.post_attention_layernorm.weight; "),
    ],
)
def test_weights_that_one_parent_keeps_in_another_form_are_doubted(
    pair: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Path], None], kinds: str
) -> None:
    change(pair / "chip")
    found = run(pair, capsys)
    assert f"warning: {kinds}" in found
    assert "Does one parent keep them in another form" in found
    assert merge(["inspect", str(pair / "r.toml")]) == 0
    assert kinds in capsys.readouterr().err


def test_a_bias_of_any_direction_is_not_doubted(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for side in ("chip", "chat"):
        bias = torch.randn(32, generator=torch.Generator().manual_seed(len(side) * ord(side[2])))
        rewrite_tensors(pair / side, {"model.layers.0.self_attn.q_proj.bias": 0.001 * bias})
    assert "warning" not in run(pair, capsys)


@pytest.mark.parametrize(("dtype", "is_doubted"), [("float16", True), ("bfloat16", False)])
def test_a_tensor_of_which_zeros_are_left_is_doubted(
    pair: Path, capsys: pytest.CaptureFixture[str], dtype: str, *, is_doubted: bool
) -> None:
    for side in ("chip", "chat"):
        rewrite_tensors(pair / side, {Q: 1e-9 * read_tensors(pair / side)[Q]})
    assert (f"warning: zeros alone are left of {Q}" in run(pair, capsys, f'dtype = "{dtype}"')) is is_doubted


def rewrite_ties(folder: Path, *, says: bool | None, head: torch.Tensor | None) -> None:
    """says: None removes the key."""
    path = folder / "config.json"
    config = {key: value for key, value in json.loads(path.read_text()).items() if key != "tie_word_embeddings"}
    path.write_text(json.dumps(config | ({} if says is None else {"tie_word_embeddings": says})))
    rewrite_tensors(folder, {HEAD: head} if head is not None else {})


@pytest.mark.parametrize(
    ("chip", "chat", "said"),
    [
        (True, None, "config tie_word_embeddings: chip True, chat False"),  # Llama's default
        (None, True, "config tie_word_embeddings: chip False, chat True"),
        (True, False, "config tie_word_embeddings: chip True, chat False"),
        (False, None, ""),
        (None, None, ""),
    ],
)
def test_a_head_is_tied_by_default_where_a_config_does_not_say_it(
    pair: Path, capsys: pytest.CaptureFixture[str], chip: bool | None, chat: bool | None, said: str
) -> None:
    head = 0.1 * torch.randn(64, 32)
    rewrite_ties(pair / "chip", says=chip, head=head + 0.01)
    rewrite_ties(pair / "chat", says=chat, head=head)
    found = run(pair, capsys)
    assert f'{said} (decide it with embeddings = "tied" | "untied")' in found if said else "refused" not in found


@pytest.mark.parametrize("is_same", [True, False])
def test_a_head_beside_the_embedding_it_is_tied_to_is_doubted(
    pair: Path, capsys: pytest.CaptureFixture[str], *, is_same: bool
) -> None:
    for side in ("chip", "chat"):
        embedding = read_tensors(pair / side)[EMBEDDING]
        rewrite_ties(pair / side, says=True, head=embedding.clone() if is_same else embedding.flip(0))
    found = run(pair, capsys)
    assert ("the chat parent says that its head is its embedding" in found) is not is_same


LONGROPE = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 4, "long_factor": [2.0] * 4}
WINDOWS = {"max_position_embeddings": 4096}, {"max_position_embeddings": 131072}


@pytest.mark.parametrize(
    ("both", "chip", "chat", "path"),
    [
        ({}, {"router": {"top_k": 2}}, {"router": {"top_k": 4}}, "router.top_k"),
        ({}, {"router": {"temperature": 0.5}}, {"router": {"temperature": 1.0}}, "router.temperature"),
        ({}, {"top_k": 2}, {"top_k": 4}, None),  # how text is written
        ({}, {"router": {"attention_dropout": 0.1}}, {"router": {"attention_dropout": 0.0}}, None),
        ({}, {"rotary_dim": 4}, {}, "rotary_dim"),
        ({"rope_scaling": LONGROPE}, *WINDOWS, "rope"),
        ({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, *WINDOWS, "rope"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, *WINDOWS, None),
        ({"rope_scaling": {"rope_type": "yarn"}}, *WINDOWS, "rope"),
        ({}, *WINDOWS, None),
    ],
)
def test_what_changes_the_meaning_of_weights_is_compared_at_any_depth(
    both: dict[str, Any], chip: dict[str, Any], chat: dict[str, Any], path: str | None
) -> None:
    own = {"model_type": "of-our-own", "hidden_size": 32}
    found = [difference.path for difference in compare(own | both | chip, own | both | chat)]
    assert found == ([path] if path else [])


def change_tokenizer(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = folder / "tokenizer.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def drop_added(chip: Path, chat: Path) -> None:
    change_tokenizer(chip, lambda made: made["added_tokens"].pop())


def keep_added_apart(chip: Path, chat: Path) -> None:
    """A token that counts only where it stands alone."""
    change_tokenizer(chip, lambda made: [token.update(single_word=True) for token in made["added_tokens"]])


def mark_special(chip: Path, chat: Path) -> None:
    """Whether a token is shown does not change how text is cut."""
    change_tokenizer(chip, lambda made: [token.update(special=False) for token in made["added_tokens"]])


def give_tables(chip: Path, chat: Path) -> None:
    """Table and rules in files of their own, the rules not the chat parent's."""
    change_tokenizer(
        chat,
        lambda made: made["model"].update(
            type="BPE", merges=[], continuing_subword_prefix=None, end_of_word_suffix=None
        ),
    )
    document = json.loads((chat / "tokenizer.json").read_text())
    (chip / "tokenizer.json").unlink()
    (chip / "vocab.json").write_text(json.dumps(document["model"]["vocab"]))
    (chip / "merges.txt").write_text("#version: 0.2\ns l\n")


def give_sentencepiece(chip: Path, chat: Path) -> None:
    (chip / "tokenizer.json").unlink()
    (chip / "tokenizer.model").write_bytes(b"somebody's")


def give_tiktoken(chip: Path, chat: Path) -> None:
    for folder in (chip, chat):
        (folder / "tokenizer.json").unlink()
        (folder / "qwen.tiktoken").write_text(f"{folder.name} 0\n")


def give_cases(chip: Path, chat: Path) -> None:
    """The same list of words, of which one tokenizer reads every text in small letters."""
    for folder in (chip, chat):
        words = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
        (folder / "tokenizer.json").unlink()
        (folder / "vocab.txt").write_text("\n".join(words))
        said = {"tokenizer_class": "BertTokenizer", "do_lower_case": folder.name == "chip"}
        (folder / "tokenizer_config.json").write_text(json.dumps(said))


def give_encoders(chip: Path, chat: Path) -> None:
    for folder in (chip, chat):
        (folder / "tokenizer.json").unlink()
        (folder / "encoder.json").write_text(json.dumps({folder.name: 0}))


def drop_tokenizer(chip: Path, chat: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (chip / name).unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (drop_added, "by another list of added tokens: for example '"),
        (keep_added_apart, "by another list of added tokens: for example '"),
        (mark_special, ""),
        (give_tables, "the parents cut text differently, merges.txt differs"),
        (give_sentencepiece, "the chip parent has tokenizer.model, the chat parent tokenizer.json, and only"),
        (give_tiktoken, "qwen.tiktoken differs"),
        (give_cases, "do_lower_case is True and False"),
        (give_encoders, "encoder.json differs"),
        (drop_tokenizer, "warning: the chip parent has no tokenizer"),
    ],
)
def test_tokenizers_that_cut_text_otherwise_are_not_merged_unseen(
    pair: Path, capsys: pytest.CaptureFixture[str], change: Change, said: str
) -> None:
    change(pair / "chip", pair / "chat")
    found = run(pair, capsys)
    assert said in found if said else "refused" not in found


def test_tokens_that_are_never_written_move_with_the_vocabulary(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = json.loads((pair / "chat" / "tokenizer.json").read_text())["model"]["vocab"]
    order = list(words)
    swapped = {word: number for number, word in enumerate([*order[:4], *order[4:][::-1]])}
    last = len(order) - 1
    change_tokenizer(pair / "chip", lambda made: made["model"].update(vocab=swapped))
    never = {"suppress_tokens": [4, 5], "bad_words_ids": [[4, last]], "eos_token_id": 2, "max_length": 4}
    (pair / "chat" / "generation_config.json").write_text(json.dumps(never))
    assert "refused" not in run(pair, capsys, 'vocab = "chip"')
    generation = json.loads((pair / "out" / "generation_config.json").read_text())
    assert generation == {
        "suppress_tokens": [last, last - 1],
        "bad_words_ids": [[last, 4]],
        "eos_token_id": 2,
        "max_length": 4,
    }


@pytest.mark.parametrize(("base", "is_doubted"), [("chip", True), ("chat", False)])
def test_a_base_that_is_the_chip_parent_is_doubted(
    pair: Path, capsys: pytest.CaptureFixture[str], base: str, *, is_doubted: bool
) -> None:
    found = run(pair, capsys, 'method = "task_arithmetic"', f'[base]\nmodel = "{base}"\n')
    assert ("warning: the base is the chip parent, which so adds nothing" in found) is is_doubted


RULES = '[[schedule]]\ntensors = "*.mlp.*"\nlam = 0.2\n[[schedule]]\ntensors = "*.up_proj.*"\nlam = 0.9\n'


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ('[dtypes]\n"lm_haed.*" = "float32"\n', "dtypes: 'lm_haed.*' fits no tensor"),
        ('[dtypes]\n"*norm*" = "float32"\n', ""),
        (RULES, "schedule 2 decides no tensor: rules before it take all that it fits"),
        ('[[schedule]]\nlayers = [0, 0]\nlam = 0.2\n[[schedule]]\ntensors = "*.mlp.*"\nlam = 0.9\n', ""),
    ],
)
def test_a_rule_that_decides_nothing_is_refused(
    pair: Path, capsys: pytest.CaptureFixture[str], tables: str, said: str
) -> None:
    found = run(pair, capsys, tables=tables)
    assert said in found if said else "refused" not in found


SWAPPED = "[[slice]]\nlayers = [1, 1]\n[[slice]]\nlayers = [0, 1]\n"


@pytest.mark.parametrize(
    ("config", "only_in_first", "said"),
    [
        ({}, False, ""),
        ({}, True, "layer 1 comes in the place of layer 0, which has other tensors"),
        ({"layer_types": ["full_attention"] * 2}, True, ""),  # cut with the layers
        ({"layer_types": ["full_attention"] * 3}, False, "config.json says in layer_types which layers are what"),
        ({"mlp_only_layers": [0]}, False, "config.json says in mlp_only_layers which layers are what"),
        ({"mlp_only_layers": []}, False, ""),
    ],
)
def test_layers_that_a_config_counts_are_not_moved_unseen(
    pair: Path, capsys: pytest.CaptureFixture[str], config: dict[str, Any], *, only_in_first: bool, said: str
) -> None:
    for side in ("chip", "chat"):
        rewrite_config(pair / side, **config)
        if only_in_first:
            rewrite_tensors(pair / side, {"model.layers.0.mlp.gate.weight": torch.ones(4, 32)})
    found = run(pair, capsys, tables=SWAPPED)
    assert said in found if said else "refused" not in found
