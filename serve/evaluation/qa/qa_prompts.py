"""Questions to the very prompts that the gateway sends: the passages, golden or retrieved, and the messages around
them.

It asks no model. Golden passages are those that a question refers to; retrieved ones are what the search finds.

    hits = golden_hits(questions, chunks)  # or retrieved_hits(questions, retriever, top_k=5, progress)
    prompts = build_prompts(questions, hits, load_counter(folder), Budget(context_tokens=900, max_tokens=400, max_model_len=8192))
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rag.answering.prompt import CUT_MARK, build_prompt
from rag.documents import Chunk, Hit, hash_text
from rag.embedding.embedder_choice import open_embedder
from rag.errors import QuestionsUnusable, SourceUnusable
from rag.progress import Show
from rag.search.query import retrieval_query
from rag.search.retriever import Retriever
from rag.settings import RagSettings
from rag.sources.questions import Question, find_wanted

INSTRUCTION_TOKENS = 200  # as the gateway allows for the system message and the fences around the passages


@dataclass(frozen=True, slots=True)
class Counter:
    """Counts the tokens of a text; `special_tokens` are the control tokens that no passage may hold, `source` says
    whose tokens they are.
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
        window = (
            self.max_model_len - self.max_tokens - question_tokens - INSTRUCTION_TOKENS if self.max_model_len else None
        )
        return min((limit for limit in (self.context_tokens, window) if limit is not None), default=1_000_000)


@dataclass(frozen=True, slots=True)
class QaPrompt:
    """The messages for a question, and the hits in them; `left_out` counts those that did not fit, or not whole.

    `messages` is None where nothing was found: the gateway then answers by itself.
    """

    number: int
    question: Question
    messages: list[dict[str, str]] | None
    hits: tuple[Hit, ...]
    left_out: int

    @property
    def prompt_hash(self) -> str:
        """The hash of the messages."""
        return hash_text(*(message["content"] for message in self.messages or ()))[:16]


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
    """The tokenizer in a folder that was named, which must be there; the embedder's tokens where none was.

    `whose` says in the error what is meant.

    Raises SourceUnusable, EmbedderUnavailable.
    """
    if folder is None:
        embedder = open_embedder(settings)
        return Counter(embedder.count_tokens, (), f"the embedder {embedder.name}")
    if counter := load_counter(folder):
        return counter
    raise SourceUnusable(
        f"{folder} holds no tokenizer.json that can be read: name the folder of the {whose} with --tokenizer"
    )


def golden_hits(questions: Sequence[Question], chunks: Sequence[Chunk]) -> list[list[Hit]]:
    """For each question the chunks that it refers to, in the order of its references. Raises ReferenceUnknown."""
    wanted = find_wanted(questions, chunks)
    needed = {chunk_id for groups in wanted for ids in groups for chunk_id in ids}
    by_id = {chunk.chunk_id: chunk for chunk in chunks if chunk.chunk_id in needed}  # in the order of the documents
    hits = []
    for groups in wanted:
        found = dict.fromkeys(chunk_id for ids in groups for chunk_id in by_id if chunk_id in ids)
        hits.append([Hit(by_id[chunk_id], 1.0, 1.0, None) for chunk_id in found])
    return hits


def retrieved_hits(
    questions: Sequence[Question], retriever: Retriever, top_k: int, progress: Show = lambda *_: None
) -> list[list[Hit]]:
    """For each question what the gateway would find for it as the first of a conversation; [] where nothing is
    relevant.
    """
    hits = []
    for number, question in enumerate(questions, start=1):
        hits.append(retriever.search(retrieval_query([question.text]), top_k))
        progress("search", number, len(questions))
    return hits


def build_prompts(
    questions: Sequence[Question], hits: Sequence[Sequence[Hit]], counter: Counter, budget: Budget
) -> list[QaPrompt]:
    """A prompt for each question, numbered from 1.

    Raises QuestionsUnusable, which lists the questions that leave no room for a passage.
    """
    prompts, too_long = [], []
    for number, (question, found) in enumerate(zip(questions, hits, strict=True), start=1):
        if not found:
            prompts.append(QaPrompt(number, question, None, (), 0))
            continue
        prompt = build_prompt(
            question.text, found, counter.count, budget.room(counter.count(question.text)), counter.special_tokens
        )
        if not prompt.hits:
            too_long.append(question.question_id)
        messages = [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}]
        left_out = len(found) - len(prompt.hits) + (CUT_MARK in prompt.user)
        prompts.append(QaPrompt(number, question, messages, prompt.hits, left_out))
    if too_long:
        raise QuestionsUnusable(
            f"no passage fits beside the questions {', '.join(too_long)} ({budget}): serve the model with a longer "
            "window, or raise --context-tokens"
        )
    return prompts
