"""Token tables and how the rows of two vocabularies match: by token string, never by cutting off what does not fit.

It reads tokenizer files, no tensors, and decides nothing: the recipe says whose vocabulary the output has
(merge.merging.pairing).

    runs = match_rows("union", Vocabulary(64, chip_tokens), Vocabulary(70, chat_tokens))
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from merge.errors import CheckpointCorrupt
from merge.models.checkpoint import read_json_object, read_text

TOKENIZER = "tokenizer.json"
# The table where that is missing: ids by token, or a token a line in the order of the ids; and rules that cut words
TABLE, LINES, ADDED, MERGES = "vocab.json", "vocab.txt", "added_tokens.json", "merges.txt"


@dataclass(frozen=True)
class Vocabulary:
    """One parent's vocabulary: rows of its embedding, and ids by token string. Rows without a token are padding."""

    rows: int
    tokens: Mapping[str, int]

    @property
    def after_last(self) -> int:
        """The first id after all tokens."""
        return max(self.tokens.values(), default=-1) + 1


@dataclass(frozen=True)
class RowRun:
    """`count` output rows from `out` on, and the first of the parents' rows that they are made of; None: no rows there.

    Rows that both parents have are merged as one tensor; rows of one parent are copied. `base` is for methods with a
    base model.
    """

    out: int
    count: int
    chip: int | None
    chat: int | None
    base: int | None = None


@dataclass(frozen=True)
class RowMap:
    """All rows of an output tensor, in order: the runs cover 0 to `rows` without gap or overlap."""

    rows: int
    runs: tuple[RowRun, ...]

    @property
    def shared(self) -> int:
        """Rows that both parents have."""
        return sum(run.count for run in self.runs if run.chip is not None and run.chat is not None)

    def count(self) -> dict[str, int]:
        """How many rows are merged, and how many are only one parent's."""
        chip = sum(run.count for run in self.runs if run.chat is None)
        return {
            "rows": self.rows,
            "merged": self.shared,
            "chip_only": chip,
            "chat_only": self.rows - self.shared - chip,
        }


def read_tokens(folder: Path) -> dict[str, int] | None:
    """Ids by token string of a folder's tokenizer.json, else of its vocab.json or vocab.txt with what was added.

    None if all are missing. Raises CheckpointCorrupt.
    """
    if (folder / TOKENIZER).is_file():
        return parse_tokens(read_json_object(folder / TOKENIZER), folder / TOKENIZER)
    tokens: dict[str, Any] = {}
    if (folder / TABLE).is_file():
        tokens = read_json_object(folder / TABLE)
    elif (folder / LINES).is_file():
        lines = StringIO(read_text(folder / LINES), newline=None)  # U+2028 and its like are tokens, and end no line
        tokens = {line.removesuffix("\n"): number for number, line in enumerate(lines)}
    if (folder / ADDED).is_file():
        tokens |= read_json_object(folder / ADDED)
    are_ids = all(type(number) is int and number >= 0 for number in tokens.values())
    return tokens if tokens and are_ids else None  # a table of another kind, such as one for each language


def parse_tokens(document: Mapping[str, Any], path: Path) -> dict[str, int]:
    """The table of a tokenizer.json: the model's vocabulary, then the added tokens. Raises CheckpointCorrupt."""
    try:
        vocab = document["model"]["vocab"]
        tokens = dict(vocab) if isinstance(vocab, dict) else {entry[0]: index for index, entry in enumerate(vocab)}
        tokens |= {token["content"]: token["id"] for token in document.get("added_tokens") or []}
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise CheckpointCorrupt(f"{path}: its vocabulary cannot be read ({error!r}). Copy the file anew") from None
    if not all(isinstance(token, str) and type(number) is int and number >= 0 for token, number in tokens.items()):
        raise CheckpointCorrupt(
            f"{path}: its vocabulary is not a table of tokens with whole numbers from 0 on. Copy the file anew"
        )
    return tokens


def read_merges(document: Mapping[str, Any], path: Path) -> list[list[str]]:
    """The merge rules of a tokenizer.json, each as two strings; empty where it has none. Raises CheckpointCorrupt."""
    try:
        return [split_merge(rule) for rule in document["model"].get("merges") or []]
    except (TypeError, AttributeError) as error:
        raise CheckpointCorrupt(f"{path}: its merge rules cannot be read ({error!r}). Copy the file anew") from None


def union_tokens(chip: Vocabulary, chat: Vocabulary) -> dict[str, int]:
    """The chat parent's table, then the chip parent's other tokens.

    These follow in the order of their ids, from the first id that is free after all of the chat parent's.
    """
    new = sorted(
        (number, token) for token, number in chip.tokens.items() if token not in chat.tokens and number < chip.rows
    )
    return {**chat.tokens, **{token: chat.after_last + offset for offset, (_, token) in enumerate(new)}}


def match_rows(mode: str, chip: Vocabulary, chat: Vocabulary, base: Vocabulary | None = None) -> RowMap:
    """How the output's rows are made in mode "chat", "chip" or "union".

    A padding row stays as it is in the parent whose vocabulary is taken; in "union" the chip parent's tokens take the
    chat parent's padding first. A table that gives one id to two tokens is matched by the first.
    """
    owner = chip if mode == "chip" else chat
    tokens = union_tokens(chip, chat) if mode == "union" else dict(owner.tokens)
    rows = max(owner.rows, max(tokens.values(), default=-1) + 1) if mode == "union" else owner.rows
    by_row: dict[int, str] = {}
    for token, number in tokens.items():
        by_row.setdefault(number, token)
    found: list[tuple[int | None, int | None, int | None]] = []
    for row in range(rows):
        if row in by_row:
            token = by_row[row]
            found.append((_row_of(token, chip), _row_of(token, chat), _row_of(token, base) if base else None))
        else:  # padding
            found.append((row, None, None) if owner is chip else (None, row, None))
    return RowMap(rows, _run_together(found))


def _row_of(token: str, vocabulary: Vocabulary) -> int | None:
    number = vocabulary.tokens.get(token)
    return number if number is not None and number < vocabulary.rows else None


def _run_together(rows: list[tuple[int | None, int | None, int | None]]) -> tuple[RowRun, ...]:
    """Neighbours whose sources are also neighbours become one run."""
    runs: list[RowRun] = []
    start = 0
    for end in range(1, len(rows) + 1):
        step = end - start
        follows = end < len(rows) and all(
            (now is None and first is None) or (now is not None and first is not None and now == first + step)
            for first, now in zip(rows[start], rows[end], strict=True)
        )
        if not follows:
            runs.append(RowRun(start, step, *rows[start]))
            start = end
    return tuple(runs)


def join_tokenizers(chip: Mapping[str, Any], chat: Mapping[str, Any], tokens: Mapping[str, int]) -> dict[str, Any]:
    """The chat parent's tokenizer.json with the chip parent's tokens added under the ids of `tokens`.

    Every token is put into the model's vocabulary, so that its id stands there and is not counted anew when the file is
    read. The chip parent's words bring the merge rules that form them, after all the chat parent's rules: text without
    the new words is cut as before.

    Raises ValueError: the tokenizer is of a kind that gives ids by position (Unigram).
    """
    joined: dict[str, Any] = json.loads(json.dumps(chat))
    if not isinstance(joined["model"]["vocab"], dict):
        raise ValueError(f"a tokenizer of type {joined['model'].get('type', 'unknown')} gives ids by position")

    old = set(parse_tokens(chat, Path(TOKENIZER)))
    joined["model"]["vocab"] = dict(sorted(tokens.items(), key=lambda item: item[1]))
    added = {token["content"]: token for token in chip.get("added_tokens") or []}
    joined["added_tokens"] = [
        *(joined.get("added_tokens") or []),
        *(
            {**added[token], "id": number}
            for token, number in joined["model"]["vocab"].items()
            if token in added and token not in old
        ),
    ]

    if merges := chip["model"].get("merges"):
        ours = joined["model"].setdefault("merges", [])
        new = [
            pair
            for pair in map(split_merge, merges)
            if "".join(pair) not in old and {*pair, "".join(pair)} <= tokens.keys()
        ]
        joined["model"]["merges"] = [*map(split_merge, ours), *new]

    return joined


def split_merge(merge: Any) -> list[str]:
    """A merge rule as two strings, whether the file has it as "a b" or as ["a", "b"]."""
    return merge.split(" ", 1) if isinstance(merge, str) else list(merge)
