"""A look at a pair before it is merged: the parents opened and compared, and the plan.

It writes no output, and hashes nothing: a look keeps nothing, so nobody waits for hashes.

    with open_pair(recipe, settings, say=lambda text: None, fetch=False, arithmetic=NumpyArithmetic()) as pair:
        document = describe_plan(recipe, make_plan(recipe, pair), pair)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from merge.arithmetic.geodesic import Arithmetic
from merge.arithmetic.plain import NumpyArithmetic
from merge.merging.companions import prepare_companions
from merge.merging.merger import open_folders
from merge.merging.pairing import Pair
from merge.merging.plan import TensorPlan, count_traffic, make_plan, summarise_plan
from merge.models.parents import Resolver, Say
from merge.recipe import Recipe
from merge.settings import MergeSettings


@contextmanager
def open_pair(
    recipe: Recipe, settings: MergeSettings, say: Say, *, fetch: bool, arithmetic: Arithmetic
) -> Iterator[Pair]:
    """The recipe's parents, found, opened and compared.

    fetch: whether to download and convert missing models. arithmetic: folds adapters in, once their tensors are read.

    Raises what finding, opening and comparing raise.
    """
    with Resolver(recipe.base, settings, say, fetch=fetch) as resolver:
        asked = recipe.parents()
        folders = dict(zip((side for _, side in asked), resolver.look_all(asked), strict=True))
    with ExitStack() as stack:
        yield open_folders(folders, recipe, stack, arithmetic)


def preview_merge(recipe: Recipe, settings: MergeSettings, say: Say) -> dict[str, Any]:
    """What `merge --dry-run` reports. It reads headers, configs and tokenizers, and writes nothing.

    Raises what a merge raises: all that comes before its first tensor is read.
    """
    with open_pair(recipe, settings, say, fetch=False, arithmetic=NumpyArithmetic()) as pair:  # it computes nothing
        plans = make_plan(recipe, pair)
        prepare_companions(recipe, pair)
        return describe_plan(recipe, plans, pair)


def describe_plan(recipe: Recipe, plans: Sequence[TensorPlan], pair: Pair) -> dict[str, Any]:
    """The plan per kind of tensors, the bytes to read and to write, and where the output's vocabulary comes from."""
    traffic = count_traffic(plans, pair)
    return {
        "dry_run": True,
        **recipe.values(),
        "tensors": len(plans),
        "parameters": sum(plan.numel for plan in plans),
        "read_bytes": traffic.read,
        "write_bytes": traffic.write,
        "vocabulary": pair.rows.count() if pair.rows else None,
        "plan": summarise_plan(plans),
    }
