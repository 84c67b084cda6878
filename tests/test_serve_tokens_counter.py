"""Tokens are counted with the model's own tokenizer and template, tools and the answer's opening included; what they
refuse is a sentence.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from serve.errors import CheckpointNotFound, RequestError, TooManyTokens
from serve.tokens.counter import TokenCounter, check_tokenizer
from serve.tokens.tokenizer import pack, unpack

QUESTION: dict[str, Any] = {"role": "user", "content": "Which command fixes antenna violations ?"}
STRICT = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}{{ m.content }} {% endfor %}"
)
WITH_TOOLS = (
    "{% if tools %}{% for t in tools %}tool {{ t.function.name }} {% endfor %}{% endif %}{% for m in messages %}{{ "
    "m.content }} {% endfor %}"
)


def with_template(counter: TokenCounter, template: str) -> TokenCounter:
    """A counter with the same tokenizer and another chat template."""
    return TokenCounter(replace(counter._tokenizer, plain_template=template, tool_template=template))


@pytest.mark.parametrize("text", ["x " * 3_500_000, "x" * 7_000_000, "-" * 7_000_000, "\u4fdd" * 2_300_000])
def test_what_no_tokens_could_hold_is_refused_before_it_is_tokenized(tmp_path: Path, text: str) -> None:
    counter = TokenCounter(unpack(pack(byte_tokenizer())))
    counter._renderer = None  # type: ignore[assignment]  # nothing is rendered
    with pytest.raises(TooManyTokens) as caught:
        counter.count_messages([{"role": "user", "content": text}], at_most=8192)
    assert 8192 < caught.value.at_least <= len(text)


def byte_tokenizer() -> Any:
    """A tokenizer of bytes, in which one token holds seven letters."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    signs = {sign: number for number, sign in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab={**signs, "antenna": len(signs)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    fast.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    return fast


def test_the_arguments_of_a_tool_call_are_an_object_to_the_template(counter: TokenCounter) -> None:
    template = (
        "{% for m in messages %}{{ m.content }} {% for c in m.tool_calls or [] %}{% for name, value in "
        "c.function.arguments.items() %}{{ name }} {{ value }} {% endfor %}{% endfor %}{% endfor %}"
    )
    counter = with_template(counter, template)

    def count(arguments: Any) -> int:
        call = {"id": "1", "type": "function", "function": {"name": "run", "arguments": arguments}}
        return counter.count_messages([QUESTION, {"role": "assistant", "content": None, "tool_calls": [call]}])

    bare = count("{}")
    assert count("") == bare
    assert count('{"clock": "core", "period": 2}') == bare + len(["clock", "core", "period", "2"])
    assert count({"clock": "core"}) == bare + 2
    with pytest.raises(RequestError, match="chat template refuses"):
        count("not json")


def test_a_text_counts_without_the_marks_of_a_conversation(counter: TokenCounter) -> None:
    assert counter.count_text("") == 0
    assert counter.count_text("set_wire_rc -layer met2") == len(["set_wire_rc", "-", "layer", "met2"])


def test_a_conversation_counts_with_its_template_and_the_opening_of_the_answer(counter: TokenCounter) -> None:
    words = counter.count_text(QUESTION["content"])
    assert counter.count_messages([QUESTION]) == words + len(["<", "user", ">"]) + len(["<", "assistant", ">"])


def test_parts_count_by_their_text_and_an_image_counts_nothing(counter: TokenCounter) -> None:
    parts = [{"type": "text", "text": QUESTION["content"]}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    assert counter.count_messages([{"role": "user", "content": parts}]) == counter.count_messages([QUESTION])


def test_a_message_without_content_counts_as_an_empty_one(counter: TokenCounter) -> None:
    calls: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": []}
    assert counter.count_messages([QUESTION, calls]) == counter.count_messages(
        [QUESTION, {"role": "assistant", "content": ""}]
    )


def test_tools_count_where_the_template_writes_them(counter: TokenCounter) -> None:
    counter = with_template(counter, WITH_TOOLS)
    tools = [{"type": "function", "function": {"name": name}} for name in ("sta", "route")]
    assert counter.count_messages([QUESTION], tools) == counter.count_messages([QUESTION]) + len(
        ["tool", "sta", "tool", "route"]
    )
    assert counter.count_messages([QUESTION], []) == counter.count_messages([QUESTION], None)


def test_a_conversation_that_the_template_refuses_is_the_clients_fault_and_says_why(counter: TokenCounter) -> None:
    counter = with_template(counter, STRICT)
    assert counter.count_messages([QUESTION]) == counter.count_text(QUESTION["content"])
    with pytest.raises(
        RequestError, match="This model's chat template refuses the conversation: roles must alternate"
    ) as caught:
        counter.count_messages([QUESTION, QUESTION])
    assert (caught.value.status, caught.value.param) == (400, "messages")


def test_tools_that_are_not_tools_are_the_clients_fault_too(counter: TokenCounter) -> None:
    counter = with_template(counter, WITH_TOOLS)
    with pytest.raises(RequestError, match="chat template refuses"):
        counter.count_messages([QUESTION], [7])


def test_a_folder_without_a_tokenizer_says_how_to_get_one(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(
            CheckpointNotFound, match=r"`chipalign merge RECIPE\.toml --out DIR`, or set CHIPALIGN_CHECKPOINT"
        ):
            check_tokenizer(folder)


@given(st.lists(st.text(alphabet="ab <>|.", max_size=20), min_size=1, max_size=4))
def test_more_turns_never_count_less(counter: TokenCounter, texts: list[str]) -> None:
    turns = [{"role": "user", "content": text} for text in texts]
    counts = [counter.count_messages(turns[:number]) for number in range(1, len(turns) + 1)]
    assert counts == sorted(counts)


@pytest.mark.parametrize("tokenizer_class", ["PreTrainedTokenizerFast", "OddTokenizer", None])
def test_code_that_comes_with_a_checkpoint_is_never_run(
    small_checkpoint: Path, tmp_path: Path, tokenizer_class: str | None
) -> None:
    folder = tmp_path / "odd"
    shutil.copytree(small_checkpoint, folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config |= {
        "tokenizer_class": tokenizer_class,
        "auto_map": {"AutoTokenizer": ["odd.OddTokenizer", "odd.OddTokenizer"]},
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "config.json").write_text(json.dumps({"model_type": "odd", "auto_map": {"AutoConfig": "odd.OddConfig"}}))
    (folder / "odd.py").write_text(
        f"open({str(tmp_path / 'was-run')!r}, 'w')\nclass OddTokenizer: pass\nclass OddConfig: pass\n"
    )
    problem = "cannot be read"
    try:
        TokenCounter.load(folder)
    except CheckpointNotFound as error:
        problem = str(error)
    assert "cannot be read" in problem
    assert "\n" not in problem
    assert not (tmp_path / "was-run").exists()


def test_a_template_renders_as_transformers_renders_it(small_checkpoint: Path) -> None:
    template = (
        "{%- for m in messages -%}\n    {%- if m.role == 'user' %}{% generation %}{{ m | tojson }}{% endgeneration %}{%"
        " continue %}{% endif %}\n{{ bos_token }}{{ m.content | trim }} {{ loop.index }} {% set x = loop.index %}{{ "
        "'%02d' % x }}\n{% endfor %}{{ eos_token }}{{ tools }}"
    )
    tokenizer = AutoTokenizer.from_pretrained(small_checkpoint)
    tokenizer.chat_template = template
    messages = [
        {"role": "user", "content": "<é> 🚀"},
        {"role": "assistant", "content": " a\n"},
        {"role": "user", "content": "b"},
    ]
    expected = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert TokenCounter(unpack(pack(tokenizer)))._render(messages, None) == expected
