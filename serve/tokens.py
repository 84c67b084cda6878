"""Counting tokens with the served model's own tokenizer and chat template, so that a budget is exact.

It loads no weights. This file imports transformers.

    counter = TokenCounter.load(settings.checkpoint_dir); counter.count_messages(messages)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer
from transformers.utils import logging as transformers_logging

from serve.errors import ServeError
from serve.protocol import Message, message_text


class CheckpointNotFound(ServeError):
    """There is no tokenizer where the served checkpoint should be."""


class TokenCounter:
    """Counts the tokens of texts and of whole conversations."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, checkpoint_dir: Path) -> TokenCounter:
        """Open the tokenizer of a checkpoint directory.

        Raises:
            CheckpointNotFound: the folder is missing or holds no tokenizer.
        """
        if not (checkpoint_dir / "tokenizer_config.json").exists():
            raise CheckpointNotFound(
                f"no tokenizer in the checkpoint directory {checkpoint_dir}: merge a model into it with `chipalign merge RECIPE.toml --out DIR`, "
                "or set CHIPALIGN_CHECKPOINT to the folder of the model that the engine serves."
            )
        transformers_logging.set_verbosity_error()  # a prompt longer than the window is our error to report, not a warning on stderr
        return cls(AutoTokenizer.from_pretrained(checkpoint_dir, local_files_only=True))

    def count_text(self, text: str) -> int:
        """Tokens of a text inside a message."""
        return len(self._tokenizer.encode(text, add_special_tokens=False))

    def count_messages(self, messages: Sequence[Message]) -> int:
        """Tokens of a conversation as the engine sees it: the chat template applied, the answer's opening included."""
        plain = [{**message, "content": message_text(message)} for message in messages]
        rendered = self._tokenizer.apply_chat_template(plain, tokenize=False, add_generation_prompt=True)
        return self.count_text(rendered)
