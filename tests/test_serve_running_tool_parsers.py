"""The parser of tool calls follows from a checkpoint's template, and its name is one that the installed vLLM knows."""

from __future__ import annotations

import ast
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from serve.errors import SettingsError
from serve.running.engine import engine_command
from serve.running.tool_parsers import FAMILIES, MARKS, WITHOUT_TOOLS, choose_parser, tool_options
from serve.settings import ServeSettings
from tests.python_trees import tree_of

HEAD = "{% if tools %}{{ tools | tojson }}{% endif %}"
# What templates of these models say of calls, in short
QWEN = HEAD + '<tool_call>\\n{"name": <function-name>, "arguments": <args-json-object>}\\n</tool_call>'
QWEN_CODER = HEAD + "<tool_call>\\n<function=example_function_name>\\n<parameter=x>"
GLM = HEAD + "<tool_call>{function-name}\\n<arg_key>{arg-key-1}</arg_key>"
LLAMA = HEAD + "Environment: ipython {{ '<|python_tag|>' }}"
MISTRAL = "[AVAILABLE_TOOLS]{{ tools }}[/AVAILABLE_TOOLS][TOOL_CALLS]"
CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}"


def checkpoint(folder: Path, template: Any, in_config: bool = False, **config: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    if in_config:
        (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    elif template is not None:
        (folder / "chat_template.jinja").write_text(template)
    return folder


@pytest.mark.parametrize(
    ("template", "config", "parser"),
    [
        (QWEN, {"model_type": "qwen3"}, "hermes"),
        (QWEN_CODER, {"model_type": "qwen3_moe"}, "qwen3_coder"),
        (GLM, {"model_type": "glm4_moe"}, "glm45"),
        (LLAMA, {"model_type": "llama"}, "llama3_json"),
        (MISTRAL, {"model_type": "mistral"}, "mistral"),
        (HEAD + "<|tool|>", {"model_type": "phi3"}, "phi4_mini_json"),
        (HEAD + "commentary to=functions", {"model_type": "gpt_oss"}, "openai"),
        (CHATML, {"model_type": "llama"}, WITHOUT_TOOLS),
        (CHATML, {"model_type": "phi3"}, WITHOUT_TOOLS),
        (None, {}, WITHOUT_TOOLS),
        (HEAD + "say it in verse", {"model_type": "bard"}, ""),
    ],
)
@pytest.mark.parametrize("in_config", [False, True])
def test_the_parser_follows_from_the_template(
    tmp_path: Path, template: str | None, config: dict[str, Any], parser: str, in_config: bool
) -> None:
    assert choose_parser(checkpoint(tmp_path, template, in_config, **config)) == parser


def test_of_several_templates_all_are_read_and_a_broken_file_is_none(tmp_path: Path) -> None:
    several = [{"name": "default", "template": CHATML}, {"name": "tool_use", "template": QWEN}]
    assert choose_parser(checkpoint(tmp_path / "a", several, in_config=True)) == "hermes"
    folder = checkpoint(tmp_path / "b", QWEN_CODER)
    (folder / "config.json").write_text("{broken")
    assert choose_parser(folder) == "qwen3_coder"
    assert choose_parser(tmp_path / "absent") == WITHOUT_TOOLS


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({}, ["--enable-auto-tool-choice", "--tool-call-parser", "hermes"]),
        ({"tool_parser": "xlam"}, ["--enable-auto-tool-choice", "--tool-call-parser", "xlam"]),
        ({"tool_parser": "off"}, []),
        ({"engine_args": "--tool-call-parser jamba --enable-auto-tool-choice"}, []),
        ({"engine_args": "--seed 1 --tool-call-parser=jamba"}, []),
    ],
)
def test_a_setting_and_the_users_own_options_win(tmp_path: Path, settings: dict[str, Any], options: list[str]) -> None:
    chosen = ServeSettings(checkpoint=str(checkpoint(tmp_path, QWEN)), **settings)
    assert tool_options(chosen) == options
    command = engine_command(chosen, "vllm")
    assert " ".join(options) in " ".join(command)
    assert " ".join(command).count("--tool-call-parser") == (settings.get("tool_parser") != "off")


def test_a_model_whose_calls_have_an_unknown_form_is_served_without_tools(tmp_path: Path) -> None:
    assert tool_options(ServeSettings(checkpoint=str(checkpoint(tmp_path, HEAD)))) == []


@pytest.mark.parametrize("text", ["two words", "--hermes hermes", "a;b"])
def test_what_is_not_a_name_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"CHIPALIGN_TOOL_PARSER is .*: give auto, off or a name"):
        ServeSettings.from_env({"CHIPALIGN_TOOL_PARSER": text})


def vllm_folder() -> Path:
    found = importlib.util.find_spec("vllm")
    if found is None or found.origin is None:
        pytest.skip("vLLM is not installed")
    return Path(found.origin).parent


def test_every_parser_is_one_of_the_installed_vllm_and_looks_for_these_marks() -> None:
    folder = vllm_folder()
    tree = tree_of(folder / "tool_parsers" / "__init__.py")
    tables = [
        node.value for node in ast.walk(tree) if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
    ]
    known = {ast.literal_eval(key) for table in tables for key in table.keys if key is not None}
    assert {WITHOUT_TOOLS, *FAMILIES.values(), *(parser for _, parser in MARKS)} <= known
    sources = [path for name in ("tool_parsers", "parser") for path in (folder / name).rglob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    assert [mark for marks, _ in MARKS for mark in marks if mark not in text and mark != "```json"] == []
