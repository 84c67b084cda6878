"""What is surely a mistake in most merges, though it can be carried out: sentences to warn with. Pure.

for sentence in [*doubt_recipe(recipe, pair), *doubt_parents(parents), *doubt_angles(angles)]:
    watcher.say(f"warning: {sentence}")
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from merge.merging.pairing import Pair
from merge.merging.templates import has_template
from merge.models.beside import find_companions, is_tokenizer_file
from merge.models.checkpoint import read_json_object
from merge.models.layout import ADAPTER_CONFIG
from merge.models.parents import Parent, Parents
from merge.recipe import Recipe

# Of models with a common ancestor it is a few degrees; random directions in as many dimensions are at right angles
UNRELATED_DEGREES = 45.0
SAME = "both parents are the same model, so that the merge is a copy of it"
ROUNDING_SHARE = 0.1  # of what a merge changes, lost again in the output's dtype


def doubt_recipe(recipe: Recipe, pair: Pair) -> list[str]:
    """What is odd about a recipe and the files of its parents."""
    found = []
    if recipe.base_model is not None and not recipe.uses_base:
        found.append(f"[base] is given, and method {recipe.method} does not use it")
    if not any(map(is_tokenizer_file, find_companions(pair.chat.folder))):
        found.append("the chat parent has no tokenizer, and so has the output none")
    elif has_template(pair.chip.folder) and not has_template(pair.chat.folder):
        found.append("the chip parent has a chat template and the chat parent has none: are the two swapped?")
    return found


def doubt_parents(parents: Parents) -> list[str]:
    """What is odd about the parents' contents."""
    found = []
    adapters = [[adapter.blake3 for adapter in parent.adapters] for parent in (parents.chip, parents.chat)]
    if parents.chip.blake3 == parents.chat.blake3 and adapters[0] == adapters[1]:
        found.append(SAME)
    for side, parent in parents.by_side().items():
        found += [doubt for adapter in parent.adapters for doubt in _doubt_adapter(side, parent, adapter)]
    return found


def _doubt_adapter(side: str, parent: Parent, adapter: Parent) -> list[str]:
    """Whether an adapter names another base than the model that it is folded into, as far as names say."""
    base = read_json_object(adapter.folder / ADAPTER_CONFIG).get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        return []
    said = read_json_object(parent.folder / "config.json").get("_name_or_path")
    known = {_last_part(name) for name in (parent.ref, str(said or ""), parent.folder.name)}
    if _last_part(base) in known:
        return []
    return [f"the {side} adapter was trained on {base}, and is folded into {parent.ref}"]


def _last_part(name: str) -> str:
    return name.partition("@")[0].rstrip("/").rpartition("/")[2].rpartition(":")[2].lower()


def doubt_angles(angles: Iterable[tuple[int, float | None]]) -> list[str]:
    """Whether the parents are unrelated; angles: (elements, theta in radians) of each tensor that both have."""
    known = [(count, theta) for count, theta in angles if theta is not None]
    apart = sum(count for count, theta in known if math.degrees(theta) > UNRELATED_DEGREES)
    if not apart or apart <= sum(count for count, _ in known) / 2:
        return []
    share = apart / sum(count for count, _ in known)
    return [
        f"{share:.0%} of the weights are more than {UNRELATED_DEGREES:g} degrees apart: the parents share no ancestor, "
        "and a merge of unrelated weights is noise. Train the chip model from the chat model, or from its base"
    ]


def doubt_rounding(share: float | None, dtype: str) -> list[str]:
    """Whether the output's dtype loses much of what the merge changes; share: from 0 to 1."""
    if share is None or share <= ROUNDING_SHARE:
        return []
    wider = "float16 or float32" if dtype == "bfloat16" else "float32"
    return [f"rounding to {dtype} loses {share:.0%} of what the merge changes; dtype = {wider} keeps more of it"]
