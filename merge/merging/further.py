"""Whether a third parent, or a later one, fits a pair: it must have all that the chat parent has, in the same rows.

It reads headers, configs and tokenizers, and no tensor.

    pair = join_parents(check_pair(chip, chat, recipe), {"third": third}, recipe)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from merge.errors import ParentsMismatch
from merge.merging.alignment import Aligned, align_source
from merge.merging.configs import compare_configs, find_quantised
from merge.merging.pairing import Pair, compare_specs
from merge.merging.vocabularies import compare_cutting, compare_vocabularies, find_vocabulary
from merge.models.checkpoint import TensorSource
from merge.recipe import Recipe


def join_parents(pair: Pair, more: Mapping[str, TensorSource], recipe: Recipe) -> Pair:
    """The pair with further parents, by side. Raises ParentsMismatch: with every difference."""
    aligned = Aligned(pair.chip, pair.chat)
    same = {side: align_source(source, pair.chat, (side, "chat"), aligned) for side, source in more.items()}
    found = [mismatch.describe() for mismatch in aligned.found if mismatch.is_open(recipe)]
    if found := found + [problem for side, source in same.items() for problem in find_misfits(side, source, pair)]:
        raise ParentsMismatch(found)
    return replace(pair, more=same)


def find_misfits(side: str, source: TensorSource, pair: Pair) -> list[str]:
    """What a further parent has otherwise than the chat parent."""
    if pair.rows is not None or pair.chip.specs.keys() != pair.chat.specs.keys():
        return [f"the {side} parent cannot join: chip and chat have other tokens or tensors. Give parents of the same"]
    found = compare_configs(source.config, pair.chat.config, side)
    found += compare_vocabularies(find_vocabulary(source), find_vocabulary(pair.chat), side)
    found += compare_cutting(source.folder, pair.chat.folder) + find_quantised(source, side)
    texts = [mismatch.text for mismatch in found]
    texts += [mismatch.text.replace(" chip ", f" {side} ") for mismatch in compare_specs(source.specs, pair.chat.specs)]
    return [f"the {side} parent, {text}" for text in texts]
