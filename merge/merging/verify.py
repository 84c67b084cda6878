"""Whether a merged checkpoint is what its merge_report.json claims: every byte by its hash, tensors computed anew.

It changes nothing and writes nothing. A report has BLAKE3, or SHA-256 if it is an older one. The parents are looked for
where the report says that they came from; what cannot be compared is reported, never passed over.

    verification = verify_checkpoint(Path("merged"), VerifyOptions(sample=8), settings, say=lambda text: None)
    assert not verification.problems
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from merge.arithmetic.choice import find_arithmetic, warm_up
from merge.arithmetic.dtypes import Array
from merge.arithmetic.geodesic import Arithmetic
from merge.errors import CheckpointCorrupt, CheckpointNotFound, MergeError, join
from merge.merging.merger import open_parents
from merge.merging.pairing import Pair
from merge.merging.passes import merge_tensor
from merge.merging.plan import TensorPlan, make_plan
from merge.merging.report import READABLE, describe_parents, find_versions, list_adapters, read_report
from merge.models.checkpoint import HEADER_LIMIT_BYTES, Checkpoint, StoredTensor, read_header, view_bytes
from merge.models.folded import single_threaded_blas
from merge.models.hashing import HEADER, NewHash, find_hash, hash_file, hash_span
from merge.models.parents import Parents, Resolver, Say, count_cores
from merge.recipe import MORE_SIDES, Recipe
from merge.recipe_file import parse_recipe
from merge.settings import MergeSettings

SAMPLE = 8  # tensors that are computed anew by default


@dataclass(frozen=True)
class VerifyOptions:
    """How much is computed anew, and where the parents are."""

    sample: int | None = SAMPLE  # None: all; 0: none, and then the parents are not needed
    # By "chip", "chat", "base": where a parent is now; replaces the report's ref
    refs: Mapping[str, str] = field(default_factory=dict)
    base: Path = Path()  # where relative references start
    seed: int | None = None  # of the sample; None: a new sample each time
    threads: int | None = None


@dataclass(frozen=True)
class Verification:
    """What was compared, and every difference found."""

    files: int
    hashed: int  # tensors whose bytes were hashed
    recomputed: tuple[str, ...]  # names of the tensors that were computed anew from the parents
    problems: tuple[str, ...]


def verify_checkpoint(folder: Path, options: VerifyOptions, settings: MergeSettings, say: Say) -> Verification:
    """Compare a checkpoint with its report; differences are the result, not errors.

    Raises CheckpointNotFound: there is no report to compare with, or a parent is not where the report says.
    """
    document = read_report(folder)
    if document is None:
        raise CheckpointNotFound(
            f"{folder} holds no merge_report.json to be compared with. Give a folder that `chipalign merge` made"
        )
    if document.get("format") not in READABLE:
        known = " and ".join(map(str, READABLE))
        raise CheckpointCorrupt(
            f"{folder}: its report has format {document.get('format')!r}, this version reads {known}. Merge anew"
        )

    threads = options.threads or count_cores()
    try:
        claimed = {tensor["name"]: tensor for tensor in document["tensors"]}
        say(f"hashing {len(document['files'])} files")
        problems = compare_files(folder, document["files"])
        problems += compare_tensors(folder, claimed, threads)
        recomputed: tuple[str, ...] = ()
        if options.sample != 0:
            recomputed, found = recompute(document, claimed, options, settings, say, threads)
            problems += found
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise CheckpointCorrupt(f"{folder}: its merge_report.json is not as it was written ({error!r})") from error

    return Verification(len(document["files"]), len(claimed), recomputed, tuple(problems))


def compare_files(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Problems of the files: missing, of another size or content.

    Weights that the report does not know are problems too.
    """
    problems = [
        f"{path.name} is not in the report" for path in sorted(folder.glob("*.safetensors")) if path.name not in files
    ]
    for name, claim in files.items():
        path = folder / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            problems.append(f"the report names a file {name!r} outside the folder")
        elif not path.is_file():
            problems.append(f"{name} is missing")
        elif path.stat().st_size != claim["bytes"]:
            problems.append(f"{name} has {path.stat().st_size} bytes, the report says {claim['bytes']}")
        else:
            key, new_hash = find_hash(claim)
            hashed, what = (hash_header, "header") if key.startswith(HEADER) else (hash_file, key)
            if hashed(path, new_hash) != claim[key]:
                problems.append(f"{name} has another {what} than the report says")
    return problems


def hash_header(path: Path, new_hash: NewHash) -> str:
    """The hash of a safetensors file's bytes before its first tensor. It reads no more than a header's limit."""
    with path.open("rb") as file:
        length = min(int.from_bytes(file.read(8), "little"), HEADER_LIMIT_BYTES)
        return hash_span(file.fileno(), 0, 8 + length, new_hash)


def compare_tensors(folder: Path, claimed: Mapping[str, Mapping[str, Any]], threads: int) -> list[str]:
    """Tensors whose bytes do not have the report's hash, and tensors that only one of the two has."""
    try:
        specs = {
            name: spec for path in sorted(folder.glob("*.safetensors")) for name, spec in read_header(path).items()
        }
        checkpoint = Checkpoint(folder, specs, {})
    except MergeError as error:
        return [str(error)]
    problems = [f"tensor {name} is not in the report" for name in sorted(specs.keys() - claimed.keys())]
    problems += [f"tensor {name} is missing" for name in sorted(claimed.keys() - specs.keys())]
    both = sorted(specs.keys() & claimed.keys())
    with checkpoint, ThreadPoolExecutor(threads, thread_name_prefix="verify") as pool:
        compared = pool.map(lambda name: list(compare_bytes(checkpoint.tensor(name), claimed[name])), both)
        return problems + [problem for found in compared for problem in found]


def compare_bytes(tensor: StoredTensor, claim: Mapping[str, Any]) -> Iterator[str]:
    """What a tensor's bytes in its file have other than its entry in the report."""
    key, new_hash = find_hash(claim)
    try:
        found = hash_span(tensor.fd, tensor.spec.offset, tensor.spec.n_bytes, new_hash)
    except OSError as error:
        yield f"tensor {tensor.spec.name} cannot be read: {error.strerror}"
        return
    if found != claim[key]:
        yield f"tensor {tensor.spec.name} has another {key} than the report says"


class HashWriter:
    """A writer that writes nowhere: only the hash of what was computed is needed, in the order of its pieces."""

    def __init__(self, new_hash: NewHash) -> None:
        self.hash = new_hash()

    def write(self, name: str, start: int, piece: Array) -> memoryview:
        """The bytes that would be written."""
        raw = view_bytes(piece)
        self.hash.update(raw)
        return raw


def recompute(
    document: Mapping[str, Any],
    claimed: Mapping[str, Mapping[str, Any]],
    options: VerifyOptions,
    settings: MergeSettings,
    say: Say,
    threads: int,
) -> tuple[tuple[str, ...], list[str]]:
    """(tensors computed anew, their differences). Raises what finding and opening the parents raises."""
    recipe = rebuild_recipe(document, options)
    arithmetic = find_arithmetic("cpu")
    warm_up(arithmetic)

    try:
        with Resolver(recipe.base, settings, say, threads=threads) as resolver:
            parents = resolver.resolve_sides(recipe.parents())
    except CheckpointNotFound as error:
        raise CheckpointNotFound(
            f"{error}. Where the report names a relative folder, --from DIR says where it starts"
        ) from error

    if problems := compare_parents(document, parents):
        return (), problems

    with ExitStack() as stack:
        pair = open_parents(parents, recipe, stack, arithmetic)
        plans = {plan.name: plan for plan in make_plan(recipe, pair)}
        if plans.keys() != claimed.keys():
            return (), [
                f"the recipe gives other tensors than the report has: {join(sorted(plans.keys() ^ claimed.keys()))}"
            ]

        chosen = choose(sorted(plans), options)
        say(f"computing {len(chosen)} of {len(plans)} tensors anew")
        with single_threaded_blas(), ThreadPoolExecutor(threads, thread_name_prefix="verify") as pool:
            compared = pool.map(
                lambda name: list(compare_anew(plans[name], pair, recipe, claimed[name], arithmetic)), chosen
            )
            problems = [problem for found in compared for problem in found]

    return tuple(chosen), problems + (describe_versions(document) if problems else [])


def choose(names: Sequence[str], options: VerifyOptions) -> list[str]:
    """The names of the tensors that are computed anew."""
    if options.sample is None or options.sample >= len(names):
        return list(names)
    return sorted(
        random.Random(options.seed if options.seed is not None else os.urandom(8)).sample(names, options.sample)
    )


def rebuild_recipe(document: Mapping[str, Any], options: VerifyOptions) -> Recipe:
    """The recipe of the report, with the parents where they are now. Raises RecipeError: it is wrong."""
    values = dict(document["recipe"])
    tables: dict[str, Any] = {
        key: values.pop(key) for key in ("parameters", "schedule", "slice", "dtypes") if key in values
    }
    shares = {
        key: values.pop(name) for key, name in (("weight", "weights"), ("density", "densities")) if name in values
    }
    if values["method"] == "soup" or "weight" in shares:
        values.pop("lam")  # a recipe does not say it: a soup's is always 0.5
    for side, parent in document["parents"].items():
        given = {key: by_side[side] for key, by_side in shares.items() if side in by_side}
        given |= {"adapter": [adapter["ref"] for adapter in adapters]} if (adapters := list_adapters(parent)) else {}
        given["model"] = options.refs.get(side, _pin(parent, options.base))
        if side in MORE_SIDES:
            tables.setdefault("more", []).append(given)
        else:
            tables[side] = given
    return parse_recipe(
        {"merge": values, **tables}, base=options.base.absolute(), source="the recipe in merge_report.json"
    )


def _pin(parent: Mapping[str, Any], base: Path) -> str:
    """The ref of a parent; a hub id without a revision gets the one that was merged."""
    ref, revision = str(parent["ref"]), parent["revision"]
    is_hub_id = revision is not None and ":" not in ref and not (base / ref).exists()
    return f"{ref.partition('@')[0]}@{revision}" if is_hub_id else ref


def compare_parents(document: Mapping[str, Any], parents: Parents) -> list[str]:
    """Parents whose content is not what the report says was merged."""
    problems = []
    for side, found in describe_parents(parents).items():
        claim = document["parents"].get(side, {})
        for what, ours, theirs in (
            (f"{side} parent", found, claim),
            *((f"{side} adapter", *both) for both in zip_longest(list_adapters(found), list_adapters(claim))),
        ):
            if (ours or {}).get("blake3") != (theirs or {}).get("blake3"):
                problems.append(
                    f"the {what} {(ours or {}).get('ref')} is not the one that was merged: its content has another hash"
                )
    return problems


def compare_anew(
    plan: TensorPlan, pair: Pair, recipe: Recipe, claim: Mapping[str, Any], arithmetic: Arithmetic
) -> Iterator[str]:
    """Differences between a tensor computed now and its entry in the report."""
    key, new_hash = find_hash(claim)
    writer = HashWriter(new_hash)
    try:
        [result] = merge_tensor([(plan, writer)], pair, recipe.parameters, arithmetic)
    except MergeError as error:
        yield str(error)
        return
    if writer.hash.hexdigest() != claim[key]:
        yield f"tensor {plan.name}, computed anew, has another {key} than the report says"
    if result.branch != claim["branch"]:
        yield f"tensor {plan.name} takes the branch {result.branch}, the report says {claim['branch']}"
    for key in ("theta", "chip_norm", "chat_norm", "merged_norm", "lam"):
        ours, theirs = getattr(result, key), claim[key]
        if (ours is None) != (theirs is None) or (
            ours is not None and abs(ours - theirs) > 1e-9 * max(abs(ours), abs(theirs))
        ):
            yield f"tensor {plan.name} has {key} {ours}, the report says {theirs}"


def describe_versions(document: Mapping[str, Any]) -> list[str]:
    """Packages whose version is not that of the merge: they may explain differences in the last bit."""
    then, now = document.get("versions", {}), find_versions()
    changed = [
        f"{name} {then.get(name)} then, {now.get(name)} now"
        for name in sorted(then.keys() | now.keys())
        if then.get(name) != now.get(name)
    ]
    return [f"other versions: {', '.join(changed)}"] if changed else []
