"""Several checkpoints of one recipe, each with its own lam, from one pass over the parents.

It names folders and parses ranges; merge.merging.merger's merge_sweep merges.

    jobs = plan_sweep(recipe, parse_lams("0.0:1.0:0.1"), Path("sweep"))  # sweep/lam-0, sweep/lam-0.1, ... sweep/lam-1
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from pathlib import Path

from merge.errors import RecipeError
from merge.recipe import Recipe

MOST = 101  # values, at steps of 0.01; each is a whole checkpoint on disk


def parse_lams(text: str) -> list[float]:
    """The values of `FIRST:LAST:STEP`, both ends included, or of `A,B,C`.

    Counted in decimals, so that 0.0:1.0:0.1 holds 0.3 and not 0.30000000000000004.

    Raises RecipeError: the text is neither, or holds a value outside 0 to 1.
    """
    advice = "Give FIRST:LAST:STEP, for example 0.0:1.0:0.1, or values with commas, all from 0 to 1"
    try:
        if ":" in text:
            first, last, step = (Decimal(part) for part in text.split(":"))
            if not (
                first.is_finite()
                and last.is_finite()
                and step.is_finite()
                and step > 0
                and first <= last
                and (last - first) / step < MOST
            ):
                raise RecipeError("--lam", [f"{text!r} is not a range of at most {MOST} values. {advice}"])
            values = [first + step * n for n in range(int((last - first) / step) + 1)]
        else:
            values = [Decimal(part) for part in text.split(",")]
    except (InvalidOperation, ValueError):
        raise RecipeError("--lam", [f"{text!r} cannot be read. {advice}"]) from None

    if not all(value.is_finite() and 0 <= value <= 1 for value in values):
        raise RecipeError("--lam", [f"{text!r} leaves the range from 0, the chat model, to 1, the chip model"])

    return sorted({float(value) for value in values})


def plan_sweep(recipe: Recipe, lams: Sequence[float], out: Path) -> list[tuple[Recipe, Path]]:
    """One recipe and folder per lam.

    Rules of the recipe's schedule stay as they are.

    Raises RecipeError: lam decides nothing.
    """
    if recipe.method == "soup":
        raise RecipeError("sweep", ["a soup is lam = 0.5 by definition. Use method linear"])
    if recipe.is_weighted:
        raise RecipeError("sweep", ["the recipe has weights, which stand in the place of lam. Leave them out"])
    return [(replace(recipe, lam=lam, name=f"{recipe.name[:80]}-lam-{lam:g}"), out / f"lam-{lam:g}") for lam in lams]
