"""Whether two parents are one architecture, and what decides it where they differ, before any tensor is read.

Configs, tokenizers and headers are compared; every mismatch is listed at once, each with the recipe setting that
decides it. Nothing is truncated, padded or tied here: merge.merging.plan says what a setting means for each tensor.
Names that differ in a known way are made the same where the recipe says so (merge.merging.alignment).

A merge in which the parents share less than SMALLEST_SHARE of the weights is refused, whatever the recipe says
(find_share).

    pair = check_pair(chip, chat, recipe)  # raises ParentsMismatch
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from merge.arithmetic.dtypes import FLOATS, WHOLE
from merge.errors import ParentsMismatch
from merge.merging.alignment import align_sources
from merge.merging.configs import compare_configs, find_quantised
from merge.merging.mismatch import Mismatch
from merge.merging.vocabularies import (
    VOCABULARY_TENSORS,
    check_ids,
    check_rows,
    check_takeover,
    compare_cutting,
    compare_vocabularies,
    describe_lack,
    find_embedding,
    find_vocabulary,
)
from merge.models.checkpoint import TensorSource, TensorSpec
from merge.models.config import find_default
from merge.models.vocabulary import RowMap, Vocabulary, match_rows
from merge.recipe import Recipe

HEAD = "lm_head.weight"
TIES = "tie_word_embeddings"
# Below it, most of the output would be a copy of one parent, because names or tokens do not fit.
SMALLEST_SHARE = 0.5


@dataclass(frozen=True)
class Pair:
    """Two parents that can be merged, and the row map of their vocabularies where these differ."""

    chip: TensorSource
    chat: TensorSource
    base: TensorSource | None = None
    rows: RowMap | None = None  # None: row n is the same token in all parents
    chip_vocab: Vocabulary | None = None  # None: no tokenizer
    chat_vocab: Vocabulary | None = None
    more: Mapping[str, TensorSource] = field(default_factory=dict)  # further parents, by side
    renamed: tuple[str, ...] = ()  # which tensors were taken for the same without a word of the recipe

    @property
    def lacks_head(self) -> bool:
        """Whether one of them has lost its head: a tensor of the other parent alone, which `unmatched` decides."""
        return has_lost_head(self.chip) or has_lost_head(self.chat)

    @property
    def ties_differ(self) -> bool:
        """Whether only one parent's head is its embedding: the case that `embeddings` decides."""
        if self.lacks_head:
            return False
        stored = (HEAD in self.chip.specs) != (HEAD in self.chat.specs)
        return stored or (None not in (ties := find_ties(self.chip, self.chat)) and ties[0] != ties[1])


def check_pair(
    chip: TensorSource, chat: TensorSource, recipe: Recipe | None = None, base: TensorSource | None = None
) -> Pair:
    """The pair of two parents that can be merged. Without a recipe, every difference is undecided.

    A base model must match the chat parent; its vocabulary may have other rows, but must have those of both parents.

    Raises ParentsMismatch: with every difference that the recipe leaves undecided.
    """
    aligned = align_sources(chip, chat, base, "exact" if recipe is None else recipe.names)
    chip, chat, base, renamed = aligned.chip, aligned.chat, aligned.base, aligned.found
    chip_vocab, chat_vocab, base_vocab = (
        None if source is None else find_vocabulary(source) for source in (chip, chat, base)
    )

    found = compare_classes(chip, chat, renamed) + renamed + compare_ties(chip, chat)
    found += compare_vocabularies(chip_vocab, chat_vocab) + compare_cutting(chip.folder, chat.folder)
    if quantised := find_quantised(chip, "chip") + find_quantised(chat, "chat"):
        found += quantised  # its tensors are not the weights: nothing is said of them
    else:
        specs = [
            {name: spec for name, spec in source.specs.items() if name not in aligned.refused}
            for source in (chip, chat)
        ]
        found += compare_specs(*specs, lacks_head=has_lost_head(chip) or has_lost_head(chat))
        if find_share(chip.specs, chat.specs) < SMALLEST_SHARE:
            found = [mismatch for mismatch in found if mismatch.setting != "unmatched"] + [
                describe_strangers(chip.specs, chat.specs)
            ]

    open_ones = [mismatch.describe() for mismatch in found if mismatch.is_open(recipe)]
    rows = None
    open_ones += (without_rows := check_ids(chat_vocab))
    if (
        not without_rows
        and recipe is not None
        and recipe.vocab != "refuse"
        and any(mismatch.setting == "vocab" for mismatch in found)
    ):
        if chip_vocab is None or chat_vocab is None:
            open_ones.append(describe_lack(chip, "chip") if chip_vocab is None else describe_lack(chat, "chat"))
        else:
            rows = match_rows(recipe.vocab, chip_vocab, chat_vocab, base_vocab)
            open_ones += check_rows({"chip": (chip, chip_vocab), "chat": (chat, chat_vocab)})
            open_ones += check_takeover(recipe.vocab, chip, chat, chip_vocab, chat_vocab)
            if not open_ones and (share := find_share(chip.specs, chat.specs, rows)) < SMALLEST_SHARE:
                open_ones.append(
                    f"the vocabularies share {rows.shared} of {max(chip_vocab.rows, chat_vocab.rows)} rows, so that "
                    f"only {share:.0%} of the weights would be combined ({SMALLEST_SHARE:.0%} are needed). Give "
                    "parents of one vocabulary"
                )

    if recipe is not None and recipe.uses_base:
        open_ones += check_base(base, chat, rows, base_vocab, chat_vocab)

    if open_ones:
        raise ParentsMismatch(open_ones)
    taken = () if recipe is not None and recipe.names != "exact" else tuple(each.text for each in renamed)
    return Pair(chip, chat, base, rows, chip_vocab, chat_vocab, renamed=taken)


def compare_classes(chip: TensorSource, chat: TensorSource, renamed: Sequence[Mismatch]) -> list[Mismatch]:
    """Differences of the configs; the class around tensors that differ in names alone is one of names alone."""
    is_exact = bool(renamed) and all(mismatch.is_exact for mismatch in renamed)
    found = compare_configs(chip.config, chat.config, by_name=not renamed)
    return [replace(each, is_exact=is_exact and each.setting == "names") for each in found]


def find_share(chip: Mapping[str, TensorSpec], chat: Mapping[str, TensorSpec], rows: RowMap | None = None) -> float:
    """The part of the larger parent's weights that the other parent has too, from 0 to 1: what can be combined.

    Counted in elements of floating-point tensors of the same name, against all such elements of the parent that has
    more of them. rows: of tensors with a row per token, only the rows that both vocabularies have count. What the
    recipe keeps out of the merge by patterns, or copies by lam = 0 or 1, counts as shared: that is on purpose.
    """
    shared = 0
    for name in chip.keys() & chat.keys():
        if chip[name].dtype in FLOATS and chat[name].dtype in FLOATS:
            by_row = rows is not None and bool(VOCABULARY_TENSORS.fullmatch(name))
            row = math.prod(chip[name].shape[1:])
            shared += rows.shared * row if rows is not None and by_row else min(chip[name].numel, chat[name].numel)
    larger = max(sum(spec.numel for spec in specs.values() if spec.dtype in FLOATS) for specs in (chip, chat))
    return shared / larger if larger else 1.0


def describe_strangers(chip: Mapping[str, TensorSpec], chat: Mapping[str, TensorSpec]) -> Mismatch:
    """A mismatch for parents whose names do not fit: no setting can merge them."""
    sides = [
        (side, by_number(ours.keys() - theirs.keys()))
        for side, ours, theirs in (("chip", chip, chat), ("chat", chat, chip))
    ]
    examples = " and ".join(f"{len(names)} in the {side} parent, such as {names[0]}" for side, names in sides if names)
    return Mismatch(
        f"only {find_share(chip, chat):.0%} of the weights have the same name in both parents ({SMALLEST_SHARE:.0%} are"
        f" needed); without a counterpart are {examples}. Rename the one parent's tensors as the other's are, or give "
        "two models of one architecture"
    )


def compare_specs(
    chip: Mapping[str, TensorSpec], chat: Mapping[str, TensorSpec], *, lacks_head: bool = False
) -> list[Mismatch]:
    """Differences of names, shapes and kinds of dtype; two float dtypes do not differ, each is widened as it is read.

    lacks_head: whether the parent without a head lost it; its embedding is then not the head as well.
    """
    found = []
    for side, ours, theirs in (("chip", chip, chat), ("chat", chat, chip)):
        for name in by_number(ours.keys() - theirs.keys()):
            setting = "embeddings" if name == HEAD and find_embedding(theirs) and not lacks_head else "unmatched"
            found.append(Mismatch(f"tensor {name} is in the {side} parent only", setting))

    for name in by_number(chip.keys() & chat.keys()):
        a, b = chip[name], chat[name]
        if a.shape != b.shape:
            by_rows = (
                bool(VOCABULARY_TENSORS.fullmatch(name))
                and len(a.shape) == len(b.shape) > 0
                and a.shape[1:] == b.shape[1:]
            )
            found.append(
                Mismatch(
                    f"tensor {name}: chip has shape {list(a.shape)}, chat {list(b.shape)}", "vocab" if by_rows else None
                )
            )

        both_float = a.dtype in FLOATS and b.dtype in FLOATS
        both_whole = a.dtype in WHOLE and a.dtype == b.dtype
        if not both_float and not both_whole:
            rule = f"merged: {', '.join(FLOATS)}; copied if the same: {', '.join(WHOLE)}"
            found.append(Mismatch(f"tensor {name}: chip is {a.dtype}, chat {b.dtype} ({rule})"))

    return found


def find_ties(chip: TensorSource, chat: TensorSource) -> tuple[bool | None, bool | None]:
    """Whether each parent's head is its embedding, as far as configs say.

    Where one says it, the other with a head of its own means its architecture's default, by which an engine decides.
    """

    def find(source: TensorSource, other: TensorSource) -> bool | None:
        """Of one parent."""
        said = source.config.get(TIES)
        if said is None and HEAD in source.specs and other.config.get(TIES) is not None:
            said = find_default(source.config, TIES)
        return None if said is None else bool(said)

    return find(chip, chat), find(chat, chip)


def compare_ties(chip: TensorSource, chat: TensorSource) -> list[Mismatch]:
    """The mismatch of two parents of which one ties its head, and the other does not."""
    ours, theirs = find_ties(chip, chat)
    if ours is None or theirs is None or ours == theirs:
        return []
    return [Mismatch(f"config {TIES}: chip {ours}, chat {theirs}", "embeddings")]


def has_lost_head(source: TensorSource) -> bool:
    """Whether the config says that the head is a tensor of its own, and that tensor is missing.

    That happens when a model is saved from its inner model, which has no head.
    """
    return HEAD not in source.specs and source.config.get(TIES) is False and find_embedding(source.specs) is not None


def check_base(
    base: TensorSource | None,
    chat: TensorSource,
    rows: RowMap | None,
    base_vocab: Vocabulary | None,
    chat_vocab: Vocabulary | None,
) -> list[str]:
    """Reasons why a base model does not fit these parents."""
    if base is None:
        return ["the method needs a base model. Set [base] model"]
    found = [
        f"base model, {found.text}"
        for found in compare_configs(base.config, chat.config, "base") + find_quantised(base, "base")
        if found.setting is None
    ]

    by_token = rows is not None and base_vocab is not None
    # Its embedding is its head
    tied = HEAD not in base.specs and find_embedding(base.specs) is not None and not has_lost_head(base)
    head = HEAD in chat.specs and tied
    found += [
        f"base model, tensor {name} is not there"
        for name in by_number(chat.specs.keys() - base.specs.keys() - ({HEAD} if head else set()))
    ]

    for name in by_number(chat.specs.keys() & base.specs.keys()):
        ours, theirs = base.specs[name], chat.specs[name]
        if ours.shape != theirs.shape and not (
            by_token and VOCABULARY_TENSORS.fullmatch(name) and ours.shape[1:] == theirs.shape[1:]
        ):
            found.append(f"base model, tensor {name}: base has shape {list(ours.shape)}, chat {list(theirs.shape)}")
        if ours.dtype not in FLOATS + WHOLE:
            found.append(f"base model, tensor {name} is {ours.dtype} (known: {', '.join(FLOATS + WHOLE)})")

    if rows is None and base_vocab and chat_vocab:
        found += [f"base model, {found.text}" for found in compare_vocabularies(base_vocab, chat_vocab, "base")]
    if rows is not None and (
        lacking := sum(
            run.count for run in rows.runs if run.chip is not None and run.chat is not None and run.base is None
        )
    ):
        found.append(
            f"base model: it has no rows for {lacking} of the tokens that both parents have. Give the model that both "
            "were trained from"
        )

    return found


def by_number(names: Collection[str]) -> list[str]:
    """Names in the order that people expect: layers.2 before layers.10."""
    return sorted(
        names, key=lambda name: [(int(part) if part.isdigit() else -1, part) for part in re.split(r"(\d+)", name)]
    )
