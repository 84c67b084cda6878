"""serve.tokens.tokenizer: what another process reads is what transformers reads here, and what it cannot is said."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from serve.errors import CheckpointNotFound
from serve.tokens import tokenizer as tokenizer_module
from serve.tokens.tokenizer import ServedTokenizer, pack, read_tokenizer, unpack
from tests.rows import for_each

ROOT = Path(__file__).parent.parent
PLAIN, WITH_TOOLS = "{{ messages }}", "{{ tools }}{{ messages }}"


def byte_tokenizer(**options: object) -> PreTrainedTokenizerFast:
    """A tokenizer of bytes, with control tokens and marks around each text."""
    signs = {sign: number for number, sign in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab={**signs, "th": len(signs)}, merges=[("t", "h")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", extra_special_tokens=["<mine>"], **options
    )


def changed(checkpoint: Path, folder: Path, file: str, text: str) -> Path:
    shutil.copytree(checkpoint, folder)
    (folder / file).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bytes")
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens(["<added>"])
    tokenizer.chat_template = {"default": PLAIN, "tool_use": WITH_TOOLS}
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def read(folder: Path) -> ServedTokenizer:
    return read_tokenizer(folder)


@settings(max_examples=100)
@given(some.lists(some.sampled_from(["th", " ", "<s>", "<mine>", "<added>", "é", "🚀", "\x00"]) | some.text()))
def test_a_text_has_the_tokens_that_transformers_gives_it(
    read: ServedTokenizer, folder: Path, parts: list[str]
) -> None:
    text = "".join(parts)
    expected = AutoTokenizer.from_pretrained(folder).encode(text, add_special_tokens=False)
    assert read.backend.encode(text, add_special_tokens=False).ids == expected


def test_templates_and_special_tokens_are_those_of_transformers(read: ServedTokenizer, folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert read.variables == tokenizer.special_tokens_map == {"bos_token": "<s>", "eos_token": "</s>"}
    assert read.special_tokens == ("</s>", "<added>", "<mine>", "<s>")
    assert [read.template_for(None), read.template_for([]), read.template_for([{}])] == [PLAIN, PLAIN, WITH_TOOLS]


@for_each("splits", [True, False])
def test_control_tokens_are_split_where_a_checkpoint_splits_them(splits: bool) -> None:
    tokenizer = byte_tokenizer(split_special_tokens=splits)
    count = len(unpack(pack(tokenizer)).backend.encode("<mine>", add_special_tokens=False))
    assert count == len(tokenizer.encode("<mine>", add_special_tokens=False)) == (6 if splits else 1)


def test_a_checkpoint_without_a_template_has_an_empty_one() -> None:
    assert unpack(pack(byte_tokenizer())).template_for(None) == ""


@for_each(
    ("file", "text", "says"),
    [
        ("tokenizer.json", "{", r"cannot be read .*: copy the tokenizer's files there anew"),
        (
            "tokenizer_config.json",
            json.dumps({"tokenizer_class": "ByT5Tokenizer"}),
            r"ByT5Tokenizer is .*: put the tok",
        ),
        ("tokenizer_config.json", json.dumps({"chat_template": {"tool_use": "{{ tools }}"}}), "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_line(
    small_checkpoint: Path, tmp_path: Path, file: str, text: str, says: str
) -> None:
    checkpoint = changed(small_checkpoint, tmp_path / "broken", file, text)
    (checkpoint / "chat_template.jinja").unlink(missing_ok=True)
    with pytest.raises(CheckpointNotFound, match=says) as caught:
        read_tokenizer(checkpoint)
    assert "\n" not in str(caught.value)


def test_what_is_only_in_python_is_read_once_the_advice_is_followed(small_checkpoint: Path, tmp_path: Path) -> None:
    in_python = json.dumps({"tokenizer_class": "ByT5Tokenizer", "chat_template": PLAIN})
    checkpoint = changed(small_checkpoint, tmp_path / "byt5", "tokenizer_config.json", in_python)
    with pytest.raises(CheckpointNotFound, match=r"put the tokenizer.json of the same tokens there"):
        read_tokenizer(checkpoint)
    fast = in_python.replace("ByT5Tokenizer", "PreTrainedTokenizerFast")
    (checkpoint / "tokenizer_config.json").write_text(fast)  # the tokenizer.json is there
    assert read_tokenizer(checkpoint).template_for(None)


def test_a_reader_that_ends_early_is_said(small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer_module, "MEMORY_BYTES", 2**20)
    with pytest.raises(CheckpointNotFound, match="its reader ended with exit code"):
        read_tokenizer(small_checkpoint)


def test_the_process_that_counts_loads_neither_transformers_nor_torch(small_checkpoint: Path) -> None:
    program = (
        "import pathlib, sys; from serve.tokens.counter import TokenCounter\n"
        "assert TokenCounter.load(pathlib.Path(sys.argv[1])).count_text('a b') == 2\n"
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program, str(small_checkpoint)]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout == "[]\n"
