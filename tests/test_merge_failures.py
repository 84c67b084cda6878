"""Disks that fill up, files that cannot be read, headers that lie: one clear error each, and what was there before is
still there.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import random
import resource
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from merge.commands.preview import preview_merge
from merge.errors import CheckpointCorrupt, MergeError, OutputFull
from merge.merging.card import render_card
from merge.merging.merger import Watcher, merge_parents
from merge.models.checkpoint import (
    HEADER_LIMIT_BYTES,
    JSON_LIMIT_BYTES,
    Checkpoint,
    StoredTensor,
    TensorSpec,
    read_header,
    read_json_object,
)
from merge.models.layout import INDEX, WEIGHTS
from merge.recipe import DECISIONS, Recipe
from merge.settings import MergeSettings
from tests.attack import Attack
from tests.tiny_models import WORDS, make_recipe, write_adapter, write_llama, write_tokenizer

MERGED_EVERY = 50  # so many mutated files are read for five that are merged too
LIES: list[Any] = [
    -1,
    0,
    2**31,
    2**64,
    10**30,
    1e300,
    math.nan,
    None,
    True,
    "",
    "F32",
    "..",
    "../x",
    "\ud800",
    [],
    {},
    [0, 0],
    [[1]],
    {"x": {}},
]
COMPANIONS = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    INDEX,
    "chat_template.jinja",
)


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """A recipe whose output, 0.3 MB, is at `out` already, merged at another lam."""
    recipe = make_recipe(
        *(write_llama(tmp_path / name, seed, vocab_size=2048) for name, seed in (("chip", 1), ("chat", 2)))
    )
    run(replace(recipe, lam=0.1), tmp_path / "out")
    return recipe


def run(recipe: Recipe, out: Path, **options: Any) -> None:
    merge_parents(recipe, out, MergeSettings(out.parent / "home"), render_card, **options)


def read_folder(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def run_with_limit(recipe: Recipe, out: Path, largest_bytes: int, errors: Any) -> None:
    """Merge in a process that may write no file larger than this, as under a quota; in a process of its own."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_bytes, largest_bytes))
    try:
        run(recipe, out)
    except MergeError as error:
        errors.put((type(error).__name__, str(error)))


@pytest.mark.parametrize("largest_bytes", [4_000, 200_000])
def test_a_file_that_may_not_grow_is_one_clear_error(tmp_path: Path, recipe: Recipe, largest_bytes: int) -> None:
    before = read_folder(tmp_path / "out")
    context = multiprocessing.get_context("spawn")
    errors = context.SimpleQueue()
    arguments = (recipe, tmp_path / "out", largest_bytes, errors)
    process = context.Process(target=run_with_limit, args=arguments, daemon=True)
    process.start()
    kind, sentence = errors.get()
    process.join()
    assert kind == "OutputFull"
    assert sentence.startswith(f"no room left for {tmp_path / 'out'}. Free some space")
    assert read_folder(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chat", "chip", "out"]


@pytest.mark.parametrize("kept_bytes", [0, 400_000])
def test_a_full_disk_is_one_clear_error_and_the_earlier_output_stays(
    tmp_path: Path, recipe: Recipe, small_disk: Path, kept_bytes: int
) -> None:
    out = small_disk / "out"
    shutil.copytree(tmp_path / "out", out)
    before = read_folder(out)
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    weights = (out / WEIGHTS).stat().st_size
    # Room for the weights but not for what goes with them, or for nothing
    spare = weights + 8_000 if kept_bytes else 4096
    (small_disk / "filler").write_bytes(bytes(max(free - spare, 0) // 4096 * 4096))
    with pytest.raises(OutputFull, match="disk"):
        merge_parents(recipe, out, MergeSettings(tmp_path / "home"), render_card)
    assert read_folder(out) == before
    assert sorted(path.name for path in small_disk.iterdir()) == ["filler", "out"]


def test_a_parent_that_breaks_off_in_the_middle_of_a_merge_is_one_clear_error(tmp_path: Path, recipe: Recipe) -> None:
    class Cutter(Watcher):
        def say(self, text: str) -> None:
            if text.startswith("merging"):
                os.truncate(tmp_path / "chip" / WEIGHTS, 100_000)

    before = read_folder(tmp_path / "out")
    with pytest.raises(
        CheckpointCorrupt, match=r"chip/model\.safetensors: the file ends inside tensor .*Copy the file anew"
    ):
        run(recipe, tmp_path / "out", watcher=Cutter())
    assert read_folder(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chat", "chip", "out"]


@pytest.mark.skipif(
    not Path("/proc/self/mem").exists(), reason="the one file that is sure to give a read error is Linux's"
)
def test_a_read_error_names_file_and_tensor() -> None:
    path = Path("/proc/self/mem")  # nothing is at address 0: reading there is an input/output error
    fd = os.open(path, os.O_RDONLY)
    with pytest.raises(CheckpointCorrupt, match=r"/proc/self/mem: tensor t cannot be read: Input/output error"):
        StoredTensor(TensorSpec("t", "F32", (4,), path, 0), fd).read(0, 4)
    os.close(fd)


def test_a_hundred_megabytes_of_header_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / WEIGHTS
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 100_000_000))
        file.truncate(300_000_000)
    with pytest.raises(
        CheckpointCorrupt, match=f"claims 100000000 bytes, more than any model's \\({HEADER_LIMIT_BYTES} are allowed"
    ):
        read_header(path)


def test_an_index_of_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / INDEX).open("wb") as file:
        file.truncate(JSON_LIMIT_BYTES + 1)
    with pytest.raises(CheckpointCorrupt, match="more than any such file of a model"):
        read_json_object(tmp_path / INDEX)


def flip_bytes(raw: bytes, dice: random.Random) -> bytes:
    changed = bytearray(raw)
    for _ in range(dice.randint(1, 4)):
        changed[dice.randrange(len(changed))] = dice.randrange(256)
    return bytes(changed)


def cut_off(raw: bytes, dice: random.Random) -> bytes:
    return raw[: dice.randrange(len(raw))]


def insert_bytes(raw: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(raw))
    return raw[:at] + dice.randbytes(dice.randint(1, 40)) + raw[at:]


def change_length(raw: bytes, dice: random.Random) -> bytes:
    return (
        struct.pack("<Q", dice.choice([0, 1, 7, len(raw), 2**31, 2**63, 2**64 - 1, dice.randrange(len(raw))])) + raw[8:]
    )


def change_header(raw: bytes, dice: random.Random) -> bytes:
    """The header with one of its values replaced by something that a liar would write there."""
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    lies = [*LIES, 2**63, [2**40, 2**40]]
    name = dice.choice(sorted(header))
    if dice.random() < 0.2 or not isinstance(header[name], dict):
        header[dice.choice(["", "\n", "../x", "__metadata__", "\ud800", name + "x"])] = header.pop(name)
    else:
        key = dice.choice([*sorted(header[name]), "more"])
        value = header[name].get(key)
        if isinstance(value, list) and value and dice.random() < 0.6:
            value[dice.randrange(len(value))] = dice.choice(lies)
        else:
            header[name][key] = dice.choice(lies)
    changed = json.dumps(header).encode()
    return struct.pack("<Q", len(changed)) + changed + raw[8 + length :]


def change_value(raw: bytes, dice: random.Random) -> bytes:
    """A JSON file with a value somewhere in it replaced, renamed or taken away; bytes of one that is not JSON are
    flipped.
    """
    try:
        document: Any = json.loads(raw)
    except ValueError:
        return flip_bytes(raw, dice)
    holder = document
    while True:
        key: Any = dice.choice(sorted(holder) if isinstance(holder, dict) else range(len(holder)))
        if not holder[key] or not isinstance(holder[key], dict | list) or dice.random() < 0.3:
            break
        holder = holder[key]
    if dice.random() < 0.2:
        value = holder.pop(key)
        if isinstance(holder, dict) and dice.random() < 0.5:
            holder[dice.choice(["", "\n", "../x", key + "x"])] = value
    else:
        holder[key] = dice.choice(LIES)
    return json.dumps(document).encode()


MUTATORS: list[Callable[[bytes, random.Random], bytes]] = [
    flip_bytes,
    cut_off,
    insert_bytes,
    change_length,
    change_header,
]


@pytest.mark.attack
def test_mutated_files_are_read_or_refused(tmp_path: Path, attack: Attack) -> None:
    shape: dict[str, Any] = {"vocab_size": 16, "num_hidden_layers": 1, "hidden_size": 8, "intermediate_size": 8}
    chip, chat = (write_llama(tmp_path / name, seed, **shape) for name, seed in (("chip", 1), ("chat", 2)))
    raw, dice = (chip / WEIGHTS).read_bytes(), random.Random(0)
    header_bytes = 8 + int.from_bytes(raw[:8], "little")
    sentences: list[str] = []
    merged, tries = 0, attack.times(500, full=10_000)
    for number in range(tries):
        mutate = MUTATORS[number % len(MUTATORS)]
        # Where a byte more or less means something
        near = raw[: header_bytes + 32] if mutate in (flip_bytes, insert_bytes) else raw
        (chip / WEIGHTS).write_bytes(mutate(near, dice) + raw[len(near) :])
        try:
            with Checkpoint.open(chip) as checkpoint:
                for spec in checkpoint.specs.values():
                    assert checkpoint.tensor(spec.name).read(0, spec.numel).size == spec.numel
            if number % MERGED_EVERY < len(MUTATORS):
                run(make_recipe(chip, chat), tmp_path / "out", force=True)
                merged += 1
        except MergeError as error:
            sentences.append(str(error))
    assert len(sentences) > tries / 2
    assert merged > 0
    attack.report(
        "mutated safetensors files, read whole", tries, [sentence for sentence in sentences if "\n" in sentence]
    )
    assert {path.name for path in tmp_path.iterdir()} <= {"chip", "chat", "out"}


@pytest.mark.parametrize("bits", [0x7F80, 0xFF80, 0x7FC0])
def test_bfloat16_infinities_and_nan_are_found_wherever_they_stand(tmp_path: Path, bits: int) -> None:
    import torch

    chip, chat = (write_llama(tmp_path / name, seed, dtype=torch.bfloat16) for name, seed in (("chip", 1), ("chat", 2)))
    spec = read_header(chip / WEIGHTS)["model.norm.weight"]
    with (chip / WEIGHTS).open("r+b") as file:
        file.seek(spec.offset + 2 * 31)
        file.write(struct.pack("<H", bits))
    with pytest.raises(
        MergeError, match=r"chip parent: tensor model\.norm\.weight holds (nan|inf|-inf) at flat position 31"
    ):
        run(make_recipe(chip, chat, dtype="bfloat16"), tmp_path / "out")


@pytest.mark.attack
def test_changed_companions_are_read_or_refused(tmp_path: Path, attack: Attack) -> None:
    """Index, config, tokenizer and adapter config of either parent, with whatever a liar would write into one value of
    them.
    """
    shape: dict[str, Any] = {"num_hidden_layers": 1, "hidden_size": 8, "intermediate_size": 8, "shards_of": "3KB"}
    chip, chat = (write_llama(tmp_path / name, seed, **shape) for name, seed in (("chip", 1), ("chat", 2)))
    write_tokenizer(chip, (*WORDS, "hold_buffer"))
    (chip / "generation_config.json").write_text('{"eos_token_id": [1, 2], "bos_token_id": 0}')
    adapter = write_adapter(tmp_path / "adapter", chip, seed=3)
    files = [folder / name for folder in (chip, chat) for name in COMPANIONS] + [adapter / "adapter_config.json"]
    originals = {path: path.read_bytes() for path in files if path.exists()}
    dice, sentences, outside = random.Random(0), list[str](), sorted(tmp_path.iterdir())
    settings, tries = MergeSettings(tmp_path / "home"), attack.times(300, full=3_000)
    for number in range(tries):
        path = sorted(originals)[number % len(originals)]
        path.write_bytes(
            dice.choice([change_value, change_value, change_value, flip_bytes, cut_off])(originals[path], dice)
        )
        decisions = {key: dice.choice(DECISIONS[key]) for key in ("vocab", "config")}
        try:
            preview_merge(make_recipe(chip, chat, adapter, **decisions), settings, say=lambda text: None)
        except MergeError as error:
            sentences.append(str(error))
        path.write_bytes(originals[path])
    assert len(sentences) > tries / 3
    attack.report(
        "changed configs, indexes and tokenizers", tries, [sentence for sentence in sentences if "\n" in sentence]
    )
    assert sorted(tmp_path.iterdir()) == outside
