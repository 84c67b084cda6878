"""Counts tokens with the served model's own tokenizer and chat template, so that a budget is exact.

It loads no weights. It recognises what cannot fit piece by piece, before it tokenizes the whole: a token takes a
hundred times its bytes. `tokenizer` reads the files, `templates` renders the template.

    counter = TokenCounter.load(settings.checkpoint_dir); counter.count_messages(messages, at_most=8192)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serve.errors import CheckpointNotFound, RequestError, TooManyTokens
from serve.protocol import Message, message_text
from serve.strict_json import read_json
from serve.tokens.templates import TemplateRefused, TemplateRenderer, TemplateTooCostly
from serve.tokens.tokenizer import ServedTokenizer, read_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PIECE = 2**16  # characters, tokenized at once while it is unknown whether a text fits
# Cutting a text changes how the words around the cut are tokenized, by a few tokens a cut with any tokenizer seen. A
# text refused without an exact count is over the limit by far more.
CUT_TOKENS = 64
MARGIN = 9 / 8
SHRINKS = 3  # at most so many characters become one when a tokenizer normalises a text (Hangul's letters a syllable)
MOST_ARGUMENTS = 100_000  # values in the arguments of a tool call
SAMPLE = (
    {"role": "user", "content": "Which command repairs antenna violations?"},
    {"role": "assistant", "content": "repair_antennas."},
    {"role": "user", "content": "And for hold?"},
)


class TokenCounter:
    """Counts the tokens of texts and of whole conversations. Safe to call from many threads."""

    def __init__(self, tokenizer: ServedTokenizer) -> None:
        self._tokenizer = tokenizer
        self._renderer = TemplateRenderer()
        self._longest = longest_token(tokenizer.backend)

    @classmethod
    def load(cls, checkpoint_dir: Path) -> TokenCounter:
        """Open the tokenizer of a checkpoint directory. Never runs the code that comes with it.

        Raises CheckpointNotFound: the folder is missing, or holds no tokenizer with a usable chat template.
        """
        check_tokenizer(checkpoint_dir)
        tokenizer = read_tokenizer(checkpoint_dir)
        if not tokenizer.template_for(None):
            raise CheckpointNotFound(
                f"the tokenizer in {checkpoint_dir} has no chat template: serve a chat model, or add its "
                "chat_template.jinja"
            )
        counter = cls(tokenizer)
        counter.check_template(checkpoint_dir)
        return counter

    def check_template(self, checkpoint_dir: Path) -> None:
        """Render two small conversations, to learn what the template costs; which ones it refuses is its own matter.

        Raises CheckpointNotFound: the template takes more than a conversation may.
        """
        for messages in (SAMPLE[:1], SAMPLE):
            try:
                self._render(messages, None)
            except TemplateTooCostly as error:
                raise CheckpointNotFound(
                    f"the chat template in {checkpoint_dir} cannot be used ({error}): serve another checkpoint"
                ) from None
            except TemplateRefused:
                continue

    @property
    def special_tokens(self) -> tuple[str, ...]:
        """The strings that the tokenizer reads as control tokens (`<|im_end|>`).

        A document may hold none when it reaches the model.
        """
        return self._tokenizer.special_tokens

    def count_text(self, text: str) -> int:
        """Tokens of a text inside a message."""
        return len(self._tokenizer.backend.encode(text, add_special_tokens=False))

    def count_messages(
        self, messages: Sequence[Message], tools: Sequence[Any] | None = None, at_most: int | None = None
    ) -> int:
        """Tokens of a conversation as the engine sees it: with chat template, tools and the answer's opening.

        Raises:
            RequestError: the model's chat template refuses the conversation (two turns of one role in a row, say).
            TooManyTokens: it has so many more than `at_most` that the count stopped before its end.
        """
        if any(not isinstance(tool, dict) for tool in tools or ()):
            raise RequestError(
                "This model's chat template refuses the conversation: a tool is not a JSON object.", "tools"
            )
        if at_most is not None:
            self._refuse_by_size(messages, at_most)
        try:
            rendered = self._render(messages, tools)
        except TemplateRefused as error:
            raise RequestError(f"This model's chat template refuses the conversation: {error}.", "messages") from None
        if at_most is not None:
            self._refuse_longer(rendered, at_most)
        return self.count_text(rendered)

    def _render(self, messages: Sequence[Message], tools: Sequence[Any] | None) -> str:
        """The conversation as the engine sees it."""
        plain = [{**_with_arguments(message), "content": message_text(message)} for message in messages]
        variables = {"messages": plain, "tools": tools or None, "documents": None, "add_generation_prompt": True}
        return self._renderer.render(self._tokenizer.template_for(tools), {**self._tokenizer.variables, **variables})

    def _refuse_by_size(self, messages: Sequence[Message], at_most: int) -> None:
        """Raise TooManyTokens, before any work, for texts that not even the longest tokens could hold."""
        if self._longest is None:
            return
        characters = sum(len(message_text(message)) for message in messages)
        if (surely := characters // (self._longest * SHRINKS)) > at_most:
            raise TooManyTokens(surely)

    def _refuse_longer(self, text: str, at_most: int) -> None:
        """Raise TooManyTokens once the pieces read have far too many; a text of one piece is counted exactly later."""
        count = 0
        for number, start in enumerate(range(0, len(text), PIECE) if len(text) > PIECE else (), start=1):
            count += self.count_text(text[start : start + PIECE])
            if (surely := int((count - number * CUT_TOKENS) / MARGIN)) > at_most:
                raise TooManyTokens(surely)


def longest_token(tokenizer: Tokenizer) -> int | None:
    """Characters of the longest token; None where the tokenizer reads words of any length as one unknown token."""
    from tokenizers.models import BPE

    model = tokenizer.model
    if not isinstance(model, BPE) or (model.unk_token is not None and not model.byte_fallback):
        return None
    return max(map(len, tokenizer.get_vocab()))


def _with_arguments(message: Message) -> Message:
    """The message with the arguments of its tool calls as objects, as vLLM gives them to templates."""
    calls = message.get("tool_calls")
    if not calls:
        return message
    return {**message, "tool_calls": [_read_arguments(call) for call in calls]}


def _read_arguments(call: dict[str, Any]) -> dict[str, Any]:
    """A tool call whose arguments are read from their JSON; what is not JSON stays a text."""
    function = call.get("function")
    arguments = function.get("arguments") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(arguments, str):
        return call
    try:
        return {**call, "function": {**function, "arguments": read_json(arguments or "{}", MOST_ARGUMENTS)}}
    except ValueError:
        return call


def check_tokenizer(checkpoint_dir: Path) -> None:
    """Raise CheckpointNotFound if the served model's folder holds no tokenizer."""
    if not (checkpoint_dir / "tokenizer_config.json").exists():
        raise CheckpointNotFound(
            f"no tokenizer in the checkpoint directory {checkpoint_dir}: merge a model into it with `chipalign merge "
            "RECIPE.toml --out DIR`, or set CHIPALIGN_CHECKPOINT to the folder of the model that the engine serves"
        )
