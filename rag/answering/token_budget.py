"""How many tokens a prompt's passages may take, and what counts them.

Gateway, evaluations and training share this formula. It counts with a tokenizer alone; the gateway's own counter also
knows the chat template (serve.tokens.counter).

    counter = find_counter(folder, "chat model", settings)
    Budget(context_tokens=900, max_tokens=400, max_model_len=8192).room(counter.count(question))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rag.embedding.embedder_choice import open_embedder
from rag.errors import SourceUnusable
from rag.settings import RagSettings

INSTRUCTION_TOKENS = 200  # more than our system message and the fences around the passages take with any tokenizer seen


def tokens_left(max_model_len: int, conversation_tokens: int, answer_tokens: int) -> int:
    """What a model's window leaves for passages beside a conversation and its answer, in tokens; 0 or less: nothing."""
    return max_model_len - conversation_tokens - answer_tokens - INSTRUCTION_TOKENS


@dataclass(frozen=True, slots=True)
class Counter:
    """Counts the tokens of a text.

    `special_tokens` are the control tokens that no passage may hold, `source` says whose tokens they are.
    """

    count: Callable[[str], int]
    special_tokens: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Budget:
    """How long a prompt may be, in tokens.

    `context_tokens` None: as many passages as the window holds; `max_model_len` None: not known.
    """

    context_tokens: int | None
    max_tokens: int
    max_model_len: int | None

    def room(self, question_tokens: int) -> int:
        """Tokens for the passages of a question."""
        window = tokens_left(self.max_model_len, question_tokens, self.max_tokens) if self.max_model_len else None
        return min((limit for limit in (self.context_tokens, window) if limit is not None), default=1_000_000)


def load_counter(folder: Path) -> Counter | None:
    """The tokenizer in a checkpoint directory; None where there is none that can be read."""
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        return None
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception:  # the library raises Exception itself for whatever is wrong with the file
        return None
    tokenizer.no_truncation()
    special = tuple(sorted(token.content for token in tokenizer.get_added_tokens_decoder().values()))
    return Counter(lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids), special, str(folder))


def find_counter(folder: Path | None, whose: str, settings: RagSettings) -> Counter:
    """The tokenizer in a given folder, where it must exist; without a folder, the embedder's tokens.

    `whose` says in the error what is meant.

    Raises:
        SourceUnusable: the folder holds no tokenizer.
        EmbedderUnavailable: the embedder cannot be opened.
    """
    if folder is None:
        embedder = open_embedder(settings)
        return Counter(embedder.count_tokens, (), f"the embedder {embedder.name}")
    if counter := load_counter(folder):
        return counter
    raise SourceUnusable(
        f"{folder} holds no tokenizer.json that can be read: name the folder of the {whose} with --tokenizer"
    )
