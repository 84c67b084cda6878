"""Chooses the parser with which vLLM reads a model's tool calls, by the marks in its chat template and by its family.

It loads no tokenizer and imports nothing of vLLM, whose names of parsers a test compares with these.

    choose_parser(settings.checkpoint_dir) == "hermes"
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from serve.settings import ServeSettings

AUTO, OFF = "auto", "off"
OPTION = "--tool-call-parser"
WITHOUT_TOOLS = "hermes"  # reads calls in JSON between plain tags; a template without tools asks for no other form
# Marks of calls in a chat template, all of a row; the first row that fits decides
MARKS = (
    (("<tool_call>", "<function="), "qwen3_coder"),
    (("<tool_call>", "<arg_key>"), "glm45"),
    (("[TOOL_CALLS]",), "mistral"),
    (("<|python_start|>",), "llama4_pythonic"),
    (("<|python_tag|>",), "llama3_json"),
    (("<|tool_calls_section_begin|>",), "kimi_k2"),
    (("\uff5cDSML\uff5c",), "deepseek_v32"),
    (("<\uff5ctool\u2581calls\u2581begin\uff5c>", "```json"), "deepseek_v3"),
    (("<\uff5ctool\u2581calls\u2581begin\uff5c>",), "deepseek_v31"),
    (("<|tool_call|>",), "granite"),
    (("<|action_start|>",), "internlm"),
    (("<start_function_call>",), "functiongemma"),
    (("<seed:tool_call>",), "seed_oss"),
    (("<minimax:tool_call>",), "minimax_m2"),
    (("<|tool_call_start|>",), "lfm2"),
    (("<|START_ACTION|>",), "cohere_command3"),
    (("<|tools_prefix|>",), "apertus"),
    (("<|channel|>",), "openai"),
    (("<tool_calls>",), "jamba"),
    (("<tool_call>",), "hermes"),
)
# Families, by `model_type` of config.json, whose templates do not say
FAMILIES = {
    "gpt_oss": "openai",
    "granitemoehybrid": "granite4",
    "llama4": "llama4_pythonic",
    "mistral": "mistral",
    "mixtral": "mistral",
    "phi3": "phi4_mini_json",
    "olmo3": "olmo3",
}


def tool_options(settings: ServeSettings) -> list[str]:
    """The options that let the engine call tools; none where a setting forbids it or the form of calls is not known."""
    if settings.tool_parser == OFF or OPTION in _words(settings.engine_args):
        return []
    parser = choose_parser(settings.checkpoint_dir) if settings.tool_parser == AUTO else settings.tool_parser
    return ["--enable-auto-tool-choice", OPTION, parser] if parser else []


def choose_parser(checkpoint_dir: Path) -> str:
    """vLLM's name of the parser for a checkpoint; empty if its template has tools in a form that is not known."""
    template = read_template(checkpoint_dir)
    if "tools" not in template:
        return WITHOUT_TOOLS
    family = FAMILIES.get(str(_read_json(checkpoint_dir / "config.json").get("model_type")), "")
    marked = (parser for marks, parser in MARKS if all(mark in template for mark in marks))
    return family or next(marked, "")


def read_template(checkpoint_dir: Path) -> str:
    """The chat template of a checkpoint directory, or all of several; empty if it has none."""
    path = checkpoint_dir / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8", errors="replace")
    found = _read_json(checkpoint_dir / "tokenizer_config.json").get("chat_template")
    if isinstance(found, list):
        return "\n".join(str(each.get("template")) for each in found if isinstance(each, dict))
    return found if isinstance(found, str) else ""


def _read_json(path: Path) -> dict[str, Any]:
    """The object in a file; empty if there is none."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _words(options: str) -> list[str]:
    """The names of options in a shell line; one that cannot be read is refused where the command is made."""
    try:
        return [word.partition("=")[0] for word in shlex.split(options)]
    except ValueError:
        return []
