"""The tokenizer of the served model, as transformers reads it: in a process of its own, which goes without torch.

Beside torch, which is loaded here, transformers would cost seconds of each start and much memory. What it makes of a
checkpoint's files is a `tokenizers.Tokenizer`, handed over whole, and a chat template. It counts and renders nothing.

    tokenizer = read_tokenizer(settings.checkpoint_dir)
    python -m serve.tokens.tokenizer MEMORY_BYTES FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.child import Message, end_child, read_message, serve_parent, set_timer, start_child, write_message
from serve.errors import CheckpointNotFound

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TIMEOUT_S = 120
MEMORY_BYTES = 8 * 2**30  # of address space; the largest tokenizers need an eighth
COPY_ANEW = "copy the tokenizer's files there anew, or merge the model anew with --force"
GIVE_FILE = (
    'put the tokenizer.json of the same tokens there, with "tokenizer_class": "PreTrainedTokenizerFast" in '
    "tokenizer_config.json, or serve a model that has one"
)


class OnlyInPython(ValueError):
    """A tokenizer of transformers has none of the library `tokenizers` behind it."""


@dataclass(frozen=True)
class ServedTokenizer:
    """A tokenizer and the chat template that goes with it.

    `variables` are the names of special tokens that a template knows; a checkpoint may have a template of its own for
    conversations with tools.
    """

    backend: Tokenizer
    special_tokens: tuple[str, ...]
    variables: Mapping[str, str]
    plain_template: str
    tool_template: str

    def template_for(self, tools: Sequence[Any] | None) -> str:
        """The template of a conversation with or without tools; empty where the checkpoint has none."""
        return self.tool_template if tools else self.plain_template


def read_tokenizer(checkpoint_dir: Path) -> ServedTokenizer:
    """The tokenizer of a checkpoint directory. Never runs the code that comes with it.

    Raises CheckpointNotFound: there is none that can be read.
    """
    child = start_child("serve.tokens.tokenizer", MEMORY_BYTES, str(checkpoint_dir.absolute()))
    try:
        message = read_message(child.stdout)
    finally:
        code = end_child(child)
    reason = f"its reader ended with exit code {code}" if message is None else message[0].get("failed")
    if message is None or reason:
        advice = GIVE_FILE if message and message[0].get("is_only_in_python") else COPY_ANEW
        raise CheckpointNotFound(f"the tokenizer in {checkpoint_dir} cannot be read ({reason}): {advice}")
    return unpack(message)


def pack(tokenizer: Any) -> Message:
    """A tokenizer of transformers as a message. Raises OnlyInPython."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise OnlyInPython(f"{type(tokenizer).__name__} is not a tokenizer of the library `tokenizers`")
    templates = ["", ""]
    if tokenizer.chat_template:
        templates = [tokenizer.get_chat_template(), tokenizer.get_chat_template(tools=[{}])]
    head = {
        "special_tokens": sorted({*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}),
        "variables": tokenizer.special_tokens_map,
        "templates": templates,
        "splits_special_tokens": backend.encode_special_tokens,  # its own text lacks this
    }
    return head, backend.to_str().encode()


def unpack(message: Message) -> ServedTokenizer:
    """The tokenizer in a message."""
    from tokenizers import Tokenizer

    head, body = message
    backend = Tokenizer.from_str(body.decode())
    backend.encode_special_tokens = head["splits_special_tokens"]
    backend.no_truncation()
    backend.no_padding()
    return ServedTokenizer(backend, tuple(head["special_tokens"]), head["variables"], *head["templates"])


def main(memory_bytes: int, folder: str) -> None:
    """Write the tokenizer of a folder as a message, or `failed` with the reason."""
    _, answers = serve_parent(memory_bytes)
    set_timer(TIMEOUT_S)
    sys.modules["torch"] = None  # type: ignore[assignment]  # as if it were not installed
    from transformers import AutoTokenizer

    try:
        message = pack(AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False))
    except Exception as error:  # the libraries raise all kinds on unexpected content
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        message = {"failed": reason, "is_only_in_python": isinstance(error, OnlyInPython)}, b""
    write_message(answers, *message)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
