"""Weights that somebody else wrote, with harm in mind or broken on the way: each is read right or refused in a
sentence.

What is merged, looked at and served is tried here with files that lie: sizes, names, types, patterns, pipes. Nothing
else is ever raised, nothing takes long, nothing is left behind.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch

from merge.commands.preview import preview_merge
from merge.errors import SCREEN, AdapterUnsupported, CheckpointCorrupt, MergeError, RecipeError
from merge.merging.card import render_card
from merge.merging.journal import JOURNAL, Journal, is_taken_up
from merge.merging.merger import merge_parents
from merge.merging.report import REPORT
from merge.merging.verify import VerifyOptions, verify_checkpoint
from merge.models.gguf_header import read_gguf
from merge.models.parents import Resolver
from merge.models.staging import staged_folder
from merge.recipe import ParentRef, Recipe
from merge.recipe_file import load_recipe
from merge.settings import MergeSettings
from serve.running.weights import weight_problems
from tests.attack import Attack
from tests.conftest import free_port
from tests.rows import for_each
from tests.test_merge_failures import MUTATORS, change_value, cut_off, flip_bytes
from tests.tiny_models import make_recipe, read_tensors, rewrite_config, write_adapter, write_llama

SECONDS = 20.0  # no try takes as long; a hang does
TINY: dict[str, Any] = {"vocab_size": 16, "num_hidden_layers": 1, "hidden_size": 8, "intermediate_size": 8}
WEIGHTS, INDEX, CONFIG, ADAPTER_CONFIG = (
    "model.safetensors",
    "model.safetensors.index.json",
    "config.json",
    "adapter_config.json",
)
ESCAPES = "\x1b[2J\x07\n\r\u202e\u2066"
Try = Callable[[], object]


@pytest.fixture
def parents(tmp_path: Path) -> tuple[Path, Path]:
    """A chip and a chat model of a few thousand numbers."""
    return write_llama(tmp_path / "chip", seed=1, **TINY), write_llama(tmp_path / "chat", seed=2, **TINY)


def look(recipe: Recipe, home: Path) -> None:
    """All that a merge does before it reads its first tensor."""
    preview_merge(recipe, MergeSettings(home), say=lambda text: None)


def run(recipe: Recipe, out: Path) -> None:
    """A merge as the command makes it."""
    merge_parents(recipe, out, MergeSettings(out.parent / "home"), render_card, force=True)


def outcome(attempt: Try) -> tuple[str | None, str]:
    """(what is wrong with how a try ended, the sentence that it ended in)."""
    started = time.monotonic()
    sentence = ""
    try:
        attempt()
    except MergeError as error:
        sentence = str(error)
    except Exception as error:  # what must not come up, whatever it is
        return f"{type(error).__name__}: {error}", ""
    if not sentence.isprintable() or len(sentence) > SCREEN:
        return f"a message that is not a line: {sentence!r}", sentence
    took = time.monotonic() - started
    return (f"{took:.0f} s: {sentence}" if took > SECONDS else None), sentence


def refusal(attempt: Try) -> str:
    """The sentence of a try that must be refused."""
    wrong, sentence = outcome(attempt)
    assert wrong is None, wrong
    assert sentence
    return sentence


@pytest.mark.attack
def test_mutated_safetensors_are_merged_right_or_refused(
    tmp_path: Path, parents: tuple[Path, Path], attack: Attack
) -> None:
    chip, _ = parents
    raw, dice = (chip / WEIGHTS).read_bytes(), random.Random(11)
    header = 8 + int.from_bytes(raw[:8], "little")
    names, tries, failures, refused = set(read_tensors(chip)), attack.times(500, full=5_000), list[str](), 0
    merged, looked = (
        (lambda: run(make_recipe(*parents), tmp_path / "out")),
        (lambda: look(make_recipe(*parents), tmp_path / "home")),
    )
    for number in range(tries):
        mutate = MUTATORS[number % len(MUTATORS)]
        near = raw[: header + 32]
        (chip / WEIGHTS).write_bytes(mutate(near, dice) + raw[len(near) :])
        whole = number % 20 == 0  # most are looked at, for a merge is a thousand files' writing
        wrong, sentence = outcome(merged if whole else looked)
        refused += bool(sentence)
        if wrong is None and whole and not sentence and set(read_tensors(tmp_path / "out")) != names:
            wrong = "a merge with other tensors"
        failures += [f"{number}: {wrong}"] if wrong else []
    assert refused > tries / 2
    assert {path.name for path in tmp_path.iterdir()} <= {"chip", "chat", "out"}
    attack.report("mutated safetensors files", tries, failures)


def write_gguf(path: Path) -> Path:
    """A whole Llama of one layer, as llama.cpp's tools write it."""
    dice, width = np.random.default_rng(0), 32
    tokens = ["<unk>", "<s>", "</s>", "a", "b", "ab", *(f"w{number}" for number in range(10))]
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_block_count(1)
    writer.add_context_length(32)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(8)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3] + [1] * (len(tokens) - 3))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    shapes = {
        "token_embd": (len(tokens), width),
        "output_norm": (width,),
        "blk.0.attn_norm": (width,),
        "blk.0.ffn_norm": (width,),
    }
    shapes |= {
        "blk.0.attn_q": (width, width),
        "blk.0.attn_k": (16, width),
        "blk.0.attn_v": (16, width),
        "blk.0.attn_output": (width, width),
    }
    shapes |= {"blk.0.ffn_gate": (64, width), "blk.0.ffn_up": (64, width), "blk.0.ffn_down": (width, 64)}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", dice.normal(0, 0.1, shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def lie_in_gguf(raw: bytes, dice: random.Random) -> bytes:
    """One number of the header, wherever one may stand, replaced by what a liar would write there."""
    at, letter = dice.randrange(4, len(raw) - 8), dice.choice("IQ")
    lie = dice.choice(
        [
            0,
            1,
            2,
            8,
            9,
            255,
            1024,
            2**20,
            2**31 - 1,
            2**31,
            2**32 - 1,
            *([2**40, 2**62, 2**63, 2**64 - 1] if letter == "Q" else []),
        ]
    )
    return raw[:at] + struct.pack(f"<{letter}", lie) + raw[at + struct.calcsize(f"<{letter}") :]


def rename_in_gguf(raw: bytes, dice: random.Random) -> bytes:
    """A letter of some name or text changed, so that lengths stay right."""
    letters = [at for at in range(24, len(raw)) if chr(raw[at]).isalpha()]
    at = dice.choice(letters)
    return raw[:at] + dice.choice([b"x", b"0", b".", b"\x1b", b"\xff", b"\n"]) + raw[at + 1 :]


@pytest.mark.attack
def test_mutated_gguf_files_are_converted_whole_or_refused(tmp_path: Path, attack: Attack) -> None:
    source = write_gguf(tmp_path / "whole.gguf")
    elements = read_gguf(source).elements
    raw, dice = source.read_bytes(), random.Random(12)
    data = len(raw) - elements * 4
    mutators = [lie_in_gguf, lie_in_gguf, rename_in_gguf, flip_bytes, cut_off]
    tries, failures, refused, left = attack.times(500, full=5_000), list[str](), 0, attack.times(8, full=400)
    bad = tmp_path / "bad.gguf"
    for number in range(tries):
        mutate = mutators[number % len(mutators)]
        bad.write_bytes(mutate(raw, dice) if mutate is cut_off else mutate(raw[:data], dice) + raw[data:])
        wrong, sentence = outcome(lambda: read_gguf(bad))
        # The library, which takes a tenth of a second or more, is given those that pass
        if not wrong and not sentence and left:
            left -= 1
            with Resolver(tmp_path, MergeSettings(tmp_path / "home"), say=lambda text: None) as resolver:
                wrong, sentence = outcome(partial(resolver.dequantise, bad))
            made = list((tmp_path / "home" / "models").iterdir())
            if (
                wrong is None
                and not sentence
                and sum(tensor.numel() for tensor in read_tensors(made[0]).values()) != elements
            ):
                wrong = "a model of another size"
            if sentence and made:
                wrong = f"left behind {made}"
            shutil.rmtree(tmp_path / "home")
        refused += bool(sentence)
        failures += [f"{number}: {wrong}"] if wrong else []
    assert refused > tries / 4
    attack.report("mutated GGUF files", tries, failures)


def test_a_gguf_model_with_a_tensor_missing_is_not_made_up_of_random_numbers(tmp_path: Path) -> None:
    raw = write_gguf(tmp_path / "whole.gguf").read_bytes()
    (tmp_path / "other.gguf").write_bytes(raw.replace(b"blk.0.ffn_up.weight", b"blk.0.ffn_xx.weight"))
    with Resolver(tmp_path, MergeSettings(tmp_path / "home"), say=lambda text: None) as resolver:
        assert "it lacks 1 of the model's tensors, model.layers.0.mlp.up_proj.weight" in refusal(
            lambda: resolver.dequantise(tmp_path / "other.gguf")
        )


@pytest.mark.attack
def test_changed_adapters_are_folded_or_refused(tmp_path: Path, parents: tuple[Path, Path], attack: Attack) -> None:
    adapter = write_adapter(tmp_path / "adapter", parents[0], seed=3, target_modules=["q_proj"])
    files = [adapter / ADAPTER_CONFIG, adapter / "adapter_model.safetensors"]
    originals, dice = {path: path.read_bytes() for path in files}, random.Random(13)
    patterns = ["(a+)+$", "((a{1,100}){1,100}){1,100}b", "(?:", "a" * 5_000, "(?R)", "(.*)*q", "\\"]
    tries, failures = attack.times(200, full=3_000), list[str]()
    for number in range(tries):
        path = files[number % 2]
        changed = (
            dice.choice([change_value, flip_bytes, cut_off])(originals[path], dice)
            if number % 2 == 0
            else dice.choice(MUTATORS)(originals[path], dice)
        )
        if number % 10 == 0:
            wrongs: dict[str, Any] = {
                "r": dice.choice([0, -1, "8", 1e9, None, [], {}]),
                "lora_alpha": dice.choice([0, "x", 1e308, float("nan"), None, True, 10**400]),
            }
            wrongs |= {
                "alpha_pattern": {dice.choice(patterns): 2},
                "rank_pattern": {dice.choice(patterns): {}},
                "target_modules": dice.choice([{}, 1, "a"]),
            }
            chosen = dice.sample(sorted(wrongs), 2)
            changed = json.dumps({**json.loads(originals[path]), **{key: wrongs[key] for key in chosen}}).encode()
        path.write_bytes(changed)
        wrong, _ = outcome(lambda: look(make_recipe(*parents, adapter), tmp_path / "home"))
        failures += [f"{number}: {wrong}"] if wrong else []
        path.write_bytes(originals[path])
    attack.report("changed adapters", tries, failures)


WEIGHT_MAPS: list[Any] = [
    [],
    {},
    "x",
    7,
    None,
    {"a": []},
    {"a": {}},
    {"a": 1},
    {"a": None},
    {"a": "../chat/model.safetensors"},
    {"a": "/etc/passwd"},
    {"a": ""},
    {"a": "."},
    {"a": "folder.safetensors"},
    {"a": "pipe.safetensors"},
    {"a": f"{ESCAPES}.safetensors"},
    {"a": "x" * 100_000},
    {ESCAPES: "model.safetensors"},
    {"a\x00": "m.safetensors"},
    {"x" * 10_000: "model.safetensors"},
    {"a": "loop.safetensors"},
    {"a": "\ud800.safetensors"},
]


@pytest.mark.parametrize("weight_map", WEIGHT_MAPS, ids=lambda value: repr(value)[:30])
def test_an_index_that_leads_elsewhere_is_one_sentence_before_merging_and_serving(
    tmp_path: Path, parents: tuple[Path, Path], weight_map: Any
) -> None:
    chip, _ = parents
    (chip / WEIGHTS).rename(chip / "one.safetensors")
    (chip / "folder.safetensors").mkdir()
    os.mkfifo(chip / "pipe.safetensors")
    (chip / "loop.safetensors").symlink_to("loop.safetensors")
    (chip / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    refusal(lambda: look(make_recipe(*parents), tmp_path / "home"))
    problems = list(weight_problems(chip))
    assert problems
    assert all(problem.isprintable() and len(problem) < 500 for problem in problems)


@pytest.mark.parametrize(
    "content", [b"[" * 1_000_000, b'{"weight_map":' * 100_000, b"\x00" * 1000, b"{}", b'{"weight_map": {"a": NaN}}']
)
def test_an_index_that_is_not_an_index_is_one_sentence(
    tmp_path: Path, parents: tuple[Path, Path], content: bytes
) -> None:
    (parents[0] / WEIGHTS).unlink()
    (parents[0] / INDEX).write_bytes(content)
    refusal(lambda: look(make_recipe(*parents), tmp_path / "home"))
    assert len(list(weight_problems(parents[0]))) == 1


@pytest.mark.parametrize(
    "name",
    [CONFIG, WEIGHTS, "tokenizer.json", "chat_template.jinja", "generation_config.json", ADAPTER_CONFIG, "model.gguf"],
)
def test_a_pipe_or_a_device_in_place_of_a_file_is_not_waited_for(
    tmp_path: Path, parents: tuple[Path, Path], name: str
) -> None:
    adapter = write_adapter(tmp_path / "adapter", parents[0], seed=3)
    folder = adapter if name == ADAPTER_CONFIG else parents[0]
    for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir):
        (folder / name).unlink(missing_ok=True)
        make(folder / name)
        recipe = make_recipe(folder / name if name.endswith("gguf") else parents[0], parents[1], adapter)
        needed = name not in ("tokenizer.json", "chat_template.jinja", "generation_config.json")
        for attempt in (partial(look, recipe, tmp_path / "home"), partial(run, recipe, tmp_path / "out")):
            wrong, sentence = outcome(attempt)
            assert wrong is None, wrong
            assert sentence or not needed
        if name == WEIGHTS:
            assert len(list(weight_problems(folder))) == 1
        (folder / name).rmdir() if (folder / name).is_dir() else (folder / name).unlink()


def entry(**changes: Any) -> dict[str, Any]:
    """A header's entry of four bytes."""
    return {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **changes}


HEADERS: dict[str, Any] = {
    "overlap": {"a": entry(), "b": entry(data_offsets=[2, 6])},
    "negative": {"a": entry(data_offsets=[-4, 0])},
    "huge": {"a": entry(data_offsets=[0, 2**70], shape=[2**68])},
    "digits": {"a": entry(shape=[10**4000] * 100)},
    "dimensions": {"a": entry(shape=[1] * 10_000)},
    "not a number": {"a": entry(shape=[float("nan")])},
    "zero times huge": {"a": entry(shape=[0, 2**62, 2**62], data_offsets=[0, 0])},
    "dtype": {"a": entry(dtype="F" * 10_000)},
    "escapes": {ESCAPES: entry()},
    "bidi": {"a\u202eb": entry()},
    "long name": {"layers." + "9" * 10_000 + ".w": entry()},
    "deep": {"a": entry(more=json.loads("[" * 400 + "]" * 400))},
    "list": [entry()],
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_lies_is_one_sentence(tmp_path: Path, parents: tuple[Path, Path], name: str) -> None:
    text = json.dumps(HEADERS[name]).encode()
    (parents[0] / WEIGHTS).write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))
    refusal(lambda: look(make_recipe(*parents), tmp_path / "home"))
    assert all(problem.isprintable() and len(problem) < 500 for problem in weight_problems(parents[0]))


def test_a_layer_of_a_thousand_digits_is_not_a_layer(tmp_path: Path, parents: tuple[Path, Path]) -> None:
    for folder in parents:
        tensors = {**read_tensors(folder), "model.layers." + "9" * 400 + ".w": torch.ones(4)}
        gone = {"format": "pt"}
        from safetensors.torch import save_file

        save_file(tensors, folder / WEIGHTS, metadata=gone)
    wrong, _ = outcome(lambda: look(make_recipe(*parents, lam=(0.2, 0.8)), tmp_path / "home"))
    assert wrong is None


def hostile_configs() -> Iterator[tuple[str, bytes]]:
    """Files in the place of config.json, tokenizer.json and adapter_config.json."""
    yield "deep lists", b'{"a":' + b"[" * 900 + b"]" * 900 + b"}"
    yield "deeper", b'{"a":' * 100_000
    yield "large", b'{"a": "' + b"x" * 3_000_000 + b'"}'
    yield "twice", b'{"model_type": "llama", "model_type": "qwen"}'
    yield "number", b'{"vocab_size": ' + b"9" * 10_000 + b"}"
    yield (
        "escapes",
        json.dumps({"model_type": ESCAPES, "architectures": [ESCAPES], "rope_scaling": {ESCAPES: 1}}).encode(),
    )
    yield (
        "types",
        json.dumps(
            {
                key: [{}]
                for key in ("model_type", "vocab_size", "hidden_size", "rope_theta", "tie_word_embeddings", "dtype")
            }
        ).encode(),
    )
    yield "nothing", b""
    yield "text", b'"config"'
    yield "UTF-16", "{}".encode("utf-16")


@pytest.mark.parametrize(
    ("name", "content"), list(hostile_configs()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_configs_of_any_content_are_one_sentence_or_looked_through(
    tmp_path: Path, parents: tuple[Path, Path], name: str, content: bytes
) -> None:
    adapter = write_adapter(tmp_path / "adapter", parents[0], seed=3)
    for path in (
        parents[0] / CONFIG,
        parents[1] / CONFIG,
        parents[1] / "tokenizer.json",
        parents[1] / "tokenizer_config.json",
        adapter / ADAPTER_CONFIG,
    ):
        before = path.read_bytes()
        path.write_bytes(content)
        wrong, _ = outcome(lambda: look(make_recipe(*parents, adapter, vocab="chat", config="chat"), tmp_path / "home"))
        assert wrong is None, f"{path.name}: {wrong}"
        path.write_bytes(before)


@for_each(
    "text",
    [
        "a = " + "[" * 5_000,
        "a = " + "9" * 10_000,
        "[merge]\nlam = nan",
        "[merge]\ninclude = [1]",
        "\x00",
        "[chip]\nmodel = 'x'\nmodel = 'y'",
    ],
)
def test_a_recipe_of_any_content_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(RecipeError):
        load_recipe(tmp_path / "r.toml")


@pytest.mark.parametrize(
    "ref", ["~nobody-of-this-name/x", "x" * 10_000, "a\x1b[2Jb", "../" * 2_000, "pipe.gguf", "org/name@" + "y" * 5000]
)
def test_a_parent_of_any_name_is_one_sentence(tmp_path: Path, parents: tuple[Path, Path], ref: str) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    recipe = Recipe(chip=ParentRef(ref), chat=ParentRef(str(parents[1])), base=tmp_path)
    refusal(lambda: look(recipe, tmp_path / "home"))


def test_a_pattern_of_many_stars_is_matched_in_no_time(tmp_path: Path, parents: tuple[Path, Path]) -> None:
    started = time.monotonic()
    refusal(
        lambda: look(make_recipe(*parents, include=("*a" * 500 + "b", "model" + "*" * 2_000 + "!")), tmp_path / "home")
    )
    assert time.monotonic() - started < SECONDS


def test_python_code_of_a_parent_is_left_out_and_said(tmp_path: Path, parents: tuple[Path, Path]) -> None:
    code = {"AutoModelForCausalLM": "modeling_evil.Evil", "AutoTokenizer": ["evil.Evil", None]}
    for folder in parents:
        rewrite_config(folder, auto_map=code, custom_pipelines={"x": {}}, vision_config={"auto_map": code, "width": 3})
        for name in ("tokenizer_config.json", "generation_config.json"):
            document = json.loads((folder / name).read_text())
            (folder / name).write_text(json.dumps({**document, "auto_map": code}))
        (folder / "modeling_evil.py").write_text("raise SystemExit(1)")
    run(make_recipe(*parents), tmp_path / "out")
    written = "".join(path.read_text() for path in (tmp_path / "out").glob("*.json") if path.name != REPORT)
    assert "auto_map" not in written
    assert "custom_pipelines" not in written
    assert '"width": 3' in written
    assert not list((tmp_path / "out").glob("*.py"))
    assert json.loads((tmp_path / "out" / REPORT).read_text())["code_left_out"] == [
        "config.json",
        "generation_config.json",
        "tokenizer_config.json",
    ]
    assert "Python code of the parents' own" in (tmp_path / "out" / "README.md").read_text()
    from transformers import AutoModelForCausalLM, AutoTokenizer

    AutoModelForCausalLM.from_pretrained(tmp_path / "out", trust_remote_code=False)
    AutoTokenizer.from_pretrained(tmp_path / "out", trust_remote_code=False)


def test_an_architecture_of_code_alone_is_said(tmp_path: Path, parents: tuple[Path, Path]) -> None:
    from merge.merging.merger import Watcher

    said: list[str] = []

    class Listener(Watcher):
        def say(self, text: str) -> None:
            said.append(text)

    for folder in parents:
        rewrite_config(folder, auto_map={"AutoConfig": "x.Y"}, model_type="evil_one")
    merge_parents(
        make_recipe(*parents), tmp_path / "out", MergeSettings(tmp_path / "home"), render_card, watcher=Listener()
    )
    assert any("transformers has no architecture 'evil_one' itself" in text for text in said)


def test_names_of_others_are_literal_in_the_card(tmp_path: Path, parents: tuple[Path, Path]) -> None:
    evil = tmp_path / "a | b `c` ![x](http:\x1b[2J<img>"
    shutil.move(parents[0], evil)
    (evil / "README.md").write_text("---\nlicense: mit]\\nmodel-index: [\n---\n")
    run(make_recipe(evil, parents[1]), tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "\x1b" not in card
    assert "| chip | ``" in card
    assert r"a \| b `c` ![x](http:\x1b[2J<img>``" in card
    assert "model-index" not in card.partition("\n---\n")[0]


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "7",
        '"x"',
        '{"name": 1}',
        "{}",
        "[" * 100_000,
        '{"name": "t", "shape": [1e9], "theta": {}}',
        "\x00",
        '{"key": "k"}',
    ],
    ids=lambda line: line[:12],
)
def test_a_journal_that_was_tampered_with_is_a_clean_start(tmp_path: Path, line: str) -> None:
    (tmp_path / JOURNAL).write_text('{"key": "k"}\n' + line + "\n")
    with Journal.open(tmp_path, "k") as journal:
        assert journal.done == {}
    assert is_taken_up(tmp_path, "k")


def test_a_journal_that_is_a_link_or_a_pipe_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("kept")
    (tmp_path / JOURNAL).symlink_to(tmp_path / "mine")
    Journal.open(tmp_path, "k").__exit__()
    assert (tmp_path / "mine").read_text() == "kept"
    (tmp_path / JOURNAL).unlink()
    os.mkfifo(tmp_path / JOURNAL)
    Journal.open(tmp_path, "k").__exit__()
    assert is_taken_up(tmp_path, "k")


def test_a_link_to_the_output_stays_a_link(tmp_path: Path, parents: tuple[Path, Path]) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk" / "merged")
    for _ in range(2):
        run(make_recipe(*parents), tmp_path / "out")
        assert (tmp_path / "out").is_symlink()
        assert (tmp_path / "disk" / "merged" / WEIGHTS).is_file()
    assert sorted(path.name for path in (tmp_path / "disk").iterdir()) == ["merged"]


def test_a_staging_folder_that_is_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine").write_text("kept")
    (tmp_path / ".out.partial").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MergeError, match="cannot be written"), staged_folder(tmp_path / "out"):
        pass
    assert (tmp_path / "elsewhere" / "mine").read_text() == "kept"


@pytest.mark.parametrize("place", ["/", "x" * 300, "file/inside"])
def test_an_output_that_is_not_a_place_for_a_folder_is_one_sentence(
    tmp_path: Path, parents: tuple[Path, Path], place: str
) -> None:
    (tmp_path / "file").write_text("kept")
    refusal(
        lambda: merge_parents(make_recipe(*parents), tmp_path / place, MergeSettings(tmp_path / "home"), render_card)
    )
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.attack
def test_changed_reports_are_verified_as_false_or_refused(
    tmp_path: Path, parents: tuple[Path, Path], attack: Attack
) -> None:
    run(make_recipe(*parents), tmp_path / "out")
    raw, dice, tries, failures = (
        (tmp_path / "out" / REPORT).read_bytes(),
        random.Random(14),
        attack.times(200, full=2_000),
        list[str](),
    )
    for number in range(tries):
        (tmp_path / "out" / REPORT).write_bytes(
            dice.choice([change_value, change_value, flip_bytes, cut_off])(raw, dice)
        )
        options = VerifyOptions(sample=0 if number % 4 else None)
        wrong, _ = outcome(
            partial(verify_checkpoint, tmp_path / "out", options, MergeSettings(tmp_path / "home"), lambda text: None)
        )
        if wrong is None and number % 10 == 0:
            wrong, _ = outcome(
                lambda: merge_parents(
                    make_recipe(*parents), tmp_path / "out", MergeSettings(tmp_path / "home"), render_card
                )
            )
        failures += [f"{number}: {wrong}"] if wrong else []
    attack.report("changed reports", tries, failures)


def test_an_adapter_whose_pattern_would_hang_is_refused_at_once(tmp_path: Path, parents: tuple[Path, Path]) -> None:
    adapter = write_adapter(tmp_path / "adapter", parents[0], seed=3)
    document = json.loads((adapter / ADAPTER_CONFIG).read_text())
    (adapter / ADAPTER_CONFIG).write_text(json.dumps({**document, "alpha_pattern": {"(a+)+$": 2}}))
    started = time.monotonic()
    with pytest.raises(AdapterUnsupported, match="not a regular expression that is sure to end soon"):
        look(make_recipe(*parents, adapter), tmp_path / "home")
    assert time.monotonic() - started < SECONDS


def test_no_login_and_no_token_stands_in_a_message(
    tmp_path: Path, parents: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    settings = MergeSettings(tmp_path / "home", hub_endpoint=f"http://engineer:secret@127.0.0.1:{free_port()}")
    with Resolver(tmp_path, settings, say=lambda text: None) as resolver:
        sentence = refusal(lambda: resolver.resolve(ParentRef("org/name"), "chip"))
    assert "127.0.0.1" in sentence
    assert "secret" not in sentence


def test_a_config_larger_than_any_is_refused_unread(tmp_path: Path, parents: tuple[Path, Path]) -> None:
    with (parents[0] / CONFIG).open("wb") as file:
        file.truncate(10**11)
    with pytest.raises(CheckpointCorrupt, match="more than any such file of a model"):
        look(make_recipe(*parents), tmp_path / "home")
