"""One parent with the other's tensor names, and in its pieces, where both have the same weights in a known other form.

Names that differ in wrappers' words (merge.models.names), and tensors that one has in one piece and the other in parts
(merge.models.fusing). What was changed is a mismatch that `names` of the recipe decides.

    aligned = align_sources(chip, chat, base=None, names="chat")
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from merge.merging.mismatch import Mismatch
from merge.models.checkpoint import TensorSource
from merge.models.fusing import describe_fusions, find_fusions
from merge.models.names import Renamed, describe_names, is_leftover, match_names
from merge.models.rearranged import join_parts, split_whole


@dataclass
class Aligned:
    """The sources in one form, what was changed for it, and the tensors of which the form is not known."""

    chip: TensorSource
    chat: TensorSource
    base: TensorSource | None = None
    found: list[Mismatch] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)


def align_sources(chip: TensorSource, chat: TensorSource, base: TensorSource | None, names: str) -> Aligned:
    """The sources with the tensor names of the parent that `names` gives.

    "refuse" is for a comparison: it takes the chat parent's, as "exact" does.
    """
    aligned = Aligned(chip, chat, base)
    if names == "chip":
        aligned.chat = align_source(chat, chip, ("chat", "chip"), aligned)
    else:
        aligned.chip = align_source(chip, chat, ("chip", "chat"), aligned)
    if chip.config.get("model_type") != chat.config.get("model_type"):
        # Of another class; and the output's config is the chat parent's
        aligned.found = [each if each.setting is None else replace(each, allowed=("chat",)) for each in aligned.found]
    if base is not None:
        aligned.base = align_source(base, aligned.chat, ("base", "chat"), aligned)
    return aligned


def align_source(source: TensorSource, to: TensorSource, sides: tuple[str, str], aligned: Aligned) -> TensorSource:
    """A source in the form of another; `aligned` hears what was changed. sides: what the two are called."""
    found: list[Mismatch] = []
    of_class = source.config.get("model_type") == to.config.get("model_type")
    joined = find_fusions(to.specs, source.specs, to.config)
    parted = find_fusions(source.specs, to.specs, source.config)
    for fusions, make, joins in ((joined, join_parts, True), (parted, split_whole, False)):
        found += [Mismatch(problem) for problem in fusions.problems]
        aligned.refused |= fusions.refused
        if fusions.exact:
            found.append(Mismatch(describe_fusions(fusions.exact, *sides, joins=joins), "names"))
            source = make(source, fusions.exact)
    if renamed := match_names(source.specs, to.specs):
        named = dict(zip(sides, (list(renamed), list(renamed.values())), strict=True))
        allowed = tuple(side for side in ("chat", "chip") if side in named and not is_leftover(named[side]))
        is_further = set(sides) != {"chip", "chat"}  # those two decide whose names it takes
        found.append(Mismatch(describe_names(renamed, *sides), "names", () if is_further else allowed))
        source = Renamed(source, renamed)
    if of_class and not aligned.refused and source.specs.keys() == to.specs.keys():
        found = [replace(each, is_exact=not each.allowed or sides[1] in each.allowed) for each in found]
    aligned.found += found
    return source
