"""Files of texts and of questions with answers to token sequences, and to the batches of each step.

Both kinds of files are JSON lines. Texts, `{"text", "source", "licence"}`, are packed into sequences of one length, and
every token is learnt (continued pre-training, DAPT). Triplets, `{"messages", "answer", "source": {"document",
"licence"}}`, are prompts with their answers, and only the answer and the end of its turn are learnt (DAFT). It trains
nothing.

    trained, held_out = part(read_triplets([Path("triplets.jsonl")]))
    examples, too_long = encode_triplets(trained, tokenizer, max_length=1024)
    batches = plan_epoch([len(example.ids) for example in examples], batch_tokens=4096, seed=0, epoch=0)
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from merge.errors import TrainingDataUnusable
from rag.errors import reason_of
from rag.training.held_out import is_drawn

HELD_OUT = 10  # one document of this many is held out of training
# batches' worth of sequences that are sorted by length among themselves: little padding, and yet another order each
# epoch
SHUFFLED_TOGETHER = 32
TEXT_ENDS = ("<|endoftext|>", "<|end_of_text|>")  # of GPT-2 and its heirs, of Llama 3
MAX_PROBLEMS = 5  # that an error lists


@dataclass(frozen=True, slots=True)
class Text:
    """A document to train on."""

    text: str
    document: str
    licence: str


@dataclass(frozen=True, slots=True)
class Triplet:
    """A prompt and its answer; `kind` says how it was made."""

    messages: tuple[dict[str, str], ...]
    answer: str
    kind: str
    document: str
    licence: str


Source = TypeVar("Source", Text, Triplet)


@dataclass(frozen=True, slots=True)
class Example:
    """A sequence of token ids; the last `learnt` of them are learnt."""

    ids: tuple[int, ...]
    learnt: int


def read_texts(paths: Iterable[Path]) -> list[Text]:
    """The texts of these files. Raises TrainingDataUnusable: lines, which it names, are wrong."""
    return [
        Text(str(row["text"]), str(row["source"]), str(row.get("licence") or "unknown"))
        for row in _read(paths, _check_text)
    ]


def read_triplets(paths: Iterable[Path]) -> list[Triplet]:
    """The triplets of these files. Raises TrainingDataUnusable: lines, which it names, are wrong."""
    return [
        Triplet(
            tuple({"role": message["role"], "content": message["content"]} for message in row["messages"]),
            row["answer"],
            str(row.get("kind") or "answer"),
            str(row["source"]["document"]),
            str(row["source"].get("licence") or "unknown"),
        )
        for row in _read(paths, _check_triplet)
    ]


def _read(paths: Iterable[Path], check: Any) -> Iterator[Any]:
    problems: list[str] = []
    rows: list[Any] = []

    for path in paths:
        try:
            # splitlines would also cut at U+2028, which JSON leaves as it is
            lines = path.read_text(encoding="utf-8").split("\n")
        except (OSError, ValueError) as error:
            raise TrainingDataUnusable(
                f"{path} cannot be read ({reason_of(error)}): give a file of JSON lines"
            ) from None
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    row = json.loads(line)
                    check(row)
                    rows.append(row)
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    problems.append(f"{path}:{number} ({error!r})")

    if problems:
        more = f" and {len(problems) - MAX_PROBLEMS} more" if len(problems) > MAX_PROBLEMS else ""
        raise TrainingDataUnusable(
            f"lines that cannot be trained on: {'; '.join(problems[:MAX_PROBLEMS])}{more}: mend them, or make the file "
            "again"
        )

    return iter(rows)


def _check_text(row: Any) -> None:
    if not isinstance(row["text"], str) or not isinstance(row["source"], str):
        raise ValueError("text and source must be strings")


def _check_triplet(row: Any) -> None:
    strings = [
        row["answer"],
        row["source"]["document"],
        *(message[key] for message in row["messages"] for key in ("role", "content")),
    ]
    if not row["messages"] or not all(isinstance(text, str) for text in strings) or not row["answer"].strip():
        raise ValueError("messages, answer and the source's document must be there, as text")


def encode_triplets(triplets: Iterable[Triplet], tokenizer: Any, max_length: int) -> tuple[list[Example], int]:
    """(examples, how many triplets were too long): each prompt in the chat template, with its answer and turn end.

    tokenizer: transformers' own, with a chat template. Nothing is cut: an answer without its passage would teach the
    model to invent.

    Raises TrainingDataUnusable: the template does not put an answer behind its prompt.
    """
    examples, too_long = [], 0
    for triplet in triplets:
        messages = list(triplet.messages)
        prompt = _render(tokenizer, messages, add_generation_prompt=True)
        whole = _render(tokenizer, [*messages, {"role": "assistant", "content": triplet.answer}])
        if not whole.startswith(prompt):
            raise TrainingDataUnusable(
                "the tokenizer's chat template changes a prompt once it is answered: give a base whose template "
                "does not"
            )

        prompt_ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        answer_ids = tokenizer(whole.removeprefix(prompt).rstrip(), add_special_tokens=False)["input_ids"]
        # The template closes no turn, but a model must learn to end
        if answer_ids[-1] not in tokenizer.all_special_ids:
            answer_ids.append(tokenizer.eos_token_id)

        if len(prompt_ids) + len(answer_ids) > max_length:
            too_long += 1
            continue
        examples.append(Example((*prompt_ids, *answer_ids), len(answer_ids)))
    return examples, too_long


def _render(tokenizer: Any, messages: Sequence[dict[str, str]], *, add_generation_prompt: bool = False) -> str:
    if not tokenizer.chat_template:
        raise TrainingDataUnusable(
            "the base's tokenizer has no chat template, so that prompts cannot be written: give a chat model"
        )
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=add_generation_prompt))


def pack_texts(texts: Iterable[Text], tokenizer: Any, max_length: int) -> list[Example]:
    """The texts joined in sequences of `max_length` tokens; the last may be shorter.

    An end-of-text token closes each text; in chat models it is not the one that ends a turn.
    """
    vocabulary = tokenizer.get_vocab()
    end = next((vocabulary[token] for token in TEXT_ENDS if token in vocabulary), tokenizer.eos_token_id)
    stream: list[int] = []
    for text in texts:
        stream += [*tokenizer(text.text, add_special_tokens=False, verbose=False)["input_ids"], end]
    pieces = (tuple(stream[start : start + max_length]) for start in range(0, len(stream), max_length))
    return [Example(piece, len(piece) - 1) for piece in pieces if len(piece) > 1]


def is_held_out(document: str) -> bool:
    """Whether a document is held out of training.

    Its name decides, so that texts and triplets of one document agree.
    """
    return is_drawn(document, HELD_OUT)


def part(sources: Iterable[Source]) -> tuple[list[Source], list[Source]]:
    """(texts or triplets to train on, those of held-out documents)."""
    trained: list[Source] = []
    held_out: list[Source] = []
    for source in sources:
        (held_out if is_held_out(source.document) else trained).append(source)
    return trained, held_out


def plan_epoch(lengths: Sequence[int], batch_tokens: int, seed: int, epoch: int) -> list[list[int]]:
    """The numbers of the sequences in batches of at most `batch_tokens` tokens with padding, each sequence once.

    A longer sequence is a batch by itself. Sequences of similar length share a batch; the order depends only on seed
    and epoch.
    """
    dice = random.Random(f"{seed}/{epoch}")
    order = list(range(len(lengths)))
    dice.shuffle(order)
    usual = max(1, batch_tokens * len(lengths) // max(1, sum(lengths)))  # sequences in a batch of the mean length
    together = SHUFFLED_TOGETHER * usual
    batches = []
    for start in range(0, len(order), together):
        batches += _cut(
            sorted(order[start : start + together], key=lambda number: (lengths[number], number)), lengths, batch_tokens
        )
    dice.shuffle(batches)
    return batches


def _cut(numbers: Sequence[int], lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """The numbers, from short to long, in batches that hold `batch_tokens` tokens when padded to their longest."""
    batches: list[list[int]] = []
    for number in numbers:
        if not batches or (len(batches[-1]) + 1) * lengths[number] > batch_tokens:
            batches.append([])
        batches[-1].append(number)
    return batches
