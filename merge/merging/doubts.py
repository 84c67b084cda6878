"""What is surely a mistake in most merges, though it can be carried out: sentences to warn with. Pure.

for sentence in [*doubt_recipe(recipe, pair), *doubt_parents(parents), *doubt_tensors(tensors)]:
    watcher.say(f"warning: {sentence}")
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from statistics import median

from merge.arithmetic.geodesic import TensorResult
from merge.errors import join
from merge.merging.loading import PROCESSORS
from merge.merging.pairing import HEAD, TIES, Pair
from merge.merging.templates import has_template
from merge.merging.vocabularies import find_embedding
from merge.models.beside import find_companions, is_tokenizer_file
from merge.models.checkpoint import TensorSource, read_json_object
from merge.models.hashing import hash_file
from merge.models.layers import count_layers, find_depth_said
from merge.models.layout import ADAPTER_CONFIG
from merge.models.parents import Parent, Parents
from merge.recipe import Recipe

# Of models with a common ancestor it is a few degrees; random directions in as many dimensions are at right angles
UNRELATED_DEGREES = 45.0
NO_ANGLE = 1e-7  # radians: rounding alone makes as much
LAYER_NUMBER = re.compile(r"\.\d+\.")
NAMES_CLASS = re.compile(r"_.*|.*_(type|class)|auto_map")
COPIES = (".py", ".safetensors")  # of companions: what computes
COMPARED = 4096  # numbers of a head and an embedding
SAME = "both parents are the same model, so that the merge is a copy of it"
ALIKE = "the parents' weights have the same directions, everywhere: is one of them a copy of the other?"
# Of a tokenizer's files, those that hold no token of a text
NO_TABLES = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
ROUNDING_SHARE = 0.1  # of what a merge changes, lost again in the output's dtype


def doubt_recipe(recipe: Recipe, pair: Pair) -> list[str]:
    """What is odd about a recipe and the files of its parents."""
    found = []
    if recipe.base_model is not None and not recipe.uses_base:
        found.append(f"[base] is given, and method {recipe.method} does not use it")
    if not holds_tokens(pair.chat.folder):
        found.append("the chat parent has no tokenizer, and so has the output none")
    elif has_template(pair.chip.folder) and not has_template(pair.chat.folder):
        found.append("the chip parent has a chat template and the chat parent has none: are the two swapped?")
    elif not holds_tokens(pair.chip.folder):
        found.append("the chip parent has no tokenizer: that its rows are the chat parent's tokens is not known")
    found += [f"{text}: they are merged as the same, under the chat parent's names" for text in pair.renamed]
    found += doubt_depth(pair.chat) + doubt_processors(pair.chip.folder, pair.chat.folder)
    found += doubt_copies(pair.chip.folder, pair.chat.folder, find_companions(pair.chat.folder, code=recipe.code))
    found += [
        f"the {side} parent says that its head is its embedding ({TIES}), and stores another {HEAD}: vLLM takes the "
        f"embedding, transformers 5 the head. Remove one of them, or set {TIES}"
        for side, source in (("chip", pair.chip), ("chat", pair.chat))
        if has_idle_head(source)
    ]
    return found


def holds_tokens(folder: Path) -> bool:
    """Whether a table of tokens is among a model's files."""
    return any(is_tokenizer_file(name) and name not in NO_TABLES for name in find_companions(folder))


def doubt_depth(source: TensorSource) -> list[str]:
    """Whether a config counts more layers than there are weights for."""
    said = find_depth_said(source.config)
    there = max(count_layers(source.specs).values(), default=0)
    if not 0 < there < said:
        return []
    return [f"config.json says {said} layers, and the weights have {there}: is a file missing in both parents?"]


def doubt_processors(chip: Path, chat: Path) -> list[str]:
    """Whether images, video or sound are prepared otherwise for one parent than for the other."""
    found = []
    for name in PROCESSORS:
        if (chip / name).is_file() and (chat / name).is_file():
            ours, theirs = read_json_object(chip / name), read_json_object(chat / name)
            shared = [key for key in sorted(ours.keys() & theirs.keys()) if not NAMES_CLASS.fullmatch(key)]
            if differing := [key for key in shared if ours[key] != theirs[key]]:
                found.append(f"{name} of the parents differs ({join(differing)}); the chat parent's goes along")
    return found


def doubt_copies(chip: Path, chat: Path, names: Iterable[str]) -> list[str]:
    """Whether code, or weights of a module beside the model, are others in the chip parent; they are not merged."""
    copies = [name for name in names if name.endswith(COPIES) and (chip / name).is_file()]
    differing = [name for name in copies if hash_file(chip / name) != hash_file(chat / name)]
    what = f"code or modules beside the model differ between the parents ({join(differing)})"
    return [f"{what}; the chat parent's go along"] if differing else []


def has_idle_head(source: TensorSource) -> bool:
    """Whether a model whose config ties the head to the embedding stores another head beside it."""
    embedding = find_embedding(source.specs)
    if not source.config.get(TIES) or embedding is None or HEAD not in source.specs:
        return False
    count = min(COMPARED, source.specs[HEAD].numel, source.specs[embedding].numel)
    return source.tensor(HEAD).read(0, count).tobytes() != source.tensor(embedding).read(0, count).tobytes()


def doubt_parents(parents: Parents) -> list[str]:
    """What is odd about the parents' contents."""
    found = []
    if _is_same(parents.chip, parents.chat):
        found.append(SAME)
    for side, parent in parents.by_side().items():
        if side not in ("chat", "base") and parents.base is not None and _is_same(parent, parents.base):
            found.append(f"the base is the {side} parent, which so adds nothing: give the model that both come from")
        found += [doubt for adapter in parent.adapters for doubt in _doubt_adapter(side, parent, adapter)]
        refs = {adapter.blake3: adapter.ref for adapter in parent.adapters}
        if len(refs) < len(parent.adapters):
            found.append(f"an adapter of the {side} parent is folded in more than once ({join(list(refs.values()))})")
    for side, parent in parents.more.items():
        earlier = [name for name, other in parents.by_side().items() if name != "base" and _is_same(parent, other)]
        if earlier[0] != side:
            found.append(f"the {side} parent is the {earlier[0]} parent again")
    return found


def _is_same(one: Parent, other: Parent) -> bool:
    """Whether two parents are one model with the same adapters."""
    adapters = [[adapter.blake3 for adapter in parent.adapters] for parent in (one, other)]
    return one.blake3 == other.blake3 and adapters[0] == adapters[1]


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


def doubt_tensors(tensors: Iterable[tuple[str, int, float | None]]) -> list[str]:
    """What is odd about the angles of (name, elements, theta in radians) of each tensor that both parents have."""
    known = list(tensors)
    angles = [theta for _, _, theta in known if theta is not None]
    if angles and max(angles) < NO_ANGLE:
        return [ALIKE]
    return doubt_angles((count, theta) for _, count, theta in known) + doubt_places(known)


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


def doubt_places(tensors: Iterable[tuple[str, int, float | None]]) -> list[str]:
    """Whether a few kinds of weights are far apart in parents that are near otherwise: one keeps them in another form.

    tensors: (name, elements, theta in radians); those of a name but for the layer are of a kind. Biases do not count:
    what began as zeros has any direction.
    """
    kinds: dict[str, list[float]] = {}
    known = [(name, count, math.degrees(theta)) for name, count, theta in tensors if theta is not None and count > 1]
    for name, _, degrees in known:
        if name.endswith("weight"):
            kinds.setdefault(LAYER_NUMBER.sub(".*.", name), []).append(degrees)
    far = {kind: middle for kind, degrees in kinds.items() if (middle := median(degrees)) > UNRELATED_DEGREES}
    apart = sum(count for _, count, degrees in known if degrees > UNRELATED_DEGREES)
    if len(far) in (0, len(kinds)) or apart > sum(count for _, count, _ in known) / 2:
        return []  # none is, or all are, which doubt_angles says
    near = median(degrees for kind, one in kinds.items() if kind not in far for degrees in one)
    return [
        f"{join(sorted(far))}: {min(far.values()):.0f} degrees apart or more, where other weights are {near:.1f}. Does "
        "one parent keep them in another form, such as the rows of q and k in the order of another rotary embedding, a "
        "transposed matrix, or a norm less one? Convert it, or name them in exclude"
    ]


def doubt_zeros(results: Iterable[TensorResult]) -> list[str]:
    """Whether tensors became zeros that are none in the parents, or in one of them.

    All their numbers are below the dtype's smallest, or they have no direction in one parent.
    """
    emptied = [each for each in results if each.merged_norm == 0 and max(each.chip_norm, each.chat_norm) > 0]
    lost = [each.name for each in emptied if min(each.chip_norm, each.chat_norm) > 0]
    found = [f"zeros alone are left of {join(lost)}. Set dtype, or [dtypes] for these, to one of a wider range"]
    bare = [each.name for each in emptied if each.branch == "zero"]
    reason = "zeros in one parent have no direction, so that the geodesic makes zeros"
    told = [f"{reason} of {join(bare)}. Method linear keeps the other parent's part; exclude takes the chat parent's"]
    return (found if lost else []) + (told if bare else [])


def doubt_rounding(share: float | None, dtype: str) -> list[str]:
    """Whether the output's dtype loses much of what the merge changes; share: from 0 to 1."""
    if share is None or share <= ROUNDING_SHARE:
        return []
    wider = "float16 or float32" if dtype == "bfloat16" else "float32"
    return [f"rounding to {dtype} loses {share:.0%} of what the merge changes; dtype = {wider} keeps more of it"]
