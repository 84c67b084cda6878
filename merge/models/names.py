"""Tensors of two parents that are the same under other names, such as layers.0.w and model.layers.0.w.

Trainers and wrappers put words of their own around a model's names (WRAPPERS), and the inner model of a class with a
head lacks one. Two names mean the same tensor where only such words differ. This file reads no tensor, and renames only
what the recipe says.

    names = match_names(chip.specs, chat.specs)  # {"layers.0.w": "model.layers.0.w"}
    source = Renamed(chip, names)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from merge.models.checkpoint import TensorReader, TensorSource, TensorSpec

# Left by trainers: torch.compile, DistributedDataParallel and DeepSpeed, FSDP, activation checkpointing, Lightning,
# peft. No engine loads them.
LEFTOVERS = frozenset(
    ("_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module", "base_model")
)
# transformers' own: classes with a head around the model, vision-language classes around the part that reads text.
WRAPPERS = LEFTOVERS | {"model", "transformer", "language_model", "text_model"}
# The same of models that name this part after themselves, at the beginning alone
OWN_WORDS = frozenset("bert roberta albert electra deberta distilbert mpnet longformer gpt_neox backbone".split())
# One part of a model in two spellings of transformers: a mixture's, on disk and in memory
SPELLINGS = {"block_sparse_moe": "mlp"}
EXAMPLES = 3  # kinds of differing names that a message shows


def match_names(ours: Collection[str], theirs: Collection[str]) -> dict[str, str]:
    """Their name by ours, for tensors that differ only in wrappers' words; ambiguous names are left out."""
    mine, other = (_by_bare(set(one) - set(two)) for one, two in ((ours, theirs), (theirs, ours)))
    return {mine[bare]: other[bare] for bare in sorted(mine.keys() & other.keys())}


def is_leftover(names: Collection[str]) -> bool:
    """Whether some of the names hold a word that a trainer left."""
    return any(not LEFTOVERS.isdisjoint(name.split(".")) for name in names)


def describe_names(names: Mapping[str, str], side: str, other: str) -> str:
    """What `match_names` found, as a sentence: the chip parent's 23 tensors are the chat parent's without `model.`"""
    kinds = Counter(_describe_difference(ours, theirs) for ours, theirs in names.items()).most_common()
    parts = [
        f"{count} tensor{' is' if count == 1 else 's are'} the {other} parent's {words}"
        for words, count in kinds[:EXAMPLES]
    ]
    more = f", and {len(kinds) - EXAMPLES} more kinds" if len(kinds) > EXAMPLES else ""
    return f"the {side} parent's " + ", ".join(parts) + more


class Renamed:
    """A source in which some tensors have other names."""

    def __init__(self, source: TensorSource, names: Mapping[str, str]) -> None:
        """names: the new name by the old one; a tensor that it lacks keeps its name."""
        self._source = source
        self._old = {names.get(name, name): name for name in source.specs}
        self.specs: Mapping[str, TensorSpec] = {
            new: replace(source.specs[old], name=new) for new, old in self._old.items()
        }

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self._source.folder

    @property
    def config(self) -> Mapping[str, Any]:
        """The model's config.json."""
        return self._source.config

    def tensor(self, name: str) -> TensorReader:
        """The reader of one tensor, by its new name."""
        return self._source.tensor(self._old[name])


def find_bare(name: str) -> str:
    """A name without wrappers' words, in one spelling."""
    parts = [SPELLINGS.get(part, part) for part in name.split(".") if part not in WRAPPERS]
    return ".".join(parts[1:] if len(parts) > 1 and parts[0] in OWN_WORDS else parts)


def _by_bare(names: Collection[str]) -> dict[str, str]:
    """Names by their bare form; names that then coincide are left out."""
    bare = {name: find_bare(name) for name in names}
    counts = Counter(bare.values())
    return {short: name for name, short in bare.items() if counts[short] == 1}


def _describe_difference(ours: str, theirs: str) -> str:
    """How two names differ: with `_orig_mod.`, without `model.`, or with `a.` for `b.`"""
    one, other = ours.split("."), theirs.split(".")
    end = _count_alike(one[::-1], other[::-1])
    one, other = one[: len(one) - end], other[: len(other) - end]
    start = _count_alike(one, other)
    added, lacking = (".".join([*parts[start:], ""]) for parts in (one, other))
    if not added:
        return f"without `{lacking}`"
    return f"with `{added}` for `{lacking}`" if lacking else f"with `{added}`"


def _count_alike(one: list[str], other: list[str]) -> int:
    """How many words both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
