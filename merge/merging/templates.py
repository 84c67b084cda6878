"""The output's chat template, where the recipe gives one: a parent's, a known form, or a text of its own.

The known forms are written here; their special tokens must be in the output's vocabulary. It runs no template.

    files |= replace_template(files, find_template(recipe, pair))
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from merge.errors import RecipeError, shorten
from merge.merging.pairing import Pair
from merge.models.checkpoint import read_json_object, read_text
from merge.recipe import Recipe

TEMPLATE = "chat_template.jinja"
IN_JSON = "chat_template.json"  # of processors, as transformers wrote it before
TOKENIZER_CONFIG = "tokenizer_config.json"
KEY = "chat_template"
FOLDER = "additional_chat_templates/"
SHOWN = 120  # characters of a wrong template
# What each known form writes around a message, by Jinja; and the tokens that it needs
FORMS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "chatml": (
        "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        ("<|im_start|>", "<|im_end|>"),
    ),
    "llama3": (
        "{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n"
        "{{ message['content'] | trim }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}<|start_header_id|>"
        "assistant<|end_header_id|>\n\n{% endif %}",
        ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    ),
    "alpaca": (
        "{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'] }}\n\n"
        "{% elif message['role'] == 'user' %}### Instruction:\n{{ message['content'] }}\n\n"
        "{% else %}### Response:\n{{ message['content'] }}{{ eos_token }}\n\n{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}### Response:\n{% endif %}",
        (),
    ),
}


def find_template(recipe: Recipe, pair: Pair) -> str | None:
    """The template that the recipe asks for; None: the chat parent's files stay as they are.

    Raises RecipeError: the parent has none, the text is not a template, or the vocabulary lacks its tokens.
    """
    wanted = recipe.chat_template
    if wanted == "chat" or (wanted == "auto" and has_template(pair.chat.folder)):
        return None
    if wanted in ("auto", "chip"):
        found = read_template(pair.chip.folder)
        if found is None and wanted == "chip":
            raise RecipeError("recipe", ["chat_template is chip, and the chip parent has no chat template"])
        return found
    text, tokens = FORMS.get(wanted, (wanted, ()))
    vocabulary = pair.chip_vocab if pair.rows is not None and recipe.vocab == "chip" else pair.chat_vocab
    known = {} if vocabulary is None else vocabulary.tokens
    if pair.rows is not None and recipe.vocab == "union" and pair.chip_vocab is not None:
        known = {**known, **pair.chip_vocab.tokens}
    if lacking := [token for token in tokens if token not in known]:
        raise RecipeError(
            "recipe", [f"chat_template {wanted} needs the tokens {', '.join(lacking)}, and the output has none such"]
        )
    check_syntax(text)
    return text


def check_syntax(text: str) -> None:
    """Raise RecipeError where a text is not a Jinja template."""
    from jinja2 import TemplateSyntaxError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    try:
        ImmutableSandboxedEnvironment(extensions=["jinja2.ext.loopcontrols"]).parse(
            text.replace("{% generation %}", "").replace("{% endgeneration %}", "")
        )
    except TemplateSyntaxError as error:
        raise RecipeError("recipe", [f"chat_template {shorten(text, SHOWN)!r} is not valid Jinja: {error}"]) from None


def read_template(folder: Path) -> str | None:
    """A model folder's chat template, from whichever of the three places has it."""
    if (folder / TEMPLATE).is_file():
        return read_text(folder / TEMPLATE)
    for name in (IN_JSON, TOKENIZER_CONFIG):
        if (folder / name).is_file() and isinstance(found := read_json_object(folder / name).get(KEY), str):
            return found
    return None


def has_template(folder: Path) -> bool:
    """Whether a model folder has a chat template, in one of the three places; several under names count."""
    config = folder / TOKENIZER_CONFIG
    is_beside = any((folder / name).is_file() for name in (TEMPLATE, IN_JSON))
    return is_beside or (config.is_file() and bool(read_json_object(config).get(KEY)))


def replace_template(files: Mapping[str, bytes], template: str | None) -> dict[str, bytes]:
    """The files with one template in the place of all others; as they are for None."""
    if template is None:
        return dict(files)
    kept = {name: raw for name, raw in files.items() if name != IN_JSON and not name.startswith(FOLDER)}
    if TOKENIZER_CONFIG in kept:
        config: dict[str, Any] = json.loads(kept[TOKENIZER_CONFIG])
        if config.pop(KEY, None) is not None:
            kept[TOKENIZER_CONFIG] = (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode()
    return {**kept, TEMPLATE: template.encode()}
