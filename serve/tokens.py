"""Counting tokens with the served model's own tokenizer and chat template, so that a budget is exact.

It loads no weights. transformers is imported when a tokenizer is loaded.

    counter = TokenCounter.load(settings.checkpoint_dir); counter.count_messages(messages)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from serve.errors import CheckpointNotFound, RequestError
from serve.protocol import Message, message_text


class TokenCounter:
    """Counts the tokens of texts and of whole conversations."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, checkpoint_dir: Path) -> TokenCounter:
        """Open the tokenizer of a checkpoint directory.

        Raises:
            CheckpointNotFound: the folder is missing, or holds no tokenizer or none with a chat template.
        """
        check_tokenizer(checkpoint_dir)
        from transformers import AutoTokenizer
        from transformers.utils import logging as transformers_logging

        transformers_logging.set_verbosity_error()  # a prompt longer than the window is our error to report, not a warning on stderr
        try:
            tokenizer = AutoTokenizer.from_pretrained(checkpoint_dir, local_files_only=True)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointNotFound(f"the tokenizer in {checkpoint_dir} cannot be read ({error}): merge the model anew with --force") from None
        if not tokenizer.chat_template:
            raise CheckpointNotFound(f"the tokenizer in {checkpoint_dir} has no chat template: serve a chat model, or add its chat_template.jinja")
        return cls(tokenizer)

    @property
    def special_tokens(self) -> tuple[str, ...]:
        """The strings that the tokenizer reads as control tokens (`<|im_end|>`): no document may hold one when it reaches the model."""
        return tuple(sorted({*self._tokenizer.all_special_tokens, *self._tokenizer.get_added_vocab()}))

    def count_text(self, text: str) -> int:
        """Tokens of a text inside a message."""
        return len(self._tokenizer.encode(text, add_special_tokens=False))

    def count_messages(self, messages: Sequence[Message], tools: Sequence[Any] | None = None) -> int:
        """Tokens of a conversation as the engine sees it: the chat template applied, tools and the answer's opening included.

        Raises:
            RequestError: the model's chat template refuses the conversation (two turns of one role in a row, say).
        """
        plain = [{**message, "content": message_text(message)} for message in messages]
        try:
            rendered = self._tokenizer.apply_chat_template(plain, tools=tools or None, tokenize=False, add_generation_prompt=True)
        except (TemplateError, TypeError, ValueError) as error:
            raise RequestError(f"This model's chat template refuses the conversation: {error}.", "messages") from None
        return self.count_text(rendered)


def check_tokenizer(checkpoint_dir: Path) -> None:
    """Raise CheckpointNotFound where the served model's folder holds no tokenizer."""
    if not (checkpoint_dir / "tokenizer_config.json").exists():
        raise CheckpointNotFound(
            f"no tokenizer in the checkpoint directory {checkpoint_dir}: merge a model into it with `chipalign merge RECIPE.toml --out DIR`, "
            "or set CHIPALIGN_CHECKPOINT to the folder of the model that the engine serves"
        )
